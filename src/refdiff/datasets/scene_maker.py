"""Pictogram scenes: draws objects with exact masks on plain, gradient, textured and photographic grounds."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..core.decoding import open_image
from ..core.files import shown
from ..core.images import load_image
from ..errors import InputError

# Named tints: the dark and the light end of a ramp that replaces a drawing's luminance.
TINTS = {
    "red": ((90, 0, 0), (255, 70, 60)),
    "orange": ((120, 50, 0), (255, 165, 50)),
    "yellow": ((140, 110, 0), (255, 240, 80)),
    "green": ((0, 60, 10), (90, 220, 90)),
    "blue": ((0, 10, 100), (90, 150, 255)),
    "purple": ((45, 0, 80), (185, 100, 240)),
    "pink": ((150, 30, 90), (255, 170, 210)),
    "brown": ((50, 25, 5), (170, 110, 60)),
    "black": ((0, 0, 0), (75, 75, 80)),
    "white": ((165, 165, 170), (255, 255, 255)),
    "gray": ((60, 60, 60), (175, 175, 175)),
}
_HUES = ((15, "red"), (42, "orange"), (70, "yellow"), (165, "green"), (258, "blue"), (300, "purple"), (345, "pink"))
_SOURCE_SIDE = 192  # px; drawings are kept no larger than a scene shows them


@dataclass(frozen=True)
class Pictogram:
    """A drawing: `pixels` uint8 RGBA [h, w, 4], its `noun`, and the colour name most of it has, if one."""

    noun: str
    style: str
    pixels: np.ndarray
    colour: str | None


@dataclass(frozen=True)
class SceneObject:
    """One object as seen: `mask` bool [H, W] of its visible pixels, `box` (left, top, right, bottom) in px."""

    noun: str
    colour: str | None
    style: str
    mask: np.ndarray
    box: tuple[int, int, int, int]

    @property
    def centre(self) -> tuple[float, float]:
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2


@dataclass(frozen=True)
class Scene:
    """`image` uint8 RGB [H, W, 3] and its objects, back to front."""

    image: np.ndarray
    objects: tuple[SceneObject, ...]


def load_pictograms(folder: str | Path) -> list[Pictogram]:
    """Every `NOUN.png` or `NOUN-2.png` with alpha below `folder`; a sub-folder is a style.

    Raises InputError when the folder holds none.
    """
    folder = Path(folder)
    pictograms = []
    for path in sorted(folder.rglob("*.png")):
        noun = path.stem.rstrip("0123456789").rstrip("-_").replace("_", " ").lower()
        try:
            drawing = open_image(path).convert("RGBA")
        except ValueError:
            raise InputError(f"{shown(path)} cannot be read as a drawing with transparency; save it as RGBA.") from None
        drawing.thumbnail((_SOURCE_SIDE, _SOURCE_SIDE), Image.Resampling.LANCZOS)
        pixels = np.array(drawing)
        if noun and (pixels[..., 3] < 128).any() and (pixels[..., 3] >= 128).any():
            pictograms.append(Pictogram(noun, path.parent.name, pixels, dominant_colour(pixels)))
    if not pictograms:
        raise InputError(f"{folder} holds no pictograms: put transparent PNG files there, each named by its noun.")
    return pictograms


def load_photographs(folder: str | Path | None = None) -> dict[str, np.ndarray]:
    """Photographs for backgrounds by file name, uint8 RGB [h, w, 3]; without a folder, scikit-image's samples."""
    if folder is None:
        try:
            import skimage
        except ImportError:
            raise InputError(
                "Photographic backgrounds need scikit-image (pip install 'refdiff[scenes]') or --photographs FOLDER."
            ) from None
        folder = Path(skimage.__file__).parent / "data"
        names = ("astronaut chelsea coffee grass gravel brick camera coins hubble_deep_field ihc moon "
                 "motorcycle_left motorcycle_right retina rocket").split()
        paths = [path for name in names for path in sorted(folder.glob(f"{name}.*"))]
    else:
        paths = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
    photographs = {}
    for path in paths:
        photograph = Image.fromarray(load_image(path))
        photograph.thumbnail((640, 640))
        photographs[path.stem] = np.array(photograph)
    if not photographs:
        raise InputError(f"{folder} holds no photographs (JPEG, PNG or WebP).")
    return photographs


def colour_name(red: float, green: float, blue: float) -> str:
    """The everyday name of one colour, channels in [0, 255]."""
    hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    if value < 0.25:
        return "black"
    if saturation < 0.18:
        return "white" if value > 0.82 else "gray"
    name = next((name for bound, name in _HUES if hue * 360 < bound), "red")
    if name in ("red", "orange") and value < 0.66 and hue * 360 > 8:
        return "brown"
    return "pink" if name == "red" and saturation < 0.5 else name


def dominant_colour(pixels: np.ndarray) -> str | None:
    """The colour name that at least 70 % of the opaque pixels (RGBA [h, w, 4]) share, or None."""
    opaque = pixels[pixels[..., 3] >= 128][::7, :3]
    names = [colour_name(*pixel) for pixel in opaque.tolist()]
    best = max(set(names), key=lambda name: (names.count(name), name), default=None)
    return best if best and names.count(best) >= 0.7 * len(names) else None


def tinted(pixels: np.ndarray, colour: str) -> np.ndarray:
    """The drawing (RGBA uint8 [h, w, 4]) in shades of one named colour, its luminance kept."""
    luminance = pixels[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)
    opaque = luminance[pixels[..., 3] >= 128]
    low, high = (opaque.min(), opaque.max()) if opaque.size else (0, 255)
    ramp = np.clip((luminance - low) / max(high - low, 1), 0, 1) if high - low > 8 else np.full_like(luminance, 0.7)
    dark, light = (np.array(end, np.float32) for end in TINTS[colour])
    return np.concatenate([(dark + ramp[..., None] * (light - dark)).astype(np.uint8), pixels[..., 3:]], axis=-1)


class SceneMaker:
    """Draws endless random scenes; the same generator state gives the same scene."""

    def __init__(self, pictograms: list[Pictogram], photographs: list[np.ndarray]):
        self.photographs = photographs
        self.by_noun: dict[str, list[Pictogram]] = {}
        for pictogram in pictograms:
            self.by_noun.setdefault(pictogram.noun, []).append(pictogram)
        self.nouns = sorted(self.by_noun)

    def make(self, rng: np.random.Generator, height: int, width: int, count: int | None = None,
             nouns: list[str] | None = None) -> Scene:
        """A scene of `count` objects, at most 6 (1 to 5 where None; fewer where they do not fit), drawn from `nouns`.

        A third of the scenes repeat a noun, so that words of colour or place are needed to tell which.
        """
        nouns = nouns or self.nouns
        if count is None:
            count = int(rng.choice([1, 2, 3, 4, 5], p=[0.12, 0.22, 0.28, 0.23, 0.15]))
        picked = [nouns[i] for i in rng.integers(len(nouns), size=count)]
        if count > 1 and rng.random() < 0.35:
            picked[1] = picked[0]
        image = self.background(rng, height, width)
        masks: list[np.ndarray] = []
        parts: list[tuple[str, str | None, str, int]] = []
        for noun in picked:
            pictogram = self.by_noun[noun][rng.integers(len(self.by_noun[noun]))]
            sprite, colour = self._sprite(rng, pictogram, min(height, width), count)
            placed = self._place(rng, sprite, masks, height, width)
            if placed is None:
                continue
            top, left = placed
            h, w = sprite.shape[:2]
            alpha = sprite[..., 3:].astype(np.float32) / 255
            region = image[top : top + h, left : left + w]
            region[:] = (sprite[..., :3] * alpha + region * (1 - alpha)).astype(np.uint8)
            mask = np.zeros((height, width), bool)
            mask[top : top + h, left : left + w] = sprite[..., 3] >= 128
            for earlier in masks:
                earlier &= ~mask
            masks.append(mask)
            parts.append((noun, colour, pictogram.style, int(mask.sum())))
        objects = [
            SceneObject(noun, colour, style, mask, _box(mask))
            for mask, (noun, colour, style, _) in zip(masks, parts, strict=True)
        ]
        return Scene(image, tuple(objects))

    def _sprite(self, rng, pictogram: Pictogram, side: int, count: int) -> tuple[np.ndarray, str | None]:
        """The drawing resized, flipped, turned and perhaps tinted, cut to its box."""
        pixels, colour = pictogram.pixels, pictogram.colour
        if rng.random() < 0.4:
            colour = list(TINTS)[rng.integers(len(TINTS))]
            pixels = tinted(pixels, colour)
        longer = side * rng.uniform(0.22, (0.75, 0.55, 0.48, 0.42, 0.38, 0.36)[count - 1])
        scale = longer / max(pixels.shape[:2])
        drawing = Image.fromarray(pixels)
        if rng.random() < 0.5:
            drawing = drawing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        size = [max(6, round(extent * scale)) for extent in drawing.size]
        drawing = drawing.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        if rng.random() < 0.5:
            drawing = drawing.rotate(rng.uniform(-18, 18), Image.Resampling.BILINEAR, expand=True)
        box = drawing.getchannel("A").point(lambda a: 255 * (a >= 128)).getbbox()
        return np.asarray(drawing.crop(box) if box else drawing), colour

    @staticmethod
    def _place(rng, sprite: np.ndarray, masks: list[np.ndarray], height: int, width: int) -> tuple[int, int] | None:
        """A corner (top, left) where the sprite hides at most a quarter of any object, or None."""
        h, w = sprite.shape[:2]
        if h > height or w > width:
            return None
        opaque = sprite[..., 3] >= 128
        for _ in range(12):
            top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
            covered = [(mask[top : top + h, left : left + w] & opaque).sum() / max(mask.sum(), 1) for mask in masks]
            if max(covered, default=0) <= 0.25 and sum(covered) * 3 < 1:
                return top, left
        return None

    def background(self, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
        """uint8 RGB [height, width, 3]: plain, gradient, textured or photographic."""
        kind = rng.choice(["plain", "gradient", "texture", "photograph"], p=[0.15, 0.2, 0.25, 0.4])
        if kind == "photograph" and self.photographs:
            photograph = self.photographs[rng.integers(len(self.photographs))]
            h, w = photograph.shape[:2]
            scale = rng.uniform(0.35, 1.0) * min(h / height, w / width)
            ch, cw = max(4, int(height * scale)), max(4, int(width * scale))
            top, left = int(rng.integers(h - ch + 1)), int(rng.integers(w - cw + 1))
            crop = photograph[top : top + ch, left : left + cw]
            if rng.random() < 0.5:
                crop = crop[:, ::-1]
            crop = np.asarray(Image.fromarray(crop).resize((width, height), Image.Resampling.BILINEAR))
            return np.clip(crop * rng.uniform(0.7, 1.2) + rng.uniform(-20, 20), 0, 255).astype(np.uint8)
        first, second = rng.uniform(0, 255, (2, 3)).astype(np.float32)
        if kind == "plain":
            return np.broadcast_to(first.astype(np.uint8), (height, width, 3)).copy()
        y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
        angle = rng.uniform(0, 2 * math.pi)
        along = x * math.cos(angle) + y * math.sin(angle)
        if kind == "gradient":
            weight = (along - along.min()) / max(float(np.ptp(along)), 1e-6)
        else:
            second = first + (second - first) * rng.uniform(0.15, 0.6)
            weight = self._texture(rng, along, x, y)
        return (first + weight[..., None] * (second - first)).astype(np.uint8)

    @staticmethod
    def _texture(rng, along: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """A pattern in [0, 1] [h, w]: stripes, checks, dots or cloudy noise."""
        frequency = rng.uniform(4, 16)
        kind = rng.integers(4)
        if kind == 0:
            return 0.5 + 0.5 * np.sin(2 * math.pi * frequency * along)
        if kind == 1:
            return ((np.floor(x * frequency) + np.floor(y * frequency)) % 2).astype(np.float32)
        if kind == 2:
            return (np.hypot((x * frequency) % 1 - 0.5, (y * frequency) % 1 - 0.5) < rng.uniform(0.15, 0.4)).astype(
                np.float32
            )
        cells = int(rng.integers(3, 40))
        noise = Image.fromarray((rng.random((cells, cells)) * 255).astype(np.uint8))
        return np.asarray(noise.resize(along.shape[::-1], Image.Resampling.BICUBIC), np.float32) / 255


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
