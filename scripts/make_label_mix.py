"""Writes label_mix.npz: the full label vectors of PTB-XL, folds 1 to 8, and how many records carry each.

    python scripts/make_label_mix.py LABELS.csv [--out FILE]

LABELS.csv    one row per PTB-XL record: ecg_id, ..., strat_fold, then 71 columns of 0 / 1

The vectors are kept as bits, (D, 9) uint8, most frequent first; counts (D,) int64. Folds 9 and 10 do not enter.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path

import numpy as np

from sssd.io.files import replacing
from sssd.labels import CODES

FOLDS = range(1, 9)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labels", type=Path)
    target = Path(__file__).parents[1] / "src" / "sssd" / "label_mix.npz"
    parser.add_argument("--out", type=Path, default=target)
    options = parser.parse_args()
    with options.labels.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["strat_fold"]) in FOLDS]
    counted = Counter(tuple(int(row[code]) for code in CODES) for row in rows)
    counted.pop((0,) * len(CODES), None)  # nothing to ask for
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    vectors = np.array([vector for vector, _ in ordered], np.uint8)
    counts = np.array([count for _, count in ordered], np.int64)
    with replacing(options.out, overwrite=True) as (part,), part.open("wb") as out:
        np.savez_compressed(
            out, bits=np.packbits(vectors, axis=1), counts=counts, label_names=np.array(CODES)
        )
    size = options.out.stat().st_size
    print(f"{counts.sum()} records, {len(counts)} different vectors: {options.out}, {size} bytes")


if __name__ == "__main__":
    main()
