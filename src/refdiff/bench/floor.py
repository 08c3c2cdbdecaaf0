"""The floor: the arithmetic of a stage over the rate at which this machine multiplies matrices."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, flop_registry, sdpa_flop_count


class OperationCounter:
    """Sums floating-point operations per stage and dtype in `operations`; takes a `Stopwatch`'s place.

    Matrix products, convolutions and attention count, two operations a multiplication and addition; what only moves
    or compares numbers does not.
    """

    def __init__(self) -> None:
        self.operations: dict[str, Counter[torch.dtype]] = defaultdict(Counter)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        noted = {operator: _noting(self.operations[stage], formula) for operator, formula in _FORMULAS.items()}
        with FlopCounterMode(display=False, custom_mapping=noted):
            yield

    def seconds(self, stage: str, rates: dict[torch.dtype, float]) -> float:
        """The floor of a stage, from operations a second of each dtype."""
        return sum((count / rates[dtype] for dtype, count in self.operations[stage].items()), 0.0)


# The library counts every kernel of attention but the CPU's.
_FORMULAS = flop_registry | {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda query, key, value, *_,
                             **__: sdpa_flop_count(query.shape, key.shape, value.shape)}


def _noting(operations: Counter[torch.dtype], formula: Callable[..., int]) -> Callable[..., int]:
    """The formula, which also adds what it counts to the dtype of the operator's first tensor."""
    def count(*arguments: Any, **options: Any) -> int:
        counted = formula(*arguments, **options)
        operations[arguments[0].dtype] += counted
        return counted

    setattr(count, "_get_raw", True)  # noqa: B010 - tensors, not only their shapes
    return count


@torch.inference_mode()
def matrix_product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a product of two square matrices: the best of two sizes, five times each."""
    best, side = 0.0, 2048 if device.type == "cpu" else 8192  # smaller ones would measure how soon a device starts
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
