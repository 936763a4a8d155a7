"""Multistep consistency sampling, and checkpoints of networks that earlier versions distilled to few steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sssd.cli import main
from sssd.config.schema import Config
from sssd.data.recordings import Recordings, write
from sssd.labels import CODES
from sssd.model_wrapper import SSSDECG
from sssd.samplers import consistency, ddim, run
from sssd.sampling import Sampling
from sssd.schedule import choose_steps, linear, rescaled
from tests.networks import LENGTH, config, labels, saved

SCHEDULE = rescaled(linear(), 0.01)
NODES = [199, 116, 87, 58]


def distilled(**sections: Any) -> Config:
    """The configuration of a few-step network, with the section that earlier versions wrote about its making."""
    content = config().model_dump()
    content["ddim_config"] = {"sampler": "consistency", "ddim_timesteps": 4, "nodes": NODES}
    content["distill_config"] = {
        "nodes": 4,
        "teacher_steps": 30,
        "guidance": [[0, 1.5], [2, 2.0]],
        "heart_rate_guidance": [[0, 1.0], [2, 2.5]],
        "beats": 0.1,
    }
    return Config.model_validate({**content, **sections})


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


def test_a_network_is_sampled_at_its_nodes_for_every_number_of_evaluations() -> None:
    """Fails with nodes that are not those of training, or a sampling that changes when it is resolved again."""
    model = SSSDECG(distilled(), device="cpu")
    for evaluations, expected in ((1, NODES[:1]), (2, [NODES[0], NODES[2]]), (4, NODES)):
        assert model.step_table(steps=evaluations).steps.tolist() == expected
    assert model.step_table().steps.tolist() == NODES
    chosen = Sampling.of(steps=2).resolve(model.config)
    assert chosen.resolve(model.config) == chosen
    assert model.step_table(steps=2, spacing="trailing").steps.tolist() == [199, 99]
    assert len(model.step_table(steps=8).steps) == 8


@pytest.mark.parametrize("nodes, message", [([50, 90], "decreasing"), ([200, 3], "below 200")])
def test_nodes_that_cannot_be(nodes: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        distilled(ddim_config={"nodes": nodes})


# --- checkpoints of earlier versions ------------------------------------------------------------------------


def test_a_checkpoint_of_before_is_loaded_and_sampled(tmp_path: Path) -> None:
    """With what it says about distillation, which comes back. Fails if a key of then is refused, or is lost."""
    settings = distilled(train_config={"focus": {"share": 0.3, "first": 90, "last": 183}})
    model = SSSDECG.from_pretrained(saved(tmp_path, settings), device="cpu")
    assert model.config == settings
    made = [model.generate("NORM", steps=n, seed=0, return_numpy=True) for n in (1, 2, 4)]
    assert all(np.isfinite(x).all() and x.std() > 0 for x in made)
    assert np.array_equal(model.generate("NORM", seed=0, return_numpy=True), made[2])
    again = SSSDECG.from_pretrained(model.save_checkpoint(tmp_path / "again.safetensors"), device="cpu")
    assert again.config == settings


def test_a_distilled_network_is_not_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line with exit code 2."""
    path, n = str(saved(tmp_path, distilled())), 4
    signal = np.zeros((n, 12, LENGTH), np.int16)
    data = Recordings(signal, labels(n).astype(np.uint8), CODES, strat_fold=np.full(n, 3))
    given = ["--data", str(write(tmp_path / "signals.npz", data)), "--out"]
    assert main(["train", "--init", path, *given, str(tmp_path / "run")]) == 2
    assert "was distilled: " in " ".join(capsys.readouterr().err.split())
    assert main(["train", *given, str(tmp_path / "run"), "--config", "guided"]) == 2
    assert "describes no network: give --init" in " ".join(capsys.readouterr().err.split())
