"""Tables of one run each: gRefCOCO's metrics, and mIoU by the kind and by the length of the expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .generalised import NAMES
from .report import ALL
from .tables import Cell, Run, Table, label

_Cells = dict[str, dict[str, Cell]]  # method -> what a column is called -> cell


def run_tables(runs: Sequence[Run]) -> list[Table]:
    """The tables of each run: gRefCOCO's metrics where an expression may mean several things or nothing; mIoU by kind
    and by length where there are two or more."""
    tables = []
    for run in runs:
        figures, lengths = run.report["figures"], run.report.get("lengths", {})
        generalised = {method: _generalised(groups[ALL]) for method, groups in figures.items()
                       if "generalised" in groups.get(ALL, {})}
        if generalised:
            tables.append(_table(run, "gRefCOCO's metrics", NAMES, generalised))
        kinds = {method: {kind: found for kind, found in groups.items() if kind != ALL}
                 for method, groups in figures.items()}
        for title, grouping in (("mIoU by kind", kinds), ("mIoU by length", lengths)):
            names = sorted(set().union(*grouping.values()))
            if len(names) > 1:
                cells = {method: {name: Cell(measured=100 * found["mIoU"], count=found["expressions"])
                                  for name, found in groups.items()} for method, groups in grouping.items()}
                counts = [f"{name} {max(each[name].count for each in cells.values() if name in each)}"
                          for name in names]
                tables.append(_table(run, title, names, cells, [f"Expressions: {', '.join(counts)}"]))
    return tables


def _generalised(figures: dict[str, Any]) -> dict[str, Cell]:
    return {name: Cell(measured=None if share is None else 100 * share, count=figures["expressions"])
            for name, share in figures["generalised"].items()}


def _table(run: Run, title: str, names: Sequence[str], cells: _Cells, notes: Sequence[str] = ()) -> Table:
    columns = tuple((run.dataset, run.split, name) for name in names)
    rows = {label(method): {column: found.get(column[2], Cell()) for column in columns}
            for method, found in cells.items()}
    table = Table(f"{run.dataset} {run.split}: {title}", columns, rows, list(notes), of_split=True)
    table.mark_best()
    return table
