"""How much to do at once so that a processor's cache holds what lies between two products."""

from __future__ import annotations

import torch

CACHE = 2**24
"""Bytes of one processor's last cache that a step may count on."""
_BLOCK = 64  # rows: products with 781 of them are a fifth slower than with 768


def fitting(most: int, each: float, device: torch.device) -> int:
    """How many things of `each` bytes to do at once: `most`; on a CPU no more than its cache holds, in whole blocks."""
    if device.type != "cpu":
        return most
    fit = max(1, int(CACHE / each))
    if most > fit > _BLOCK:
        fit -= fit % _BLOCK
    return min(most, fit)
