"""A mask that follows clicks and the image's edges: the random walker, with the mask as its prior (ours).

Grady's random walker with prior models (2005): of all maps u the one with the least sum w_pq (u_p - u_q)^2 over
neighbours + sum d_p (u_p - g_p)^2, where g is 1 inside the mask and 0 outside, and at clicks what they say; d is small,
and great at clicks. A click so moves what no edge parts from it, and the rest stays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import sparse

from .edges import factors, neighbours, resized

# Chosen on the val split of benchmarks/scenes (benchmarks/refine.py).
_SIDE = 192  # px of the image's longer side
_COLOUR, _FLOOR = 0.03, 1e-4  # as the settings edge_colour and edge_floor
_PRIOR, _CLICK = 0.02, 1e3  # d
_REACH = 1  # px around a click that it speaks for


def follow_clicks(mask: np.ndarray, image: np.ndarray, points: Sequence[tuple[float, float]],
                  labels: Sequence[int]) -> np.ndarray:
    """The mask (bool [H, W]) of an image (uint8 [H, W, 3]), corrected at points (x, y) in px of it: label 1 is inside,
    0 outside."""
    edges, (height, width) = neighbours(image, _SIDE, _COLOUR, _FLOOR)
    inside = np.asarray(Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BOX))
    weight, wanted = np.full((height, width), _PRIOR), inside.astype(np.float64)
    for (x, y), label in zip(points, labels, strict=True):
        row, column = int(y * height / mask.shape[0]), int(x * width / mask.shape[1])
        near = (slice(max(0, row - _REACH), row + _REACH + 1), slice(max(0, column - _REACH), column + _REACH + 1))
        weight[near], wanted[near] = _CLICK, label
    system = sparse.diags_array(edges.sum(1) + weight.ravel()) - edges
    found = factors(system).solve((weight * wanted).ravel()).reshape(height, width)
    change = resized((found - inside).astype(np.float32), (mask.shape[0], mask.shape[1]))
    corrected: np.ndarray = mask + change > 0.5
    return corrected
