"""DICOM 12-lead ECG waveforms (PS3.3 A.34.3, C.10.9): 16-bit samples, 1 uV per unit, leads coded by MDC (CID 3001).

Statements and provenance are waveform annotations of all channels, in the form of `sssd.io.comments`. The same record
gives the same bytes: identifiers follow from the content, and the date is 1 January 1985, when there is none.

The standard wants 200 to 1000 Hz. A record of a lower rate is written at a multiple of it, with values between its
samples by Fourier interpolation of the signal and its mirror image; the annotation "samples: 1 of 5 ..." says so, and
`read` then gives the samples themselves.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import needed_for
from ..leads import CLINICAL, lead_of
from ..record import Ecg
from ..tables.cells import opened
from ..version import __version__
from .comments import written
from .each import write_each
from .raw import UNITS_MV, Raw, scale_of
from .units import microvolts
from .wfdb_header import RecordingError

LEAST_HZ, MOST_HZ = 200.0, 1000.0  # by the standard
INTERPOLATED_HZ = (
    500.0  # at least, where a record has less than the standard wants and is not too long for it
)
MOST_SAMPLES = 16384  # of a channel, by the standard
DATE = "19850101"
_CODES = dict(
    zip(
        CLINICAL,
        ("2:1", "2:2", "2:61", "2:62", "2:63", "2:64", *(f"2:{k}" for k in range(3, 9))),
        strict=True,
    )
)
_MEANINGS = {
    "aVR": "aVR, augmented voltage, right",
    "aVL": "aVL, augmented voltage, left",
    "aVF": "aVF, augmented voltage, foot",
}
_BETWEEN = "samples: 1 of {} is a sample of the record, the others are interpolated"


def write(path: str | Path, ecg: Ecg, *, overwrite: bool = False) -> Path:
    """Write the file and return its path.

    ValueError for values beyond +-32.767 mV, a rate above 1000 Hz, or more than 16384 samples; FileExistsError if the
    file exists and `overwrite` is not set; ModuleNotFoundError without pydicom.
    """
    return write_each(path, ecg, render, overwrite=overwrite)


def render(ecg: Ecg) -> bytes:
    """Return the content of the file; see `write`."""
    with needed_for("DICOM needs", "clinical"):
        import pydicom
        from pydicom import uid

    factor = factor_of(ecg.signal.shape[1], ecg.fs_hz)
    units = microvolts(_between(ecg.signal.astype(np.float64), factor))  # (12, L)
    lines = [*written(ecg), *([_BETWEEN.format(factor)] if factor > 1 else [])]
    digest = hashlib.sha256(units.tobytes() + repr((ecg.fs_hz, ecg.leads, lines)).encode()).hexdigest()

    def identifier(what: str) -> Any:
        return uid.generate_uid(entropy_srcs=[what, digest])

    made = pydicom.Dataset()
    made.SOPClassUID = uid.TwelveLeadECGWaveformStorage
    made.SOPInstanceUID = identifier("instance")
    made.StudyInstanceUID, made.SeriesInstanceUID = identifier("study"), identifier("series")
    made.Modality = "ECG"
    made.SpecificCharacterSet = "ISO_IR 192"
    made.PatientName = "Synthetic^ECG" if ecg.synthetic else ""
    made.PatientID = digest[:16] if ecg.synthetic else ""
    made.PatientBirthDate = ""
    made.PatientSex = {"male": "M", "female": "F"}.get(str(ecg.provenance.get("sex")), "")
    age = ecg.provenance.get("age")
    if isinstance(age, int | float):
        made.PatientAge = f"{round(age):03d}Y"
    made.StudyDate = made.ContentDate = DATE
    made.StudyTime = made.ContentTime = "000000"
    made.AcquisitionDateTime = DATE + "000000"
    made.AccessionNumber = made.ReferringPhysicianName = ""
    made.StudyID = made.SeriesNumber = made.InstanceNumber = "1"
    made.SeriesDescription = "Synthetic ECG, not for diagnosis" if ecg.synthetic else "ECG"
    made.Manufacturer = "sssd-ecg"
    made.ManufacturerModelName, made.SoftwareVersions = "sssd-ecg", __version__
    made.DeviceSerialNumber = "none"
    made.AcquisitionContextSequence = []
    made.WaveformSequence = [_waveform(pydicom.Dataset, units, ecg, ecg.fs_hz * factor)]
    made.WaveformAnnotationSequence = [_annotation(pydicom.Dataset, line) for line in lines]
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def factor_of(samples: int, fs_hz: float) -> int:
    """Return the number of samples that are written for each sample of a record.

    ValueError if a 12-lead ECG of DICOM cannot hold it.
    """
    if fs_hz > MOST_HZ:
        raise ValueError(
            f"the record has {fs_hz:g} Hz; a DICOM 12-lead ECG holds {LEAST_HZ:g} to {MOST_HZ:g} Hz"
        )
    wanted = (1,) if fs_hz >= LEAST_HZ else (math.ceil(hz / fs_hz) for hz in (INTERPOLATED_HZ, LEAST_HZ))
    for factor in wanted:
        if samples * factor <= MOST_SAMPLES:
            return factor
    raise ValueError(
        f"the record has {samples * factor} samples at {fs_hz * factor:g} Hz; a DICOM 12-lead ECG holds {MOST_SAMPLES}"
    )


def is_dicom(path: Path) -> bool:
    """Return whether a file says that it is DICOM, as it does behind a preamble of 128 bytes."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read(
    file: Path, seconds: float | None = None, unit: str | None = None, content: bytes | None = None
) -> Raw:
    """Read the first group of waveforms of a DICOM file that has leads of an ECG; see `sssd.io.raw`."""
    with needed_for("DICOM needs", "clinical"):
        import pydicom
        from pydicom.waveforms.numpy_handler import multiplex_array
    try:
        with opened(file, content) as binary:
            held = pydicom.dcmread(binary)
        groups = list(held.get("WaveformSequence", []))
        named = [[_name(channel) for channel in group.ChannelDefinitionSequence] for group in groups]
        chosen = next((k for k, names in enumerate(named) if any(map(lead_of, names))), None)
        if chosen is None:
            found = ", ".join(name for names in named for name in names) or "none"
            raise RecordingError("leads", f"lacks the 12 leads; its waveforms are {found}")
        group, names = groups[chosen], named[chosen]
        fs_hz = float(group.SamplingFrequency)
        stored = held.waveform_array(chosen) if unit is None else multiplex_array(held, chosen, as_raw=True)
        signal = np.array(stored, np.float64).T  # (n, L)
        if "WaveformPaddingValue" in group:  # stands for missing samples
            padding = int.from_bytes(group.WaveformPaddingValue, "little", signed=True)
            signal[multiplex_array(held, chosen, as_raw=True).T == padding] = np.nan
        if unit is None:
            scales = [
                _scale(channel, name)
                for channel, name in zip(group.ChannelDefinitionSequence, names, strict=True)
            ]
        else:
            scales = [UNITS_MV[unit.lower()]] * len(names)
        signal *= np.array(scales)[:, None]
        lines = tuple(
            str(note.UnformattedTextValue)
            for note in held.get("WaveformAnnotationSequence", [])
            if "UnformattedTextValue" in note
        )
    except RecordingError:
        raise
    except Exception as error:  # pydicom raises errors of many kinds over damaged files
        raise RecordingError("unreadable", f"cannot be read as a DICOM ECG ({error})") from error
    factor = _factor(lines)
    signal, fs_hz = signal[:, ::factor], fs_hz / factor
    samples = None if seconds is None else math.ceil(seconds * fs_hz)
    return Raw(signal[:, :samples], tuple(names), fs_hz, comments=lines)


def _between(signal_mv: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """Return (12, factor * L) with the samples of (12, L) at every factor-th place."""
    if factor == 1:
        return signal_mv
    length = signal_mv.shape[1]
    spectrum = np.fft.rfft(np.concatenate((signal_mv, signal_mv[:, ::-1]), axis=1))
    spectrum[:, -1] /= (
        2  # half of the Nyquist frequency, which has a mirror image of its own at the higher rate
    )
    made: NDArray[np.float64] = np.fft.irfft(spectrum, 2 * length * factor)[:, : length * factor] * factor
    return made


def _factor(lines: Sequence[str]) -> int:
    """Return the number of samples for each sample of the record, as this program wrote it; 1 in other files."""
    for line in lines:
        match = re.fullmatch(re.escape(_BETWEEN).replace(r"\{\}", r"(\d{1,3})"), line)
        if match and int(match[1]) > 0:
            return int(match[1])
    return 1


def _coded(dataset: Any, value: str, scheme: str, meaning: str) -> Any:
    code = dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _waveform(dataset: Any, units: NDArray[np.int16], ecg: Ecg, fs_hz: float) -> Any:
    group = dataset()
    group.WaveformOriginality = "ORIGINAL"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = units.shape
    group.SamplingFrequency = f"{fs_hz:.10g}"
    group.MultiplexGroupLabel = "12 leads"
    channels = []
    for lead in ecg.leads:
        channel = dataset()
        channel.ChannelLabel = lead
        meaning = _MEANINGS.get(lead, f"Lead {lead}")
        channel.ChannelSourceSequence = [_coded(dataset, _CODES[lead], "MDC", meaning)]
        channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor = "1", "1"
        channel.ChannelSensitivityUnitsSequence = [_coded(dataset, "uV", "UCUM", "microvolt")]
        channel.ChannelBaseline = channel.ChannelSampleSkew = "0"
        channel.WaveformBitsStored = 16
        channels.append(channel)
    group.ChannelDefinitionSequence = channels
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.WaveformData = units.T.astype("<i2").tobytes()
    return group


def _annotation(dataset: Any, line: str) -> Any:
    note = dataset()
    note.ReferencedWaveformChannels = [1, 0]  # all channels of the first group
    note.UnformattedTextValue = line
    return note


def _name(channel: Any) -> str:
    """Return the name of a channel: of its code, or else its label."""
    sources = channel.get("ChannelSourceSequence", [])
    for source in sources:
        for lead, code in _CODES.items():
            if source.get("CodingSchemeDesignator") == "MDC" and source.get("CodeValue") == code:
                return lead
    meanings = [str(source.get("CodeMeaning", "")) for source in sources]
    label = str(channel.get("ChannelLabel", ""))
    return next((name for name in (*meanings, label) if lead_of(name)), label or "".join(meanings))


def _scale(channel: Any, name: str) -> float:
    """Return mV in one unit of a channel, whose sensitivity the reader has taken into account."""
    units = channel.get("ChannelSensitivityUnitsSequence")
    if not units:
        raise RecordingError("unit", f"lead {name} has no unit", "unit")
    return scale_of(str(units[0].CodeValue), name)
