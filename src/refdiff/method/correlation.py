"""Eq. 5: from attention maps to the correlation map c."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ..core.images import square_offsets
from ..settings import GenerativeSettings
from .edges import EdgeSmoother

_EPSILON = 1e-8  # keeps a map of one value finite, as released


@dataclass(frozen=True, eq=False)
class CorrelationMap:
    """Eq. 5 for one expression: `map` float32 [H, W] in [0, 1]; `tokens` as the model reads them; `per_token`
    float32 [T, H, W], each token's own map in [0, 1]; `root` the indices in `tokens` that made `map`.
    """

    map: np.ndarray
    tokens: tuple[str, ...]
    per_token: np.ndarray
    root: tuple[int, ...]


def correlation_map(maps: torch.Tensor, size: tuple[int, int], settings: GenerativeSettings,
                    follow_edges: EdgeSmoother | None = None) -> torch.Tensor:
    """Eq. 5: a token's maps [L, h, w] of all layers and steps -> c float32 [H, W] in [0, 1], on the CPU, for an image
    of
    `size` (H, W) that was centred on a black square; `settings.combine` says how. Then c may follow the image's edges.
    """
    if settings.combine == "release":
        c = _as_released(maps, size)
    else:
        mean = _unit(maps.float().mean(0))
        side = max(size)
        c = _cropped(F.interpolate(mean[None, None], size=(side, side), mode="bilinear")[0, 0], size)
        if settings.combine == "rescaled":
            c = _unit(c)
    c = c.cpu()
    return c if follow_edges is None else _unit(torch.from_numpy(follow_edges(c.numpy())))


def _as_released(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Each map scaled, their mean quantised to 8 bit, resized with Lanczos, cropped and scaled again."""
    side = max(size)
    mean = _unit(maps.float(), epsilon=0.0).nan_to_num().mean(0)
    eight_bit = Image.fromarray((mean * 255).cpu().numpy().astype(np.uint8))
    square = torch.from_numpy(np.array(eight_bit.resize((side, side), Image.Resampling.LANCZOS))).float()
    return _unit(_cropped(square, size))


def _cropped(square: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    height, width = size
    _, top, left = square_offsets(height, width)
    return square[top : top + height, left : left + width]


def _unit(values: torch.Tensor, epsilon: float = _EPSILON) -> torch.Tensor:
    """Min-max scaled to [0, 1] over the last two axes."""
    low = values.amin((-2, -1), keepdim=True)
    return (values - low) / (values.amax((-2, -1), keepdim=True) - low + epsilon)
