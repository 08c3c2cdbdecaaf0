"""What confidences are worth: a calibration curve and an abstention curve for each method of a run that has them."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.drawing import grid
from ..core.files import make_folder, write_atomically
from ..core.images import save_image
from ..core.plots import plot
from ..errors import InputError
from .metrics import RIGHT, Overlap
from .run_folder import read_rows
from .tables import Run

_BINS = 10


@dataclass(frozen=True)
class Bin:
    """The answers whose confidence is in [low, high), the last bin's in [low, high]: their `count`, mean `confidence`,
    and the share that is `right`."""

    low: float
    high: float
    count: int
    confidence: float
    right: float


def calibration(confidences: np.ndarray, right: np.ndarray) -> list[Bin]:
    """The bins that are not empty, of confidences float [N] in [0, 1] and whether each answer is right, bool [N]."""
    place = np.minimum((confidences * _BINS).astype(int), _BINS - 1)
    return [Bin(i / _BINS, (i + 1) / _BINS, int((place == i).sum()), float(confidences[place == i].mean()),
                float(right[place == i].mean())) for i in np.unique(place).tolist()]


def expected_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error: how far confidence and share right are apart, by answer; 0 of none."""
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.confidence - each.right) for each in bins) / total if total else 0.0


def abstention(confidences: np.ndarray, right: np.ndarray, asked: int) -> list[tuple[float, float, float]]:
    """(least confidence that is answered, share of the `asked` expressions answered, share of those that is right) for
    every confidence there is, greatest first; arguments as of `calibration`."""
    order = np.argsort(-confidences, kind="stable")
    ordered, hits = confidences[order], np.cumsum(right[order])
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))  # of equal confidences
    return [(float(ordered[i]), (i + 1) / asked, float(hits[i]) / (i + 1)) for i in last.tolist()]


def write_curves(runs: Sequence[Run], folder: Path) -> dict[str, float]:
    """Write NAME-calibration.csv, NAME-abstention.csv and NAME.png below `folder` for each method with confidences.

    An answer without a confidence is in no bin and counts as never answered. Returns the expected calibration error by
    NAME, which is made of dataset, split and method, and of what tells runs over the same split apart. Raises
    InputError when no method has confidences, the rows cannot be read, or the folder cannot be made.
    """
    errors = {}
    for run in runs:
        found: dict[str, list[tuple[float, bool]]] = {}
        asked: Counter[str] = Counter()
        for row in read_rows(run.folder):
            if "fault" not in row:
                asked[row["method"]] += 1
                if row.get("confidence") is not None:
                    found.setdefault(row["method"], []).append((row["confidence"], Overlap.of_row(row).iou > RIGHT))
        for method, pairs in found.items():
            name = re.sub(r"[^\w.+()-]+", "_", f"{run.dataset}-{run.split}{run.which}-{method}")
            make_folder(folder)
            confidences, right = map(np.array, zip(*pairs, strict=True))
            errors[name] = _write(folder, name, confidences, right, asked[method])
    if not errors:
        raise InputError("No answer of these runs has a confidence; name a run of a method that has, such as ref-diff "
                         "with a bundle that is calibrated.")
    return errors


def _write(folder: Path, name: str, confidences: np.ndarray, right: np.ndarray, asked: int) -> float:
    bins, answered = calibration(confidences, right), abstention(confidences, right, asked)
    error = expected_error(bins)
    _write_csv(folder / f"{name}-calibration.csv", ["from", "to", "answers", "confidence", "right"],
               [(each.low, each.high, each.count, each.confidence, each.right) for each in bins])
    _write_csv(folder / f"{name}-abstention.csv", ["least_confidence", "answered", "right"], answered)
    reliable = plot([(each.confidence, each.right) for each in bins], f"expected calibration error {error:.3f}",
                    "confidence", "share right", diagonal=True, dots=True)
    selective = plot([(share, accuracy) for _, share, accuracy in answered],
                     f"{len(right)} of {asked} answers have a confidence", "share answered", "share of those right")
    save_image(grid([reliable, selective], columns=2), folder / f"{name}.png")
    return error


def _write_csv(path: Path, headings: list[str], rows: Sequence[tuple[Any, ...]]) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows([round(value, 6) for value in row] for row in rows)
    write_atomically(path, out.getvalue().encode())
