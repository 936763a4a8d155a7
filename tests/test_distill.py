"""Distillation: the consistency sampler, the teacher's trajectories, and what each stage does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sssd.cli import main
from sssd.cli.distill import student_of
from sssd.config.schema import DEFAULT, Config, read_config
from sssd.data.recordings import Recordings, write
from sssd.factory import build_network
from sssd.labels import CODES
from sssd.model_wrapper import SSSDECG
from sssd.samplers import consistency, ddim, run
from sssd.schedule import choose_steps, linear, rescaled
from sssd.training import distill as stages
from sssd.training.checkpoint import save_model
from sssd.training.distill.discriminator import adversarial_gradient, discriminator_loss

SCHEDULE = rescaled(linear(), 0.01)
LENGTH = 64


def config(**distilled: Any) -> Config:
    content = read_config(DEFAULT).model_dump()
    content["wavenet_config"] |= {
        "num_res_layers": 2,
        "res_channels": 32,
        "skip_channels": 16,
        "s4_d_state": 4,
        "s4_lmax": LENGTH,
        "label_embed_classes": 71,
        "attention_every": 0,
        "patch": 4,
    }
    content["trainset_config"] |= {"segment_length": LENGTH, "patient": False}
    small = {"batch_size": 8, "teacher_steps": 6, "trajectory_iters": 0, "matching_iters": 0}
    content["distill_config"] = small | distilled
    content["ddim_config"] = {"sampler": "consistency", "ddim_timesteps": 4}
    return Config.model_validate(content)


def teacher(folder: Path, settings: Config) -> Path:
    """A network with weights that do something, sampled by DDIM."""
    own = Config().ddim_config.model_copy(update={"ddim_timesteps": min(50, settings.diffusion_config.T)})
    settings = settings.model_copy(update={"ddim_config": own})
    torch.manual_seed(0)
    net = build_network(settings)
    torch.nn.init.normal_(net.outer_convs[2].weight, std=0.1)
    return save_model(folder / "teacher.safetensors", net, settings)


def labels(n: int = 40) -> np.ndarray:
    return (np.random.default_rng(0).random((n, 71)) < 0.1).astype(np.float32)


# --- the sampler --------------------------------------------------------------------------------------------


def test_consistency_forgets_what_was_before() -> None:
    """One clean record is all a row passes on. Fails if a row keeps some of its x, as DDIM's do."""
    table = consistency(SCHEDULE, choose_steps(SCHEDULE, 4, "trailing"))
    assert not table.a.any() and table.c[-1] == 0
    truth = torch.randn(2, 8, 10)
    seen: list[torch.Tensor] = []

    def knows(x: torch.Tensor, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(x)
        return x, truth

    noise = torch.ones(2, 8, 10)
    result = run(table, knows, torch.randn(2, 8, 10), lambda i: noise)
    torch.testing.assert_close(result, truth)
    for i, x in enumerate(seen[1:], start=1):
        torch.testing.assert_close(x, (table.alpha[i] * truth + table.sigma[i] * noise).float())


def test_one_step_of_consistency_is_one_step_of_ddim() -> None:
    steps = np.array([199])
    one, other = consistency(SCHEDULE, steps), ddim(SCHEDULE, steps)
    np.testing.assert_allclose(one.a, other.a, atol=1e-12)
    np.testing.assert_allclose(one.b, other.b, atol=1e-12)


# --- the stages ---------------------------------------------------------------------------------------------


def distillation(folder: Path, **distilled: Any) -> stages.Distillation:
    settings = config(**distilled)
    path = teacher(folder, settings)
    master = SSSDECG.from_pretrained(path, device="cpu").model
    return stages.Distillation(settings, master, torch.from_numpy(labels()))


def test_trajectories_of_a_teacher_that_knows_one_record(tmp_path: Path) -> None:
    """Then all noise stays as it is: states are known. Fails if one is taken after its step, or at another node."""
    of, x, truth = distillation(tmp_path), torch.randn(3, 8, LENGTH), torch.full((3, 8, LENGTH), 0.7)
    alpha, sigma = of.schedule.alpha, of.schedule.sigma

    def knowing(y: torch.Tensor, steps: list[int]) -> Any:
        return lambda x, i: (float(alpha[steps[i]]) * x - truth) / float(sigma[steps[i]])

    of.guided = knowing  # type: ignore[method-assign]
    states, end = of.trajectories(torch.from_numpy(labels(3)), x)
    eps = (x - alpha[-1] * truth) / sigma[-1]
    torch.testing.assert_close(end, truth, rtol=1e-4, atol=1e-4)
    for state, t in zip(states, of.nodes.tolist(), strict=True):
        torch.testing.assert_close(state, (alpha[t] * truth + sigma[t] * eps).float(), rtol=1e-4, atol=1e-4)


def test_guidance_of_the_teacher(tmp_path: Path) -> None:
    """Fails if the velocity without labels is added instead of moved away from."""
    x, y = torch.randn(3, 8, LENGTH), torch.from_numpy(labels(3))
    plain, guided = (distillation(tmp_path, guidance=w).guided(y, [100])(x, 0) for w in (1.0, 3.0))
    unconditional = distillation(tmp_path).guided(torch.zeros_like(y), [100])(x, 0)
    torch.testing.assert_close(guided - unconditional, 3 * (plain - unconditional), rtol=1e-3, atol=1e-5)


def test_following_trajectories_shortens_the_way(tmp_path: Path) -> None:
    """After the first stage one evaluation ends nearer to the teacher's end. Fails if the student learns states."""
    settings = config(trajectory_iters=150, learning_rate=3e-3, batch_size=16, ema_decay=0.5)
    path = teacher(tmp_path, settings)
    student = stages.distill(settings, path, labels(), tmp_path / "out", device="cpu").path
    of, new = distillation(tmp_path), SSSDECG.from_pretrained(student, device="cpu")
    x, y = torch.randn(16, 8, LENGTH), torch.from_numpy(labels(16))
    _, end = of.trajectories(y, x)
    t = torch.full((16,), 199)

    def distance(net: Any) -> float:
        with torch.no_grad():
            return float((of.clean(x, net.predict(x, y, t[:, None].float()), t) - end).norm())

    assert distance(new.model) < 0.9 * distance(of.teacher)


def test_a_student_as_likely_as_its_teacher_has_nothing_to_learn(tmp_path: Path) -> None:
    """At the start critic and teacher agree. Fails if the two denoisers see other noise, levels or labels."""
    told: list[stages.StageProgress] = []
    settings = config(matching_iters=1, critic_rate=1e-12)
    stages.distill(
        settings, teacher(tmp_path, settings), labels(), tmp_path / "a", device="cpu", report=told.append
    )
    guided = config(matching_iters=1, critic_rate=1e-12, guidance=2.0)
    stages.distill(
        guided, teacher(tmp_path, guided), labels(), tmp_path / "b", device="cpu", report=told.append
    )
    assert told[0].loss < 1e-8 < 1e-6 < told[1].loss


def test_matching_moves_the_student_to_its_teachers_distribution(tmp_path: Path) -> None:
    """A student whose records are too large comes nearer in size. Fails if the direction has the wrong sign."""
    of = distillation(
        tmp_path, matching_iters=60, matching_rate=2e-3, critic_rate=2e-3, batch_size=32, ema_decay=0.5
    )
    student, critic = (
        SSSDECG.from_pretrained(tmp_path / "teacher.safetensors", device="cpu").model for _ in range(2)
    )
    with torch.no_grad():
        student.outer_convs[2].bias += 0.3  # type: ignore[union-attr]

    def size(net: Any) -> float:
        x, y = torch.randn(64, 8, LENGTH), of.labels[:1].expand(64, -1)
        t = torch.full((64,), 199)
        with torch.no_grad():
            return float(of.clean(x, net.predict(x, y, t[:, None].float()), t).mean())

    torch.manual_seed(0)
    aim, before = size(of.teacher), size(student)
    stages.match_distributions(of, student, critic, lambda *_: None)
    assert abs(size(student) - aim) < 0.7 * abs(before - aim)


def test_a_student_whose_time_is_up_is_its_teacher(tmp_path: Path) -> None:
    """Fails if a stage begins although the time is up."""
    settings = config(trajectory_iters=10**6, matching_iters=10**6, adversary=1.0, records=10**9)
    path = teacher(tmp_path, settings)
    out = stages.distill(settings, path, labels(), tmp_path / "out", device="cpu", until=0.0)
    one, other = (SSSDECG.from_pretrained(p, device="cpu").model_hash for p in (path, out.path))
    assert one == other and (out.stages, out.of) == (0, 2)


@pytest.mark.parametrize("where", ["a batch of the teacher", "true records"])
def test_the_time_ends_what_takes_long_within_a_stage(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The teacher is asked for a few evaluations only. Fails if a batch of trajectories or of records is made whole."""
    long = {"teacher_steps": 190} | (
        {"trajectory_iters": 5} if where.startswith("a") else {"matching_iters": 5}
    )
    settings = config(**long, adversary=1.0, records=64)
    path, asked = teacher(tmp_path, settings), []

    class Clock:
        @staticmethod
        def monotonic() -> float:
            asked.append(0)
            return float(len(asked))

    monkeypatch.setattr("sssd.training.distill.context.time", Clock)
    out = stages.distill(settings, path, labels(), tmp_path / "out", device="cpu", until=8.0)
    assert (out.stages, out.of) == (0, 1) and 8 < len(asked) < 14


def test_a_distillation_that_was_stopped_goes_on_with_the_next_stage(tmp_path: Path) -> None:
    """It ends with the weights of one that was not. Fails if a stage is run twice, or begins with other noise."""
    settings = config(trajectory_iters=2, matching_iters=2, polish_iters=2, nodes=1)
    path, told = teacher(tmp_path, settings), []
    x = 0.3 * np.random.default_rng(0).standard_normal((40, 8, LENGTH)).astype(np.float32)

    def stop_in_the_last(stage: stages.StageProgress) -> None:
        if stage.name == "fine-tuning":
            raise KeyboardInterrupt

    def distill(folder: str, report: Any = lambda _: None) -> stages.Distilled:
        return stages.distill(
            settings, path, labels(), tmp_path / folder, signal_mv=x, device="cpu", report=report
        )

    whole = distill("whole")
    with pytest.raises(KeyboardInterrupt):
        distill("out", stop_in_the_last)
    resumed = distill("out", told.append)
    assert {stage.name for stage in told} == {"fine-tuning"}
    assert (resumed.stages, resumed.of) == (3, 3)
    assert resumed.path.read_bytes() == whole.path.read_bytes()


@pytest.mark.parametrize("differs", ["config", "teacher", "labels"])
def test_another_distillation_in_the_same_folder_is_refused(differs: str, tmp_path: Path) -> None:
    settings = config(trajectory_iters=1)
    path, drawn = teacher(tmp_path, settings), labels()
    stages.distill(settings, path, drawn, tmp_path / "out", device="cpu")
    if differs == "config":
        settings = config(trajectory_iters=2)
    elif differs == "teacher":
        path = stages.distill(settings, path, drawn, tmp_path / "other", device="cpu").path
    else:
        drawn = 1 - drawn
    with pytest.raises(ValueError, match=f"another {differs}: distil into a new folder"):
        stages.distill(settings, path, drawn, tmp_path / "out", device="cpu")


# --- the discriminator --------------------------------------------------------------------------------------


def network(folder: Path) -> Any:
    return SSSDECG.from_pretrained(folder / "teacher.safetensors", device="cpu").model


def test_a_discriminator_learns_to_tell_records_apart(tmp_path: Path) -> None:
    """It begins without an opinion, finds records with a bump out, and leads them away from it. Fails if pairs are
    turned round, a record is not beside one of its own labels, or the gradient is the adversary's own."""
    of = distillation(tmp_path, batch_size=16, adversary_penalty=1.0)
    torch.manual_seed(1)
    discriminator, y = stages.Discriminator(network(tmp_path), of), torch.from_numpy(labels(16))
    bump = torch.zeros(LENGTH)
    bump[20:30] = 0.5

    def pair() -> tuple[torch.Tensor, torch.Tensor]:
        true, made = 0.25 * torch.randn(2, 16, 8, LENGTH)
        return true, made + bump

    assert discriminator_loss(discriminator, of, *pair(), y).item() == pytest.approx(np.log(2), abs=1e-6)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-3)
    for _ in range(60):
        optimizer.zero_grad()
        discriminator_loss(discriminator, of, *pair(), y).backward()
        optimizer.step()
    assert float(discriminator_loss(discriminator, of, *pair(), y)) < 0.35
    true, made = pair()
    gradient = adversarial_gradient(discriminator, of, true, made, y)
    inside, outside = gradient[..., 20:30].mean(), gradient[..., 40:].mean()
    assert inside > 0 and inside > 3 * outside.abs() and discriminator.features[0].weight.requires_grad


def test_records_are_compared_within_their_group(tmp_path: Path) -> None:
    """Alike records get another verdict than unlike ones, and it is not changed by those beside them. Fails if groups
    span the true and the made, or only each record alone is seen."""
    of = distillation(tmp_path, batch_size=16)
    discriminator, y = stages.Discriminator(network(tmp_path), of), torch.from_numpy(labels(1)).repeat(16, 1)
    with torch.no_grad():
        for layer in discriminator.of_group:
            layer.weight.fill_(1.0)
    unlike = 0.25 * torch.randn(16, 8, LENGTH)
    alike, t = unlike[:1].repeat(16, 1, 1), torch.zeros(16, 1)
    together = discriminator(torch.cat((unlike, alike)), y.repeat(2, 1), t.repeat(2, 1))
    torch.testing.assert_close(together[16:], discriminator(alike, y, t))
    assert (together[:16] > together[16:] + 0.1).all()


def test_the_penalty_is_on_verdicts_that_noise_changes(tmp_path: Path) -> None:
    """Fails if it is left out, or falls on the distance of the two kinds."""
    plain, strict = (distillation(tmp_path, batch_size=16, adversary_penalty=p) for p in (0.0, 1e3))
    discriminator, y = stages.Discriminator(network(tmp_path), plain), torch.from_numpy(labels(16))
    with torch.no_grad():
        for layer in discriminator.of_samples:
            layer.weight.normal_(std=30.0)
    true, made = 0.25 * torch.randn(2, 16, 8, LENGTH)
    losses = []
    for of in (plain, strict):
        torch.manual_seed(2)
        losses.append(float(discriminator_loss(discriminator, of, true, made, y)))
    assert losses[1] > losses[0] + 1e-3


def test_records_of_the_teacher(tmp_path: Path) -> None:
    """Those of DDIM with eta 1, with the labels they were made for. Fails if the last batch is lost."""
    of = distillation(tmp_path, records=70)
    told: list[int] = []
    made = stages.make_true_records(of, lambda n, _: told.append(n))
    assert len(made.x) == len(made.y) == 128 and told == [64, 70]
    table = ddim(of.schedule, choose_steps(of.schedule, 50), 1.0)
    x = SSSDECG.from_pretrained(tmp_path / "teacher.safetensors", device="cpu").generate_batch(
        made.y[:64].numpy(), [3] * 64, range(64), table
    )
    scale = torch.tensor(of.config.trainset_config.lead_scale_mv)[:, None]
    ratio = made.x.float().std(dim=(0, 2)) / (x / scale).float().std(dim=(0, 2))
    torch.testing.assert_close(ratio, torch.ones(8, dtype=ratio.dtype), rtol=0.1, atol=0)


def test_recordings_among_the_true_records(tmp_path: Path) -> None:
    """A share of them, each beside its own labels. Fails if labels are of other rows, or all are the teacher's."""
    of = distillation(tmp_path, records=64, adversary=1.0, adversary_recordings=0.25)
    x = torch.arange(len(of.labels)).float()[:, None, None].expand(-1, 8, LENGTH)
    made = stages.make_true_records(of, lambda *_: None, x)
    assert len(made.x) == len(made.y) == 64
    rows = made.x[:16, 0, 0].long()
    assert torch.equal(made.x[:16].float(), x[rows]) and (made.x[16:].float().std(-1) > 0).all()
    K = len(CODES)
    torch.testing.assert_close(made.y[:16, :K], of.labels[rows, :K])
    settings = config(matching_iters=1, adversary=1.0, adversary_recordings=1.0, records=8, batch_size=4)
    path, out, y = teacher(tmp_path, settings), tmp_path / "out", labels()
    with pytest.raises(ValueError, match="give them"):
        stages.distill(settings, path, y, out, device="cpu")
    with pytest.raises(ValueError, match=r"expected \(40, 8, 64\)"):
        stages.distill(settings, path, y, out, signal_mv=x[:39].numpy(), device="cpu")
    with pytest.raises(ValueError, match="needs an adversary"):
        config(adversary_recordings=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("share, nearer", [(0.0, False), (4.0, True)])
def test_a_discriminator_leads_the_student_to_the_true_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, nearer: bool
) -> None:
    """Records that the teacher's denoiser does not know of, 0.5 higher: only a discriminator moves the student there.
    Fails if it reads other records than it is given."""
    monkeypatch.setattr("sssd.training.distill.dmd.HEADSTART", 20)
    of = distillation(
        tmp_path, nodes=1, matching_iters=80, matching_rate=2e-3, critic_rate=1e-3, critic_steps=1, batch_size=16,
        ema_decay=0.5, adversary=share, adversary_rate=2e-3, adversary_penalty=1.0, records=64,
    )  # fmt: skip
    student, critic = network(tmp_path), network(tmp_path)
    torch.manual_seed(1)
    made = stages.make_true_records(of, lambda *_: None)
    shifted = stages.TrueRecords((made.x.float() + 0.5).half(), made.y)
    discriminator = stages.Discriminator(network(tmp_path), of) if share else None

    def height() -> float:
        torch.manual_seed(9)
        x, t = torch.randn(64, 8, LENGTH), torch.full((64,), 199)
        with torch.no_grad():
            return float(of.clean(x, student.predict(x, made.y[:64], t[:, None].float()), t).mean())

    before = height()
    stages.match_distributions(
        of, student, critic, lambda *_: None, discriminator, shifted if share else None
    )
    assert (height() > before + 0.03) == nearer


@pytest.mark.parametrize("weight, told", [(0.0, False), (3.0, True)])
def test_the_loss_on_beats_leads_the_student(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weight: float, told: bool
) -> None:
    """It is asked about the true records and the student's, and the student follows. Fails if it is left out."""
    of = distillation(
        tmp_path, nodes=1, matching_iters=60, matching_rate=1e-3, critic_steps=1, batch_size=16, ema_decay=0.5,
        adversary=0.01, beats=weight, records=64,
    )  # fmt: skip
    monkeypatch.setattr("sssd.training.distill.dmd.HEADSTART", 0)
    heights: list[float] = []

    def pull(true: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
        heights.append(float(made.detach().mean()))
        return ((made - true - 0.5) ** 2).mean() / 0.0625

    monkeypatch.setattr("sssd.training.distill.dmd.feature_distance", pull)
    torch.manual_seed(0)
    records = stages.make_true_records(of, lambda *_: None)
    discriminator = stages.Discriminator(network(tmp_path), of)
    stages.match_distributions(
        of, network(tmp_path), network(tmp_path), lambda *_: None, discriminator, records
    )
    assert (len(heights) == 60 and heights[-1] > heights[0] + 0.2) == told


@pytest.mark.parametrize("anchor, low, high", [(0.0, 0.15, 1.0), (1e4, -0.05, 0.05)])
def test_fine_tuning_brings_records_near_recordings(
    tmp_path: Path, anchor: float, low: float, high: float
) -> None:
    """Recordings twice as high as what the student makes: it follows, and stays where the anchor is strong. Fails if
    the anchor is on other noise, or the loss compares the student with itself."""
    of = distillation(tmp_path, nodes=1, polish_iters=60, polish_rate=2e-3, anchor=anchor, batch_size=32)
    student, x, t = network(tmp_path), torch.randn(64, 8, LENGTH), torch.full((64,), 199)

    def made() -> torch.Tensor:
        with torch.no_grad():
            return of.clean(x, student.predict(x, of.labels[:40].repeat(2, 1)[:64], t[:, None].float()), t)

    before, told = made(), []
    torch.manual_seed(0)
    stages.fine_tune(of, student, 2.0 * before[:40], lambda n, _: told.append(n))
    grown = float(torch.log2(made().std(-1).median() / before.std(-1).median()))
    assert low < grown < high and told == list(range(1, 61))


def test_fine_tuning_needs_recordings_and_one_node(tmp_path: Path) -> None:
    """And the weights that are kept lie `share` of its way. Fails if either is not asked, or share is left out."""
    with pytest.raises(ValueError, match="for nodes 1 only"):
        config(polish_iters=1)
    y, x = labels(), 0.3 * np.random.default_rng(0).standard_normal((40, 8, LENGTH)).astype(np.float32)
    path, found = teacher(tmp_path, config()), {}
    with pytest.raises(ValueError, match="polish_iters is 2, which needs recordings"):
        stages.distill(config(polish_iters=2, nodes=1), path, y, tmp_path / "out", device="cpu")
    for share in (0.5, 1.0):
        settings = config(polish_iters=12, polish_rate=2e-2, nodes=1, share=share)
        out = stages.distill(settings, path, y, tmp_path / str(share), signal_mv=x, device="cpu").path
        found[share] = SSSDECG.from_pretrained(out, device="cpu").model
    first = SSSDECG.from_pretrained(path, device="cpu").model
    for p, half, whole in zip(*(net.parameters() for net in (first, found[0.5], found[1.0])), strict=True):
        torch.testing.assert_close(half, (p + whole) / 2, atol=2e-3, rtol=1e-2)
    pairs = zip(first.parameters(), found[1.0].parameters(), strict=True)
    assert any((p - q).abs().max() > 2e-2 for p, q in pairs)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_stages_with_a_discriminator_on_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled, recorded as graphs, replayed more often than they warm up. Fails where one cannot be recorded, or
    what it learns is not finite."""
    monkeypatch.setattr("sssd.training.distill.dmd.HEADSTART", 8)
    settings = config(
        matching_iters=16,
        adversary=1.0,
        beats=1.0,
        records=64,
        batch_size=16,
        nodes=1,
        share=1.0,
        polish_iters=16,
    )
    path, told = teacher(tmp_path, settings), []
    x = 0.3 * np.random.default_rng(0).standard_normal((40, 8, LENGTH)).astype(np.float32)
    out = stages.distill(
        settings, path, labels(), tmp_path / "out", signal_mv=x, device="cuda", report=told.append
    ).path
    assert np.isfinite(told[-1].loss) and (told[-1].name, told[-1].iteration) == ("fine-tuning", 16)
    one, other = (SSSDECG.from_pretrained(p, device="cpu") for p in (path, out))
    assert one.model_hash != other.model_hash
    assert all(torch.isfinite(p).all() for p in other.model.parameters())


# --- the command --------------------------------------------------------------------------------------------


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One command distils and calibrates a checkpoint; the student brings its own sampling. Fails if it keeps the
    teacher's, or looks at other folds than 1 to 8 for its amplitudes."""
    settings = config()
    path = teacher(tmp_path, settings)
    n = 12
    x = np.random.default_rng(0).normal(0, 200, (n, 12, LENGTH))
    x[10:] *= 50
    x[:, 11] = 0  # V6
    data = Recordings(
        x.astype(np.int16), labels(n).astype(np.uint8), CODES, strat_fold=np.repeat([3, 9], [10, 2])
    )
    write(tmp_path / "signals.npz", data)
    recipe = tmp_path / "recipe.json"
    recipe.write_text(
        '{"ddim_config": {"sampler": "consistency", "ddim_timesteps": 2}, "distill_config": {"nodes": 2, '
        '"batch_size": 4, "teacher_steps": 3, "trajectory_iters": 2, "matching_iters": 1}}'
    )
    command = ["distill", "--teacher", str(path), "--data", str(tmp_path / "signals.npz"), "--device", "cpu"]
    command += ["--config", str(recipe), "--out", str(tmp_path / "few")]
    assert main([*command, "--max-minutes", "0"]) == 0
    assert "the time was up after 0 of 2 stages; the same command goes on" in capsys.readouterr().out
    assert main(command) == 0
    assert "for 2, 1 evaluations" in capsys.readouterr().out
    assert [file.name for file in (tmp_path / "few").iterdir()] == ["model.safetensors"]
    few = SSSDECG.from_pretrained(tmp_path / "few" / "model.safetensors", device="cpu")
    table = few.step_table()
    assert (table.name, table.steps.tolist()) == ("consistency", [199, 99])
    gains = few.config.ddim_config.gains
    assert set(gains) == {"consistency2", "consistency1"} and table.gain.tolist() == gains["consistency2"]
    made = few.generate(data.labels[:10].astype(np.float32), seed=0, return_numpy=True)
    sizes, aim = np.median(made.std(axis=-1), axis=0), np.median(x[:10].std(axis=-1), axis=0) / 1000
    np.testing.assert_allclose(sizes[[0, 1, 2, 3, 4, 5, 7]], aim[[0, 6, 7, 8, 9, 10, 5]], rtol=1e-2)
    assert gains["consistency2"][6] == 1.0
    assert main(command) == 2  # nothing is overwritten
    assert "exists" in capsys.readouterr().err


def test_the_command_with_recordings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adversary sees those of folds 1 to 8, and polish goes on from there. Fails if it sees others, recordings at
    another rate are taken, or what is no student of one evaluation is polished."""
    monkeypatch.setattr("sssd.training.distill.dmd.HEADSTART", 1)
    seen: list[torch.Tensor] = []
    make = stages.make_true_records

    def watched(of: stages.Distillation, tell: Any, recordings: torch.Tensor) -> stages.TrueRecords:
        seen.append(recordings)
        return make(of, tell, recordings)

    monkeypatch.setattr("sssd.training.distill.make_true_records", watched)
    path, n = teacher(tmp_path, config()), 12
    x = np.random.default_rng(0).normal(0, 200, (n, 12, LENGTH)).astype(np.int16)
    y, fold = labels(n).astype(np.uint8), np.repeat([3, 9], [10, 2])
    write(tmp_path / "signals.npz", Recordings(x, y, CODES, strat_fold=fold))
    write(tmp_path / "fast.npz", Recordings(x, y, CODES, fs_hz=500.0, strat_fold=fold))
    recipe = tmp_path / "recipe.json"
    recipe.write_text(
        '{"ddim_config": {"sampler": "consistency", "ddim_timesteps": 1}, "distill_config": {"nodes": 1, '
        '"batch_size": 4, "trajectory_iters": 0, "matching_iters": 2, "records": 8, "adversary": 1, '
        '"adversary_recordings": 1}}'
    )
    command = ["distill", "--teacher", str(path), "--device", "cpu", "--config", str(recipe)]
    assert main([*command, "--data", str(tmp_path / "signals.npz"), "--out", str(tmp_path / "one")]) == 0
    assert "for 1 evaluation\n" in capsys.readouterr().out
    scale = np.array(config().trainset_config.lead_scale_mv)[:, None]
    expected = x[:10][:, [0, 6, 7, 8, 9, 10, 11, 5]] / 1000 / scale
    np.testing.assert_allclose(seen[0].numpy(), expected, rtol=1e-5)
    assert main([*command, "--data", str(tmp_path / "fast.npz"), "--out", str(tmp_path / "two")]) == 2
    assert "64 samples at 500 Hz" in " ".join(capsys.readouterr().err.split())
    recipe.write_text(
        '{"ddim_config": {"sampler": "consistency", "ddim_timesteps": 1}, "distill_config": {"nodes": 1, '
        '"batch_size": 4, "trajectory_iters": 0, "matching_iters": 0, "polish_iters": 2}}'
    )
    command += ["--data", str(tmp_path / "signals.npz"), "--out", str(tmp_path / "fine")]
    assert main(command) == 2 and main([*command, "--init", str(path)]) == 2
    assert capsys.readouterr().err.count("polish fine-tunes a student of one evaluation") == 2
    assert main([*command, "--init", str(tmp_path / "one" / "model.safetensors")]) == 0
    assert (tmp_path / "fine" / "model.safetensors").exists()


def test_the_recipe_that_ships_and_what_is_refused(tmp_path: Path) -> None:
    path = teacher(tmp_path, config())
    assert student_of(path, None).distill_config.nodes == 4  # type: ignore[union-attr]
    recipe = tmp_path / "recipe.json"
    recipe.write_text("{}")
    with pytest.raises(ValueError, match="has no distill_config"):
        student_of(path, recipe)
    published = Config.model_validate({**config().model_dump(), "diffusion_config": {}})
    torch.manual_seed(0)
    eps = save_model(tmp_path / "eps.safetensors", build_network(published), published)
    with pytest.raises(ValueError, match="only networks that predict the velocity"):
        stages.distill(published, eps, labels(), tmp_path / "out", device="cpu")


def test_what_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each in one line with exit code 2. Fails if labels are compared by number, or a student is distilled again."""
    path = teacher(tmp_path, config())
    student = stages.distill(config(), path, labels(), tmp_path / "student", device="cpu").path
    names = ("A", *CODES[1:])
    n = 4
    data = Recordings(
        np.zeros((n, 12, LENGTH), np.int16), labels(n).astype(np.uint8), names, strat_fold=np.full(n, 3)
    )
    other = str(write(tmp_path / "other.npz", data))

    def said(*arguments: str) -> str:
        assert main(list(arguments)) == 2
        return capsys.readouterr().err

    asked = ["distill", "--device", "cpu", "--data", other, "--out", str(tmp_path / "few"), "--teacher"]
    assert "give the data that it was trained on" in said(*asked, str(path))
    assert "was distilled already" in said(*asked, str(student))
    train = ["train", "--data", other, "--out", str(tmp_path / "run")]
    assert "was distilled: fine-tune the network" in said(*train, "--init", str(student))
    assert "describes no network: give --init" in said(*train, "--config", "guided")


def test_a_recipe_without_sampling_takes_the_packages(tmp_path: Path) -> None:
    """Fails if the student would be sampled by DDIM in 50 steps."""
    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"distill_config": {"nodes": 2}}')
    source = config()
    plain = source.model_copy(update={"ddim_config": Config().ddim_config})
    made = student_of(teacher(tmp_path, plain), recipe)
    assert (made.ddim_config.sampler, made.distill_config.nodes) == ("consistency", 2)  # type: ignore[union-attr]
