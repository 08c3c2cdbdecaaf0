"""SAM's image encoder: transformers' weights and answers, with less memory moved.

The library pads before it projects, copies every window twice and writes out the biases of all pairs of cells, 8 GB at
ViT-H's size. Here only real cells are projected, and what lies between two products is never larger than a cache.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .memory import CACHE, cached


def encode_pixels(encoder, pixels: torch.Tensor) -> torch.Tensor:
    """The embedding float32 [1, C, h, w] of pixels float32 [1, 3, side, side]; `encoder` a transformers
    `SamVisionEncoder`, in float32 but for the products of its layers. Sums over layers are kept in float32 too: in half
    precision their rounding would decide which masks pass a threshold."""
    cells = encoder.patch_embed(pixels)[0].contiguous()
    if encoder.pos_embed is not None:
        cells += encoder.pos_embed[0]
    for layer in encoder.layers:
        dtype = layer.attn.qkv.weight.dtype
        rows = layer.window_size or len(cells)
        for strip in cells.split(rows):  # windows see only each other, so that a row of them is done at a time
            strip += _attended(layer.attn, layer.layer_norm1(strip).to(dtype), layer.window_size)
        width = layer.mlp.lin1.out_features * cells.element_size()
        for part in cells.flatten(0, 1).split(cached(cells[..., 0].numel(), width, cells.device)):
            part += layer.mlp(layer.layer_norm2(part).to(dtype))
    return encoder.neck(cells[None])


def _attended(attention, cells: torch.Tensor, window: int) -> torch.Tensor:
    """Self-attention of cells [h, w, C] among all of them, or within the windows of a strip at most `window` high."""
    height, width = cells.shape[:2]
    projected, heads = attention.qkv(cells), attention.num_attention_heads
    side, count = (height, width), 1
    if window:  # cells beyond the picture are zeros to the library; projected, they are the bias
        side, count = (window, window), -(-width // window)
        padded = attention.qkv.bias.expand(window, count * window, -1).contiguous()
        padded[:height, :width] = projected
        projected = padded.view(window, count, window, -1).transpose(0, 1)
    query, key, value = projected.reshape(count, side[0] * side[1], 3, heads, -1).permute(2, 0, 3, 1, 4)
    mixed = _softmax_attention(attention, query, key, value, side).transpose(1, 2).flatten(2)
    mixed = mixed.view(count, *side, -1).transpose(0, 1).reshape(side[0], count * side[1], -1)
    return attention.proj(mixed[:height, :width].contiguous())  # else the library multiplies row by row


def _softmax_attention(attention, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
                       side: tuple[int, int]) -> torch.Tensor:
    """[B, H, n, d] of queries, keys and values [B, H, n, d], with the biases of relative places where SAM has them."""
    if not attention.use_rel_pos:
        return F.scaled_dot_product_attention(query, key, value)
    tables = torch.cat([attention.rel_pos_h.flip(0), attention.rel_pos_w.flip(0)]).T.to(query)
    heads = max(1, min(query.shape[1], int(CACHE / (query.shape[2] ** 2 * query.element_size()))))
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
