"""Generate ECGs of two statements and save them: python examples/quickstart.py [FOLDER]"""

import argparse
from pathlib import Path

from sssd import SSSDECG


def main(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    model = SSSDECG.from_pretrained()
    for ecg in model.generate_ecgs(["NORM", "atrial fibrillation"], seed=1):
        name = ecg.provenance["requested"]
        ecg.save(folder / name, overwrite=True)  # WFDB: two files
        picture = ecg.save(folder / f"{name}.png", overwrite=True)
        print(f"asked for {name}, generated {', '.join(ecg.statements)}: {picture}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("quickstart"))
    main(parser.parse_args().folder)
