"""Plots of shares, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from .drawing import COLOURS

_SIDE, _MARGIN = 300, 46  # px, of the square of the axes and around it
_FINER = 2  # how much larger it is drawn, so that lines are smooth
_INK, _FAINT, _PAPER = (25, 25, 30), (205, 205, 210), (255, 255, 255)


def plot(points: Sequence[tuple[float, float]], title: str, across: str, up: str, diagonal: bool = False,
         dots: bool = False) -> Image.Image:
    """Points (x, y) in [0, 1] joined by a line, under a title, with what the axes mean; `diagonal` adds the line where
    both are the same, `dots` marks every point. RGB."""
    side, margin = _SIDE * _FINER, _MARGIN * _FINER
    font = ImageFont.load_default(size=13 * _FINER)
    image = Image.new("RGB", (side + 2 * margin, side + 2 * margin), _PAPER)
    draw = ImageDraw.Draw(image)

    def at(x: float, y: float) -> tuple[float, float]:
        return margin + x * side, margin + (1 - y) * side

    for tick in (0, 0.25, 0.5, 0.75, 1):
        draw.line((*at(tick, 0), *at(tick, 1)), fill=_FAINT, width=_FINER)
        draw.line((*at(0, tick), *at(1, tick)), fill=_FAINT, width=_FINER)
        x, y = at(tick, tick)
        draw.text((x, margin + side + 6 * _FINER), f"{tick:g}", fill=_INK, font=font, anchor="mt")
        draw.text((margin - 6 * _FINER, y), f"{tick:g}", fill=_INK, font=font, anchor="rm")
    if diagonal:
        draw.line((*at(0, 0), *at(1, 1)), fill=_INK, width=_FINER)
    line = [at(x, y) for x, y in points]
    draw.line(line, fill=COLOURS[0], width=2 * _FINER, joint="curve")
    for x, y in line if dots else ():
        draw.ellipse((x - 4 * _FINER, y - 4 * _FINER, x + 4 * _FINER, y + 4 * _FINER), fill=COLOURS[0])
    draw.text((margin, 6 * _FINER), title, fill=_INK, font=font, anchor="lt")
    draw.text((margin, margin - 4 * _FINER), up, fill=_INK, font=font, anchor="lb")
    draw.text((margin + side, image.height - 6 * _FINER), across, fill=_INK, font=font, anchor="rb")
    return image.resize((image.width // _FINER, image.height // _FINER), Image.Resampling.LANCZOS)
