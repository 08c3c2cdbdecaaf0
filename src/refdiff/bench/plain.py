"""The plain way: the release's schedule, once for every expression, nothing shared; what refdiff is measured against.

Two whole U-Net steps on a batch of two, every SAM mask resized to the picture before it is judged, one CLIP call a crop
(../shared/OFFICIAL.md). Pictures, settings and scores are refdiff's own, so that answers can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from .. import matching
from ..discriminative import clue_scores
from ..expressions import Expression, parse
from ..generative import GenerativeModel, correlation_map, edge_smoother, read_attention
from ..masks import tidy
from ..pipeline import RefDiff
from ..proposals import Proposals
from ..segmentor import Segmentor, box_nms, distinct, mask_boxes, point_grid, stability_scores
from ..settings import Settings


@dataclass(frozen=True)
class PlainAnswer:
    """`mask` bool [H, W] that wins; `correlation` c of Eq. 5, float32 [H, W]."""

    mask: np.ndarray
    correlation: np.ndarray


@torch.inference_mode()
def plain_answer(model: RefDiff, image: np.ndarray, text: str, settings: Settings) -> PlainAnswer:
    """One expression from the beginning to the winner."""
    expression = parse(text, settings.root_rule, settings.clue_rule)
    correlation = plain_correlation(model.generative, image, expression, settings)
    masks = Proposals.of(plain_masks(model.segmentor, image, settings), "segmentor").masks
    clip = model.discriminative
    soft, hard = clip.text_features([expression], settings)
    masked = clip.masked_features(image, masks, settings, expression)
    crops = torch.cat([clip.crop_features(image, mask[None], settings, expression) for mask in masks])
    discriminative = settings.beta * (masked @ soft[0]) + (1 - settings.beta) * (crops @ hard[0])
    discriminative = discriminative.cpu() + clue_scores(expression, masks, settings)
    generative = matching.GENERATIVE_RULES[settings.generative_rule](correlation, masks)
    scores = matching.fuse(generative, discriminative, settings.alpha)
    allowed = matching.eligible(torch.from_numpy(masks.sum((1, 2))), settings.largest, settings.min_area)
    best = int(torch.where(allowed, scores, -torch.inf).argmax())
    return PlainAnswer(masks[best], correlation.numpy())


def plain_correlation(model: GenerativeModel, image: np.ndarray, expression: Expression,
                      settings: Settings) -> torch.Tensor:
    """c of Eq. 5, float32 [H, W], by whole U-Net steps on the empty text and the expression side by side."""
    latents = model.encode_image(image, settings)
    levels, guided = model.scheduler.alphas_cumprod.to(latents), settings.guidance != 1.0
    states = model.encode_texts([""] * guided + [expression.text + settings.prompt_suffix])
    level = levels[settings.noise_timestep]
    current = level.sqrt() * latents + (1 - level).sqrt() * model.noise(latents, settings)
    guide = lambda x: x[:1] + settings.guidance * (x[1:] - x[:1]) if guided else x  # noqa: E731
    layers, maps = model.layers(settings), []
    for step, timestep in enumerate(settings.timesteps):
        batch = current.expand(len(states), -1, -1, -1).to(model.unet.dtype)
        read, output = read_attention(model.unet, batch, timestep, states, layers, settings.attention == "softmax",
                                      whole=True)
        maps += map(guide, read)
        if step + 1 < len(settings.timesteps):
            current = model.step(current, guide(output.float()), timestep, settings.timesteps[step + 1], levels)
    indices = model.token_indices(expression, settings)
    return correlation_map(torch.stack(maps)[:, 0][..., indices].mean(-1), image.shape[:2], settings,
                           edge_smoother(image, settings))


def plain_masks(segmentor: Segmentor, image: np.ndarray, settings: Settings) -> np.ndarray:
    """SAM's automatic masks bool [N, H, W], judged at the picture's own size."""
    encoder, size = segmentor.model.vision_encoder, image.shape[:2]
    hidden = encoder.patch_embed(segmentor.pixels(image))
    hidden = hidden if encoder.pos_embed is None else hidden + encoder.pos_embed
    for layer in encoder.layers:
        hidden = layer(hidden)
    embedding = encoder.neck(hidden.float())
    height, width = segmentor.inner(size)
    points = torch.from_numpy(point_grid(settings.points_per_side).astype(np.float32)) * torch.tensor([width, height])
    kept = []
    for part in points.to(embedding.device).split(settings.points_per_batch):
        output = segmentor.model(
            image_embeddings=embedding, input_points=part[None, :, None], multimask_output=True,
            input_labels=torch.ones(1, len(part), 1, dtype=torch.int, device=part.device))
        logits = F.interpolate(output.pred_masks[0].float(), size=(segmentor.side, segmentor.side), mode="bilinear")
        logits = F.interpolate(logits[..., :height, :width], size=size, mode="bilinear").flatten(0, 1)
        rated = output.iou_scores.flatten().float()
        stability = stability_scores(logits, settings.stability_offset)
        good = (rated > settings.iou_threshold) & (stability >= settings.stability_threshold)
        masks = logits[good] > 0
        kept.append((masks, rated[good], mask_boxes(masks)))
    masks, rated, boxes = (torch.cat(parts) for parts in zip(*kept, strict=True))
    masks = masks[box_nms(boxes, rated, settings.nms_threshold)]
    masks = masks[masks.any(2).any(1)].cpu().numpy()
    masks = masks[distinct(masks, settings.duplicate_threshold)]
    return np.array([tidy(mask, settings.min_region) for mask in masks]) if settings.min_region else masks
