"""Many images worked through, here or on a cluster: each read ahead, and done once its rows are on the disk."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from .. import __version__
from ..datasets import Reference
from ..pipeline import RefDiff
from .job import Job, read_image
from .rows_folder import Kind, Row, appended_rows, keep_whole_images

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


def work_through(model: RefDiff, images: Sequence[list[Reference]], job: Job, folder: Path, kind: Kind,
                 workers: int = 0, show: Callable[[Progress], None] | None = None,
                 own: Sequence[int] | None = None) -> None:
    """Do what is still to do of the images, or of those with the numbers `own`, and append the rows to the folder's.

    `workers` over 0 shares the images among that many Ray actors. The folder must be `locked`. Raises InputError where
    its rows cannot be read or Ray is missing, and RefDiffError when the disk refuses.
    """
    own = range(len(images)) if own is None else own
    done = keep_whole_images(folder, images, kind)
    todo = [index for index in own if index not in done]
    if workers:
        from .cluster import results

        answers = results(model, images, todo, job, workers)
    else:
        answers = _local(model, images, todo, job)
    started, expressions = time.monotonic(), 0
    with appended_rows(folder) as append:
        for count, (index, rows) in enumerate(answers, 1):
            append(rows)
            expressions += len(images[index])
            seconds = time.monotonic() - started
            if show:
                show(Progress(len(done) + count, len(own), expressions / seconds,
                              seconds / count * (len(todo) - count)))


def about(model: RefDiff) -> dict[str, Any]:
    """What answers depend on of the model and of the libraries, for the header of a folder."""
    return {"refdiff": __version__, "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
            "bundle": {"name": model.bundle.name, "fingerprint": model.bundle.fingerprint()},
            "settings": model.settings.flat(), "fast": sorted(model.fast), "device": model.device.type,
            "dtype": str(model.dtype)}


def _local(model: RefDiff, images: Sequence[list[Reference]], todo: Sequence[int],
           job: Job) -> Iterator[tuple[int, list[Row]]]:
    for index, image in ahead(todo, lambda index: read_image(images[index][0].image)):
        yield index, job(model, images[index], index, image)


def ahead(items: Iterable[Item], load: Callable[[Item], Loaded]) -> Iterator[tuple[Item, Loaded]]:
    """(item, what it loads) in order, the next few loading in another thread meanwhile."""
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        waiting = [(item, pool.submit(load, item)) for item in islice(iterator, _AHEAD)]
        while waiting:
            item, future = waiting.pop(0)
            waiting += [(following, pool.submit(load, following)) for following in islice(iterator, 1)]
            yield item, future.result()
