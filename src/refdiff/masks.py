"""Boxes, areas, IoU, COCO RLE and clean-up of masks; a mask is bool [H, W], a stack bool [N, H, W]."""

from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np
from pycocotools import mask as coco
from scipy import ndimage

from .errors import InputError


def boxes(masks: np.ndarray) -> np.ndarray:
    """int64 [N, 4] (left, top, right, bottom) in px, right and bottom exclusive; zeros for an empty mask."""
    out = np.zeros((len(masks), 4), np.int64)
    for i, mask in enumerate(masks):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if rows.size:
            out[i] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return out


def areas(masks: np.ndarray) -> np.ndarray:
    """int64 [N] in px."""
    return np.array([np.count_nonzero(mask) for mask in masks], np.int64)


def iou_matrix(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """float64 [N, M]: intersection over union of every pair; 0 where both are empty."""
    a = first.reshape(len(first), np.prod(first.shape[1:], dtype=int)).astype(np.float32)
    b = second.reshape(len(second), np.prod(second.shape[1:], dtype=int)).astype(np.float32)
    intersection = (a @ b.T).astype(np.float64)
    union = a.sum(1)[:, None] + b.sum(1)[None] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def to_rle(mask: np.ndarray) -> dict[str, Any]:
    """COCO's compressed RLE: {'size': [H, W], 'counts': str}."""
    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(extent) for extent in rle["size"]], "counts": rle["counts"].decode("ascii")}


def from_rle(rle: Any) -> np.ndarray:
    """The mask of a COCO RLE, compressed or not. Raises InputError when it is broken or claims over 100 MP."""
    try:
        height, width = (int(extent) for extent in rle["size"])
        counts = rle["counts"]
        if not 0 < height * width <= 100_000_000 or min(height, width) < 1:
            raise ValueError(f"size {height}x{width}")
        if isinstance(counts, list):
            runs = [int(run) for run in counts]
            if min(runs, default=-1) < 0 or sum(runs) != height * width:
                raise ValueError("its runs do not fill its size")
            return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T.copy()
        return _decompress(counts if isinstance(counts, str) else counts.decode("ascii"), height, width)
    except (KeyError, TypeError, ValueError, AttributeError, UnicodeDecodeError) as error:
        raise InputError(f"A mask's RLE is broken ({error}); it must be COCO's, with size and counts.") from None


def _decompress(text: str, height: int, width: int) -> np.ndarray:
    """COCO's string form, read here because pycocotools trusts its input and overruns on a broken one."""
    runs: list[int] = []
    value, shift = 0, 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise ValueError(f"character {character!r}")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            if runs[-1] < 0:
                raise ValueError("a run is negative")
            value, shift = 0, 0
    if shift or sum(runs) != height * width:
        raise ValueError("its runs do not fill its size")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T.copy()


def tidy(mask: np.ndarray, min_region: int) -> np.ndarray:
    """The mask without holes and specks of fewer than `min_region` px; its largest part always stays."""
    def parts(region: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        labels, count = ndimage.label(region, np.ones((3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        small = sizes < min_region
        small[0] = False  # what is not of the region
        return labels, sizes, small

    left, top, right, bottom = boxes(mask[None])[0]
    margin = 1 + isqrt(min_region)  # so wide that the ground around the mask does not look like a hole
    near = (slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin))
    labels, _, holes = parts(~mask[near])
    part = mask[near] | holes[labels] if holes.any() else mask[near]
    labels, sizes, specks = parts(part)
    if len(sizes) > 1:
        specks[1 + sizes[1:].argmax()] = False
    tidied = np.zeros_like(mask)
    tidied[near] = part & ~specks[labels] if specks.any() else part
    return tidied
