"""The circumstances of recordings: what is measured, and that they are drawn as recordings have them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from sssd.circumstances import BANDWIDTH, draw, measure, normalised, of_recordings, scale_of, table
from sssd.config.schema import TransformerConfig
from sssd.models.transformer import Transformer
from sssd.noise import integers, origin
from sssd.training.data import TrainingData, transformer_data

FS = 100.0


def waves(hz: float, mv: float, n: int = 1) -> np.ndarray:
    """(n, 8, 1000) of one frequency."""
    return np.broadcast_to(mv * np.sin(2 * np.pi * hz * np.arange(1000) / FS), (n, 8, 1000)).astype(
        np.float32
    )


def test_wander_and_noise_are_told_apart() -> None:
    """Ten times the wander is two decades of power, ten times the fine noise one decade of amplitude."""
    little, much = measure(waves(0.3, 0.1), FS)[0], measure(waves(0.3, 1.0), FS)[0]
    np.testing.assert_allclose((much - little)[:8], 2.0, atol=0.01)
    assert (measure(waves(1.0, 1.0), FS)[0, :8] < little[:8] + 1).all()  # a heart beat is not wander
    fine, coarse = (measure(waves(38.0, a), FS)[0] for a in (0.01, 0.1))
    np.testing.assert_allclose((coarse - fine)[8:], 1.0, atol=0.02)
    np.testing.assert_allclose(measure(waves(10.0, 1.0), FS)[0, 8:], np.log10(2e-4), atol=0.5)  # neither


def test_the_last_samples_do_not_count() -> None:
    """The last 1 % of PTB-XL's records is an artefact of resampling."""
    x = waves(5.0, 0.5)
    spoiled = x.copy()
    spoiled[..., 990:] = 3.0
    np.testing.assert_allclose(measure(x, FS), measure(spoiled, FS), rtol=1e-12)


def test_leads_keep_their_order() -> None:
    x = waves(38.0, 0.01)
    x = x.copy()
    x[0, 5] *= 10
    assert measure(x, FS)[0, 8:].argmax() == 5


def test_normalised_columns() -> None:
    """Mean 0 and standard deviation 1; a column without spread stays finite."""
    values = np.random.default_rng(0).normal(3, 2, (500, 16))
    values[:, 4] = 1.0
    scaled = normalised(values, scale_of(values))
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(np.delete(scaled, 4, axis=1).std(0), 1)
    assert (scaled[:, 4] == 0).all()


def test_a_table_takes_its_rows_from_all_records() -> None:
    values = np.arange(10.0)[:, None].repeat(16, axis=1)
    assert table(values, 5)[:, 0].tolist() == [0, 2, 4, 6, 8]
    assert table(values, 20)[:, 0].tolist() == [float(i // 2) for i in range(20)]
    assert table(values, 5).dtype == torch.float16


def test_draws_depend_on_seed_and_number_only() -> None:
    """Broken by draws from a generator whose state is that of the batch."""
    rows = torch.randn(300, 16)
    together = draw(rows, origin([7] * 5 + [8], [0, 1, 2, 3, 2**40, 3]))
    assert torch.equal(together[3], draw(rows, origin([7], [3]))[0])
    assert not torch.equal(together[3], together[5]) and not torch.equal(together[3], together[4])


def test_draws_have_the_distribution_of_the_table() -> None:
    """The kernel density: two clusters stay two, and within one the spread grows by the bandwidth."""
    rows = torch.cat((torch.full((100, 16), -3.0), torch.full((300, 16), 3.0)))
    drawn = draw(rows, origin([0] * 4000, list(range(4000))))
    left = drawn[:, 0] < 0
    assert float(left.float().mean()) == pytest.approx(0.25, abs=0.03)
    assert torch.equal(left, drawn[:, 9] < 0)  # rows are drawn whole
    assert float(drawn[left].std()) == pytest.approx(BANDWIDTH, rel=0.05)
    corrcoef = torch.corrcoef(drawn[left].T)
    assert (corrcoef - torch.eye(16)).abs().max() < 0.15
    rows = torch.randn(500, 16)
    drawn = draw(rows, origin([1] * 2000, list(range(2000))))
    assert ks_2samp(drawn[:, 3].numpy(), rows[:, 3].numpy()).pvalue > 1e-3


def test_whole_numbers_are_equally_likely() -> None:
    """Broken by a range that is off by one, or by signed words."""
    drawn = integers(origin(3, range(7000)), 5, 7)
    counts = torch.bincount(drawn, minlength=7)
    assert len(counts) == 7 and (counts - 1000).abs().max() < 150
    assert int(integers(origin(3, [0]), 5, 1)[0]) == 0
    assert torch.equal(integers(origin(3, [9, 4]), 5, 100), integers(origin(3, [4, 9]), 5, 100).flip(0))


def test_what_is_known_stays_and_the_rest_goes_with_it() -> None:
    """Fails where rows are drawn whatever is known, or what is known is drawn too."""
    rows = torch.cat((torch.full((100, 16), -3.0), torch.full((300, 16), 3.0)))
    known = torch.full((4000, 16), torch.nan)
    known[:, 2] = -2.5
    drawn = draw(rows, origin([0] * 4000, list(range(4000))), known)
    assert (drawn[:, 2] == -2.5).all()
    rest = np.delete(drawn.numpy(), 2, axis=1)
    assert abs(rest + 3).max() < 6 * BANDWIDTH and rest.std() == pytest.approx(BANDWIDTH, rel=0.05)
    nothing = draw(rows, origin([0] * 4000, list(range(4000))), torch.full((4000, 16), torch.nan))
    assert float((nothing[:, 0] < 0).float().mean()) == pytest.approx(0.25, abs=0.03)
    alone = draw(rows, origin([0], [7]), known[7:8])
    torch.testing.assert_close(alone[0], drawn[7])


def test_a_recording_is_scaled_as_the_training_records_were() -> None:
    """The scale is kept with the weights, so it is that of the network's own training records, in mV, and not ours."""
    random = np.random.default_rng(1)
    signal = random.normal(0, random.uniform(0.01, 5.0, (30, 8, 1)), (30, 8, 1000)).astype(np.float32)
    none = np.zeros((0, 3), dtype=np.float32)
    data = TrainingData(
        signal_mv=signal,
        labels=np.zeros((30, 3), dtype=np.float32),
        val_signal_mv=signal[:0],
        val_labels=none,
        source=np.repeat([0, 1], 15),
        coarse=np.zeros(30, dtype=bool),
    )
    config = TransformerConfig(
        width=16, layers=1, heads=2, patch=8, embed=8, circumstances=20, sources=["a", "b"]
    )
    trained, loaded = (Transformer(config, classes=3, velocity=([0.9, 0.1], [0.4, 0.9])) for _ in range(2))
    columns = transformer_data(data, trained, FS).labels[:, -16:]
    loaded.load_state_dict(trained.state_dict())
    np.testing.assert_allclose(of_recordings(loaded, signal, FS).numpy(), columns, atol=1e-5)
    assert abs(columns[:15].mean(0)).max() < 1e-6 and abs(columns[15:].mean(0)).max() > 0.01
