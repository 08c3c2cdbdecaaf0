"""The discriminative process: CLIP features of proposals and expressions (Eq. 6, 7, 10)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from .errors import InputError
from .expressions import Direction, Expression, parse
from .images import ImageLike, load_image
from .masks import boxes
from .matching import inside_means
from .memory import cached
from .settings import Settings
from .transformer import attend, clip_heads, clip_rest

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def positional_bias(height: int, width: int, directions: Iterable[Direction], release: bool = False) -> np.ndarray:
    """P of Eq. 6: float32 [height, width], 1 at the named edge falling linearly to 0 at the far one.

    Two clues multiply; none gives ones. As released the ramp runs over two thirds of the width and is 0 beyond.
    """
    bias = np.ones((height, width), np.float32)
    for direction in directions:
        horizontal = direction in ("left", "right")
        extent = width if horizontal else height
        length = int(extent * 2 / 3) if release else extent
        ramp = np.zeros(extent, np.float32)
        ramp[:length] = np.linspace(1, 0, length)
        if direction in ("right", "bottom"):
            ramp = ramp[::-1]
        bias *= ramp[None, :] if horizontal else ramp[:, None]
    return bias


class DiscriminativeModel:
    """A transformers `CLIPModel` with a ViT image encoder."""

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer
        self.side, self.patch = model.config.vision_config.image_size, model.config.vision_config.patch_size

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | torch.device = "cpu",
                        dtype: torch.dtype | None = None) -> DiscriminativeModel:
        """Load a CLIPModel and its tokenizer from a folder."""
        from .bundle import load_clip

        return cls(*load_clip(folder, device, dtype))

    def masked_features(self, image: ImageLike, masks: np.ndarray, settings: Settings,
                        expression: Expression | str | None = None) -> torch.Tensor:
        """f_M of Eq. 7 for every proposal in one pass: float32 [N, D], unit length.

        `masks` bool [N, H, W]. Patches are computed once and see no [CLS]; each proposal has a [CLS] of its own
        that sees itself and the patches inside its mask (attention to others is 0). With an expression whose clue
        acts here, the picture is x * P.
        """
        image = load_image(image)
        clues = _clues(expression, settings) if settings.clue_on == "masked" else ()
        return self.masked_features_of(biased_picture(image, clues, settings), masks, settings)

    def crop_features(self, image: ImageLike, masks: np.ndarray, settings: Settings,
                      expression: Expression | str | None = None) -> torch.Tensor:
        """f of Eq. 7 on x * M for every proposal: float32 [N, D], unit length; `settings.crop` says what is seen.

        With an expression whose clue acts here, the picture is x * P * M.
        """
        image = load_image(image)
        clues = _clues(expression, settings) if settings.clue_on == "crop" else ()
        return self.crop_features_of(biased_picture(image, clues, settings), masks, settings)

    def text_feature(self, expression: Expression | str, settings: Settings) -> torch.Tensor:
        """r of Eq. 10: the mean of the unit features of the text and of the root word alone; float32 [D]."""
        if isinstance(expression, str):
            expression = parse(expression, settings.root_rule, settings.clue_rule)
        return self.text_features([expression], settings)[0][0]

    @torch.inference_mode()
    def text_features(self, expressions: list[Expression], settings: Settings) -> tuple[torch.Tensor, torch.Tensor]:
        """(r of Eq. 10, what crops are compared with), each float32 [B, D]; all texts in one batch."""
        texts = [each.phrase if settings.text == "phrase" else each.text for each in expressions]
        unit = self._encode_texts(texts + [each.root for each in expressions])
        whole, root = unit[: len(texts)], unit[len(texts) :]
        mean = (whole + root) / 2
        return mean, mean if settings.crop_text == "mean" else whole

    def _encode_texts(self, texts: list[str]) -> torch.Tensor:
        return F.normalize(self.raw_text_features(texts), dim=-1)

    @torch.inference_mode()
    def raw_text_features(self, texts: list[str]) -> torch.Tensor:
        """CLIP's features of texts as they are, one batch: float32 [B, D], not normalised."""
        length = min(self.tokenizer.model_max_length, self.model.config.text_config.max_position_embeddings)
        ids = self.tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        output = self.model.text_model(ids.input_ids.to(self.model.device)).pooler_output
        return self.model.text_projection(output).float()

    @torch.inference_mode()
    def masked_features_of(self, picture: np.ndarray, masks: np.ndarray, settings: Settings) -> torch.Tensor:
        """`masked_features` of a picture float32 [H, W, 3] in [0, 1] that already carries its bias."""
        pixels = torch.from_numpy(picture).permute(2, 0, 1)[None]
        if settings.clip_side:
            scale = settings.clip_side / min(pixels.shape[-2:])
            size = [max(self.patch, round(extent * scale)) for extent in pixels.shape[-2:]]
            pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
        if min(pixels.shape[-2:]) < self.patch:
            pixels = F.interpolate(pixels, size=[max(self.patch, extent) for extent in pixels.shape[-2:]],
                                   mode="bilinear")
        hidden, rows, columns = self.embedded(self._normalise(pixels))
        inside = torch.from_numpy(masks).view(torch.uint8)[:, None]
        inside = F.interpolate(inside, size=(rows, columns)).bool().flatten(1).to(hidden.device)
        tokens, grid = hidden[:, :1].expand(-1, len(masks), -1), hidden[:, 1:]
        *layers, last = self._used(settings)
        for layer in layers:
            tokens, grid = _masked_block(layer, tokens, grid, inside)
        tokens, _ = _masked_block(last, tokens, grid, inside, alone=True)
        return F.normalize(self.project(tokens[0]), dim=-1)

    @torch.inference_mode()
    def crop_features_of(self, picture: np.ndarray, masks: np.ndarray, settings: Settings) -> torch.Tensor:
        """`crop_features` of a picture float32 [H, W, 3] in [0, 1] that already carries its bias."""
        crops: dict[tuple[int, ...], list[tuple[int, torch.Tensor]]] = defaultdict(list)
        whole, insides = torch.from_numpy(picture).permute(2, 0, 1).contiguous(), torch.from_numpy(masks)
        for index, (inside, (left, top, right, bottom)) in enumerate(zip(insides, boxes(masks), strict=True)):
            if settings.crop == "image" or right == left:
                left, top, bottom, right = 0, 0, *inside.shape
            cut = whole[:, top:bottom, left:right] * inside[top:bottom, left:right]
            pixels = _aspect(cut, settings.crop_side or self.side) if settings.crop == "aspect" else self._square(cut)
            crops[tuple(pixels.shape)].append((index, pixels))
        features = torch.zeros(len(masks), self.model.projection_dim, device=self.model.device)
        for (_, height, width), group in crops.items():
            hidden = height * width / self.patch**2 * self.model.config.vision_config.intermediate_size
            at_once = cached(settings.crops_per_batch, hidden * self.model.dtype.itemsize, self.model.device)
            for start in range(0, len(group), at_once):
                indices, pixels = zip(*group[start : start + at_once], strict=True)
                features[list(indices)] = self.plain_features(torch.stack(pixels), settings)
        return features

    def _square(self, cut: torch.Tensor) -> torch.Tensor:
        return F.interpolate(cut[None], size=(self.side, self.side), mode="bilinear", antialias=True)[0]

    @torch.inference_mode()
    def plain_features(self, pixels: torch.Tensor, settings: Settings) -> torch.Tensor:
        """f of Eq. 7: the ordinary encoder on float32 [B, 3, h, w] in [0, 1]; float32 [B, D], unit length."""
        hidden, _, _ = self.embedded(self._normalise(pixels))
        *layers, last = self._used(settings)
        for layer in layers:
            hidden = _block(layer, hidden)
        return F.normalize(self.project(_class_token(last, hidden)), dim=-1)

    def _normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        pixels = pixels.to(self.model.device)
        mean, std = (torch.tensor(values, device=pixels.device)[:, None, None] for values in (MEAN, STD))
        return ((pixels - mean) / std).to(self.model.dtype)

    def patches(self, pixels: torch.Tensor) -> tuple[torch.Tensor, int, int]:
        """Patch embeddings with positions [B, rows * columns, width], rows, columns."""
        embeddings = self.model.vision_model.embeddings
        grid = embeddings.patch_embedding(pixels)
        rows, columns = grid.shape[-2:]
        own = self.side // self.patch
        positions = embeddings.position_embedding.weight[1:]
        if (rows, columns) != (own, own):
            # By factors a tenth of a patch too large rather than by the target size: the release's way.
            table = positions.T.reshape(1, -1, own, own).float()
            table = F.interpolate(table, scale_factor=((rows + 0.1) / own, (columns + 0.1) / own), mode="bicubic")
            positions = table[0].flatten(1).T.to(positions)
        return grid.flatten(2).transpose(1, 2) + positions, rows, columns

    @property
    def blocks(self) -> torch.nn.ModuleList:
        """The image encoder's blocks."""
        return self.model.vision_model.encoder.layers

    def _used(self, settings: Settings) -> torch.nn.ModuleList:
        if not -len(self.blocks) <= settings.clip_layer <= -1:
            raise InputError(f"clip_layer must lie between {-len(self.blocks)} and -1 for this CLIP, not "
                             f"{settings.clip_layer}.")
        return self.blocks[: len(self.blocks) + 1 + settings.clip_layer]

    def embedded(self, pixels: torch.Tensor) -> tuple[torch.Tensor, int, int]:
        """[CLS] and patches [B, 1 + P, W] of normalised pixels, as the first block takes them; rows, columns."""
        vision = self.model.vision_model
        grid, rows, columns = self.patches(pixels)
        first = vision.embeddings.class_embedding + vision.embeddings.position_embedding.weight[0]
        return vision.pre_layrnorm(torch.cat([first.expand(len(grid), 1, -1), grid], dim=1)), rows, columns

    def project(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens [..., W] after the last block into the space shared with text: float32 [..., D], not normalised."""
        return self.model.visual_projection(self.model.vision_model.post_layernorm(tokens)).float()


def _aspect(cut: torch.Tensor, side: int) -> torch.Tensor:
    """The cut float32 [3, h, w] with its shorter edge resized to `side`: float32 [3, h', w']; 8 bit, as released."""
    height, width = cut.shape[1:]
    shorter = min(height, width)
    size = tuple(side if extent == shorter else int(side * extent / shorter) for extent in (width, height))
    # truncated to 8 bit; the nudge undoes float32 rounding of whole values
    eight_bit = (cut * 255 + 1e-3).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    resized = Image.fromarray(eight_bit).resize(size, Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255


def biased_picture(image: np.ndarray, clues: Iterable[Direction], settings: Settings) -> np.ndarray:
    """Eq. 6: x * P as float32 [H, W, 3] in [0, 1]; the plain picture without clues."""
    picture = image.astype(np.float32) / 255
    clues = tuple(clues)
    if not clues:
        return picture
    return picture * positional_bias(*image.shape[:2], clues, settings.clue_rule == "release")[..., None]


def clue_scores(expression: Expression, masks: np.ndarray, settings: Settings) -> torch.Tensor:
    """What a clue adds to s^D: `clue_weight` times the mean of P inside each mask (bool [N, H, W]); float32 [N]."""
    if not (expression.direction and settings.clue_weight):
        return torch.zeros(len(masks))
    bias = positional_bias(*masks.shape[1:], expression.direction, settings.clue_rule == "release")
    return settings.clue_weight * inside_means(bias, masks)


def _clues(expression: Expression | str | None, settings: Settings) -> tuple[Direction, ...]:
    if isinstance(expression, str):
        expression = parse(expression, settings.root_rule, settings.clue_rule)
    return () if expression is None else expression.direction


def _block(layer, hidden: torch.Tensor) -> torch.Tensor:
    """An encoder block over [B, n, W]."""
    normed = layer.layer_norm1(hidden)
    return clip_rest(layer, hidden, attend(*clip_heads(layer.self_attn, normed), layer.self_attn.scale))


def _class_token(layer, hidden: torch.Tensor) -> torch.Tensor:
    """[CLS] [B, W] after an encoder block over [B, 1 + P, W]: all that is needed of the last one."""
    normed = layer.layer_norm1(hidden)
    query, = clip_heads(layer.self_attn, normed[:, :1], "q")
    mixed = F.scaled_dot_product_attention(query, *clip_heads(layer.self_attn, normed, "kv"),
                                           scale=layer.self_attn.scale)
    return clip_rest(layer, hidden[:, :1], mixed)[:, 0]


def _masked_block(layer, tokens: torch.Tensor, grid: torch.Tensor, inside: torch.Tensor, alone: bool = False):
    """One encoder block for one [CLS] per proposal [1, N, W], `inside` bool [N, P], and the shared patches [1, P, W],
    which stay as they are where the tokens alone are needed."""
    scale, normed = layer.self_attn.scale, layer.layer_norm1(grid)
    key, value = clip_heads(layer.self_attn, normed, "kv")
    own_query, own_key, own_value = clip_heads(layer.self_attn, layer.layer_norm1(tokens))
    to_patches = (own_query @ key.transpose(-1, -2)).masked_fill(~inside, float("-inf"))
    to_self = (own_query * own_key).sum(-1, keepdim=True)
    weights = (torch.cat([to_patches, to_self], dim=-1).float() * scale).softmax(-1).to(value.dtype)
    tokens = clip_rest(layer, tokens, weights[..., :-1] @ value + weights[..., -1:] * own_value)
    if not alone:
        query, = clip_heads(layer.self_attn, normed, "q")
        grid = clip_rest(layer, grid, attend(query, key, value, scale))
    return tokens, grid
