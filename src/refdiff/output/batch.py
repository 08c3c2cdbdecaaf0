"""Many images and expressions answered, one line of JSON per expression, and gone on with where it was stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..core.files import make_folder, named_after, read_json, shown
from ..core.images import save_image
from ..datasets import Reference, load_manifest
from ..errors import InputError
from ..evaluation.engine import Progress, about, work_through
from ..evaluation.rows_folder import HEADER, Kind, Row, check_header, fits, locked, placed_rows
from ..evaluation.work import each_answer, fault
from ..language import check_expression
from ..pipeline import RefDiff
from ..result import Box, Segmentation
from ..scene import NEEDED

MASKS, OVERLAYS = "masks", "overlays"

_NONE = type(None)
_HEADER_SHAPE = {"manifest": {"name": str, "expressions": int, "fingerprint": str}, "settings": dict,
                 "bundle": {"name": str}}
_PLACE_SHAPE = {"box": [int], "score": (int, float), "confidence": (int, float, _NONE), "rle": dict}
_ANSWER_SHAPE = {"query": (str, _NONE), "notice": (str, _NONE), "score": (int, float), "rle": dict,
                 "confidence": (int, float, _NONE), "instances": [_PLACE_SHAPE]}


@dataclass(frozen=True)
class Summary:
    """How many expressions of a manifest were answered, for how many of these something was `found`, and the sentence
    of every fault."""

    answered: int
    found: int
    faults: tuple[str, ...]


def batch(model: RefDiff, manifest: str | Path, out: str | Path, files: Sequence[str] = (), workers: int = 0,
          show: Callable[[Progress], None] | None = None) -> Summary:
    """Answer what is still to be answered of a manifest (`datasets.load_manifest`).

    `out` is a folder; an existing batch there goes on. It gets rows.jsonl, a line for each expression, and the folders
    that `files` names: 'masks' (PNG, 255 inside) and 'overlays'. `workers` over 0 shares the images among that many
    Ray actors, for which `out` must be the same folder on every machine. An image or expression that cannot be used is
    a row with a 'fault'. Raises InputError where the manifest cannot be read, the folder holds other answers or is
    being written to, and RefDiffError when the disk refuses.
    """
    asked, folder = load_manifest(manifest), Path(out)
    make_folder(folder)
    with locked(folder):
        for part in NEEDED["full"]:
            model.bundle.part(part)  # fetched now, since the fingerprint names the commit that was fetched
        check_header(folder, about(model) | {
            "manifest": {"name": asked.name, "expressions": len(asked.references),
                         "fingerprint": asked.fingerprint()},
            "files": sorted(files), "where": {"manifest": str(manifest)}}, read_header)
        for name in files:
            make_folder(folder / name)
        images = list(asked.images())
        job = partial(_answer_image, base=Path(manifest).parent, out=folder.resolve(), files=tuple(files))
        work_through(model, images, job, folder, KIND, workers, show)
        return _summary(folder)


def read_header(folder: Path) -> dict[str, Any]:
    """The header of a folder of answers. Raises InputError when it holds none that refdiff batch could have written."""
    header = read_json(folder / HEADER)
    if not fits(header, _HEADER_SHAPE):
        raise InputError(f"{shown(folder / HEADER)} is not of refdiff batch; name another folder.")
    found: dict[str, Any] = header
    return found


def _summary(folder: Path) -> Summary:
    answered, found, faults = 0, 0, []
    for _, _, row in placed_rows(folder, KIND):
        if "fault" in row:
            faults.append(row["fault"])
        else:
            answered, found = answered + 1, found + row["found"]
    return Summary(answered, found, tuple(faults))


def _answer_image(model: RefDiff, references: Sequence[Reference], index: int, image: np.ndarray | InputError,
                  base: Path, out: Path, files: Sequence[str]) -> list[Row]:
    name = _name(references[0].image, base)
    rows: list[Row] = []
    usable: list[Reference] = []
    for reference in references:
        try:
            if reference.fault is not None:
                raise InputError(reference.fault)
            if isinstance(image, InputError):
                raise image
            check_expression(reference.expression)
            usable.append(reference)
        except InputError as error:
            rows.append(fault(index, reference, error) | {"image": name})
    if not usable or isinstance(image, InputError):
        return rows
    scene = model.encode(image)
    answers = each_answer(scene.segment, [reference.expression for reference in usable])
    for place, (reference, answer) in enumerate(zip(usable, answers, strict=True), 1):
        if isinstance(answer, InputError):
            rows.append(fault(index, reference, answer) | {"image": name})
            continue
        written = {}
        for kind in files:
            # the numbers make it unique, and the same for whoever does the image again
            written[kind] = f"{kind}/{index + 1}-{place}.{named_after(name, reference.expression)}.png"
            save_image(answer.mask if kind == MASKS else answer.overlay(), out / written[kind])
        rows.append({"image_index": index, "id": reference.id, "image": name, "expression": reference.expression,
                     **_row(answer), **written})
    return rows


def _name(image: Path, base: Path) -> str:
    """An image's path as the manifest has it."""
    return (image.relative_to(base) if image.is_relative_to(base) else image).as_posix()


def _row(answer: Segmentation) -> Row:
    return {"query": None if answer.query is None else str(answer.query), "found": answer.found,
            "notice": answer.notice, **_place(answer.box, answer.score, answer.confidence, answer.rle),
            "instances": [_place(each.box, each.score, each.confidence, each.rle) for each in answer.instances]}


def _place(box: Box | None, score: float, confidence: float | None, rle: dict[str, Any]) -> Row:
    return {"box": None if box is None else list(box), "score": score, "confidence": confidence, "rle": rle}


def _is_answer(row: Row) -> bool:
    return (fits(row, _ANSWER_SHAPE) and isinstance(row.get("found"), bool)
            and row["found"] == bool(row["instances"]) and fits(row.get("box") or [], [int])
            and all(math.isfinite(each["score"]) for each in (row, *row["instances"])))


KIND = Kind(_is_answer)
"""What the rows of such a folder are."""
