"""The paper's tables, its figures beside the measured ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..baselines.registry import METHODS
from ..core.files import read_json, shown
from ..errors import InputError
from . import paper
from .breakdowns import BREAKDOWNS
from .generalised import NAMES as generalised_names
from .metrics import Overlap
from .report import ALL
from .run_folder import REPORT, fits, read_header, read_rows
from .significance import LEVEL, Difference, difference

_FULL = "ref-diff"
_COMPARED = ("region-token", "cropping", "global-local", "sam-clip", _FULL)
_ABLATED = ("ref-diff/g", "ref-diff/gs", "ref-diff/ds", _FULL)
_SETTINGS = ("settings", "bundle", "versions", "device", "dtype", "fast")
_REPORT_SHAPE: dict[str, Any] = {"figures": dict, "faults": list} | dict.fromkeys(_SETTINGS, object) | {
    "bundle": {"name": str}}
_PROPOSALS_SHAPE = {"expressions": int} | dict.fromkeys(("mIoU", "upper_bound", "first", "among_first", "ranked"),
                                                        (int, float))
_FIGURES_SHAPE = {"expressions": int, "oIoU": (int, float), "mIoU": (int, float)}

Column = tuple[str, str, str]
"""(dataset, split, metric)."""


@dataclass
class Cell:
    """Percentages: what the `paper` says and what was `measured` over `count` expressions; whether it is the column's
    `best` measured figure, and whether Ref-Diff's differs with p < 0.01."""

    paper: float | None = None
    measured: float | None = None
    count: int = 0
    best: bool = False
    significant: bool = False


@dataclass
class Table:
    """`rows` from a method's label to its cells by column; `notes` stand underneath. `of_split`: the title names the
    only dataset and split, so that the columns' headings need not."""

    title: str
    columns: tuple[Column, ...]
    rows: dict[str, dict[Column, Cell]]
    notes: list[str] = field(default_factory=list)
    of_split: bool = False

    def mark_best(self) -> None:
        """Mark the greatest measured figure of every column whose figures differ."""
        for column in self.columns:
            cells = [cells[column] for cells in self.rows.values()]
            figures = [cell.measured for cell in cells if cell.measured is not None]
            for cell in cells:
                cell.best = cell.measured is not None and cell.measured == max(figures) > min(figures)


@dataclass(frozen=True)
class Run:
    """A finished run: its dataset and split as the paper names them, its report, and where its rows are."""

    dataset: str
    split: str
    report: dict[str, Any]
    folder: Path

    @classmethod
    def read(cls, folder: str | Path) -> Run:
        """Raises InputError when the folder holds no finished run."""
        folder = Path(folder)
        header = read_header(folder)
        if not (folder / REPORT).exists():
            raise InputError(f"The run {shown(folder)} is not finished; start refdiff evaluate on it again.")
        report = read_json(folder / REPORT)
        if not _is_report(report):
            raise InputError(f"{shown(folder / REPORT)} is not a report of refdiff evaluate; start it on the run "
                             "again.")
        name, split = paper.column(header["dataset"]["name"], header["dataset"]["split"],
                                   header["where"]["dataset"].get("split_by"))
        return cls(name, split, report, folder)

    @cached_property
    def differences(self) -> dict[str, Difference]:
        """Method -> Ref-Diff minus it, over the expressions both answered where those are two or more."""
        overlaps: dict[str, dict[str, Overlap]] = {}
        for row in read_rows(self.folder):
            if "fault" not in row:
                overlaps.setdefault(row["method"], {})[str(row["id"])] = Overlap.of_row(row)
        full, found = overlaps.pop(_FULL, {}), {}
        for name, other in overlaps.items():
            both = [key for key in full if key in other]
            if len(both) > 1:
                found[name] = difference([full[key] for key in both], [other[key] for key in both])
        return found

    def fingerprint(self) -> str:
        """8 hexadecimal digits of the settings, bundle, versions, device, precision and optimisations."""
        about = {key: self.report[key] for key in _SETTINGS}
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:8]


def _is_report(report: Any) -> bool:
    parts = ("figures", *BREAKDOWNS)
    return fits(report, _REPORT_SHAPE) and all(fits(report.get(part, {}), dict) for part in (*parts, "proposals")) and (
        all(isinstance(groups, dict) and all(map(_are_figures, groups.values()))
            for part in parts for groups in report.get(part, {}).values())
        and all(fits(found, _PROPOSALS_SHAPE) for found in report.get("proposals", {}).values()))


def _are_figures(figures: Any) -> bool:
    if not fits(figures, _FIGURES_SHAPE):
        return False
    generalised = figures.get("generalised", dict.fromkeys(generalised_names))
    return isinstance(generalised, dict) and all(
        fits(generalised.get(name, ""), (int, float, type(None))) for name in generalised_names)


def label(method: str) -> str:
    """A method's name in tables."""
    if method == paper.TSEG:
        return "TSEG (reported)"
    return METHODS[method].label if method in METHODS else method


def paper_tables(runs: Sequence[Run]) -> list[Table]:
    """Tables 1 to 5 with what the runs measured; then, for every other dataset among the runs, tables of the same
    methods. Raises InputError when two runs measured the same method on the same split."""
    tables = []
    known = set(paper.REFCOCO_FAMILY) | set(paper.PHRASECUT)
    for number, (title, metric, columns, figures) in paper.TABLES.items():
        wide = tuple((*column, each) for column in columns for each in ((metric,) if metric else ("oIoU", "mIoU")))
        rows = {method: {column: Cell(paper=values.get(column if metric is None else column[:2])) for column in wide}
                for method, values in figures.items()}
        tables.append(_filled(f"Table {number}: {title}", wide, rows, runs))
    others: dict[str, list[str]] = {}
    for run in runs:
        if (run.dataset, run.split) not in known and run.split not in others.setdefault(run.dataset, []):
            others[run.dataset].append(run.split)
    for name, splits in others.items():
        for methods, what in ((_COMPARED, "comparison"), (_ABLATED, "ablation")):
            for metric in ("oIoU", "mIoU"):
                wide = tuple((name, split, metric) for split in splits)
                rows = {method: {column: Cell() for column in wide} for method in methods}
                tables.append(_filled(f"{name}: {what}, {metric}", wide, rows, runs))
    return tables


def _filled(title: str, columns: tuple[Column, ...], rows: dict[str, dict[Column, Cell]],
            runs: Sequence[Run]) -> Table:
    notes = []
    measured_by: dict[tuple[str, str, str], Run] = {}
    for run in runs:
        wanted = [column for column in columns if column[:2] == (run.dataset, run.split)]
        measured = {method: run.report["figures"][method][ALL] for method in rows
                    if ALL in run.report["figures"].get(method, {})}
        if not wanted or not measured:
            continue
        for method, figures in measured.items():
            key = method, run.dataset, run.split
            if key in measured_by:
                raise InputError(f"Two runs, {shown(measured_by[key].folder)} and {shown(run.folder)}, measured "
                                 f"{method} on {run.dataset} {run.split}; name one of them.")
            measured_by[key] = run
            for column in wanted:
                cell = rows[method][column]
                cell.measured, cell.count = 100 * figures[column[2]], figures["expressions"]
                cell.significant = method in run.differences and run.differences[method].p < LEVEL
        counts = sorted({figures["expressions"] for figures in measured.values()})
        faults = len(run.report["faults"])
        notes.append(f"{run.dataset} {run.split}: {'/'.join(map(str, counts))} expressions"
                     + (f" ({faults} faults left out)" if faults else "")
                     + f", bundle {run.report['bundle']['name']}, settings {run.fingerprint()}")
    if any(cell.significant for cells in rows.values() for cell in cells.values()):
        notes.append(f"† Ref-Diff differs with p < {LEVEL} (paired t-test on IoU)")
    if any(cell.paper is not None for cells in rows.values() for cell in cells.values()):
        notes.append(f"paper / measured; paper: {paper.SOURCE}")
    table = Table(title, columns, {label(method): cells for method, cells in rows.items()}, notes)
    table.mark_best()
    return table
