"""Records that `generate --format edf` wrote with MNE: python examples/loaders/with_mne.py FOLDER"""

import sys
from pathlib import Path

import mne


def load(folder: str) -> list[mne.io.BaseRaw]:
    raws = [
        mne.io.read_raw_edf(file, preload=True, verbose=False) for file in sorted(Path(folder).glob("*.edf"))
    ]
    for raw in raws:
        raw.set_channel_types(dict.fromkeys(raw.ch_names, "ecg"), verbose=False)
    return raws


if __name__ == "__main__":
    for raw in load(sys.argv[1]):
        beats, _, rate = mne.preprocessing.find_ecg_events(raw, ch_name="ECG II", verbose=False)
        print(raw.annotations.description[0], f"{len(beats)} beats, {rate:.0f} per minute")
