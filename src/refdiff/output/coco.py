"""Answers as a COCO instances JSON: a category for each expression, an annotation for each thing found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..core.files import write_atomically
from ..core.masks import boxes, to_rle
from ..core.outlines import to_polygons
from .source import Source


def to_coco(source: Source, polygons: bool = False) -> dict[str, Any]:
    """The content of an instances JSON.

    Masks are COCO RLE, or `polygons` along the edges of pixels, which pycocotools draws as the same masks. Beside
    COCO's keys an annotation has 'expression', 'expression_id', and 'score' and 'confidence' where they are known.
    Raises InputError for a broken mask.
    """
    categories = {expression: number for number, expression in enumerate(source.expressions(), 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(source.images, 1):
        height, width = image.size
        images.append({"id": number, "file_name": image.name, "height": height, "width": width})
        for answer, thing, mask in image.things():
            known = {"score": thing.score, "confidence": thing.confidence}
            annotations.append({
                "id": len(annotations) + 1, "image_id": number, "category_id": categories[answer.expression],
                "segmentation": _polygons(mask) if polygons else to_rle(mask), "area": int(mask.sum()),
                "bbox": _bbox(mask), "iscrowd": 0, "expression": answer.asked or answer.expression,
                "expression_id": answer.id,
                **{name: value for name, value in known.items() if value is not None}})
    return {"info": {"description": f"refdiff {__version__}, {source.by}"}, "licenses": [], "images": images,
            "annotations": annotations,
            "categories": [{"id": number, "name": name, "supercategory": ""} for name, number in categories.items()]}


def write_coco(source: Source, path: Path, polygons: bool = False) -> None:
    """Write `to_coco`. Raises InputError for a broken mask or a path that cannot be written."""
    write_atomically(path, json.dumps(to_coco(source, polygons)).encode())


def _polygons(mask: np.ndarray) -> list[list[float]]:
    return [part.ravel().tolist() for part in to_polygons(mask)]


def _bbox(mask: np.ndarray) -> list[int]:
    left, top, right, bottom = boxes(mask[None])[0].tolist()
    return [left, top, right - left, bottom - top]
