"""The commands that show how methods compare: tables, compare."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InputError
from .console import show, table, tell
from .options import chosen_methods, given_proposals, load_model, method_option, model_options

_LEAST_DPI, _MOST_DPI = 72, 600


def add_commands(commands: Any) -> None:
    """Add them to the command line's parser."""
    tables = commands.add_parser("tables", help="the paper's tables, its figures beside the measured ones")
    tables.add_argument("runs", nargs="*", metavar="RUN", help="folders written by refdiff evaluate")
    tables.add_argument("--format", choices=("markdown", "csv", "latex", "html"), default="markdown")
    tables.add_argument("--out", metavar="FILE", type=Path, help="default: standard output")
    tables.add_argument("--paired", action="store_true",
                        help="instead: every two of the runs' methods compared over the same expressions, with tests "
                             "corrected for their number")
    tables.add_argument("--curves", metavar="DIR", type=Path,
                        help="write there, as CSV and PNG, how far confidences can be trusted")
    tables.set_defaults(run=_tables)

    compare = commands.add_parser("compare", help="every method on one image side by side")
    compare.add_argument("image", metavar="IMAGE")
    compare.add_argument("expression", metavar="EXPRESSION")
    method_option(compare, "all")
    compare.add_argument("--proposals", metavar="FILE", help="JSON of masks to use instead of SAM's")
    compare.add_argument("--out", metavar="FILE", type=Path, default=Path("compare.png"),
                         help="the sheet to write, an image or .pdf (default: compare.png)")
    compare.add_argument("--dpi", metavar="N", type=int, default=180,
                         help="pixels per inch of the sheet, which is 7 inches wide; 300 for print (default: 180)")
    model_options(compare)
    compare.set_defaults(run=_compare)


def _tables(options: argparse.Namespace) -> int:
    from ..evaluation.curves import write_curves
    from ..evaluation.paired import compare_pairs
    from ..evaluation.render import render, render_pairs
    from ..evaluation.run_tables import run_tables
    from ..evaluation.tables import paper_tables, read_runs

    runs = read_runs(options.runs)
    if options.paired:
        text = render_pairs(*compare_pairs(runs), options.format)
    else:
        text = render([*paper_tables(runs), *run_tables(runs)], options.format, runs)
    if options.out:
        _write(options.out, text)
    else:
        show(text.removesuffix("\n"))
    if options.curves:
        for name, error in write_curves(runs, options.curves).items():
            tell(f"{options.curves / name}.png: expected calibration error {error:.3f}")
    return 0


def _write(path: Path, text: str) -> None:
    from ..core.files import write_atomically

    write_atomically(path, text.encode("utf-8", "backslashreplace"))


def _compare(options: argparse.Namespace) -> int:
    if not _LEAST_DPI <= options.dpi <= _MOST_DPI:
        raise InputError(f"--dpi must be from {_LEAST_DPI} to {_MOST_DPI}.")
    from ..core.images import check_image_name, load_image, save_image
    from ..language import check_expression

    expression = check_expression(options.expression)
    as_pages = options.out.suffix.lower() == ".pdf"
    if not as_pages:
        check_image_name(options.out)
    image = load_image(options.image)
    given = given_proposals(options, image, Path(options.image))
    methods = chosen_methods(options)
    scene = load_model(options).encode(image, proposals=given)
    import numpy as np
    from PIL import Image

    from ..core.drawing import heat_overlay, overlay, proposals_overlay
    from ..core.figures import Figure, Panel, as_image, as_pdf, at_print_size
    from ..core.files import make_folder, write_atomically

    make_folder(options.out.parent)
    sized = partial(at_print_size, dpi=options.dpi)
    drawn, masks, values = sized(image), scene.proposals().masks, scene.correlation_maps([expression])[0]
    panels = [Panel("Image", Image.fromarray(drawn)),
              Panel("Proposals", proposals_overlay(drawn, np.stack([*map(sized, masks)])), f"{len(masks)} masks"),
              Panel("Correlation map", heat_overlay(drawn, sized(values)), bar=True)]
    rows = [("method", "score", "proposal")]
    for method in methods:
        choice = method(scene, [expression])[0]
        score = "-" if choice.score is None else f"{choice.score:.3f}"
        index = "-" if choice.index is None else str(choice.index)
        panels.append(Panel(method.label, overlay(drawn, [sized(choice.mask)]),
                            "" if choice.score is None else f"score {score}, proposal {index}"))
        rows.append((method.name, score, index))
    figure = Figure(panels, f"“{expression}”", f"{Path(options.image).name}, model {scene.model.bundle.name}")
    if as_pages:
        write_atomically(options.out, as_pdf([figure], figure.title))
    else:
        save_image(as_image(figure, options.dpi), options.out, options.dpi)
    show(f"{table(rows)}\n{options.out}")
    return 0
