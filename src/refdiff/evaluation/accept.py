"""Acceptance: whether 200 expressions of a split agree with the paper's figures, as far as so few can tell."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..baselines.method import Method
from ..core.files import read_json, shown
from ..datasets import Dataset, Reference
from ..errors import InputError
from . import paper
from .metrics import Overlap
from .rows_folder import write_json
from .run_folder import REPORT, read_header, read_rows

EXPRESSIONS = 200
_RESAMPLES, _LEVEL = 10_000, 0.95
_AT_ONCE = 500  # resamples, to bound memory


def sample(dataset: Dataset, methods: Sequence[Method]) -> Dataset:
    """200 expressions of a split, the same ones wherever and in whatever order its files are.

    Images stand in the order of their names' SHA-256, an image's expressions in that of their ids'; of this list of N,
    those at the places (i + 1/2) N / 200 are taken. Every expression is as likely as any other, and they are spread
    over as many images as there are. Raises InputError where the paper has no figures of the split and all the methods.
    """
    column = paper.column(dataset.name, dataset.annotations, dataset.split)
    for method in methods:
        if not paper.figures(method.name, column):
            name = " ".join(map(shown, column or (dataset.name, dataset.split)))
            raise InputError(f"The paper has no figures of {method.name} on {name}; --accept is for the methods and "
                             "splits of its tables, such as ref-diff on RefCOCO val (--name says which dataset a "
                             "folder is).")
    ordered = sorted(dataset.references, key=_place)
    count = min(EXPRESSIONS, len(ordered))
    chosen = {ordered[(2 * i + 1) * len(ordered) // (2 * count)].id for i in range(count)}
    return replace(dataset, references=tuple(each for each in dataset.references if each.id in chosen))


def _place(reference: Reference) -> list[bytes]:
    return [hashlib.sha256(str(each).encode()).digest() for each in (reference.image.name, reference.id)]


def add_acceptance(folder: Path) -> dict[str, Any]:
    """Write into the report of a finished run of `sample`, and return, whether it agrees with the paper.

    For each method and metric: the `measured` figure, its 95 % interval from `low` to `high`, the `paper`'s figure, and
    whether that lies `within`. The interval is the percentile bootstrap's: images are drawn with replacement, each with
    all its expressions, as many as there are, 10,000 times. `accepted`: every figure of the paper lies within, and no
    expression was left out for a fault. Raises InputError when the report or the rows cannot be read.
    """
    header, report = read_header(folder), read_json(folder / REPORT)
    column = paper.column(header["dataset"]["name"], header["dataset"]["annotations"], header["dataset"]["split"])
    answers: dict[str, dict[int, list[Overlap]]] = {name: {} for name in header["methods"]}
    for row in read_rows(folder):
        if "fault" not in row:
            answers[row["method"]].setdefault(row["image_index"], []).append(Overlap.of_row(row))
    found = {method: _judged([images[index] for index in sorted(images)], paper.figures(method, column))
             for method, images in answers.items()}
    within = all(each["within"] for metrics in found.values() for each in metrics.values())
    acceptance = {"accepted": within and not report["faults"], "source": paper.SOURCE, "level": _LEVEL,
                  "resamples": _RESAMPLES, "images": max(map(len, answers.values())), "figures": found}
    write_json(folder / REPORT, report | {"acceptance": acceptance})
    return acceptance


def _judged(images: Sequence[Sequence[Overlap]], expected: dict[str, float]) -> dict[str, dict[str, Any]]:
    found = {}
    for metric, percent in expected.items():
        measured, low, high = interval(images, _STATISTICS[metric])
        found[metric] = {"measured": measured, "low": low, "high": high, "paper": percent / 100,
                         "within": low <= percent / 100 <= high}
    return found


def _mean_iou(overlap: Overlap) -> tuple[float, float]:
    return overlap.iou, 1.0


def _overall_iou(overlap: Overlap) -> tuple[float, float]:
    return overlap.intersection, overlap.union


_STATISTICS: dict[str, Callable[[Overlap], tuple[float, float]]] = {"mIoU": _mean_iou, "oIoU": _overall_iou}


def interval(images: Sequence[Sequence[Overlap]], parts: Callable[[Overlap], tuple[float, float]],
             seed: int = 0) -> tuple[float, float, float]:
    """(measured, low, high) of a sum of numerators over a sum of denominators, the `parts` of an expression; the 95 %
    percentile bootstrap interval over images, each the overlaps of its expressions. All 0 over none."""
    if not images:
        return 0.0, 0.0, 0.0
    sums = np.array([np.sum([parts(each) for each in image], 0) for image in images])  # [images, 2]
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(0, _RESAMPLES, _AT_ONCE):
        times = rng.multinomial(len(images), np.full(len(images), 1 / len(images)), _AT_ONCE)
        drawn.append(times @ sums)
    resampled = np.concatenate(drawn)
    shares = resampled[:, 0] / np.maximum(resampled[:, 1], 1)
    low, high = np.quantile(shares, ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2))
    return float(sums[:, 0].sum() / max(sums[:, 1].sum(), 1)), float(low), float(high)
