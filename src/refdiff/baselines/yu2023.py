"""Region token, cropping and global-local CLIP (Yu et al., CVPR 2023), as in their release
(Seonghoon-Yu/Zero-shot-RIS)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..core.masks import boxes
from ..language import Expression
from ..models.similarity.clip import ClipSimilarity, heads, rest_of_block

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
_SHORTER_SIDE = 800  # px the image is brought to before CLIP's own size
_OUTSIDE = -100.0  # added to attention instead of minus infinity
_AT_ONCE = 32
SHARE_ON = {"RefCOCOg": 0.85}
"""v, the weight of the global part, where it is not the default of the setting `global_share`."""
SENTENCE_SHARE = 0.5


def first_masked_block(blocks: int) -> int:
    """Where token masking begins: block 9 of ViT-B's 12, and as deep in others."""
    return round(blocks * 9 / 12)


def image_pixels(image: np.ndarray) -> torch.Tensor:
    """The image (uint8 [H, W, 3]) with its shorter side at 800 px and ImageNet's mean and deviation; float32
    [1, 3, h, w]."""
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    scale = _SHORTER_SIDE / min(image.shape[:2])
    size = [round(extent * scale) for extent in image.shape[:2]]
    pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    return (pixels - _column(MEAN)) / _column(STD)


def whole_pixels(model: ClipSimilarity, image: np.ndarray) -> torch.Tensor:
    """The image as CLIP sees it whole: float32 [1, 3, side, side]."""
    return F.interpolate(image_pixels(image), size=(model.side, model.side), mode="bilinear")


@torch.inference_mode()
def region_token_features(model: ClipSimilarity, pixels: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Region tokens: float32 [N, D], not normalised.

    `pixels` float32 [1, 3, h, w], normalised, at CLIP's own size; `masks` bool [N, H, W]. One token per proposal,
    begun as [CLS], attends in every block to itself and to the patches inside its mask; the patches and the true
    [CLS] go on as usual.
    """
    hidden, rows, columns = model.embedded(pixels.to(model.model.device, model.model.dtype))
    inside = _on_grid(masks, rows, columns, "nearest").to(hidden) > 0
    tokens = hidden[:, :1].expand(-1, len(masks), -1)
    bias = torch.where(inside, 0.0, _OUTSIDE).to(hidden)
    for layer in model.blocks:
        tokens = _region_block(layer, tokens, hidden, bias)
        hidden = layer(hidden, attention_mask=None)
    return model.project(tokens[0])


@torch.inference_mode()
def token_masked_features(model: ClipSimilarity, pixels: torch.Tensor, masks: torch.Tensor,
                          first_block: int) -> torch.Tensor:
    """Token masking: float32 [N, D], not normalised.

    `pixels` and `masks` as for `region_token_features`. From block `first_block` on, each proposal's patches are
    multiplied by its mask, resized bilinearly to the patch grid, before every block; [CLS] is kept.
    """
    hidden, rows, columns = model.embedded(pixels.to(model.model.device, model.model.dtype))
    weights = _on_grid(masks, rows, columns, "bilinear").to(hidden)[..., None]
    for layer in model.blocks[:first_block]:
        hidden = layer(hidden, attention_mask=None)
    features = []
    for part in weights.split(_AT_ONCE):
        own = hidden.expand(len(part), -1, -1)
        for layer in model.blocks[first_block:]:
            own = layer(torch.cat([own[:, :1], own[:, 1:] * part], dim=1), attention_mask=None)
        features.append(model.project(own[:, 0]))
    return torch.cat(features)


@torch.inference_mode()
def cut_features(model: ClipSimilarity, image: np.ndarray, masks: torch.Tensor, hide: bool) -> torch.Tensor:
    """Plain CLIP on each proposal's box, resized to CLIP's own size; float32 [N, D], not normalised.

    With `hide` what lies outside the mask is filled with ImageNet's mean, taken as normalised values, as released
    (the local part of global-local); without it the box is shown as it is (cropping).
    """
    pixels = image_pixels(image)
    height, width = pixels.shape[-2:]
    features = []
    for start in range(0, len(masks), _AT_ONCE):
        cuts = []
        for mask in masks[start : start + _AT_ONCE]:
            large = F.interpolate(mask[None, None].float(), size=(height, width))[0, 0] > 0
            left, top, right, bottom = boxes(large.numpy()[None])[0].tolist()
            if right == left:
                left, top, right, bottom = 0, 0, width, height
            shown = torch.where(large, pixels[0], _column(MEAN)) if hide else pixels[0]
            cuts.append(F.interpolate(shown[None, :, top:bottom, left:right], size=(model.side, model.side),
                                      mode="bilinear")[0])
        hidden, _, _ = model.embedded(torch.stack(cuts).to(model.model.device, model.model.dtype))
        for layer in model.blocks:
            hidden = layer(hidden, attention_mask=None)
        features.append(model.project(hidden[:, 0]))
    return torch.cat(features)


def global_local_features(model: ClipSimilarity, image: np.ndarray, masks: torch.Tensor, share: float) -> torch.Tensor:
    """v * global + (1 - v) * local, v being `share`: float32 [N, D], not normalised."""
    whole = token_masked_features(model, whole_pixels(model, image), masks, first_masked_block(len(model.blocks)))
    return share * whole + (1 - share) * cut_features(model, image, masks, hide=True)


def mixed_text(sentence: torch.Tensor, phrase: torch.Tensor) -> torch.Tensor:
    """The mean of sentence and noun phrase, float32 [B, D], not normalised."""
    return SENTENCE_SHARE * sentence + (1 - SENTENCE_SHARE) * phrase


@torch.inference_mode()
def sentence_features(model: ClipSimilarity, expressions: list[Expression]) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of the lower-cased sentences and of the noun chunks that hold their heads; each float32 [B, D], not
    normalised."""
    both = model.raw_text_features([e.text.lower() for e in expressions] + [e.noun_phrase.lower() for e in expressions])
    return both[: len(expressions)], both[len(expressions) :]


def _column(values: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None]


def _on_grid(masks: torch.Tensor, rows: int, columns: int, mode: str) -> torch.Tensor:
    """bool [N, H, W] -> float32 [N, rows * columns]."""
    return F.interpolate(masks[:, None].float(), size=(rows, columns), mode=mode).flatten(1)


def _region_block(layer: Any, tokens: torch.Tensor, hidden: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """One block for the region tokens [1, N, W] beside the stream [1, 1 + P, W]; `bias` [N, P] is added to their
    attention to patches."""
    attention = layer.self_attn
    normed, patches = layer.layer_norm1(tokens), layer.layer_norm1(hidden[:, 1:])
    query, own_key, own_value = heads(attention, normed)
    key, value = heads(attention, patches, "kv")
    to_patches = query @ key.transpose(-1, -2) * attention.scale + bias
    to_self = (query * own_key).sum(-1, keepdim=True) * attention.scale
    weights = torch.cat([to_patches, to_self], dim=-1).softmax(-1)
    return rest_of_block(layer, tokens, weights[..., :-1] @ value + weights[..., -1:] * own_value)
