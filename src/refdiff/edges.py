"""Maps that follow a picture's edges: what differs little in colour gets like values."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.linalg import cho_solve_banded, cholesky_banded

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
        small = Image.fromarray(image).resize(self.inner[::-1], Image.Resampling.BOX)
        pixels = self._along(np.asarray(small, np.float64) / 255)
        height, width = pixels.shape[:2]
        system = np.zeros((width + 2, height * width), order="F")  # its diagonal and those below
        system[0] = 1
        for down, across in _NEIGHBOURS:
            here = (slice(None, height - down), slice(max(0, -across), width - max(0, across)))
            there = (slice(down, None), slice(max(0, across), width - max(0, -across)))
            distance = ((pixels[here] - pixels[there]) ** 2).sum(-1)
            first, second = np.zeros((2, height, width))
            first[here] = second[there] = strength * (np.exp(-distance / (2 * _COLOUR**2)) + _LEAST)
            system[0] += (first + second).ravel()
            system[down * width + across] -= first.ravel()
        self._factor = cholesky_banded(system, overwrite_ab=True, lower=True, check_finite=False)

    def _along(self, values: np.ndarray) -> np.ndarray:
        """[h, w, ...] with the longer side first, so that neighbours' numbers differ little; and back again."""
        return values.swapaxes(0, 1) if self.inner[0] < self.inner[1] else values

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """float32 [H, W] smoothed, not beyond the range it had."""
        resized = lambda x, size: np.array(Image.fromarray(x).resize(size[::-1], Image.Resampling.BILINEAR))  # noqa: E731
        small = resized(values.astype(np.float32), self.inner)
        along = self._along(small)
        smooth = cho_solve_banded((self._factor, True), along.ravel().astype(np.float64), check_finite=False)
        smooth = self._along(smooth.astype(np.float32).reshape(along.shape))
        return resized(np.ascontiguousarray(smooth), self.size)
