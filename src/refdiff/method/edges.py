"""Maps that follow an image's edges: what differs little in colour gets similar values."""

from __future__ import annotations

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
        strength, colour = settings.edge_smoothing, settings.edge_colour
        self.size = image.shape[0], image.shape[1]
        scale = min(1.0, settings.edge_side / max(self.size))
        self.inner = max(2, round(self.size[0] * scale)), max(2, round(self.size[1] * scale))
        height, width = self.inner
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
                weights.append(np.exp(-distance / (2 * colour**2)).ravel() + settings.edge_floor)
        edges = sparse.coo_array((np.concatenate(weights), np.concatenate(ends, axis=1)), shape=(place.size,) * 2)
        edges = (edges + edges.T).tocsr()
        system = sparse.diags_array(1 + strength * edges.sum(1)) - strength * edges
        self._factors = splu(sparse.csc_matrix(system), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0,
                             options={"SymmetricMode": True})

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """float32 [H, W] smoothed, within the range it had."""
        with np.errstate(under="ignore"):
            small = _resized(values.astype(np.float32), self.inner)
            smooth = self._factors.solve(small.ravel().astype(np.float64)).reshape(self.inner)
            return _resized(smooth.astype(np.float32), self.size)


def _resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.array(Image.fromarray(values).resize(size[::-1], Image.Resampling.BILINEAR))
