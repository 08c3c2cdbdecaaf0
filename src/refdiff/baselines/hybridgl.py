"""HybridGL: "Hybrid Global-Local Representation with Augmented Spatial Guidance for Zero-Shot Referring Image
Segmentation" (CVPR 2025), its settings and words as in its release (fhgyuanshen/HybridGL).

It uses the bundle's own CLIP, which is ViT-B/16 for `sd15` as in the paper; that of the other baselines is ViT-B/32.
Two things differ from the release on purpose: "right" is understood as "left" is (there a comparison never holds), and
the word of relation that counts is the one nearest the ROOT in the syntax tree (there the one whose parent stands
first).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from ..language import parse
from ..language.syntax import depths, noun_chunks
from ..models.similarity.clip import MEAN, ClipSimilarity
from ..scene import EncodedImage
from . import gem, yu2023
from .method import Choice

LIKELY, OTHERS = 3, 6
"""How many proposals can win, and how many their relations are judged by."""
_BLUR, _REACH = 2.6, 7  # px, the deviation of a Gaussian window of 15 px in OpenCV
_FROM_WHOLE = 2.0  # weight of the whole view in the local stream
_COHERENCE = 0.6  # weight against the relations
_OUTSIDE = {"big": 1.95, "small": 1.5}  # b, the weight of the heat outside
_OUTSIDE_ELSE = 1.8


def _table(**words: str) -> dict[str, str]:
    return {word: meaning for meaning, text in words.items() for word in text.split()}


_RELATIONS = _table(left="left west", right="right east", above="above north top back behind",
                    below="below south under front", big="bigger larger closer",
                    small="smaller tinier further smallest", within="inside within contained")
_SIDES = _table(left="left", right="right", middle="middle between", none="up top above down under bottom low")
_NO_NOUNS = {*_RELATIONS, "who", "what", "which", "middle"}
_PICTURE = frozenset("part image side picture half region section photo".split())


@dataclass(frozen=True)
class Said:
    """What an expression says: the `phrase` that holds its head, the other noun chunks, a relation and a side."""

    phrase: str
    others: tuple[str, ...]
    relation: str | None
    side: str | None


def read(text: str) -> Said:
    """Of a lower-case text the phrase, other nouns, and the relation and side nearest the head, or None."""
    phrase, words = parse(text).noun_phrase, depths(text)
    others = [(chunk, head) for chunk, head in noun_chunks(text) if chunk != phrase and head not in _NO_NOUNS]
    relation = None if _PICTURE & {head for _, head in others} else _nearest(words, _RELATIONS)
    return Said(phrase, tuple(chunk for chunk, _ in others), relation, _nearest(words, _SIDES))


def _nearest(words: list[tuple[str, int]], meanings: dict[str, str]) -> str | None:
    found = [(depth, place, meanings[word]) for place, (word, depth) in enumerate(words) if word in meanings]
    return min(found)[2] if found else None


def answer(scene: EncodedImage, expressions: Sequence[str]) -> list[Choice]:
    """One of the scene's proposals for each expression; `parts` has CLIP's share of it, R and G."""
    proposals = scene.proposals()
    with scene.watch("text"):
        parsed = [parse(text.lower()) for text in expressions]
        said = [read(each.text) for each in parsed]
    clip = scene.model.similarity

    def features() -> torch.Tensor:
        with scene.watch("hybridgl"):
            at_once = max(1, scene.settings.batching.crops_per_batch // 2)
            return hybrid_features(clip, scene.image, proposals.tensor, at_once)

    def patches() -> torch.Tensor:
        with scene.watch("gem"):
            return gem.patch_features(clip, scene.image)

    regions = F.normalize(scene.regions(proposals).kept.get("hybridgl", features), dim=-1)
    patch_features = scene.kept.get("gem", patches)
    with scene.watch("text"):
        texts = yu2023.mixed_text(*yu2023.sentence_features(clip, parsed))
        heads = clip.raw_text_features([f"a photo of a {each.phrase}." for each in said])
    choices = []
    for own, text, head in zip(said, texts, heads, strict=True):
        similar = _shares(clip, regions, text)
        others = None
        if own.others:
            mean = clip.raw_text_features([f"a photo of {each}" for each in own.others]).mean(0)
            others = _shares(clip, regions, mean)
        likely, relations = related(own.relation, proposals.boxes, similar, others)
        heat = gem.heat_map(patch_features, head, scene.size) * ramp(own.side, scene.size[1])
        outside = _OUTSIDE.get(own.relation or "", _OUTSIDE_ELSE)
        coherent = coherence(heat / heat.mean().clamp(min=1e-12), proposals.tensor[likely], outside)
        total = (1 - _COHERENCE) * relations + _COHERENCE * coherent
        best = int(total.argmax())
        index = int(likely[best])
        parts = {"similarity": float(similar[index]), "relation": float(relations[best]),
                 "coherence": float(coherent[best])}
        # The others, which cannot win, stand behind the few that were looked at, by similarity.
        ranked = likely[total.argsort(descending=True, stable=True)].tolist()
        order = dict.fromkeys([index, *ranked, *similar.argsort(descending=True, stable=True).tolist()])
        choices.append(Choice(proposals.masks[index], index, float(total[best]), parts, order=tuple(order)))
    return choices


def _shares(clip: ClipSimilarity, regions: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """The softmax over regions [N, D] of unit length of CLIP's logits with a text [D]: float32 [N] on the CPU."""
    return (clip.scale * (regions @ F.normalize(text, dim=-1))).float().softmax(0).cpu()


@torch.inference_mode()
def hybrid_features(model: ClipSimilarity, image: np.ndarray, masks: torch.Tensor, at_once: int) -> torch.Tensor:
    """Features of masks bool [N, H, W] in an image uint8 [H, W, 3]: float32 [N, D], not normalised.

    Each mask has two views at the image's own size, normalised as Yu et al. do: a local one, filled outside the mask
    with CLIP's mean, taken as normalised values, and a whole one, blurred there. Both run as usual up to Yu et al.'s
    first masked block, and then as `fused`.
    """
    mean, std, fill = (torch.tensor(values)[:, None, None] for values in (yu2023.MEAN, yu2023.STD, MEAN))
    blurred = ndimage.gaussian_filter(image.astype(np.float32), (_BLUR, _BLUR, 0), radius=(_REACH, _REACH, 0),
                                      mode="mirror")
    sharp, soft = ((torch.from_numpy(view).permute(2, 0, 1).float() / 255 - mean) / std for view in (image, blurred))
    begins = yu2023.first_masked_block(len(model.blocks))
    features = []
    with model.lock:
        for part in masks.split(at_once):
            inside = part[:, None]
            views = torch.cat([torch.where(inside, sharp, fill), torch.where(inside, sharp, soft)])
            pixels = F.interpolate(views, size=(model.side, model.side), mode="bilinear")
            hidden, rows, columns = model.embedded(pixels.to(model.model.device, model.model.dtype))
            for block in model.blocks[:begins]:
                hidden = block(hidden, attention_mask=None)
            weights = F.interpolate(inside.float(), size=(rows, columns), mode="bilinear").flatten(1).to(hidden)
            local, whole = hidden.chunk(2)
            features.append(model.project(fused(model.blocks[begins:], local, whole, weights)[:, 0]))
    return torch.cat(features)


def fused(blocks: Sequence[Any], local: torch.Tensor, whole: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The local stream [N, 1 + P, W] after the last blocks, each of which it enters with twice the whole stream added,
    whose patches are multiplied by `weights` [N, P]. In the whole stream [CLS] attends to itself and to patches of
    some weight alone."""
    bias = torch.zeros(len(local), 1, local.shape[1], local.shape[1]).to(local)
    bias[:, 0, 0, 1:] = torch.where(weights > 0, 0.0, float("-inf")).to(local)
    for block in blocks:
        seen = torch.cat([whole[:, :1], whole[:, 1:] * weights[..., None]], dim=1)
        local = block(local + _FROM_WHOLE * seen, attention_mask=None)
        whole = block(whole, attention_mask=bias)
    return local


def related(relation: str | None, boxes: np.ndarray, similar: torch.Tensor,
            others: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """The proposals of the greatest `similar` float32 [N], int64 [K], and R, the softmax of how they stand to those of
    the greatest `others` float32 [N], or to each other where there are none: float32 [K].

    `boxes` [N, 4] (left, top, right, bottom). Before the softmax R_i = sum_j s_i s_j [i stands so to j], and s_i for
    every j where there is no relation.
    """
    likely = similar.topk(min(LIKELY, len(similar))).indices
    against, scores = likely, similar
    if others is not None:
        against, scores = others.topk(min(OTHERS, len(others))).indices, others
    if relation is None:
        return likely, (similar[likely] * len(against)).softmax(0)
    own, other = (torch.from_numpy(boxes[which.numpy()]).float() for which in (likely, against))
    stands = _stands(relation, own[:, None], other[None])
    return likely, (similar[likely] * (stands * scores[against]).sum(1)).softmax(0)


def _stands(relation: str, own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """How far boxes [..., 4] stand so to others: 0 or 1; for 'within' the share of their area inside the others."""
    if relation == "within":
        ends = torch.minimum(own[..., 2:], other[..., 2:])
        shared = (ends - torch.maximum(own[..., :2], other[..., :2])).clamp(min=0).prod(-1)
        return shared / _area(own)
    compared = {"left": lambda box: -_centre(box)[..., 0], "right": lambda box: _centre(box)[..., 0],
                "above": lambda box: -_centre(box)[..., 1], "below": lambda box: _centre(box)[..., 1],
                "big": _area, "small": lambda box: -_area(box)}[relation]
    return (compared(own) > compared(other)).float()


def _centre(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def _area(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def ramp(side: str | None, width: int) -> torch.Tensor:
    """What a heat map is multiplied by, float32 [width]: falling from the side that was said, or from the middle."""
    if side == "left":
        return torch.linspace(1, 0, width)
    if side == "right":
        return torch.linspace(0, 1, width)
    if side == "middle":
        return torch.cat([torch.linspace(0, 1, width // 2), torch.linspace(1, 0, width - width // 2)])
    return torch.ones(width)


def coherence(heat: torch.Tensor, masks: torch.Tensor, outside: float) -> torch.Tensor:
    """G of masks bool [K, H, W]: (2 - b) times the mean of a heat map [H, W] inside minus b, `outside`, times that
    outside; float32 [K]."""
    area = masks.flatten(1).sum(1)
    inside = torch.stack([heat[mask].sum() for mask in masks])
    rest = (heat.numel() - area).clamp(min=1)
    return (2 - outside) * inside / area.clamp(min=1) - outside * (heat.sum() - inside) / rest
