"""Tables as Markdown, CSV, LaTeX or HTML."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import InputError
from .paired import TESTS, Pair
from .report import left_out
from .tables import Cell, Run, Table

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>refdiff tables</title><style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}
table{border-collapse:collapse}td,th{padding:.3rem .7rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}p{color:#555}</style>
"""
_LATEX = {character: rf"\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "†": r"$^\dagger$",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",  # which its default font lacks
    "[": "{[}"}  # and a * after the end of a row, \\, would be its argument
_NUMBER = re.compile(r"^Table \d+: ")  # LaTeX counts by itself


@dataclass(frozen=True)
class Grid:
    """What a renderer draws: `rows` of text, a cell in bold where its text stands between asterisks."""

    title: str
    headings: list[str]
    rows: list[list[str]]
    notes: list[str]


def render(tables: Sequence[Table], form: str, runs: Sequence[Run] = ()) -> str:
    """The tables, and the significance of each run, as 'markdown', 'csv' (figures alone), 'latex' or 'html'.

    Bold marks the best measured figure of a column. Raises InputError for another form.
    """
    if form == "csv":
        return _csv(tables)
    return _drawn([_grid(table) for table in tables] + [grid for grid in map(significance_grid, runs) if grid], form)


def render_pairs(pairs: Sequence[Pair], notes: Sequence[str], form: str) -> str:
    """What `paired.compare_pairs` found, in the forms of `render`. Raises InputError for another form."""
    if form == "csv":
        return _pairs_csv(pairs)
    return _drawn([_pairs_grid(pairs, notes)], form)


def _drawn(grids: Sequence[Grid], form: str) -> str:
    if form not in _RENDERERS:
        raise InputError(f"Tables can be written as csv, {', '.join(_RENDERERS)}, not {form!r}.")
    body = "\n\n".join(map(_RENDERERS[form], grids)) + "\n"
    return f"{_PAGE}{body}</html>\n" if form == "html" else body


def significance_grid(run: Run) -> Grid | None:
    """Ref-Diff minus every other method of a run; None where the run lacks one of them."""
    rows = [[run.label(name), str(found.count), f"{100 * found.mean:.2f}", _interval(found.miou_interval),
             f"{found.p:.2g}", f"{100 * found.oiou:.2f}", _interval(found.oiou_interval)]
            for name, found in run.differences.items()]
    headings = ["Ref-Diff minus", "expressions", "mIoU", "95 % interval", "p", "oIoU", "95 % interval"]
    return Grid(f"{run.title}: significance", headings, rows, [
        "paired t-test on IoU; intervals of a bootstrap over images"]) if rows else None


def _pairs_grid(pairs: Sequence[Pair], notes: Sequence[str]) -> Grid:
    several = len({run for pair in pairs for run, _ in (pair.first, pair.second)}) > 1
    rows = [[*(f"{run}: {method}" if several else method for run, method in (pair.first, pair.second)),
             str(pair.found.count), str(pair.found.images),
             f"{100 * pair.found.mean:.2f}", _interval(pair.found.miou_interval),
             f"{100 * pair.found.oiou:.2f}", _interval(pair.found.oiou_interval),
             *(f"{getattr(pair.found, test):.2g} ({pair.corrected[test]:.2g})" for test in TESTS)] for pair in pairs]
    return Grid("Paired comparisons", [
        "First", "Second", "expressions", "images", "mIoU", "95 % interval", "oIoU", "95 % interval",
        *(f"p, {test}" for test in TESTS.values())], rows, [
            "First minus second; intervals and bootstrap draw images, whose expressions are not independent",
            "The other tests take every expression as independent: t-test and Wilcoxon on IoU, McNemar on IoU over 0.5",
            f"In brackets: p after Holm's correction for {len(pairs)} comparison{'s' * (len(pairs) > 1)}", *notes])


def _interval(ends: tuple[float, float]) -> str:
    return f"{100 * ends[0]:.2f} to {100 * ends[1]:.2f}"


def _grid(table: Table) -> Grid:
    metrics = {metric for _, _, metric in table.columns}
    headings = [metric if table.of_split else f"{dataset} {split}" + (f" {metric}" if len(metrics) > 1 else "")
                for dataset, split, metric in table.columns]
    rows = [[name, *(_text(cells[column]) for column in table.columns)] for name, cells in table.rows.items()]
    return Grid(table.title, ["Method", *headings], rows, table.notes)


def _text(cell: Cell) -> str:
    """'35.16 / **34.90**†', '35.16', '34.90' or '-'."""
    if cell.measured is None:
        return "-" if cell.paper is None else f"{cell.paper:.2f}"
    measured = (f"**{cell.measured:.2f}**" if cell.best else f"{cell.measured:.2f}") + (
        "" if cell.deviation is None else f" ± {cell.deviation:.2f}") + "†" * cell.significant
    return measured if cell.paper is None else f"{cell.paper:.2f} / {measured}"


def _bold(text: str, by: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", by, text)


def _markdown(grid: Grid) -> str:
    lines = [f"**{grid.title}**", "", _markdown_row(grid.headings), "| --- |" + " ---: |" * (len(grid.headings) - 1)]
    lines += map(_markdown_row, grid.rows)
    return "\n".join([*lines, "", *(f"{note}.  " for note in grid.notes)]).rstrip()


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _latex(grid: Grid) -> str:
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{_latex_text(_NUMBER.sub('', grid.title))}}}",
             r"\sbox0{\begin{tabular}{l" + "r" * (len(grid.headings) - 1) + "}", r"\hline",
             _latex_row(grid.headings), r"\hline", *map(_latex_row, grid.rows), r"\hline", r"\end{tabular}}",
             r"\providecommand{\resizebox}[3]{#3}% a wide table is made to fit with \usepackage{graphicx}",
             r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
             *(rf"\par {_latex_text(note)}." for note in grid.notes), r"\end{table}"]
    return "\n".join(lines)


def _latex_text(text: str) -> str:
    """As LaTeX prints it without packages. Letters beyond Latin need XeLaTeX or LuaLaTeX and a font that has them."""
    escaped = "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
    return _bold(escaped, r"\\textbf{\1}").replace("*", "{*}")


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(map(_latex_text, cells)) + r" \\"


def _html(grid: Grid) -> str:
    rows = [_html_row("th", grid.headings), *(_html_row("td", texts) for texts in grid.rows)]
    notes = "".join(f"<p>{_html_text(note)}.</p>" for note in grid.notes)
    return f"<h2>{_html_text(grid.title)}</h2>\n<table>\n" + "\n".join(rows) + f"\n</table>\n{notes}"


def _html_text(text: str) -> str:
    return _bold(html.escape(text), r"<b>\1</b>")


def _html_row(tag: str, texts: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{_html_text(text)}</{tag}>" for text in texts) + "</tr>"


_RENDERERS = {"markdown": _markdown, "latex": _latex, "html": _html}


def _csv(tables: Sequence[Table]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["table", "method", "dataset", "split", "metric", "paper", "measured", "expressions",
                     "ref_diff_differs_p_below_0.01", "standard_deviation", "faults", "limit", "shard", "bundle",
                     "settings"])
    for table in tables:
        for name, cells in table.rows.items():
            for column in table.columns:
                cell = cells[column]
                if cell.paper is not None or cell.measured is not None:
                    writer.writerow([
                        table.title, name, *column, "" if cell.paper is None else cell.paper,
                        "" if cell.measured is None else round(cell.measured, 4), cell.count or "",
                        "" if cell.measured is None else int(cell.significant),
                        "" if cell.deviation is None else round(cell.deviation, 4), *_measured_by(cell.runs)])
    return out.getvalue()


def _measured_by(runs: Sequence[Run]) -> list[str]:
    """Faults, limit, shard, bundle and settings, each as it is in all of the runs, or in each."""
    each: list[tuple[object, ...]] = [
        (left_out(run.report), run.report["dataset"]["limit"], run.report["shard"], run.report["bundle"]["name"],
         run.fingerprint()) for run in runs] or [(None,) * 5]
    return [" ".join(dict.fromkeys("" if value is None else str(value) for value in values))
            for values in zip(*each, strict=True)]


def _pairs_csv(pairs: Sequence[Pair]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["first_run", "first_method", "second_run", "second_method", "expressions", "images", "mIoU",
                     "mIoU_low", "mIoU_high", "oIoU", "oIoU_low", "oIoU_high",
                     *(f"{test}{end}" for test in TESTS for end in ("", "_holm"))])
    for pair in pairs:
        found = pair.found
        writer.writerow([*pair.first, *pair.second, found.count, found.images,
                         *(round(100 * value, 4) for value in (found.mean, *found.miou_interval, found.oiou,
                                                               *found.oiou_interval)),
                         *(f"{p:.6g}" for test in TESTS for p in (getattr(found, test), pair.corrected[test]))])
    return out.getvalue()
