"""Measure the points of paths between statements and between recordings, and write docs/recordings.md's tables.

    python scripts/measure_paths.py statements recordings --data ../shared/data/ptbxl_folds1-9

A path between statements mixes two label vectors and keeps the noise. A path between recordings is `interpolate`. The
figures are those of `sssd-ecg evaluate`, one row for each point. It takes about 5 minutes on one core of a CPU.
--checkpoint measures another network than the built-in one.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from docs_page import IMAGES, ROOT, parser, table, write_parts
from recordings_of_ptbxl import Data, Reader, chosen, draw, rms_uv

from sssd import SSSDECG
from sssd.editing.change import request_for
from sssd.evaluation import classifier
from sssd.evaluation.amplitude import median_amplitude_ratio
from sssd.evaluation.manifold import precision_recall_density_coverage
from sssd.evaluation.rhythm import beat_regularity
from sssd.leads import CLINICAL, to_eight, to_twelve
from sssd.signals.beats import find_beats, heart_rate, likeness, qrs_width

PAGE = ROOT / "docs/recordings.md"
POINTS = (0.0, 0.25, 0.5, 0.75, 1.0)
PAIRS = (  # statements at the two ends, and what is read of each
    ("NORM+SR", "CLBBB+SR", "NORM", "CLBBB"),
    ("NORM+SR", "IMI+SR", "NORM", "IMI"),
    ("NORM+SR", "LVH+SR", "NORM", "LVH"),
    ("NORM+SR", "AFIB", "NORM", "AFIB"),
)
EACH = 8  # records of each pair of statements, or half as many pairs of recordings
HEAD = (
    "first statement read",
    "last statement read",
    "from the point before, uV rms (median)",
    "regularity of beats",
    "likeness of beats",
    "heart rate, /min",
    "QRS width, ms",
    "amplitude",
    "inside the manifold of recordings",
)

RATE = 70.0  # beats per minute, since each point would draw its own


class Figures:
    """The figures of a set of records (n, 12, L) in mV, beside recordings that none of them was made of."""

    def __init__(self, reader: Reader, test: Data) -> None:
        self.reader, self.real = reader, to_eight(test.signal)
        self.seen = classifier.features(reader.models[0], self.real)

    def cells(
        self, signal: np.ndarray, before: np.ndarray | None, first: list[str], last: list[str]
    ) -> list[str]:
        eight = to_eight(signal)
        beats = [find_beats(one[:, :990], 100.0) for one in eight]
        pairs = list(zip(eight, beats, strict=True))
        of_manifold = precision_recall_density_coverage(
            self.seen, classifier.features(self.reader.models[0], eight)
        )
        return [
            *(self.read(signal, names) for names in (first, last)),
            "" if before is None else f"{np.median(rms_uv(signal, before)):.0f}",
            f"{np.nanmedian(beat_regularity(eight)):.2f}",
            f"{np.nanmedian([likeness(x, at, 100.0) for x, at in pairs]):.2f}",
            f"{np.nanmedian([heart_rate(at, 100.0) for at in beats]):.0f}",
            f"{np.nanmedian([qrs_width(x, at, 100.0) for x, at in pairs]):.0f}",
            f"{median_amplitude_ratio(eight, self.real).mean():.2f}",
            f"{100 * of_manifold['precision']:.0f} %",
        ]

    def read(self, signal: np.ndarray, names: list[str]) -> str:
        if not names:
            return ""
        found = [self.reader.has(x[None], name)[0] for x, name in zip(signal, names, strict=True)]
        return f"{100 * np.mean(found):.0f} %"


def rows_of(points: list[np.ndarray], figures: Figures, first: list[str], last: list[str]) -> list[list[str]]:
    return [
        [f"{share:g}", *figures.cells(made, points[k - 1] if k else None, first, last)]
        for k, (share, made) in enumerate(zip(POINTS, points, strict=True))
    ]


def picture(name: str, points: list[np.ndarray], row: int, lead: str) -> str:
    panels = [
        (f"{share:g} of the way", [("", made[row, CLINICAL.index(lead)], "tab:blue")])
        for share, made in zip(POINTS, points, strict=True)
    ]
    draw(IMAGES / name, panels, 10, lead)
    return name


def statements(model: SSSDECG, figures: Figures, test: Data, train: Data) -> str:
    ends = [[request_for(model, name).vectors for name in pair[:2]] for pair in PAIRS]
    points = []
    for share in POINTS:
        mixed = np.concatenate([np.repeat((1 - share) * a + share * b, EACH, axis=0) for a, b in ends])
        request = model.request(mixed.astype(np.float32), exact=True, heart_rate=RATE)
        made = model.sample(request, model.step_table(), seed=1, progress=False)
        points.append(to_twelve(made.numpy()))
    first, last = ([pair[k] for pair in PAIRS for _ in range(EACH)] for k in (2, 3))
    rows = rows_of(points, figures, first, last)
    real = train.signal[chosen(np.arange(len(train.signal)), len(points[0]), seed=1)]
    rows.append(["recordings of fold 8", *figures.cells(real, None, [], [])])
    halves = [
        f"from {a} to {b} {figures.read(points[2][k * EACH : (k + 1) * EACH], [last[k * EACH]] * EACH)}"
        for k, (a, b, *_) in enumerate(PAIRS)
    ]
    shares = ", ".join(halves)
    note = (
        f"These are {len(points[0])} paths. Half-way, the last statement is read in these shares: {shares}."
    )
    name = picture("path.png", points, 0, "V1")
    return f"{table(['share', *HEAD], rows)}\n\n{note}\n\n![A path from NORM+SR to CLBBB+SR](images/{name})"


def recordings(model: SSSDECG, figures: Figures, test: Data, _: Data) -> str:
    made, first, last = [], [], []
    for a, b, name, other in PAIRS:
        rows = [chosen(test.having(one), EACH // 2, seed=1) for one in (a, b)]
        for start, end in zip(*rows, strict=True):
            path = model.interpolate(test.ecg(start), test.ecg(end), len(POINTS), seed=1, progress=False)
            made.append([one.signal for one in path])
            first.append(name)
            last.append(other)
    points = list(np.array(made).swapaxes(0, 1))
    note = f"These are paths between {len(made)} pairs of recordings of fold 9 with the same statements as above."
    return f"{table(['share', *HEAD], rows_of(points, figures, first, last))}\n\n{note}"


PARTS = {"statements": statements, "recordings": recordings}


def main() -> None:
    options = parser(__doc__, PARTS).parse_args()
    data, model = Data.read(options.data), SSSDECG.from_pretrained(options.checkpoint, device="cpu")
    test, tune = data.part([9]), data.part([8])
    figures = Figures(Reader(data), test)
    write_parts(
        PAGE, {f"path of {name}": partial(PARTS[name], model, figures, test, tune) for name in options.parts}
    )


if __name__ == "__main__":
    main()
