"""`refdiff segment` and `refdiff attention`: what an expression points at, and where each of its words looks."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, RefDiffError
from .console import show, table, tell
from .options import given_proposals, load_model, model_options

if TYPE_CHECKING:
    from ..language import Expression
    from ..result import Segmentation


def add_commands(commands: Any) -> None:
    """Add them to the command line's parser."""
    segment = commands.add_parser(
        "segment", help="write the mask of what an expression points at",
        description="A word that names an existing file or folder, or ends like an image, is an image; any other is an "
                    "expression.")
    segment.add_argument("words", nargs="+", metavar="IMAGE... EXPRESSION...",
                         help="images (files, or folders of them) and expressions")
    segment.add_argument("-e", "--expression", dest="expressions", action="append", default=[], metavar="EXPRESSION",
                         help="an expression that could be taken for an image; may be repeated")
    model_options(segment)
    segment.add_argument("--variant", default="full", choices=("full", "g", "gs", "ds"),
                         help="full: all; g: diffusion alone; gs: diffusion + SAM; ds: CLIP + SAM (default: full)")
    segment.add_argument("--proposals", metavar="FILE", help="JSON of masks to use instead of SAM's")
    segment.add_argument("--out", metavar="DIR", type=Path,
                         help="folder for masks and overlays (default: refdiff-output; with --json none)")
    segment.add_argument("--threshold", type=float, metavar="P",
                         help="answer that nothing is there when what is asked for is less likely than this; 0 always "
                              "answers")
    segment.add_argument("--explain", action="store_true", help="say how each expression was understood")
    segment.add_argument("--json", action="store_true", help="print results with COCO RLE to standard output")
    segment.set_defaults(run=_segment)

    attention = commands.add_parser("attention", help="draw the map of every token, the root marked")
    attention.add_argument("image", metavar="IMAGE")
    attention.add_argument("expression", metavar="EXPRESSION")
    model_options(attention)
    attention.add_argument("--out", metavar="FILE", type=Path, default=Path("attention.png"),
                           help="the sheet to write (default: attention.png)")
    attention.set_defaults(run=_attention)


def images_and_expressions(words: Sequence[str], expressions: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Which words are images, folders replaced by the images in them, and which expressions, with those given as such.

    Raises InputError where there is none of either, or a folder holds no images.
    """
    from ..core.files import exists
    from ..core.images import SUFFIXES

    images: list[Path] = []
    found: list[str] = []
    for word in words:
        path = Path(word)
        if word.strip() and (path.suffix.lower() in SUFFIXES or exists(path)):  # Path("") is this folder
            images += _images_in(path) if exists(path) and path.is_dir() else [path]
        else:
            found.append(word)
    found += expressions
    if not images:
        raise InputError(f"No image was given: there is no file {found[0] if found else ''!r}; check the path.")
    if not found:
        raise InputError('No expression was given; say in words what to point at: refdiff segment photo.jpg "the cat".')
    return images, found


def _images_in(folder: Path) -> list[Path]:
    from ..core.images import SUFFIXES

    images = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in SUFFIXES)
    if not images:
        raise InputError(f"The folder {folder} holds no images ({', '.join(sorted(SUFFIXES))}).")
    return images


def _segment(options: argparse.Namespace) -> int:
    images, expressions = images_and_expressions(options.words, options.expressions)
    out = options.out or (None if options.json else Path("refdiff-output"))
    if options.json and sys.stdout is None:
        raise RefDiffError("Standard output is closed, so that the results cannot be printed.")
    from ..core.files import make_folder
    from ..core.images import load_image
    from ..core.proposal_files import check_proposals
    from ..language import check_expression

    expressions = [check_expression(expression) for expression in expressions]
    if options.proposals:
        check_proposals(options.proposals, [(path, None) for path in images])
    # Before the models are loaded, as a wrong path should fail at once; of several images only the first is kept.
    first = load_image(images[0]) if len(images) == 1 else None
    if out:
        make_folder(out)
    model = load_model(options, expressions)
    if options.threshold is not None and (options.variant != "full" or model.settings.query.reading == "root"):
        raise InputError("--threshold has no effect where an expression is read as one, as presets and the variants g, "
                         "gs and ds do; leave it out.")
    rows, failed = [], 0
    used: set[str] = set()
    for path in _progress(images):
        try:
            pixels = load_image(path) if first is None else first
            given = given_proposals(options, pixels, path)
            results = model.encode(pixels, proposals=given).segment(expressions, options.variant)
        except InputError as error:
            if len(images) == 1:
                raise
            failed += 1
            tell(str(error))
            continue
        for result in results:
            rows.append(_row(path, result, _write(result, path, out, used) if out else None))
            about = f"{path.name}, " * (len(images) > 1) + result.expression.text
            if options.explain:
                tell(f"{about}: {result.query or _read_as_one(result.expression)}")
            if result.notice:
                tell(f"{about}: {result.notice}" if len(images) * len(expressions) > 1 else result.notice)
    show(json.dumps(rows, indent=2, allow_nan=False) if options.json else _table(rows))
    return 2 if failed else 0


def _read_as_one(expression: Expression) -> str:
    direction = f", direction {' '.join(expression.direction)}" if expression.direction else ""
    return f"read as one, root {expression.root!r}{direction}"


def _progress(images: list[Path]) -> Iterable[Path]:
    if len(images) < 2 or sys.stderr is None or not sys.stderr.isatty():
        return images
    from tqdm import tqdm

    bar: Iterable[Path] = tqdm(images, unit="image")
    return bar


def _write(result: Segmentation, image: Path, out: Path, used: set[str]) -> str:
    """Write mask and overlay under a name not used before in this call; the mask's path."""
    from ..core.files import named_after

    first = named_after(image.name, result.expression.text)
    name, number = first, 2
    while name in used:
        name, number = f"{first}-{number}", number + 1
    used.add(name)
    mask = out / f"{name}.mask.png"
    result.save(mask)
    from ..core.images import save_image

    save_image(result.overlay(), out / f"{name}.overlay.png")
    return str(mask)


def _row(image: Path, result: Segmentation, mask: str | None) -> dict[str, Any]:
    return {"image": str(image), "expression": result.expression.text,
            "query": None if result.query is None else str(result.query), "root": result.expression.root,
            "direction": list(result.expression.direction), "variant": result.variant, "found": result.found,
            "score": round(result.score, 6), "confidence": _rounded(result.confidence),
            "box": None if result.box is None else list(result.box), "area": int(result.mask.sum()),
            "notice": result.notice, "mask": mask, "segmentation": result.rle,
            "instances": [{"box": list(each.box), "score": round(each.score, 6),
                           "confidence": _rounded(each.confidence), "segmentation": each.rle}
                          for each in result.instances]}


def _rounded(confidence: float | None) -> float | None:
    return None if confidence is None else round(confidence, 4)


def _table(rows: list[dict[str, Any]]) -> str:
    return table([("image", "expression", "found", "score", "confidence", "box", "mask")] + [
        (Path(row["image"]).name, row["expression"], str(len(row["instances"])) if row["found"] else "nothing",
         f"{row['score']:.3f}", "-" if row["confidence"] is None else f"{row['confidence']:.2f}",
         " ".join(map(str, row["box"] or "-")), row["mask"] or "") for row in rows])


def _attention(options: argparse.Namespace) -> int:
    from ..core.files import make_folder
    from ..core.images import check_image_name, load_image, save_image
    from ..language import check_expression

    expression = check_expression(options.expression)
    image = load_image(options.image)
    check_image_name(options.out)
    found = load_model(options, [expression]).encode(image).correlation(expression)
    from ..core.drawing import attention_sheet

    make_folder(options.out.parent)
    save_image(attention_sheet(image, found.tokens, found.per_token, found.root), options.out)
    root = " ".join(found.tokens[i] for i in found.root)
    show(f"{options.out}: {len(found.tokens)} tokens, root {root!r}")
    return 0
