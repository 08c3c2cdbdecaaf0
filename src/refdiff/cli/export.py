"""`refdiff export`: answers in the formats of other tools."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..core.files import shown
from ..errors import InputError
from .console import show, tell
from .options import warn_unfinished

_DEFAULTS = {"coco": "coco.json", "yolo": "yolo", "label-studio": "label-studio", "png": "png"}


def add_commands(commands: Any) -> None:
    """Add it to the command line's parser."""
    export = commands.add_parser("export", help="answers for COCO, YOLO, Label Studio, or as PNG masks")
    export.add_argument("folder", metavar="DIR", type=Path, help="a folder of refdiff batch or refdiff evaluate")
    export.add_argument("--to", choices=tuple(_DEFAULTS), required=True)
    export.add_argument("--out", metavar="PATH", type=Path,
                        help="the file (coco) or the new folder to write (default: in DIR, called like the format)")
    export.add_argument("--method", metavar="NAME", help="whose answers, where a run has several methods")
    export.add_argument("--polygons", action="store_true", help="with coco: polygons instead of RLE")
    export.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    if options.polygons and options.to != "coco":
        raise InputError("--polygons is for --to coco; YOLO always has polygons.")
    from ..output.source import read_source

    source = read_source(options.folder, options.method)
    warn_unfinished(options.folder)
    out = options.out or options.folder / _DEFAULTS[options.to]
    if options.to == "coco":
        from ..output.coco import write_coco

        write_coco(source, out, options.polygons)
    elif options.to == "yolo":
        from ..output.yolo import write_yolo

        write_yolo(source, out)
    elif options.to == "label-studio":
        from ..output.label_studio import write_label_studio

        write_label_studio(source, out)
    else:
        from ..output.png import write_png

        write_png(source, out)
    if source.faults:
        tell(f"{source.faults} expressions could not be used and are left out.")
    answers = sum(len(image.answers) for image in source.images)
    show(f"{shown(out)}: {len(source.images)} image{'s' * (len(source.images) != 1)}, {answers} "
         f"answer{'s' * (answers != 1)}")
    return 0
