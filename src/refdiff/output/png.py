"""Answers as masks: a PNG for each image and expression, and a CSV file that lists them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from ..core.files import make_new_folder, named_after, write_atomically
from ..core.images import save_image
from ..core.masks import from_rle
from .source import Source

_COLUMNS = ("file", "image", "id", "expression", "found", "things", "score", "confidence")


def write_png(source: Source, folder: Path) -> None:
    """Write an 8-bit PNG for each image and expression, 255 inside and 0 outside, and manifest.csv.

    Where nothing was found the mask is empty. Raises InputError for a broken mask and a folder that is not empty.
    """
    make_new_folder(folder)
    text = io.StringIO()
    table = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    table.writeheader()
    for number, image in enumerate(source.images, 1):
        for place, answer in enumerate(image.answers, 1):
            mask = from_rle(answer.rle, image.size) if answer.things else np.zeros(image.size, bool)
            name = f"{number}-{place}.{named_after(image.name, answer.expression)}.png"
            save_image(mask, folder / name)
            table.writerow(dict(zip(_COLUMNS, (
                name, image.name, answer.id, answer.expression, bool(answer.things), len(answer.things), answer.score,
                answer.confidence), strict=True)))
    write_atomically(folder / "manifest.csv", text.getvalue().encode("utf-8", "backslashreplace"))
