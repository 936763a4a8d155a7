"""Read what `sssd-ecg generate` wrote: python examples/files.py FOLDER"""

import argparse
import json
from pathlib import Path

import numpy as np

from sssd.io import wfdb


def main(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    print(f"records: {len(manifest['records'])}, by {manifest['sampler']} with steps: {manifest['steps']}")
    for record in manifest["records"]:
        ecg = wfdb.read(folder / record["name"])  # or wfdb.rdrecord of the wfdb package
        print(f"{record['name']}: {', '.join(ecg.statements)}; lead II spans {np.ptp(ecg.lead('II')):.2f} mV")
    with np.load(folder / "ecgs.npz") as archive:
        print(f"ecgs.npz: signal_uv {archive['signal_uv'].shape}, labels {archive['labels'].shape}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder", type=Path, help="the --out of `sssd-ecg generate`, in the formats wfdb and npz"
    )
    folder = parser.parse_args().folder
    try:
        main(folder)
    except FileNotFoundError as error:
        parser.error(f"{error.filename} is missing: give the folder that `sssd-ecg generate --out` wrote")
