"""Overlays and sheets, drawn with Pillow."""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from .generative import CorrelationMap

MASK_COLOUR = (20, 110, 255)
_INK, _PAPER, _MARK = (25, 25, 30), (255, 255, 255), (215, 60, 30)
# Black, violet, red, orange, yellow, white: darker is always less.
_HEAT = np.array([(0, 0, 4), (74, 12, 107), (165, 44, 96), (237, 105, 37), (251, 180, 26), (252, 255, 200)], float)


def overlay(image: np.ndarray, mask: np.ndarray, caption: str | None = None,
            colour: tuple[int, int, int] = MASK_COLOUR) -> Image.Image:
    """The picture (uint8 [H, W, 3]) dimmed outside the mask (bool [H, W]), tinted and outlined inside."""
    inside = mask[..., None]
    shown = np.where(inside, 0.62 * image + 0.38 * np.array(colour), 0.55 * image + 25)
    width = max(1, round(min(mask.shape) / 200))
    edge = ndimage.binary_dilation(mask, iterations=width + 1) & ~ndimage.binary_erosion(mask, iterations=width)
    rim = ndimage.binary_dilation(edge, iterations=width) & ~edge
    shown[rim] = (255, 255, 255)
    shown[edge] = colour
    picture = Image.fromarray(shown.clip(0, 255).astype(np.uint8))
    return picture if caption is None else labelled(picture, caption)


def heat(values: np.ndarray) -> np.ndarray:
    """float [H, W] in [0, 1] -> uint8 RGB [H, W, 3]."""
    position = np.clip(values, 0, 1) * (len(_HEAT) - 1)
    channels = [np.interp(position, np.arange(len(_HEAT)), _HEAT[:, i]) for i in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def heat_overlay(image: np.ndarray, values: np.ndarray) -> Image.Image:
    """A map (float [H, W] in [0, 1]) over the grey picture (uint8 [H, W, 3])."""
    grey = image.mean(-1, keepdims=True)
    weight = 0.35 + 0.5 * values[..., None]
    return Image.fromarray((grey * (1 - weight) + heat(values) * weight).astype(np.uint8))


def proposals_picture(image: np.ndarray, masks: np.ndarray) -> Image.Image:
    """Every proposal in a colour of its own (masks bool [N, H, W]) over the grey picture (uint8 [H, W, 3]), small
    ones on top."""
    shown = np.repeat(image.mean(-1, keepdims=True), 3, axis=-1)
    hues = np.random.default_rng(0).uniform(40, 255, (len(masks), 3))
    for i in sorted(range(len(masks)), key=lambda i: -int(masks[i].sum())):
        shown[masks[i]] = 0.4 * shown[masks[i]] + 0.6 * hues[i]
    return Image.fromarray(shown.astype(np.uint8))


def labelled(picture: Image.Image, text: str, marked: bool = False) -> Image.Image:
    """The picture with a line of text above it; marked in colour and framed."""
    font = ImageFont.load_default(size=max(13, round(picture.width / 26)))
    line = text
    while font.getlength(line) > picture.width - 8 and len(line) > 4:
        line = line[:-2].rstrip(" .…") + "…"
    height = round(font.size * 1.6)
    sheet = Image.new("RGB", (picture.width, picture.height + height), _PAPER)
    sheet.paste(picture, (0, height))
    draw = ImageDraw.Draw(sheet)
    draw.text((4, height / 2), line, fill=_MARK if marked else _INK, font=font, anchor="lm")
    if marked:
        draw.rectangle((0, height, sheet.width - 1, sheet.height - 1), outline=_MARK, width=4)
    return sheet


def grid(pictures: list[Image.Image], columns: int, gap: int = 8) -> Image.Image:
    """Pictures of one size in rows on white."""
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    width, height = pictures[0].size
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), _PAPER)
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (gap + i % columns * (width + gap), gap + i // columns * (height + gap)))
    return sheet


def _resized(picture: Image.Image, width: int) -> Image.Image:
    return picture.resize((width, max(1, round(width * picture.height / picture.width))))


def comparison_sheet(panels: list[tuple[str, Image.Image]], width: int = 300) -> Image.Image:
    """Labelled pictures of one shape side by side (the paper's Figures 2 to 4)."""
    return grid([labelled(_resized(picture, width), label) for label, picture in panels], columns=4)


def attention_sheet(image: np.ndarray, correlation: CorrelationMap, width: int = 260) -> Image.Image:
    """The picture and every token's map (the paper's Figure 5); the root's are framed."""
    small = functools.partial(_resized, width=width)
    pictures = [labelled(small(Image.fromarray(image)), "picture")]
    for i, (token, values) in enumerate(zip(correlation.tokens, correlation.per_token, strict=True)):
        name = {0: "[start]", len(correlation.tokens) - 1: "[end]"}.get(i, token)
        root = i in correlation.root
        pictures.append(labelled(small(heat_overlay(image, values)), f"{name}  (root)" if root else name, root))
    return grid(pictures, columns=4)
