"""Answers as Label Studio's pre-annotations: tasks with predictions, whose masks are brush strokes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np

from .. import __version__
from ..core.files import make_new_folder, write_atomically
from .source import Source

LABEL, IMAGE = "label", "image"
"""What the labelling interface calls its brush and its image."""
LOCAL_FILES = "/data/local-files/?d="
"""How Label Studio names a file in its folder of local files."""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SIZES = (3, 4, 8, 16)  # bits of the lengths of runs


def write_label_studio(source: Source, folder: Path) -> None:
    """Write tasks.json, a task with one prediction for each image, and label_config.xml, the interface they are for.

    Every thing found is a region of its own, labelled with its expression. Images are named as local files of Label
    Studio, by the path that the manifest has. Raises InputError for a broken mask and a folder that is not empty.
    """
    make_new_folder(folder)
    version = f"refdiff {__version__}, {source.by}"
    tasks = []
    for image in source.images:
        regions = [region(answer.expression, mask, thing.score) for answer, thing, mask in image.things()]
        tasks.append({"data": {IMAGE: LOCAL_FILES + quote(image.name, errors="backslashreplace")},
                      "predictions": [prediction(regions, version)]})
    write_atomically(folder / "tasks.json", json.dumps(tasks).encode())
    write_atomically(folder / "label_config.xml", label_config(source.expressions()))


def label_config(expressions: Iterable[str]) -> bytes:
    """A labelling interface with a brush for each expression, as XML in UTF-8."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name=IMAGE, value=f"${IMAGE}")
    brushes = ElementTree.SubElement(view, "BrushLabels", name=LABEL, toName=IMAGE)
    for expression in expressions:
        ElementTree.SubElement(brushes, "Label", value=_label(expression))
    ElementTree.indent(view)
    return bytes(ElementTree.tostring(view, "utf-8")) + b"\n"


def prediction(regions: Sequence[dict[str, Any]], version: str) -> dict[str, Any]:
    """A task's prediction; its score is the least of its regions', so that sorting by it shows first what is least
    sure, or 0 where there is none."""
    return {"model_version": version,
            "result": [{"id": f"refdiff-{number}", **each} for number, each in enumerate(regions, 1)],
            "score": min((each["score"] for each in regions if "score" in each), default=0.0)}


def region(expression: str, mask: np.ndarray, score: float | None, brush: str = LABEL,
           image: str = IMAGE) -> dict[str, Any]:
    """A mask bool [H, W] as a region of a brush that is called so, over the image that is called so."""
    height, width = mask.shape
    return {"from_name": brush, "to_name": image, "type": "brushlabels", "original_width": width,
            "original_height": height, "image_rotation": 0,
            "value": {"format": "rle", "rle": brush_rle(mask), "brushlabels": [_label(expression)]},
            **({} if score is None else {"score": score})}


def _label(expression: str) -> str:
    """The expression with a replacement for each character that XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", expression)


def brush_rle(mask: np.ndarray) -> list[int]:
    """A mask bool [H, W] as Label Studio packs it, bytes 0 to 255: the values of the pixels row by row, four channels
    each, as runs (thi.ng/rle-pack).

    32 bits say how many values there are, 5 how many bits each has, four times 4 how many bits a length may have, all
    but the first less 1. Then every run is a bit 1, two bits that choose among those, its length less 1, and its value.
    """
    pixels = mask.ravel()
    ends = np.append(np.flatnonzero(pixels[1:] != pixels[:-1]) + 1, len(pixels))
    bits = [f"{4 * len(pixels):032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    for end, length in zip(ends.tolist(), (4 * np.diff(ends, prepend=0)).tolist(), strict=True):
        value = "1" * 8 if pixels[end - 1] else "0" * 8
        while length:
            choice = next((i for i, size in enumerate(_SIZES) if length <= 1 << size), len(_SIZES) - 1)
            run = min(length, 1 << _SIZES[choice])
            bits.append(f"1{choice:02b}{run - 1:0{_SIZES[choice]}b}{value}")
            length -= run
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))
