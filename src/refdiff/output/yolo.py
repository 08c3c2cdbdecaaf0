"""Answers as a YOLO segmentation dataset: a class for each expression, a polygon for each thing found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from ..core.files import make_folder, make_new_folder, write_atomically
from ..core.outlines import to_polygon
from .source import Source, file_names

_PAST = 0.25  # of a pixel beyond its edge: readers that round and those that cut fractions off both get this pixel


def write_yolo(source: Source, folder: Path) -> None:
    """Write labels/NAME.txt for each image, and data.yaml with the names of the classes.

    A line is `class x y x y ...`, relative to the image's width and height, one line for each thing: its polygon runs
    through its outermost pixels, holes are joined to the outline by a cut, further parts to the largest by a line. An
    image in which nothing was found has an empty file. The images themselves belong into images/, under their names.
    Raises InputError for a broken mask, two images that would have one name, and a folder that is not empty.
    """
    names = file_names(source.images)
    make_new_folder(folder)
    classes = {expression: number for number, expression in enumerate(source.expressions())}
    for name, image in zip(names, source.images, strict=True):
        lines = [f"{classes[answer.expression]} {_polygon(mask)}\n" for answer, _, mask in image.things()]
        path = folder / "labels" / f"{name}.txt"
        make_folder(path.parent)
        write_atomically(path, "".join(lines).encode())
    data = {"train": "images", "val": "images", "names": {number: name for name, number in classes.items()}}
    text = yaml.safe_dump(data, allow_unicode=True, sort_keys=False)
    write_atomically(folder / "data.yaml", text.encode("utf-8", "backslashreplace"))


def _polygon(mask: np.ndarray) -> str:
    height, width = mask.shape
    points = (np.floor(to_polygon(mask)) + _PAST) / (width, height)
    return " ".join(f"{value:.7f}" for value in points.ravel())
