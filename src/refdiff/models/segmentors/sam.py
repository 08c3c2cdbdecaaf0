"""SAM by transformers' `SamModel`: masks of everything from a grid of points, or of what a person points at."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ...core.images import ImageLike, load_image
from ...core.masks import tidy
from ...core.protocols import ScoredMasks
from ...errors import InputError
from ...settings import BatchingSettings, SegmentorSettings, Settings
from .grid import box_nms, distinct, mask_boxes, point_grid, stability_scores
from .guided import guided

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


class PointDecoder(Protocol):
    """Draws masks at points of one image embedding."""

    def __call__(self, points: torch.Tensor, threshold: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits float32 [M, h, w] and predicted IoU float32 [M] of those masks, of three per point, whose predicted
        IoU is above `threshold`; `points` float32 [P, 2] (x, y) in SAM's px, on its device."""
        ...

    def at_once(self, most: int) -> int:
        """How many points to decode per call, at most `most`."""
        ...


class Canvas(Protocol):
    """Where SAM's low-resolution logits become masks of an image of one size."""

    def judged(self, logits: torch.Tensor,
               settings: SegmentorSettings) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Indices int64 [M] of those logits [N, h, w] that are stable masks at this size and not empty, their stability
        float32 [M] and boxes float32 [M, 4]."""
        ...

    def painted(self, logits: torch.Tensor) -> np.ndarray:
        """Masks bool [N, H, W]."""
        ...


class LibraryDecoder:
    """Points through the library's own prompt encoder and mask decoder."""

    def __init__(self, model: Any, embedding: torch.Tensor):
        self.model, self.embedding = model, embedding

    def __call__(self, points: torch.Tensor, threshold: float) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.ones(1, len(points), 1, dtype=torch.int, device=points.device)
        output = self.model(image_embeddings=self.embedding, input_points=points[None, :, None], input_labels=labels,
                            multimask_output=True)
        rated = output.iou_scores[0].float()
        good = rated > threshold
        return output.pred_masks[0][good].float(), rated[good]

    def at_once(self, most: int) -> int:
        return most


class WholeCanvas:
    """Every mask is resized whole, as SAM's own post-processing does: to its square of `side` px, cut to the image's
    `inner` (height, width) there, and to the image's `size` (H, W), both bilinearly."""

    _AT_ONCE = 2**26  # px

    def __init__(self, side: int, inner: tuple[int, int], size: tuple[int, int], embedding: torch.Tensor):
        self.side, self.inner, self.size = side, inner, size

    def _resized(self, logits: torch.Tensor) -> torch.Tensor:
        height, width = self.inner
        square = F.interpolate(logits[:, None], size=(self.side, self.side), mode="bilinear")
        return F.interpolate(square[..., :height, :width], size=self.size, mode="bilinear")[:, 0]

    def _parts(self, logits: torch.Tensor) -> list[torch.Tensor]:
        return list(logits.split(max(1, self._AT_ONCE // max(self.side**2, self.size[0] * self.size[1]))))

    def judged(self, logits: torch.Tensor,
               settings: SegmentorSettings) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        stability, boxes = logits.new_empty(0), logits.new_empty(0, 4)
        for part in self._parts(logits):
            values = self._resized(part)
            stability = torch.cat([stability, stability_scores(values, settings.stability_offset)])
            boxes = torch.cat([boxes, mask_boxes(values > 0)])
        good = (stability >= settings.stability_threshold) & (boxes[:, 2] > boxes[:, 0])
        return good.nonzero()[:, 0], stability[good], boxes[good]

    def painted(self, logits: torch.Tensor) -> np.ndarray:
        if not len(logits):
            return np.zeros((0, *self.size), bool)
        return np.concatenate([(self._resized(part) > 0).cpu().numpy() for part in self._parts(logits)])


def run_encoder(encoder: Any, pixels: torch.Tensor) -> torch.Tensor:
    """The library's image encoder: pixels [1, 3, side, side] -> embedding float32 [1, C, h, w]."""
    embedding: torch.Tensor = encoder(pixels).last_hidden_state
    return embedding.float()


class SamSegmentor:
    """SAM and its automatic mask generator. Threads may share it: calls wait their turn at `lock`."""

    def __init__(self, model: Any):
        self.model = model
        self.side: int = model.config.vision_config.image_size
        self.run_encoder: Callable[[Any, torch.Tensor], torch.Tensor] = run_encoder
        self.decoder: Callable[[Any, torch.Tensor], PointDecoder] = LibraryDecoder
        self.canvas: Callable[[int, tuple[int, int], tuple[int, int], torch.Tensor], Canvas] = WholeCanvas
        self.lock = threading.RLock()

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | torch.device = "cpu") -> SamSegmentor:
        """Load a SamModel folder, in float32. Raises BundleError."""
        from ...weights.load import load_sam

        return cls(load_sam(Path(folder), device))

    @torch.inference_mode()
    def encode(self, image: ImageLike, settings: SegmentorSettings | None = None) -> torch.Tensor:
        """The image embedding float32 [1, C, h, w]."""
        with self.lock:
            pixels = self.pixels(load_image(image), (settings or SegmentorSettings()).resize)
            return self.run_encoder(self.model.vision_encoder, pixels)

    def pixels(self, image: np.ndarray, resize: str) -> torch.Tensor:
        """What the encoder sees of uint8 [H, W, 3]: float32 [1, 3, side, side], the longer side resized to SAM's,
        normalised, padded right and below."""
        height, width = self.inner((image.shape[0], image.shape[1]))
        device = self.model.vision_encoder.patch_embed.projection.weight.device
        if resize == "8bit":
            image = np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
        pixels = torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float()
        if resize == "float":
            pixels = F.interpolate(pixels, size=(height, width), mode="bilinear", antialias=True)
        mean, std = (torch.tensor(values, device=device, dtype=torch.float32)[:, None, None] for values in (MEAN, STD))
        return F.pad((pixels - mean) / std, (0, self.side - width, 0, self.side - height))

    def inner(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) inside SAM's square of an image of `size` (H, W)."""
        scale = self.side / max(size)
        return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))

    def generate(self, image: ImageLike, settings: Settings | None = None) -> ScoredMasks:
        """Masks of everything in the image; none when nothing passes the filters."""
        settings, image = settings or Settings(), load_image(image)
        points = point_grid(settings.segmentor.points_per_side)
        found = self.masks_at(self.encode(image, settings.segmentor), points, (image.shape[0], image.shape[1]),
                              settings.segmentor, settings.batching)
        return guided(found, image, settings.segmentor)

    @torch.inference_mode()
    def masks_at(self, embedding: torch.Tensor, points: np.ndarray, size: tuple[int, int], settings: SegmentorSettings,
                 batching: BatchingSettings) -> ScoredMasks:
        """Three masks for each point (x, y) of float [P, 2] in [0, 1], filtered and without near-duplicates.

        `embedding` from `encode`, `size` the image's (H, W).
        """
        with self.lock:
            found = self._good_masks(embedding, points, size, settings, batching)
            logits, rated, stability, boxes = (torch.cat(parts) for parts in zip(*found, strict=True))
            order = box_nms(boxes, rated, settings.nms_threshold)
            masks = self.canvas(self.side, self.inner(size), size, embedding).painted(logits[order])
        kept = distinct(masks, settings.duplicate_threshold)
        masks, order = masks[kept], order.cpu()[kept]
        if settings.min_region:
            for mask in masks:
                mask[:] = tidy(mask, settings.min_region)
        return ScoredMasks(masks, rated.cpu()[order].numpy(), stability.cpu()[order].numpy())

    def _good_masks(self, embedding: torch.Tensor, points: np.ndarray, size: tuple[int, int],
                    settings: SegmentorSettings, batching: BatchingSettings) -> list[tuple[torch.Tensor, ...]]:
        """(logits, predicted IoU, stability, boxes) of the masks that pass both filters, by batches of points."""
        height, width = self.inner(size)
        scaled = torch.from_numpy(points.astype(np.float32)) * torch.tensor([width, height])
        decode = self.decoder(self.model, embedding)
        scale = min(1, settings.judged_side / max(size))
        judged_size = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
        judge = self.canvas(self.side, (height, width), judged_size, embedding)
        found: list[tuple[torch.Tensor, ...]] = []
        for part in scaled.to(embedding.device).split(decode.at_once(batching.points_per_batch)):
            logits, rated = decode(part, settings.iou_threshold)
            good, stability, boxes = judge.judged(logits, settings)
            found.append((logits[good], rated[good], stability, boxes))
        return found

    @torch.inference_mode()
    def prompt(self, image: ImageLike, points: np.ndarray | None = None, labels: np.ndarray | None = None,
               boxes: np.ndarray | None = None) -> ScoredMasks:
        """Three masks of what is pointed at, best first.

        `points` [P, 2] (x, y) and `boxes` [1, 4] (left, top, right, bottom) in px of the image; `labels` [P], 1 inside
        the thing and 0 outside it. Raises InputError when nothing is given or the shapes do not fit.
        """
        image = load_image(image)
        return self.prompt_at(self.encode(image), (image.shape[0], image.shape[1]), points, labels, boxes)

    @torch.inference_mode()
    def prompt_at(self, embedding: torch.Tensor, size: tuple[int, int], points: np.ndarray | None = None,
                  labels: np.ndarray | None = None, boxes: np.ndarray | None = None,
                  single: bool = False) -> ScoredMasks:
        """`prompt` for an embedding from `encode` of an image of `size` (H, W); `single` gives one mask instead of
        three, for prompts that leave no doubt."""
        inputs: dict[str, torch.Tensor] = {}
        scale, device = self.side / max(size), embedding.device
        if points is not None:
            marks = np.asarray(points, np.float32)
            kinds = np.ones(len(marks)) if labels is None else np.asarray(labels)
            if marks.ndim != 2 or marks.shape[1] != 2 or kinds.shape != (len(marks),) or not np.isfinite(marks).all():
                raise InputError("points must be a list of (x, y) in px, with one label each, 1 inside and 0 outside.")
            if len(marks):
                inputs["input_points"] = torch.from_numpy(marks * scale)[None, None].to(device)
                inputs["input_labels"] = torch.from_numpy(kinds.astype(np.int32))[None, None].to(device)
        if boxes is not None:
            frame = np.asarray(boxes, np.float32)
            if frame.shape != (1, 4) or not np.isfinite(frame).all():
                raise InputError("boxes must be one box of (left, top, right, bottom) in px.")
            inputs["input_boxes"] = torch.from_numpy(frame * scale)[None].to(device)
        if not inputs:
            raise InputError("A prompt needs points or a box.")
        with self.lock:
            output = self.model(image_embeddings=embedding, multimask_output=not single, **inputs)
            rated = output.iou_scores[0, 0].float()
            order = rated.argsort(descending=True, stable=True)
            logits = output.pred_masks[0, 0][order].float()
            masks = self.canvas(self.side, self.inner(size), size, embedding).painted(logits)
        return ScoredMasks(masks, rated[order].cpu().numpy(), stability_scores(logits, 1.0).cpu().numpy())
