"""The same work shared among Ray actors, on one machine or a cluster (the extra `refdiff[ray]`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..datasets import Reference
from ..errors import InputError
from ..methods import Method, get_methods
from ..pipeline import RefDiff
from .runner import evaluate_picture, read_picture

_TASKS_EACH = 2  # queued a worker, so that none waits for the driver


class _Worker:
    """Holds the models; lives in another process."""

    def __init__(self, bundle: Any, device: str, dtype: Any, settings: Any, methods: list[str], threads: int):
        import torch

        torch.set_num_threads(threads)
        self.model, self.methods = RefDiff(bundle, device, dtype, settings), get_methods(methods)

    def run(self, index: int, references: list[Reference],
            proposals: str | None) -> tuple[int, list[dict[str, Any]]]:
        image = read_picture(references[0].image)
        return index, evaluate_picture(self.model, references, image, self.methods, proposals)


def results(model: RefDiff, pictures: list[list[Reference]], todo: Sequence[int], methods: Sequence[Method],
            proposals: str | Path | None, workers: int) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """(index, rows) of every picture to do, in the order they are finished.

    Joins the cluster that RAY_ADDRESS names, else starts one here. A worker that dies is started again and its
    pictures are done again. Pictures and models must lie at the same paths on every machine.
    """
    try:
        import ray
    except ImportError:
        raise InputError("--engine ray needs Ray: pip install 'refdiff[ray]'.") from None
    import torch

    started = not ray.is_initialized()
    if started:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    cuda = model.device.type == "cuda"
    threads = max(1, torch.get_num_threads() // workers)
    kind = ray.remote(num_cpus=threads, num_gpus=1 if cuda else 0, max_restarts=-1, max_task_retries=-1)(_Worker)
    actors = [kind.remote(model.bundle, str(model.device), model.dtype, model.settings,
                          [method.name for method in methods], threads) for _ in range(workers)]
    waiting: dict[Any, Any] = {}
    remaining = iter(todo)
    path = None if proposals is None else str(Path(proposals).resolve())

    def give(actor: Any) -> None:
        for index in remaining:
            waiting[actor.run.remote(index, pictures[index], path)] = actor
            return

    try:
        for _ in range(_TASKS_EACH):
            for actor in actors:
                give(actor)
        while waiting:
            (finished,), _ = ray.wait(list(waiting), num_returns=1)
            give(waiting.pop(finished))
            yield ray.get(finished)
    finally:
        for actor in actors:
            ray.kill(actor)
        if started:
            ray.shutdown()
