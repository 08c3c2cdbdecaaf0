"""Peak memory of refdiff and of the reference implementation, each measured in a fresh process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch

from ..pipeline import RefDiff
from .allocator import keep_freed
from .measure import EXPRESSIONS, expressions, run_refdiff, run_reference
from .reference import Reference


def peak_memory(model: RefDiff, image: Path, count: int | None) -> float:
    """GB (10^9 bytes) at the most while `count` expressions are answered within the model's bound, or one by the
    reference implementation where `count` is None.

    Of the process where the model is on the CPU, libraries included; else of what was allocated on the device. Both
    keep freed memory, but not where the model has a bound.
    """
    run = partial(_refdiff, model, image, count) if count is not None else partial(_reference, model, image)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak, run, model.device, torch.get_num_threads(), model.memory is None).result()


def _refdiff(model: RefDiff, image: Path, count: int) -> None:
    run_refdiff(model, image, expressions(count))


def _reference(model: RefDiff, image: Path) -> None:
    run_reference(Reference(model.bundle, model.device), image, EXPRESSIONS[0], model.settings)


def _peak(run: Callable[[], None], device: torch.device, threads: int, keep: bool) -> float:
    torch.set_num_threads(threads)
    if keep:
        keep_freed()
    run()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says starts at the parent's peak
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
