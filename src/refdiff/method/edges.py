"""Maps that follow an image's edges: what differs little in colour gets similar values."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from scipy import sparse
from scipy.sparse.linalg import splu

from ..settings import GenerativeSettings

_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


class EdgeSmoother:
    """Weighted least squares (Farbman et al., 2008): of all maps u, the one with the least
    sum (u - c)^2 + strength * sum of w_pq (u_p - u_q)^2 over neighbours p and q, where w_pq is a Gaussian of the
    distance of their colours.

    `image` uint8 RGB [H, W, 3]; the numbers are `settings.edge_*`. Made once per image, it smooths any number of maps.
    """

    def __init__(self, image: np.ndarray, settings: GenerativeSettings):
        edges, self.inner = neighbours(image, settings.edge_side, settings.edge_colour, settings.edge_floor)
        system = sparse.diags_array(1 + settings.edge_smoothing * edges.sum(1)) - settings.edge_smoothing * edges
        self._factors = factors(system)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """float32 [h, w] smoothed, within the range it had; any size that shows the whole image."""
        with np.errstate(under="ignore"):
            small = resized(values.astype(np.float32), self.inner)
            smooth = self._factors.solve(small.ravel().astype(np.float64)).reshape(self.inner)
            return resized(smooth.astype(np.float32), (values.shape[0], values.shape[1]))


def neighbours(image: np.ndarray, side: int, colour: float, floor: float) -> tuple[sparse.csr_array, tuple[int, int]]:
    """The weights w_pq of an image (uint8 RGB [H, W, 3]) of which the longer side has at most `side` px, as a symmetric
    matrix [h * w, h * w], and its size (h, w). `colour` is the Gaussian's width, `floor` what is added to each."""
    scale = min(1.0, side / max(image.shape[:2]))
    height, width = max(2, round(image.shape[0] * scale)), max(2, round(image.shape[1] * scale))
    small = Image.fromarray(image).resize((width, height), Image.Resampling.BOX)
    pixels = np.asarray(small, np.float64) / 255
    place = np.arange(height * width).reshape(height, width)
    ends, weights = [], []
    for down, across in _NEIGHBOURS:
        here = (slice(None, height - down), slice(max(0, -across), width - max(0, across)))
        there = (slice(down, None), slice(max(0, across), width - max(0, -across)))
        distance = ((pixels[here] - pixels[there]) ** 2).sum(-1)
        ends.append(np.stack([place[here].ravel(), place[there].ravel()]))
        with np.errstate(under="ignore"):  # a weight too small for its type is 0
            weights.append(np.exp(-distance / (2 * colour**2)).ravel() + floor)
    edges = sparse.coo_array((np.concatenate(weights), np.concatenate(ends, axis=1)), shape=(place.size,) * 2)
    return (edges + edges.T).tocsr(), (height, width)


def factors(system: sparse.sparray) -> Any:
    """A symmetric matrix in factors, which solve it."""
    return splu(sparse.csc_matrix(system), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0,
                options={"SymmetricMode": True})


def resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """float32 [h, w] at another size (H, W), bilinearly."""
    return np.array(Image.fromarray(values).resize(size[::-1], Image.Resampling.BILINEAR))
