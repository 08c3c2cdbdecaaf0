"""What every dataset consists of: references, each a picture, an expression and a true mask."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..images import load_image
from ..masks import from_rle


@dataclass(frozen=True)
class Reference:
    """One expression of a dataset: its picture, the words, its kind where the dataset names one, and its truth: a COCO
    RLE, polygons [x, y, x, y, ...] in px, or the path of a mask picture."""

    id: int | str
    image: Path
    expression: str
    kind: str | None
    segmentation: Any
    size: tuple[int, int] | None = None

    def truth(self, size: tuple[int, int]) -> np.ndarray:
        """The true mask, bool [H, W], of a picture of `size` (H, W); it may be empty.

        Raises InputError when the annotation has no mask, a broken one, or one of another size.
        """
        if self.segmentation is None or self.segmentation == []:
            raise InputError(f"Expression {self.id} has no mask.")
        if isinstance(self.segmentation, dict):
            mask = from_rle(self.segmentation)
        elif isinstance(self.segmentation, (str, Path)):
            mask = load_image(Path(self.segmentation)).max(-1) >= 128
        else:
            mask = from_polygons(self.segmentation, size)
        if mask.shape != tuple(size):
            raise InputError(f"Expression {self.id} has a mask of {mask.shape[1]}x{mask.shape[0]} for a picture of "
                             f"{size[1]}x{size[0]}.")
        return mask

    @property
    def mask(self) -> np.ndarray:
        """`truth` at the size that the dataset states. Raises InputError where it states none."""
        if self.size is None:
            raise InputError(f"The dataset does not state the size of the picture of expression {self.id}.")
        return self.truth(self.size)


@dataclass(frozen=True)
class Dataset:
    """A split of a dataset, its references grouped by picture; `where` is what `open_dataset` was given."""

    name: str
    split: str
    references: tuple[Reference, ...]
    where: dict[str, Any] = field(default_factory=dict)

    def pictures(self) -> Iterator[list[Reference]]:
        """The references of one picture at a time."""
        for _, group in groupby(self.references, key=lambda reference: reference.image):
            yield list(group)

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when any expression, mask, or picture's name does."""
        digest = hashlib.sha256()
        for each in self.references:
            digest.update(json.dumps([each.id, each.image.name, each.expression, each.kind, each.segmentation],
                                     default=str).encode())
        return digest.hexdigest()[:16]


def from_polygons(polygons: Any, size: tuple[int, int]) -> np.ndarray:
    """The union of polygons, each a flat list [x, y, x, y, ...] in px; bool [H, W].

    Raises InputError unless at least one polygon has three points and all are numbers.
    """
    from pycocotools import mask as coco

    try:
        flat = [[float(value) for value in polygon] for polygon in polygons]
    except (TypeError, ValueError):
        raise InputError("A mask's polygons are broken; each must be a list of numbers x, y, x, y and so on.") from None
    flat = [polygon for polygon in flat if len(polygon) >= 6 and len(polygon) % 2 == 0]
    if not flat or not np.isfinite(np.concatenate(flat)).all():
        raise InputError("A mask's polygons are broken; none has three points or more.")
    return coco.decode(coco.merge(coco.frPyObjects(flat, *size))).astype(bool)


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises InputError when it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}).") from None


def grouped(name: str, split: str, references: list[Reference], where: dict[str, Any]) -> Dataset:
    """A dataset whose references of one picture stand together, in the order of the file otherwise."""
    first: dict[Path, int] = {}
    for reference in references:
        first.setdefault(reference.image, len(first))
    return Dataset(name, split, tuple(sorted(references, key=lambda each: first[each.image])), where)
