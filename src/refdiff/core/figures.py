"""Figures of labelled panels at print size: as an image of any resolution, as PDF with text as text, or as HTML.

PDF is written with reportlab, which is small and made for it: text stays text with its font embedded, and pages are
written one at a time. Pillow's PDF would be pictures of text; matplotlib is many times as large.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .drawing import colour_bar
from .files import shown

_WIDTH, _HEIGHT = 120.0, 160.0  # pt, of a panel at most
_COLUMNS, _GAP, _MARGIN = 4, 8.0, 6.0
_TITLE, _LABEL, _NOTE = 9.0, 7.5, 6.0  # pt, sizes of text
_LEADING = 1.35
_BAR = 5.0  # pt, the height of a colour bar
_INK, _FAINT = (25, 25, 30), (90, 90, 95)
_TICKS = ((0.0, "0"), (0.5, "0.5"), (1.0, "1"))

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:88rem;padding:0 1rem;color:#222}}
figure{{display:inline-block;margin:0 1rem 1.6rem 0;vertical-align:top}}
img{{display:block;max-width:20rem;max-height:26rem}}figcaption{{max-width:20rem}}
.bar img{{width:100%;height:.6rem}}.bar{{display:flex;flex-wrap:wrap;justify-content:space-between;font-size:.8rem}}
section{{border-top:1px solid #ddd;padding-top:1rem}}h2{{font-size:1.05rem;margin:.2rem 0 .6rem}}
p,small{{color:#555}}</style>
<h1>{title}</h1><p>{subtitle}</p>
"""


@dataclass(frozen=True, eq=False)
class Panel:
    """A `picture` with a `label` and a `note` above; with `bar`, a colour bar of a map from 0 to 1 below."""

    label: str
    picture: Image.Image
    note: str = ""
    bar: bool = False


@dataclass(frozen=True, eq=False)
class Figure:
    """Panels, four to a row, under a `title` and a `note`."""

    panels: Sequence[Panel]
    title: str = ""
    note: str = ""


def at_print_size(values: np.ndarray, dpi: float) -> np.ndarray:
    """An image (uint8 [H, W, 3]), a mask (bool [H, W]) or a map (float [H, W]) with the pixels that a panel has at
    `dpi`, so that what is drawn on it is sharp there."""
    width, height = (max(1, round(side * dpi / 72)) for side in _fitted((values.shape[1], values.shape[0])))
    if values.dtype == bool:
        grey = Image.fromarray(values.astype(np.uint8) * 255).resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(grey) > 127
    if values.ndim == 2:
        float_image = Image.fromarray(values.astype(np.float32))
        return np.asarray(float_image.resize((width, height), Image.Resampling.BILINEAR))
    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.LANCZOS))


def as_image(figure: Figure, dpi: float) -> Image.Image:
    """The figure at `dpi` pixels per inch, RGB."""
    scale = dpi / 72
    width, height, items = _layout(figure)
    sheet = Image.new("RGB", (round(width * scale), round(height * scale)), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for item in items:
        x, y = item.x * scale, item.y * scale
        if isinstance(item, _Text):
            draw.text((x, y + item.size * scale), item.text, fill=item.ink, font=_font(item.size * scale), anchor="ls")
        else:
            size = max(1, round(item.width * scale)), max(1, round(item.height * scale))
            picture = item.picture if item.picture.size == size else item.picture.resize(size, Image.Resampling.LANCZOS)
            sheet.paste(picture, (round(x), round(y)))
    return sheet


def as_pdf(figures: Iterable[Figure], title: str, subject: str = "") -> bytes:
    """A PDF file with a page, of its own size, for each figure; `title` and `subject` are what viewers show of it."""
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont
    from reportlab.pdfgen.canvas import Canvas

    font = "refdiff"  # a name of our own in reportlab's list of fonts, which all its users share
    if font not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(font, _font_file()))
    file = io.BytesIO()
    canvas = Canvas(file, initialFontName=font, invariant=1)
    canvas.setTitle(shown(title))
    canvas.setSubject(shown(subject))
    canvas.setCreator("refdiff")
    for figure in figures:
        width, height, items = _layout(figure)
        canvas.setPageSize((width, height))
        for item in items:
            if isinstance(item, _Text):
                canvas.setFillColorRGB(*(value / 255 for value in item.ink))
                canvas.setFont(font, item.size)
                canvas.drawString(item.x, height - item.y - item.size, item.text)
            else:
                content = ImageReader(io.BytesIO(_jpeg(item.picture, 95)))
                canvas.drawImage(content, item.x, height - item.y - item.height, item.width, item.height)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def as_html(figures: Iterable[Figure], title: str, subtitle: str) -> Iterator[str]:
    """An HTML page, images within, in parts."""
    yield _PAGE.format(title=html.escape(title), subtitle=html.escape(subtitle))
    ticks = "".join(f"<span>{text}</span>" for _, text in _TICKS)
    bar = f'<div class="bar">{_img(colour_bar(), "colour bar from 0 to 1")}{ticks}</div>'
    for figure in figures:
        yield f"<section><h2>{html.escape(figure.title)}</h2><p>{html.escape(figure.note)}</p>\n"
        for panel in figure.panels:
            yield (f"<figure><figcaption>{html.escape(panel.label)}<br><small>{html.escape(panel.note)}</small>"
                   f"</figcaption>{_img(panel.picture, panel.label)}{bar if panel.bar else ''}</figure>\n")
        yield "</section>\n"
    yield "</html>\n"


def _img(picture: Image.Image, text: str) -> str:
    data = base64.b64encode(_jpeg(picture, 90)).decode()
    return f'<img alt="{html.escape(text)}" src="data:image/jpeg;base64,{data}">'


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    picture.convert("RGB").save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


# The layout, in points from the upper left corner


@dataclass(frozen=True)
class _Text:
    x: float
    y: float  # of the line's top
    text: str
    size: float
    ink: tuple[int, int, int] = _INK


@dataclass(frozen=True, eq=False)
class _Picture:
    x: float
    y: float
    width: float
    height: float
    picture: Image.Image


def _layout(figure: Figure) -> tuple[float, float, list[_Text | _Picture]]:
    """(width, height, what stands where)."""
    columns = min(_COLUMNS, len(figure.panels)) or _COLUMNS
    inner = columns * (_WIDTH + _GAP) - _GAP
    items: list[_Text | _Picture] = []
    y = _MARGIN
    for text, size, ink in ((figure.title, _TITLE, _INK), (figure.note, _NOTE, _FAINT)):
        for line in _wrapped(shown(text), size, inner):
            items.append(_Text(_MARGIN, y, line, size, ink))
            y += size * _LEADING
    for start in range(0, len(figure.panels), columns):
        row = figure.panels[start : start + columns]
        y += _GAP if start else _GAP / 2 if y > _MARGIN else 0
        top = y + _LABEL * _LEADING + (_NOTE * _LEADING if any(panel.note for panel in row) else 0)
        sizes = [_fitted(panel.picture.size) for panel in row]
        bottom = top + max(height for _, height in sizes)
        for i, (panel, (width, height)) in enumerate(zip(row, sizes, strict=True)):
            x = _MARGIN + i * (_WIDTH + _GAP)
            items += [_Text(x, y, _cut(panel.label, _LABEL, _WIDTH), _LABEL),
                      _Text(x, y + _LABEL * _LEADING, _cut(panel.note, _NOTE, _WIDTH), _NOTE, _FAINT),
                      _Picture(x, top, width, height, panel.picture)]
            if panel.bar:
                items += _bar(x, bottom + _GAP / 2, width)
        y = bottom + (_GAP / 2 + _BAR + _NOTE * _LEADING if any(panel.bar for panel in row) else 0)
    return 2 * _MARGIN + inner, y + _MARGIN, items


def _bar(x: float, y: float, width: float) -> list[_Text | _Picture]:
    ticks = [_Text(x + share * (width - _length(text, _NOTE)), y + _BAR, text, _NOTE) for share, text in _TICKS]
    return [_Picture(x, y, width, _BAR, colour_bar()), *ticks]


def _fitted(size: tuple[int, int]) -> tuple[float, float]:
    """(width, height) in pt of a picture of `size` px in a panel."""
    scale = min(_WIDTH / size[0], _HEIGHT / size[1])
    return size[0] * scale, size[1] * scale


def _wrapped(text: str, size: float, width: float) -> list[str]:
    """The text in lines of at most `width` pt."""
    lines: list[str] = []
    for word in text.split():
        if lines and _length(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [_cut(line, size, width) for line in lines]


def _cut(text: str, size: float, width: float) -> str:
    """The text, shortened to `width` pt."""
    text = shown(text)
    if _length(text, size) <= width:
        return text
    while text and _length(f"{text}…", size) > width:
        text = text[:-1].rstrip()
    return f"{text}…"


def _length(text: str, size: float) -> float:
    return _font(100).getlength(text) * size / 100


@lru_cache(maxsize=16)
def _font(size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_font_file(), size)


def _font_file() -> str:
    """Bitstream Vera Sans, which comes with reportlab: the same in images as in PDF."""
    import reportlab

    return str(Path(reportlab.__file__).parent / "fonts" / "Vera.ttf")
