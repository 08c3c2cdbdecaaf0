"""Runs methods over a dataset, one line of JSON per expression and method, and goes on where it was stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..baselines import yu2023
from ..baselines.method import Method
from ..core.files import make_folder, read_bytes
from ..core.proposal_files import check_proposals
from ..datasets import Dataset
from ..errors import InputError
from ..pipeline import RefDiff
from . import paper
from .engine import Progress, about, work_through
from .report import write_report
from .rows_folder import check_header, locked
from .run_folder import kind, read_header
from .shards import Shard
from .work import evaluate_image


def evaluate(model: RefDiff, dataset: Dataset, methods: Sequence[Method], out: str | Path,
             proposals: str | Path | None = None, workers: int = 0,
             show: Callable[[Progress], None] | None = None, shard: Shard | None = None) -> dict[str, Any]:
    """Run what is still to do and write the report, which is returned.

    `out` is a folder; an existing run there goes on. `proposals` is a file of masks by image, as `load_proposals` reads
    it, which the methods choose among instead of the segmentor's. `workers` over 0 shares the images among that many
    Ray actors. With `shard` that part of the images alone is measured, for `shards.merge`. Raises InputError when the
    folder holds a run with other data or settings, another call is writing to it, the proposals cannot be read or told
    apart, or a shard has no image; BundleError when the model lacks a part that a method needs; RefDiffError when a
    plug-in fails.
    """
    needed = _needed(model, methods, given=proposals is not None)
    model.bundle.require(*needed)
    if proposals is not None:
        check_proposals(proposals, [(each.image, each.image_id) for each, *_ in dataset.images()])
    folder = Path(out)
    make_folder(folder)
    with locked(folder):
        for part in needed:
            model.bundle.part(part)  # fetched now, since the fingerprint names the commit that was fetched
        images = list(dataset.images())
        own = [index for index in range(len(images)) if shard is None or index in shard]
        if shard is not None and not own:
            raise InputError(f"Shard {shard} has no image: there are only {len(images)}; use fewer shards.")
        check_header(folder, header(model, dataset, methods, proposals, shard), read_header)
        # workers may be started in another folder
        given = Path(proposals).resolve() if proposals is not None and workers else proposals
        work_through(model, images, partial(evaluate_image, methods=list(methods), proposals=given), folder,
                     kind([method.name for method in methods]), workers, show, own)
        return write_report(folder)


def suited(dataset: Dataset) -> dict[str, Any]:
    """The settings that the data ask for: one answer where every expression means exactly one thing, and v of
    Global-Local as Yu et al. have it there."""
    changes: dict[str, Any] = {"targets": "one"} if dataset.one_target else {}
    column = paper.column(dataset.name, dataset.annotations, dataset.split)
    if column and column[0] in yu2023.SHARE_ON:
        changes["global_share"] = yu2023.SHARE_ON[column[0]]
    return changes


def header(model: RefDiff, dataset: Dataset, methods: Sequence[Method], proposals: str | Path | None,
           shard: Shard | None = None) -> dict[str, Any]:
    """All that the figures of a run depend on; and what may change: `labels` of the methods, `where` the data lie."""
    # what the bundle names itself is in its fingerprint
    brought = {part: model.bundle.source(part) for part in _needed(model, methods, proposals is not None)
               if part not in model.bundle.parts}
    return about(model) | ({"brought": brought} if brought else {}) | {
        "dataset": {"name": dataset.name, "split": dataset.split, "annotations": dataset.annotations,
                    "limit": dataset.where.get("limit"), "text": dataset.where.get("text", "sent"),
                    "truth_as": dataset.where.get("truth_as", "union"), "expressions": len(dataset.references),
                    "fingerprint": dataset.fingerprint(), "one_target": dataset.one_target},
        "shard": None if shard is None else str(shard),
        "proposals": None if proposals is None else {"sha256": hashlib.sha256(read_bytes(proposals)).hexdigest()},
        "methods": [method.name for method in methods],
        "labels": {method.name: method.label for method in methods},
        "plugins": {method.name: dict(method.origin) for method in methods if method.origin is not None},
        "where": {"dataset": dataset.where, "proposals": None if proposals is None else str(proposals)},
    }


def _needed(model: RefDiff, methods: Sequence[Method], given: bool) -> list[str]:
    """The parts of the bundle that the methods need, once each."""
    parts = dict.fromkeys(part for method in methods for part in method.needs
                          if not (given and part == "sam" and method.chooses))
    # a bundle without a CLIP of the baselines lends them its own
    return list(dict.fromkeys("clip" if part == "baseline_clip" and not model.bundle.has(part) else part
                              for part in parts))
