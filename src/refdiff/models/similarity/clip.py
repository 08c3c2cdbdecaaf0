"""CLIP with a ViT image encoder: features of masks, crops and texts (Eq. 7 and 10)."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ...core.images import ImageLike, load_image
from ...core.masks import boxes
from ...errors import BundleError, InputError
from ...language import Expression, parse
from ...method import biased_image
from ...settings import BatchingSettings, DiscriminativeSettings, Settings

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

RunBlocks = Callable[[Sequence[Any], torch.Tensor], torch.Tensor]


def run_blocks(blocks: Sequence[Any], hidden: torch.Tensor) -> torch.Tensor:
    """[CLS] [B, W] after the library's encoder blocks over tokens [B, 1 + P, W]."""
    for block in blocks:
        hidden = block(hidden, attention_mask=None)
    return hidden[:, 0]


class ClipSimilarity:
    """A transformers `CLIPModel` with a ViT image encoder. Threads may share it: calls wait their turn at `lock`."""

    def __init__(self, model: Any, tokenizer: Any):
        self.model, self.tokenizer = model, tokenizer
        self.side, self.patch = model.config.vision_config.image_size, model.config.vision_config.patch_size
        self.run_blocks: RunBlocks = run_blocks
        self.lock = threading.RLock()

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | torch.device = "cpu",
                        dtype: torch.dtype = torch.float32) -> ClipSimilarity:
        """Load a CLIPModel and its tokenizer from a folder. Raises BundleError."""
        from ...weights.load import load_clip

        return cls(*load_clip(Path(folder), device, dtype))

    @property
    def scale(self) -> float:
        """What products of features are multiplied by before a softmax over texts, as the model was trained."""
        return float(self.model.logit_scale.detach().float().exp())

    # Texts

    @torch.inference_mode()
    def raw_text_features(self, texts: Sequence[str]) -> torch.Tensor:
        """Features of texts as they are, one batch: float32 [B, D], not normalised."""
        with self.lock:
            length = min(self.tokenizer.model_max_length, self.model.config.text_config.max_position_embeddings)
            ids = self.tokenizer(list(texts), padding="max_length", truncation=True, max_length=length,
                                 return_tensors="pt").input_ids
            if ids.max() >= self.model.config.text_config.vocab_size:
                raise BundleError("CLIP's tokenizer has tokens that CLIP does not know; copy both from the same model.")
            output = self.model.text_model(ids.to(self.model.device)).pooler_output
            features: torch.Tensor = self.model.text_projection(output).float()
            return features

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        """Features float32 [B, D] of texts, unit length."""
        return F.normalize(self.raw_text_features(texts), dim=-1)

    def text_feature(self, expression: Expression | str, settings: Settings) -> torch.Tensor:
        """r of Eq. 10: the mean of the unit features of the text and of the root word alone; float32 [D]."""
        if isinstance(expression, str):
            expression = parse(expression, settings.expression)
        text = expression.phrase if settings.discriminative.text == "phrase" else expression.text
        return self.text_features([text, expression.root]).mean(0)

    # Images

    @torch.inference_mode()
    def masked_features(self, image: ImageLike, masks: np.ndarray | torch.Tensor,
                        settings: Settings | DiscriminativeSettings,
                        expression: Expression | str | None = None) -> torch.Tensor:
        """f_M of Eq. 7 for every proposal in one pass: float32 [N, D], unit length.

        `masks` bool [N, H, W]; `image` float32 [H, W, 3] in [0, 1] as it is, or anything `load_image` reads, which with
        an `expression` whose clue acts here becomes x * P. Patches are computed once and see no [CLS]; each proposal
        has a [CLS] of its own that sees itself and the patches inside its mask (attention to others is 0).
        """
        shown, own = _shown(image, "masked", settings, expression)
        pixels = torch.from_numpy(shown).permute(2, 0, 1)[None]
        if own.clip_side:
            scale = own.clip_side / min(pixels.shape[-2:])
            size = [max(self.patch, round(extent * scale)) for extent in pixels.shape[-2:]]
            pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
        if min(pixels.shape[-2:]) < self.patch:
            size = [max(self.patch, extent) for extent in pixels.shape[-2:]]
            pixels = F.interpolate(pixels, size=size, mode="bilinear")
        with self.lock:
            hidden, rows, columns = self.embedded(self._normalised(pixels))
            inside = torch.as_tensor(masks).view(torch.uint8)[:, None]
            inside = F.interpolate(inside, size=(rows, columns)).bool().flatten(1).to(hidden.device)
            tokens, patches = hidden[:, :1].expand(-1, len(masks), -1), hidden[:, 1:]
            for block in self._used(own):
                tokens, patches = _masked_block(block, tokens, patches, inside)
            return F.normalize(self.project(tokens[0]), dim=-1)

    @torch.inference_mode()
    def crop_features(self, image: ImageLike, masks: np.ndarray | torch.Tensor,
                      settings: Settings | DiscriminativeSettings,
                      expression: Expression | str | None = None, *,
                      batching: BatchingSettings = BatchingSettings()) -> torch.Tensor:
        """f of Eq. 7 on x * M for every proposal: float32 [N, D], unit length; `settings.crop` says what is seen.

        `image`, `masks` and `expression` as for `masked_features`.
        """
        shown, own = _shown(image, "crop", settings, expression)
        crops: dict[tuple[int, ...], list[tuple[int, torch.Tensor]]] = defaultdict(list)
        whole, insides = torch.from_numpy(shown).permute(2, 0, 1).contiguous(), torch.as_tensor(masks)
        for index, (inside, box) in enumerate(zip(insides, boxes(insides.numpy()).tolist(), strict=True)):
            left, top, right, bottom = box
            if own.crop == "image" or right == left:
                left, top, bottom, right = 0, 0, inside.shape[0], inside.shape[1]
            cut = whole[:, top:bottom, left:right] * inside[top:bottom, left:right]
            pixels = _aspect(cut, own.crop_side or self.side) if own.crop == "aspect" else self._square(cut)
            crops[tuple(pixels.shape)].append((index, pixels))
        with self.lock:
            features = torch.zeros(len(masks), self.model.projection_dim, device=self.model.device, dtype=torch.float32)
            for group in crops.values():
                for start in range(0, len(group), batching.crops_per_batch):
                    part = group[start : start + batching.crops_per_batch]
                    stacked = torch.stack([pixels for _, pixels in part])
                    features[[index for index, _ in part]] = self.plain_features(stacked, own)
            return features

    def plain_features(self, pixels: torch.Tensor, settings: DiscriminativeSettings) -> torch.Tensor:
        """f of Eq. 7: the ordinary encoder on float32 [B, 3, h, w] in [0, 1]; float32 [B, D], unit length."""
        with self.lock:
            hidden, _, _ = self.embedded(self._normalised(pixels))
            return F.normalize(self.project(self.run_blocks(self._used(settings), hidden)), dim=-1)

    def _square(self, cut: torch.Tensor) -> torch.Tensor:
        return F.interpolate(cut[None], size=(self.side, self.side), mode="bilinear", antialias=True)[0]

    def _normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        pixels = pixels.to(self.model.device)
        mean, std = (torch.tensor(values, device=pixels.device, dtype=torch.float32)[:, None, None]
                     for values in (MEAN, STD))
        return ((pixels - mean) / std).to(self.model.dtype)

    def embedded(self, pixels: torch.Tensor) -> tuple[torch.Tensor, int, int]:
        """[CLS] and patches [B, 1 + P, W] of normalised pixels, as the first block takes them; rows, columns."""
        vision = self.model.vision_model
        table = vision.embeddings.position_embedding.weight
        grid = vision.embeddings.patch_embedding(pixels)
        rows, columns = grid.shape[-2:]
        patches = grid.flatten(2).transpose(1, 2) + self._positions(table[1:], rows, columns)
        first = vision.embeddings.class_embedding + table[0]
        return vision.pre_layrnorm(torch.cat([first.expand(len(grid), 1, -1), patches], dim=1)), rows, columns

    def _positions(self, table: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        """Position embeddings [rows * columns, W] of a grid of patches, interpolated where it is not CLIP's own."""
        own = self.side // self.patch
        if (rows, columns) == (own, own):
            return table
        # By factors a tenth of a patch too large rather than by the target size: the release's way.
        grid = table.T.reshape(1, -1, own, own).float()
        grid = F.interpolate(grid, scale_factor=((rows + 0.1) / own, (columns + 0.1) / own), mode="bicubic")
        return grid[0].flatten(1).T.to(table)

    @property
    def blocks(self) -> Sequence[Any]:
        """The image encoder's blocks."""
        layers: Sequence[Any] = self.model.vision_model.encoder.layers
        return layers

    def _used(self, settings: DiscriminativeSettings) -> Sequence[Any]:
        if -settings.clip_layer > len(self.blocks):
            raise InputError(f"clip_layer must lie between {-len(self.blocks)} and -1 for this CLIP, not "
                             f"{settings.clip_layer}.")
        return self.blocks[: len(self.blocks) + 1 + settings.clip_layer]

    def project(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens [..., W] after the last block into the space shared with text: float32 [..., D], not normalised."""
        projected: torch.Tensor = self.model.visual_projection(self.model.vision_model.post_layernorm(tokens))
        return projected.float()


def _shown(image: ImageLike, where: str, settings: Settings | DiscriminativeSettings,
           expression: Expression | str | None) -> tuple[np.ndarray, DiscriminativeSettings]:
    """The image as the encoder sees it, float32 [H, W, 3] in [0, 1], and the settings of this process."""
    own = settings.discriminative if isinstance(settings, Settings) else settings
    if isinstance(image, np.ndarray) and image.dtype == np.float32:
        return image, own
    if isinstance(expression, str) and isinstance(settings, Settings):
        expression = parse(expression, settings.expression)
    clues = expression.direction if isinstance(expression, Expression) and own.clue_on == where else ()
    return biased_image(load_image(image), clues, own.clue_ramp), own


def _aspect(cut: torch.Tensor, side: int) -> torch.Tensor:
    """The cut float32 [3, h, w] with its shorter edge resized to `side`: float32 [3, h', w']; 8 bit, as released."""
    height, width = cut.shape[1:]
    shorter = min(height, width)
    size = [side if extent == shorter else int(side * extent / shorter) for extent in (width, height)]
    # Truncated to 8 bit; the nudge undoes float32 rounding of whole values.
    eight_bit = (cut * 255 + 1e-3).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    resized = Image.fromarray(eight_bit).resize((size[0], size[1]), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255


def heads(attention: Any, normed: torch.Tensor, names: str = "qkv") -> list[torch.Tensor]:
    """Queries, keys and values, each [B, H, n, d], of normed tokens [B, n, W] by transformers' `CLIPAttention`."""
    return [getattr(attention, f"{name}_proj")(normed).unflatten(2, (attention.num_heads, -1)).transpose(1, 2)
            for name in names]


def rest_of_block(block: Any, hidden: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
    """The rest of a `CLIPEncoderLayer` over [B, n, W], after what its attention has mixed [B, H, n, d]."""
    hidden = hidden + block.self_attn.out_proj(mixed.transpose(1, 2).flatten(2))
    result: torch.Tensor = hidden + block.mlp(block.layer_norm2(hidden))
    return result


def _masked_block(block: Any, tokens: torch.Tensor, patches: torch.Tensor,
                  inside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """One encoder block for one [CLS] per proposal [1, N, W], `inside` bool [N, P], and the shared patches [1, P,
    W]."""
    attention, normed = block.self_attn, block.layer_norm1(patches)
    query, key, value = heads(attention, normed)
    own_query, own_key, own_value = heads(attention, block.layer_norm1(tokens))
    to_patches = (own_query @ key.transpose(-1, -2)).masked_fill(~inside, float("-inf"))
    to_self = (own_query * own_key).sum(-1, keepdim=True)
    weights = (torch.cat([to_patches, to_self], dim=-1).float() * attention.scale).softmax(-1).to(value.dtype)
    tokens = rest_of_block(block, tokens, weights[..., :-1] @ value + weights[..., -1:] * own_value)
    patches = rest_of_block(block, patches, F.scaled_dot_product_attention(query, key, value, scale=attention.scale))
    return tokens, patches
