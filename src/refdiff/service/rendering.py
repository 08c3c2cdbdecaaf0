"""Answers as JSON, and as files: mask, overlay, cut-out, COCO, all of them in a ZIP; attention maps as PNG."""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ..core.drawing import heat
from ..core.images import save_image
from ..core.masks import boxes, to_rle
from ..errors import InputError
from ..method import CorrelationMap
from ..result import Segmentation
from ..timing import Watch


def answers_content(answers: Sequence[Segmentation], names: Sequence[str | None], candidates: int) -> dict[str, Any]:
    """Of `schemas.SegmentResponse` what the answers are."""
    height, width = answers[0].image.shape[:2]
    return {"width": width, "height": height,
            "answers": [_answer(answer, name, candidates) for answer, name in zip(answers, names, strict=True)]}


def _answer(answer: Segmentation, name: str | None, candidates: int) -> dict[str, Any]:
    """`schemas.Answer`."""
    return {
        "id": name, "expression": answer.expression.text,
        "query": None if answer.query is None else str(answer.query), "root": answer.expression.root,
        "direction": list(answer.expression.direction), "variant": answer.variant, "found": answer.found,
        "segmentation": answer.rle, "box": None if answer.box is None else list(answer.box),
        "area": int(answer.mask.sum()), "score": _number(answer.score),
        "confidence": _number(answer.confidence),
        "notice": answer.notice,
        "instances": [{"segmentation": each.rle, "box": list(each.box), "area": int(each.mask.sum()),
                       "score": _number(each.score), "confidence": _number(each.confidence)}
                      for each in answer.instances],
        "candidates": [{"index": each.index, "segmentation": to_rle(each.mask),
                        "box": boxes(each.mask[None])[0].tolist(), "score": _number(each.score),
                        "generative": _number(each.generative), "discriminative": _number(each.discriminative)}
                       for each in answer.candidates[:candidates]],
    }


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 6)


def correlation_content(found: CorrelationMap, colours: str) -> dict[str, Any]:
    """Of `schemas.CorrelationResponse` what the maps are."""
    return {"width": found.map.shape[1], "height": found.map.shape[0], "tokens": list(found.tokens),
            "root": list(found.root), "map": b64encode(map_png(found.map, colours)).decode(),
            "per_token": [b64encode(map_png(each, colours)).decode() for each in found.per_token]}


def correlation_png(found: CorrelationMap, colours: str, token: int | None) -> bytes:
    """One of the maps: of a token, or of the root. Raises InputError where there is no such token."""
    if token is not None and token >= len(found.tokens):
        raise InputError(f"There is no token {token}; the last is {len(found.tokens) - 1}.")
    return map_png(found.map if token is None else found.per_token[token], colours)


def map_png(values: np.ndarray, colours: str) -> bytes:
    """A map [H, W] in [0, 1] as 8-bit grey, or in the colours of heat."""
    return png(heat(values) if colours == "heat" else np.round(values.clip(0, 1) * 255).astype(np.uint8))


def png(image: Image.Image | np.ndarray) -> bytes:
    """An image (uint8 [H, W], [H, W, 3], [H, W, 4] or bool [H, W]) as the content of a PNG file."""
    file = io.BytesIO()
    save_image(image, file)
    return file.getvalue()


IMAGES: dict[str, Callable[[Segmentation], bytes]] = {
    "mask": lambda answer: png(answer.mask), "overlay": lambda answer: png(answer.overlay()),
    "cutout": lambda answer: png(answer.cutout())}
"""What shows one answer."""


def coco(answers: Sequence[Segmentation]) -> bytes:
    """COCO's JSON: one image, a category for each expression, an annotation for each instance."""
    height, width = answers[0].image.shape[:2]
    categories = list(dict.fromkeys(answer.expression.text for answer in answers))
    annotations: list[dict[str, Any]] = []
    for answer in answers:
        for each in answer.instances:
            left, top, right, bottom = each.box
            annotations.append({
                "id": len(annotations) + 1, "image_id": 1,
                "category_id": categories.index(answer.expression.text) + 1, "segmentation": each.rle,
                "area": int(each.mask.sum()), "bbox": [left, top, right - left, bottom - top], "iscrowd": 0,
                "score": _number(each.score)})
    content = {"images": [{"id": 1, "file_name": "image.png", "width": width, "height": height}],
               "annotations": annotations,
               "categories": [{"id": number, "name": text} for number, text in enumerate(categories, 1)]}
    return (json.dumps(content, indent=1) + "\n").encode()


def archive(answers: Sequence[Segmentation], watch: Watch) -> bytes:
    """A ZIP of the image, every answer's mask, overlay and, where something was found, cut-out, and coco.json."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("image.png"), png(answers[0].image))
        for number, answer in enumerate(answers, 1):
            for kind, draw in IMAGES.items():
                if kind != "cutout" or answer.found:
                    with watch("rendering"):
                        archive.writestr(zipfile.ZipInfo(f"{number:02}-{slug(answer)}.{kind}.png"), draw(answer))
        archive.writestr(zipfile.ZipInfo("coco.json"), coco(answers))
    return file.getvalue()


def slug(answer: Segmentation) -> str:
    """The expression as a part of a file's name, in ASCII."""
    return re.sub(r"[^a-z0-9]+", "-", answer.expression.text.lower()).strip("-")[:60] or "expression"
