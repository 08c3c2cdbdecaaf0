"""The reference implementation's arithmetic on arrays: its own Eq. 1 to 9 and filters of SAM's mask generator.

It shares no formula with `method` and `models`, so that an error in either shows in benchmarks/answers.py.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve

from ..language import Expression
from ..settings import GenerativeSettings, MatchingSettings


def guided(both: torch.Tensor, scale: float) -> torch.Tensor:
    """Classifier-free guidance of [2, ...], without and with the text; what has the text alone stays as it is."""
    return both if len(both) == 1 else both[:1] + scale * (both[1:] - both[:1])


def correlation_map(a: np.ndarray, image: np.ndarray, settings: GenerativeSettings) -> np.ndarray:
    """Eq. 5 of the root's maps float32 [L, h, w] of all layers and steps: c float32 [H, W] in [0, 1]."""
    height, width = image.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    if settings.combine == "release":
        mean = np.mean([scaled(each, epsilon=0) for each in a], axis=0)
        square = Image.fromarray((mean * 255).astype(np.uint8)).resize((side, side), Image.Resampling.LANCZOS)
        c = np.asarray(square, np.float32)
    else:
        mean = torch.from_numpy(scaled(a.mean(0)))
        c = F.interpolate(mean[None, None], (side, side), mode="bilinear")[0, 0].numpy()
    c = c[top : top + height, left : left + width]
    if settings.combine != "mean":
        c = scaled(c)
    return scaled(along_edges(c, image, settings)) if settings.edge_smoothing else c


def scaled(values: np.ndarray, epsilon: float = 1e-8) -> np.ndarray:
    """Min-max scaled to [0, 1]; `epsilon` is that of Eq. 5. A map of one value becomes 0."""
    span = values.max() - values.min() + epsilon
    return (values - values.min()) / span if span > 0 else np.zeros_like(values)


def along_edges(c: np.ndarray, image: np.ndarray, settings: GenerativeSettings) -> np.ndarray:
    """The u with the least |u - c|^2 + strength * sum of w (u_p - u_q)^2 over all pairs p, q of neighbours, 8 each, on
    an image of `edge_side` px; w falls with the distance of their colours."""
    height, width = image.shape[:2]
    scale = min(1, settings.edge_side / max(height, width))
    rows, columns = (max(2, round(extent * scale)) for extent in (height, width))
    colours = np.asarray(Image.fromarray(image).resize((columns, rows), Image.Resampling.BOX)).reshape(-1, 3) / 255
    y, x = np.divmod(np.arange(rows * columns), columns)
    pairs = []
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
        p = np.flatnonzero((y + down < rows) & (x + across >= 0) & (x + across < columns))
        pairs.append(np.stack([p, p + down * columns + across]))
    p, q = np.concatenate(pairs, axis=1)
    w = np.exp(-((colours[p] - colours[q]) ** 2).sum(1) / (2 * settings.edge_colour**2)) + settings.edge_floor
    pair = np.arange(len(p))
    ones, shape = np.ones(len(p)), (len(p), rows * columns)
    difference = sparse.csr_array((ones, (pair, p)), shape) - sparse.csr_array((ones, (pair, q)), shape)
    laplacian = difference.T @ sparse.diags_array(w) @ difference
    small = np.asarray(Image.fromarray(c).resize((columns, rows), Image.Resampling.BILINEAR), float).ravel()
    u = spsolve((sparse.eye_array(len(small)) + settings.edge_smoothing * laplacian).tocsc(), small)
    return np.asarray(Image.fromarray(u.reshape(rows, columns).astype(np.float32)).resize(
        (width, height), Image.Resampling.BILINEAR))


def positional_bias(image: np.ndarray, expression: Expression, ramp: float) -> np.ndarray:
    """P of Eq. 6, float32 [H, W]: along each direction named from 1 at that edge to 0 at the fraction `ramp` of the
    side, and 0 beyond."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    p = np.ones((height, width), np.float32)
    for direction in expression.direction:
        extent = width if direction in ("left", "right") else height
        distance = {"left": x, "right": width - 1 - x, "top": y, "bottom": height - 1 - y}[direction]
        p *= np.clip(1 - distance / max(1, int(extent * ramp) - 1), 0, 1)
    return p


def generative_scores(c: np.ndarray, masks: np.ndarray, rule: str) -> np.ndarray:
    """s^G, float32 [N]: Eq. 9, or the root of the between-class variance of what rises above the median, doubled."""
    c = c if rule == "difference" else np.maximum(c, np.median(c))
    scores = []
    for mask in masks:
        area = mask.sum()
        score = (c * mask).sum() / (area + 1e-6) - (c * ~mask).sum() / (mask.size - area + 1e-6)
        share = area / mask.size
        scores.append(score if rule == "difference" else score * 2 * math.sqrt(share * (1 - share)))
    return np.array(scores, np.float32)


def winner(s: np.ndarray, masks: np.ndarray, settings: MatchingSettings) -> int:
    """Eq. 2 among the masks that can win."""
    areas = masks.sum((1, 2))
    order = np.argsort(-areas, kind="stable")
    candidates = [i for i in order[: settings.largest or None] if areas[i] > settings.min_area]
    if not candidates:
        return 0 if settings.none_eligible == "first" else int(s.argmax())
    return max(sorted(candidates), key=s.__getitem__)


def unlike_boxes(masks: list[np.ndarray], threshold: float) -> list[np.ndarray]:
    """Masks, best first, whose boxes overlap no better one's by an IoU above the threshold."""
    kept: list[tuple[int, int, int, int]] = []
    out = []
    for mask in masks:
        rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
        if all(box_iou(box, other) <= threshold for other in kept):
            kept.append(box)
            out.append(mask)
    return out


def box_iou(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Of two boxes (left, top, right, bottom), right and bottom exclusive."""
    shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def unlike_masks(masks: list[np.ndarray], threshold: float) -> list[np.ndarray]:
    """Masks, best first, that resemble no better one by an IoU above the threshold; 1 keeps all."""
    if threshold >= 1 or not masks:
        return masks
    flat = np.stack(masks).reshape(len(masks), -1).astype(np.float32)
    shared, areas = flat @ flat.T, flat.sum(1)
    iou = shared / (areas[:, None] + areas - shared)
    kept: list[int] = []
    for i in range(len(masks)):
        if all(iou[i, j] <= threshold for j in kept):
            kept.append(i)
    return [masks[i] for i in kept]


def tidied(mask: np.ndarray, min_region: int) -> np.ndarray:
    """The mask without holes, then without specks, of fewer than `min_region` px; its largest part stays."""
    def small_parts(region: np.ndarray, spare_largest: bool) -> np.ndarray:
        labels, count = ndimage.label(region, np.ones((3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        small = sizes < min_region
        if spare_largest:
            small[sizes.argmax()] = False
        return np.append(False, small)[labels]

    mask = mask | small_parts(~mask, spare_largest=False)
    return mask & ~small_parts(mask, spare_largest=True)
