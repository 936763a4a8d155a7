"""Read what `sssd-ecg generate` wrote: python examples/files.py FOLDER"""

import json
import sys
from pathlib import Path

import numpy as np

from sssd.io import wfdb


def main(folder: str) -> None:
    out = Path(folder)
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    print(f"{len(manifest['records'])} records by {manifest['sampler']}, {manifest['steps']} steps")
    for record in manifest["records"]:
        ecg = wfdb.read(out / record["name"])  # or wfdb.rdrecord of the wfdb package
        print(f"{record['name']}: {', '.join(ecg.statements)}; lead II spans {np.ptp(ecg.lead('II')):.2f} mV")
    with np.load(out / "ecgs.npz") as archive:
        print(f"ecgs.npz: signal_uv {archive['signal_uv'].shape}, labels {archive['labels'].shape}")


if __name__ == "__main__":
    main(*sys.argv[1:])
