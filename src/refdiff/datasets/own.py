"""Your own data: a JSONL file, each line {"image", "expression", "mask" or "segmentation", "id"?, "kind"?}."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from .reference import Reference


def load_own(path: str | Path, images: str | Path | None = None) -> Iterator[Reference]:
    """Every line of the file.

    `image` and `mask` (a picture, white inside) are paths relative to `images` (default: the file's folder);
    `segmentation` is a COCO RLE or a list of polygons. Raises InputError naming the first line that is no such object.
    """
    path = Path(path)
    base = Path(images or path.parent)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}).") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            image, expression = base / row["image"], str(row["expression"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InputError(f'Line {number} of {path} is no object with "image" and "expression".') from None
        truth = base / row["mask"] if isinstance(row.get("mask"), str) else row.get("segmentation")
        yield Reference(id=row.get("id", number), image=image, expression=expression, kind=row.get("kind"),
                        segmentation=truth)
