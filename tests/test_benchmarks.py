"""The scripts in benchmarks/ run, tiny and on a CPU, so that they work when a GPU is there to be measured."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch

from tests.test_transformer import random_net

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import million  # noqa: E402
import server  # noqa: E402
import shipped  # noqa: E402
import step  # noqa: E402
import versions  # noqa: E402


def counted(run) -> float:
    """Return the operations of products and attention that PyTorch counts."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    math = sdpa_kernel(SDPBackend.MATH)  # the counter does not know the other kernels for CPUs
    with FlopCounterMode(display=False) as counter, torch.no_grad(), math:
        run()
    return float(counter.get_total_flops())


def test_the_roofline_counts_the_operations_of_a_transformer() -> None:
    """As PyTorch counts them. Broken by a layer's product that is left out (seen), or counted for other tokens."""
    net = random_net()
    x, cond = torch.randn(1, 8, 96), torch.zeros(1, net.columns)
    weights = net.weights(torch.float32, 96)
    found = counted(lambda: net.evaluate(x, cond, torch.full((1, 1), 3.0), weights))
    embedding = counted(lambda: net.embedded(cond, torch.tensor([3])))
    modulation = net.config.layers * 2 * net.config.embed * 6 * net.config.width
    assert shipped.work(net, 96, 4)[0] == pytest.approx(found - embedding - modulation, rel=0.02)


def test_shipped(capsys: pytest.CaptureFixture[str]) -> None:
    """One table has a row for each size of batch, the others one for the quality."""
    shipped.main("--device cpu --batch 2 --product 64 --seconds 0 --qualities draft".split())
    out = capsys.readouterr().out
    assert len(re.findall(r"^draft ", out, re.MULTILINE)) == 2 and "share" in out
    forms = out.partition("forms")[2].partition("one record")[0]
    assert [int(row.split()[0]) for row in forms.splitlines()[1:] if row] == [1, 2]


def test_million(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    million.main(
        f"--device cpu --records 8 --alone 4 --batch 4 --shard-size 4 --quality draft --folder {tmp_path}".split()
    )
    assert re.search(r"corpus +[\d.]+ records/s, [\d.]+% of alone", capsys.readouterr().out)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_million_by_ray(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    options = (
        f"--device cpu --records 8 --alone 4 --batch 4 --shard-size 4 --quality draft --folder {tmp_path}"
    )
    million.main([*options.split(), "--gpus", "2"])
    assert "the same bytes" in capsys.readouterr().out


def test_step(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.test_transformer import tiny

    configuration = step.configuration
    monkeypatch.setattr(
        step,
        "configuration",
        lambda name, records: configuration(name, records).model_copy(
            update={"transformer_config": tiny().transformer_config}
        ),
    )
    step.main("--device cpu --networks default --records 2 --seconds 0".split())
    assert re.search(r"^default +2 ", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.slow
def test_server(capsys: pytest.CaptureFixture[str]) -> None:
    """Batches of two qualities in one process, and no answer with a status of 500."""
    server.main("--device cpu --clients 2 --seconds 1 --qualities draft standard".split())
    out = capsys.readouterr().out
    assert "draft and standard" in out and "goal, no 5xx: met" in out


@pytest.mark.slow
def test_versions(capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each version, with ratios beside those that are compared."""
    source = Path(__file__).parent.parent / "src"
    versions.main(f"--rounds 1 --records 1 --qualities draft --before {source}".split())
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [len(row[36:].split()) for row in rows] == [2, 4, 2, 6, 4]
