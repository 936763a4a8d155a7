"""A corpus with polars: python examples/loaders/with_polars.py CORPUS"""

import sys

import numpy as np
import polars as pl


def load(corpus: str, statement: str) -> tuple[pl.DataFrame, np.ndarray]:
    rows = pl.scan_parquet(f"{corpus}/data/*.parquet")  # reads what is needed only
    chosen = rows.filter(pl.col("statements").str.split("+").list.contains(statement)).collect()
    signal_uv = np.frombuffer(b"".join(chosen["signal_uv"]), "<i2").reshape(len(chosen), 12, -1)
    return chosen.drop("signal_uv"), signal_uv / np.float32(1000)  # (n, 12, L) in mV


if __name__ == "__main__":
    table, signal_mv = load(sys.argv[1], "NORM")
    print(table, signal_mv.shape)
