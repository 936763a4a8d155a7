"""The tables of docs/hundred-million.md: what a hundred million records take, from measured figures.

    python benchmarks/plan.py            # print the tables
    python benchmarks/plan.py --write    # put them into the page

The figures are in benchmarks/results/corpus_plan.json, each with the command that measures it. A figure that is null
has not been measured, and its row is left out. Each worker writes in another thread while it generates, so it is as
fast as the slower of the two. Prices are examples.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FIGURES, PAGE = ROOT / "benchmarks/results/corpus_plan.json", ROOT / "docs/hundred-million.md"
BEGIN, END = "<!-- made by benchmarks/plan.py -->\n", "<!-- end -->\n"
WORKERS = {"one H200": (1, 8, 64), "2 CPU cores": (50, 500)}


def tables(figures: dict[str, Any]) -> str:
    """The tables as Markdown."""
    records, lines = figures["records"], []
    lines += ["| | files | TB | storage per month | writing alone, one worker |", "|---|---|---|---|---|"]
    for f in figures["writing"]:
        tb = records * f["bytes_per_record"] / 1e12
        lines.append(
            f"| {f['format']} | {f['files']:,} | {tb:.2f} | {tb * figures['price_per_tb_month']:.0f} | "
            f"{f['records_per_s']:,} records/s, {records / f['records_per_s'] / 3600:.1f} h |"
        )
    lines += [
        "",
        f"| generating, DDIM with {figures['steps']} steps | workers | format | records/s | hours | cost |",
    ]
    lines += ["|---|---|---|---|---|---|"]
    for g in figures["generating"]:
        if g["records_per_s"] is None:
            continue
        for workers in WORKERS[g["on"]]:
            for f in figures["writing"]:
                rate = workers * min(g["records_per_s"], f["records_per_s"])
                hours = records / rate / 3600
                cost = hours * workers * figures["price_per_hour"][g["on"]]
                lines.append(
                    f"| {g['on']} | {workers} | {f['format']} | {rate:,.0f} | {hours:,.1f} | {cost:,.0f} |"
                )
    return "\n".join(lines) + "\n"


def main() -> None:
    made = tables(json.loads(FIGURES.read_text()))
    if "--write" in sys.argv[1:]:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(before + BEGIN + "\n" + made + "\n" + END + rest.partition(END)[2], encoding="utf-8")
    else:
        print(made)


if __name__ == "__main__":
    main()
