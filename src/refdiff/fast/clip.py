"""CLIP's image encoder with attention by plain products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..models.similarity.clip import heads, rest_of_block
from .attention import attend


def run_blocks(blocks: Sequence[Any], hidden: torch.Tensor) -> torch.Tensor:
    """[CLS] [B, W] after the encoder blocks over tokens [B, 1 + P, W]."""
    for block in blocks:
        attention = block.self_attn
        query, key, value = heads(attention, block.layer_norm1(hidden))
        hidden = rest_of_block(block, hidden, attend(query, key, value, attention.scale))
    return hidden[:, 0]
