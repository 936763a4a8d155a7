"""Write one checkpoint with the fitted solvers of several: python scripts/join_fits.py FIRST MORE... OUT

All have the same weights. OUT is FIRST with the solvers of the others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sssd.fitting.solver import starting_solver, write_fit
from sssd.model_wrapper import SSSDECG


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", type=Path)
    parser.add_argument("more", type=Path, nargs="+")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    weights = SSSDECG.from_pretrained(options.first, device="cpu").model_hash
    source = options.first
    for path in options.more:
        model = SSSDECG.from_pretrained(path, device="cpu")
        if model.model_hash != weights:
            raise SystemExit(f"error: {path} has other weights than {options.first}")
        for fit in model.config.ddim_config.fits:
            source = write_fit(source, options.out, starting_solver(model, len(fit.steps))[0])
    print(options.out)


if __name__ == "__main__":
    main()
