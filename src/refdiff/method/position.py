"""Eq. 6: the positional bias P of an expression's direction clues."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..language import Direction


def positional_bias(size: tuple[int, int], clues: Sequence[Direction], ramp: float = 1.0) -> np.ndarray:
    """P of Eq. 6 for an image of `size` (H, W): float32 [H, W], 1 at the named edge, falling linearly to 0 over the
    fraction `ramp` of the side (release: two thirds) and 0 beyond. Two clues multiply; none gives ones."""
    height, width = size
    bias = np.ones((height, width), np.float32)
    for clue in clues:
        horizontal = clue in ("left", "right")
        extent = width if horizontal else height
        length = int(extent * ramp)
        fall = np.zeros(extent, np.float32)
        fall[:length] = np.linspace(1, 0, length)
        if clue in ("right", "bottom"):
            fall = fall[::-1]
        bias *= fall[None, :] if horizontal else fall[:, None]
    return bias


def biased_image(image: np.ndarray, clues: Sequence[Direction], ramp: float = 1.0) -> np.ndarray:
    """x' = x * P (Eq. 6) of x uint8 [H, W, 3]: float32 [H, W, 3] in [0, 1]; without clues x itself."""
    unit = image.astype(np.float32) / 255
    if not clues:
        return unit
    return np.asarray(unit * positional_bias((image.shape[0], image.shape[1]), clues, ramp)[..., None])
