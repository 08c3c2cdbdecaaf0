"""The reference implementation: what refdiff's answers are compared with, and its time is measured against.

The release's schedule, once for every expression, nothing shared between expressions: whole U-Net steps on the empty
text and the expression side by side, every SAM mask resized to the image before it is judged, one CLIP call per crop.
It is written from the paper, the release and the docstrings of `settings`, and shares with the method only settings,
weights and the parsed expression: no kernel and no formula. Everything is in float32, by the libraries' own models. SAM
is asked on its grid of points whatever `point_source` says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ..language import Expression, parse
from ..settings import DiscriminativeSettings, GenerativeSettings, Settings
from ..weights import load
from ..weights.manifest import Bundle
from . import reference_steps as steps

SAM_MEAN, SAM_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, eq=False)
class Answer:
    """`mask` bool [H, W] that wins; `correlation` c of Eq. 5, float32 [H, W] in [0, 1]."""

    mask: np.ndarray
    correlation: np.ndarray


class Reference:
    """A bundle's models as their libraries have them, and the method in the order of the paper. Raises BundleError."""

    def __init__(self, bundle: Bundle, device: torch.device):
        home = bundle.part("diffusion")
        self.device = device
        self.tokenizer = load.load_tokenizer(home / "tokenizer", load.text_positions(home / "text_encoder"))
        self.text_encoder = load.load_text_encoder(home / "text_encoder", device)
        self.vae, self.unet = load.load_vae(home / "vae", device), load.load_unet(home / "unet", device)
        self.scheduler = load.load_scheduler(home / "scheduler")
        self.sam = load.load_sam(bundle.part("sam"), device)
        self.clip, self.clip_tokenizer = load.load_clip(bundle.part("clip"), device)
        self._projected: dict[str, torch.Tensor] = {}  # keys, and queries of `_cells` cells, of the last U-Net step
        self._cells = 0
        for name, module in self.unet.named_modules():
            if name.endswith(("attn2.to_q", "attn2.to_k")):
                module.register_forward_hook(partial(self._keep, name))

    def _keep(self, name: str, module: Any, inputs: Any, output: torch.Tensor) -> None:
        if name.endswith("to_k") or output.shape[1] == self._cells:
            self._projected[name] = output

    @torch.inference_mode()
    def answer(self, image: np.ndarray, text: str, settings: Settings) -> Answer:
        """One expression about an image uint8 [H, W, 3], from the beginning to the winner (section 3.1)."""
        expression, matching = parse(text, settings.expression), settings.matching
        c = self.correlation(image, expression, settings)
        masks = self.masks(image, settings)
        s_g = steps.generative_scores(c, masks, matching.generative_rule)
        s_d = self.discriminative_scores(image, masks, expression, settings)
        s = matching.alpha * s_g + (1 - matching.alpha) * s_d  # Eq. 1
        return Answer(masks[steps.winner(s, masks, matching)], c)

    # 3.2 Generative process

    @torch.inference_mode()
    def correlation(self, image: np.ndarray, expression: Expression, settings: Settings) -> np.ndarray:
        """c of Eq. 5, float32 [H, W] in [0, 1]."""
        own = settings.generative
        draw = torch.Generator().manual_seed(own.seed)
        x = self.vae.encode(self._square(image, own.image_size)).latent_dist.sample(draw)
        x = (x - (self.vae.config.shift_factor or 0)) * self.vae.config.scaling_factor
        noise = torch.randn(x.shape, generator=draw.manual_seed(own.seed + 1)).to(self.device)
        x = self.scheduler.add_noise(x, noise, torch.tensor([own.noise_timestep], device=self.device))  # Eq. 3
        texts = [""] * (own.guidance != 1) + [expression.text + own.prompt_suffix]
        ids = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        states = self.text_encoder(ids.to(self.device)).last_hidden_state
        self._cells = (own.image_size // own.attention_stride) ** 2
        maps = []
        for timestep, following in zip(own.timesteps, (*own.timesteps[1:], own.timesteps[-1]), strict=True):
            self._projected.clear()
            predicted = self.unet(x.expand(len(texts), -1, -1, -1), timestep, encoder_hidden_states=states).sample
            maps += [steps.guided(each, own.guidance)[0] for each in self._attention(own)]
            x = self._ddim(x, steps.guided(predicted, own.guidance), timestep, following)
        a = torch.stack(maps)[..., self._root_tokens(expression, settings)].mean(-1).cpu().numpy()
        return steps.correlation_map(a, image, own)

    def _square(self, image: np.ndarray, side: int) -> torch.Tensor:
        """The image centred on a black square, resized with Lanczos: float32 [1, 3, side, side] in [-1, 1]."""
        height, width = image.shape[:2]
        longer = max(height, width)
        square = Image.new("RGB", (longer, longer))
        square.paste(Image.fromarray(image), ((longer - width) // 2, (longer - height) // 2))
        pixels = np.asarray(square.resize((side, side), Image.Resampling.LANCZOS), np.float32)
        return torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)[None].to(self.device)

    def _attention(self, settings: GenerativeSettings) -> list[torch.Tensor]:
        """Eq. 4 of the last U-Net step: [B, h, w, S] of each layer that is used, the mean over its heads."""
        side, maps = settings.image_size // settings.attention_stride, []
        for name, layer in self.unet.named_modules():
            if not name.startswith(settings.layers or "") or f"{name}.to_q" not in self._projected:
                continue
            q, k = (self._projected[f"{name}.{each}"].unflatten(2, (layer.heads, -1)) for each in ("to_q", "to_k"))
            a = torch.einsum("bnhd,bshd->bhns", q, k) / math.sqrt(q.shape[-1])
            if settings.attention == "softmax":
                a = a.softmax(-1)
            maps.append(a.mean(1).unflatten(1, (side, side)))
        return maps

    def _ddim(self, x: torch.Tensor, predicted: torch.Tensor, timestep: int, following: int) -> torch.Tensor:
        """A DDIM step (Song et al., 2021, Eq. 12 with sigma 0), for each thing that a U-Net may predict."""
        now, then = (float(self.scheduler.alphas_cumprod[t]) for t in (timestep, following))
        signal, spread = math.sqrt(now), math.sqrt(1 - now)
        if self.scheduler.config.prediction_type == "v_prediction":
            clean, noise = signal * x - spread * predicted, signal * predicted + spread * x
        elif self.scheduler.config.prediction_type == "sample":
            clean, noise = predicted, (x - signal * predicted) / spread
        else:
            clean, noise = (x - spread * predicted) / signal, predicted
        return math.sqrt(then) * clean + math.sqrt(1 - then) * noise

    def _root_tokens(self, expression: Expression, settings: Settings) -> list[int]:
        """k of Eq. 5: the tokens that spell the root; in the release the last token of the text cut after it."""
        text, root = expression.text, expression.root
        encoded = self.tokenizer(text, truncation=True, return_offsets_mapping=True)
        last = max(1, len(encoded.input_ids) - 2)  # of the text
        if settings.expression.root_rule == "release":
            cut = text[: text.find(root) + len(root)]
            return [min(len(self.tokenizer(cut).input_ids) - 2, last)]
        spans = enumerate(encoded.offset_mapping[1:-1], 1)
        return [k for k, (start, end) in spans if start < expression.end and end > expression.start] or [last]

    # 3.3 Discriminative process

    def discriminative_scores(self, image: np.ndarray, masks: np.ndarray, expression: Expression,
                              settings: Settings) -> np.ndarray:
        """s^D of Eq. 10, float32 [N], with v of Eq. 7 and x * P of Eq. 6."""
        own, beta = settings.discriminative, settings.matching.beta
        text, root = self._text_features([expression.phrase if own.text == "phrase" else expression.text,
                                          expression.root])
        r = (text + root) / 2
        x, p = image / np.float32(255), steps.positional_bias(image, expression, own.clue_ramp)
        biased = x * p[..., None]
        f_m = self._masked_features(biased if own.clue_on == "masked" else x, masks, own)
        f = np.stack([self._crop_features(biased if own.clue_on == "crop" else x, mask, own) for mask in masks])
        s_d = beta * f_m @ r + (1 - beta) * f @ (r if own.crop_text == "mean" else text)
        if expression.direction:
            s_d += settings.matching.clue_weight * np.array([p[mask].mean() for mask in masks])
        return s_d

    def _text_features(self, texts: list[str]) -> np.ndarray:
        """float32 [B, D], unit length."""
        length = min(self.clip_tokenizer.model_max_length, self.clip.config.text_config.max_position_embeddings)
        ids = self.clip_tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        pooled = self.clip.text_model(ids.input_ids.to(self.device)).pooler_output
        return F.normalize(self.clip.text_projection(pooled), dim=-1).cpu().numpy()

    def _masked_features(self, x: np.ndarray, masks: np.ndarray, settings: DiscriminativeSettings) -> np.ndarray:
        """f_M of Eq. 7, float32 [N, D]: one [CLS] per proposal, which sees itself and the patches inside its mask."""
        patch = self.clip.config.vision_config.patch_size
        scale = settings.clip_side / min(x.shape[:2]) if settings.clip_side else 1
        size = [max(patch, round(extent * scale)) for extent in x.shape[:2]]
        pixels = torch.from_numpy(x).permute(2, 0, 1)[None]
        if size != list(x.shape[:2]):
            pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
        grid = [extent // patch for extent in size]
        inside = F.interpolate(torch.from_numpy(masks)[:, None].float(), grid).flatten(1) > 0
        return self._vision_features(pixels, settings.clip_layer, inside)

    def _crop_features(self, x: np.ndarray, mask: np.ndarray, settings: DiscriminativeSettings) -> np.ndarray:
        """f of Eq. 7 on x * M, float32 [D]."""
        side, seen = self.clip.config.vision_config.image_size, x * mask[..., None]
        if settings.crop != "image":
            rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
            seen = seen[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        if settings.crop == "aspect":
            height, width = seen.shape[:2]
            shorter, side = min(height, width), settings.crop_side or side
            eight_bit = Image.fromarray((seen * 255 + 1e-3).astype(np.uint8))  # whole values stay what they are
            resized = eight_bit.resize((side * width // shorter, side * height // shorter), Image.Resampling.BILINEAR)
            pixels = torch.from_numpy(np.asarray(resized) / np.float32(255)).permute(2, 0, 1)[None]
        else:
            pixels = torch.from_numpy(seen).permute(2, 0, 1)[None]
            pixels = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
        return self._vision_features(pixels, settings.clip_layer)[0]

    def _vision_features(self, pixels: torch.Tensor, last: int, inside: torch.Tensor | None = None) -> np.ndarray:
        """Unit features float32 [N, D] of the [CLS] tokens over pixels [1, 3, h, w] in [0, 1]; with `inside` bool
        [N, P] one for each of its rows, which sees those patches, while no patch sees a [CLS]."""
        vision, config = self.clip.vision_model, self.clip.config.vision_config
        mean, std = (torch.tensor(values)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
        grid = vision.embeddings.patch_embedding(((pixels - mean) / std).to(self.device))
        (rows, columns), own = grid.shape[2:], config.image_size // config.patch_size
        table = vision.embeddings.position_embedding.weight
        places = table[1:].T.reshape(1, -1, own, own)
        if (rows, columns) != (own, own):
            places = F.interpolate(places, scale_factor=((rows + 0.1) / own, (columns + 0.1) / own), mode="bicubic")
        tokens = (vision.embeddings.class_embedding + table[0]).expand(1, 1 if inside is None else len(inside), -1)
        hidden = vision.pre_layrnorm(torch.cat([tokens, (grid + places).flatten(2).mT], dim=1))
        attention_mask, count = None, tokens.shape[1]
        if inside is not None:
            sees = torch.ones(hidden.shape[1], hidden.shape[1], dtype=torch.bool)
            sees[:, :count] = torch.eye(hidden.shape[1], count)
            sees[:count, count:] = inside
            attention_mask = torch.zeros(sees.shape).masked_fill(~sees, -math.inf)[None, None].to(self.device)
        for block in vision.encoder.layers[: len(vision.encoder.layers) + 1 + last]:
            hidden = block(hidden, attention_mask=attention_mask)
        features = self.clip.visual_projection(vision.post_layernorm(hidden[0, :count]))
        return F.normalize(features, dim=-1).cpu().numpy()

    # 3.4 Proposals

    @torch.inference_mode()
    def masks(self, image: np.ndarray, settings: Settings) -> np.ndarray:
        """SAM's automatic masks bool [N, H, W], best first; the whole image where there is none."""
        own, size, side = settings.segmentor, image.shape[:2], self.sam.config.vision_config.image_size
        height, width = (max(1, int(extent * side / max(size) + 0.5)) for extent in size)
        embedding = self.sam.vision_encoder(self._padded(image, height, width, side, own.resize)).last_hidden_state
        centres = (torch.arange(own.points_per_side) + 0.5) / own.points_per_side
        points = torch.cartesian_prod(centres, centres).flip(1) * torch.tensor([width, height])
        found: list[tuple[float, np.ndarray]] = []
        for some in points.to(self.device).split(settings.batching.points_per_batch):
            output = self.sam(image_embeddings=embedding, input_points=some[None, :, None], multimask_output=True,
                              input_labels=torch.ones(1, len(some), 1, dtype=torch.int, device=self.device))
            logits = F.interpolate(output.pred_masks[0], (side, side), mode="bilinear")
            logits = F.interpolate(logits[..., :height, :width], size, mode="bilinear").flatten(0, 1)
            rated, inside = output.iou_scores.flatten(), logits > 0
            surely, maybe = ((logits > level).sum((1, 2)) for level in (own.stability_offset, -own.stability_offset))
            good = (rated > own.iou_threshold) & (surely / maybe.clamp(min=1) >= own.stability_threshold)
            good &= inside.any(2).any(1)
            found += zip(rated[good].tolist(), inside[good].cpu().numpy(), strict=True)
        order = sorted(range(len(found)), key=lambda i: -found[i][0])
        masks = steps.unlike_boxes([found[i][1] for i in order], own.nms_threshold)
        masks = steps.unlike_masks(masks, own.duplicate_threshold)
        if own.min_region:
            masks = [steps.tidied(mask, own.min_region) for mask in masks]
        return np.stack(masks) if masks else np.ones((1, *size), bool)

    def _padded(self, image: np.ndarray, height: int, width: int, side: int, resize: str) -> torch.Tensor:
        """float32 [1, 3, side, side]: the image resized to height x width, normalised, zeros to the right and below."""
        if resize == "8bit":
            image = np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        if resize == "float":
            pixels = F.interpolate(pixels, (height, width), mode="bilinear", antialias=True)
        mean, std = (torch.tensor(values)[:, None, None] for values in (SAM_MEAN, SAM_STD))
        padded = torch.zeros(1, 3, side, side)
        padded[..., :height, :width] = (pixels - mean) / std
        return padded.to(self.device)
