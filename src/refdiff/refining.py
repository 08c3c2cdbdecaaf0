"""Answers corrected by hand: with points inside and outside what is meant, a box around it, or another candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from .core.protocols import ScoredMasks
from .errors import InputError
from .method.corrections import follow_clicks
from .models.segmentors.guided import follow_colours
from .result import Instance, Segmentation

if TYPE_CHECKING:
    from .scene import EncodedImage

Point = tuple[float, float]

# Chosen on the val split of benchmarks/scenes (benchmarks/refine.py).
_ANOTHER = 0.3  # a thing of which at most this share is in the mask is another thing
_CORE = 0.5  # of how deep a part is: a click at least so deep means all of it
_WHOLE = 0.9  # of the mask: a part of it so large is not taken away by one click


def refine(scene: EncodedImage, result: Segmentation, points: Sequence[Point], labels: Sequence[int] | None,
           box: Sequence[float] | None, candidate: int | None) -> Segmentation:
    """The answer with its mask corrected; see `EncodedImage.refine`."""
    points, labels = _checked(scene, result, points, labels, box, candidate)
    mask = result.mask
    if candidate is not None:
        mask = next(each.mask for each in result.candidates if each.index == candidate)
    if box is not None:
        mask = _best(scene.prompt(points, labels, box), points, labels)
    things = [each.mask for each in result.instances]
    for number, (point, label) in enumerate(zip(points, labels, strict=True), 1):
        if mask[_cell(point)] != bool(label):
            mask = _corrected(scene, mask, things, points[:number], labels[:number])
    instances = (Instance(_read_only(mask), 1.0, None),) if mask.any() else ()
    return replace(result, instances=instances, confidence=None, notice=None)


def _checked(scene: EncodedImage, result: Segmentation, points: Sequence[Point], labels: Sequence[int] | None,
             box: Sequence[float] | None, candidate: int | None) -> tuple[list[Point], list[int]]:
    """Points and their labels. Raises InputError."""
    height, width = scene.size
    if result.image.shape[:2] != scene.size:
        raise InputError(f"The answer is about an image of {result.image.shape[1]}x{result.image.shape[0]}, and this "
                         f"one has {width}x{height}.")
    try:
        places = [(float(x), float(y)) for x, y in points]
        said = [1] * len(places) if labels is None else [int(label) for label in labels]
        frame = None if box is None else [float(value) for value in box]
    except (TypeError, ValueError):
        raise InputError("points must be (x, y) in px, labels 1 or 0, and box (left, top, right, bottom) in "
                         "px.") from None
    if len(said) != len(places) or not set(said) <= {0, 1}:
        raise InputError("labels must hold one label for each point, 1 inside what is meant and 0 outside.")
    if not all(0 <= x < width and 0 <= y < height for x, y in places):  # NaN fails it too
        raise InputError(f"A point lies outside the image, which is {width}x{height}.")
    if frame is not None and not (len(frame) == 4 and 0 <= frame[0] < frame[2] <= width
                                  and 0 <= frame[1] < frame[3] <= height):
        raise InputError(f"The box must be (left, top, right, bottom) inside the image, which is {width}x{height}.")
    if candidate is not None and all(each.index != candidate for each in result.candidates):
        raise InputError(f"The answer has no candidate of index {candidate}.")
    if not places and frame is None and candidate is None:
        raise InputError("A correction needs points, a box, or the candidate that is meant.")
    return places, said


def _corrected(scene: EncodedImage, mask: np.ndarray, things: Sequence[np.ndarray], points: Sequence[Point],
               labels: Sequence[int]) -> np.ndarray:
    """The mask, once the union of `things`, corrected at the last of the points.

    Where that lies in another thing, the thing is added, and where it lies deep in a part of the mask, the part is
    taken away, as a person would mean it; else what it is near to changes, up to the next edges.
    """
    cell = _cell(points[-1])
    if labels[-1]:
        outside = [point for point, label in zip(points, labels, strict=True) if not label]
        asked, said = [points[-1], *outside], [1] + [0] * len(outside)
        thing = _best(scene.prompt(asked, said), asked, said)
        if thing[cell] and np.count_nonzero(thing & mask) < _ANOTHER * np.count_nonzero(thing):
            return mask | thing
    else:
        parts, _ = ndimage.label(mask, np.ones((3, 3)))
        part = parts == parts[cell]
        if len(things) > 1:  # of several, the whole thing that is clicked, however many pieces it is in
            part = next((thing & mask for thing in things if thing[cell]), part)
        depth = ndimage.distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1]
        if depth[cell] > _CORE * depth.max() and np.count_nonzero(part) < _WHOLE * np.count_nonzero(mask):
            return mask & ~part
    found = follow_clicks(mask, scene.image, points, labels)
    return follow_colours(found[None], scene.image, scene.settings.segmentor)[0]


def _best(found: ScoredMasks, points: Sequence[Point], labels: Sequence[int]) -> np.ndarray:
    """Of the segmentor's masks that with which most labels agree, of those the one that it rates highest."""
    agree = [sum(mask[_cell(point)] == bool(label) for point, label in zip(points, labels, strict=True))
             for mask in found.masks]
    best: np.ndarray = found.masks[np.lexsort((found.iou, agree))[-1]]
    return best


def _cell(point: Point) -> tuple[int, int]:
    return int(point[1]), int(point[0])


def _read_only(mask: np.ndarray) -> np.ndarray:
    own = mask.copy()
    own.flags.writeable = False
    return own
