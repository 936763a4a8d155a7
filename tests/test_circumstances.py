"""The circumstances of recordings: what is measured, and that they are drawn as recordings have them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sssd.circumstances import (
    BANDWIDTH,
    FILTERED,
    LIKE,
    NEAREST,
    RIDGE,
    UNKNOWN,
    as_told,
    bits_of,
    draw,
    measure,
    normalised,
    of_recordings,
    rows_like,
    rows_near,
    scale_of,
    statement_weights,
    table,
    with_baseline,
    with_circumstances,
    with_statements,
    with_wander,
)
from sssd.config.schema import DEFAULT, Config, TransformerConfig, read_config
from sssd.model_wrapper import SSSDECG
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
    np.testing.assert_allclose((coarse - fine)[8:16], 1.0, atol=0.02)
    np.testing.assert_allclose(measure(waves(10.0, 1.0), FS)[0, 8:16], np.log10(2e-4), atol=0.5)  # neither


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
    assert measure(x, FS)[0, 8:16].argmax() == 5


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
    rows, net = torch.randn(300, 16), network(300)
    given = torch.zeros(6, 13)

    def found(state: torch.Tensor) -> torch.Tensor:
        return draw(rows, rows_like(net, given[: len(state)], state), state)

    together = found(origin([7] * 5 + [8], [0, 1, 2, 3, 2**40, 3]))
    assert torch.equal(together[3], found(origin([7], [3]))[0])
    assert not torch.equal(together[3], together[5]) and not torch.equal(together[3], together[4])


def test_draws_have_the_distribution_of_the_table() -> None:
    """The kernel density: two clusters stay two, and within one the spread grows by the bandwidth."""
    rows = torch.cat((torch.full((100, 16), -3.0), torch.full((300, 16), 3.0)))
    config = TransformerConfig(width=16, layers=1, heads=2, patch=8, embed=8, circumstances=400)
    net = Transformer(config, classes=3, velocity=([0.9, 0.1], [0.4, 0.9]))  # without statements
    state = origin([0] * 4000, list(range(4000)))
    drawn = draw(rows, rows_like(net, torch.zeros(4000, 3), state), state)
    left = drawn[:, 0] < 0
    assert float(left.float().mean()) == pytest.approx(0.25, abs=0.03)
    assert torch.equal(left, drawn[:, 9] < 0)  # rows are drawn whole
    assert float(drawn[left].std()) == pytest.approx(BANDWIDTH, rel=0.05)
    corrcoef = torch.corrcoef(drawn[left].T)
    assert (corrcoef - torch.eye(16)).abs().max() < 0.15


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
    state = origin([0] * 4000, list(range(4000)))
    drawn = draw(rows, rows_near(rows, state, known), state)
    rest = np.delete(drawn.numpy(), 2, axis=1)
    assert abs(rest + 3).max() < 6 * BANDWIDTH and rest.std() == pytest.approx(BANDWIDTH, rel=0.05)
    chosen = rows_near(rows, state, torch.full((4000, 16), torch.nan))
    assert float((chosen < 100).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert rows_near(rows, origin([0], [7]), known[7:8])[0] == rows_near(rows, state, known)[7]
    net = network(400)
    net.load_state_dict(net.state_dict() | {"circumstances": rows.half()})
    found = with_circumstances(net, torch.zeros(4000, 13), state, known)[:, -16:]
    assert (found[:, 2] == -2.5).all() and torch.equal(
        np.delete(found, 2, axis=1), np.delete(drawn, 2, axis=1)
    )


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


def network(rows: int = 200, *, variability: bool = False) -> Transformer:
    """A network that draws heart rates from so many recordings, with the statements of `recorded`."""
    config = TransformerConfig(
        width=16, layers=1, heads=2, patch=8, embed=8, circumstances=rows, heart_rates=True
    )
    takes = Takes(heart_rate=True, variability=variability)
    net = Transformer(config, classes=11 + len(takes.columns), velocity=([0.9, 0.1], [0.4, 0.9]), takes=takes)
    labels, rates = recorded(rows)
    net.load_state_dict(
        net.state_dict()
        | {
            "circumstances": torch.arange(rows)[:, None].repeat(1, 16).half(),
            "heart_rates": torch.from_numpy(np.nan_to_num(rates)).half(),
            "statements": bits_of(labels, rows),
            "statement_weights": statement_weights(labels, rates, np.zeros(rows)),
        }
        | ({"variabilities": torch.from_numpy(np.nan_to_num(rates / 100)).half()} if variability else {})
    )
    return net


def test_statements_count_by_the_heart_rate_and_the_noise_that_go_with_them() -> None:
    """Whole numbers. Broken by unknown rates, another unit, or a statement that nobody has."""
    labels = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]])
    rates, noise = np.array([60.0, 80.0, 100.0, np.nan]), np.array([0.5, 0.3, -0.4, -0.4])
    found = statement_weights(labels, rates, noise).tolist()
    assert found == [1 + 10 + 8, 1 + 20 + 8, 1]  # mean rate 80, mean noise 0


@pytest.mark.parametrize("asks", [False, True])
def test_a_record_is_given_a_recording_like_it(asks: bool) -> None:
    """Against a search one by one. Broken by weights, bits or a draw that are others, or a record that is no match."""
    net, (labels, rates) = network(), recorded()
    assert net.statement_weights is not None and net.heart_rates is not None
    weight, known = net.statement_weights.numpy().astype(float), net.heart_rates.numpy().astype(float)
    assert weight[:2].min() > 20 and weight[3:].max() < weight[2] < 20
    random = np.random.default_rng(1)
    wanted = random.permutation(labels)
    asked = random.uniform(40, 150, len(wanted)).round() * (np.arange(len(wanted)) % 2) * asks
    given = np.stack((asked > 0, (asked - MIDDLE_BPM) / SPREAD_BPM * (asked > 0)), 1)
    cond = torch.from_numpy(np.hstack((wanted, given))).float()
    found = rows_like(net, cond, origin([5] * len(wanted), range(len(wanted)))).numpy()
    for k, (vector, rate) in enumerate(zip(wanted, asked, strict=True)):
        away = np.abs(labels.astype(float) - vector) @ weight
        if rate:
            away += np.where(known > 0, np.abs(known - rate), UNKNOWN)
        like = np.flatnonzero(away <= max(away.min() + LIKE, np.sort(away)[NEAREST - 1]) + 1e-4)
        assert len(like) >= NEAREST
        assert found[k] == like[int(integers(origin([5], [k]), Reserved.ROW, len(like))[0])]
    if not asks:  # no rate counts then, so that a network without a table of rates draws the same rows
        net.heart_rates = None
        state = origin([5] * len(wanted), range(len(wanted)))
        np.testing.assert_array_equal(rows_like(net, cond, state), found)
    fast, slow = ((wanted[:, k] == 1) & (asked == 0) for k in range(2))
    assert np.median(rates[found[fast]]) > 100 and np.nanmedian(rates[found[slow]]) < 60
    assert len(set(found[fast])) > 10


def test_a_heart_rate_that_is_asked_for_stays() -> None:
    """Fails where rates are drawn that nobody asked to draw, or over one that is known, or in another scale."""
    net, (labels, rates) = network(), recorded()
    asked = torch.tensor([[1.0, 0.4]]).repeat(200, 1) * (torch.arange(200) % 2)[:, None]
    cond = torch.cat((torch.from_numpy(labels).float(), asked), dim=1)
    state = origin([3] * 200, range(200))
    without, drawn = (with_circumstances(net, cond, state, rates=rates) for rates in (False, True))
    assert torch.equal(without[:, :13], cond) and torch.equal(without[:, 13:], drawn[:, 13:])
    assert torch.equal(drawn[1::2, :13], cond[1::2]) and torch.equal(drawn[:, :11], cond[:, :11])
    own = torch.from_numpy(np.nan_to_num(rates)).half().float()[rows_like(net, cond, state)][::2]
    assert torch.equal(drawn[::2, 11], (own > 0).float()) and (own == 0).any()
    torch.testing.assert_close(
        MIDDLE_BPM + SPREAD_BPM * drawn[::2, 12][own > 0], own[own > 0], rtol=1e-5, atol=0
    )
    assert not drawn[::2, 12][own == 0].any()


def test_all_that_is_drawn_is_of_one_recording() -> None:
    """Circumstances, heart rate and its variability. Fails where one is of another row, or beside an asked rate."""
    net, (labels, rates) = network(variability=True), recorded()
    asked = torch.tensor([[1.0, 0.4, 0, 0]]).repeat(200, 1) * (torch.arange(200) % 2)[:, None]
    cond = torch.cat((torch.from_numpy(labels).float(), asked), dim=1)
    drawn = with_circumstances(net, cond, origin([3] * 200, range(200)), rates=True)
    row = drawn[:, -16:].mean(1).round().long()  # the circumstances of each row are its number
    own = torch.from_numpy(np.nan_to_num(rates)).float()[row][::2]
    assert torch.equal(drawn[::2, 13], (own > 0).float()) and (own == 0).any()
    torch.testing.assert_close(drawn[::2, 14], own / 100, rtol=2e-3, atol=0)
    assert torch.equal(drawn[1::2, 11:15], cond[1::2, 11:15])


def test_noise_changes_with_the_statements_as_it_does_in_recordings() -> None:
    """Against scikit-learn. Fails where bits, sign or penalty are others, or where wander or a null edit changes."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    net, (labels, _) = network(), recorded()
    random = np.random.default_rng(2)
    values = labels @ random.normal(size=(11, 16)) + random.normal(size=(200, 16))
    net.load_state_dict(net.state_dict() | {"circumstances": torch.from_numpy(values).half()})
    fitted = linear_model.Ridge(RIDGE, fit_intercept=False)
    fitted.fit(np.hstack((labels, np.ones((200, 1)))), values.astype(np.float16).astype(float))
    had, wanted = (random.permutation(labels) for _ in range(2))
    had[0] = 0
    measured = torch.from_numpy(random.normal(size=(200, 16))).float()
    measured[1, 3] = torch.nan
    own, asked = (torch.from_numpy(np.hstack((part, np.ones((200, 2))))).float() for part in (had, wanted))
    change = (with_statements(net, measured, own, asked) - measured).numpy()
    expected = (wanted.astype(float) - had) @ fitted.coef_[:, :11].T
    expected[:, :8] = expected[~had.any(axis=1)] = 0
    expected[1, 3] = np.nan
    np.testing.assert_allclose(change, expected, atol=1e-5)
    assert np.nanmax(abs(change)) > 1
    assert torch.equal(with_statements(net, measured, own, own)[2:], measured[2:])
    net.statements = None
    assert with_statements(net, measured, own, asked) is measured


def test_the_edge_tells_apart_how_recordings_came_to_100_hz() -> None:
    """Power above 48 Hz, of its own lead. Broken by another band, or by leads in another order."""
    t = np.arange(1000) / 100
    quiet = np.random.default_rng(0).normal(0, 1e-4, (2, 8, 1000))
    loud = quiet.copy()
    loud[1, 3] += 0.01 * np.sin(2 * np.pi * 49 * t)
    loud[0, 5] += 0.01 * np.sin(2 * np.pi * 47 * t)  # below the edge
    more = measure(loud, 100) - measure(quiet, 100)
    assert more[1, 16 + 3] > 2
    more[1, 16 + 3] = 0
    assert np.abs(more[:, 16:]).max() < 0.3


def test_a_finished_record_is_as_told() -> None:
    """Broken by another band, a power that is taken for an amplitude, one round, or a record that takes another's."""
    content = read_config(DEFAULT).model_dump()
    content["transformer_config"] |= {"width": 16, "layers": 1, "heads": 2, "embed": 16, "circumstances": 8}
    network = SSSDECG(Config.model_validate(content), device="cpu").model
    assert isinstance(network, Transformer) and network.circumstances_scale is not None
    assert network.circumstances is not None
    network.circumstances.normal_(generator=torch.Generator().manual_seed(0))
    network.circumstances_scale.copy_(
        torch.stack((torch.tensor([2.3, -2.3, -2.4, 1.6]).repeat_interleave(8), torch.full((32,), 0.2)))
    )
    x = 0.02 * torch.randn(5, 8, 1000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x, state, cond = x.cumsum(-1), origin(4, range(5)), torch.zeros(5, 71)
    found = as_told(network, x, cond, state, 100.0)
    told = with_circumstances(network, cond, state, rates=True)[:, -32:]
    before, after = (of_recordings(network, one.numpy(), 100.0) for one in (x, found))
    for first in (8, 16):
        off, was = ((one - told)[:, first : first + 8].abs() for one in (after, before))
        assert off.max() < 0.1 < 0.3 < was.mean()
    assert (after - told)[:, 24:].abs().mean() < 0.3 * (before - told)[:, 24:].abs().mean()
    assert (after - before)[:, :8].abs().max() < 0.3
    spectrum = torch.fft.rfft(torch.cat((found - x, (found - x).flip(-1)), -1)).abs()  # in steps of 0.05 Hz
    assert spectrum[..., 22:520].max() < 1e-9 < spectrum[..., 640:900].max()


def test_what_is_slow_has_its_own_frequencies() -> None:
    """Power from 0.5 to 1 Hz, of its own lead. Broken by another band, or by leads in another order."""
    t = np.arange(1000) / 100
    quiet = np.random.default_rng(0).normal(0, 0.02, (3, 8, 1000))
    loud = quiet.copy()
    for row, frequency in enumerate((0.2, 0.75, 1.8)):
        loud[row, 5] += 0.1 * np.sin(2 * np.pi * frequency * t)
    more = measure(loud, 100) - measure(quiet, 100)
    assert more[0, 5] > 2 and more[1, 24 + 5] > 2
    more[0, 5] = more[1, 24 + 5] = 0
    assert np.abs(more[:, [*range(8), *range(24, 32)]]).max() < 1.5


def test_recordings_without_a_baseline_are_told_apart() -> None:
    """Broken by a bound on single leads, or where no recording has a baseline."""
    values = np.zeros((3, 32))
    values[0, :8], values[1, :8], values[2, 4:8] = FILTERED + 0.1, FILTERED - 0.1, 4 * FILTERED
    assert with_baseline(values).tolist() == [True, False, True]
    assert with_baseline(values[1:2]).tolist() == [True]


def test_recordings_without_a_baseline_get_the_wander_of_the_next() -> None:
    """And keep the rest. Broken by a giver without one, or past the end."""
    values = np.arange(5 * 32, dtype=float).reshape(5, 32) + 10
    values[[0, 2, 4], :8] = 0.0
    found = with_wander(values)
    assert found[:, :8].tolist() == values[[1, 1, 3, 3, 1], :8].tolist()
    assert found[:, 24:].tolist() == values[[1, 1, 3, 3, 1], 24:].tolist()
    assert (found[:, 8:24] == values[:, 8:24]).all()
