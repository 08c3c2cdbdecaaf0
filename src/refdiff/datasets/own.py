"""Your own data: a JSONL file, each line {"image", "expression", "mask" or "segmentation", "id"?, "kind"?,
"split"?}."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.files import read_json_lines, shown
from ..errors import InputError
from .reference import Reference, image_path, make_reference


def load_own(path: str | Path, images: str | Path | None = None, split: str = "val") -> Iterator[Reference]:
    """Every line of the split; a file whose lines name none is all 'val'.

    `image` and `mask` (an image, read by `core.masks.mask_from_image`) are paths, relative ones to `images` (default:
    the file's folder); `segmentation` is a COCO RLE or a list of polygons. Raises InputError where there is no
    such split, and naming the first line that is not a JSON object with "image" and "expression"; a value of a wrong
    type is the fault of that reference alone.
    """
    path = Path(path)
    base = Path(images or path.parent)
    for number, row in _lines(path, split):
        if not isinstance(row, dict) or "image" not in row or "expression" not in row:
            raise InputError(f'Line {number} of {shown(path)} is not an object with "image" and "expression".')
        where = f"Line {number}"
        image, fault = image_path(base, row["image"], where, inside=False)
        truth = row.get("segmentation")
        if row.get("mask") is not None:
            truth, mask_fault = image_path(base, row["mask"], where, inside=False)
            fault = fault or (mask_fault and f"{where} has a mask that is not the path of an image.")
        yield make_reference(where, row.get("id", number), image, row["expression"], row.get("kind"), truth,
                             fault=fault)


def _lines(path: Path, split: str) -> list[tuple[int, Any]]:
    """(line number, value) of the lines of the split. Raises InputError where there is none."""
    lines = [(number, row, row.get("split") if isinstance(row, dict) else None)
             for number, row in read_json_lines(path)]
    splits = list(dict.fromkeys(shown(own) for _, _, own in lines if own is not None))
    if not splits and split != "val":
        raise InputError(f'{shown(path)} has no splits: none of its lines has a "split"; leave the split out.')
    if splits and split not in splits:
        raise InputError(f"{shown(path)} has no split {shown(split)}; it has {', '.join(splits[:10])}.")
    return [(number, row) for number, row, own in lines if not splits or (own is not None and shown(own) == split)]
