"""The report of a run: figures of every method and every fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .breakdowns import BREAKDOWNS
from .generalised import generalised_summary
from .metrics import Overlap, summary
from .rows_folder import Row, write_json
from .run_folder import REPORT, TIMINGS, read_header, read_rows

ALL = "all"
"""What stands in a report for expressions of every kind."""
_FIRST = 5  # places in a method's order
_KEPT = ("image_index", "expression", "kind", "iou", "intersection", "union", "area", "look_alikes", "upper_bound",
         "rank")


def left_out(report: Mapping[str, Any]) -> int:
    """How many expressions have a fault: one that several methods refuse is one."""
    return len({(fault["image"], str(fault["id"])) for fault in report["faults"]})


def write_report(folder: Path) -> dict[str, Any]:
    """Write and return every fault and the figures of every method: over all expressions and by kind, by each of
    `BREAKDOWNS`, and of the proposals.

    gRefCOCO's metrics are among them where an expression of the dataset may mean several things or nothing. Times go to
    `timings.json`, so that the report of the same run is the same to the byte. Raises InputError when the header or the
    rows cannot be read.
    """
    header = read_header(folder)
    one_target = header["dataset"].get("one_target", True)
    answers: dict[str, list[Row]] = {name: [] for name in header["methods"]}
    timings: dict[str, Counter[str]] = {name: Counter() for name in header["methods"]}
    faults: list[Row] = []
    for row in read_rows(folder):
        if "fault" in row:
            faults.append({key: row[key] for key in ("id", "image", "expression", "method", "fault") if key in row})
            continue
        answers[row["method"]].append({key: row.get(key) for key in _KEPT})
        timings[row["method"]].update(row["milliseconds"])
    faults.sort(key=lambda row: (row["image"], str(row["id"]), row.get("method", "")))
    for rows in answers.values():
        # in the order of the dataset, whichever image was finished first: sums of floats depend on it
        rows.sort(key=lambda row: row["image_index"])

    def by(group: Callable[[Row], str | None]) -> dict[str, dict[str, Any]]:
        return {method: _by_group(rows, group, one_target) for method, rows in answers.items()}

    kinds = by(lambda row: row["kind"])
    report = {key: value for key, value in header.items() if key != "where"} | {
        "faults": faults,
        "figures": {method: every | kinds[method] for method, every in by(lambda row: ALL).items()},
        **{name: by(breakdown.group) for name, breakdown in BREAKDOWNS.items()},
        "proposals": {method: _of_proposals(ranked) for method, rows in answers.items()
                      if (ranked := [row for row in rows if row["upper_bound"] is not None])}}
    write_json(folder / TIMINGS, {name: {stage: round(value, 1) for stage, value in counted.items()}
                                  for name, counted in timings.items()})
    write_json(folder / REPORT, report)
    return report


def _by_group(rows: Sequence[Row], group: Callable[[Row], str | None], one_target: bool) -> dict[str, Any]:
    """The figures of each group of rows but that of None."""
    found: dict[str, list[Overlap]] = {}
    for row in rows:
        name = group(row)
        if name is not None:
            found.setdefault(name, []).append(Overlap.of_row(row))
    return {name: _figures(overlaps, one_target) for name, overlaps in sorted(found.items())}


def _figures(overlaps: Sequence[Overlap], one_target: bool) -> dict[str, Any]:
    figures: dict[str, Any] = {"expressions": len(overlaps), **summary(overlaps)}
    return figures if one_target else figures | {"generalised": generalised_summary(overlaps)}


def _of_proposals(rows: Sequence[Row]) -> dict[str, float]:
    """Of rows whose method ranks proposals: mIoU; the mean IoU of the best proposal, which choosing one cannot exceed;
    how often the method ranks that `first`, among its first 5, and at all."""
    ranks = np.array([row["rank"] or np.inf for row in rows])
    return {"expressions": len(rows), "mIoU": float(np.mean([row["iou"] for row in rows])),
            "upper_bound": float(np.mean([row["upper_bound"] for row in rows])), "first": float((ranks == 1).mean()),
            "among_first": float((ranks <= _FIRST).mean()), "ranked": float(np.isfinite(ranks).mean())}
