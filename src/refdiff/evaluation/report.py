"""The report of a run: figures of every method and every fault."""

from __future__ import annotations

from collections import Counter
from operator import itemgetter
from pathlib import Path
from typing import Any

from .metrics import Overlap, summary
from .run_folder import REPORT, TIMINGS, read_header, read_rows, write_json

ALL = "all"
"""What stands in a report for expressions of every kind."""


_Placed = tuple[tuple[int, int], Overlap]  # (image's index, position among the rows), which orders them


def write_report(folder: Path) -> dict[str, Any]:
    """Write and return the figures of every method, over all expressions and by kind, and every fault.

    Times go to `timings.json`, so that the report of the same run is the same to the byte. Raises InputError when the
    header or the rows cannot be read.
    """
    header = read_header(folder)
    overlaps: dict[str, dict[str, list[_Placed]]] = {name: {} for name in header["methods"]}
    timings: dict[str, Counter[str]] = {name: Counter() for name in header["methods"]}
    faults = []
    for position, row in enumerate(read_rows(folder)):
        if "fault" in row:
            faults.append({key: row[key] for key in ("id", "image", "expression", "method", "fault") if key in row})
            continue
        for kind in {ALL, row["kind"] or ALL}:
            found = overlaps[row["method"]].setdefault(kind, [])
            found.append(((row["image_index"], position), Overlap.of_row(row)))
        timings[row["method"]].update(row["milliseconds"])
    figures = {name: {kind: _figures(found) for kind, found in sorted(kinds.items())}
               for name, kinds in overlaps.items()}
    report = {key: value for key, value in header.items() if key != "where"} | {
        "faults": sorted(faults, key=lambda row: (row["image"], str(row["id"]), row.get("method", ""))),
        "figures": figures}
    write_json(folder / TIMINGS, {name: {stage: round(value, 1) for stage, value in counted.items()}
                                  for name, counted in timings.items()})
    write_json(folder / REPORT, report)
    return report


def _figures(found: list[_Placed]) -> dict[str, float]:
    # in the order of the dataset, whichever image was finished first: sums of floats depend on it
    return {"expressions": len(found), **summary(overlap for _, overlap in sorted(found, key=itemgetter(0)))}
