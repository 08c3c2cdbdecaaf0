"""SAM's mask decoder for many points of one image: transformers' weights and answers, less work.

The library repeats the image for every point and projects all of its cells for every point. Here what points share is
computed once, projections of cells are folded into the few tokens they meet, and masks are drawn only for points whose
predicted IoU, known before, is high enough.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from .cache import fitting


class FoldedDecoder:
    """Decodes single foreground points over one image embedding.

    `model` a transformers `SamModel`; `embedding` [1, C, h, w] from its image encoder.
    """

    def __init__(self, model: Any, embedding: torch.Tensor):
        self.model, self.decoder = model, model.mask_decoder
        self.grid = embedding.shape[-2:]
        dense = model.prompt_encoder.no_mask_embed.weight
        self.position = _cells(model.get_image_wide_positional_embeddings().to(embedding.dtype))
        self.image = _cells(embedding) + dense  # [n, C]
        self.upscale = _product(self.decoder.upscale_conv1), _product(self.decoder.upscale_conv2)
        first = self.decoder.transformer.layers[0]
        placed = self.image + self.position
        self.key = _heads(first.cross_attn_token_to_image, first.cross_attn_token_to_image.k_proj(placed))
        self.value = _heads(first.cross_attn_token_to_image, first.cross_attn_token_to_image.v_proj(self.image))
        self.query = _heads(first.cross_attn_image_to_token, first.cross_attn_image_to_token.q_proj(placed))

    def __call__(self, points: torch.Tensor, threshold: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits float32 [M, 4h, 4w] and predicted IoU float32 [M] of those masks, of three a point, whose predicted
        IoU is above `threshold`; `points` float32 [P, 2] (x, y) in SAM's px, on its device."""
        tokens, cells = self._transform(self._prompts(points))
        rated = self.decoder.iou_prediction_head(tokens[:, 0])[:, 1:].float()
        good = rated > threshold
        brushes = self._brushes(tokens)
        logits = [self._draw(brushes[part], each, good[part])
                  for part, each in zip(self._parts(len(points)), cells, strict=True)]
        return torch.cat(logits), rated[good]

    def _prompts(self, points: torch.Tensor) -> torch.Tensor:
        """The decoder's tokens [P, T, C]: of predicted IoU, of masks, of the point."""
        labels = torch.ones(1, len(points), 1, dtype=torch.int, device=points.device)
        prompt, _ = self.model.prompt_encoder(points[None, :, None], labels, None, None)
        own = torch.cat([self.decoder.iou_token.weight, self.decoder.mask_tokens.weight])
        return torch.cat([own.expand(len(points), -1, -1), prompt[0].to(own.dtype)], dim=1)

    def _transform(self, prompts: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The two-way transformer: tokens [P, T, C] after it, and the image's cells [p, n, C] of every part."""
        transformer, layers = self.decoder.transformer, self.decoder.transformer.layers
        tokens = layers[0].layer_norm1(_self_attended(layers[0], prompts, prompts))
        looked = self._first_look(layers[0].cross_attn_token_to_image, tokens + prompts)
        cells: list[torch.Tensor] = []
        room = self.image.new_empty(self._parts(len(prompts))[0].stop, *self.image.shape)
        for layer, following in zip(layers, [*layers[1:], None], strict=True):
            tokens = layer.layer_norm2(tokens + looked)
            tokens = layer.layer_norm3(tokens + layer.mlp(tokens))
            told, reader = tokens, transformer.final_attn_token_to_image
            if following is not None:  # its self-attention comes first, so that cells are looked at as they are told
                tokens = following.layer_norm1(tokens + _self_attended(following, tokens + prompts, tokens))
                reader = following.cross_attn_token_to_image
            # q (W x + b) = (q W) x + q b, and q b, the same for every cell, leaves the softmax as it is.
            query = _folded(reader, _scaled_heads(reader, reader.q_proj(tokens + prompts)), reader.k_proj.weight)
            cells, mixed = self._tell(layer, told + prompts, told, cells, query, room)
            mixed = mixed.unflatten(1, (reader.num_attention_heads, -1))
            mixed = torch.einsum("phtc,hdc->pthd", mixed, _rows(reader, reader.v_proj.weight))
            looked = reader.out_proj(mixed.flatten(2) + reader.v_proj.bias)
        return transformer.layer_norm_final_attn(tokens + looked), cells

    def _first_look(self, attention: Any, queries: torch.Tensor) -> torch.Tensor:
        """Tokens attending to the cells that all points share before any layer."""
        query = _scaled_heads(attention, attention.q_proj(queries))  # [P, T, H, d]
        weights = torch.einsum("pthd,nhd->phtn", query, self.key).softmax(-1)
        mixed = torch.einsum("phtn,nhd->pthd", weights, self.value)
        return attention.out_proj(mixed.flatten(2))

    def _tell(self, layer: Any, keys: torch.Tensor, values: torch.Tensor, cells: list[torch.Tensor],
              query: torch.Tensor, room: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Cells [p, n, C] of every part with what they take from the tokens [P, T, C] added, and their means
        [P, H * T, C] weighted by the softmax of the folded `query` [P, H * T, C]; `room` for the cells of a part, as
        fresh memory costs more than what it is for."""
        attention = layer.cross_attn_image_to_token
        key = _scaled_heads(attention, attention.k_proj(keys))
        value = _heads(attention, attention.v_proj(values))
        columns = attention.out_proj.weight.unflatten(1, key.shape[2:])  # [C, H, d]
        out = (torch.einsum("pthd,chd->phtc", value, columns) + attention.out_proj.bias / key.shape[2]).flatten(1, 2)
        if cells:
            folded = _folded(attention, key, attention.q_proj.weight)
            offset = (key * attention.q_proj.bias.unflatten(0, key.shape[2:])).sum(-1).mT.flatten(1)
        told, mixed = [], []
        for number, part in enumerate(self._parts(len(keys))):
            if not cells:
                before = self.image.expand(len(key[part]), -1, -1)
                scores = torch.einsum("pthd,nhd->phtn", key[part], self.query)
            else:
                before = cells[number]
                placed = torch.add(before, self.position, out=room[: len(before)])
                scores = torch.baddbmm(offset[part, :, None], folded[part], placed.mT)
                scores = scores.unflatten(1, (key.shape[2], -1))
            more = torch.baddbmm(before, scores.softmax(2).flatten(1, 2).mT, out[part], out=room[: len(before)])
            told.append(layer.layer_norm4(more))
            placed = torch.add(told[-1], self.position, out=room[: len(before)])
            mixed.append((query[part] @ placed.mT).softmax(-1) @ told[-1])
        return told, torch.cat(mixed)

    def _brushes(self, tokens: torch.Tensor) -> torch.Tensor:
        """What draws the three masks of each point: [P, 3, c]."""
        heads = self.decoder.output_hypernetworks_mlps
        return torch.stack([heads[i](tokens[:, 1 + i]) for i in range(1, self.decoder.num_mask_tokens)], dim=1)

    def _draw(self, brushes: torch.Tensor, cells: torch.Tensor, good: torch.Tensor) -> torch.Tensor:
        """Logits float32 [m, 4h, 4w] of those of three masks a point that are `good` bool [p, 3]."""
        norm = self.decoder.upscale_layer_norm
        drawn = good.any(1)
        if not drawn.all():
            brushes, cells, good = brushes[drawn], cells[drawn], good[drawn]
        if len(brushes) == 1:  # each further mask costs as much as a tenth of the point
            brushes, good = brushes[good][None], good[good][None]
        first, second = self.upscale
        gelu = torch.ops.aten.gelu_  # in place, as a cache does not hold so much twice
        up = F.linear(cells, *first).unflatten(-1, (4, -1))
        up = gelu(F.layer_norm(up, norm.normalized_shape, norm.weight, norm.bias, norm.eps))
        up = gelu(F.linear(up, *second)).unflatten(-1, (4, -1))  # [p, n, 4, 4, c]
        masks = (brushes @ up.flatten(1, 3).mT)[good].float()
        pairs = masks.view(torch.float64).unflatten(-1, (*self.grid, 2, 2, 2))  # moved as one: a tenth of the time
        return pairs.permute(0, 1, 3, 5, 2, 4).flatten(1, 3).flatten(2).view(torch.float32)

    def at_once(self, most: int) -> int:
        """How many points to decode in a call: many share the products of tokens, few leave their cells in a cache."""
        return fitting(most, self.image.numel() * self.image.element_size() / 2, self.image.device)

    def _parts(self, points: int) -> list[slice]:
        """The points, so many at a time as leave their cells in the processor's cache."""
        step = fitting(points, 4 * self.image.numel() * self.image.element_size(), self.image.device)
        return [slice(start, start + step) for start in range(0, points, step)]


def _cells(grid: torch.Tensor) -> torch.Tensor:
    """[1, C, h, w] -> [h * w, C]."""
    return grid[0].flatten(1).T.contiguous()


def _heads(attention: Any, projected: torch.Tensor) -> torch.Tensor:
    """[..., H * d] -> [..., H, d]."""
    return projected.unflatten(-1, (attention.num_attention_heads, -1))


def _scaled_heads(attention: Any, projected: torch.Tensor) -> torch.Tensor:
    """The same, with the scale of the scores in it."""
    return _heads(attention, projected) * attention.scaling


def _self_attended(layer: Any, own: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Tokens [P, T, C] attending to each other as `own`, what they are with their prompts."""
    return layer.self_attn(query=own[None], key=own[None], value=tokens[None])[0][0]


def _folded(attention: Any, queries: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Queries [P, T, H, d] against projected cells -> [P, H * T, C] against the cells themselves."""
    return torch.einsum("pthd,hdc->phtc", queries, _rows(attention, weight)).flatten(1, 2)


def _rows(attention: Any, weight: torch.Tensor) -> torch.Tensor:
    """A projection's weight [H * d, C] -> [H, d, C]."""
    return weight.unflatten(0, (attention.num_attention_heads, -1))


def _product(convolution: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """A transposed convolution of 2 by stride 2 as a product of cells [..., C]: its weight [4 * c, C] and bias."""
    return convolution.weight.permute(2, 3, 1, 0).flatten(0, 2), convolution.bias.repeat(4)
