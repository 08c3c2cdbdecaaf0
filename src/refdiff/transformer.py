"""What transformers are made of, by what computes it fastest: on a CPU so little at a time that a cache holds it."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .memory import cached


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float,
           bias: torch.Tensor | None = None) -> torch.Tensor:
    """softmax(scale * q k^T + bias) v: [B, H, n, d] of queries [B, H, n, d], keys and values [B, H, m, d] and a bias
    [B, H, n, m]: by the library's fused kernel but in half precision on a CPU, where that multiplies in float32. By
    products scores are rounded to the dtype, which doubles the rounding error of the whole."""
    if query.device.type != "cpu" or query.dtype == torch.float32:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
    pairs, columns = query.shape[:2], key.shape[2]
    queries, keys, values = (x.flatten(0, 1) for x in (query, key, value))
    biases = None if bias is None else bias.flatten(0, 1)
    each = 2 * columns * query.element_size()  # scores and weights
    rows = cached(queries.shape[1], each, query.device)
    many = cached(len(queries), each * rows, query.device)
    room = query.new_empty(2, many, rows, columns)  # once: fresh memory costs more than what it is for
    mixed = queries.new_empty(*queries.shape[:2], values.shape[2])
    for pair in range(0, len(queries), many):
        key, value = keys[pair : pair + many].mT, values[pair : pair + many]
        for row in range(0, queries.shape[1], rows):
            part = slice(pair, pair + many), slice(row, row + rows)
            own, out = queries[part], mixed[part]
            scores, weights = room[:, : len(own), : own.shape[1]]
            given = scores if biases is None else biases[part]
            torch.baddbmm(given, own, key, beta=float(biases is not None), alpha=scale, out=scores)
            torch.bmm(torch.softmax(scores, -1, out=weights), value, out=out)
    return mixed.unflatten(0, pairs)


class Attention:
    """diffusers' plain attention processor, by `attend`."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None, **_):
        states = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        projected = attn.to_q(hidden_states), attn.to_k(states), attn.to_v(states)
        return output(attn, attend(*(heads(each, attn.heads) for each in projected), attn.scale))


def heads(projected: torch.Tensor, count: int) -> torch.Tensor:
    """[B, n, H * d] -> [B, H, n, d] of `count` heads."""
    return projected.unflatten(2, (count, -1)).transpose(1, 2)


def output(attn, mixed: torch.Tensor) -> torch.Tensor:
    """[B, H, n, d] through the output projection: [B, n, C]."""
    return attn.to_out[1](attn.to_out[0](mixed.transpose(1, 2).flatten(2)))


def clip_heads(attention, normed: torch.Tensor, names: str = "qkv") -> list[torch.Tensor]:
    """Queries, keys and values, each [B, H, n, d], of normed tokens [B, n, W] by transformers' `CLIPAttention`."""
    return [heads(getattr(attention, f"{name}_proj")(normed), attention.num_heads) for name in names]


def clip_rest(layer, hidden: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
    """The rest of a `CLIPEncoderLayer` over [B, n, W], after what its attention has mixed [B, H, n, d]."""
    hidden = hidden + layer.self_attn.out_proj(mixed.transpose(1, 2).flatten(2))
    return hidden + layer.mlp(layer.layer_norm2(hidden))


class GatedLayer(torch.nn.Module):
    """diffusers' `FeedForward` with a GEGLU, so many rows at a time as leave what lies between products in a cache."""

    def __init__(self, layer):
        super().__init__()
        self.net = layer.net

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[..., C] of states [..., C]."""
        (shown, gate), (shown_bias, gate_bias) = (x.chunk(2) for x in (self.net[0].proj.weight, self.net[0].proj.bias))
        rows = states.flatten(0, -2)
        mixed = torch.empty_like(rows)
        step = cached(len(rows), 2 * len(gate) * rows.element_size(), rows.device)
        for part, out in zip(rows.split(step), mixed.split(step), strict=True):
            opened = F.gelu(F.linear(part, gate, gate_bias))
            out.copy_(self.net[2](F.linear(part, shown, shown_bias).mul_(opened)))
        return mixed.view_as(states)
