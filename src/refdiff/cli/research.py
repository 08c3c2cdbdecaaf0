"""The commands of those who compare methods: evaluate, tables, compare."""

from __future__ import annotations

import argparse
import contextlib
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .console import show, table, tell
from .options import given_proposals, load_model, model_options

if TYPE_CHECKING:
    from ..evaluation.runner import Progress

_MOST_WORKERS = 256
_LEAST_DPI, _MOST_DPI = 72, 600


def add_commands(commands: Any) -> None:
    """Add them to the command line's parser."""
    evaluate = commands.add_parser("evaluate", help="run methods over a dataset; goes on where it was stopped")
    evaluate.add_argument("dataset", metavar="DATASET",
                          help="folder in the REFER or PhraseCut layout, or a .jsonl file of your own")
    evaluate.add_argument("--out", metavar="RUN", type=Path, required=True, help="folder of the run")
    evaluate.add_argument("--method", metavar="NAME[,NAME...]", default="ref-diff",
                          help="methods, or 'all' (default: ref-diff)")
    evaluate.add_argument("--split", default="val", help="default: val")
    evaluate.add_argument("--split-by", metavar="NAME", help="of REFER's refs(NAME).p: unc, umd, google")
    evaluate.add_argument("--images", metavar="DIR", type=Path, help="the images' folder (default: DATASET/images)")
    evaluate.add_argument("--name", help="what tables call the dataset (default: the folder's name)")
    evaluate.add_argument("--proposals", metavar="FILE", type=Path,
                          help="JSON of COCO RLE masks by image name, to use instead of SAM's")
    evaluate.add_argument("--accept", action="store_true",
                          help="200 expressions alone, and whether their figures agree with the paper's (status 1 "
                               "where not)")
    evaluate.add_argument("--engine", choices=("local", "ray"), default="local",
                          help="ray: share the images among processes or machines (default: local)")
    evaluate.add_argument("--workers", metavar="N", type=int, default=2, help="of the ray engine (default: 2)")
    model_options(evaluate)
    evaluate.add_argument("--targets", choices=("one", "any"),
                          help="whether an answer is always one thing, or one, several or nothing (default: one where "
                               "every expression of the data means exactly one)")
    evaluate.set_defaults(run=_evaluate)

    tables = commands.add_parser("tables", help="the paper's tables, its figures beside the measured ones")
    tables.add_argument("runs", nargs="*", metavar="RUN", help="folders written by refdiff evaluate")
    tables.add_argument("--format", choices=("markdown", "csv", "latex", "html"), default="markdown")
    tables.add_argument("--out", metavar="FILE", type=Path, help="default: standard output")
    tables.add_argument("--curves", metavar="DIR", type=Path,
                        help="write there, as CSV and PNG, how far confidences can be trusted")
    tables.set_defaults(run=_tables)

    compare = commands.add_parser("compare", help="every method on one image side by side")
    compare.add_argument("image", metavar="IMAGE")
    compare.add_argument("expression", metavar="EXPRESSION")
    compare.add_argument("--proposals", metavar="FILE", help="JSON of COCO RLE masks to use instead of SAM's")
    compare.add_argument("--out", metavar="FILE", type=Path, default=Path("compare.png"),
                         help="the sheet to write, an image or .pdf (default: compare.png)")
    compare.add_argument("--dpi", metavar="N", type=int, default=180,
                         help="pixels per inch of the sheet, which is 7 inches wide; 300 for print (default: 180)")
    model_options(compare)
    compare.set_defaults(run=_compare)


def _evaluate(options: argparse.Namespace) -> int:
    if not 1 <= options.workers <= _MOST_WORKERS:
        raise InputError(f"--workers must be from 1 to {_MOST_WORKERS}.")
    from ..baselines.registry import METHODS, get_methods
    from ..datasets import open_dataset

    methods = get_methods(list(METHODS) if options.method == "all" else options.method.split(","))
    dataset = open_dataset(options.dataset, options.split, options.split_by, options.images, options.name)
    if options.accept:
        from ..evaluation.accept import sample

        dataset = sample(dataset, methods)
    model = load_model(options)
    targets = options.targets or ("one" if dataset.one_target else None)
    if targets:
        model.settings = model.settings.replace(targets=targets)
    from ..evaluation.report import ALL
    from ..evaluation.runner import evaluate

    report = evaluate(model, dataset, methods, options.out, options.proposals,
                      options.workers if options.engine == "ray" else 0, _show_progress)
    rows = [("method", "expressions", "oIoU", "mIoU", "Pr@0.5")]
    for name, kinds in report["figures"].items():
        if ALL in kinds:
            rows.append((name, str(kinds[ALL]["expressions"]),
                         *(f"{100 * kinds[ALL][metric]:.2f}" for metric in ("oIoU", "mIoU", "Pr@0.5"))))
    show(table(rows))
    faults = report["faults"]
    if faults:
        tell(f"{len(faults)} expressions could not be used; {options.out / 'report.json'} names them, the first: "
             f"{faults[0]['fault']}")
    return _accept(options) if options.accept else 0


def _accept(options: argparse.Namespace) -> int:
    from ..evaluation.accept import add_acceptance

    acceptance = add_acceptance(options.out)
    rows = [("method", "metric", "measured", "95 % interval", "paper", "within")]
    for method, metrics in acceptance["figures"].items():
        for metric, found in metrics.items():
            measured, low, high, paper = (f"{100 * found[name]:.2f}" for name in ("measured", "low", "high", "paper"))
            rows.append((method, metric, measured, f"{low} to {high}", paper, "yes" if found["within"] else "no"))
    show(f"\n{table(rows)}\n\n{'accepted' if acceptance['accepted'] else 'not accepted'}")
    return 0 if acceptance["accepted"] else 1


def _show_progress(progress: Progress) -> None:
    """On standard error: one line that changes on a terminal, else a line now and then."""
    last = progress.done == progress.total
    if sys.stderr is None or not (sys.stderr.isatty() or last or progress.done % 50 == 0):
        return
    with contextlib.suppress(OSError, ValueError):
        print(f"{progress.done}/{progress.total} images, {progress.rate:.1f} expressions/s, "
              f"{progress.remaining / 60:.1f} min left ", end="\r" if sys.stderr.isatty() and not last else "\n",
              file=sys.stderr, flush=True)


def _tables(options: argparse.Namespace) -> int:
    from ..evaluation.curves import write_curves
    from ..evaluation.render import render
    from ..evaluation.run_tables import run_tables
    from ..evaluation.tables import Run, paper_tables

    runs = [Run.read(folder) for folder in options.runs]
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
    scene = load_model(options).encode(image, proposals=given)
    import numpy as np
    from PIL import Image

    from ..baselines.registry import METHODS
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
    for name, method in METHODS.items():
        choice = method(scene, [expression])[0]
        panels.append(Panel(method.label, overlay(drawn, [sized(choice.mask)]),
                            f"score {choice.score:.3f}, proposal {choice.index}"))
        rows.append((name, f"{choice.score:.3f}", str(choice.index)))
    figure = Figure(panels, f"“{expression}”", f"{Path(options.image).name}, model {scene.model.bundle.name}")
    if as_pages:
        write_atomically(options.out, as_pdf([figure], figure.title))
    else:
        save_image(as_image(figure, options.dpi), options.out, options.dpi)
    show(f"{table(rows)}\n{options.out}")
    return 0
