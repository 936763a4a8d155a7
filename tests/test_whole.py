"""All steps of a sampler as one graph give what steps one by one give, for each network."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from sssd import SSSDECG
from sssd.config.schema import Config
from sssd.engine import bound
from tests.test_engine import Stand, stand  # noqa: F401
from tests.test_transformer import random_net, tiny

SMALL = "tests/golden/sssd_ecg_small.pkl"


def transformer() -> SSSDECG:
    content = tiny().model_dump()
    content["transformer_config"]["circumstances"] = 4
    config = Config.model_validate(content)
    model = SSSDECG(config, device="cpu")
    model.model.load_state_dict(random_net(config).state_dict())
    return model


def s4() -> SSSDECG:
    return SSSDECG.from_pretrained(SMALL, device="cpu")


@pytest.mark.parametrize("make", [transformer, s4])
def test_one_graph_equals_single_steps(make: Callable[[], SSSDECG], stand: Stand) -> None:  # noqa: F811
    """Records and the clean records of each step, for several seeds; the first call of a kind is never recorded.

    Broken by noise that is recorded as a constant, or labels that are.
    """
    model = make()
    table = model.step_table(sampler="ddim", steps=4, ddim_eta=1.0)
    seen: list[torch.Tensor] = []

    def batch(seed: int, label: int) -> torch.Tensor:
        vectors = torch.zeros(2, len(model.label_names)).numpy()
        vectors[:, label] = 1
        seen.clear()
        return model.generate_batch(
            vectors, [seed] * 2, [0, 5], table, on_step=lambda i, x0: seen.append(x0.clone())
        )

    asked = [(3, 0), (3, 0), (2**63 + 9, 1), (4, 2)]
    found = [(batch(*each), torch.stack(seen)) for each in asked]
    one_by_one, whole = stand.shapes[0], stand.shapes[1:]
    assert one_by_one == (2, *model.shape) and [len(shape) for shape in whole] == [2]
    expected_model = make()
    expected_table = expected_model.step_table(sampler="ddim", steps=4, ddim_eta=1.0)
    for (seed, label), (records, each) in zip(asked, found, strict=True):
        model, table = expected_model, expected_table
        bound.FEW_RECORDS, few = 0, bound.FEW_RECORDS
        try:
            torch.testing.assert_close(records, batch(seed, label), rtol=1e-5, atol=1e-5)
        finally:
            bound.FEW_RECORDS = few
        torch.testing.assert_close(each, torch.stack(seen), rtol=1e-5, atol=1e-5)


def test_other_samplers_and_weights_are_other_graphs(stand: Stand) -> None:  # noqa: F811
    """Broken by a table that is taken for another, or by a graph that outlives its weights."""
    model = s4()

    def ecg(**how: object) -> torch.Tensor:
        made = model.generate("NORM", seed=1, progress=False, **how)  # type: ignore[arg-type]
        assert isinstance(made, torch.Tensor)
        return made

    eta = [[ecg(use_ddim=True, ddim_timesteps=3, ddim_eta=eta) for _ in range(3)] for eta in (0.0, 1.0)]
    for first, second, third in eta:
        torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-5)
        assert torch.equal(second, third)
    assert not torch.allclose(eta[0][0], eta[1][0], atol=1e-3)
    with torch.no_grad():
        for parameter in model.model.parameters():
            parameter.mul_(1.1)
    assert not torch.allclose(ecg(use_ddim=True, ddim_timesteps=3, ddim_eta=0.0), eta[0][0], atol=1e-3)


def test_where_recording_fails_steps_are_launched_one_by_one(
    stand: Stand,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With one warning. Broken by trying again at each call."""
    model, tries = s4(), []
    record = stand.record

    def fails(function, *inputs):  # type: ignore[no-untyped-def]
        if inputs[0].ndim == 2:
            tries.append(len(inputs[0]))
            raise RuntimeError("operation not permitted when stream is capturing")
        return record(function, *inputs)

    monkeypatch.setattr(bound.graph, "record", fails)
    how = {"seed": 1, "use_ddim": True, "ddim_timesteps": 3, "progress": False}
    first = model.generate("NORM", **how)
    with pytest.warns(UserWarning, match="one by one"):
        second = model.generate("NORM", **how)
    assert torch.equal(torch.as_tensor(first), torch.as_tensor(second))
    model.generate("NORM", **how)
    assert tries == [1]
