"""A corpus with DuckDB: python examples/loaders/with_duckdb.py CORPUS"""

import sys

import duckdb
import numpy as np


def load(corpus: str, statement: str) -> tuple[list[str], np.ndarray]:
    rows = duckdb.execute(
        "select statements, signal_uv from read_parquet(?) where list_contains(string_split(statements, '+'), ?)",
        [f"{corpus}/data/*.parquet", statement],
    ).fetchall()
    signal_uv = [np.frombuffer(signal, "<i2").reshape(12, -1) for _, signal in rows]
    return [statements for statements, _ in rows], np.array(signal_uv) / np.float32(1000)  # (n, 12, L) in mV


if __name__ == "__main__":
    statements, signal_mv = load(sys.argv[1], "NORM")
    print(statements[:3], signal_mv.shape)
