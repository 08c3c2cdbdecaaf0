"""`refdiff batch`: many images and expressions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..core.files import shown
from .console import show, show_progress, tell
from .options import engine_options, load_model, model_options, workers


def add_commands(commands: Any) -> None:
    """Add it to the command line's parser."""
    batch = commands.add_parser("batch", help="answer many images and expressions; goes on where it was stopped")
    batch.add_argument("manifest", metavar="MANIFEST.jsonl", type=Path,
                       help='each line {"image": PATH, "expression": TEXT} or {"image": PATH, "expressions": [TEXT...]}'
                            ', and "id" if you like; relative paths are to the file\'s folder')
    batch.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder for rows.jsonl")
    batch.add_argument("--masks", action="store_true", help="write every mask as a PNG too, in DIR/masks")
    batch.add_argument("--overlays", action="store_true", help="write every overlay too, in DIR/overlays")
    engine_options(batch)
    model_options(batch)
    batch.set_defaults(run=_batch)


def _batch(options: argparse.Namespace) -> int:
    count = workers(options)
    from ..datasets import load_manifest

    load_manifest(options.manifest)  # what is wrong with it need not wait for the models
    model = load_model(options)
    from ..output.batch import MASKS, OVERLAYS, batch

    files = [name for name, wanted in ((MASKS, options.masks), (OVERLAYS, options.overlays)) if wanted]
    summary = batch(model, options.manifest, options.out, files, count, show_progress)
    rows = shown(options.out / "rows.jsonl")
    if summary.faults:
        tell(f"{len(summary.faults)} expressions could not be used; {rows} names them, the first: {summary.faults[0]}")
    show(f"{rows}: {summary.answered} expressions answered, something found for {summary.found}")
    return 0
