"""Maps that follow a picture's edges: what differs little in colour gets like values."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import sparse
from scipy.sparse.linalg import splu

_SIDE = 128  # px of the longer side on which it is computed
_COLOUR = 0.03  # distance in RGB, of [0, 1] each, at which neighbours begin to part
_LEAST = 1e-4  # weight across the hardest edge, so that every area hangs together
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


class EdgeSmoother:
    """Weighted least squares (Farbman et al., 2008): of all maps u, the one with the least
    sum (u - c)^2 + strength * sum of w_pq (u_p - u_q)^2 over neighbours p and q, whose w is a Gaussian of the
    distance of their colours.

    `image` uint8 RGB [H, W, 3]. Made once for a picture, it smooths any number of its maps.
    """

    def __init__(self, image: np.ndarray, strength: float):
        self.size = image.shape[:2]
        scale = min(1.0, _SIDE / max(self.size))
        self.inner = tuple(max(2, round(extent * scale)) for extent in self.size)
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
            weights.append(np.exp(-distance / (2 * _COLOUR**2)).ravel() + _LEAST)
        edges = sparse.coo_array((np.concatenate(weights), np.concatenate(ends, axis=1)), shape=(place.size,) * 2)
        edges = (edges + edges.T).tocsr()
        system = sparse.diags_array(1 + strength * edges.sum(1)) - strength * edges
        self._factors = splu(sparse.csc_matrix(system), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0,
                             options={"SymmetricMode": True})

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """float32 [H, W] smoothed, not beyond the range it had."""
        resized = lambda x, size: np.array(Image.fromarray(x).resize(size[::-1], Image.Resampling.BILINEAR))  # noqa: E731
        small = resized(values.astype(np.float32), self.inner)
        smooth = self._factors.solve(small.ravel().astype(np.float64)).reshape(self.inner)
        return resized(smooth.astype(np.float32), self.size)
