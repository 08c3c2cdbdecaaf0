"""`refdiff bench` and `refdiff scenes`: what is measured, and what it can be measured on."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ..errors import InputError
from .console import show, tell
from .options import load_model, model_options

_MOST = 10_000  # expressions at once, and rounds


def add_commands(commands: Any) -> None:
    """Add them to the command line's parser."""
    bench = commands.add_parser(
        "bench", help="time and memory of every stage, beside the reference implementation and the floor")
    bench.add_argument("image", metavar="IMAGE", type=Path)
    bench.add_argument("--expressions", metavar="K[,K...]", default="1,4,16",
                       help="how many to ask for on the image (default: 1,4,16)")
    bench.add_argument("--rounds", metavar="N", type=int, default=5, help="medians are of this many (default: 5)")
    bench.add_argument("--json", metavar="FILE", type=Path, help="write all that was measured here")
    model_options(bench)
    bench.set_defaults(run=_bench)

    scenes = commands.add_parser("scenes", help="make a pictogram-scene dataset in the RefCOCO or gRefCOCO layout")
    scenes.add_argument("out", metavar="OUT", type=Path)
    scenes.add_argument("--pictograms", metavar="FOLDER", type=Path, required=True,
                        help="PNG files with transparency, each named by its noun (cat.png, cat-2.png)")
    scenes.add_argument("--photographs", metavar="FOLDER", type=Path,
                        help="backgrounds (default: scikit-image's sample photographs; with --said none)")
    scenes.add_argument("--said", action="store_true",
                        help="what people say, of one thing, several or none: twelve kinds of expressions, in the "
                             "gRefCOCO layout; photographs should show nothing that could be meant")
    scenes.add_argument("--expressions", metavar="N", type=int,
                        help="at least this many per split (default: 300); with --said, per kind and split "
                             "(default: 60)")
    scenes.add_argument("--seed", metavar="N", type=int, default=0, help="default: 0")
    scenes.set_defaults(run=_scenes)


def _bench(options: argparse.Namespace) -> int:
    try:
        counts = sorted({int(count) for count in options.expressions.split(",")})
    except ValueError:
        counts = [0]
    if not all(1 <= number <= _MOST for number in (*counts, options.rounds)):
        raise InputError(f"--expressions needs numbers from 1 to {_MOST:,} with commas between, as in 1,4,16, and "
                         "--rounds one such number.")
    from ..core.files import write_atomically
    from ..core.images import load_image

    load_image(options.image)  # a wrong path should fail before the models are loaded
    model = load_model(options)
    from ..bench.report import bench, table

    report = bench(model, options.image, counts, options.rounds, _show_step)
    show(table(report))
    if options.json:
        write_atomically(options.json, (json.dumps(report, indent=2) + "\n").encode())
    return 0


def _show_step(text: str) -> None:
    tell(f"{text} ...")


def _scenes(options: argparse.Namespace) -> int:
    expressions = (60 if options.said else 300) if options.expressions is None else options.expressions
    if expressions < 1 or options.seed < 0:
        raise InputError("--expressions must be at least 1, and --seed at least 0.")
    from ..datasets.said import KINDS, SPLITS, write_said
    from ..datasets.scene_maker import SceneMaker, load_photographs, load_pictograms
    from ..datasets.scenes import write_scenes

    plain = options.said and options.photographs is None
    photographs = [] if plain else list(load_photographs(options.photographs).values())
    maker = SceneMaker(load_pictograms(options.pictograms), photographs)
    progress = None
    if sys.stderr is not None and sys.stderr.isatty():
        from tqdm import tqdm

        total = (len(SPLITS) * len(KINDS) if options.said else 3) * expressions
        progress = tqdm(total=total, unit="expression").update
    write = write_said if options.said else write_scenes
    counts = write(options.out, maker, expressions, options.seed, progress)
    show(f"{options.out}: " + ", ".join(f"{split} {count} expressions" for split, count in counts.items()))
    return 0
