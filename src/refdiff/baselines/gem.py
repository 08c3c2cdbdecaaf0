"""GEM: what a text means in an image, by CLIP's patches after self-self attention (Bousselham et al., "Grounding
Everything", CVPR 2024), with the settings of its release (WalBouss/GEM)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from ..models.similarity.clip import MEAN, STD, ClipSimilarity, heads

_ITERATIONS = 1


@torch.inference_mode()
def patch_features(model: ClipSimilarity, image: np.ndarray) -> torch.Tensor:
    """Features of an image's patches (uint8 [H, W, 3]) that texts can be compared with: float32 [h, w, D], unit length.

    The image is seen at twice CLIP's own side. Beside the ordinary stream a second one runs through the last half of
    the blocks: what queries, keys and values give, each attending to itself, is added to it, and no MLP is.
    """
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    pixels = F.interpolate(pixels, size=(2 * model.side, 2 * model.side), mode="bicubic", antialias=True).clamp(0, 1)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    with model.lock:
        hidden, rows, columns = model.embedded(((pixels - mean) / std).to(model.model.device, model.model.dtype))
        begins = len(model.blocks) // 2
        for block in model.blocks[:begins]:
            hidden = block(hidden, attention_mask=None)
        stream = hidden
        for block in model.blocks[begins:]:
            attention, normed = block.self_attn, block.layer_norm1(hidden)
            sharpness = normed.norm(dim=-1).mean() * attention.scale
            query, key, value = heads(attention, normed)
            mixed = torch.stack([self_self_attention(each, value, sharpness) for each in (query, key, value)]).mean(0)
            stream = stream + attention.out_proj(mixed.transpose(1, 2).flatten(2))
            hidden = block(hidden, attention_mask=None)
        return F.normalize(model.project(stream[0, 1:]), dim=-1).unflatten(0, (rows, columns))


def self_self_attention(tokens: torch.Tensor, value: torch.Tensor, sharpness: torch.Tensor) -> torch.Tensor:
    """Values [B, H, n, d] mixed by the likeness of tokens [B, H, n, d], which gather into groups first.

    `sharpness` is what cosines are multiplied by before the softmax.
    """
    for _ in range(_ITERATIONS):
        unit = F.normalize(tokens, dim=-1)
        tokens = _likeness(unit, sharpness) @ unit
    return _likeness(F.normalize(tokens, dim=-1), sharpness) @ value


def _likeness(unit: torch.Tensor, sharpness: torch.Tensor) -> torch.Tensor:
    return (unit @ unit.transpose(-1, -2) * sharpness).softmax(-1)


def heat_map(patches: torch.Tensor, text: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Cosines of patches [h, w, D] of unit length with a text [D], resized to `size` (H, W) and scaled to [0, 1]:
    float32 [H, W] on the CPU."""
    cosines = (patches @ F.normalize(text, dim=-1)).float().cpu()
    heat = F.interpolate(cosines[None, None], size=size, mode="bilinear")[0, 0]
    return (heat - heat.min()) / (heat.max() - heat.min()).clamp(min=1e-12)
