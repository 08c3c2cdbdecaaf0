"""PhraseCut in its released layout: `refer_<split>.json` and Visual Genome images `images/<id>.jpg`.

Layout: Wu et al., "PhraseCut: Language-based image segmentation in the wild" (CVPR 2020), VGPhraseCut_v0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.files import read_json, shown
from ..errors import InputError
from .reference import Reference, image_path, is_id, make_reference


def load_phrasecut(folder: str | Path, split: str, images: str | Path | None = None) -> Iterator[Reference]:
    """Every phrase of a split; its truth is the union of all its instances, drawn as PhraseCut's own code does.

    `images` is the images' folder (default: `images` in `folder`). Raises InputError when the file is missing or not
    a list of tasks; a value of a wrong type is the fault of that reference alone.
    """
    folder = Path(folder)
    path = folder / f"refer_{split}.json"
    tasks = read_json(path)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and "phrase" in task for task in tasks):
        raise InputError(f"{shown(path)} is not a list of PhraseCut tasks.")
    for number, task in enumerate(tasks, 1):
        where = f"Task {number}"
        id, image_id = task.get("task_id"), task.get("image_id")
        image, fault = image_path(Path(images or folder / "images"), f"{image_id}.jpg" if is_id(image_id) else None,
                                  where)
        polygons, broken = _flat(task.get("Polygons"), where)
        yield make_reference(where, str(id) if is_id(id) else id, image, task["phrase"], segmentation=polygons,
                             fault=fault or broken, image_id=image_id, drawing="pillow")


def _flat(instances: Any, where: str) -> tuple[list[list[Any]] | None, str | None]:
    """(polygons as flat lists, None) of instances, each a list of polygons, each a list of points; or (None, fault)."""
    try:
        polygons = [[value for point in polygon for value in point]
                    for instance in instances or [] for polygon in instance]
    except TypeError:
        return None, f"{where} has broken polygons; each instance must be a list of lists of points."
    return polygons or None, None
