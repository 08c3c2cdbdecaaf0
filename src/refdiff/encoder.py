"""SAM's image encoder: transformers' weights and answers, with less memory moved.

The library pads before it projects, copies every window twice and writes out the biases of all pairs of cells, 8 GB at
ViT-H's size. Here only real cells are projected, and what lies between two products is never larger than a cache.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .memory import cached


def encode_pixels(encoder, pixels: torch.Tensor) -> torch.Tensor:
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
            rows = layer.window_size * cached(rows, width, cells.device)
        for strip in cells.split(rows):
            strip += _attended(layer.attn, layer.layer_norm1(strip).to(dtype), layer.window_size)
        width = layer.mlp.lin1.out_features * cells.element_size()
        for part in cells.flatten(0, 1).split(cached(cells[..., 0].numel(), width, cells.device)):
            part += layer.mlp(layer.layer_norm2(part).to(dtype))
    return encoder.neck(cells[None])


def _attended(attention, cells: torch.Tensor, window: int) -> torch.Tensor:
    """Self-attention of cells [h, w, C] among all of them, or within windows of `window` by `window`."""
    height, width = cells.shape[:2]
    projected, heads = attention.qkv(cells), attention.num_attention_heads
    side, down, across = (height, width), 1, 1
    if window:  # cells beyond the picture are zeros to the library; projected, they are the bias
        side, down, across = (window, window), -(-height // window), -(-width // window)
        padded = attention.qkv.bias.expand(down * window, across * window, -1).contiguous()
        padded[:height, :width] = projected
        projected = padded.view(down, window, across, window, -1).transpose(1, 2)
    query, key, value = projected.reshape(down * across, side[0] * side[1], 3, heads, -1).permute(2, 0, 3, 1, 4)
    mixed = _softmax_attention(attention, query, key, value, side).transpose(1, 2).flatten(2)
    mixed = mixed.view(down, across, *side, -1).transpose(1, 2).reshape(down * side[0], across * side[1], -1)
    return attention.proj(mixed[:height, :width].contiguous())  # else the library multiplies row by row


def _softmax_attention(attention, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
                       side: tuple[int, int]) -> torch.Tensor:
    """[B, H, n, d] of queries, keys and values [B, H, n, d], with the biases of relative places where SAM has them."""
    if not attention.use_rel_pos:
        return F.scaled_dot_product_attention(query, key, value)
    tables = torch.cat([attention.rel_pos_h.flip(0), attention.rel_pos_w.flip(0)]).T.to(query)
    heads = cached(query.shape[1], query.shape[2] ** 2 * query.element_size(), query.device)
    biases = query.new_empty(len(query), heads, *side, *side)  # once: fresh memory costs more than what it is for
    mixed = []
    for part in zip(*(each.split(heads, dim=1) for each in (query, key, value)), strict=True):
        answers = (part[0].flatten(0, 2) @ tables).view(*part[0].shape[:2], *side, -1)
        down, across = answers.split([len(attention.rel_pos_h), len(attention.rel_pos_w)], dim=-1)
        bias = torch.add(_by_place(down, 2, side[0])[..., None], _by_place(across, 3, side[1])[..., None, :],
                         out=biases[:, : part[0].shape[1]])
        mixed.append(F.scaled_dot_product_attention(*part, attn_mask=bias.flatten(4).flatten(2, 3)))
    return torch.cat(mixed, dim=1)


def _by_place(answers: torch.Tensor, axis: int, extent: int) -> torch.Tensor:
    """Answers [B, h, y, x, 2 * extent - 1] to all distances, the greatest below first, seen from each cell's own place
    along `axis`: [B, h, y, x, extent] to the cells of its row or column in order."""
    strides = list(answers.stride())
    strides[axis] -= 1
    return answers.as_strided((*answers.shape[:-1], extent), strides, answers.storage_offset() + extent - 1)
