"""Runs methods over a dataset, one line of JSON per expression and method, and goes on where it was stopped."""

from __future__ import annotations

import hashlib
import importlib.metadata
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from .. import __version__
from ..baselines import yu2023
from ..baselines.registry import Method
from ..core.files import make_folder, read_bytes
from ..core.proposal_files import check_proposals
from ..datasets import Dataset, Reference
from ..errors import InputError
from ..pipeline import RefDiff
from . import paper
from .report import write_report
from .run_folder import Row, appended_rows, check_header, keep_whole_images, locked
from .shards import Shard
from .work import evaluate_image, read_image

_AHEAD = 4  # images decoded before the model asks for them
_LIBRARIES = ("torch", "transformers", "diffusers", "spacy", "numpy", "pillow")

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Progress:
    """`done` of `total` images; `rate` in expressions per second since this start; `remaining` in seconds."""

    done: int
    total: int
    rate: float
    remaining: float


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
        check_header(folder, header(model, dataset, methods, proposals, shard))
        done = keep_whole_images(folder, images, [method.name for method in methods])
        todo = [index for index in own if index not in done]
        if workers:
            from .cluster import results

            answers = results(model, images, todo, methods, proposals, workers)
        else:
            answers = _local(model, images, todo, methods, proposals)
        started, expressions = time.monotonic(), 0
        with appended_rows(folder) as append:
            for count, (index, rows) in enumerate(answers, 1):
                append(rows)
                expressions += len(images[index])
                seconds = time.monotonic() - started
                if show:
                    show(Progress(len(done) + count, len(own), expressions / seconds,
                                  seconds / count * (len(todo) - count)))
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
    return {
        "refdiff": __version__,
        "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "bundle": {"name": model.bundle.name, "fingerprint": model.bundle.fingerprint()},
        **({"brought": brought} if brought else {}),
        "dataset": {"name": dataset.name, "split": dataset.split, "annotations": dataset.annotations,
                    "limit": dataset.where.get("limit"), "text": dataset.where.get("text", "sent"),
                    "truth_as": dataset.where.get("truth_as", "union"), "expressions": len(dataset.references),
                    "fingerprint": dataset.fingerprint(), "one_target": dataset.one_target},
        "shard": None if shard is None else str(shard),
        "proposals": None if proposals is None else {"sha256": hashlib.sha256(read_bytes(proposals)).hexdigest()},
        "methods": [method.name for method in methods],
        "labels": {method.name: method.label for method in methods},
        "plugins": {method.name: dict(method.origin) for method in methods if method.origin is not None},
        "settings": model.settings.flat(), "fast": sorted(model.fast),
        "device": model.device.type, "dtype": str(model.dtype),
        "where": {"dataset": dataset.where, "proposals": None if proposals is None else str(proposals)},
    }


def _needed(model: RefDiff, methods: Sequence[Method], given: bool) -> list[str]:
    """The parts of the bundle that the methods need, once each."""
    parts = dict.fromkeys(part for method in methods for part in method.needs
                          if not (given and part == "sam" and method.chooses))
    # a bundle without a CLIP of the baselines lends them its own
    return list(dict.fromkeys("clip" if part == "baseline_clip" and not model.bundle.has(part) else part
                              for part in parts))


def _local(model: RefDiff, images: list[list[Reference]], todo: list[int], methods: Sequence[Method],
           proposals: str | Path | None) -> Iterator[tuple[int, list[Row]]]:
    for index, image in ahead(todo, lambda index: read_image(images[index][0].image)):
        yield index, evaluate_image(model, images[index], index, image, methods, proposals)


def ahead(items: Iterable[Item], load: Callable[[Item], Loaded]) -> Iterator[tuple[Item, Loaded]]:
    """(item, what it loads) in order, the next few loading in another thread meanwhile."""
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        waiting = [(item, pool.submit(load, item)) for item in islice(iterator, _AHEAD)]
        while waiting:
            item, future = waiting.pop(0)
            waiting += [(following, pool.submit(load, following)) for following in islice(iterator, 1)]
            yield item, future.result()
