"""Boxes, areas, IoU, COCO RLE, mask files and clean-up; a mask is bool [H, W], a stack bool [N, H, W]."""

from __future__ import annotations

from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco
from scipy import ndimage

from ..errors import InputError
from .decoding import MAX_PIXELS, open_image
from .files import shown


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
    iou: np.ndarray = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return iou


def ious(masks: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """float64 [N]: intersection over union of each of `masks` with one `mask` (bool [H, W]); 0 where both are empty."""
    left, top, right, bottom = boxes(mask[None])[0]
    intersection = areas(masks[:, top:bottom, left:right] & mask[top:bottom, left:right])
    union = areas(masks) + np.count_nonzero(mask) - intersection
    iou: np.ndarray = intersection / np.maximum(union, 1)
    return iou


def to_rle(mask: np.ndarray) -> dict[str, Any]:
    """COCO's compressed RLE: {'size': [H, W], 'counts': str}."""
    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(extent) for extent in rle["size"]], "counts": rle["counts"].decode("ascii")}


def from_rle(rle: Any, size: tuple[int, int] | None = None) -> np.ndarray:
    """The mask bool [H, W] of a COCO RLE, compressed or not.

    Raises InputError when it is broken, states over 100 megapixels, or, where `size` (H, W) is given, another size;
    that is seen before anything is decoded.
    """
    try:
        height, width = _size_of(rle)
        if size is not None and (height, width) != tuple(size):
            raise InputError(f"A mask is {width}x{height} for an image of {size[1]}x{size[0]}; they must have the same "
                             "size.")
        runs = _runs(rle["counts"], height * width)
    except (KeyError, TypeError, ValueError) as error:
        reason = "it has no 'size' or no 'counts'" if isinstance(error, KeyError) else shown(error)
        raise InputError(f"A mask's RLE is broken ({reason}); it must be COCO's, with size and counts.") from None
    inside: np.ndarray = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T.copy()
    return inside


def _size_of(rle: Any) -> tuple[int, int]:
    if not isinstance(rle, dict):
        raise TypeError(f"it is of type {type(rle).__name__}")
    size = rle["size"]
    if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(_is_integer(extent) for extent in size):
        raise ValueError("its size must be two integers")
    height, width = int(size[0]), int(size[1])
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"its size must be of 1 to {MAX_PIXELS // 10**6} million pixels")
    return height, width


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _runs(counts: Any, pixels: int) -> np.ndarray:
    """The lengths int64 [R] of runs, outside and inside in turn. Raises ValueError unless they fill `pixels`."""
    if isinstance(counts, (list, tuple)):
        if len(counts) > pixels + 1:
            raise ValueError("its runs do not fill its size")
        runs = np.array(counts)
        if runs.ndim != 1 or runs.dtype.kind != "i":
            raise ValueError("its runs must be integers")
        runs = runs.astype(np.int64)
    elif isinstance(counts, (str, bytes)):
        text = counts if isinstance(counts, bytes) else counts.encode("ascii", "replace")
        if len(text) > 7 * (pixels + 1):
            raise ValueError("its runs do not fill its size")
        runs = _decompress(text)
    else:
        raise TypeError("its counts are neither a list nor a string")
    if not runs.size or runs.min() < 0 or runs.max() > pixels or runs.sum() != pixels:
        raise ValueError("its runs do not fill its size")
    return runs


def _decompress(text: bytes) -> np.ndarray:
    """COCO's string form as runs int64 [R]: little-endian groups of 5 bits, from the third run on as differences from
    the run before last. Read here because pycocotools trusts its input and overruns on a broken one."""
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if not codes.size or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError("its counts have a character that cannot stand there")
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    groups = ends - starts + 1
    if groups.max() > 7:
        raise ValueError("a run is longer than any image")
    place = np.arange(len(codes)) - np.repeat(starts, groups)
    values = np.add.reduceat((codes & 31) << 5 * place, starts)
    values -= np.where(codes[ends] & 16, 1 << 5 * groups, 0)
    for first in (1, 2):
        values[first::2] = np.cumsum(values[first::2])
    return values


def mask_from_image(source: str | Path | Image.Image | np.ndarray) -> np.ndarray:
    """The mask bool [H, W] that an image file, PIL image or array [H, W], [H, W, 3] or [H, W, 4] shows.

    With a palette, every index but 0 and 255 (void) is inside; a palette of greys is read as grey. With transparency
    that varies, alpha decides, else the greatest colour channel: of two values the greater is inside, of more those
    from half the greatest up (antialiased edges, JPEG); of one value all is inside unless it is 0. Raises InputError
    for what is not an image, and for colours that leave open what is inside.
    """
    if isinstance(source, np.ndarray):
        values = source[..., 0] if source.ndim == 3 and source.shape[-1] == 1 else source
    else:
        image = open_image(source)
        indices = _palette_indices(image)
        if indices is not None:
            inside: np.ndarray = (indices != 0) & (indices != 255)
            return inside
        if not image.mode.startswith(("1", "L", "I", "F")) or image.mode in ("LA", "La"):
            image = image.convert("RGBA")
        values = np.asarray(image)
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[-1] not in (3, 4)) or not values.size:
        raise InputError(f"A mask must be [H, W], [H, W, 3] or [H, W, 4], not {list(values.shape)}.")
    if values.dtype.kind not in "buif" or not (values.min() >= 0 and values.max() < np.inf):  # NaN fails it too
        raise InputError("A mask must hold numbers that are not negative.")
    if values.ndim == 2:
        return _inside(values)
    if values.shape[-1] == 4 and values[..., 3].min() < values[..., 3].max():
        return _inside(values[..., 3])
    colours = values[..., :3]
    greatest = colours.max(-1)
    if greatest.min() == greatest.max() and (colours != colours[0, 0]).any():
        raise InputError("A mask's colours are equally bright, so that it is open what is inside; use black and white.")
    return _inside(greatest)


def _palette_indices(image: Image.Image) -> np.ndarray | None:
    """The indices [H, W] of an image with a palette of colours; None for any other."""
    if image.mode not in ("P", "PA"):
        return None
    indices = np.asarray(image if image.mode == "P" else image.getchannel(0))
    palette = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    used = np.flatnonzero(np.bincount(indices.ravel(), minlength=1))
    grey = used[-1] < len(palette) and (palette[used] == used[:, None]).all()  # colour i is (i, i, i)
    return None if grey else indices


def _inside(values: np.ndarray) -> np.ndarray:
    lowest, greatest = values.min(), values.max()
    if lowest == greatest:
        return np.full(values.shape, bool(greatest > 0))
    if ((values == lowest) | (values == greatest)).all():
        inside: np.ndarray = values == greatest
    else:
        inside = values >= greatest / 2
    return inside


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
