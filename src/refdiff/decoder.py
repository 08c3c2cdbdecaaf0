"""SAM's mask decoder for many points of one picture: transformers' weights and answers, less work.

The library repeats the image for every point and projects all of its cells for every point. Here what points share is
computed once, projections of cells are folded into the few tokens they meet, and masks are drawn only for points whose
predicted IoU, known before, is high enough.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


class PointDecoder:
    """Decodes single foreground points over one image embedding.

    `model` a transformers `SamModel`; `embedding` [1, C, h, w] from its image encoder.
    """

    def __init__(self, model, embedding: torch.Tensor):
        self.model, self.decoder = model, model.mask_decoder
        self.grid = embedding.shape[-2:]
        cells = lambda x: x[0].flatten(1).T.contiguous()  # noqa: E731
        dense = model.prompt_encoder.no_mask_embed.weight
        self.position = cells(model.get_image_wide_positional_embeddings().to(embedding.dtype))
        self.image = cells(embedding) + dense  # [n, C]
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
        drawn = good.any(1)
        logits = self._draw(tokens[drawn], cells[drawn])
        return logits[good[drawn]], rated[good]

    def _prompts(self, points: torch.Tensor) -> torch.Tensor:
        """The decoder's tokens [P, T, C]: of predicted IoU, of masks, of the point."""
        labels = torch.ones(1, len(points), 1, dtype=torch.int, device=points.device)
        prompt, _ = self.model.prompt_encoder(points[None, :, None], labels, None, None)
        own = torch.cat([self.decoder.iou_token.weight, self.decoder.mask_tokens.weight])
        return torch.cat([own.expand(len(points), -1, -1), prompt[0].to(own.dtype)], dim=1)

    def _transform(self, prompts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The two-way transformer: tokens [P, T, C] and the image's cells [P, n, C] after it."""
        transformer = self.decoder.transformer
        tokens, cells = prompts, None
        for layer in transformer.layers:
            own = tokens if cells is None else tokens + prompts
            attended = layer.self_attn(query=own[None], key=own[None], value=tokens[None])[0][0]
            tokens = layer.layer_norm1(attended if cells is None else tokens + attended)
            placed = None if cells is None else cells + self.position
            tokens = layer.layer_norm2(tokens + self._look(layer.cross_attn_token_to_image, tokens + prompts, cells,
                                                           placed))
            tokens = layer.layer_norm3(tokens + layer.mlp(tokens))
            cells = layer.layer_norm4(self._tell(layer.cross_attn_image_to_token, tokens + prompts, tokens, cells,
                                                 placed))
        looked = self._look(transformer.final_attn_token_to_image, tokens + prompts, cells, cells + self.position)
        return transformer.layer_norm_final_attn(tokens + looked), cells

    def _look(self, attention, queries: torch.Tensor, cells: torch.Tensor | None,
              placed: torch.Tensor | None) -> torch.Tensor:
        """Tokens [P, T, C] attending to the cells, or before any layer to the cells that all points share."""
        query = _heads(attention, attention.q_proj(queries)) * attention.scaling  # [P, T, H, d]
        if cells is None:
            weights = torch.einsum("pthd,nhd->phtn", query, self.key).softmax(-1)
            mixed = torch.einsum("phtn,nhd->pthd", weights, self.value)
            return attention.out_proj(mixed.flatten(2))
        # q (W x + b) = (q W) x + q b, and q b, the same for every cell, leaves the softmax as it is.
        folded = torch.einsum("pthd,hdc->pthc", query, _rows(attention, attention.k_proj.weight)).flatten(1, 2)
        weights = (folded @ placed.mT).softmax(-1)
        mixed = (weights @ cells).unflatten(1, query.shape[1:3])
        mixed = torch.einsum("pthc,hdc->pthd", mixed, _rows(attention, attention.v_proj.weight))
        return attention.out_proj(mixed.flatten(2) + attention.v_proj.bias)

    def _tell(self, attention, keys: torch.Tensor, values: torch.Tensor, cells: torch.Tensor | None,
              placed: torch.Tensor | None) -> torch.Tensor:
        """Cells [P, n, C] with what they take from the tokens [P, T, C] added."""
        key = _heads(attention, attention.k_proj(keys)) * attention.scaling
        value = _heads(attention, attention.v_proj(values))
        if cells is None:
            scores = torch.einsum("pthd,nhd->pthn", key, self.query)
            cells = self.image.expand(len(keys), -1, -1)
        else:
            folded = torch.einsum("pthd,hdc->pthc", key, _rows(attention, attention.q_proj.weight)).flatten(1, 2)
            offset = (key.flatten(2) * attention.q_proj.bias).unflatten(-1, key.shape[2:]).sum(-1)
            scores = torch.baddbmm(offset.flatten(1)[..., None], folded, placed.mT).unflatten(1, key.shape[1:3])
        weights = scores.softmax(1)  # over a strided axis: whole vectors at a time
        columns = attention.out_proj.weight.unflatten(1, key.shape[2:])  # [C, H, d]
        out = torch.einsum("pthd,chd->pthc", value, columns) + attention.out_proj.bias / key.shape[2]
        return torch.baddbmm(cells, weights.flatten(1, 2).mT, out.flatten(1, 2))

    def _draw(self, tokens: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        """Three masks' logits float32 [P, 3, 4h, 4w]. A transposed convolution of 2 by stride 2 is a product."""
        decoder = self.decoder
        norm = decoder.upscale_layer_norm
        first, second = decoder.upscale_conv1, decoder.upscale_conv2
        up = (cells @ _windows(first)).unflatten(-1, (4, -1)) + first.bias
        up = decoder.activation(F.layer_norm(up, norm.normalized_shape, norm.weight, norm.bias, norm.eps))
        up = decoder.activation((up @ _windows(second)).unflatten(-1, (4, -1)) + second.bias)  # [P, n, 4, 4, c]
        wanted = range(1, decoder.num_mask_tokens)
        brushes = torch.stack([decoder.output_hypernetworks_mlps[i](tokens[:, 1 + i]) for i in wanted], dim=1)
        masks = brushes @ up.flatten(1, 3).mT
        (height, width), count = self.grid, len(wanted)
        masks = masks.view(-1, count, height, width, 2, 2, 2, 2).permute(0, 1, 2, 4, 6, 3, 5, 7)
        return masks.reshape(-1, count, 4 * height, 4 * width).float()


def _heads(attention, projected: torch.Tensor) -> torch.Tensor:
    """[..., H * d] -> [..., H, d]."""
    return projected.unflatten(-1, (attention.num_attention_heads, -1))


def _rows(attention, weight: torch.Tensor) -> torch.Tensor:
    """A projection's weight [H * d, C] -> [H, d, C]."""
    return weight.unflatten(0, (attention.num_attention_heads, -1))


def _windows(convolution) -> torch.Tensor:
    """A transposed convolution's weight [C, c, 2, 2] -> [C, 4 * c]."""
    return convolution.weight.permute(0, 2, 3, 1).flatten(1)
