"""CLIP's image encoder: of its last block only [CLS], so many crops at a time as a cache holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from ..models.similarity.clip import heads, rest_of_block
from .attention import attend
from .cache import fitting


@dataclass(frozen=True)
class BlockRunner:
    """Takes `run_blocks`' place. `class_only`: the last block is computed for [CLS] alone; `by_cache`: crops are split;
    `products`: attention by `attend`."""

    class_only: bool
    by_cache: bool
    products: bool

    def __call__(self, blocks: Sequence[Any], hidden: torch.Tensor) -> torch.Tensor:
        """[CLS] [B, W] after the blocks over tokens [B, 1 + P, W]."""
        step = len(hidden)
        if self.by_cache:
            width = (hidden.shape[1] - 1) * blocks[0].mlp.fc1.out_features
            step = fitting(len(hidden), width * hidden.element_size(), hidden.device)
        return torch.cat([self._run(blocks, part) for part in hidden.split(step)])

    def _run(self, blocks: Sequence[Any], hidden: torch.Tensor) -> torch.Tensor:
        *first, last = blocks
        for block in first if self.class_only else blocks:
            hidden = _block(block, hidden) if self.products else block(hidden, attention_mask=None)
        return _class_token(last, hidden) if self.class_only else hidden[:, 0]


def _block(block: Any, hidden: torch.Tensor) -> torch.Tensor:
    """An encoder block over [B, n, W]."""
    attention = block.self_attn
    query, key, value = heads(attention, block.layer_norm1(hidden))
    return rest_of_block(block, hidden, attend(query, key, value, attention.scale))


def _class_token(block: Any, hidden: torch.Tensor) -> torch.Tensor:
    """[CLS] [B, W] after an encoder block over [B, 1 + P, W]: all that is needed of the last one."""
    attention, normed = block.self_attn, block.layer_norm1(hidden)
    (query,), (key, value) = heads(attention, normed[:, :1], "q"), heads(attention, normed, "kv")
    mixed = F.scaled_dot_product_attention(query, key, value, scale=attention.scale)
    return rest_of_block(block, hidden[:, :1], mixed)[:, 0]
