"""The circumstances of recordings: what is measured, and that they are drawn as recordings have them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from sssd.circumstances import (
    BANDWIDTH,
    LIKE,
    draw,
    draw_heart_rates,
    heart_rate_table,
    measure,
    normalised,
    of_recordings,
    scale_of,
    table,
    with_circumstances,
)
from sssd.config.schema import TransformerConfig
from sssd.models.transformer import Transformer
from sssd.noise import Reserved, integers, origin
from sssd.patient import MIDDLE_BPM, SPREAD_BPM, Takes
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


# --- heart rates --------------------------------------------------------------------------------------------


def recorded(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Label vectors (n, 11) and heart rates: statement 0 is fast, 1 slow, 2 rarely known; the others tell nothing."""
    random = np.random.default_rng(0)
    labels = (random.random((n, 11)) < 0.2).astype(np.uint8)
    labels[:, :3] = np.eye(4, 3, dtype=np.uint8)[np.arange(n) % 4]
    rates = np.array([120.0, 45.0, 95.0, 70.0])[np.arange(n) % 4] + random.normal(0, 3, n)
    return labels, np.where((labels[:, 2] == 1) & (random.random(n) < 0.7), np.nan, rates)


def test_heart_rates_are_those_of_records_with_like_statements() -> None:
    """Against a search one by one. Broken by weights, bits or a draw that are others, or a record that is no match."""
    labels, rates = recorded()
    known = heart_rate_table(labels, rates, len(labels))
    weight = known[2].numpy()
    assert weight[:2].min() > 20 and weight[3:].max() < weight[2] < 20
    wanted = np.random.default_rng(1).permutation(labels)
    seeds, index = [5] * len(wanted), list(range(len(wanted)))
    found = draw_heart_rates(*known, torch.from_numpy(wanted).float(), origin(seeds, index)).numpy()
    for k, (vector, rate) in enumerate(zip(wanted, found, strict=True)):
        away = np.abs(labels.astype(float) - vector) @ weight
        like = np.flatnonzero(away <= away.min() + LIKE)
        chosen = like[int(integers(origin([5], [k]), Reserved.RATE, len(like))[0])]
        assert rate == pytest.approx(np.nan_to_num(rates)[chosen], rel=1e-3)
    fast, slow, irregular = (wanted[:, k] == 1 for k in range(3))
    assert found[fast].min() > 100 and found[slow].max() < 60
    assert (found[irregular] == 0).mean() == pytest.approx(0.7, abs=0.15) and (found[~irregular] > 0).all()
    assert len(set(found[fast])) > 10


def test_a_heart_rate_depends_on_seed_number_and_statements_only() -> None:
    known = heart_rate_table(*recorded(), 100)
    wanted = torch.from_numpy(recorded()[0][:40]).float()
    together = draw_heart_rates(*known, wanted, origin([7] * 40, range(40)))
    assert torch.equal(together[9:10], draw_heart_rates(*known, wanted[9:10], origin([7], [9])))
    assert not torch.equal(together, draw_heart_rates(*known, wanted, origin([8] * 40, range(40))))


def test_a_heart_rate_that_is_asked_for_stays() -> None:
    """Fails where rates are drawn that nobody asked to draw, or over one that is known, or in another scale."""
    config = TransformerConfig(
        width=16, layers=1, heads=2, patch=8, embed=8, circumstances=200, heart_rates=True
    )
    net = Transformer(config, classes=13, velocity=([0.9, 0.1], [0.4, 0.9]), takes=Takes(heart_rate=True))
    labels, rates = recorded()
    net.load_state_dict(
        net.state_dict()
        | dict(
            zip(
                ("heart_rates", "statements", "statement_weights"),
                heart_rate_table(labels, rates, 200),
                strict=True,
            )
        )
    )
    asked = torch.tensor([[1.0, 0.4]]).repeat(200, 1) * (torch.arange(200) % 2)[:, None]
    cond = torch.cat((torch.from_numpy(labels).float(), asked), dim=1)
    state = origin([3] * 200, range(200))
    without, drawn = (with_circumstances(net, cond, state, rates=rates) for rates in (False, True))
    assert torch.equal(without[:, :13], cond) and torch.equal(without[:, 13:], drawn[:, 13:])
    assert torch.equal(drawn[1::2, :13], cond[1::2]) and torch.equal(drawn[:, :11], cond[:, :11])
    own = draw_heart_rates(*heart_rate_table(labels, rates, 200), cond[:, :11], state)[::2]
    assert torch.equal(drawn[::2, 11], (own > 0).float()) and (own == 0).any()
    torch.testing.assert_close(
        MIDDLE_BPM + SPREAD_BPM * drawn[::2, 12][own > 0], own[own > 0], rtol=1e-5, atol=0
    )
    assert not drawn[::2, 12][own == 0].any()
