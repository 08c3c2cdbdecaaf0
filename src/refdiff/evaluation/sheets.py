"""Sheets of examples: image, truth, each method's mask and IoU and, where asked for, the correlation map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..core.drawing import heat_overlay, overlay
from ..core.figures import Figure, Panel, at_print_size
from ..core.files import shown
from ..core.images import load_image
from ..core.masks import from_rle
from ..datasets import Reference, open_dataset
from ..errors import InputError
from .maps import Maps
from .rows_folder import Row, fits
from .run_folder import read_header, read_rows

PICKS = ("worst", "best", "random", "differ")
TRUTH_COLOUR = (30, 150, 70)
_WHERE_SHAPE = {**dict.fromkeys(("path", "split", "text", "truth_as"), str),
                **dict.fromkeys(("split_by", "images", "name"), (str, type(None))), "limit": (int, type(None))}


@dataclass(frozen=True)
class Column:
    """One method's answers in one run: what the sheet calls it, and its rows by expression."""

    label: str
    rows: Mapping[str, Row]


@dataclass(frozen=True)
class Sheet:
    """Expressions that were `picked`, by their ids in order, and what `columns` answered; `headers` of the runs."""

    title: str
    subtitle: str
    columns: Sequence[Column]
    picked: Sequence[str]
    references: Mapping[str, Reference]
    headers: Sequence[dict[str, Any]]

    def figures(self, dpi: float, maps: Maps | None = None) -> Iterator[Figure]:
        """A figure for each expression: the image, the truth (green), the map of each run with `maps`, and every
        method's mask (blue). What cannot be drawn is said in the figure's note."""
        for place, id in enumerate(self.picked, 1):
            reference, rows = self.references[id], [column.rows[id] for column in self.columns]
            title = f"{place}. {reference.expression}"
            try:
                image = load_image(reference.image)
                panels = self._panels(image, reference, rows, dpi, maps)
                yield Figure(panels, title, _about(reference, rows[0]))
            except InputError as error:
                yield Figure([], title, f"{_about(reference, rows[0])}: {error}")

    def _panels(self, image: np.ndarray, reference: Reference, rows: Sequence[Row], dpi: float,
                maps: Maps | None) -> list[Panel]:
        size = image.shape[0], image.shape[1]
        drawn = at_print_size(image, dpi)
        truth = at_print_size(reference.truth(size), dpi)
        panels = [Panel("Image", Image.fromarray(drawn)),
                  Panel("Truth", overlay(drawn, [truth], colours=[TRUTH_COLOUR]), f"{rows[0]['area']:,} px")]
        for name, values in (maps.of(reference.expression, image) if maps else {}).items():
            panels.append(Panel("Correlation map", heat_overlay(drawn, at_print_size(values, dpi)), name, bar=True))
        for column, row in zip(self.columns, rows, strict=True):
            mask = at_print_size(from_rle(row["rle"], size), dpi)
            panels.append(Panel(column.label, overlay(drawn, [mask]), _said(row)))
        return panels


def make_sheet(runs: Sequence[str | Path], methods: Sequence[str] | None, pick: str, count: int,
               seed: int = 0) -> Sheet:
    """Pick `count` expressions that all of the methods (default: all there are) answered in all of the runs.

    `pick`: those with the 'worst' or 'best' IoU, the mean of the methods', those where methods 'differ' the most (the
    greatest IoU minus the least), or 'random' ones, by `seed`. Raises InputError where the runs are not of the same
    data, their dataset is no longer where they found it, or they have no such method or no answer in common.
    """
    folders = [Path(run) for run in runs]
    headers = [read_header(folder) for folder in folders]
    dataset = headers[0]["dataset"]
    if any(header["dataset"]["fingerprint"] != dataset["fingerprint"] for header in headers):
        raise InputError("The runs are of different data; a sheet shows runs of one dataset and split.")
    columns = _columns(folders, headers, methods)
    if pick == "differ" and len(columns) < 2:
        raise InputError("Where methods differ can be shown of two or more; name another method or run.")
    references = _references(folders[0], headers[0])
    common = set(references).intersection(*(column.rows for column in columns))
    if not columns or not common:
        raise InputError("No expression was answered by all of the methods; name fewer of them with --method.")
    rows = columns[0].rows
    ordered = sorted(common, key=lambda id: (rows[id]["image"], id))
    ious = np.array([[column.rows[id]["iou"] for column in columns] for id in ordered])
    picked = [ordered[place] for place in picked_places(ious, pick, count, seed)]
    what = {"worst": "the worst", "best": "the best", "random": f"at random (seed {seed})",
            "differ": "where methods differ the most"}[pick]
    made = [f"{shown(folder)}, bundle {header['bundle']['name']} {header['bundle']['fingerprint']}"
            for folder, header in zip(folders, headers, strict=True)]
    subtitle = made[0] if len(made) == 1 else "; ".join(f"run {place}: {each}" for place, each in enumerate(made, 1))
    return Sheet(f"{dataset['name']} {dataset['split']}: {len(picked)} of {len(common)} expressions, {what}", subtitle,
                 columns, picked, references, headers)


def picked_places(ious: np.ndarray, pick: str, count: int, seed: int) -> list[int]:
    """The places of `count` expressions among `ious` float [N, methods]; of equal ones the earlier come first."""
    if pick == "random":
        return np.random.default_rng(seed).permutation(len(ious))[:count].tolist()
    keys = {"worst": ious.mean(1), "best": -ious.mean(1), "differ": ious.min(1) - ious.max(1)}[pick]
    return np.argsort(keys, kind="stable")[:count].tolist()


def _columns(folders: Sequence[Path], headers: Sequence[dict[str, Any]],
             methods: Sequence[str] | None) -> list[Column]:
    """A column for each run and each of the methods that it has; of None, for all that there are."""
    known = Counter(name for header in headers for name in header["methods"])
    asked = list(dict.fromkeys(methods or known))
    for name in asked:
        if name not in known:
            raise InputError(f"There is no method {shown(repr(name))} in {', '.join(map(shown, folders))}; name one "
                             f"with --method: {shown(', '.join(known))}.")
    columns = []
    for place, (folder, header) in enumerate(zip(folders, headers, strict=True), 1):
        found: dict[str, dict[str, Row]] = {name: {} for name in asked if name in header["methods"]}
        for row in read_rows(folder):
            if "fault" not in row and row["method"] in found:
                found[row["method"]][str(row["id"])] = row
        columns += [Column(header["labels"].get(name, name) + ("" if known[name] == 1 else f", run {place}"), rows)
                    for name, rows in found.items()]
    return columns


def _references(run: Path, header: dict[str, Any]) -> dict[str, Reference]:
    """The references of a run's dataset, by id. Raises InputError where it has changed since the run."""
    where = header["where"]["dataset"]
    if not fits(where, _WHERE_SHAPE):
        raise InputError(f"The header of {shown(run)} does not say where its dataset is.")
    dataset = open_dataset(**{key: where[key] for key in _WHERE_SHAPE})
    if dataset.fingerprint() != header["dataset"]["fingerprint"]:
        ids = {str(row["id"]) for row in read_rows(run)}
        part = tuple(each for each in dataset.references if str(each.id) in ids)  # as `--accept` takes one
        if replace(dataset, references=part).fingerprint() != header["dataset"]["fingerprint"]:
            raise InputError(f"The dataset {shown(header['dataset']['name'])} has changed since the run {shown(run)}.")
    return {str(each.id): each for each in dataset.references}


def _about(reference: Reference, row: Row) -> str:
    parts = [shown(reference.image.name), f"expression {reference.id}", reference.kind,
             row.get("object_size") and f"{row['object_size']} object"]
    if row.get("look_alikes") is not None:
        parts.append(f"look-alikes {row['look_alikes']}")
    return ", ".join(shown(part) for part in parts if part)


def _said(row: Row) -> str:
    parts = [f"IoU {row['iou']:.3f}"]
    if not row.get("found", True):
        parts.append("nothing found")
    if row.get("upper_bound") is not None:
        parts.append(f"best {row['upper_bound']:.3f}" + (f" ranked {row['rank']}" if row.get("rank") else ""))
    return ", ".join(parts)
