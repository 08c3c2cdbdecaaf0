"""Proposals: the weight-free filter (Eq. 8), the segmentor's masks, or a file of COCO RLE masks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError
from .masks import from_rle

THRESHOLDS = tuple(i / 20 for i in range(1, 20))
"""mu of Eq. 8: 5 % to 95 % in steps of 5 %."""


@dataclass(frozen=True)
class Proposals:
    """`masks` bool [N, H, W], N at least 1; `source` 'filter', 'segmentor', 'file' or 'image' (the whole picture,
    when there is no other)."""

    masks: np.ndarray
    source: str

    @classmethod
    def from_correlation(cls, correlation: np.ndarray) -> Proposals:
        """Eq. 8, the weight-free filter: c >= mu for each mu in THRESHOLDS, of c float32 [H, W] in [0, 1]."""
        return cls.of(np.stack([correlation >= threshold for threshold in THRESHOLDS]), "filter")

    @classmethod
    def of(cls, masks: np.ndarray, source: str) -> Proposals:
        """Masks without the empty ones; the whole picture where none is left (release)."""
        filled = masks.any((1, 2))
        kept = masks if filled.all() else masks[filled]
        return cls(kept, source) if len(kept) else cls(np.ones((1, *masks.shape[1:]), bool), "image")


def read_proposals(path: str | Path) -> Any:
    """The content of a JSON file of proposals, parsed once however many pictures it covers.

    Raises InputError when it cannot be read.
    """
    path = Path(path)
    try:
        return _parsed(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        raise InputError(f"There is no proposal file {path}; check the path.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON file of proposals ({error}).") from None


@lru_cache(maxsize=1)
def _parsed(path: Path, changed: int) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def load_proposals(path: str | Path, size: tuple[int, int], image: str | None = None) -> Proposals:
    """Masks of one picture of `size` (H, W) from a JSON file made by any segmentor.

    The file holds a list of COCO RLEs, or of objects with one under 'segmentation'; or an object from picture file
    names to such lists, of which the one for `image` is taken. Raises InputError for anything else, and for a mask
    of another size.
    """
    content = read_proposals(path)
    if isinstance(content, dict) and "size" not in content:
        if image is None or image not in content:
            raise InputError(f"{path} has no proposals for {image or 'a picture without a name'}.")
        content = content[image]
    if not isinstance(content, list) or not content:
        raise InputError(f"{path} must hold a list of masks as COCO RLE.")
    masks = [from_rle(item.get("segmentation", item) if isinstance(item, dict) else item) for item in content]
    for mask in masks:
        if mask.shape != tuple(size):
            raise InputError(f"{path} has a mask of {mask.shape[1]}x{mask.shape[0]} for a picture of "
                             f"{size[1]}x{size[0]}; they must have the same size.")
    return Proposals.of(np.stack(masks), "file")
