"""The same answers, sooner. `install` is the only door: it changes a model right after it was loaded, before anyone
uses it. Every optimisation can be left out, and has its measured gain in benchmarks/README.md."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from ..errors import InputError

OPTIMISATIONS: dict[str, str] = {
    "unet-stop": "run the U-Net no further than the last layer that is read",
    "unet-share": "run what no text reaches once per image, not once per text",
    "unet-gated": "feed-forward layers of the U-Net so many rows at a time as a cache holds",
    "channels-last": "convolutions of the U-Net and the VAE over channels that lie side by side",
    "half-attention": "attention of the U-Net and CLIP by products, in half precision on a CPU",
    "clip-class": "of CLIP's last block only [CLS]",
    "clip-cache": "so many crops through CLIP at a time as a cache holds",
    "sam-encoder": "SAM's image encoder with less memory moved; in half precision where it is wide",
    "sam-decoder": "SAM's mask decoder for many points that share one image",
    "sam-windows": "SAM's masks judged and drawn only where they are",
}
"""Every optimisation by name."""

Fast = bool | Collection[str]
"""True for all optimisations, False for none, or the names of some."""


def chosen(fast: Fast) -> frozenset[str]:
    """The optimisations meant. Raises InputError for an unknown name."""
    if isinstance(fast, bool):
        return frozenset(OPTIMISATIONS) if fast else frozenset()
    names = frozenset([fast] if isinstance(fast, str) else fast)
    unknown = names - OPTIMISATIONS.keys()
    if unknown:
        raise InputError(f"There is no optimisation {', '.join(sorted(unknown))}; they are {', '.join(OPTIMISATIONS)}.")
    return names


def install(model: Any, names: frozenset[str], dtype: torch.dtype = torch.float32) -> None:
    """Install optimisations on a model that was just loaded and that nobody uses yet.

    `model` is a `CrossAttentionDiffusion`, one of its parts, a `ClipSimilarity` or a `SamSegmentor`; `dtype` is what
    products may be computed in.
    """
    kind = type(model).__name__
    if kind in _INSTALLERS and names:
        _INSTALLERS[kind](model, names, dtype)


def _diffusion(model: Any, names: frozenset[str], dtype: torch.dtype) -> None:
    from .unet import Runner

    model.run_unet = Runner("unet-stop" in names, "unet-share" in names)


def _unet(model: Any, names: frozenset[str], dtype: torch.dtype) -> None:
    from . import unet

    if "unet-stop" in names:
        unet.stop_after_reading(model)
    if "unet-share" in names:
        unet.share_start(model)
    if "unet-gated" in names:
        unet.gate_by_rows(model)
    if "half-attention" in names and _half_on_cpu(model):
        unet.attend_by_products(model)
    _vae(model, names, dtype)


def _vae(model: Any, names: frozenset[str], dtype: torch.dtype) -> None:
    if "channels-last" in names:
        model.to(memory_format=torch.channels_last)


def _clip(model: Any, names: frozenset[str], dtype: torch.dtype) -> None:
    from .clip import BlockRunner

    products = "half-attention" in names and _half_on_cpu(model.model)
    model.run_blocks = BlockRunner("clip-class" in names, "clip-cache" in names, products)


def _sam(model: Any, names: frozenset[str], dtype: torch.dtype) -> None:
    if "sam-encoder" in names:
        from . import sam_encoder

        model.run_encoder = sam_encoder.encode_pixels
        sam_encoder.halve_products(model.model.vision_encoder, dtype)
    if "sam-decoder" in names:
        from .sam_decoder import FoldedDecoder

        model.decoder = FoldedDecoder
    if "sam-windows" in names:
        from .windows import WindowCanvas

        model.canvas = WindowCanvas


def _half_on_cpu(model: Any) -> bool:
    return model.device.type == "cpu" and model.dtype != torch.float32


_INSTALLERS = {"CrossAttentionDiffusion": _diffusion, "UNet2DConditionModel": _unet, "AutoencoderKL": _vae,
               "ClipSimilarity": _clip, "SamSegmentor": _sam}
