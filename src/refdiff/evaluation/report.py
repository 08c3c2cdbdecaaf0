"""The report of a run: figures of every method and every fault."""

from __future__ import annotations

from collections import Counter
from operator import itemgetter
from pathlib import Path
from typing import Any

from .generalised import generalised_summary
from .metrics import Overlap, summary
from .run_folder import REPORT, TIMINGS, read_header, read_rows, write_json

ALL = "all"
"""What stands in a report for expressions of every kind."""
_LENGTHS = ((8, "8 or more words"), (5, "5-7 words"), (3, "3-4 words"), (0, "1-2 words"))

_Placed = tuple[tuple[int, int], Overlap]  # (image's index, position among the rows), which orders them


def write_report(folder: Path) -> dict[str, Any]:
    """Write and return every fault and the figures of every method: over all expressions and by kind, and by length.

    gRefCOCO's metrics are among them where an expression of the dataset may mean several things or nothing. Times go to
    `timings.json`, so that the report of the same run is the same to the byte. Raises InputError when the header or the
    rows cannot be read.
    """
    header = read_header(folder)
    one_target = header["dataset"].get("one_target", True)
    kinds: dict[str, dict[str, list[_Placed]]] = {name: {} for name in header["methods"]}
    lengths: dict[str, dict[str, list[_Placed]]] = {name: {} for name in header["methods"]}
    timings: dict[str, Counter[str]] = {name: Counter() for name in header["methods"]}
    faults = []
    for position, row in enumerate(read_rows(folder)):
        if "fault" in row:
            faults.append({key: row[key] for key in ("id", "image", "expression", "method", "fault") if key in row})
            continue
        placed = (row["image_index"], position), Overlap.of_row(row)
        for kind in {ALL, row["kind"] or ALL}:
            kinds[row["method"]].setdefault(kind, []).append(placed)
        lengths[row["method"]].setdefault(_length(row["expression"]), []).append(placed)
        timings[row["method"]].update(row["milliseconds"])
    figures, by_length = ({name: {group: _figures(found, one_target) for group, found in sorted(groups.items())}
                           for name, groups in grouping.items()} for grouping in (kinds, lengths))
    report = {key: value for key, value in header.items() if key != "where"} | {
        "faults": sorted(faults, key=lambda row: (row["image"], str(row["id"]), row.get("method", ""))),
        "figures": figures, "lengths": by_length}
    write_json(folder / TIMINGS, {name: {stage: round(value, 1) for stage, value in counted.items()}
                                  for name, counted in timings.items()})
    write_json(folder / REPORT, report)
    return report


def _length(expression: str) -> str:
    words = len(expression.split())
    return next(name for least, name in _LENGTHS if words >= least)


def _figures(found: list[_Placed], one_target: bool) -> dict[str, Any]:
    # in the order of the dataset, whichever image was finished first: sums of floats depend on it
    overlaps = [overlap for _, overlap in sorted(found, key=itemgetter(0))]
    figures: dict[str, Any] = {"expressions": len(found), **summary(overlaps)}
    return figures if one_target else figures | {"generalised": generalised_summary(overlaps)}
