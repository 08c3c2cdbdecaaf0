"""The commands of those who compare methods: evaluate, tables, failures, compare, bench."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import InputError


def add_commands(commands: Any, model_options: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add them to the command line's parser."""
    evaluate = commands.add_parser("evaluate", help="run methods over a dataset; goes on where it was stopped")
    evaluate.add_argument("dataset", metavar="DATASET",
                          help="folder in the REFER or PhraseCut layout, or a .jsonl file of your own")
    evaluate.add_argument("--out", metavar="RUN", type=Path, required=True, help="folder of the run")
    evaluate.add_argument("--method", metavar="NAME[,NAME...]", default="ref-diff",
                          help="methods, or 'all' (default: ref-diff)")
    evaluate.add_argument("--split", default="val", help="default: val")
    evaluate.add_argument("--split-by", metavar="NAME", help="of REFER's refs(NAME).p: unc, umd, google")
    evaluate.add_argument("--images", metavar="DIR", type=Path, help="the pictures' folder (default: DATASET/images)")
    evaluate.add_argument("--name", help="what tables call the dataset (default: the folder's name)")
    evaluate.add_argument("--proposals", metavar="FILE", type=Path,
                          help="JSON of COCO RLE masks by picture name, to use instead of SAM's")
    evaluate.add_argument("--engine", choices=("local", "ray"), default="local",
                          help="ray: share the pictures among processes or machines (default: local)")
    evaluate.add_argument("--workers", metavar="N", type=int, default=2, help="of the ray engine (default: 2)")
    model_options(evaluate)
    evaluate.set_defaults(run=_evaluate)

    tables = commands.add_parser("tables", help="the paper's tables, its figures beside the measured ones")
    tables.add_argument("runs", nargs="*", metavar="RUN", help="folders written by refdiff evaluate")
    tables.add_argument("--format", choices=("markdown", "csv", "latex", "html"), default="markdown")
    tables.add_argument("--out", metavar="FILE", type=Path, help="default: standard output")
    tables.set_defaults(run=_tables)

    failures = commands.add_parser("failures", help="the worst expressions of a run as one HTML page")
    failures.add_argument("folder", metavar="RUN", type=Path)
    failures.add_argument("--method", default="ref-diff", help="default: ref-diff")
    failures.add_argument("--worst", metavar="K", type=int, default=50, help="default: 50")
    failures.add_argument("--out", metavar="FILE", type=Path, default=Path("failures.html"),
                          help="default: failures.html")
    failures.set_defaults(run=_failures)

    compare = commands.add_parser("compare", help="every method on one picture side by side")
    compare.add_argument("image", metavar="IMAGE")
    compare.add_argument("expression", metavar="EXPRESSION")
    compare.add_argument("--proposals", metavar="FILE", help="JSON of COCO RLE masks to use instead of SAM's")
    compare.add_argument("--out", metavar="FILE", type=Path, default=Path("compare.png"),
                         help="the sheet to write (default: compare.png)")
    model_options(compare)
    compare.set_defaults(run=_compare)

    bench = commands.add_parser("bench", help="time and memory of every stage, beside the plain way and the floor")
    bench.add_argument("image", metavar="IMAGE", type=Path)
    bench.add_argument("--expressions", metavar="K[,K...]", default="1,4,16",
                       help="how many to ask for on the picture (default: 1,4,16)")
    bench.add_argument("--rounds", metavar="N", type=int, default=5, help="medians are of this many (default: 5)")
    bench.add_argument("--json", metavar="FILE", type=Path, help="write all that was measured here")
    model_options(bench)
    bench.set_defaults(run=_bench)


def _evaluate(options: argparse.Namespace) -> int:
    from .datasets import open_dataset
    from .methods import METHODS, get_methods

    methods = get_methods(list(METHODS) if options.method == "all" else options.method.split(","))
    if options.engine == "ray" and options.workers < 1:
        raise InputError("--workers must be at least 1.")
    dataset = open_dataset(options.dataset, options.split, options.split_by, options.images, options.name)

    from .cli import load_model
    from .evaluation.runner import Progress, evaluate

    def show(progress: Progress) -> None:
        end = "\n" if progress.done == progress.total else "\r"
        if sys.stderr.isatty() or end == "\n" or progress.done % 50 == 0:
            print(f"{progress.done}/{progress.total} pictures, {progress.rate:.1f} expressions/s, "
                  f"{progress.remaining / 60:.1f} min left ", end=end if sys.stderr.isatty() else "\n", file=sys.stderr)

    report = evaluate(load_model(options), dataset, methods, options.out, options.proposals,
                      options.workers if options.engine == "ray" else 0, show)
    print(f"{'method':14} {'expressions':>11} {'oIoU':>7} {'mIoU':>7} {'Pr@0.5':>7}")
    for name, kinds in report["figures"].items():
        figures = kinds.get("all")
        if figures:
            print(f"{name:14} {figures['expressions']:11} " + " ".join(
                f"{100 * figures[metric]:7.2f}" for metric in ("oIoU", "mIoU", "Pr@0.5")))
    faults = report["faults"]
    if faults:
        print(f"refdiff: {len(faults)} expressions could not be used; {options.out / 'report.json'} names them, the "
              f"first: {faults[0]['fault']}", file=sys.stderr)
    return 0


def _tables(options: argparse.Namespace) -> int:
    from .evaluation.tables import Run, paper_tables, render

    runs = [Run.read(folder) for folder in options.runs]
    text = render(paper_tables(runs), options.format, runs)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0


def _failures(options: argparse.Namespace) -> int:
    from .evaluation.failures import failure_sheet

    options.out.write_text(failure_sheet(options.folder, options.method, options.worst), encoding="utf-8")
    print(options.out)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from PIL import Image

    from .expressions import check_expression
    from .figures import comparison_sheet, heat_overlay, overlay, proposals_picture
    from .images import check_picture_name, load_image
    from .methods import METHODS

    expression = check_expression(options.expression)
    check_picture_name(options.out)
    load_image(options.image)
    from .cli import load_model

    scene = load_model(options).encode(options.image, proposals=options.proposals)
    proposals = scene.proposals()
    panels = [(f"“{expression}”", Image.fromarray(scene.image)),
              (f"{len(proposals.masks)} proposals", proposals_picture(scene.image, proposals.masks)),
              ("correlation map", heat_overlay(scene.image, scene.correlation_maps([expression])[0]))]
    print(f"{'method':14} {'score':>8}  proposal")
    for name, method in METHODS.items():
        choice = method(scene, [expression], proposals)[0]
        panels.append((f"{method.label}: {choice.score:.3f}", overlay(scene.image, choice.mask)))
        print(f"{name:14} {choice.score:8.3f}  {choice.index}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    comparison_sheet(panels).save(options.out)
    print(options.out)
    return 0


def _bench(options: argparse.Namespace) -> int:
    try:
        counts = sorted({int(count) for count in options.expressions.split(",")})
    except ValueError:
        counts = [0]
    if counts[0] < 1 or options.rounds < 1:
        raise InputError("--expressions needs numbers of at least 1 with commas between, as in 1,4,16, and --rounds at "
                         "least 1.")

    from .bench.report import bench, table
    from .cli import load_model
    from .images import load_image

    load_image(options.image)
    show = lambda text: print(f"{text} ...", file=sys.stderr)  # noqa: E731
    report = bench(load_model(options), options.image, counts, options.rounds, show)
    print(table(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0
