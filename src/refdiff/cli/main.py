"""The command line: reads words, calls the library, prints."""

from __future__ import annotations

import argparse
import atexit
import gc
import json
import os
import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__, cli_research
from .errors import InputError, RefDiffError

if TYPE_CHECKING:
    from .pipeline import RefDiff, Segmentation

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 failed, 2 wrong use."""
    options = _parser().parse_args(arguments)
    warnings.filterwarnings("ignore")
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # large tensors on huge pages: their first use is quicker
    # The model libraries make so many objects that collecting garbage takes a fifth of a start and a second at the end.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    try:
        return options.run(options)
    except RefDiffError as error:
        return _complain(str(error), 2)
    except KeyboardInterrupt:
        return _complain("Stopped.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _complain(f"{error.filename or 'A file'} cannot be read or written: {error.strerror or error}.", 1)
    except MemoryError:
        return _complain("Memory ran out; use a smaller picture or fewer expressions at once.", 1)
    except Exception as error:
        if os.environ.get("REFDIFF_DEBUG"):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return _complain(f"Something failed inside refdiff ({reason}); report it with what REFDIFF_DEBUG=1 shows.", 1)


def _complain(sentence: str, status: int) -> int:
    print(f"refdiff: {sentence}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="refdiff", description="Point at a thing in a picture with words.")
    parser.add_argument("--version", action="version", version=f"refdiff {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    segment = commands.add_parser("segment", help="write the mask of what an expression points at")
    segment.add_argument("words", nargs="+", metavar="IMAGE... EXPRESSION...",
                         help="pictures (files, or a folder of them), then expressions")
    model_options(segment)
    segment.add_argument("--variant", default="full", choices=("full", "g", "gs", "ds"),
                         help="full: all; g: diffusion alone; gs: diffusion + SAM; ds: CLIP + SAM (default: full)")
    segment.add_argument("--proposals", metavar="FILE", help="JSON of COCO RLE masks to use instead of SAM's")
    segment.add_argument("--out", metavar="DIR", type=Path,
                         help="folder for masks and overlays (default: refdiff-output; with --json none)")
    segment.add_argument("--json", action="store_true", help="print results with COCO RLE to standard output")
    segment.set_defaults(run=_segment)

    attention = commands.add_parser("attention", help="draw the map of every token, the root marked")
    attention.add_argument("image", metavar="IMAGE")
    attention.add_argument("expression", metavar="EXPRESSION")
    model_options(attention)
    attention.add_argument("--out", metavar="FILE", type=Path, default=Path("attention.png"),
                           help="the sheet to write (default: attention.png)")
    attention.set_defaults(run=_attention)

    scenes = commands.add_parser("scenes", help="make a pictogram-scene dataset in the RefCOCO layout")
    scenes.add_argument("out", metavar="OUT", type=Path)
    scenes.add_argument("--pictograms", metavar="FOLDER", type=Path, required=True,
                        help="PNG files with transparency, each named by its noun (cat.png, cat-2.png)")
    scenes.add_argument("--photographs", metavar="FOLDER", type=Path,
                        help="backgrounds (default: scikit-image's sample photographs)")
    scenes.add_argument("--expressions", metavar="N", type=int, default=300, help="at least this many a split")
    scenes.add_argument("--seed", metavar="N", type=int, default=0)
    scenes.set_defaults(run=_scenes)

    models = commands.add_parser("models", help="list, download or check model bundles")
    models.add_argument("action", nargs="?", choices=("list", "download", "check"), default="list")
    models.add_argument("name", nargs="?", help="mini, sd15, a folder, or a Hub id")
    models.set_defaults(run=_models)

    cli_research.add_commands(commands, model_options)
    return parser


def model_options(parser: argparse.ArgumentParser) -> None:
    """Options of every command that runs a model."""
    parser.add_argument("--model", default="mini", help="mini, sd15, a bundle folder, or a Hub id (default: mini)")
    parser.add_argument("--preset", choices=("paper", "official"), help="settings of the paper or of its release")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="NAME=VALUE",
                        help="change one setting, for example --set alpha=0.2")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps (default: cpu)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32",
                        help="bfloat16 and float16 halve the memory (default: float32)")
    parser.add_argument("--memory", type=float, metavar="GB",
                        help="keep within about this much: smaller batches, models loaded in turn")
    parser.add_argument("--seed", type=int, metavar="N", help="of the diffusion noise (default: 0)")


def load_model(options: argparse.Namespace, expressions: Sequence[str] = ()) -> RefDiff:
    """The model that `model_options` chose; the expressions are parsed meanwhile. Raises InputError for a device that
    is not there."""
    from .expressions import parse_ahead
    from .settings import PRESETS, Settings
    from .start import lighten

    if expressions:
        likely = PRESETS.get(options.preset, Settings())
        parse_ahead(expressions, likely.root_rule, likely.clue_rule)
    lighten()
    import torch

    from .pipeline import RefDiff

    try:
        device = torch.device(options.device)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        raise InputError(f"The device {options.device!r} is not available here; leave --device out to use the "
                         "processor.") from None
    dtype = getattr(torch, options.dtype)
    model = RefDiff.from_pretrained(options.model, device, dtype, options.preset, options.memory)
    changes = dict(_change(text) for text in options.changes)
    if options.seed is not None:
        changes["seed"] = options.seed
    model.settings = model.settings.replace(**changes)
    return model


def _change(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--set needs NAME=VALUE, not {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _is_picture(word: str) -> bool:
    return word.lower().endswith(_SUFFIXES)


def _pictures_and_expressions(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The first word and every later one that names a picture file or a folder; the rest are expressions."""
    pictures: list[Path] = []
    expressions: list[str] = []
    for i, word in enumerate(words):
        path = Path(word)
        if i == 0 or _is_picture(word) or (not expressions and os.sep in word and path.exists()):
            if path.is_dir():
                found = sorted(p for p in path.iterdir() if p.is_file() and _is_picture(p.name))
                if not found:
                    raise InputError(f"The folder {word} holds no pictures ({', '.join(_SUFFIXES)}).")
                pictures += found
            else:
                pictures.append(path)
        else:
            expressions.append(word)
    if not expressions:
        raise InputError('No expression was given; say in words what to point at: refdiff segment photo.jpg "the cat".')
    return pictures, expressions


def _segment(options: argparse.Namespace) -> int:
    pictures, expressions = _pictures_and_expressions(options.words)
    out = options.out or (None if options.json else Path("refdiff-output"))
    from .expressions import check_expression
    from .images import load_image

    for expression in expressions:
        check_expression(expression)
    if len(pictures) == 1:
        load_image(pictures[0])  # before the models are loaded: a wrong path should fail at once
    model = load_model(options, expressions)
    if out:
        out.mkdir(parents=True, exist_ok=True)
    rows, failed = [], 0
    used: set[str] = set()
    for picture in _progress(pictures):
        try:
            results = model.encode(picture, proposals=options.proposals).segment(expressions, options.variant)
        except InputError as error:
            if len(pictures) == 1:
                raise
            failed += 1
            _complain(str(error), 2)
            continue
        for result in results:
            rows.append(_row(picture, result, _write(result, picture, out, used) if out else None))
            if result.notice:
                _complain(result.notice, 0)
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        _table(rows)
    return 2 if failed else 0


def _progress(pictures: list[Path]) -> Iterable[Path]:
    if len(pictures) < 2 or not sys.stderr.isatty():
        return pictures
    from tqdm import tqdm

    return tqdm(pictures, unit="picture")


def _write(result: Segmentation, picture: Path, out: Path, used: set[str]) -> str:
    """Write mask and overlay under a name not used before in this call; the mask's path."""
    slug = re.sub(r"[^a-z0-9]+", "-", result.expression.text.lower()).strip("-")[:60] or "expression"
    name, number = f"{picture.stem}.{slug}", 2
    while name in used:
        name, number = f"{picture.stem}.{slug}-{number}", number + 1
    used.add(name)
    mask = out / f"{name}.mask.png"
    result.save(mask)
    result.overlay().save(out / f"{name}.overlay.png")
    return str(mask)


def _row(picture: Path, result: Segmentation, mask: str | None) -> dict:
    return {"image": str(picture), "expression": result.expression.text, "root": result.expression.root,
            "direction": list(result.expression.direction), "variant": result.variant, "score": round(result.score, 6),
            "box": list(result.box), "area": int(result.mask.sum()), "notice": result.notice, "mask": mask,
            "segmentation": result.rle}


def _table(rows: list[dict]) -> None:
    lines = [("picture", "expression", "score", "box", "mask")]
    lines += [(Path(row["image"]).name, row["expression"], f"{row['score']:.3f}", " ".join(map(str, row["box"])),
               row["mask"] or "") for row in rows]
    widths = [min(44, max(len(line[i]) for line in lines)) for i in range(4)]
    for line in lines:
        cells = [cell if len(cell) <= width else cell[: width - 1] + "…"
                 for cell, width in zip(line, widths, strict=False)]
        print("  ".join([*map(str.ljust, cells, widths), line[4]]).rstrip())


def _attention(options: argparse.Namespace) -> int:
    from .expressions import check_expression
    from .images import check_picture_name, load_image

    check_expression(options.expression)
    load_image(options.image)
    check_picture_name(options.out)
    scene = load_model(options, [options.expression]).encode(options.image)
    correlation = scene.correlation(options.expression)
    from .figures import attention_sheet

    options.out.parent.mkdir(parents=True, exist_ok=True)
    attention_sheet(scene.image, correlation).save(options.out)
    root = " ".join(correlation.tokens[i] for i in correlation.root)
    print(f"{options.out}: {len(correlation.tokens)} tokens, root {root!r}")
    return 0


def _scenes(options: argparse.Namespace) -> int:
    from .datasets.drawing import SceneMaker, load_photographs, load_pictograms
    from .datasets.scenes import write_scenes

    if options.expressions < 1:
        raise InputError("--expressions must be at least 1.")
    show = None
    if sys.stderr.isatty():
        from tqdm import tqdm

        show = tqdm(total=3 * options.expressions, unit="expression").update
    maker = SceneMaker(load_pictograms(options.pictograms), list(load_photographs(options.photographs).values()))
    counts = write_scenes(options.out, maker, options.expressions, options.seed, show)
    print(f"{options.out}: " + ", ".join(f"{split} {count} expressions" for split, count in counts.items()))
    return 0


def _models(options: argparse.Namespace) -> int:
    from .bundle import find_bundle, names

    if options.action != "list" and not options.name:
        raise InputError(f"'refdiff models {options.action}' needs a name: {', '.join(names())}, a folder or a Hub id.")
    if options.action == "list":
        for name in [options.name] if options.name else names():
            try:
                bundle = find_bundle(name, download=False)
                size = sum(p.stat().st_size for part in bundle.parts.values() for p in part.rglob("*") if p.is_file())
                print(f"{name:8}  ready   {size / 1e6:8.1f} MB  {', '.join(bundle.parts)}")
            except RefDiffError as error:
                print(f"{name:8}  absent  {error}")
        return 0
    bundle = find_bundle(options.name, download=options.action == "download")
    if options.action == "check":
        from .pipeline import RefDiff

        model = RefDiff(bundle)
        loads = {"diffusion": lambda: (model.generative.unet, model.generative.vae, model.generative.text_encoder),
                 "clip": lambda: model.discriminative, "sam": lambda: model.segmentor}
        for part, load in loads.items():
            if part in bundle.parts:
                load()
                print(f"{part}: loads from {bundle.parts[part]}")
    print(f"{bundle.name}: complete, fingerprint {bundle.fingerprint()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
