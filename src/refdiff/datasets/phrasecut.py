"""PhraseCut in its released layout: `refer_<split>.json` and Visual Genome pictures `images/<id>.jpg`.

Layout: Wu et al., "PhraseCut: Language-based image segmentation in the wild" (CVPR 2020), VGPhraseCut_v0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from .reference import Reference, read_json


def load_phrasecut(folder: str | Path, split: str, images: str | Path | None = None) -> Iterator[Reference]:
    """Every phrase of a split; its truth is the union of all its instances.

    `images` is the pictures' folder (default: `images` in `folder`). Raises InputError when the file is missing.
    """
    folder = Path(folder)
    tasks = read_json(folder / f"refer_{split}.json")
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and "phrase" in task for task in tasks):
        raise InputError(f"{folder}/refer_{split}.json is no list of PhraseCut tasks.")
    for task in tasks:
        # one list of polygons an instance, each polygon a list of points
        polygons = [[value for point in polygon for value in point]
                    for instance in task.get("Polygons") or [] for polygon in instance]
        yield Reference(id=str(task["task_id"]), image=Path(images or folder / "images") / f"{task['image_id']}.jpg",
                        expression=task["phrase"], kind=None, segmentation=polygons or None)
