"""Files of proposals that any segmentor made: masks by image, a COCO results list, or an instances JSON.

An image is found by what the file calls it: its file name, as much of its path as the file states, or its id. Where
two would do, nothing is guessed: that is an InputError.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..errors import InputError
from .files import read_json, shown
from .masks import from_rle
from .polygons import from_polygons
from .proposals import MAX_TOTAL, Proposals

_COCO_STEM = re.compile(r"(?:.*_)?(\d{12})", re.ASCII | re.DOTALL)  # COCO_train2014_000000581857, 000000581857
_SEVERAL = -1

ImageId = int | str | None


@dataclass(frozen=True)
class _Listed:
    """What a file holds: `masks` of each image, as they stand there; `sizes` (H, W) that it states of them, if it does;
    and `names`, what the images are called -> which of them. `alone`: the only image, where the file does not say
    which that is, or does so by a number."""

    masks: list[Any]
    sizes: list[tuple[Any, Any] | None]
    names: dict[str, int]
    alone: bool = False

    def find(self, file: str, image: str | Path | None, image_id: ImageId) -> int:
        """Which of them an image is. Raises InputError where it is none, or may be two."""
        name = "the image" if image is None else shown(image)
        by_path = next((self.names[each] for each in _ends(image) if each in self.names), None)
        number = _number(image) if image_id is None else image_id
        by_id = self.names.get(str(number)) if number is not None else None
        found = {each for each in (by_path, by_id) if each is not None}
        if found == {_SEVERAL} or len(found - {_SEVERAL}) > 1:
            raise InputError(f"{file} names {name} more than once, so that it is open which masks are meant; give "
                             "every image a name of its own there.")
        found -= {_SEVERAL}
        if not found and self.alone and (image_id is None or not self.names):
            return 0
        if not found:
            known = "" if number is None else f", nor for the image id {shown(number)}"
            raise InputError(f"{file} has no proposals for {name}{known}.")
        return found.pop()


def load_proposals(path: str | Path, size: tuple[int, int], image: str | Path | None = None,
                   image_id: ImageId = None) -> Proposals | None:
    """The masks of one image of `size` (H, W) from a JSON file made by any segmentor.

    The file holds a list of COCO RLEs, or of objects with one, or with polygons, under 'segmentation'; an object from
    images' names to such lists; a COCO results list, of objects with 'image_id' and 'segmentation'; or an instances
    JSON with 'images' and 'annotations'. A name there is a file name, the end of a path, or an id. `image` is the path
    of the image and `image_id` the dataset's id of it; without one, that is the number in a file name such as COCO's
    (COCO_train2014_000000581857.jpg), and an image that is not found so is the only one of a list that holds one image.
    None where the file lists the image without a mask: the segmentor found nothing, so that whatever is meant is
    missed. Raises InputError for anything else, for a mask of another size, and where an image may be two.
    """
    name, listed = shown(path), _read(path)
    index = listed.find(name, image, image_id)
    items, stated = listed.masks[index], listed.sizes[index]
    if not isinstance(items, list):
        raise InputError(f"{name} must hold a list of masks as COCO RLE, or an object from image names to such lists.")
    if not items:
        return None
    if stated not in (None, size):
        raise InputError(f"{name} states an image of {shown(stated[1])}x{shown(stated[0])}, but it is "
                         f"{size[1]}x{size[0]}.")
    if len(items) * size[0] * size[1] > MAX_TOTAL:
        raise InputError(f"{name} holds {len(items)} masks of {size[1]}x{size[0]}, too many to be held at once.")
    masks = np.zeros((len(items), *size), bool)
    for mask, item in zip(masks, items, strict=True):
        mask[:] = _mask(item, size)
    return Proposals.of(masks, "file")


def check_proposals(path: str | Path, images: Iterable[tuple[Path, ImageId]]) -> None:
    """Raises InputError unless the file can be read and gives no two of the images, (path, id), the same masks.

    An image that it does not list is not looked at.
    """
    name, listed = shown(path), _read(path)
    taken: dict[int, Path] = {}
    for image, image_id in images:
        try:
            index = listed.find(name, image, image_id)
        except InputError:
            continue
        first = taken.setdefault(index, image)
        if first != image:
            raise InputError(f"{name} does not tell the images {shown(first)} and {shown(image)} apart; give each a "
                             "name of its own there.")


def _mask(item: Any, size: tuple[int, int]) -> np.ndarray:
    found = item.get("segmentation", item) if isinstance(item, dict) else item
    if isinstance(found, list) and isinstance(item, dict):
        return from_polygons(found, size)
    return from_rle(found, size)


def _read(path: str | Path) -> _Listed:
    """The content of a file, parsed once however many images it covers."""
    path = Path(path)
    try:
        changed = path.stat().st_mtime_ns
    except (OSError, ValueError):
        raise InputError(f"There is no proposal file {shown(path)}; check the path.") from None
    return _parsed(path, changed)


@lru_cache(maxsize=1)
def _parsed(path: Path, changed: int) -> _Listed:
    content, name = read_json(path), shown(path)
    if isinstance(content, list):
        return _results(content, name)
    if not isinstance(content, dict):
        raise InputError(f"{name} must hold a list of masks as COCO RLE, or an object from image names to such lists.")
    if {"images", "annotations"} <= content.keys():
        return _instances(content, name)
    masks = list(content.values())
    return _Listed(masks, [None] * len(masks), _named(content))


def _results(content: list[Any], name: str) -> _Listed:
    """A list of masks; by their 'image_id' where they have one."""
    ids = [item.get("image_id") if isinstance(item, dict) else None for item in content]
    if not any(each is not None for each in ids):
        return _Listed([content], [None], {}, alone=True)
    if not all(_is_id(each) for each in ids):
        raise InputError(f"{name} is not a COCO results list: every mask must have an image_id, a number or text.")
    by_id: dict[str, list[Any]] = {}
    for each, item in zip(ids, content, strict=True):
        by_id.setdefault(str(each), []).append(item)
    alone = len(by_id) == 1 and isinstance(ids[0], int)
    return _Listed(list(by_id.values()), [None] * len(by_id), _named(by_id), alone)


def _instances(content: dict[str, Any], name: str) -> _Listed:
    """An instances JSON. What its ids mean it says itself, by file names; without those they are the dataset's."""
    images, annotations = content["images"], content["annotations"]
    if not all(isinstance(part, list) and all(isinstance(each, dict) for each in part)
               for part in (images, annotations)) or not all(_is_id(image.get("id")) for image in images):
        raise InputError(f"{name} is not an instances JSON: it must hold lists of images, each with its id, and of "
                         "annotations.")
    by_id: dict[ImageId, list[Any]] = {image["id"]: [] for image in images}
    if len(by_id) < len(images):
        raise InputError(f"{name} gives one id to two images; every id must be unique.")
    for annotation in annotations:
        if not _is_id(annotation.get("image_id")) or annotation["image_id"] not in by_id:
            raise InputError(f"{name} has an annotation of an image that it does not list: "
                             f"{shown(annotation.get('image_id'))}.")
        by_id[annotation["image_id"]].append(annotation)
    sizes = [(image["height"], image["width"]) if {"height", "width"} <= image.keys() else None for image in images]
    names = [image["file_name"] if isinstance(image.get("file_name"), str) else str(image["id"]) for image in images]
    return _Listed(list(by_id.values()), sizes, _named(names))


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _named(names: Iterable[str]) -> dict[str, int]:
    """What each name, and the number in one such as COCO's, stands for: its place, or _SEVERAL."""
    found: dict[str, int] = {}
    for place, name in enumerate(names):
        number = _number(name)
        for each in {_plain(name), *([] if number is None else [str(number)])}:
            found[each] = place if found.get(each, place) == place else _SEVERAL
    return found


def _plain(name: str) -> str:
    return str(PurePosixPath(name.replace("\\", "/")))


def _number(image: str | Path | None) -> int | None:
    found = None if image is None else _COCO_STEM.fullmatch(PurePosixPath(_plain(str(image))).stem)
    return int(found[1]) if found else None


def _ends(image: str | Path | None) -> list[str]:
    """The path of an image, as it is given and in full, and its ends; the longest first."""
    if image is None:
        return []
    paths = [PurePosixPath(_plain(str(each))).parts for each in (image, Path(image).absolute())]
    ends = {str(PurePosixPath(*parts[start:])) for parts in paths for start in range(len(parts))}
    return sorted(ends, key=lambda end: (-end.count("/"), end))
