"""Fitting a solver: points and solvers, the search, what a set costs, the command."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sssd.cli import main
from sssd.config.schema import Config, Fit
from sssd.data.recordings import Recordings, eight_leads_mv, write
from sssd.fitting.solver import SPREAD, Generation, point_of, search, solver_of, starting_solver, write_fit
from sssd.fitting.trials import DDPM_COST, Figures, Trials
from sssd.labels import CODES
from sssd.leads import to_twelve
from sssd.model_wrapper import SSSDECG
from sssd.samplers import eps_denoiser, fitted, run, unipc
from sssd.schedule import choose_steps
from tests.networks import config, saved
from tests.test_samplers import MIXTURE, exact_network, no_noise, start

ROOT = Path(__file__).parents[1]
FIT = Fit(
    steps=[199, 120, 70, 30],
    eta=[0.5, 0.25, 0.1, 0.0],
    slope=[0.0, 0.6, 0.1, -0.3],
    before=[0.0, 0.0, -0.2, 0.4],
)


def test_points_are_solvers() -> None:
    """There and back; any point is a solver that has a table. Fails if two parts of a point change places."""
    again, gain = solver_of(point_of(FIT, 0.9), 199)
    assert again.steps == FIT.steps and gain == pytest.approx(0.9, abs=1e-3)
    for name in ("eta", "slope", "before"):
        np.testing.assert_allclose(getattr(again, name), getattr(FIT, name), atol=1e-3)
    from sssd.schedule import linear

    for seed in range(50):
        point = np.random.default_rng(seed).normal(0, 4, 4 * 7 - 4)
        fit, _ = solver_of(point, 40)
        assert len(fit.steps) == 7 and fitted(linear(), **fit.model_dump()).S == 7


def test_the_search_finds_a_better_solver(tmp_path: Path) -> None:
    """Three evaluations of an exact network, without noise, against the ends of 100: at least half of the error goes.
    Fails if costs are turned round, or come back in another order."""
    model = SSSDECG.from_pretrained(saved(tmp_path, config()), device="cpu")
    schedule, x = model.schedule, start(0, (64, 2, 3))
    many = unipc(schedule, choose_steps(schedule, 100, "trailing"))
    net = exact_network(schedule, **MIXTURE)
    ends = run(many, eps_denoiser(many, net), x, no_noise)

    def error(solver) -> float:
        fit, gain = solver
        table = fitted(schedule, **{**fit.model_dump(), "eta": [0.0] * 3})
        made = gain * run(table, eps_denoiser(table, net), x, no_noise)
        return float((made - ends).square().mean())

    begin, _ = starting_solver(model, 3)
    said: list[Generation] = []
    found = search(
        lambda solvers, _: [error(s) for s in solvers], begin, generations=25, on_generation=said.append
    )
    assert error(found) < 0.5 * error(begin)
    assert [of.number for of in said] == list(range(1, 26)) and said[-1].median < said[0].median
    assert search(lambda s, _: [0.0] * len(s), begin, generations=9, out_of_time=lambda: True) == solver_of(
        point_of(*begin), 199
    )


def test_a_search_begins_at_the_solver_that_is_known() -> None:
    """Of the built-in model, to the last figure. Fails where neighbouring steps are torn apart."""
    model = SSSDECG.from_pretrained(device="cpu")
    for fit in model.config.ddim_config.fits:
        (known, gain), spread = starting_solver(model, len(fit.steps))
        assert known == fit and spread == SPREAD / 2
        assert solver_of(point_of(known, gain), fit.steps[0]) == (known, gain)


def test_the_time_ends_a_generation(tmp_path: Path) -> None:
    """No set is made after the time is up, and the search ends where the last whole generation left it."""
    model = SSSDECG.from_pretrained(saved(tmp_path, config()), device="cpu")
    begin, _ = starting_solver(model, 3)
    trials = Trials.__new__(Trials)
    trials.model, made = model, []
    trials._generated = lambda *_: made.append(0) or np.zeros((1, 8, 10), np.float32)  # type: ignore[func-returns-value,method-assign]
    trials._measured = lambda _: None  # type: ignore[assignment,method-assign]

    def costs(solvers: list[object], number: int) -> list[float]:
        return trials.costs(solvers, number, lambda: len(made) == 5)  # type: ignore[arg-type]

    assert search(costs, begin, generations=3) == solver_of(point_of(*begin), 199)
    assert len(made) == 5


def test_the_cost_of_a_set() -> None:
    """1.6 for what DDPM makes; more for what is farther, or too large. Fails without the part for one of the four."""
    trials = Trials.__new__(Trials)
    trials.chance, trials.ddpm = Figures(0.05, 0.3, 0.02, 1.0), Figures(0.08, 0.4, 0.1, 0.97)
    assert trials.cost(trials.ddpm) == pytest.approx(DDPM_COST) == pytest.approx(1.6)
    for worse in (dict(rhythm=0.09), dict(frechet=0.45), dict(spectrum=0.12), dict(amplitude=0.9)):
        assert trials.cost(replace(trials.ddpm, **worse)) > 1.61
    trials.ddpm = Figures(0.04, 0.2, 0.01, 1.0)  # as near as chance: 5 % of it counts
    assert trials.cost(Figures(0.055, 0.33, 0.022, 1.0)) == pytest.approx(2.0 + 0.2 * 6.0)


def ecgs(n: int) -> Recordings:
    """Records of 10 s with beats."""
    t, random = np.arange(1000) / 100, np.random.default_rng(3)
    x = np.stack(
        [
            sum(np.exp(-(((t - beat) / 0.02) ** 2)) for beat in np.arange(0.2, 10, 60 / rate))
            for rate in random.uniform(50, 110, n)
        ]
    )
    x = x[:, None] * random.uniform(0.5, 1.5, (n, 8, 1)) + 0.02 * random.standard_normal((n, 8, 1000))
    signal = np.round(1000 * to_twelve(x)).astype(np.int16)
    y = (random.random((n, 71)) < 0.1).astype(np.uint8)
    return Recordings(signal, y, CODES, strat_fold=np.full(n, 1))


@pytest.fixture
def ten_seconds(tmp_path: Path) -> Path:
    """A network of few weights for records of 10 s and five steps."""
    content = config().model_dump()
    content["diffusion_config"] |= {"T": 5, "terminal_alpha": 0.01}
    content["wavenet_config"] |= {"patch": 40, "s4_lmax": 1000}
    content["trainset_config"] |= {"segment_length": 1000}
    content["ddim_config"] = {"sampler": "unipc", "ddim_timesteps": 3}
    return saved(tmp_path, Config.model_validate(content))


def test_trials_measure_what_a_solver_makes(ten_seconds: Path) -> None:
    """Real records cost less than an untrained network's; figures are of the gain asked for, and of its noise alone."""
    real = ecgs(40)
    with Trials(SSSDECG.from_pretrained(ten_seconds, device="cpu"), real, records=20, workers=2) as trials:
        table = fitted(trials.model.schedule, **starting_solver(trials.model, 3)[0][0].model_dump())
        one, two, again = trials.figures([(table, 1.0), (table, 2.0), (table, 1.0)], 1)
        assert one == again and one != trials.figures([(table, 1.0)], 2)[0]
        assert two.amplitude == pytest.approx(2 * one.amplitude, rel=1e-5)
        x = eight_leads_mv(real)[:20]
        of_real = trials._figures(x, trials._measured(x))
        assert trials.cost(of_real) < trials.cost(one)


def test_the_command(ten_seconds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a checkpoint to one with a solver that `generate` takes; the weights stay. Fails if a fit or a
    convention is lost."""
    write(tmp_path / "signals.npz", ecgs(40))
    said = [
        "fit",
        "--checkpoint",
        str(ten_seconds),
        "--data",
        str(tmp_path / "signals.npz"),
        "--device",
        "cpu",
    ]
    few = ["--generations", "1", "--records", "10"]
    out = tmp_path / "three.safetensors"
    assert main([*said, *few, "--steps", "3", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "3 evaluations cost" in told and "generate --checkpoint" in told
    fit, _ = starting_solver(SSSDECG.from_pretrained(out, device="cpu"), 4)
    write_fit(out, tmp_path / "both.safetensors", fit, "half_spectrum")
    both = SSSDECG.from_pretrained(tmp_path / "both.safetensors", device="cpu")
    assert both.model.cauchy == "half_spectrum"
    assert [len(one.steps) for one in both.config.ddim_config.fits] == [3, 4]
    assert starting_solver(both, 4) == (fit, SPREAD / 2), "a later search goes on from it"
    assert both.model_hash == SSSDECG.from_pretrained(ten_seconds, device="cpu").model_hash
    assert torch.isfinite(both.generate("AFIB", sampler="fitted", steps=3, seed=1)).all()
    for wrong, message in (
        (["--steps", "3", "--out", str(out)], "exists"),
        (["--steps", "5", "--out", str(tmp_path / "x.safetensors")], "fitted for 3 to 4"),
        (["--steps", "3", "--out", str(tmp_path / "x.pkl")], "ends with .safetensors"),
    ):
        assert main([*said, *few, *wrong]) == 2
        assert message in " ".join(capsys.readouterr().err.split())
    short = ecgs(40)
    write(
        tmp_path / "short.npz",
        Recordings(short.signal_uv[..., :500], short.labels, CODES, strat_fold=short.strat_fold),
    )
    said[said.index(str(tmp_path / "signals.npz"))] = str(tmp_path / "short.npz")
    assert main([*said, *few, "--steps", "3", "--out", str(tmp_path / "x.safetensors")]) == 2
    assert "500 samples at 100 Hz" in " ".join(capsys.readouterr().err.split())


def test_solvers_that_were_fitted_apart_are_joined(tmp_path: Path) -> None:
    """As scripts/release_weights.sh does. Fails if a solver or its factor is lost, or the weights are not compared."""
    path, files = saved(tmp_path, config()), [tmp_path / f"{steps}.safetensors" for steps in (5, 4, 3)]
    solvers = [
        (starting_solver(SSSDECG.from_pretrained(path, device="cpu"), n)[0][0], n / 10) for n in (5, 4, 3)
    ]
    for file, solver in zip(files, solvers, strict=True):
        write_fit(path, file, solver)
    script = [sys.executable, str(ROOT / "scripts" / "join_fits.py"), *map(str, files)]
    out = tmp_path / "out.safetensors"
    subprocess.run([*script, str(out)], check=True, capture_output=True)
    joined = SSSDECG.from_pretrained(out, device="cpu")
    assert [starting_solver(joined, n)[0] for n in (5, 4, 3)] == solvers
    assert joined.model_hash == SSSDECG.from_pretrained(path, device="cpu").model_hash
    other = SSSDECG(config(), device="cpu").save_checkpoint(tmp_path / "other.safetensors")
    refused = subprocess.run([*script, str(other), str(tmp_path / "no")], capture_output=True, text=True)
    assert refused.returncode == 1 and "other weights" in refused.stderr


@pytest.mark.parametrize(("plain", "warns"), [(1.7, True), (1.9, False)])
def test_a_solver_that_is_worse_than_none_is_told(
    plain: float,
    warns: bool,
    ten_seconds: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The search ends at a cost of 1.8. Fails if it is compared with where it began only."""

    class Told(Trials):
        def __init__(self, model: SSSDECG, *_: object, **__: object) -> None:
            self.model, self.number = model, 0

        def __exit__(self, *_: object) -> None: ...

        def costs(self, solvers: object, generation: int, *_: object) -> list[float]:
            return [2.0, 1.8] if generation == 1 else [2.0] * 16

        def figures(self, tables: object, noise: int, *_: object) -> list[object]:
            assert [table.S for table, _ in tables] == [3, 3, 3]  # type: ignore[attr-defined]
            return [2.5, plain, 2.5]

        def cost(self, of: object) -> float:
            return float(of)  # type: ignore[arg-type]

    monkeypatch.setattr("sssd.fitting.trials.Trials", Told)
    write(tmp_path / "signals.npz", ecgs(40))
    said = [
        "fit",
        "--checkpoint",
        str(ten_seconds),
        "--data",
        str(tmp_path / "signals.npz"),
        "--device",
        "cpu",
    ]
    said += ["--generations", "1", "--steps", "3", "--out", str(tmp_path / "three.safetensors")]
    assert main(said) == 0
    assert ("worse than none: unipc in 3 steps" in capsys.readouterr().err) == warns
