"""Inputs for fuzz.py, by kind: each a call, and what it must give where that can be stated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .answers import answers, batch_manifest, label_studio_task
from .data import own_dataset, phrasecut_dataset, pickled, reasonseg_dataset, refer_dataset
from .images import image_file, image_object, mask_file
from .masks import polygon, proposal_file, rle
from .models import expression, manifest, segment, setting
from .values import Case, Rng

KINDS: dict[str, tuple[Callable[[Rng, Path], Case], float]] = {
    "image files": (image_file, 3), "image objects": (image_object, 3), "mask files": (mask_file, 2), "RLE": (rle, 2),
    "polygons": (polygon, 2), "pickles": (pickled, 2), "own data": (own_dataset, 2), "REFER data": (refer_dataset, 2),
    "PhraseCut data": (phrasecut_dataset, 1), "ReasonSeg data": (reasonseg_dataset, 1),
    "proposal files": (proposal_file, 2), "expressions": (expression, 2), "settings": (setting, 2),
    "manifests": (manifest, 2), "batches": (batch_manifest, 1), "answers": (answers, 1),
    "Label Studio tasks": (label_studio_task, 1), "segment": (segment, 0),
}
"""Every kind's generator and its share of the inputs; 'segment', which runs the models, has a fixed number instead."""
SEGMENTS = 36
