"""Attention by plain products: in half precision on a CPU the library's fused kernel multiplies in float32."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from .cache import fitting


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float,
           bias: torch.Tensor | None = None) -> torch.Tensor:
    """softmax(scale * q k^T + bias) v: [B, H, n, d] of queries [B, H, n, d], keys and values [B, H, m, d] and a bias
    [B, H, n, m]: by the fused kernel, but in half precision on a CPU by products. Their scores are rounded to the
    dtype, which doubles the rounding error of the whole."""
    if query.device.type != "cpu" or query.dtype == torch.float32:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
    pairs, columns = query.shape[:2], key.shape[2]
    queries, keys, values = (x.flatten(0, 1) for x in (query, key, value))
    biases = None if bias is None else bias.flatten(0, 1)
    each = 2 * columns * query.element_size()  # scores and weights
    rows = fitting(queries.shape[1], each, query.device)
    many = fitting(len(queries), each * rows, query.device)
    room = query.new_empty(2, many, rows, columns)  # once: fresh memory costs more than what it is for
    mixed = queries.new_empty(*queries.shape[:2], values.shape[2])
    for pair in range(0, len(queries), many):
        own_keys, own_values = keys[pair : pair + many].mT, values[pair : pair + many]
        for row in range(0, queries.shape[1], rows):
            part = slice(pair, pair + many), slice(row, row + rows)
            own, out = queries[part], mixed[part]
            scores, weights = room[:, : len(own), : own.shape[1]]
            given = scores if biases is None else biases[part]
            torch.baddbmm(given, own, own_keys, beta=float(biases is not None), alpha=scale, out=scores)
            torch.bmm(torch.softmax(scores, -1, out=weights), own_values, out=out)
    return mixed.unflatten(0, pairs)


def heads(projected: torch.Tensor, count: int) -> torch.Tensor:
    """[B, n, H * d] -> [B, H, n, d] of `count` heads."""
    return projected.unflatten(2, (count, -1)).transpose(1, 2)


class ProductAttention:
    """diffusers' plain attention processor, by `attend`."""

    def __call__(self, attn: Any, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor | None = None,
                 attention_mask: torch.Tensor | None = None, temb: torch.Tensor | None = None,
                 **_: Any) -> torch.Tensor:
        states = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        projected = attn.to_q(hidden_states), attn.to_k(states), attn.to_v(states)
        query, key, value = (heads(each, attn.heads) for each in projected)
        mixed = attend(query, key, value, attn.scale)
        result: torch.Tensor = attn.to_out[1](attn.to_out[0](mixed.transpose(1, 2).flatten(2)))
        return result
