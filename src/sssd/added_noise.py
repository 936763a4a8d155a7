"""Noise on request: baseline wander, muscle noise and mains hum of known amplitude, added to a record.

    baseline:0.3mV    sines of 0.05 to 0.5 Hz with a spectrum of 1/f; 0.3 mV is the largest value in any lead
    muscle:20uV       the spectrum of surface EMG (Shwedyk et al. 1977); 20 uV is the rms over all leads and samples
    mains:50Hz:50uV   one sine; 50 uV is its peak in the lead where it is largest, and the default

Noise is drawn for the nine electrodes, and leads are differences of electrodes. Therefore Einthoven's and Goldberger's
relations hold for the noise as they do for the heart. Wander and muscle noise are independent from electrode to
electrode and equally strong. Hum has one phase and differs in strength, as the impedances of electrodes do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .checks import checked_index, checked_seed, one_of
from .leads import to_twelve
from .noise import Reserved, normal
from .record import Ecg

ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")
EXAMPLE = "baseline:0.3mV, muscle:20uV, mains:50Hz"
WANDER_HZ, SINES = (0.05, 0.5), 24
MUSCLE_HZ = (30.0, 60.0)  # the corners of the spectrum of surface EMG
MAINS_MV = 0.05
MOST_MV = 10.0
STEPS = {"baseline": Reserved.BASELINE, "muscle": Reserved.MUSCLE, "mains": Reserved.MAINS}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """One kind of noise with its amplitude in mV; hz: the frequency of mains hum, None for the other kinds."""

    kind: str
    amplitude_mv: float
    hz: float | None = None

    def __str__(self) -> str:
        frequency = "" if self.hz is None else f":{self.hz:g}Hz"
        return f"{self.kind}{frequency}:{1e3 * self.amplitude_mv:g}uV"

    def draw(self, seed: int, index: int, samples: int, fs_hz: float, leads: Sequence[str]) -> Floats:
        """Return the noise of the leads (12, samples) in mV, scaled to its amplitude."""
        make = {"baseline": _wander, "muscle": _muscle, "mains": _hum}[self.kind]
        noise = to_twelve(_eight(make(seed, index, samples, fs_hz, self.hz or 0.0)), leads)
        measured = np.sqrt(np.mean(noise**2)) if self.kind == "muscle" else np.abs(noise).max()
        return noise * (self.amplitude_mv / measured)


def parse(text: str | None, fs_hz: float) -> tuple[Noise, ...]:
    """Return the kinds of noise that a text such as "baseline:0.3mV, muscle:20uV, mains:50Hz" names; none for None.

    fs_hz: of the records. ValueError if a kind is unknown or named twice, an amplitude or a frequency is missing or
    makes no sense, or records of this rate cannot show the frequency.
    """
    if text is None:
        return ()
    if not isinstance(text, str):
        raise ValueError(f"noise is {text!r}: expected a text, such as {EXAMPLE!r}")
    found = tuple(_one(part.strip()) for part in text.split(","))
    kinds = [noise.kind for noise in found]
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise ValueError(f"noise is {text!r}: {kind} is named {kinds.count(kind)} times, expected once")
    for noise in found:
        if noise.hz is not None and noise.hz > fs_hz / 2:
            raise ValueError(
                f"noise is {text!r}: records of {fs_hz:g} Hz show frequencies up to {fs_hz / 2:g} Hz only"
            )
    return found


def add_noise(ecg: Ecg, noise: str | Sequence[Noise], *, seed: int, index: int = 0) -> Ecg:
    """Return a record with noise added, which keeps the record without it as `clean`.

    noise: as `parse` takes it. The noise depends on (seed, index), its kind and the length of the record only. The
    provenance says what was added, and the ratio of signal to noise in dB: the power of all leads, each less its mean,
    over that of the noise. ValueError, with one message, if the noise makes no sense or the record has noise already.
    """
    kinds = parse(noise, ecg.fs_hz) if isinstance(noise, str) else tuple(noise)
    seed, index = checked_seed(seed), checked_index(index)
    if ecg.clean is not None:
        raise ValueError("the record has noise already: add noise to its `clean` record")
    clean = ecg.signal.astype(np.float64)
    added = sum(
        (one.draw(seed, index, clean.shape[1], ecg.fs_hz, ecg.leads) for one in kinds), np.zeros_like(clean)
    )
    facts = {
        "added": ", ".join(map(str, kinds)),
        "seed": seed,
        "index": index,
        **signal_to_noise_db(clean, added),
    }
    return replace(ecg, signal=clean + added, clean=ecg, provenance={**ecg.provenance, "noise": facts})


def signal_to_noise_db(clean: Floats, added: Floats) -> dict[str, float]:
    """Return the ratio of signal to noise (12, L) in dB, as provenance has it; nothing if one of them is flat."""
    power, noise = np.mean((clean - clean.mean(axis=1, keepdims=True)) ** 2), np.mean(added**2)
    return {"snr_db": round(float(10 * np.log10(power / noise)), 2)} if power > 0 and noise > 0 else {}


def _one(text: str) -> Noise:
    kind, *values = (part.strip() for part in text.split(":"))
    one_of("noise", kind, tuple(STEPS), f", as in {EXAMPLE!r}")
    given: dict[str, float] = {}
    for value in values:
        match = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(uV|µV|μV|mV|Hz)", value, re.IGNORECASE)
        unit = "" if match is None else match[2].casefold()
        name = "frequency" if unit == "hz" else "amplitude"
        if match is None or name in given or (name == "frequency" and kind != "mains"):
            expected = "a frequency and an amplitude" if kind == "mains" else "one amplitude"
            raise ValueError(f"noise is {text!r}: expected {expected}, as in {EXAMPLE!r}")
        given[name] = float(match[1]) * (1.0 if unit in ("hz", "mv") else 1e-3)
    if kind == "mains":
        given.setdefault("amplitude", MAINS_MV)
    missing = [
        name for name in ("amplitude", *(["frequency"] if kind == "mains" else [])) if not given.get(name)
    ]
    if missing:
        example = "mains:50Hz" if kind == "mains" else f"{kind}:20uV"
        expected = "an amplitude" if missing[0] == "amplitude" else "a frequency"
        raise ValueError(f"noise is {text!r}: expected {expected} above 0, as in {example!r}")
    if given["amplitude"] > MOST_MV:
        raise ValueError(f"noise is {text!r}: expected at most {MOST_MV:g} mV")
    return Noise(kind, given["amplitude"], given.get("frequency"))


def _eight(electrodes: Floats) -> Floats:
    """Return the leads I V1..V6 aVF (8, L) of potentials (9, L) at RA, LA, LL and V1..V6 (Wilson 1934)."""
    ra, la, ll = electrodes[:3]
    chest = electrodes[3:] - (ra + la + ll) / 3
    return np.concatenate(((la - ra)[None], chest, (ll - (ra + la) / 2)[None]))


def _normal(kind: str, seed: int, index: int, columns: int) -> Floats:
    return normal(seed, [index], STEPS[kind], (len(ELECTRODES), columns))[0].double().numpy()


def _wander(seed: int, index: int, samples: int, fs_hz: float, _: float) -> Floats:
    frequency = np.geomspace(*WANDER_HZ, SINES)  # of equal power each, which is a spectrum of 1/f
    phase = 2 * np.pi * frequency[:, None] * np.arange(samples) / fs_hz
    drawn = _normal("baseline", seed, index, 2 * SINES)
    return drawn @ np.concatenate((np.cos(phase), np.sin(phase)))


def _muscle(seed: int, index: int, samples: int, fs_hz: float, _: float) -> Floats:
    low, high = MUSCLE_HZ
    f = np.fft.rfftfreq(samples, 1 / fs_hz)
    gain = f / (np.sqrt(f**2 + low**2) * (f**2 + high**2))  # root of the spectrum of Shwedyk et al. 1977
    return np.fft.irfft(np.fft.rfft(_normal("muscle", seed, index, samples)) * gain, samples)


def _hum(seed: int, index: int, samples: int, fs_hz: float, hz: float) -> Floats:
    drawn = _normal("mains", seed, index, 2)
    sine = np.cos(2 * np.pi * (hz * np.arange(samples) / fs_hz) + np.arctan2(*drawn[0]))
    return drawn[:, 1:] * (sine / np.abs(sine).max())
