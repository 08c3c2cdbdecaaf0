"""Drawing styles beyond the emoji sets' own, made by changing their drawings, so that no style is learnt by heart."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageFilter

from refdiff.datasets.scene_maker import Pictogram, SceneMaker

_TO_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


class StyledMaker(SceneMaker):
    """Draws some objects in changed colours, with an outline, or flattened to a few shades.

    `difficulty` in [0, 1] is the share of objects drawn so, or tinted, turned or small, and of grounds that are not
    plain; the rest are large, upright and in their own colours. Recipes raise it from 0 to 1.
    """

    difficulty = 1.0

    def background(self, rng, height: int, width: int) -> np.ndarray:
        if rng.random() < self.difficulty:
            return super().background(rng, height, width)
        return np.broadcast_to(rng.integers(0, 256, 3).astype(np.uint8), (height, width, 3)).copy()

    def _sprite(self, rng, pictogram: Pictogram, side: int, count: int) -> tuple[np.ndarray, str | None]:
        if rng.random() >= self.difficulty:
            return self._plain_sprite(rng, pictogram, side, count)
        pixels, colour = super()._sprite(rng, pictogram, side, count)
        if rng.random() < 0.25:
            tinted = colour != pictogram.colour
            pixels, colour = (pixels, colour) if tinted else (recoloured(rng, pixels), None)
        if rng.random() < 0.2:
            pixels = flattened(pixels, int(rng.integers(3, 6)))
        if rng.random() < 0.25:
            pixels = outlined(rng, pixels)
        return pixels, colour

    @staticmethod
    def _plain_sprite(rng, pictogram: Pictogram, side: int, count: int) -> tuple[np.ndarray, str | None]:
        longer = side * rng.uniform(0.8, 1.1) * (0.75, 0.55, 0.48, 0.42, 0.38)[count - 1]
        drawing = Image.fromarray(pictogram.pixels)
        if rng.random() < 0.5:
            drawing = drawing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        scale = longer / max(drawing.size)
        drawing = drawing.resize([max(6, round(extent * scale)) for extent in drawing.size],
                                 Image.Resampling.BILINEAR, reducing_gap=2.0)
        box = drawing.getchannel("A").point(lambda a: 255 * (a >= 128)).getbbox()
        return np.asarray(drawing.crop(box) if box else drawing), pictogram.colour


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
