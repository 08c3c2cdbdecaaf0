"""The same answers, sooner. `install` is the only door: it changes a model right after it was loaded, before anyone
uses it. Every optimisation can be left out, and has its measured gain in benchmarks/README.md."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from ..errors import InputError

OPTIMISATIONS: dict[str, str] = {
    "unet-stop": "run the U-Net no further than the last layer that is read",
    "half-attention": "attention of the U-Net and CLIP by products, in half precision on a CPU",
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
    try:
        names = frozenset([fast] if isinstance(fast, str) else fast)
        if not all(isinstance(name, str) for name in names):
            raise TypeError
    except TypeError:
        raise InputError(f"fast must be True, False or names of {', '.join(OPTIMISATIONS)}, not {fast!r}.") from None
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
    if "unet-stop" in names:
        from .unet import run_until_read

        model.run_unet = run_until_read


def _unet(model: Any, names: frozenset[str], dtype: torch.dtype) -> None:
    from . import unet

    if "unet-stop" in names:
        unet.stop_after_reading(model)
    if "half-attention" in names and _half_on_cpu(model):
        unet.attend_by_products(model)


def _clip(model: Any, names: frozenset[str], dtype: torch.dtype) -> None:
    if "half-attention" in names and _half_on_cpu(model.model):
        from .clip import run_blocks

        model.run_blocks = run_blocks


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


_INSTALLERS = {"CrossAttentionDiffusion": _diffusion, "UNet2DConditionModel": _unet,
               "ClipSimilarity": _clip, "SamSegmentor": _sam}
