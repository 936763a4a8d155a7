"""Features of whole records: rhythm, beats, and the distance between batches (sssd.training.distill.features)."""

from __future__ import annotations

import numpy as np
import torch

from sssd.training.distill.features import BEAT, LAGS, autocorrelation, beats, feature_distance, p_wave

PEAKS = torch.arange(60, 960, 80)


def beating(waves: torch.Tensor) -> torch.Tensor:
    """Records (1, 8, 1000) whose beats at `PEAKS` are waves (12, 8, n), n as long as BEAT."""
    x = torch.zeros(1, waves.shape[1], 1000)
    for peak, wave in zip(PEAKS.tolist(), waves, strict=True):
        x[0, :, peak + BEAT.start : peak + BEAT.stop] = wave
    return x


def wave(p_at: int = -16) -> torch.Tensor:
    """Eight leads of one beat: a P wave, R at 0, S, a T wave."""
    at = torch.arange(BEAT.start, BEAT.stop).float()
    bumps = [(0.2, p_at, 2.0), (1.5, 0, 1.5), (-0.5, 4, 1.5), (0.4, 25, 4.0)]
    lead = sum(height * torch.exp(-0.5 * ((at - place) / width) ** 2) for height, place, width in bumps)
    return torch.linspace(1.0, 0.3, 8)[:, None] * lead


def test_autocorrelation() -> None:
    """Of a rhythm of 50 samples: high at its period, low between, whatever the height. Fails where ends wrap round."""
    x = 3.0 + torch.tensor([[0.1], [7.0]]) * torch.cos(2 * torch.pi * torch.arange(1000) / 50)
    r = autocorrelation(x[None])[0]
    at = np.array(LAGS)
    expected = (1 - at / 1000) * np.cos(2 * np.pi * at / 50)
    torch.testing.assert_close(r, torch.from_numpy(expected).float().expand(2, -1), atol=0.01, rtol=0)


def test_beats_of_one_kind_do_not_differ() -> None:
    """The mean beat is the beat, whatever its height. Fails where beats are missed or not laid one upon the other."""
    one = wave()
    for height in (0.3, 5.0):
        mean, differ = beats(height * beating(one.repeat(12, 1, 1)))
        shape = one - one.mean(-1, keepdim=True)
        shape = (shape / shape.square().mean().sqrt())[None]
        together = max(float((torch.roll(mean, k, -1) * shape).mean()) for k in range(-3, 4))
        assert together > 0.95 and float(differ.square().mean()) < 1e-3


def test_beats_that_differ_tell_where() -> None:
    """P waves of the lower beats come later: it shows before QRS more than after it. Fails if beats are not laid by
    their QRS, or one is taken twice in place of a lower one."""
    waves = [(1.0 - 0.3 * (k % 2)) * wave(-20 + 6 * (k % 2)) for k in range(12)]
    mean, differ = beats(beating(torch.stack(waves)))
    qrs = int(mean[0, 0].abs().argmax())
    before, after = differ[0, :, 2 : qrs - 6], differ[0, :, qrs + 6 :]
    assert float(before.max()) > 0.2 and float(before.max()) > 1.5 * float(after.max())


def batch(wander: float, n: int = 32) -> torch.Tensor:
    """Records (n, 8, 1000) whose beats differ by noise of this size, all from one seed."""
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(n, 12, 8, len(BEAT), generator=draw)
    return torch.cat([beating(wave(-20 + k % 8) + wander * noise[k]) for k in range(n)])


def test_the_distance_is_between_distributions() -> None:
    """0 for the same records in another order, and the larger the more beats differ, or the higher they are; its
    gradient leads back. Fails if records are compared in pairs, or only mean beats are."""
    true = batch(0.05)
    assert float(feature_distance(true, true.flip(0))) < 1e-6
    assert float(feature_distance(true, 1.5 * true)) > float(feature_distance(true, 1.1 * true)) > 0.1
    near, far = (float(feature_distance(true, batch(wander))) for wander in (0.06, 0.2))
    assert 1.0 < near < far / 4
    made = batch(0.1).requires_grad_()
    before = feature_distance(true, made)
    before.backward()
    moved = made.detach() - made.grad
    assert float(feature_distance(true, moved)) < 0.9 * float(before)


def test_the_place_of_the_p_wave() -> None:
    """Moves with it, sample by sample. Fails where QRS is taken for it."""
    places = [float(p_wave(beats(beating(wave(at).repeat(12, 1, 1)))[0])) for at in (-22, -18, -14)]
    np.testing.assert_allclose(np.diff(places), 4.0, atol=1.5)


def test_beats_of_a_short_or_flat_record_are_numbers() -> None:
    """Nothing to see is no error: records shorter than a beat, and flat ones, with their gradients."""
    for x in (torch.zeros(2, 8, 1000), 0.1 * torch.randn(2, 8, 64)):
        x.requires_grad_()
        mean, differ = beats(x)
        assert mean.shape == differ.shape == (2, 8, len(BEAT))
        (mean.sum() + differ.sum()).backward()
        assert torch.isfinite(mean).all() and torch.isfinite(differ).all() and torch.isfinite(x.grad).all()
