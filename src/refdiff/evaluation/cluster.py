"""The same work shared among Ray actors, on one machine or a cluster (the extra `refdiff[ray]`)."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from ..datasets import Reference
from ..errors import InputError, RefDiffError
from ..pipeline import RefDiff
from .job import Job, read_image
from .rows_folder import Row

_TASKS_EACH = 2  # queued per worker, so that none waits for the driver


class _Worker:
    """Holds the models; lives in another process."""

    def __init__(self, model: RefDiff, job: bytes, threads: int):
        import torch

        torch.set_num_threads(threads)
        self.model, self._job = model, job

    @cached_property
    def job(self) -> Job:
        """Unpickled by `run`: where a plug-in fails to load here, that is the error, and not an actor that died."""
        job: Job = pickle.loads(self._job)
        return job

    def run(self, index: int, references: list[Reference]) -> tuple[int, list[Row]]:
        return index, self.job(self.model, references, index, read_image(references[0].image))


def results(model: RefDiff, images: Sequence[list[Reference]], todo: Sequence[int], job: Job,
            workers: int) -> Iterator[tuple[int, list[Row]]]:
    """(index, rows) of every image to do, in the order they are finished.

    Joins the cluster that RAY_ADDRESS names, else starts one here. A worker that dies is started again and its images
    are done again. Images and models must lie at the same paths on every machine. Raises InputError without Ray.
    """
    try:
        import ray
    except ImportError:
        raise InputError("The ray engine needs Ray; install it with pip install 'refdiff[ray]'.") from None
    import torch

    started = not ray.is_initialized()
    if started:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    cuda = model.device.type == "cuda"
    threads = max(1, torch.get_num_threads() // workers)
    kind = ray.remote(num_cpus=threads, num_gpus=1 if cuda else 0, max_restarts=-1, max_task_retries=-1)(_Worker)
    pickled = pickle.dumps(job)
    actors: list[Any] = [kind.remote(model, pickled, threads) for _ in range(workers)]
    waiting: dict[Any, Any] = {}
    remaining = iter(todo)

    def give(actor: Any) -> None:
        for index in remaining:
            waiting[actor.run.remote(index, images[index])] = actor
            return

    try:
        for _ in range(_TASKS_EACH):
            for actor in actors:
                give(actor)
        while waiting:
            (finished,), _ = ray.wait(list(waiting), num_returns=1)
            give(waiting.pop(finished))
            try:
                result = ray.get(finished)
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, RefDiffError):
                    raise error.cause from error
                raise error from None
            yield result
    finally:
        for actor in actors:
            ray.kill(actor)
        if started:
            ray.shutdown()
