"""What every dataset consists of: references, each an image, an expression and a true mask."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from PIL import Image

from ..core.decoding import MAX_PIXELS
from ..core.files import shown
from ..core.masks import from_polygons, from_rle, mask_from_image
from ..errors import InputError

_LONGEST_TEXT = 10_000  # characters of an expression
_LARGEST_ID = 1 << 53  # integers that every JSON reader keeps, and whose hashes differ


@dataclass(frozen=True)
class Reference:
    """One expression of a dataset: its image, the words, its kind where the dataset names one, and its truth.

    `segmentation` is a COCO RLE, a list of polygons [x, y, x, y, ...] in px, the path of a mask image, or a tuple of
    those, whose union is meant. `size` (H, W) in px is what the dataset states of the image. `fault` says, in a
    sentence, why the reference cannot be evaluated. `empty_allowed` where the dataset says that nothing is meant.
    `look_alikes`: how many other objects of the same category are annotated in the image, where the dataset says.
    """

    id: int | str
    image: Path
    expression: str
    kind: str | None
    segmentation: Any
    size: tuple[int, int] | None = None
    fault: str | None = None
    empty_allowed: bool = False
    look_alikes: int | None = None

    def truth(self, size: tuple[int, int]) -> np.ndarray:
        """The true mask, bool [H, W], of an image of `size` (H, W).

        It is drawn at the size that the dataset states, then resized where the image has another. Raises InputError
        for a reference with a fault; when the annotation has no mask, a broken one or one of another shape; and when
        the mask is empty, unless the dataset says that nothing is meant.
        """
        if self.fault is not None:
            raise InputError(self.fault)
        size = (int(size[0]), int(size[1]))
        stated = self.size or size
        # as much as rounding two sides can change
        if abs(stated[0] * size[1] - stated[1] * size[0]) > stated[0] + stated[1]:
            raise InputError(f"Expression {self.id}: the dataset states an image of {stated[1]}x{stated[0]}, but it is "
                             f"{size[1]}x{size[0]}.")
        mask = np.zeros(stated, bool)
        for part in self.segmentation if isinstance(self.segmentation, tuple) else (self.segmentation,):
            mask |= self._drawn(part, stated)
        if stated != size:
            mask = np.array(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))
        if not mask.any() and not self.empty_allowed:
            raise InputError(f"Expression {self.id} has an empty mask.")
        return mask

    def _drawn(self, segmentation: Any, size: tuple[int, int]) -> np.ndarray:
        if segmentation is None or segmentation == []:
            raise InputError(f"Expression {self.id} has no mask.")
        if isinstance(segmentation, dict):
            return from_rle(segmentation, size)
        if not isinstance(segmentation, Path):
            return from_polygons(segmentation, size)
        mask = mask_from_image(segmentation)
        if mask.shape != size:
            raise InputError(f"Expression {self.id} has a mask of {mask.shape[1]}x{mask.shape[0]} for an image of "
                             f"{size[1]}x{size[0]}.")
        return mask

    @property
    def mask(self) -> np.ndarray:
        """`truth` at the size that the dataset states. Raises InputError where it states none."""
        if self.size is None:
            raise InputError(f"The dataset does not state the size of the image of expression {self.id}.")
        return self.truth(self.size)


@dataclass(frozen=True)
class Dataset:
    """A split of a dataset, its references grouped by image; `where` is what `open_dataset` was given.

    `one_target`: whether every expression means exactly one thing; else some may mean several, or nothing.
    """

    name: str
    split: str
    references: tuple[Reference, ...]
    where: dict[str, Any] = field(default_factory=dict)
    one_target: bool = True

    def images(self) -> Iterator[list[Reference]]:
        """The references of one image at a time."""
        for _, group in groupby(self.references, key=lambda reference: reference.image):
            yield list(group)

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when any expression, mask, or image's name does."""
        digest = hashlib.sha256()
        for each in self.references:
            digest.update(json.dumps([each.id, each.image.name, each.expression, each.kind, each.segmentation],
                                     default=str).encode())
        return digest.hexdigest()[:16]


def make_reference(where: str, id: Any, image: Path, expression: Any, kind: Any = None, segmentation: Any = None,
                   size: tuple[int, int] | None = None, fault: str | None = None,
                   empty_allowed: bool = False, look_alikes: int | None = None) -> Reference:
    """A reference of values as a file holds them, of any type: what is wrong with one becomes its fault.

    `where` is what messages call its place in the file, and its id where it has no usable one.
    """
    faults = [fault] if fault else []
    if not is_id(id):
        faults.append(f"{where} has no valid id: an integer or a string.")
        id = where
    if not isinstance(expression, str) or len(expression) > _LONGEST_TEXT or not _is_text(expression):
        faults.append(f"{where} has no valid expression: a string of at most {_LONGEST_TEXT} characters.")
        expression = shown(expression if isinstance(expression, str) else json.dumps(expression, default=str))
    if kind is not None and not (isinstance(kind, str) and len(kind) <= _LONGEST_TEXT and _is_text(kind)):
        faults.append(f"{where} has a kind that is not a string.")
        kind = None
    return Reference(id, image, expression, kind, segmentation, size, faults[0] if faults else None, empty_allowed,
                     look_alikes)


def is_id(value: Any) -> bool:
    """Whether a value names an image, annotation or expression: a string, or an integer of at most 53 bits."""
    if isinstance(value, str):
        return 0 < len(value) <= 1000 and _is_text(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST_ID


def image_path(folder: Path, name: Any, where: str, inside: bool = True) -> tuple[Path, str | None]:
    """(the path of an image, None) or (a path that does not exist, why the name cannot be used).

    `inside` refuses names that leave the folder: data from elsewhere must not choose which files are opened.
    """
    if not is_id(name) or not isinstance(name, str) or "\0" in name:
        return folder / f"({where} names no image)", f"{where} has no valid file name of an image."
    parts = {*Path(name).parts, *PureWindowsPath(name).parts}
    if inside and (".." in parts or Path(name).anchor or PureWindowsPath(name).root):
        return folder / f"({where} names no image)", f"{where} names an image outside its folder: {shown(name)}."
    return folder / name, None


def image_size(image: dict[str, Any]) -> tuple[tuple[int, int] | None, str | None]:
    """((H, W) that an entry of instances.json states, if it does, None) or (None, what is wrong with it)."""
    height, width = image.get("height"), image.get("width")
    if height is None or width is None:
        return None, None
    if type(height) is int and type(width) is int and min(height, width) > 0 and height * width <= MAX_PIXELS:
        return (height, width), None
    return None, f"The size stated of image {shown(image.get('id'))} is not valid."


def _is_text(value: str) -> bool:
    """Whether a string can be encoded: JSON can hold halves of characters, which can be neither printed nor parsed."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def grouped(name: str, split: str, references: list[Reference], where: dict[str, Any], one_target: bool) -> Dataset:
    """A dataset whose references of one image stand together, in the order of the file otherwise; only the first of
    them where `where` has a "limit".

    Raises InputError when two have the same id.
    """
    first: dict[Path, int] = {}
    ids: set[str] = set()
    for reference in references:
        first.setdefault(reference.image, len(first))
        if str(reference.id) in ids:
            raise InputError(f"Two expressions of {name} have the id {reference.id}; every id must be unique.")
        ids.add(str(reference.id))
    ordered = tuple(sorted(references, key=lambda each: first[each.image]))
    return Dataset(name, split, ordered[: where.get("limit")], where, one_target)
