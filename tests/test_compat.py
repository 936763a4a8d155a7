"""The functions that users of SSSD-ECG import: whole runs against its outputs, draws, inputs, errors."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sssd.utils import util
from tests.reference import textbook

GOLDEN = Path(__file__).parent / "golden"  # README.md there says how the files were made
SIZE = (2, 3, 10)
COND = torch.tensor([[1.0, 0.0], [0.0, 1.0]])


@pytest.fixture(scope="module")
def golden():
    from sssd.model_wrapper import SSSDECG

    threads = torch.get_num_threads()
    torch.set_num_threads(
        1
    )  # hundreds of small evaluations: on a busy machine threads only wait for each other
    net = SSSDECG.from_pretrained(GOLDEN / "sssd_ecg_small.pkl", cauchy="conjugate_pairs", device="cpu").model
    diffusion = json.loads((GOLDEN / "sssd_ecg_small.json").read_text())["diffusion_config"]
    with np.load(GOLDEN / "sssd_ecg_small_io.npz") as data:
        arrays = dict(data)
    yield net, util.calc_diffusion_hyperparams(**diffusion), arrays
    torch.set_num_threads(threads)


def relative(x, expected):
    return float((x.double() - torch.from_numpy(expected).double()).norm() / np.linalg.norm(expected))


def toy(inputs):
    """A network that uses all its inputs."""
    x, cond, steps = inputs
    shift = 0.0 if cond is None else 0.1 * cond.sum(dim=1)[:, None, None]
    return torch.tanh(0.5 * x + 0.002 * steps[:, :, None] + shift)


def plain(x, t):
    return np.tanh(0.5 * x + 0.002 * t + 0.1)  # `toy` in float64 with COND


def hyperparams(T=20):
    return util.calc_diffusion_hyperparams(T, 1e-4, 0.2)


class Toy(torch.nn.Module):
    def __init__(self, device="cpu"):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones((), device=device))

    def forward(self, inputs):
        self.seen = inputs
        return self.scale * toy(inputs)


# --- whole runs -------------------------------------------------------------------------------------------


def test_network_gives_the_reference_output(golden):
    net, _, io = golden
    with torch.no_grad():
        eps = net(tuple(torch.from_numpy(io[k]) for k in ("x", "y", "t")))
    assert relative(eps, io["eps_conjugate_pairs"]) < 1e-5


def first_record_only(net):
    """The network on record 0 alone, zeros for the others: the same draws at a third of the cost."""

    def first(inputs):
        return torch.cat((net(tuple(v[:1] for v in inputs)), torch.zeros_like(inputs[0][1:])))

    return first


def test_ddpm_gives_the_reference_records(golden):
    """200 steps under the stated seed. Breaks with another order of draws or another Sigma."""
    net, diffusion, io = golden
    torch.manual_seed(int(io["torch_manual_seed"]))
    x = util.sampling_label(
        first_record_only(net), io["x_T"].shape, diffusion, cond=torch.from_numpy(io["y"])
    )
    assert relative(x[0], io["ddpm200_x_0"][0]) < 1e-5


@pytest.mark.parametrize(("S", "records"), [(50, 1), (20, 3)])
def test_ddim_gives_the_reference_records(golden, S, records):
    """Breaks with another grid, steps that leave the list, or float32 coefficients."""
    net, diffusion, io = golden
    torch.manual_seed(int(io["torch_manual_seed"]))
    x = util.sampling_label_ddim(
        net if records == 3 else first_record_only(net),
        io["x_T"].shape,
        diffusion,
        cond=torch.from_numpy(io["y"]),
        ddim_timesteps=S,
    )
    assert relative(x[:records], io[f"ddim{S}_x_0"][:records]) < 1e-5


def test_first_draw_is_the_reference(golden):
    _, _, io = golden
    torch.manual_seed(int(io["torch_manual_seed"]))
    assert torch.equal(util.std_normal(io["x_T"].shape), torch.from_numpy(io["x_T"]))


# --- draws and formulas -----------------------------------------------------------------------------------


def drawn(_):
    return torch.normal(0, 1, size=SIZE).double().numpy()


@pytest.mark.parametrize("T", [1, 2, 20])
def test_ddpm_draws_as_published(T):
    """x_T first, then one draw for each step above 0, after the network. Breaks with a draw too many."""
    torch.manual_seed(3)
    x = util.sampling_label(toy, SIZE, hyperparams(T), cond=COND)
    state = torch.get_rng_state()
    torch.manual_seed(3)
    abar = hyperparams(T)["Alpha_bar"].double().numpy()
    np.testing.assert_allclose(x, textbook.ddpm(abar, plain, drawn(0), drawn), rtol=1e-4, atol=1e-5)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("S", [1, 2, 7, 20])
def test_ddim_draws_as_published(S, eta):
    """x_T first; with eta above 0 one draw for each step but the last."""
    torch.manual_seed(3)
    x = util.sampling_label_ddim(toy, SIZE, hyperparams(), cond=COND, ddim_timesteps=S, eta=eta)
    state = torch.get_rng_state()
    torch.manual_seed(3)
    abar = hyperparams()["Alpha_bar"].double().numpy()
    steps = np.round(np.linspace(19, 0, S)).astype(int).tolist()
    expected = textbook.ddim(abar, steps, plain, drawn(0), drawn, eta)
    np.testing.assert_allclose(x, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(state, torch.get_rng_state())


def test_draws_of_the_network_come_in_between():
    """A network that draws itself (dropout) does so before the noise of its step."""

    def noisy(inputs):
        return toy(inputs) + torch.normal(0, 1, size=SIZE)

    torch.manual_seed(1)
    x = util.sampling_label(noisy, SIZE, hyperparams(4), cond=COND)
    torch.manual_seed(1)
    abar = hyperparams(4)["Alpha_bar"].double().numpy()
    expected = textbook.ddpm(abar, lambda x, t: plain(x, t) + drawn(t), drawn(0), drawn)
    np.testing.assert_allclose(x, expected, rtol=1e-4, atol=1e-5)


def test_eta_1_over_every_step_is_ddpm():
    torch.manual_seed(5)
    p = util.sampling_label(toy, SIZE, hyperparams(), cond=COND)
    torch.manual_seed(5)
    d = util.sampling_label_ddim(toy, SIZE, hyperparams(), cond=COND, ddim_timesteps=20, eta=1.0)
    torch.testing.assert_close(p, d)


@pytest.mark.parametrize("T", [1, 2, 200])
def test_hyperparams_are_the_published_recurrence(T):
    """Bit for bit in float32. Breaks with torch.cumprod (accumulates in float64) or float64 betas."""
    beta = torch.linspace(1e-4, 0.02, T)
    alpha_bar, tilde = 1 - beta, beta.clone()
    for t in range(1, T):
        alpha_bar[t] *= alpha_bar[t - 1]
        tilde[t] *= (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t])
    given = util.calc_diffusion_hyperparams(T, 1e-4, 0.02)
    expected = {"Beta": beta, "Alpha": 1 - beta, "Alpha_bar": alpha_bar, "Sigma": torch.sqrt(tilde)}
    assert given.pop("T") == T and given.keys() == expected.keys()
    for name, value in expected.items():
        assert given[name].dtype == torch.float32 and torch.equal(given[name], value), name


def test_step_embedding_formula():
    """sin and cos of t 10^(-4 i / (half - 1)). Breaks with half in place of half - 1, or cos first."""
    steps = np.array([[0.0], [1.0], [199.0]])
    angle = steps * 10.0 ** (-4 * np.arange(64) / 63)
    given = util.calc_diffusion_step_embedding(torch.tensor(steps, dtype=torch.float32), 128)
    assert given.shape == (3, 128) and given.dtype == torch.float32
    np.testing.assert_allclose(given, np.concatenate((np.sin(angle), np.cos(angle)), axis=1), atol=2e-5)
    assert torch.equal(util.calc_diffusion_step_embedding(torch.tensor([[0], [1], [199]]), 128), given)


def test_training_loss():
    """Steps first, then the noise; the network sees sqrt(abar) x + sqrt(1 - abar) z, float steps (B, 1)."""
    audio, diffusion, seen = torch.linspace(-1, 1, 60).reshape(SIZE), hyperparams(), []

    def net(inputs):
        seen.extend(inputs)
        return inputs[0] * 0.5

    torch.manual_seed(2)
    loss = util.training_loss_label(net, torch.nn.MSELoss(), (audio, COND.int()), diffusion)
    torch.manual_seed(2)
    steps = torch.randint(20, size=(2, 1, 1))
    z = torch.normal(0, 1, size=SIZE)
    abar = diffusion["Alpha_bar"][steps]
    torch.testing.assert_close(seen[0], torch.sqrt(abar) * audio + torch.sqrt(1 - abar) * z)
    assert torch.equal(seen[1], COND) and torch.equal(seen[2], steps.reshape(2, 1).float())
    assert [v.dtype for v in seen] == [torch.float32] * 3
    torch.testing.assert_close(loss, ((seen[0] * 0.5 - z) ** 2).mean())


def test_training_loss_has_a_gradient_and_sampling_has_none():
    net = Toy()
    util.training_loss_label(net, torch.nn.MSELoss(), (torch.zeros(SIZE), COND), hyperparams()).backward()
    assert float(net.scale.grad.abs()) > 0
    assert not util.sampling_label(net, SIZE, hyperparams(), cond=COND).requires_grad


# --- inputs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cond", [COND.int(), COND.bool(), COND.double(), COND.half(), COND.numpy(), COND.tolist()]
)
def test_any_real_condition_is_cast(cond):
    """The network sees float32 always, and the records are the same."""
    net = Toy()
    torch.manual_seed(0)
    x = util.sampling_label_ddim(net, SIZE, hyperparams(), cond=cond, ddim_timesteps=3)
    torch.manual_seed(0)
    assert torch.equal(x, util.sampling_label_ddim(net, SIZE, hyperparams(), cond=COND, ddim_timesteps=3))
    assert [v.dtype for v in net.seen] == [torch.float32] * 3
    assert [tuple(v.shape) for v in net.seen] == [SIZE, (2, 2), (2, 1)]


def test_no_condition_is_handed_on():
    assert util.sampling_label(toy, SIZE, hyperparams(3)).shape == SIZE


@pytest.mark.parametrize(
    ("cond", "message"),
    [
        (torch.tensor([[np.nan, 0], [0, 0]]), "finite"),
        (torch.tensor([[np.inf, 0], [0, 0]]), "finite"),
        (torch.tensor([[1e300, 0], [0, 0]], dtype=torch.float64), "finite"),
        (torch.zeros(3, 2), r"\(3, 2\): expected 2 rows"),
        (torch.zeros(1, 2), r"\(1, 2\): expected 2 rows"),
        (torch.tensor(1.0), "expected 2 rows"),
        (COND.cfloat(), "real"),
    ],
)
def test_wrong_conditions_are_refused(cond, message):
    for function in (util.sampling_label, util.sampling_label_ddim):
        with pytest.raises(ValueError, match=message):
            function(toy, SIZE, hyperparams(50), cond=cond)
    with pytest.raises(ValueError, match=message):
        util.training_loss_label(toy, torch.nn.MSELoss(), (torch.zeros(SIZE), cond), hyperparams())


@pytest.mark.parametrize("S", [0, 21, -1, 2.5])
def test_wrong_number_of_steps_is_refused(S):
    with pytest.raises(ValueError, match=r"ddim_timesteps is .*: expected 1\.\.20"):
        util.sampling_label_ddim(toy, SIZE, hyperparams(), cond=COND, ddim_timesteps=S)


def test_other_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="eta is 2"):
        util.sampling_label_ddim(toy, SIZE, hyperparams(), cond=COND, ddim_timesteps=5, eta=2)
    with pytest.raises(ValueError, match=r"expected \(B, C, L\)"):
        util.sampling_label(toy, (2, 10), hyperparams(), cond=COND)
    with pytest.raises(ValueError, match=r"expected \(B, C, L\)"):
        util.training_loss_label(toy, torch.nn.MSELoss(), (torch.zeros(2, 10), COND), hyperparams())
    with pytest.raises(ValueError, match="T is 19 and Alpha_bar"):
        util.sampling_label(toy, SIZE, {**hyperparams(), "T": 19}, cond=COND)
    for arguments in ((0, 1e-4, 0.02), (200, 0.0, 0.02), (200, 1e-4, 1.0)):
        with pytest.raises(ValueError, match="expected"):
            util.calc_diffusion_hyperparams(*arguments)
    with pytest.raises(ValueError, match="even number"):
        util.calc_diffusion_step_embedding(torch.zeros(1, 1), 7)


def test_everything_moves_to_the_device_of_the_network():
    """On torch's "meta" device, which every machine has. Breaks when a tensor stays on the CPU."""
    net = Toy("meta")
    for function in (util.sampling_label, util.sampling_label_ddim):
        kwargs = {"ddim_timesteps": 3, "eta": 1.0} if function is util.sampling_label_ddim else {}
        x = function(net, SIZE, hyperparams(4), cond=None, **kwargs)
        assert x.device.type == "meta" and net.seen[0].device.type == net.seen[2].device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_seed_gives_the_same_records_on_a_gpu():
    torch.manual_seed(0)
    here = util.sampling_label(Toy(), SIZE, hyperparams(), cond=COND)
    torch.manual_seed(0)
    there = util.sampling_label(Toy("cuda"), SIZE, hyperparams(), cond=COND)
    assert there.device.type == "cuda"
    torch.testing.assert_close(there.cpu(), here, rtol=1e-4, atol=1e-5)
    assert util.sampling_label(toy, SIZE, hyperparams(), cond=COND.cuda()).device.type == "cuda"


# --- the rest ---------------------------------------------------------------------------------------------


def test_print_size(capsys):
    util.print_size(torch.nn.Linear(1000, 1))
    util.print_size(None)
    assert capsys.readouterr().out == "Linear Parameters: 0.001001M\n"


def test_find_max_epoch(tmp_path):
    """By number, not by name: 9 < 10."""
    assert util.find_max_epoch(tmp_path) == -1
    for name in ("9.pkl", "10.pkl", "11.pt", "x12.pkl", "best.pkl", ".pkl", "-13.pkl"):
        (tmp_path / name).touch()
    assert util.find_max_epoch(str(tmp_path)) == 10
    with pytest.raises(FileNotFoundError):
        util.find_max_epoch(tmp_path / "none")
