"""What every dataset consists of: references, each an image, an expression and a true mask."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from itertools import groupby
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from PIL import Image

from ..core.decoding import MAX_PIXELS
from ..core.files import read_bytes, shown
from ..errors import InputError
from .drawn import Drawing, Shapes, draw

_LONGEST_TEXT = 10_000  # characters of an expression
_LARGEST_ID = 1 << 53  # integers that every JSON reader keeps, and whose hashes differ


@dataclass(frozen=True)
class Reference:
    """One expression of a dataset: its image, the words, its kind where the dataset names one, and its truth.

    `segmentation` is a COCO RLE or a list of them, a list of polygons [x, y, x, y, ...] in px, the path of a mask
    image, or a tuple of those, whose union is meant; or ReasonSeg's `Shapes`. `size` (H, W) in px is what the dataset
    states of the image. `fault` says, in a sentence, why the reference cannot be evaluated. `empty_allowed` where the
    dataset says that nothing is meant. `image_id` is the dataset's id of the image, where it has one. `drawing` is how
    the parts of a mask are joined. `look_alikes`: how many other objects of the same category are annotated in the
    image, where the dataset says.
    """

    id: int | str
    image: Path
    expression: str
    kind: str | None
    segmentation: Any
    size: tuple[int, int] | None = None
    fault: str | None = None
    empty_allowed: bool = False
    image_id: int | str | None = None
    drawing: Drawing = "union"
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
        if isinstance(self.segmentation, Shapes):
            mask, _ = self.segmentation.painted(stated)
        else:
            for part in self.segmentation if isinstance(self.segmentation, tuple) else (self.segmentation,):
                drawn = draw(part, stated, self.drawing)
                if drawn is None:
                    raise InputError(f"Expression {self.id} has no mask.")
                mask |= drawn
        if stated != size:
            mask = np.array(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))
        if not mask.any() and not self.empty_allowed:
            raise InputError(f"Expression {self.id} has an empty mask.")
        return mask

    def ignored(self, size: tuple[int, int]) -> np.ndarray | None:
        """The pixels bool [H, W] of an image of `size` (H, W) that count neither way, where the dataset marks some."""
        return self.segmentation.painted(size)[1] if isinstance(self.segmentation, Shapes) else None

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
    `annotations`: the name, without its suffix, of the file that the expressions are from, such as 'refs(umd)'.
    """

    name: str
    split: str
    references: tuple[Reference, ...]
    where: dict[str, Any] = field(default_factory=dict)
    one_target: bool = True
    annotations: str = ""

    def images(self) -> Iterator[list[Reference]]:
        """The references of one image at a time."""
        for _, group in groupby(self.references, key=lambda reference: reference.image):
            yield list(group)

    def fingerprint(self) -> str:
        """The SHA-256, in hexadecimal, of all that figures depend on: of every expression its id, words, kind and
        fault, its truth (mask files by their content) and how it is drawn; of every image its name, id, stated size
        and number of bytes. Not of the images' pixels, and not of where the files lie."""
        digest = hashlib.sha256()
        for references in self.images():
            digest.update(json.dumps([references[0].image.name, _bytes(references[0].image)]).encode())
            for each in references:
                about = {field.name: getattr(each, field.name) for field in fields(each) if field.name != "image"}
                digest.update(json.dumps(about, default=_content).encode())
        return digest.hexdigest()


def _bytes(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return None


def _content(value: Any) -> str:
    """What stands for a part of a truth that JSON has no form for: for a file its SHA-256, or that there is none."""
    if not isinstance(value, Path):
        return repr(value)
    try:
        return hashlib.sha256(read_bytes(value)).hexdigest()
    except InputError:
        return "cannot be read"


def make_reference(where: str, id: Any, image: Path, expression: Any, kind: Any = None, segmentation: Any = None,
                   size: tuple[int, int] | None = None, fault: str | None = None, empty_allowed: bool = False,
                   image_id: Any = None, drawing: Drawing = "union", look_alikes: int | None = None) -> Reference:
    """A reference of values as a file holds them, of any type: what is wrong with one becomes its fault.

    `where` is what messages call its place in the file, and its id where it has no usable one. An `image_id` that is
    not one is left out.
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
                     image_id if is_id(image_id) else None, drawing, look_alikes)


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


def grouped(name: str, split: str, references: list[Reference], where: dict[str, Any], one_target: bool,
            annotations: str) -> Dataset:
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
    return Dataset(name, split, ordered[: where.get("limit")], where, one_target, annotations)
