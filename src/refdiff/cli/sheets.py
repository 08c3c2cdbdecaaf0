"""The commands that show examples of runs: sheet and failures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from .console import show
from .options import warn_unfinished

_MOST = 10_000  # expressions
_PRINT_DPI, _SCREEN_DPI = 300, 200


def add_commands(commands: Any) -> None:
    """Add them to the command line's parser."""
    sheet = commands.add_parser("sheet", help="examples of runs: image, truth, every method's mask and IoU")
    sheet.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="folders written by refdiff evaluate")
    sheet.add_argument("--method", metavar="NAME[,NAME...]", help="methods to show (default: all of the runs)")
    sheet.add_argument("--pick", choices=("worst", "best", "random", "differ"), default="worst",
                       help="by the methods' mean IoU, at random, or where their IoU differs the most (default: worst)")
    sheet.add_argument("--count", metavar="K", type=int, default=20, help="expressions to show (default: 20)")
    sheet.add_argument("--seed", metavar="N", type=int, default=0, help="of --pick random (default: 0)")
    sheet.add_argument("--maps", action="store_true",
                       help="the correlation map too, made again by the model of the run")
    sheet.add_argument("--model", metavar="FOLDER", help="that model, where it is a bundle of your own")
    sheet.add_argument("--out", metavar="FILE", type=Path, default=Path("sheet.html"),
                       help=".html, or .pdf with a page for each expression (default: sheet.html)")
    sheet.set_defaults(run=_sheet)

    failures = commands.add_parser("failures", help="the worst expressions of a run as one HTML page")
    failures.add_argument("folder", metavar="RUN", type=Path)
    failures.add_argument("--method", default="ref-diff", help="one of the run's methods (default: ref-diff)")
    failures.add_argument("--worst", metavar="K", type=int, default=50, help="default: 50")
    failures.add_argument("--out", metavar="FILE", type=Path, default=Path("failures.html"),
                          help="default: failures.html")
    failures.set_defaults(run=_failures)


def _sheet(options: argparse.Namespace) -> int:
    if options.seed < 0:
        raise InputError("--seed must be at least 0.")
    methods = options.method.split(",") if options.method else None
    return _write(options.out, options.runs, methods, options.pick, options.count, options.seed, options.maps,
                  options.model)


def _failures(options: argparse.Namespace) -> int:
    return _write(options.out, [options.folder], [options.method], "worst", options.worst)


def _write(out: Path, runs: Sequence[Path], methods: Sequence[str] | None, pick: str, count: int, seed: int = 0,
           with_maps: bool = False, model: str | None = None) -> int:
    if not 1 <= count <= _MOST:
        raise InputError(f"The number of expressions to show must be from 1 to {_MOST:,}.")
    for run in runs:
        warn_unfinished(run)
    pdf = out.suffix.lower() == ".pdf"
    if not pdf and out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{out} must end in .html or .pdf.")
    from ..core.figures import as_html, as_pdf
    from ..core.files import write_atomically
    from ..evaluation.maps import Maps
    from ..evaluation.sheets import make_sheet

    sheet = make_sheet(runs, methods, pick, count, seed)
    maps = Maps(sheet.headers, model) if with_maps else None
    if pdf:
        content = as_pdf(sheet.figures(_PRINT_DPI, maps), sheet.title, sheet.subtitle)
    else:
        parts = as_html(sheet.figures(_SCREEN_DPI, maps), sheet.title, sheet.subtitle)
        content = "".join(parts).encode("utf-8", "backslashreplace")
    write_atomically(out, content)
    show(str(out))
    return 0
