"""SAM's image encoder: transformers' weights and answers, with less memory moved.

The library pads before it projects, copies every window twice and writes out the biases of all pairs of cells, 8 GB at
ViT-H's size. Here only real cells are projected, and what lies between two products is never larger than a cache.
"""

from __future__ import annotations

from typing import Any

import torch

from .attention import attend
from .cache import fitting

_WIDE = 768  # channels from which half precision of the products is worth what it changes


def halve_products(encoder: Any, dtype: torch.dtype) -> None:
    """Keep the weights of the layers' products in `dtype`, if the encoder is as wide as ViT-B's; all else stays
    float32.

    Masks meet thresholds, so that any rounding changes which pass; it is accepted only where there is much to gain.
    """
    if dtype == torch.float32 or encoder.config.hidden_size < _WIDE:
        return
    for layer in encoder.layers:
        layer.attn.to(dtype)
        layer.mlp.to(dtype)


def encode_pixels(encoder: Any, pixels: torch.Tensor) -> torch.Tensor:
    """The embedding float32 [1, C, h, w] of pixels float32 [1, 3, side, side]; `encoder` a transformers
    `SamVisionEncoder`, in float32 but for the products of its layers. Sums over layers are kept in float32 too: in half
    precision their rounding would decide which masks pass a threshold."""
    cells = encoder.patch_embed(pixels)[0].contiguous()
    if encoder.pos_embed is not None:
        cells += encoder.pos_embed[0]
    for layer in encoder.layers:
        dtype = layer.attn.qkv.weight.dtype
        rows = len(cells)
        if layer.window_size:  # windows see only each other, so that few rows of them are done at a time
            width = layer.window_size * cells.shape[1] * layer.attn.qkv.out_features * dtype.itemsize
            rows = layer.window_size * fitting(rows, width, cells.device)
        for strip in cells.split(rows):
            strip += _attended(layer.attn, layer.layer_norm1(strip).to(dtype), layer.window_size)
        width = layer.mlp.lin1.out_features * cells.element_size()
        for part in cells.flatten(0, 1).split(fitting(cells[..., 0].numel(), width, cells.device)):
            part += layer.mlp(layer.layer_norm2(part).to(dtype))
    return encoder.neck(cells[None])


def _attended(attention: Any, cells: torch.Tensor, window: int) -> torch.Tensor:
    """Self-attention of cells [h, w, C] among all of them, or within windows of `window` by `window`."""
    height, width = cells.shape[:2]
    projected, heads = attention.qkv(cells), attention.num_attention_heads
    side, down, across = (height, width), 1, 1
    if window:  # cells beyond the image are zeros to the library; projected, they are the bias
        side, down, across = (window, window), -(-height // window), -(-width // window)
        padded = attention.qkv.bias.expand(down * window, across * window, -1).contiguous()
        padded[:height, :width] = projected
        projected = padded.view(down, window, across, window, -1).transpose(1, 2)
    query, key, value = projected.reshape(down * across, side[0] * side[1], 3, heads, -1).permute(2, 0, 3, 1, 4)
    mixed = _softmax_attention(attention, query, key, value, side).transpose(1, 2).flatten(2)
    mixed = mixed.view(down, across, *side, -1).transpose(1, 2).reshape(down * side[0], across * side[1], -1)
    return attention.proj(mixed[:height, :width].contiguous())  # else the library multiplies row by row


def _softmax_attention(attention: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
                       side: tuple[int, int]) -> torch.Tensor:
    """[B, H, n, d] of queries, keys and values [B, H, n, d], with the biases of relative places where SAM has them."""
    if not attention.use_rel_pos:
        return attend(query, key, value, attention.scale)
    tables = torch.cat([attention.rel_pos_h.flip(0), attention.rel_pos_w.flip(0)]).T.to(query)
    if sum(side) <= query.shape[-1]:
        return _by_channels(query, key, value, side, tables, attention.scale)
    each = len(query) * side[1] * query.shape[2] * query.element_size()  # biases of a row of cells, of one head
    rows = fitting(side[0], each, query.device)
    heads = fitting(query.shape[1], rows * each, query.device)
    biases = query.new_empty(len(query), heads, rows, side[1], *side)  # once: fresh memory costs more
    mixed = torch.empty_like(query)
    for head in range(0, query.shape[1], heads):
        for row in range(0, side[0], rows):
            part = slice(None), slice(head, head + heads), slice(row * side[1], (row + rows) * side[1])
            own = query[part]
            down, across = _biases(own, side, tables, row)
            bias = torch.add(down[..., None], across[..., None, :], out=biases[:, : down.shape[1], : down.shape[2]])
            mixed[part] = attend(own, key[part[:2]], value[part[:2]], attention.scale, bias.flatten(4).flatten(2, 3))
    return mixed


def _by_channels(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, side: tuple[int, int],
                 tables: torch.Tensor, scale: float) -> torch.Tensor:
    """The same with a further channel for every row and column of cells: in a query its bias, in a key whether the key
    lies there. Where these are few it costs less than the sum for all pairs."""
    down, across = (bias.flatten(2, 3) for bias in _biases(query, side, tables))
    rows, columns = (torch.eye(extent, dtype=key.dtype, device=key.device) for extent in side)
    there = torch.cat([rows.repeat_interleave(side[1], 0), columns.repeat(side[0], 1)], dim=1)
    queries = torch.cat([query * scale, down, across], dim=-1)
    keys = torch.cat([key, there.expand(*key.shape[:2], -1, -1)], dim=-1)
    return attend(queries, keys, value, 1.0)


def _biases(query: torch.Tensor, side: tuple[int, int], tables: torch.Tensor,
            first: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Of queries [B, H, n, d], the cells of the rows from `first` on: [B, H, y, x, height] to each row of cells, and
    [B, H, y, x, width] to each column; `tables` [d, distances down + distances across], the greatest below first."""
    answers = (query.flatten(0, 2) @ tables).view(*query.shape[:2], -1, side[1], tables.shape[1])
    down, across = answers.split([2 * extent - 1 for extent in side], dim=-1)
    return _by_place(down, 2, side[0], first), _by_place(across, 3, side[1])


def _by_place(answers: torch.Tensor, axis: int, extent: int, first: int = 0) -> torch.Tensor:
    """Answers [B, H, y, x, 2 * extent - 1] to all distances, the greatest below first, seen from each cell's own place
    along `axis`, the `first` and on: [B, H, y, x, extent] to the cells of its row or column in order."""
    strides = list(answers.stride())
    strides[axis] -= 1
    start = answers.storage_offset() + extent - 1 - first
    return answers.as_strided((*answers.shape[:-1], extent), strides, start)
