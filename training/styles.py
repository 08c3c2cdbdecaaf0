"""Drawing styles beyond the emoji sets' own, made by changing their drawings, so that no style is learnt by heart."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageFilter

from refdiff.datasets.drawing import Pictogram, SceneMaker

_TO_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


class StyledMaker(SceneMaker):
    """Draws some objects in changed colours, with an outline, or flattened to a few shades."""

    def _sprite(self, rng, pictogram: Pictogram, side: int, count: int) -> tuple[np.ndarray, str | None]:
        pixels, colour = super()._sprite(rng, pictogram, side, count)
        if rng.random() < 0.25:
            tinted = colour != pictogram.colour
            pixels, colour = (pixels, colour) if tinted else (recoloured(rng, pixels), None)
        if rng.random() < 0.2:
            pixels = flattened(pixels, int(rng.integers(3, 6)))
        if rng.random() < 0.25:
            pixels = outlined(rng, pixels)
        return pixels, colour


def recoloured(rng, pixels: np.ndarray) -> np.ndarray:
    """All hues turned by one angle, more or less saturated, darker or lighter; RGBA uint8 [h, w, 4]."""
    angle, saturation = rng.uniform(-math.pi, math.pi), rng.uniform(0.2, 1.4)
    cos, sin = math.cos(angle) * saturation, math.sin(angle) * saturation
    third, root = (1 - cos) / 3, sin / math.sqrt(3)
    turn = np.array([[third + cos, third - root, third + root], [third + root, third + cos, third - root],
                     [third - root, third + root, third + cos]], np.float32)
    rgb = pixels[..., :3] @ turn.T * rng.uniform(0.75, 1.25) + rng.uniform(-25, 25)
    return np.dstack([np.clip(rgb, 0, 255).astype(np.uint8), pixels[..., 3]])


def flattened(pixels: np.ndarray, shades: int) -> np.ndarray:
    """Each channel rounded to a few shades."""
    step = 255 / (shades - 1)
    return np.dstack([(np.round(pixels[..., :3] / step) * step).astype(np.uint8), pixels[..., 3]])


def outlined(rng, pixels: np.ndarray) -> np.ndarray:
    """A dark or light line around the drawing and along its strong edges."""
    width = max(1, round(max(pixels.shape[:2]) * rng.uniform(0.01, 0.035)))
    padded = np.pad(pixels, ((width, width), (width, width), (0, 0)))
    alpha = Image.fromarray(padded[..., 3])
    around = np.asarray(alpha.filter(ImageFilter.MaxFilter(2 * width + 1)))
    grey = Image.fromarray((padded[..., :3] @ _TO_LUMINANCE).astype(np.uint8))
    inner = np.asarray(grey.filter(ImageFilter.FIND_EDGES)) > 70
    ink = np.full(3, rng.integers(0, 60) if rng.random() < 0.8 else 255, np.uint8)
    line = (padded[..., 3] < 128) | (inner if rng.random() < 0.5 else False)
    return np.dstack([np.where(line[..., None], ink, padded[..., :3]), around])
