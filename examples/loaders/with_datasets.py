"""A corpus with `datasets` of Hugging Face: python examples/loaders/with_datasets.py CORPUS"""

import sys

import datasets
import numpy as np


def load(corpus: str) -> datasets.Dataset:
    def decoded(rows):
        signals = [np.frombuffer(uv, "<i2").reshape(12, -1) / np.float32(1000) for uv in rows["signal_uv"]]
        return {"signal_mv": np.stack(signals), "labels": np.array(rows["labels"])}

    rows = datasets.load_dataset("parquet", data_files=f"{corpus}/data/*.parquet", split="train")
    return rows.with_transform(decoded)


if __name__ == "__main__":
    batch = load(sys.argv[1])[:8]
    print(batch["signal_mv"].shape, batch["labels"].shape)
