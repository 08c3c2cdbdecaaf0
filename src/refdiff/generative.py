"""The generative process: what a text-to-image diffusion model attends to for each word (Eq. 3-5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from .edges import EdgeSmoother
from .errors import BundleError
from .expressions import Expression, parse, release_token, root_tokens
from .images import ImageLike, letterbox, load_image, square_offsets
from .settings import OFFICIAL, Settings
from .transformer import attend, heads, output

_EPSILON = 1e-8


@dataclass(frozen=True)
class CorrelationMap:
    """Eq. 5 for one expression: `map` float32 [H, W] in [0, 1]; `tokens` as the model reads them; `per_token`
    float32 [T, H, W], each token's own map in [0, 1]; `root` the indices in `tokens` that made `map`.
    """

    map: np.ndarray
    tokens: tuple[str, ...]
    per_token: np.ndarray
    root: tuple[int, ...]


class _Done(Exception):
    """Raised inside the U-Net once the last wanted layer has been read: nothing after it is needed."""


class _Reader:
    """Cross-attention processor that also keeps Eq. 4, averaged over heads; what the model computes is unchanged."""

    def __init__(self, softmax: bool, last: bool):
        self.softmax, self.last = softmax, last
        self.map: torch.Tensor | None = None

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None, **_):
        queries, keys = attn.to_q(hidden_states), attn.to_k(encoder_hidden_states)
        query, key = heads(queries, attn.heads), heads(keys, attn.heads)
        weights = None
        if self.softmax:
            weights = ((query.float() @ key.float().mT) * attn.scale).softmax(-1)
            self.map = weights.mean(1)
        else:  # the mean of the heads' dot products is the whole dot product over their number
            self.map = (queries.float() @ keys.float().transpose(-1, -2)) * (attn.scale / attn.heads)
        if self.last:
            raise _Done
        values = heads(attn.to_v(encoder_hidden_states), attn.heads)
        if weights is None:
            mixed = attend(query, key, values, attn.scale)
        else:
            mixed = weights.to(values.dtype) @ values
        return output(attn, mixed)


class _Once:
    """Self-attention whose input repeats along the batch, computed once."""

    def __init__(self, processor, repeats: int):
        self.processor, self.repeats = processor, repeats

    def __call__(self, attn, hidden_states, *arguments, **options):
        own = hidden_states[: len(hidden_states) // self.repeats]
        return self.processor(attn, own, *arguments, **options).repeat(self.repeats, 1, 1)


_RUNNING_ORDER = {"down_blocks": 0, "mid_block": 1, "up_blocks": 2}


def cross_attention_layers(unet: Any) -> list[str]:
    """Names of the U-Net's cross-attention layers in the order they run."""
    names = [name for name, module in unet.named_modules() if name.endswith("attn2") and hasattr(module, "processor")]
    return sorted(names, key=lambda name: _RUNNING_ORDER[name.partition(".")[0]])


@contextmanager
def _shared_start(unet: Any, pictures: int, texts: int) -> Iterator[None]:
    """Let the U-Net run on latents of `pictures` with a multiple of as many `texts`.

    What comes before the first cross-attention no text reaches: it runs on the pictures, which repeat there.
    """
    if pictures == texts:
        yield
        return

    def widened(x: torch.Tensor) -> torch.Tensor:
        return x if len(x) == texts else x.repeat(texts // len(x), *[1] * (x.ndim - 1))

    def widen_up_block(module, inputs, options):
        skips = options["res_hidden_states_tuple"]
        if hasattr(module, "attentions") or len(options["hidden_states"]) == texts:
            options |= {"hidden_states": widened(options["hidden_states"]),
                        "res_hidden_states_tuple": tuple(map(widened, skips))}
        return inputs, options

    first = cross_attention_layers(unet)[0]
    handles = [unet.time_embedding.register_forward_hook(lambda module, inputs, output: output[:1])]
    handles += [block.register_forward_pre_hook(widen_up_block, with_kwargs=True) for block in unet.up_blocks]
    before = None
    if not first.startswith("up_blocks"):  # there the whole block is widened, as it joins skip connections
        transformer = unet.get_submodule(first.partition(".transformer_blocks")[0])
        handles.append(transformer.register_forward_pre_hook(lambda module, inputs: (widened(inputs[0]), *inputs[1:])))
        own = unet.get_submodule(first.removesuffix("2") + "1")
        before = own.processor
        own.set_processor(_Once(before, texts // pictures))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        if before is not None:
            own.set_processor(before)


def read_attention(unet: Any, latents: torch.Tensor, timestep: int, states: torch.Tensor, layers: list[str],
                   softmax: bool, whole: bool = False) -> tuple[list[torch.Tensor], torch.Tensor | None]:
    """Eq. 4: head-averaged cross-attention maps float32 [B, h, w, S] of `layers`, in the order they run, and the
    U-Net's output [B, C, H, W].

    `states` [B, S, d] may be a multiple of `latents` [b, C, H, W], which then repeat. Unless `whole`, the U-Net stops
    after the last of `layers` and the output is None.
    """
    modules = dict(unet.named_modules())
    readers = {name: _Reader(softmax, not whole and name == layers[-1]) for name in layers}
    before = {name: modules[name].processor for name in layers}
    for name, reader in readers.items():
        modules[name].set_processor(reader)
    output = None
    try:
        with _shared_start(unet, len(latents), len(states)):
            output = unet(latents, timestep, encoder_hidden_states=states).sample
    except _Done:
        pass
    finally:
        for name, processor in before.items():
            modules[name].set_processor(processor)
    ratio = latents.shape[-2] / latents.shape[-1]
    grids = [readers[name].map for name in layers]
    return [grid.unflatten(1, (round((grid.shape[1] * ratio) ** 0.5), -1)) for grid in grids], output


class GenerativeModel:
    """A diffusers text-to-image pipeline folder with a `UNet2DConditionModel`, read for its cross-attention.

    `part` gives the models 'unet', 'vae' and 'text_encoder' when they are used; `stride` px of the picture lie in one
    cell of a latent.
    """

    def __init__(self, part: Callable[[str], Any], tokenizer, scheduler, stride: int):
        self._part, self.tokenizer, self.scheduler, self.stride = part, tokenizer, scheduler, stride

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | torch.device = "cpu",
                        dtype: torch.dtype | None = None) -> GenerativeModel:
        """Load unet, vae, text_encoder, tokenizer and scheduler from a `StableDiffusionPipeline` folder."""
        from .bundle import load_diffusion, load_diffusion_part

        return cls(cache(lambda name: load_diffusion_part(folder, name, device, dtype)), *load_diffusion(folder))

    @property
    def unet(self) -> Any:
        return self._part("unet")

    @property
    def vae(self) -> Any:
        return self._part("vae")

    @property
    def text_encoder(self) -> Any:
        return self._part("text_encoder")

    @torch.inference_mode()
    def encode_image(self, image: np.ndarray, settings: Settings) -> torch.Tensor:
        """The scaled VAE latent of the picture on its black square, float32 [1, C, h, w]; a seeded sample of the
        posterior (release)."""
        vae = self.vae
        pixels = torch.from_numpy(letterbox(image, settings.image_size)).to(vae.device)
        pixels = (pixels.permute(2, 0, 1)[None].float() / 127.5 - 1).to(vae.dtype)
        posterior = vae.encode(pixels).latent_dist
        generator = torch.Generator().manual_seed(settings.seed)
        sample = torch.randn(posterior.mean.shape, generator=generator).to(posterior.mean)
        shift = vae.config.shift_factor or 0.0
        return ((posterior.mean + posterior.std * sample).float() - shift) * vae.config.scaling_factor

    def noise(self, latents: torch.Tensor, settings: Settings) -> torch.Tensor:
        """The forward noise of Eq. 3, drawn on the CPU so that every device sees the same; float32 like `latents`."""
        generator = torch.Generator().manual_seed(settings.seed + 1)
        return torch.randn(latents.shape, generator=generator).to(latents.device)

    @torch.inference_mode()
    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        """K of Eq. 4: text features [B, S, d], every text padded to the tokenizer's length."""
        encoder = self.text_encoder
        ids = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return encoder(ids.to(encoder.device)).last_hidden_state

    def layers(self, settings: Settings) -> list[str]:
        """Names of the cross-attention layers with one query per `attention_stride` px, in the order they run.

        Raises BundleError when the U-Net has none at that stride.
        """
        levels = len(self.unet.config.block_out_channels)
        strides: dict[str, int] = {}
        for name in cross_attention_layers(self.unet):
            part, _, rest = name.partition(".")
            level = levels - 1
            if part == "down_blocks":
                level = int(rest.split(".")[0])
            elif part == "up_blocks":
                level = levels - 1 - int(rest.split(".")[0])
            strides[name] = self.stride * 2**level
        names = [name for name, stride in strides.items()
                 if stride == settings.attention_stride and name.startswith(settings.layers or "")]
        if not names:
            raise BundleError(
                f"No cross-attention layer has one query per {settings.attention_stride} px"
                f"{' among ' + ', '.join(settings.layers) if settings.layers else ''}; "
                f"this U-Net has strides {', '.join(map(str, sorted(set(strides.values()))))}.")
        return names

    @torch.inference_mode()
    def attention(self, latents: torch.Tensor, texts: list[str], settings: Settings,
                  noise: torch.Tensor | None = None) -> torch.Tensor:
        """Eq. 3 and 4: maps float32 [L, B, h, w, S] of every used layer and step for each text.

        With guidance the maps are guided like the noise (release): uncond + scale * (cond - uncond).
        """
        noise = self.noise(latents, settings) if noise is None else noise.to(latents)
        levels = self.scheduler.alphas_cumprod.to(latents)
        level = levels[settings.noise_timestep]
        current = level.sqrt() * latents + (1 - level).sqrt() * noise
        guided = settings.guidance != 1.0
        states = self.encode_texts([""] * guided + [text + settings.prompt_suffix for text in texts])
        unet, layers, maps = self.unet, self.layers(settings), []
        for step, timestep in enumerate(settings.timesteps):
            last = step == len(settings.timesteps) - 1
            if step == 1 and guided:  # from here on each text has a latent of its own, so has its empty text
                states = torch.cat([states[:1].expand(len(texts), -1, -1), states[1:]])
            read, output = read_attention(unet, current.to(unet.dtype), timestep, states.to(unet.dtype), layers,
                                          settings.attention == "softmax", whole=not last)
            guide = lambda x: _guide(x, len(texts), settings.guidance) if guided else x  # noqa: E731
            maps += map(guide, read)
            if not last:
                current = self.step(current, guide(output.float()), timestep, settings.timesteps[step + 1], levels)
        return torch.stack(maps)

    def step(self, current, predicted, timestep: int, following: int, levels) -> torch.Tensor:
        """A deterministic DDIM step (eta 0) from `timestep` to `following`."""
        here, there = levels[timestep], levels[following]
        if self.scheduler.config.prediction_type == "v_prediction":
            clean = here.sqrt() * current - (1 - here).sqrt() * predicted
            predicted = here.sqrt() * predicted + (1 - here).sqrt() * current
        else:
            clean = (current - (1 - here).sqrt() * predicted) / here.sqrt()
        return there.sqrt() * clean + (1 - there).sqrt() * predicted

    def token_indices(self, expression: Expression, settings: Settings) -> list[int]:
        """k of Eq. 5: the tokens that spell the root; the release's single one under its rule."""
        if settings.root_rule == "release":
            return [release_token(self.tokenizer, expression)]
        return root_tokens(self.tokenizer, expression)

    def tokens(self, text: str) -> tuple[str, ...]:
        """The text as the model reads it, start and end included, in words a person can read."""
        ids = self.tokenizer(text, truncation=True).input_ids
        return tuple(token.replace("</w>", "") for token in self.tokenizer.convert_ids_to_tokens(ids))

    def correlation(self, image: ImageLike, text: str, settings: Settings = OFFICIAL, token_index: int | None = None,
                    latents: torch.Tensor | np.ndarray | None = None,
                    noise: torch.Tensor | np.ndarray | None = None) -> np.ndarray:
        """c of Eq. 5 for one text: float32 [H, W] in [0, 1].

        `latents` (scaled) and `noise` float32 [1, C, h, w] replace the VAE's sample and the drawn noise;
        `token_index` the root's k.
        """
        image = load_image(image)
        if latents is None:
            latents = self.encode_image(image, settings)
        latents = torch.as_tensor(latents, dtype=torch.float32, device=self.unet.device)
        noise = None if noise is None else torch.as_tensor(noise, dtype=torch.float32)
        maps = self.attention(latents, [text], settings, noise)[:, 0]
        indices = [token_index] if token_index is not None else self.token_indices(
            parse(text, settings.root_rule, settings.clue_rule), settings)
        smooth = edge_smoother(image, settings)
        return correlation_map(maps[..., indices].mean(-1), image.shape[:2], settings, smooth).numpy()


def edge_smoother(image: np.ndarray, settings: Settings) -> EdgeSmoother | None:
    """What lets the maps of a picture follow its edges, where the settings ask for it."""
    return EdgeSmoother(image, settings.edge_smoothing) if settings.edge_smoothing else None


def _guide(both: torch.Tensor, texts: int, scale: float) -> torch.Tensor:
    """The empty text's part of the batch, then that of the `texts`."""
    without, with_text = both[:-texts], both[-texts:]
    return without + scale * (with_text - without)


def _unit(values: torch.Tensor, epsilon: float) -> torch.Tensor:
    low = values.amin((-2, -1), keepdim=True)
    return (values - low) / (values.amax((-2, -1), keepdim=True) - low + epsilon)


def correlation_map(maps: torch.Tensor, size: tuple[int, int], settings: Settings,
                    smooth: EdgeSmoother | None = None) -> torch.Tensor:
    """Eq. 5: one token's maps [L, h, w] -> c float32 [H, W] in [0, 1] for a picture of `size` (H, W), on the CPU.

    combine 'mean': averaged, min-max scaled, resized bilinearly. 'release': each map scaled first, the average
    quantised to 8 bit and resized with Lanczos, scaled again after the crop. Then `smooth` lets it follow edges.
    """
    c = _resized(maps, size, settings).cpu()
    return c if smooth is None else _unit(torch.from_numpy(smooth(c.numpy())), _EPSILON)


def _resized(maps: torch.Tensor, size: tuple[int, int], settings: Settings) -> torch.Tensor:
    height, width = size
    side, top, left = square_offsets(height, width)
    if settings.combine == "release":
        grid = _unit(maps.float(), 0.0).nan_to_num().mean(0)
        small = Image.fromarray((grid * 255).cpu().numpy().astype(np.uint8))
        square = torch.from_numpy(np.array(small.resize((side, side), Image.Resampling.LANCZOS))).float()
        return _unit(square[top : top + height, left : left + width], _EPSILON)
    grid = _unit(maps.float().mean(0), _EPSILON)
    square = F.interpolate(grid[None, None], size=(side, side), mode="bilinear")[0, 0]
    return _unit(square[top : top + height, left : left + width], _EPSILON)
