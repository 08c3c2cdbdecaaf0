"""The paper's tables, its figures beside the measured ones, as Markdown, CSV, LaTeX or HTML."""

from __future__ import annotations

import csv
import hashlib
import html
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..methods import METHODS
from . import paper
from .metrics import Overlap
from .runner import REPORT, read_header, read_rows
from .significance import LEVEL, Difference, difference

_FULL = "ref-diff"
_COMPARED = ("region-token", "cropping", "global-local", "sam-clip", _FULL)
_ABLATED = ("ref-diff/g", "ref-diff/gs", "ref-diff/ds", _FULL)
# How datasets' folders are called, without case and punctuation -> the paper's name
_PAPER_NAMES = {"refcoco": "RefCOCO", "refcoco+": "RefCOCO+", "refcocog": "RefCOCOg", "phrasecut": "PhraseCut",
                "vgphrasecut_v0": "PhraseCut"}

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
    """`rows` from a method's label to its cells by column; `notes` stand underneath."""

    title: str
    columns: tuple[Column, ...]
    rows: dict[str, dict[Column, Cell]]
    notes: list[str] = field(default_factory=list)


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
        about = read_header(folder)
        try:
            report = json.loads((folder / REPORT).read_text())
        except (OSError, ValueError):
            raise InputError(f"The run {folder} is not finished; start refdiff evaluate on it again.") from None
        name = about["dataset"]["name"]
        name = _PAPER_NAMES.get(name.lower(), name)
        split = about["dataset"]["split"]
        if name == "RefCOCOg":
            split = f"{split}({'G' if about['where'].get('split_by') == 'google' else 'U'})"
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
        """8 hexadecimal digits of the settings, bundle, versions, device and precision."""
        about = {key: self.report[key] for key in ("settings", "bundle", "versions", "device", "dtype")}
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:8]


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
    for run in runs:
        wanted = [column for column in columns if column[:2] == (run.dataset, run.split)]
        measured = [method for method in rows if method in run.report["figures"]]
        if not wanted or not measured:
            continue
        counts = set()
        for column in wanted:
            for method in measured:
                cell, figures = rows[method][column], run.report["figures"][method].get("all")
                if figures is None:
                    continue
                if cell.measured is not None:
                    raise InputError(f"Two runs measured {method} on {run.dataset} {run.split}; name one of them.")
                cell.measured, cell.count = 100 * figures[column[2]], figures["expressions"]
                cell.significant = method in run.differences and run.differences[method].p < LEVEL
                counts.add(cell.count)
        faults = len(run.report["faults"])
        notes.append(f"{run.dataset} {run.split}: {'/'.join(map(str, sorted(counts)))} expressions"
                     + (f" ({faults} faults left out)" if faults else "")
                     + f", bundle {run.report['bundle']['name']}, settings {run.fingerprint()}")
    for column in columns:
        cells = [cells[column] for cells in rows.values() if cells[column].measured is not None]
        if len(cells) > 1:
            greatest = max(cell.measured for cell in cells)
            for cell in cells:
                cell.best = cell.measured == greatest
    labelled = {METHODS[method].label if method in METHODS else "TSEG (reported)": cells
                for method, cells in rows.items()}
    if any(cell.significant for cells in rows.values() for cell in cells.values()):
        notes.append(f"† Ref-Diff differs with p < {LEVEL} (paired t-test on IoU)")
    if any(cell.paper is not None for cells in rows.values() for cell in cells.values()):
        notes.append(f"paper / measured; paper: {paper.SOURCE}")
    return Table(title, columns, labelled, notes)


@dataclass(frozen=True)
class Grid:
    """What a renderer draws: `rows` of text, a cell in bold where its text stands between asterisks."""

    title: str
    headings: list[str]
    rows: list[list[str]]
    notes: list[str]


def significance_grid(run: Run) -> Grid | None:
    """Ref-Diff minus every other method of a run; None where the run lacks one of them."""
    interval = lambda ends: f"{100 * ends[0]:.2f} to {100 * ends[1]:.2f}"  # noqa: E731
    rows = [[METHODS[name].label, str(found.count), f"{100 * found.mean:.2f}", interval(found.miou_interval),
             f"{found.p:.2g}", f"{100 * found.oiou:.2f}", interval(found.oiou_interval)]
            for name, found in run.differences.items()]
    headings = ["Ref-Diff minus", "expressions", "mIoU", "95 % interval", "p", "oIoU", "95 % interval"]
    return Grid(f"{run.dataset} {run.split}: significance", headings, rows, [
        "paired t-test on IoU; bootstrap intervals over expressions"]) if rows else None


def render(tables: Sequence[Table], form: str, runs: Sequence[Run] = ()) -> str:
    """The tables, and the significance of each run, as 'markdown', 'csv' (figures alone), 'latex' or 'html'.

    Bold marks the best measured figure of a column.
    """
    if form == "csv":
        return _csv(tables)
    grids = [_grid(table) for table in tables] + [grid for grid in map(significance_grid, runs) if grid]
    body = "\n\n".join(map({"markdown": _markdown, "latex": _latex, "html": _html}[form], grids)) + "\n"
    if form == "html":
        return ('<!doctype html><html lang="en"><meta charset="utf-8"><title>refdiff tables</title><style>'
                "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
                "table{border-collapse:collapse}td,th{padding:.3rem .7rem;border-bottom:1px solid #ddd;"
                "text-align:right}td:first-child,th:first-child{text-align:left}p{color:#555}</style>\n"
                + body + "</html>\n")
    return body


def _grid(table: Table) -> Grid:
    metrics = {metric for _, _, metric in table.columns}
    headings = [f"{dataset} {split}" + (f" {metric}" if len(metrics) > 1 else "")
                for dataset, split, metric in table.columns]
    rows = [[label, *(_text(cells[column]) for column in table.columns)] for label, cells in table.rows.items()]
    return Grid(table.title, ["Method", *headings], rows, table.notes)


def _text(cell: Cell) -> str:
    """'35.16 / **34.90**†', '35.16', '34.90' or '-'."""
    if cell.measured is None:
        return "-" if cell.paper is None else f"{cell.paper:.2f}"
    measured = (f"**{cell.measured:.2f}**" if cell.best else f"{cell.measured:.2f}") + "†" * cell.significant
    return measured if cell.paper is None else f"{cell.paper:.2f} / {measured}"


def _bold(text: str, by: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", by, text)


def _markdown(grid: Grid) -> str:
    lines = [f"**{grid.title}**", "", "| " + " | ".join(grid.headings) + " |",
             "| --- |" + " ---: |" * (len(grid.headings) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in grid.rows]
    return "\n".join(lines + [""] + [f"{note}.  " for note in grid.notes]).rstrip()


def _latex(grid: Grid) -> str:
    def safe(text: str) -> str:
        escaped = text.replace("_", r"\_").replace("%", r"\%").replace("†", r"$^\dagger$")
        return _bold(escaped, r"\\textbf{\1}")

    lines = [r"\begin{table}", rf"\caption{{{safe(grid.title)}}}",
             r"\begin{tabular}{l" + "r" * (len(grid.headings) - 1) + "}", r"\hline",
             " & ".join(map(safe, grid.headings)) + r" \\", r"\hline"]
    lines += [" & ".join(map(safe, row)) + r" \\" for row in grid.rows]
    lines += [r"\hline", r"\end{tabular}", *(rf"\par {safe(note)}." for note in grid.notes), r"\end{table}"]
    return "\n".join(lines)


def _html(grid: Grid) -> str:
    safe = lambda text: _bold(html.escape(text), r"<b>\1</b>")  # noqa: E731
    row = lambda tag, texts: "<tr>" + "".join(f"<{tag}>{safe(text)}</{tag}>" for text in texts) + "</tr>"  # noqa: E731
    rows = [row("th", grid.headings), *(row("td", texts) for texts in grid.rows)]
    notes = "".join(f"<p>{safe(note)}.</p>" for note in grid.notes)
    return f"<h2>{safe(grid.title)}</h2>\n<table>\n" + "\n".join(rows) + f"\n</table>\n{notes}"


def _csv(tables: Sequence[Table]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["table", "method", "dataset", "split", "metric", "paper", "measured", "expressions",
                     "ref_diff_differs_p_below_0.01"])
    for table in tables:
        for label, cells in table.rows.items():
            for column in table.columns:
                cell = cells[column]
                if cell.paper is not None or cell.measured is not None:
                    writer.writerow([
                        table.title, label, *column, "" if cell.paper is None else cell.paper,
                        "" if cell.measured is None else round(cell.measured, 4), cell.count or "",
                        "" if cell.measured is None else int(cell.significant)])
    return out.getvalue()
