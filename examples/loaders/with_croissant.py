"""A corpus by its Croissant metadata: python examples/loaders/with_croissant.py CORPUS"""

import sys

import mlcroissant as mlc
import numpy as np


def load(corpus: str):
    dataset = mlc.Dataset(jsonld=f"{corpus}/croissant.json")
    for row in dataset.records("records"):
        signal = np.frombuffer(row["records/signal_uv"], "<i2").reshape(12, -1)
        yield row["records/statements"].decode(), signal / np.float32(1000)  # (12, L) in mV


if __name__ == "__main__":
    statements, signal_mv = next(load(sys.argv[1]))
    print(statements, signal_mv.shape)
