"""Few-step students of a transformer: nodes, conditions, the discriminator, both stages, and the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sssd import SSSDECG
from sssd.checkpoints import state_hash
from sssd.circumstances import BANDWIDTH
from sssd.cli import main
from sssd.cli.distill import student_of
from sssd.config.schema import DEFAULT, Config, read_config
from sssd.models.transformer import Transformer
from sssd.sampling import Sampling, nodes_for
from sssd.training.checkpoint import LAST, save_model
from sssd.training.distill import distill
from sssd.training.distill import run as running
from sssd.training.distill.adversary import Discriminator, adversarial_gradient, discriminator_loss
from sssd.training.distill.context import Distillation
from sssd.training.distill.dmd2 import Critic, Pool, match_recordings, visits
from sssd.training.distill.run import StageProgress
from sssd.training.distill.trajectories import follow_trajectories
from sssd.training.network import training_net

from .test_transformer import LENGTH, data, random_net, recordings, tiny

ROOT = Path(__file__).parents[1]
FEW = DEFAULT.with_name("few-step.json")
CPU = torch.device("cpu")
CLASSES = 75


def config(length: int = LENGTH, **distilled: Any) -> Config:
    few = read_config(FEW)
    assert few.distill_config is not None
    small = {"batch_size": 8, "teacher_steps": 6, "trajectory_iters": 4, "matching_iters": 2}
    content = tiny(length).model_dump() | {"ddim_config": few.ddim_config.model_dump()}
    content["distill_config"] = few.distill_config.model_dump() | small | distilled
    return Config.model_validate(content)


def labels(n: int = 40) -> np.ndarray:
    return data(n).labels.astype(np.float32)


def teacher(folder: Path, length: int = LENGTH) -> Path:
    own = tiny(length)
    return save_model(folder / "teacher.safetensors", random_net(own), own)


def distillation(settings: Config | None = None) -> Distillation:
    return Distillation(settings or config(), random_net(), torch.from_numpy(labels()))


@pytest.fixture(autouse=True)
def short_headstart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sssd.training.distill.dmd2.HEADSTART", 2)


# --- nodes --------------------------------------------------------------------------------------------------


def test_one_student_is_sampled_at_its_nodes_for_every_number_of_evaluations() -> None:
    """Broken by nodes that are not those of training, or by a sampling that changes when it is resolved again."""
    model = SSSDECG(config(), device="cpu")
    nodes = read_config(FEW).ddim_config.nodes
    assert nodes is not None
    for evaluations, expected in ((1, nodes[:1]), (2, [nodes[0], nodes[2]]), (4, nodes)):
        assert model.step_table(steps=evaluations).steps.tolist() == expected
    assert model.step_table().steps.tolist() == nodes
    chosen = Sampling.of(steps=2).resolve(model.config)
    assert chosen.resolve(model.config) == chosen
    assert model.step_table(steps=2, spacing="trailing").steps.tolist() == [199, 99]
    assert len(model.step_table(steps=8).steps) == 8


def test_the_nodes_that_ship_lie_where_records_are_decided() -> None:
    """As noise over signal, about 100, 6, 1.6 and 0.3; broken by steps of another schedule."""
    model = SSSDECG(config(), device="cpu")
    at = model.step_table().steps
    np.testing.assert_allclose(
        model.schedule.sigma[at] / model.schedule.alpha[at], [100, 6, 1.6, 0.3], rtol=0.02
    )


@pytest.mark.parametrize(
    "nodes, message", [([50, 90], "decreasing"), ([200, 3], "below 200"), ([9, 3], "as many")]
)
def test_nodes_that_cannot_be(nodes: list[int], message: str) -> None:
    content = config().model_dump()
    content["ddim_config"]["nodes"] = nodes
    with pytest.raises(ValueError, match=message):
        Config.model_validate(content)


@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 8])
def test_each_run_of_a_pool_visits_the_nodes_of_one_number_of_evaluations(nodes: int) -> None:
    """Broken by a run that generation does not make."""
    found = visits(nodes)
    starts = [i for i, node in enumerate(found) if node == 0]
    runs = [found[i:j] for i, j in zip(starts, [*starts[1:], len(found)], strict=True)]
    assert runs[0] == list(range(nodes))
    for run in runs:
        assert run == nodes_for(range(nodes), len(run)).tolist()
    assert (
        sorted(map(len, runs), reverse=True)
        == [n for n in (8, 4, 3, 2, 1) if n <= nodes and nodes % n == 0][: len(runs)]
    )


def test_records_go_through_their_nodes() -> None:
    """At each node a row is its prediction, noised for that node; broken by labels that change on the way."""
    run = distillation()
    y, true = run.drawn(0, 8, 7)[1], torch.zeros(8, 8, LENGTH)
    pool, other = Pool(run, y, true), run.drawn(1, 8, 7)[1]
    assert pool.node.tolist() == [0, 1, 2, 3, 0, 2, 0, 1]
    truth = torch.full((8, 8, LENGTH), 3.0)
    for _ in range(6):
        pool.advance(truth, other, true + 1)
        alpha, fresh = run.levels.alpha[pool.t], pool.node == 0
        mean = pool.x.mean((1, 2))
        error = run.levels.sigma[pool.t] * 5 / (8 * LENGTH) ** 0.5
        assert ((mean - torch.where(fresh, 0.0, 3.0 * alpha)).abs() < error).all()
        assert torch.equal(pool.y[fresh], other[fresh]) and (pool.true[fresh] == 1).all()
    assert pool.node.tolist() == [0, 1, 2, 3, 0, 2, 0, 1] and torch.equal(pool.y, other)


# --- conditions ---------------------------------------------------------------------------------------------


def test_students_are_given_conditions_as_at_generation() -> None:
    """Circumstances near rows of the table, each row about equally often; broken by those that are unknown."""
    run = distillation()
    rows, y = run.drawn(3, 400, 7)
    assert torch.equal(y[:, :71], run.labels[rows, :71]) and (y[:, CLASSES] == 0).all()
    assert (y[:, CLASSES + 1] == 1).all()
    table = run.teacher.get_buffer("circumstances").float()
    distance = torch.cdist(y[:, CLASSES + 2 :], table)
    nearest = distance.min(1)
    assert float(nearest.values.mean()) == pytest.approx(4 * BANDWIDTH, rel=0.05)
    assert torch.bincount(nearest.indices, minlength=len(table)).min() > 25
    age = y[:, 71].mean()
    assert 0.4 < float(age) < 0.6


def test_processes_share_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two halves are the whole; broken by processes that draw the same records."""
    rows, y = distillation().drawn(5, 8, 7)
    monkeypatch.setattr("sssd.training.distill.context.processes", lambda: 2)
    halves = []
    for number in (0, 1):
        monkeypatch.setattr("sssd.training.distill.context.rank", lambda number=number: number)
        run = distillation()
        assert run.batch == 4
        halves.append(run.drawn(5, 4, 7))
    assert torch.equal(torch.cat([half[0] for half in halves]), rows)
    assert torch.equal(torch.cat([half[1] for half in halves]), y)


def test_training_sees_weights_that_were_not_counted() -> None:
    """Without gradients too, where generation keeps weights; broken by a wrapper that keeps them."""
    net = random_net()
    wrapped = training_net(net, LENGTH, "bf16", CPU)
    x, cond, steps = torch.randn(2, 8, LENGTH), torch.rand(2, CLASSES), torch.full((2, 1), 40.0)
    with torch.no_grad():
        before = wrapped(x, cond, steps)
        for p in net.hidden:
            p.data.mul_(-1.0)
        after = wrapped(x, cond, steps)
        net.forget()
        assert torch.equal(after, wrapped(x, cond, steps)) and not torch.equal(before, after)


# --- the discriminator --------------------------------------------------------------------------------------


def opinionated(run: Distillation) -> Discriminator:
    torch.manual_seed(2)
    discriminator = Discriminator(random_net(), run)
    with torch.no_grad():
        for name, p in discriminator.named_parameters():
            if name.startswith("of_"):
                p.normal_()
    return discriminator


def test_a_discriminator_learns_to_tell_records_apart() -> None:
    """It begins without an opinion, finds records with a bump out, and leads them away from it. Broken if pairs are
    turned round, or the gradient is its own."""
    run = distillation(config(batch_size=16, adversary_penalty=1.0))
    torch.manual_seed(1)
    discriminator, (_, y) = Discriminator(random_net(), run), run.drawn(0, 16, 7)
    node = torch.arange(16) % 4
    bump = torch.zeros(LENGTH)
    bump[30:50] = 0.5

    def pair() -> tuple[torch.Tensor, torch.Tensor]:
        true, made = 0.3 * torch.randn(2, 16, 8, LENGTH)
        return true, made + bump

    assert discriminator_loss(discriminator, run, *pair(), y, node).item() == pytest.approx(
        np.log(2), abs=1e-6
    )
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=3e-3)
    for _ in range(80):
        optimizer.zero_grad()
        discriminator_loss(discriminator, run, *pair(), y, node).backward()
        optimizer.step()
    with torch.no_grad():
        assert float(discriminator_loss(discriminator, run, *pair(), y, node)) < 0.4
    gradients = [adversarial_gradient(discriminator, run, *pair(), y, node) for _ in range(20)]
    gradient = torch.cat(gradients)
    assert gradient[..., 30:50].mean() > 1.5 * gradient[..., 60:].mean().abs()
    assert discriminator.features[0].weight.requires_grad


def test_a_discriminator_is_told_nodes_and_not_circumstances() -> None:
    """Broken by conditions that give a record away, or by nodes that it cannot tell apart."""
    run = distillation()
    discriminator, (_, y) = opinionated(run), run.drawn(0, 8, 7)
    x, steps = 0.3 * torch.randn(8, 8, discriminator.window), torch.zeros(8, 1)
    node = torch.zeros(8, dtype=torch.long)
    with torch.no_grad():
        before = discriminator(x, y, node, steps)
        others = y.clone()
        others[:, -17:] = run.drawn(1, 8, 7)[1][:, -17:].flip(1)
        torch.testing.assert_close(discriminator(x, others, node, steps), before)
        assert (discriminator(x, y, node + 1, steps) - before).abs().min() > 1e-4
        y[:, 3] = 1 - y[:, 3]
        assert (discriminator(x, y, node, steps) - before).abs().min() > 1e-4


def test_a_discriminator_reads_windows_of_what_was_recorded() -> None:
    """Beginning anywhere, ending before the last 1 % of a record; broken by windows that are all alike."""
    run = distillation()
    discriminator = Discriminator(random_net(), run)
    x = torch.arange(LENGTH).float().expand(2000, 8, -1)
    seen = discriminator.windows(x)
    assert seen.shape[-1] == discriminator.window and discriminator.window % 8 == 0
    assert (seen.diff(dim=-1) == 1).all()
    assert int(seen.min()) == 0 and int(seen.max()) == int(0.99 * LENGTH) - 1
    assert torch.bincount(seen[:, 0, 0].long()).min() > 0


def test_records_that_are_all_alike_are_found_out() -> None:
    """Broken by a discriminator that sees one record at a time."""
    run = distillation(config(batch_size=16))
    discriminator, y = opinionated(run), run.drawn(0, 16, 7)[1][:1].repeat(16, 1)
    unlike = 0.3 * torch.randn(16, 8, discriminator.window)
    alike, zero = unlike[:1].repeat(16, 1, 1), torch.zeros(16, dtype=torch.long)
    steps = torch.zeros(16, 1)
    with torch.no_grad():
        together, alone = discriminator(unlike, y, zero, steps), discriminator(alike, y, zero, steps)
    assert (together[0] - alone[0]).abs() > 1e-3


# --- the stages ---------------------------------------------------------------------------------------------


def ends(net: Transformer, run: Distillation, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    t = run.nodes[:1].expand(len(x))
    with torch.no_grad():
        return run.clean(x, net.predict(x, y, t[:, None].float()), t)


def test_following_trajectories_shortens_the_way() -> None:
    """The loss falls, and one evaluation ends nearer to where the guided teacher ends."""
    run = distillation(config(trajectory_iters=120, learning_rate=3e-3, batch_size=16, ema_decay=0.5))
    student = random_net()
    losses: list[float] = []
    follow_trajectories(run, student, lambda _, loss: losses.append(float(loss)))
    assert len(losses) == 120 and np.mean(losses[-20:]) < 0.8 * np.mean(losses[:20])
    x, (_, y) = torch.randn(16, 8, LENGTH), run.drawn(9, 16, 5)
    _, end = run.trajectories(y, x)
    teacher_net = run.teacher
    assert isinstance(teacher_net, Transformer)
    before, after = ((ends(net, run, x, y) - end).norm() for net in (teacher_net, student))
    assert after < 0.9 * before


def test_guidance_of_the_teacher_keeps_circumstances() -> None:
    """Broken when zeros stand for left-out statements, or circumstances are left out too."""
    run = distillation(config(guidance=[[0, 2.0], [3.0, 3.0]]))
    plain, net = distillation(config(guidance=1.0)), run.teacher
    x, (_, y) = torch.randn(3, 8, LENGTH), run.drawn(0, 3, 7)
    for row, strength in enumerate((3, 2)):  # steps 110 and 80, at a noise of 4.8 and 1.1
        conditional = plain.guided(y, [110, 80])(x, row)
        without = plain.guided(net.unconditional(y), [110, 80])(x, row)
        expected = without + strength * (conditional - without)
        torch.testing.assert_close(run.guided(y, [110, 80])(x, row), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_discriminator_leads_the_student_to_recordings() -> None:
    """Recordings 0.5 higher than the teacher's records: only they say so. Broken by a gradient of the wrong sign."""
    run = distillation(
        config(matching_iters=100, matching_rate=3e-3, critic_rate=1e-3, adversary_rate=3e-3, adversary=4.0,
               critic_steps=1, batch_size=16, ema_decay=0.5, adversary_penalty=1.0)
    )  # fmt: skip
    student, x = random_net(), torch.randn(64, 8, LENGTH)
    y = run.drawn(50, 64, 7)[1]
    before = ends(student, run, x, y)
    torch.manual_seed(0)
    true = before[:40] + 0.5
    nets = student, Critic(random_net(), run), Discriminator(random_net(), run)
    match_recordings(run, *nets, true, lambda *_: None)
    assert float((ends(student, run, x, y) - before).mean()) > 0.05


def test_a_critic_knows_the_records_of_each_node() -> None:
    """Records of node 0 are high and those of node 1 low; broken by a critic that knows their mean only."""
    run = distillation()
    net = random_net()
    critic, (_, y) = Critic(net, run), run.drawn(0, 8, 7)
    x, steps, node = torch.randn(8, 8, LENGTH), torch.full((8, 1), 150.0), torch.arange(8) % 2
    with torch.no_grad():
        torch.testing.assert_close(critic(x, y, node, steps), net.predict(x, y, steps))
    y, high = y[:1].expand(8, -1), torch.where(node == 0, 1.0, -1.0)[:, None, None]
    optimizer = torch.optim.Adam(critic.parameters(), lr=3e-3)
    for _ in range(60):  # of new noise each time, so that only the node tells
        optimizer.zero_grad()
        (critic(torch.randn_like(x), y, node, steps) - high).square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        found, swapped = critic(x, y, node, steps), critic(x, y, 1 - node, steps)
    assert (found * high).mean() > (swapped * high).mean() + 0.1


def test_a_student_as_likely_as_its_teacher_is_moved_by_recordings_only() -> None:
    """Guidance does not count here. Broken if the denoisers see other noise, levels or conditions."""
    losses = []
    for guidance, other in ((1.0, 0.0), (2.0, 0.0), (1.0, 0.1)):
        run = distillation(config(matching_iters=1, guidance=guidance, critic_rate=1e-12))
        fake = random_net()
        with torch.no_grad():
            fake.last.bias += other
        nets = random_net(), Critic(fake, run), Discriminator(random_net(), run)
        match_recordings(run, *nets, torch.randn(40, 8, LENGTH), lambda _, loss: losses.append(float(loss)))
    assert max(losses[:2]) < 1e-8 < 1e-6 < losses[2]


# --- the run ------------------------------------------------------------------------------------------------


def distilled(settings: Config, folder: Path, told: list[StageProgress] | None = None, **more: Any) -> Path:
    path = folder / "teacher.safetensors"
    if not path.exists():
        teacher(folder)
    told = [] if told is None else told
    x = data(40)
    done = distill(
        settings,
        path,
        labels(),
        folder / "out",
        signal_mv=x.signal_mv,
        device="cpu",
        report=told.append,
        **more,
    )
    assert done.path == folder / "out" / "model.safetensors" and done.of == 2
    assert done.stages == (0 if more.get("until") == 0.0 else 2)
    return done.path


def test_one_run_gives_a_student_for_one_two_and_four_evaluations(tmp_path: Path) -> None:
    model = SSSDECG.from_pretrained(distilled(config(), tmp_path), device="cpu")
    made = [model.generate("NORM", steps=n, seed=0, return_numpy=True) for n in (1, 2, 4)]
    assert all(np.isfinite(x).all() and x.std() > 0 for x in made)
    assert np.abs(made[0] - made[1]).max() > 1e-3 < np.abs(made[1] - made[2]).max()
    assert (
        model.model_hash != SSSDECG.from_pretrained(tmp_path / "teacher.safetensors", device="cpu").model_hash
    )
    assert np.array_equal(model.generate("NORM", seed=0, return_numpy=True), made[2])


def test_a_transformer_without_circumstances_is_distilled(tmp_path: Path) -> None:
    """Its conditions have fewer columns. Broken where those of labels are taken for all of them."""
    few, own = config(), tiny()
    plain = own.transformer_config.model_copy(update={"circumstances": 0})  # type: ignore[union-attr]
    few, own = (one.model_copy(update={"transformer_config": plain}) for one in (few, own))
    save_model(tmp_path / "teacher.safetensors", random_net(own), own)
    assert (
        SSSDECG.from_pretrained(distilled(few, tmp_path), device="cpu")
        .generate("NORM", seed=0)
        .isfinite()
        .all()
    )


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("stage, first", [(0, 4), (1, 2)])
def test_a_run_goes_on_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: int, first: int
) -> None:
    """From the last state on disk; broken by a stage that begins again, or is left out."""
    monkeypatch.setattr(running, "SAVED", 2)
    monkeypatch.setattr(running, "REPORTED", 1)
    settings = config(trajectory_iters=6, matching_iters=4)
    before: list[StageProgress] = []

    class Listener(list[StageProgress]):
        def append(self, one: StageProgress) -> None:
            before.append(one)
            if (one.name, one.iteration) == (running.STAGES[stage], first + 1):
                raise Interrupted

    with pytest.raises(Interrupted):
        distilled(settings, tmp_path, Listener())
    state = torch.load(tmp_path / "out" / LAST, weights_only=True)
    assert (state["stage"], state["iteration"]) == (stage, first)
    after: list[StageProgress] = []
    path = distilled(settings, tmp_path, after)
    expected = [(0, n) for n in range(1, 7)] + [(1, n) for n in range(1, 5)]
    told = [(running.STAGES.index(one.name), one.iteration) for one in after]
    assert told == expected[expected.index((stage, first)) + 1 :]
    assert after[-1].seconds > before[-1].seconds
    once = SSSDECG.from_pretrained(path, device="cpu").model_hash
    again: list[StageProgress] = []
    assert SSSDECG.from_pretrained(distilled(settings, tmp_path, again), device="cpu").model_hash == once
    assert not again
    with pytest.raises(ValueError, match="of a run with another config"):
        distilled(config(trajectory_iters=7), tmp_path)
    (tmp_path / "out" / LAST).write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is no state of a distillation"):
        distilled(settings, tmp_path)


def test_a_run_whose_time_is_up_writes_what_it_has(tmp_path: Path) -> None:
    """Broken if a stage begins although the time is up, or the same call does not go on."""
    settings = config()
    path = distilled(settings, tmp_path, until=0.0)
    hashes = [
        SSSDECG.from_pretrained(p, device="cpu").model_hash for p in (path, tmp_path / "teacher.safetensors")
    ]
    assert hashes[0] == hashes[1]
    told: list[StageProgress] = []
    assert SSSDECG.from_pretrained(distilled(settings, tmp_path, told), device="cpu").model_hash != hashes[0]
    assert [one.iteration for one in told] == [4, 2]


@pytest.mark.parametrize(
    "given, message",
    [
        ({"share": 0.6}, "share is 0.6"),
        ({"beats": 1.0}, "beats is 1"),
        ({"adversary_recordings": 0.5}, "is 0.5"),
    ],
)
def test_what_a_transformer_is_not_distilled_with(
    tmp_path: Path, given: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        distilled(config(**given), tmp_path)
    assert not (tmp_path / "out").exists()


def test_recordings_are_needed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs recordings"):
        distill(config(), teacher(tmp_path), labels(), tmp_path / "out", device="cpu")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`distill` takes a transformer with its own configuration, goes on in its folder, and the student generates."""
    path = teacher(tmp_path, 1000)
    assert student_of(path, None).distill_config == read_config(FEW).distill_config
    few = read_config(FEW)
    assert few.distill_config is not None
    small = {"batch_size": 4, "teacher_steps": 4, "trajectory_iters": 1, "matching_iters": 1}
    recipe = tmp_path / "recipe.json"
    sections = {
        "ddim_config": few.ddim_config.model_dump(),
        "distill_config": few.distill_config.model_dump() | small,
    }
    recipe.write_text(json.dumps(sections))
    command = [
        "distill",
        "--teacher",
        path,
        "--data",
        recordings(tmp_path),
        "--device",
        "cpu",
        "--config",
        recipe,
    ]
    command += ["--out", tmp_path / "few"]
    assert main([str(a) for a in [*command, "--max-minutes", 0]]) == 0
    assert "the same command goes on" in " ".join(capsys.readouterr().out.split())
    assert main([str(a) for a in command]) == 0
    assert "for 4, 2, 1 evaluations" in capsys.readouterr().out
    out, model = tmp_path / "ecgs", tmp_path / "few" / "model.safetensors"
    assert (
        main(["generate", "--checkpoint", str(model), "--label", "AFIB", "--seed", "1", "--out", str(out)])
        == 0
    )
    assert any(out.iterdir())


TWO = """
import sys
from pathlib import Path
from sssd.training.parallel import rank
from sssd.checkpoints import state_hash
from sssd.training.distill import run as running
from tests import test_few_step as t
match, folder = running.match_recordings, Path(sys.argv[1])
def watched(run, student, critic, judge, *rest):
    match(run, student, critic, judge, *rest)
    hashes = " ".join(state_hash(net.state_dict()) for net in (student, judge))
    (folder / f"rank{rank()}").write_text(f"{hashes} {run.batch}")
running.match_recordings = watched
t.distilled(t.config(trajectory_iters=12, matching_iters=3), folder)
"""


@pytest.mark.slow
def test_torchrun_with_two_processes(tmp_path: Path) -> None:
    """Each trains half of a batch, and both have the same student. Broken by gradients that are not averaged."""
    pytest.importorskip("lightning_fabric")
    script = tmp_path / "run.py"
    script.write_text(TWO)
    teacher(tmp_path)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*command, str(script), str(tmp_path)], check=True, env=environment, timeout=300)
    ranks = [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)]
    assert ranks[0] == ranks[1] and ranks[0].endswith(" 4")
    model = SSSDECG.from_pretrained(tmp_path / "out" / "model.safetensors", device="cpu")
    assert all(torch.isfinite(p).all() for p in model.model.parameters())
    assert state_hash(model.model.state_dict()) != state_hash(random_net().state_dict())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_both_stages_on_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled, recorded as graphs, replayed more often than they warm up; the student goes on changing."""
    monkeypatch.setattr("sssd.training.distill.dmd2.HEADSTART", 8)
    settings, x, told = config(trajectory_iters=16, matching_iters=16, batch_size=16), data(40), []
    out = distill(
        settings, teacher(tmp_path), labels(), tmp_path / "out", signal_mv=x.signal_mv, device="cuda",
        report=told.append,
    )  # fmt: skip
    assert [(one.name, one.iteration) for one in told] == [(name, 16) for name in running.STAGES]
    assert all(np.isfinite(one.loss) for one in told)
    model = SSSDECG.from_pretrained(out.path, device="cpu")
    assert all(torch.isfinite(p).all() for p in model.model.parameters())
