"""TSEG-style: each patch of the image is assigned to an expression or not, as image-level supervision taught it
(Strudel, Laptev, Schmid, 2022; `models.tseg`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ..language import check_expression
from ..models.tseg import Tseg, TsegConfig, assignment, global_score
from ..scene import EncodedImage
from ..settings import GenerativeSettings
from ..weights.load import load_tokenizer
from .method import Choice

if TYPE_CHECKING:
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    from ..pipeline import RefDiff

def opened(model: RefDiff) -> tuple[Tseg, CLIPTokenizer]:
    """The network and its tokenizer on the model's device, loaded once. Raises BundleError where they are not here."""
    return model.brought("tseg", _load)


def _load(folder: Path, device: torch.device) -> tuple[Tseg, CLIPTokenizer]:
    network = Tseg.from_pretrained(folder, device)
    return network, load_tokenizer(folder, network.config.longest_text)


def answer(scene: EncodedImage, expressions: Sequence[str]) -> list[Choice]:
    """For each expression its mask, which is never empty, with its global score z. Raises InputError."""
    config = opened(scene.model)[0].config
    edges = scene.follow_edges(GenerativeSettings()) if config.edges else None
    return [Choice(cut(edges(own) if edges else own, config), 0, score) for own, score in assigned(scene, expressions)]


def assigned(scene: EncodedImage, expressions: Sequence[str]) -> list[tuple[np.ndarray, float]]:
    """For each expression its assignment M at the image's size, float32 [H, W] in [0, 1], and its global score z."""
    texts = [check_expression(text).lower() for text in expressions]
    if not texts:
        return []
    network, tokenizer = opened(scene.model)

    def encode() -> torch.Tensor:
        with scene.model.residency.lock, scene.watch("tseg"):
            return encoded(network, scene.image)

    with torch.inference_mode():
        patches = scene.kept.get("tseg", encode)
    with torch.inference_mode(), scene.model.residency.lock:
        read = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(scene.model.device)
        similar = network.similarities(patches, network.texts(read.input_ids, read.attention_mask.bool()))
        # Each expression is asked for by itself: against the background alone both kinds of assignment are the same.
        masks = assignment(similar[:, None], network.config.assignment)[:, 0]
        scores = global_score(similar, masks, network.config).tolist()
        large = F.interpolate(masks[:, None], size=scene.size, mode="bilinear")[:, 0].cpu().numpy()
    return list(zip(large, scores, strict=True))


def cut(values: np.ndarray, config: TsegConfig) -> np.ndarray:
    """Where values in [0, 1], [H, W], reach the threshold; a relative one, and one that nothing reaches, is a share of
    the greatest of them."""
    greatest = float(values.max())
    share = config.relative or greatest < config.threshold
    return values >= config.threshold * (greatest if share else 1)


def encoded(network: Tseg, image: np.ndarray) -> torch.Tensor:
    """The patches X [h, w, D] of an image uint8 [H, W, 3]."""
    size = grid(image.shape[0], image.shape[1], network.config)
    small = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None] / 127.5 - 1
    return network.patches(pixels.to(network.background.device))[0]


def grid(height: int, width: int, config: TsegConfig) -> tuple[int, int]:
    """The size in px at which an image is encoded: its longer edge `side`, both multiples of the patch."""
    scale = config.side / max(height, width)
    return (max(1, round(height * scale / config.patch)) * config.patch,
            max(1, round(width * scale / config.patch)) * config.patch)
