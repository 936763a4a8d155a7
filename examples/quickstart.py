"""Generate ECGs of two statements and save them: python examples/quickstart.py [FOLDER]"""

import sys
from pathlib import Path

from sssd import SSSDECG


def main(folder: str = "quickstart") -> None:
    out = Path(folder)
    out.mkdir(exist_ok=True)
    model = SSSDECG.from_pretrained()
    for ecg in model.generate_ecgs(["NORM", "atrial fibrillation"], ddim_timesteps=20, seed=1):
        name = ecg.provenance["requested"]
        ecg.save(out / name, overwrite=True)  # WFDB: two files
        picture = ecg.save(out / f"{name}.png", overwrite=True)
        print(f"asked for {name}, generated {', '.join(ecg.statements)}: {picture}")


if __name__ == "__main__":
    main(*sys.argv[1:])
