"""Tables of one run each: gRefCOCO's metrics, how proposals are ranked, and mIoU by kind and by each breakdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .breakdowns import BREAKDOWNS
from .generalised import NAMES
from .report import ALL
from .tables import Cell, Run, Table

_Cells = dict[str, dict[str, Cell]]  # method -> what a column is called -> cell
_PROPOSALS = {"mIoU": "mIoU", "upper bound": "upper_bound", "first": "first", "among 5": "among_first",
              "ranked": "ranked"}


def run_tables(runs: Sequence[Run]) -> list[Table]:
    """The tables of each run: gRefCOCO's metrics where an expression may mean several things or nothing; how methods
    rank the best proposal; mIoU by kind and by each of `BREAKDOWNS` where there are two groups or more."""
    tables = []
    for run in runs:
        figures = run.report["figures"]
        generalised = {method: _generalised(groups[ALL]) for method, groups in figures.items()
                       if "generalised" in groups.get(ALL, {})}
        if generalised:
            tables.append(_table(run, "gRefCOCO's metrics", NAMES, generalised))
        proposals = {method: {name: Cell(measured=100 * found[key], count=found["expressions"])
                              for name, key in _PROPOSALS.items()}
                     for method, found in run.report.get("proposals", {}).items()}
        if proposals:
            tables.append(_table(run, "proposals", tuple(_PROPOSALS), proposals, [
                "Upper bound: mIoU of the best proposals; then how often a method ranks the best one first, among its "
                "first 5, and at all"]))
        kinds = {method: {kind: found for kind, found in groups.items() if kind != ALL}
                 for method, groups in figures.items()}
        tables += _breakdown(run, "kind", sorted(set().union(*kinds.values())), kinds)
        for name, breakdown in BREAKDOWNS.items():
            tables += _breakdown(run, breakdown.title, breakdown.groups, run.report.get(name, {}))
    return tables


def _breakdown(run: Run, title: str, groups: Sequence[str], figures: dict[str, dict[str, Any]]) -> list[Table]:
    """mIoU by those of the groups that there are; no table of fewer than two."""
    names = [group for group in groups if any(group in found for found in figures.values())]
    if len(names) < 2:
        return []
    cells = {method: {name: Cell(measured=100 * found[name]["mIoU"], count=found[name]["expressions"])
                      for name in names if name in found} for method, found in figures.items()}
    counts = [f"{name} {max(each[name].count for each in cells.values() if name in each)}" for name in names]
    return [_table(run, f"mIoU by {title}", names, cells, [f"Expressions: {', '.join(counts)}"])]


def _generalised(figures: dict[str, Any]) -> dict[str, Cell]:
    return {name: Cell(measured=None if share is None else 100 * share, count=figures["expressions"])
            for name, share in figures["generalised"].items()}


def _table(run: Run, title: str, names: Sequence[str], cells: _Cells, notes: Sequence[str] = ()) -> Table:
    columns = tuple((run.dataset, run.split, name) for name in names)
    rows = {run.label(method): {column: found.get(column[2], Cell()) for column in columns}
            for method, found in cells.items()}
    table = Table(f"{run.title}: {title}", columns, rows, list(notes), of_split=True)
    table.mark_best()
    return table
