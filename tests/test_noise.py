"""Counter-based noise: known answers, distribution, and dependence on (seed, index, step) alone."""

import math
import os
import subprocess
import sys

import pytest
import torch

from sssd.noise import Reserved, drawn, kernel_works, normal, origin, philox, seed_of_attempt

SHAPE = (8, 125)
FULL = 0xFFFFFFFF


def plain_philox(counter, key):
    """Philox-4x32-10 in Python's integers, as in Salmon et al. 2011."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & FULL, (p0 >> 32) ^ c[3] ^ k[1], p0 & FULL]
        k = [(k[0] + 0x9E3779B9) & FULL, (k[1] + 0xBB67AE85) & FULL]
    return c


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((FULL,) * 4, (FULL,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter, key, expected):
    """The published vectors of Random123. Breaks with 9 rounds, swapped words, an overflow."""
    words = philox(tuple(torch.tensor([c]) for c in counter), key)
    assert tuple(int(w) for w in words) == expected


def test_numbers_are_philox_and_box_muller():
    """The layout (key, counter, lanes) is part of what a seed means. Breaks when any of it moves."""
    seed, index, step = 2**63 + 12345, 2**40 + 7, 199
    z = normal(seed, [index], step, (2, 3))
    expected = []
    for block in range(2):
        r = plain_philox((block, step, index & FULL, index >> 32), (seed & FULL, seed >> 32))
        for a, b in ((r[0], r[1]), (r[2], r[3])):
            radius = math.sqrt(-2.0 * math.log((a + 0.5) / 2**32))
            expected += [
                radius * math.cos(2 * math.pi * b / 2**32),
                radius * math.sin(2 * math.pi * b / 2**32),
            ]
    torch.testing.assert_close(z.flatten(), torch.tensor(expected)[:6], rtol=1e-6, atol=1e-7)


def test_a_record_does_not_depend_on_its_batch():
    """Bit for bit. Breaks when the counter runs on through the batch."""
    batch = normal(5, range(100, 116), 3, SHAPE)
    for i in (100, 107, 115):
        assert torch.equal(normal(5, [i], 3, SHAPE)[0], batch[i - 100])
    shuffled = torch.tensor([109, 100, 115])
    assert torch.equal(normal(5, shuffled, 3, SHAPE), batch[shuffled - 100])


def test_global_generator_is_left_alone():
    before = torch.get_rng_state()
    normal(0, [0], 0, SHAPE)
    assert torch.equal(before, torch.get_rng_state())


def test_distribution_is_standard_normal():
    """Moments within 4 standard errors, Kolmogorov-Smirnov at 0.1 %. Breaks with a missing root,
    factor 2 or sine, or a uniform of 31 bits."""
    z = normal(1, range(200), 0, SHAPE).double().flatten()
    n = z.numel()
    assert abs(z.mean()) < 4 / math.sqrt(n)
    assert abs(z.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((z**3).mean()) < 4 * math.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96 / n)
    cdf = torch.special.ndtr(z.sort().values)
    rank = torch.arange(n + 1, dtype=torch.float64) / n
    distance = torch.maximum((rank[1:] - cdf).max(), (cdf - rank[:-1]).max())
    assert distance < 1.95 / math.sqrt(n)


def test_streams_are_independent():
    """Correlations between neighbours in seed, index, step, element. Breaks when a counter word is left out
    (correlation 1) or seed and index are added into one word (seed + 1 equals index + 1)."""
    z = normal(7, range(64), 10, SHAPE)
    others = {
        "seed": normal(8, range(64), 10, SHAPE),
        "high seed": normal(7 + 2**32, range(64), 10, SHAPE),
        "index": normal(7, range(1, 65), 10, SHAPE),
        "high index": normal(7, [i + 2**32 for i in range(64)], 10, SHAPE),
        "step": normal(7, range(64), 11, SHAPE),
        "seed and index": normal(8, range(-1, 63), 10, SHAPE),
        "lane": z.flatten().roll(1).reshape(z.shape),
        "pair": z.flatten().roll(2).reshape(z.shape),
        "channel": z.roll(1, dims=1),
    }
    for name, other in others.items():
        for f in (lambda u: u, lambda u: u**2 - 1):  # squares too: Box-Muller pairs share a radius
            r = torch.corrcoef(torch.stack((f(z).flatten(), f(other).flatten())))[0, 1]
            assert abs(r) < 4.5 / math.sqrt(z.numel()), name


def test_no_value_appears_twice():
    """Breaks when two (index, step) share a counter."""
    z = torch.cat([normal(0, range(4), step, (8, 16)) for step in range(4)])
    assert len(set(map(tuple, z.reshape(-1, 4).tolist()))) == z.numel() // 4


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (8, 5), (12, 7)])
def test_shapes(shape):
    z = normal(0, torch.tensor([3, 4, 5], dtype=torch.int32), 0, shape)
    assert z.shape == (3, *shape) and z.dtype == torch.float32
    assert normal(0, [], 0, shape).shape == (0, *shape)


@pytest.mark.parametrize(("seed", "step"), [(-1, 0), (2**64, 0), (0, -1), (0, 2**32)])
def test_wrong_numbers_are_refused(seed, step):
    with pytest.raises(ValueError, match=r"0 <="):
        normal(seed, [0], step, SHAPE)


@pytest.mark.parametrize("index", [torch.tensor(3), torch.zeros(2), torch.tensor([True])])
def test_wrong_index_is_refused(index):
    with pytest.raises(ValueError, match="index"):
        normal(0, index, 0, SHAPE)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_devices_agree():
    """The integers are equal, the normals to rounding."""
    here = normal(9, range(4), 2, SHAPE)
    there = normal(9, range(4), 2, SHAPE, device="cuda")
    torch.testing.assert_close(there.cpu(), here, rtol=1e-6, atol=1e-7)


def test_seeds_of_their_own_in_one_call() -> None:
    """Records of several seeds, each as with its seed alone. Fails if halves of a seed, or seeds, change places."""
    seeds, index = (3, 2**63 + 5, 3), (0, 4, 7)
    together = normal(seeds, index, 11, (2, 9))
    for row, seed, i in zip(together, seeds, index, strict=True):
        assert torch.equal(row, normal(seed, [i], 11, (2, 9))[0])
    with pytest.raises(ValueError, match="2 seeds and 3 records"):
        normal((1, 2), index, 11, (2, 9))


def test_what_is_drawn_beside_the_noise_of_steps_has_random_bits_of_its_own():
    """Breaks when two uses share a step, or when one has a step that a schedule may have."""
    steps = [int(step) for step in Reserved.__members__.values()]
    assert len(set(steps)) == len(steps) and min(steps) > 2**31


def test_each_attempt_has_a_seed_of_its_own():
    """Breaks when attempts share noise with each other, with another seed, or with the steps of a sampler."""
    seeds = [seed_of_attempt(seed, k) for seed in (0, 1, 2**64 - 1) for k in range(16)]
    assert len(set(seeds)) == 48 and all(0 <= seed < 2**64 for seed in seeds)
    assert seed_of_attempt(2**64 - 1, 0) == 2**64 - 1
    word0, word1, *_ = plain_philox((0, FULL - 4, 5, 0), (7, 0))
    assert seed_of_attempt(7, 5) == word0 | word1 << 32
    with pytest.raises(ValueError, match="seed"):
        seed_of_attempt(-1, 1)


@pytest.mark.parametrize("size", [1, 4003])
@pytest.mark.parametrize("step", [0, 199, 2**32 - 1])
def test_the_kernel_draws_the_same_noise(size: int, step: int) -> None:
    """For every sign and size of seed, index and step. Breaks with other lanes, a word that loses its high bit (seen).

    The normals may differ by the rounding of log, cos and sin; a wrong bit moves them by far more.
    """
    pytest.importorskip("triton")
    from sssd.engine.kernels.noise import normal as kernel

    device = "cuda" if torch.cuda.is_available() else "cpu"
    state = origin([0, 2**63 + 5, 2**64 - 1], [2**63 - 1, 3, 2**40 + 7], device)
    expected = drawn(state.cpu(), step, (1, size))[:, 0]
    torch.testing.assert_close(kernel(state, step, size).cpu(), expected, rtol=2e-7, atol=1e-9)


def test_a_kernel_that_fails_or_errs_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken by trusting that Triton works where it is installed, or that it draws the same (seen: both)."""
    pytest.importorskip("triton")
    from sssd.engine.kernels import noise as kernels

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kernel = kernels.normal

    def without_a_compiler(*_: object) -> torch.Tensor:
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")

    try:
        for replaced, works in ((kernel, True), (without_a_compiler, False), (lambda *a: -kernel(*a), False)):
            kernel_works.cache_clear()
            monkeypatch.setattr(kernels, "normal", replaced)
            assert kernel_works(device) is works
    finally:
        kernel_works.cache_clear()


def test_the_kernel_compiles_for_gpus() -> None:
    """Without a GPU, for the oldest and the newest that are common. Breaks where the interpreter is more lenient."""
    pytest.importorskip("triton")
    code = (
        "from triton import compile\n"
        "from triton.compiler import ASTSource\n"
        "from triton.backends.compiler import GPUTarget\n"
        "from sssd.engine.kernels.noise import _normal\n"
        "types = dict(state='*i64', out='*fp32', step='i32', size='constexpr', blocks='constexpr', "
        "BLOCK='constexpr')\n"
        "for capability in (75, 90):\n"
        "    source = ASTSource(fn=_normal, signature=types, constexprs=dict(size=8000, blocks=2000, BLOCK=256))\n"
        "    assert compile(source, target=GPUTarget('cuda', capability, 32)).asm['cubin']\n"
    )
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
