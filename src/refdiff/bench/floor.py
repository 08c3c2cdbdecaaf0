"""The floor: the arithmetic of a stage over the rate at which this machine multiplies matrices."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count


class OperationCounter:
    """Sums floating-point operations per stage in `operations`; takes a `Stopwatch`'s place.

    Matrix products, convolutions and attention count, two operations a multiplication and addition; what only moves
    or compares numbers does not.
    """

    def __init__(self):
        self.operations: dict[str, int] = defaultdict(int)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        with FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION) as counter:
            yield
        self.operations[stage] += counter.get_total_flops()


# The library counts every kernel of attention but the CPU's.
_CPU_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu:
                  lambda query, key, value, *_, out_shape=None, **__: sdpa_flop_count(query, key, value)}


@torch.inference_mode()
def matrix_product_rate(device: torch.device, dtype: torch.dtype, side: int = 2048) -> float:
    """Operations a second of a product of two square matrices: the best of several sizes, five times each."""
    best = 0.0
    for extent in (side // 2, side):
        first, second = (torch.randn(extent, extent, device=device).to(dtype) for _ in range(2))
        first @ second
        for _ in range(5):
            if device.type == "cuda":
                torch.cuda.synchronize()
            started = time.perf_counter()
            product = first @ second
            if device.type == "cuda":
                product[0, 0].item()
            best = max(best, 2 * extent**3 / (time.perf_counter() - started))
    return best
