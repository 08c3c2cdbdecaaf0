"""Other people's models behind the protocols of `core.protocols`, one file per family."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .diffusion.cross import CrossAttentionDiffusion
    from .segmentors.sam import SamSegmentor
    from .similarity.clip import ClipSimilarity


def open_diffusion(folder: str | Path, device: str | torch.device = "cpu",
                   dtype: torch.dtype = torch.float32) -> CrossAttentionDiffusion:
    """The text-to-image model in a diffusers pipeline folder; float32 unless another `dtype` is given. Raises
    BundleError."""
    from .diffusion.cross import CrossAttentionDiffusion

    return CrossAttentionDiffusion.from_pretrained(folder, device, dtype)


def open_similarity(folder: str | Path, device: str | torch.device = "cpu",
                    dtype: torch.dtype = torch.float32) -> ClipSimilarity:
    """The image-text model in a folder, with its tokenizer; float32 unless another `dtype` is given. Raises
    BundleError."""
    from .similarity.clip import ClipSimilarity

    return ClipSimilarity.from_pretrained(folder, device, dtype)


def open_segmentor(folder: str | Path, device: str | torch.device = "cpu") -> SamSegmentor:
    """The segmentor in a folder, in float32. Raises BundleError."""
    from .segmentors.sam import SamSegmentor

    return SamSegmentor.from_pretrained(folder, device)
