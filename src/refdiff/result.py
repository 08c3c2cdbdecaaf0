"""`Segmentation`: the answer to one expression."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from .core.drawing import overlay
from .core.images import save_image
from .core.masks import boxes, to_rle
from .errors import InputError
from .language import Expression, Query
from .settings import Variant

if TYPE_CHECKING:
    from supervision import Detections

Box = tuple[int, int, int, int]


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
class Instance:
    """One thing that is meant: `mask` bool [H, W] (read-only), its `score`, as that of a candidate, and its
    `confidence`: the probability in [0, 1] that this is one of the things meant (IoU over 0.5 with it), None where that
    of the whole answer is None."""

    mask: np.ndarray
    score: float
    confidence: float | None

    @property
    def box(self) -> Box:
        """(left, top, right, bottom) in px, right and bottom exclusive."""
        return _box(self.mask)

    @property
    def rle(self) -> dict[str, Any]:
        """The mask as COCO RLE: {'size': [H, W], 'counts': str}."""
        return to_rle(self.mask)


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """The answer to one expression.

    `instances`: the things that are meant, best first; none where nothing of the kind is there. `candidates`: every
    proposal that can win, best first. Their scores are s of Eq. 1 where the whole expression was read as one ('root'),
    else how likely each is meant. `confidence`: the probability in [0, 1] that the mask is right (IoU over 0.5, or
    rightly empty), None where the bundle has no calibration for these settings. `notice`: a sentence when the answer is
    not to be trusted, or what is missing, else None. `query`: how the expression was understood, None where it was
    read as one. `image` uint8 [H, W, 3].
    """

    image: np.ndarray
    expression: Expression
    variant: Variant
    candidates: tuple[Candidate, ...]
    instances: tuple[Instance, ...]
    confidence: float | None
    notice: str | None
    query: Query | None = None

    @property
    def found(self) -> bool:
        """Whether anything was found that the expression means."""
        return bool(self.instances)

    @cached_property
    def mask(self) -> np.ndarray:
        """bool [H, W], the union of the instances, the caller's own copy."""
        mask = np.zeros(self.image.shape[:2], bool)
        for instance in self.instances:
            mask |= instance.mask
        return mask

    @property
    def score(self) -> float:
        """That of the best instance, or of the best candidate where there is none; comparable within one bundle and
        settings."""
        return max((each.score for each in self.instances), default=self.candidates[0].score)

    @property
    def box(self) -> Box | None:
        """(left, top, right, bottom) of all instances in px, right and bottom exclusive; None where there is none."""
        return _box(self.mask) if self.found else None

    @property
    def rle(self) -> dict[str, Any]:
        """The mask as COCO RLE: {'size': [H, W], 'counts': str}."""
        return to_rle(self.mask)

    def save(self, file: str | Path | BinaryIO) -> None:
        """Write the mask as an 8-bit image, 255 inside and 0 outside, to a path or an open file (then PNG).

        Raises InputError when the path has no image suffix.
        """
        save_image(Image.fromarray(self.mask.astype(np.uint8) * 255), file)

    def overlay(self) -> Image.Image:
        """The image with each instance in a colour of its own and the expression above."""
        return overlay(self.image, [each.mask for each in self.instances], self.expression.text)

    def cutout(self) -> Image.Image:
        """The part of the image inside the mask, transparent elsewhere, cut to its box: RGBA.

        Raises InputError where nothing was found.
        """
        if self.box is None:
            raise InputError(f"There is nothing to cut out: nothing was found for {self.expression.text!r}.")
        alpha = self.mask.astype(np.uint8)[..., None] * 255
        return Image.fromarray(np.concatenate([self.image, alpha], axis=-1)).crop(self.box)

    def to_supervision(self) -> Detections:
        """The instances as `supervision.Detections`, best first, all of class 0: `xyxy` float32 [N, 4] in px, `mask`
        bool [N, H, W], and `confidence` float32 [N], which is their scores where an instance has no confidence. `data`
        has the expression as 'class_name' and the 'score' of each, float64 [N].

        Raises InputError where supervision is not installed.
        """
        try:
            from supervision import Detections
        except ImportError:
            raise InputError("to_supervision() needs supervision; install it with pip install "
                             "'refdiff[supervision]'.") from None
        masks = np.zeros((len(self.instances), *self.image.shape[:2]), bool)
        for mask, instance in zip(masks, self.instances, strict=True):
            mask[:] = instance.mask
        scores = np.array([each.score for each in self.instances])
        sure = [each.confidence for each in self.instances if each.confidence is not None]
        return Detections(
            xyxy=boxes(masks).astype(np.float32), mask=masks, class_id=np.zeros(len(masks), int),
            confidence=np.array(sure if len(sure) == len(masks) else scores, np.float32),
            data={"class_name": np.full(len(masks), self.expression.text), "score": scores})

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return (f"Segmentation({self.expression.text!r}, {len(self.instances)} of {len(self.candidates)} proposals of "
                f"an image of {width}x{height}, score {self.score:.3f})")


def _box(mask: np.ndarray) -> Box:
    left, top, right, bottom = boxes(mask[None])[0].tolist()
    return left, top, right, bottom
