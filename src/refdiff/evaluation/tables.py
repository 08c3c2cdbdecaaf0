"""The paper's tables, its figures beside the measured ones."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
from .report import ALL, left_out
from .rows_folder import fits
from .run_folder import REPORT, read_header, read_rows
from .significance import LEVEL, Difference, difference

_FULL = "ref-diff"
_COMPARED = ("region-token", "cropping", "global-local", "sam-clip", _FULL)
_ABLATED = ("ref-diff/g", "ref-diff/gs", "ref-diff/ds", _FULL)
_ABLATIONS = (4, 5)  # the paper's tables of them
_SETTINGS = ("settings", "bundle", "versions", "device", "dtype", "fast")
_REPORT_SHAPE: dict[str, Any] = {"figures": dict, "faults": list} | dict.fromkeys(_SETTINGS, object) | {
    "bundle": {"name": str}, "settings": {"seed": int}, "labels": dict, "plugins": dict, "shard": object,
    "dataset": {"limit": object, "fingerprint": str}}
_PROPOSALS_SHAPE = {"expressions": int} | dict.fromkeys(("mIoU", "upper_bound", "first", "among_first", "ranked"),
                                                        (int, float))
_FIGURES_SHAPE = {"expressions": int, "oIoU": (int, float), "mIoU": (int, float)}

Column = tuple[str, str, str]
"""(dataset, split, metric)."""


@dataclass
class Cell:
    """Percentages: what the `paper` says and what was `measured` over `count` expressions, with its standard
    `deviation` where it is the mean of `runs` with several seeds; whether it is the column's `best` measured figure,
    and whether Ref-Diff's differs with p < 0.01, with every seed."""

    paper: float | None = None
    measured: float | None = None
    deviation: float | None = None
    count: int = 0
    best: bool = False
    significant: bool = False
    runs: Sequence[Run] = ()


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
    """A finished run: its dataset and split as the paper names them, its report, where its rows are, and what tells it
    from other runs over the same split in the titles of its own tables."""

    dataset: str
    split: str
    report: dict[str, Any]
    folder: Path
    which: str = ""

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
        name, split = header["dataset"]["name"], header["dataset"]["split"]
        name, split = paper.column(name, header["dataset"]["annotations"], split) or (name, split)
        return cls(name, split, report, folder)

    @property
    def title(self) -> str:
        """What the titles of its own tables begin with."""
        return f"{self.dataset} {self.split}{self.which}"

    def label(self, method: str) -> str:
        """A method's name in tables."""
        return label(method) if method in METHODS else self.report["labels"].get(method, method)

    @cached_property
    def differences(self) -> dict[str, Difference]:
        """Method -> Ref-Diff minus it, over the expressions both answered where those are about two or more images."""
        overlaps: dict[str, dict[str, tuple[int, Overlap]]] = {}
        for row in read_rows(self.folder):
            if "fault" not in row:
                answer = row["image_index"], Overlap.of_row(row)
                overlaps.setdefault(row["method"], {})[str(row["id"])] = answer
        full, found = overlaps.pop(_FULL, {}), {}
        for name, other in overlaps.items():
            both = [key for key in full if key in other]
            images = [full[key][0] for key in both]
            if len(set(images)) > 1:
                found[name] = difference([full[key][1] for key in both], [other[key][1] for key in both], images)
        return found

    def differs_only_in_seed(self, other: Run) -> bool:
        """Whether two runs are the same but for their seeds."""
        mine, theirs = ({key: report[key] for key in (*_SETTINGS, "dataset", "plugins", "shard")}
                        for report in (self.report, other.report))
        seeds = [about["settings"]["seed"] for about in (mine, theirs)]
        return seeds[0] != seeds[1] and mine == theirs | {"settings": theirs["settings"] | {"seed": seeds[0]}}

    @property
    def reading(self) -> str:
        """How its data were read, where that is not the usual way, for a note."""
        about = self.report["dataset"]
        return (f", text {about['text']}" if about.get("text", "sent") != "sent" else "") + (
            f", truth as {about['truth_as']}" if about.get("truth_as", "union") != "union" else "")

    def fingerprint(self) -> str:
        """8 hexadecimal digits of the settings, bundle, versions, device, precision, optimisations and plug-ins."""
        about = {key: self.report[key] for key in (*_SETTINGS, *(["plugins"] if self.report["plugins"] else []))}
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:8]


def _is_report(report: Any) -> bool:
    parts = ("figures", *BREAKDOWNS)
    return fits(report, _REPORT_SHAPE) and fits([*report["labels"].values()], [str]) and (
        all(fits(report.get(part, {}), dict) for part in (*parts, "proposals"))
        and all(isinstance(groups, dict) and all(map(_are_figures, groups.values()))
                for part in parts for groups in report.get(part, {}).values())
        and all(fits(found, _PROPOSALS_SHAPE) for found in report.get("proposals", {}).values()))


def _are_figures(figures: Any) -> bool:
    if not fits(figures, _FIGURES_SHAPE):
        return False
    generalised = figures.get("generalised", dict.fromkeys(generalised_names))
    return isinstance(generalised, dict) and all(
        fits(generalised.get(name, ""), (int, float, type(None))) for name in generalised_names)


def read_runs(folders: Sequence[str | Path]) -> list[Run]:
    """Finished runs; those over the same split as another are told apart by their seed or, failing that, their folder.

    Raises InputError when a folder holds no finished run.
    """
    runs = [Run.read(folder) for folder in folders]
    named = []
    for run in runs:
        others = [other for other in runs if other is not run and other.title == run.title]
        seeds = all(run.differs_only_in_seed(other) for other in others)
        which = f"seed {run.report['settings']['seed']}" if seeds else shown(run.folder)
        named.append(replace(run, which=f", {which}") if others else run)
    return named


def label(method: str) -> str:
    """The name of one of the built-in and the reported methods in tables."""
    if method == paper.TSEG:
        return "TSEG (reported)"
    return METHODS[method].label if method in METHODS else method


def paper_tables(runs: Sequence[Run]) -> list[Table]:
    """Tables 1 to 5 with what the runs measured; then, for every other dataset among the runs, tables of the same
    methods. Methods that are in none of them stand below those of the comparisons.

    Runs that differ in their seeds alone are one measurement, with mean and standard deviation. Raises InputError when
    two others measured the same method on the same split.
    """
    tables = []
    further = [method for method in dict.fromkeys(name for run in runs for name in run.report["figures"])
               if method not in (*_COMPARED, *_ABLATED)]
    known = set(paper.REFCOCO_FAMILY) | set(paper.PHRASECUT)
    for number, (title, metric, columns, figures) in paper.TABLES.items():
        wide = tuple((*column, each) for column in columns for each in ((metric,) if metric else ("oIoU", "mIoU")))
        rows = {method: {column: Cell(paper=values.get(column if metric is None else column[:2])) for column in wide}
                for method, values in figures.items()}
        tables.append(_filled(f"Table {number}: {title}", wide, rows, runs, () if number in _ABLATIONS else further))
    others: dict[str, list[str]] = {}
    for run in runs:
        if (run.dataset, run.split) not in known and run.split not in others.setdefault(run.dataset, []):
            others[run.dataset].append(run.split)
    for name, splits in others.items():
        for methods, what, more in ((_COMPARED, "comparison", further), (_ABLATED, "ablation", [])):
            for metric in ("oIoU", "mIoU"):
                wide = tuple((name, split, metric) for split in splits)
                rows = {method: {column: Cell() for column in wide} for method in methods}
                tables.append(_filled(f"{name}: {what}, {metric}", wide, rows, runs, more))
    return tables


def _filled(title: str, columns: tuple[Column, ...], rows: dict[str, dict[Column, Cell]], runs: Sequence[Run],
            further: Sequence[str]) -> Table:
    """A table of `rows`, and of those of the `further` methods that a run measured in one of its columns."""
    notes: dict[str, None] = {}
    measured: dict[tuple[str, Column], list[Run]] = {}
    names: dict[str, str] = {method: label(method) for method in rows}
    for run in (run for run in runs if any(column[:2] == (run.dataset, run.split) for column in columns)):
        of_run = {method: run.report["figures"][method][ALL] for method in (*rows, *further)
                  if ALL in run.report["figures"].get(method, {})}
        for method in of_run:
            if method not in names:
                own = run.label(method)
                names[method] = f"{own} ({method})" if own in names.values() else own
            for column in columns:
                if column[:2] == (run.dataset, run.split):
                    measured.setdefault((method, column), []).append(run)
        if of_run:
            counts = sorted({figures["expressions"] for figures in of_run.values()})
            notes[_note(run, "/".join(map(str, counts)))] = None
    cells = {method: dict(rows.get(method, {})) for method in names}
    for method in names:
        for column in columns:
            cells[method].setdefault(column, Cell())
            if (method, column) in measured:
                _fill(cells[method][column], method, column, measured[method, column])
    found = [cell for of_method in cells.values() for cell in of_method.values()]
    if any(cell.deviation is not None for cell in found):
        notes["± standard deviation over runs with different seeds, beside their mean"] = None
    if any(cell.significant for cell in found):
        notes[f"† Ref-Diff differs with p < {LEVEL} (paired t-test on IoU)"] = None
    if any(cell.paper is not None for cell in found):
        both = any(cell.measured is not None for cell in found)
        notes[f"{'paper / measured; ' if both else ''}paper: {paper.SOURCE}"] = None
    table = Table(title, columns, {names[method]: of_method for method, of_method in cells.items()}, list(notes))
    table.mark_best()
    return table


def _fill(cell: Cell, method: str, column: Column, runs: Sequence[Run]) -> None:
    for number, run in enumerate(runs):
        for other in runs[:number]:
            if not run.differs_only_in_seed(other):
                raise InputError(f"Two runs, {shown(other.folder)} and {shown(run.folder)}, measured {method} on "
                                 f"{run.dataset} {run.split}; name one of them.")
    figures = [run.report["figures"][method][ALL] for run in runs]
    values = [100 * each[column[2]] for each in figures]
    cell.runs, cell.measured, cell.count = runs, statistics.fmean(values), figures[0]["expressions"]
    cell.deviation = statistics.stdev(values) if len(values) > 1 else None
    cell.significant = all(method in run.differences and run.differences[method].p < LEVEL for run in runs)


def _note(run: Run, counts: str) -> str:
    """What a run's figures are of."""
    parts = [f"{run.dataset} {run.split}{run.which}: "]
    if run.report["dataset"]["limit"] is not None:
        parts.append("the first ")
    parts.append(f"{counts} expressions")
    if run.report["shard"] is not None:
        parts.append(f" of shard {shown(run.report['shard'])}")
    if faults := left_out(run.report):
        parts.append(f" ({faults} faults left out)")
    return "".join([*parts, f"{run.reading}, bundle {run.report['bundle']['name']}, settings {run.fingerprint()}"])
