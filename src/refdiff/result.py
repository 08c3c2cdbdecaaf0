"""`Segmentation`: the answer to one expression."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from .core.drawing import overlay
from .core.images import save_image
from .core.masks import boxes, to_rle
from .language import Expression
from .settings import Variant


@dataclass(frozen=True, eq=False)
class Candidate:
    """One proposal: its `index` among them, `mask` bool [H, W] (read-only), its `score` (Eq. 1) and the parts of it
    that the variant uses (s^G and s^D)."""

    index: int
    mask: np.ndarray
    score: float
    generative: float | None
    discriminative: float | None


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The answer to one expression.

    `candidates`: every proposal that can win, best first. `confidence`: the probability in [0, 1] that the mask is
    right (IoU over 0.5), None where the bundle has no calibration for these settings. `notice`: a sentence when the
    answer is not to be trusted, else None. `image` uint8 [H, W, 3].
    """

    image: np.ndarray
    expression: Expression
    variant: Variant
    candidates: tuple[Candidate, ...]
    confidence: float | None
    notice: str | None

    @cached_property
    def mask(self) -> np.ndarray:
        """bool [H, W], the caller's own copy."""
        return np.array(self.candidates[0].mask)

    @property
    def score(self) -> float:
        """s of Eq. 1, comparable within one bundle and settings."""
        return self.candidates[0].score

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of the mask in px, right and bottom exclusive."""
        left, top, right, bottom = boxes(self.candidates[0].mask[None])[0].tolist()
        return left, top, right, bottom

    @property
    def rle(self) -> dict[str, Any]:
        """The mask as COCO RLE: {'size': [H, W], 'counts': str}."""
        return to_rle(self.candidates[0].mask)

    def save(self, file: str | Path | BinaryIO) -> None:
        """Write the mask as an 8-bit image, 255 inside and 0 outside, to a path or an open file (then PNG).

        Raises InputError when the path has no image suffix.
        """
        save_image(Image.fromarray(self.candidates[0].mask.astype(np.uint8) * 255), file)

    def overlay(self) -> Image.Image:
        """The image with the mask shown on it and the expression above."""
        return overlay(self.image, self.candidates[0].mask, self.expression.text)

    def cutout(self) -> Image.Image:
        """The part of the image inside the mask, transparent elsewhere, cut to its box: RGBA."""
        alpha = self.candidates[0].mask.astype(np.uint8)[..., None] * 255
        return Image.fromarray(np.concatenate([self.image, alpha], axis=-1)).crop(self.box)
