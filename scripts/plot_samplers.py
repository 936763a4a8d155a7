"""Draw the table of samplers: headline quality against network evaluations, and against seconds.

    python scripts/plot_samplers.py benchmarks/results/samplers_h200.md docs/images/samplers.svg \\
        --cpu-ms 7.5 --gpu-ms 0.0125

The table is what scripts/sampler_quality.py writes for several seeds. --cpu-ms, --gpu-ms: what one evaluation of one
record takes; every sampler costs its evaluations.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from matplotlib.figure import Figure

from sssd.io.files import replacing

ROW = re.compile(
    r"^\| (?P<name>\S+) \| (?P<steps>\d+) \| (?P<mean>[\d.]+) \((?P<low>[\d.]+) to (?P<high>[\d.]+)\)"
)
FAMILIES = {
    "ddpm": ("DDPM", "black", "s"),
    "ddim_eta": ("DDIM, eta above 0", "tab:blue", "o"),
    "ddim": ("DDIM", "tab:cyan", "o"),
    "sde-dpmpp-2m": ("SDE-DPM-Solver++(2M)", "tab:orange", "^"),
    "sde-ode-dpmpp-2m": ("SDE- then DPM-Solver++(2M)", "tab:red", "v"),
    "unipc": ("UniPC", "tab:green", "D"),
    "fitted": ("fitted to the model", "tab:purple", "P"),
}


def family(name: str) -> str:
    for sde in ("sde-dpmpp-2m", "sde-ode-dpmpp-2m"):
        if name.startswith(sde):
            return sde
    return "ddim_eta" if "_eta" in name else re.split(r"\d", name)[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cpu-ms", type=float, required=True)
    parser.add_argument("--gpu-ms", type=float, required=True)
    options = parser.parse_args()
    found = [match for line in options.table.read_text().splitlines() if (match := ROW.match(line))]
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for key, (label, colour, marker) in FAMILIES.items():
        rows = sorted(
            (int(m["steps"]), *(float(m[k]) for k in ("mean", "low", "high")))
            for m in found
            if family(m["name"]) == key
        )
        if not rows:
            continue
        steps, mean, low, high = zip(*rows, strict=True)
        spread = [
            [a - b for a, b in zip(mean, low, strict=True)],
            [b - a for a, b in zip(mean, high, strict=True)],
        ]
        axes.errorbar(steps, mean, spread, color=colour, marker=marker, capsize=3, lw=1, label=label)
    axes.set(xscale="log", ylim=(0, 130), ylabel="worst of four qualities, % of DDPM's")
    axes.set_xlabel("network evaluations for an ECG")
    axes.axhline(100, color="grey", lw=0.5)
    for place, name, ms in (
        (1.0, "seconds on two CPU cores", options.cpu_ms),
        (1.13, "seconds on an H200", options.gpu_ms),
    ):
        other = axes.secondary_xaxis(
            place, functions=(lambda n, ms=ms: n * ms / 1e3, lambda s, ms=ms: s * 1e3 / ms)
        )
        other.set_xlabel(name)
    axes.legend(fontsize=8, loc="lower right")
    with replacing(options.out, overwrite=True) as (part,):
        figure.savefig(part, format=options.out.suffix[1:])
    print(options.out)


if __name__ == "__main__":
    main()
