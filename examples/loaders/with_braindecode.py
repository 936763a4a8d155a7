"""A corpus with braindecode: python examples/loaders/with_braindecode.py CORPUS"""

import sys

import numpy as np
from braindecode.datasets import BaseConcatDataset, create_from_X_y

import sssd.corpus


def load(corpus: str, statement: str) -> BaseConcatDataset:
    records = sssd.corpus.open(corpus)
    signals = np.stack([record["signal"].numpy() for record in records])  # (n, 12, L) in mV
    target = records.frame()[statement].to_numpy()
    length = signals.shape[2]
    return create_from_X_y(
        signals, target, drop_last_window=False, sfreq=records.fs_hz, ch_names=list(records.leads),
        window_size_samples=length, window_stride_samples=length,
    )  # fmt: skip


if __name__ == "__main__":
    windows = load(sys.argv[1], "NORM")
    signal, target, _ = windows[0]
    print(len(windows), signal.shape, target)
