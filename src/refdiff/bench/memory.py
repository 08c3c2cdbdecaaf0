"""Peak memory, each way in a fresh process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from ..pipeline import RefDiff
from .measure import EXPRESSIONS, expressions, in_float32, plain_way, refdiff_way


def peak_memory(model: RefDiff, picture: Path, count: int | None) -> float:
    """GB (10^9 bytes) at the most while `count` expressions are answered within the model's bound, or one the plain
    way where `count` is None.

    Of the process where the model is on the CPU, libraries included; else of what was allocated on the device.
    """
    run = model if count is not None else in_float32(model)
    copy = RefDiff(run.bundle, run.device, run.dtype, run.settings, run.memory)  # with no model loaded
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak, copy, picture, count, torch.get_num_threads()).result()


def _peak(model: RefDiff, picture: Path, count: int | None, threads: int) -> float:
    torch.set_num_threads(threads)
    if count is None:
        plain_way(model, picture, EXPRESSIONS[0])
    else:
        refdiff_way(model, picture, expressions(count))
    if model.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says starts at the parent's peak
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
