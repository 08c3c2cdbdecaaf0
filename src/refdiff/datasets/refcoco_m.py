"""RefCOCO-M: JSON Lines, an image each: {"file_name", "samples": [{"id", "sentences": [...], "mask": COCO RLE}]}.

Layout: the records of moondream/refcoco-m on the Hub, whose Parquet files refdiff does not read; docs/evaluation.md
says how to write them as JSON Lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.files import read_json_lines, shown
from ..errors import InputError
from .reference import Reference, image_path, is_id, make_reference


def is_refcoco_m(path: str | Path) -> bool:
    """Whether the first line of a JSON Lines file has samples, and no expression as one's own data have.

    Raises InputError where it is not JSON.
    """
    _, first = next(read_json_lines(path), (0, None))
    return isinstance(first, dict) and "samples" in first and "expression" not in first


def load_refcoco_m(path: str | Path, images: str | Path | None = None) -> Iterator[Reference]:
    """Every sentence of every sample of the file.

    `images` is the images' folder (default: the file's). Raises InputError naming the first line that is not a JSON
    object with a list of samples; a value of a wrong type is the fault of that reference alone.
    """
    path = Path(path)
    for number, row in read_json_lines(path):
        samples = row.get("samples") if isinstance(row, dict) else None
        if not isinstance(samples, list) or not all(isinstance(sample, dict) for sample in samples):
            raise InputError(f"Line {number} of {shown(path)} is not an object with a list of samples.")
        where = f"Line {number}"
        image, fault = image_path(Path(images or path.parent), row.get("file_name", row.get("image")), where)
        for place, sample in enumerate(samples, 1):
            yield from _sentences(f"{where}, sample {place}", sample, image, row.get("image_id"), fault)


def _sentences(where: str, sample: dict[str, Any], image: Path, image_id: Any,
               fault: str | None) -> Iterator[Reference]:
    id, sentences = sample.get("id"), sample.get("sentences")
    if not isinstance(sentences, list):
        yield make_reference(where, None, image, "", fault=f"{where} has no list of sentences.")
        return
    mask = sample.get("mask")
    if not isinstance(mask, dict):
        mask = None  # a string would be polygons or a path elsewhere
    for number, sentence in enumerate(sentences, 1):
        yield make_reference(f"{where}, sentence {number}", f"{id}.{number}" if is_id(id) else None, image, sentence,
                             segmentation=mask, fault=fault, image_id=image_id)
