"""Automatic mask generation over transformers' `SamModel`: a grid of points in, scored masks of everything out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from .decoder import PointDecoder
from .encoder import encode_pixels
from .enlarge import Enlarger
from .images import ImageLike, load_image
from .masks import areas, tidy
from .settings import Settings

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
_JUDGED_SIDE = 1024  # px: of a larger picture masks are judged at this size, already finer than their logits
_PEAKS_APART = 24  # at the nearest, in fractions of the longer side


@dataclass(frozen=True)
class ScoredMasks:
    """`masks` bool [N, H, W], best first; `iou` SAM's own estimate and `stability`, float32 [N] in [0, 1]."""

    masks: np.ndarray
    iou: np.ndarray
    stability: np.ndarray


class Segmentor:
    """SAM's automatic mask generator (Kirillov et al., appendix B).

    Masks are judged as they will look in the picture, but only where they are; only survivors are drawn whole.
    """

    def __init__(self, model):
        self.model = model
        self.side = model.config.vision_config.image_size

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | torch.device = "cpu",
                        dtype: torch.dtype | None = None) -> Segmentor:
        """Load a SamModel folder."""
        from .bundle import load_sam

        return cls(load_sam(folder, device, dtype))

    @torch.inference_mode()
    def encode(self, image: ImageLike) -> torch.Tensor:
        """The image embedding float32 [1, C, h, w]."""
        return encode_pixels(self.model.vision_encoder, self.pixels(load_image(image)))

    def pixels(self, image: np.ndarray) -> torch.Tensor:
        """What the encoder sees of uint8 [H, W, 3]: [1, 3, side, side], the longer side resized to SAM's, normalised,
        padded right and below."""
        height, width = self.inner(image.shape[:2])
        device = self.model.vision_encoder.patch_embed.projection.weight.device
        pixels = torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float()
        pixels = F.interpolate(pixels, size=(height, width), mode="bilinear", antialias=True)
        mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, STD))
        return F.pad((pixels - mean) / std, (0, self.side - width, 0, self.side - height))

    def generate(self, image: ImageLike, settings: Settings) -> ScoredMasks:
        """Masks of everything in the picture; none when nothing passes the filters."""
        image = load_image(image)
        return self.masks_at(self.encode(image), point_grid(settings.points_per_side), image.shape[:2], settings)

    @torch.inference_mode()
    def masks_at(self, embedding: torch.Tensor, points: np.ndarray, size: tuple[int, int],
                 settings: Settings) -> ScoredMasks:
        """Three masks for each point (x, y) of float [P, 2] in [0, 1], filtered and without near-duplicates.

        `embedding` from `encode`, `size` the picture's (H, W).
        """
        height, width = self.inner(size)
        points = torch.from_numpy(points.astype(np.float32)) * torch.tensor([width, height])
        decode = PointDecoder(self.model, embedding)
        judged = _judged if embedding.device.type == "cpu" else _judged_at_once
        judge = self._enlarger(embedding, tuple(round(extent * min(1, _JUDGED_SIDE / max(size))) for extent in size))
        found: list[tuple[torch.Tensor, ...]] = []
        for part in points.to(embedding.device).split(decode.at_once(settings.points_per_batch)):
            logits, rated = decode(part, settings.iou_threshold)
            good, stability, boxes = judged(logits, judge, settings)
            found.append((logits[good], rated[good], stability, boxes))
        logits, rated, stability, boxes = (torch.cat(parts) for parts in zip(*found, strict=True))
        order = box_nms(boxes, rated, settings.nms_threshold)
        masks = self._paint(logits[order], self._enlarger(embedding, size))
        kept = distinct(masks, settings.duplicate_threshold)
        masks, order = masks[kept], order.cpu()[kept]
        for mask in masks if settings.min_region else ():
            mask[:] = tidy(mask, settings.min_region)
        return ScoredMasks(masks, rated.cpu()[order].numpy(), stability.cpu()[order].numpy())

    def _enlarger(self, embedding: torch.Tensor, size: tuple[int, int]) -> Enlarger:
        return Enlarger(4 * embedding.shape[-1], self.side, self.inner(size), size, embedding.device)

    def inner(self, size: tuple[int, int]) -> tuple[int, int]:
        """The picture's (height, width) inside SAM's square."""
        scale = self.side / max(size)
        return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))

    def _paint(self, logits: torch.Tensor, enlarge: Enlarger) -> np.ndarray:
        """Low-resolution logits [N, h, w] -> masks bool [N, H, W]."""
        if logits.device.type != "cpu":
            return torch.cat([(values > 0).cpu() for values in enlarge.whole(logits)]).numpy()
        masks = np.zeros((len(logits), *enlarge.size), bool)
        for mask, each, box in zip(masks, logits, mask_boxes(logits > 0).int().tolist(), strict=True):
            top, left, values = enlarge.window(each, box)
            height, width = values.shape
            mask[top : top + height, left : left + width] = (values > 0).numpy()
        return masks


def _judged(logits: torch.Tensor, enlarge: Enlarger,
            settings: Settings) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Indices int64 [M] of those low-resolution logits [N, h, w] that are stable masks at the size of `enlarge`, their
    stability float32 [M] and boxes float32 [M, 4]."""
    offset, good, stability, boxes = settings.stability_offset, [], [], []
    for i, box in enumerate(mask_boxes(logits > -offset).int().tolist()):
        top, left, values = enlarge.window(logits[i], box)
        values = values.numpy()  # many small steps: there they cost the least
        stable = np.count_nonzero(values > offset) / max(np.count_nonzero(values > -offset), 1)
        if stable < settings.stability_threshold:
            continue
        inside = values > 0
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if rows.size:
            good.append(i)
            stability.append(stable)
            boxes.append((left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1))
    return (torch.tensor(good, dtype=torch.long), torch.tensor(stability, dtype=torch.float32),
            torch.tensor(np.array(boxes, np.float32).reshape(-1, 4)))


def _judged_at_once(logits: torch.Tensor, enlarge: Enlarger,
                    settings: Settings) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The same where every step must be started on a device and waited for: whole masks, many at a time."""
    parts = [(stability_scores(values, settings.stability_offset), mask_boxes(values > 0))
             for values in enlarge.whole(logits)]
    stability, boxes = (torch.cat(each) for each in zip(*parts, strict=True))
    good = (stability >= settings.stability_threshold) & (boxes[:, 2] > boxes[:, 0])
    return good.nonzero()[:, 0], stability[good], boxes[good]


def point_grid(per_side: int) -> np.ndarray:
    """Centres (x, y) of per_side x per_side cells of the unit square: float64 [per_side ** 2, 2]."""
    centres = (np.arange(per_side) + 0.5) / per_side
    return np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)


def peak_points(correlation: np.ndarray, count: int) -> np.ndarray:
    """The `count` greatest local maxima (x, y) of c [H, W], as fractions of its sides: float64 [P, 2]."""
    height, width = correlation.shape
    window = max(3, max(height, width) // _PEAKS_APART)
    ys, xs = np.nonzero(ndimage.maximum_filter(correlation, window, mode="nearest") == correlation)
    order = np.argsort(-correlation[ys, xs], kind="stable")[:count]
    return np.stack([(xs[order] + 0.5) / width, (ys[order] + 0.5) / height], axis=-1)


def stability_scores(logits: torch.Tensor, offset: float) -> torch.Tensor:
    """IoU of each mask [N, h, w] cut at +offset with itself cut at -offset; float32 [N]."""
    high = (logits > offset).flatten(1).sum(1).float()
    low = (logits > -offset).flatten(1).sum(1).float()
    return high / low.clamp(min=1)


def mask_boxes(masks: torch.Tensor) -> torch.Tensor:
    """Boxes (left, top, right, bottom) of masks bool [N, h, w], ends exclusive; float32 [N, 4], zeros where empty."""
    rows, columns = masks.any(2), masks.any(1)
    def ends(line: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        extent = line.shape[1]
        position = torch.arange(extent, device=line.device)
        first = torch.where(line, position, extent).amin(1) if len(line) else line.sum(1)
        last = torch.where(line, position, -1).amax(1) + 1 if len(line) else line.sum(1)
        return torch.minimum(first, last), last
    (top, bottom), (left, right) = ends(rows), ends(columns)
    return torch.stack([left, top, right, bottom], dim=1).float()


def box_nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Indices, best score first, of boxes float [N, 4] that overlap no better one by an IoU above `threshold`."""
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    ends = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (ends - torch.maximum(boxes[:, None, :2], boxes[None, :, :2])).clamp(min=0).prod(-1)
    overlap = shared / (area[:, None] + area[None] - shared).clamp(min=1e-9)
    return order[_keep(overlap, threshold)]


def distinct(masks: np.ndarray, threshold: float) -> np.ndarray:
    """Indices of those masks bool [N, H, W], best first, that are not empty and that no earlier one resembles by an IoU
    above `threshold`."""
    area = areas(masks)
    filled = np.flatnonzero(area)
    if threshold >= 1:
        return filled
    overlap = np.zeros((len(masks), len(masks)))
    # No IoU is greater than the ratio of the areas: few pairs have to be looked at.
    like = np.minimum.outer(area, area) > threshold * np.maximum.outer(area, area)
    for i, j in np.argwhere(np.triu(like, 1)):
        shared = np.count_nonzero(masks[i] & masks[j])
        overlap[i, j] = overlap[j, i] = shared / (area[i] + area[j] - shared)
    return filled[_keep(torch.from_numpy(overlap[np.ix_(filled, filled)]), threshold).numpy()]


def _keep(overlap: torch.Tensor, threshold: float) -> torch.Tensor:
    """Greedy suppression in the given order over a symmetric overlap [N, N]."""
    clashes = (overlap > threshold).cpu().numpy()
    removed = np.zeros(len(clashes), bool)
    kept = []
    for i, row in enumerate(clashes):
        if not removed[i]:
            kept.append(i)
            removed |= row
    return torch.tensor(kept, dtype=torch.long, device=overlap.device)
