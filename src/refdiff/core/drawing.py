"""Overlays, heat maps and sheets, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

COLOURS = ((20, 110, 255), (230, 90, 20), (20, 150, 80), (190, 40, 160), (150, 120, 0), (0, 150, 170), (200, 30, 60),
           (110, 70, 220))  # of instances, in turn
_INK, _PAPER, _MARK = (25, 25, 30), (255, 255, 255), (215, 60, 30)
# Black, violet, red, orange, yellow, white: darker is always less.
_HEAT = np.array([(0, 0, 4), (74, 12, 107), (165, 44, 96), (237, 105, 37), (251, 180, 26), (252, 255, 200)], float)


def overlay(image: np.ndarray, masks: Sequence[np.ndarray], caption: str | None = None,
            colours: Sequence[tuple[int, int, int]] = COLOURS) -> Image.Image:
    """The image (uint8 [H, W, 3]) dimmed outside the masks (bool [H, W] each), each tinted and outlined in one of the
    colours in turn."""
    shown = 0.55 * image + 25
    for mask, colour in zip(masks, cycle(colours)):
        shown[mask] = (0.62 * image + 0.38 * np.array(colour))[mask]
    width = max(1, round(min(image.shape[:2]) / 200))
    for mask, colour in zip(masks, cycle(colours)):
        edge = ndimage.binary_dilation(mask, iterations=width + 1) & ~ndimage.binary_erosion(mask, iterations=width)
        shown[ndimage.binary_dilation(edge, iterations=width) & ~edge] = (255, 255, 255)
        shown[edge] = colour
    drawn = Image.fromarray(shown.clip(0, 255).astype(np.uint8))
    return drawn if caption is None else labelled(drawn, caption)


def heat(values: np.ndarray) -> np.ndarray:
    """float [H, W] in [0, 1] -> uint8 RGB [H, W, 3]."""
    position = np.clip(values, 0, 1) * (len(_HEAT) - 1)
    channels = [np.interp(position, np.arange(len(_HEAT)), _HEAT[:, i]) for i in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def heat_overlay(image: np.ndarray, values: np.ndarray) -> Image.Image:
    """A map (float [H, W] in [0, 1]) over the grey image (uint8 [H, W, 3])."""
    grey = image.mean(-1, keepdims=True)
    weight = 0.35 + 0.5 * values[..., None]
    return Image.fromarray((grey * (1 - weight) + heat(values) * weight).astype(np.uint8))


def colour_bar() -> Image.Image:
    """The colours of `heat_overlay` from 0 on the left to 1, over a grey of medium brightness."""
    return heat_overlay(np.full((1, 256, 3), 128, np.uint8), np.linspace(0, 1, 256)[None])


def proposals_overlay(image: np.ndarray, masks: np.ndarray) -> Image.Image:
    """Every proposal in a colour of its own (masks bool [N, H, W]) over the grey image (uint8 [H, W, 3]), small
    ones on top."""
    shown = np.repeat(image.mean(-1, keepdims=True), 3, axis=-1)
    hues = np.random.default_rng(0).uniform(40, 255, (len(masks), 3))
    for i in sorted(range(len(masks)), key=lambda i: -int(masks[i].sum())):
        shown[masks[i]] = 0.4 * shown[masks[i]] + 0.6 * hues[i]
    return Image.fromarray(shown.astype(np.uint8))


def labelled(image: Image.Image, text: str, marked: bool = False) -> Image.Image:
    """The image with a line of text above it; `marked` in colour and framed."""
    size = max(13, round(image.width / 26))
    font = ImageFont.load_default(size=size)
    line = text
    while font.getlength(line) > image.width - 8 and len(line) > 4:
        line = line[:-2].rstrip(" .…") + "…"
    height = round(size * 1.6)
    sheet = Image.new("RGB", (image.width, image.height + height), _PAPER)
    sheet.paste(image, (0, height))
    draw = ImageDraw.Draw(sheet)
    draw.text((4, height / 2), line, fill=_MARK if marked else _INK, font=font, anchor="lm")
    if marked:
        draw.rectangle((0, height, sheet.width - 1, sheet.height - 1), outline=_MARK, width=4)
    return sheet


def grid(images: list[Image.Image], columns: int, gap: int = 8) -> Image.Image:
    """Images of one size in rows on white."""
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    width, height = images[0].size
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), _PAPER)
    for i, image in enumerate(images):
        sheet.paste(image, (gap + i % columns * (width + gap), gap + i // columns * (height + gap)))
    return sheet


def _resized(image: Image.Image, width: int) -> Image.Image:
    return image.resize((width, max(1, round(width * image.height / image.width))))


def attention_sheet(image: np.ndarray, tokens: Sequence[str], maps: np.ndarray, root: Sequence[int],
                    width: int = 260) -> Image.Image:
    """The image (uint8 [H, W, 3]) and the map of every token (the paper's Figure 5): `maps` float [T, H, W] in [0, 1];
    those of the indices `root` are framed."""
    panels = [labelled(_resized(Image.fromarray(image), width), "image")]
    for i, (token, values) in enumerate(zip(tokens, maps, strict=True)):
        name = {0: "[start]", len(tokens) - 1: "[end]"}.get(i, token)
        drawn = _resized(heat_overlay(image, values), width)
        panels.append(labelled(drawn, f"{name}  (root)" if i in root else name, i in root))
    return grid(panels, columns=4)
