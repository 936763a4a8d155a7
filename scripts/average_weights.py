"""The mean of the weights of checkpoints of one network, with the configuration of the first.

    python scripts/average_weights.py runs/left/model.safetensors runs/right/model.safetensors --out mean.safetensors

Runs that began with the same weights lie in one basin: their mean is often better than each (Wortsman et al. 2022).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from sssd.checkpoints import read_state, write_safetensors


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.out.exists():
        raise SystemExit(f"error: {options.out} exists; choose another name")
    states, metadata = zip(*map(read_state, options.checkpoints), strict=True)
    mean = {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in states[0].items()
    }
    print(f"wrote {write_safetensors(options.out, mean, metadata[0])}")


if __name__ == "__main__":
    main()
