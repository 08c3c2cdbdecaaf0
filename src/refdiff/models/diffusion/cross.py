"""Diffusion models with a U-Net and cross-attention to the text: Stable Diffusion 1.x and 2.x (Eq. 3 and 4)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...core.images import ImageLike, letterbox, load_image
from ...errors import BundleError, InputError
from ...language import parse
from ...language.tokens import token_indices
from ...method import EdgeSmoother, correlation_map
from ...settings import OFFICIAL, GenerativeSettings, Settings
from .recorder import Recorder, cross_attention_layers, recording

RunUNet = Callable[[Any, torch.Tensor, int, torch.Tensor, Recorder, bool], torch.Tensor | None]


def run_unet(unet: Any, latents: torch.Tensor, timestep: int, states: torch.Tensor, recorder: Recorder,
             output: bool) -> torch.Tensor | None:
    """Run the U-Net on latents [b, C, H, W] and text states [B, S, d], B a multiple of b, while `recorder` reads.

    Returns what it predicts, [B, C, H, W]; without `output` that is not needed, and may be None.
    """
    repeated = latents.repeat(len(states) // len(latents), 1, 1, 1)
    with recording(recorder):
        predicted: torch.Tensor = unet(repeated, timestep, encoder_hidden_states=states).sample
    return predicted


class CrossAttentionDiffusion:
    """A diffusers text-to-image pipeline with a `UNet2DConditionModel`, read for its cross-attention.

    `part` gives the models 'unet', 'vae' and 'text_encoder' when they are used, readers installed; `stride` px of the
    image lie in one cell of a latent. Threads may share it: calls wait their turn at `lock`.
    """

    def __init__(self, part: Callable[[str], Any], tokenizer: Any, scheduler: Any, stride: int):
        self._part, self.tokenizer, self.scheduler, self.stride = part, tokenizer, scheduler, stride
        self.run_unet: RunUNet = run_unet
        self.lock = threading.RLock()

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | torch.device = "cpu",
                        dtype: torch.dtype = torch.float32) -> CrossAttentionDiffusion:
        """Load unet, vae, text_encoder, tokenizer and scheduler of a `StableDiffusionPipeline` folder, each when it is
        first used. Raises BundleError."""
        from ...weights.load import load_scheduler, load_tokenizer, text_positions, vae_stride

        folder = Path(folder)
        tokenizer = load_tokenizer(folder / "tokenizer", text_positions(folder / "text_encoder"))
        return cls(cache(lambda name: load_part(folder, name, device, dtype)), tokenizer,
                   load_scheduler(folder / "scheduler"), vae_stride(folder / "vae"))

    @torch.inference_mode()
    def encode_image(self, image: np.ndarray, settings: GenerativeSettings) -> torch.Tensor:
        """The scaled VAE latent of the image on its black square, float32 [1, C, h, w]; a seeded sample of the
        posterior (release). Raises InputError for an image_size that the models cannot halve often enough."""
        with self.lock:
            vae, unet = self._part("vae"), self._part("unet")
            whole = self.stride * 2 ** (len(unet.config.block_out_channels) - 1)
            if settings.image_size % whole:
                raise InputError(f"image_size must be a multiple of {whole} for this diffusion model, not "
                                 f"{settings.image_size}.")
            pixels = torch.from_numpy(letterbox(image, settings.image_size)).to(vae.device)
            pixels = (pixels.permute(2, 0, 1)[None].float() / 127.5 - 1).to(vae.dtype)
            posterior = vae.encode(pixels).latent_dist
            generator = torch.Generator().manual_seed(settings.seed)
            sample = torch.randn(posterior.mean.shape, generator=generator, dtype=torch.float32).to(posterior.mean)
            shift = vae.config.shift_factor or 0.0
            latents: torch.Tensor = (posterior.mean + posterior.std * sample).float() - shift
            return latents * vae.config.scaling_factor

    def noise(self, latents: torch.Tensor, settings: GenerativeSettings) -> torch.Tensor:
        """The forward noise of Eq. 3, drawn on the CPU so that every device sees the same; float32 like `latents`."""
        generator = torch.Generator().manual_seed(settings.seed + 1)
        return torch.randn(latents.shape, generator=generator, dtype=torch.float32).to(latents.device)

    def layers(self, settings: GenerativeSettings) -> list[str]:
        """Names of the cross-attention layers with one query per `attention_stride` px, in the order they run.

        Raises BundleError when the U-Net has none at that stride.
        """
        unet = self._part("unet")
        levels = len(unet.config.block_out_channels)
        strides: dict[str, int] = {}
        for name in cross_attention_layers(unet):
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
    def attention(self, latents: torch.Tensor, texts: Sequence[str], settings: GenerativeSettings,
                  noise: torch.Tensor | None = None) -> torch.Tensor:
        """Eq. 3 and 4: maps float32 [L, B, h, w, S] of every layer and step used, for each text.

        With guidance the maps are guided like the noise (release): uncond + scale * (cond - uncond).
        """
        with self.lock:
            noise = self.noise(latents, settings) if noise is None else noise.to(latents)
            levels = self.scheduler.alphas_cumprod.to(latents)
            if max(settings.noise_timestep, *settings.timesteps) >= len(levels):
                raise InputError(f"noise_timestep and timesteps must be under {len(levels)}, the number of steps this "
                                 "diffusion model was trained with.")
            level = levels[settings.noise_timestep]
            x = level.sqrt() * latents + (1 - level).sqrt() * noise  # Eq. 3
            guided = settings.guidance != 1.0
            states = self._text_states([""] * guided + [text + settings.prompt_suffix for text in texts])
            layers, maps = self.layers(settings), []
            for step, timestep in enumerate(settings.timesteps):
                last = step == len(settings.timesteps) - 1
                if step == 1 and guided:  # from here on each text has a latent of its own, so has its empty text
                    states = torch.cat([states[:1].expand(len(texts), -1, -1), states[1:]])
                read, predicted = self._read(x, timestep, states, layers, settings, output=not last)
                maps += [_guided(each, len(texts), settings.guidance) if guided else each for each in read]
                if predicted is not None and not last:
                    predicted = predicted.float()
                    predicted = _guided(predicted, len(texts), settings.guidance) if guided else predicted
                    x = self.step(x, predicted, timestep, settings.timesteps[step + 1], levels)
            return torch.stack(maps)

    def _text_states(self, texts: list[str]) -> torch.Tensor:
        """K of Eq. 4: text features [B, S, d], every text padded to the tokenizer's length."""
        encoder = self._part("text_encoder")
        ids = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        if ids.max() >= encoder.config.vocab_size:
            raise BundleError("The diffusion model's tokenizer has tokens that its text encoder does not know; copy "
                              "both from the same model.")
        states: torch.Tensor = encoder(ids.to(encoder.device)).last_hidden_state
        return states

    def _read(self, x: torch.Tensor, timestep: int, states: torch.Tensor, layers: list[str],
              settings: GenerativeSettings, output: bool) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        """Eq. 4: maps float32 [B, h, w, S] of `layers`, in the order they run, and the U-Net's prediction."""
        unet = self._part("unet")
        recorder = Recorder(layers, settings.attention == "softmax")
        predicted = self.run_unet(unet, x.to(unet.dtype), timestep, states.to(unet.dtype), recorder, output)
        ratio = x.shape[-2] / x.shape[-1]
        grids = [recorder.maps[name] for name in layers]
        return [grid.unflatten(1, (round((grid.shape[1] * ratio) ** 0.5), -1)) for grid in grids], predicted

    def step(self, x: torch.Tensor, predicted: torch.Tensor, timestep: int, following: int,
             levels: torch.Tensor) -> torch.Tensor:
        """A deterministic DDIM step (eta 0) from `timestep` to `following`, whatever the model predicts: the noise,
        the velocity or the clean sample."""
        here, there = levels[timestep], levels[following]
        kind = self.scheduler.config.prediction_type
        if kind == "v_prediction":
            clean = here.sqrt() * x - (1 - here).sqrt() * predicted
        elif kind == "sample":
            clean = predicted
        else:
            clean = (x - (1 - here).sqrt() * predicted) / here.sqrt()
        noise = predicted if kind == "epsilon" else (x - here.sqrt() * clean) / (1 - here).sqrt()
        return there.sqrt() * clean + (1 - there).sqrt() * noise

    def tokens(self, text: str) -> tuple[str, ...]:
        """All that the model sees of the text, start and end included, in words a person can read."""
        with self.lock:  # a tokenizer's truncation is part of its state
            ids = self.tokenizer(text, truncation=True).input_ids
            return tuple(token.replace("</w>", "") for token in self.tokenizer.convert_ids_to_tokens(ids))

    def token_count(self, text: str) -> int:
        """How many tokens spell `text`, start and end not counted, not cut to the model's length."""
        with self.lock:
            return len(self.tokenizer(text, truncation=False).input_ids) - 2

    def correlation(self, image: ImageLike, text: str, settings: Settings = OFFICIAL, token_index: int | None = None,
                    latents: torch.Tensor | np.ndarray | None = None,
                    noise: torch.Tensor | np.ndarray | None = None) -> np.ndarray:
        """c of Eq. 5 for one text: float32 [H, W] in [0, 1].

        `latents` (scaled) and `noise` float32 [1, C, h, w] replace the VAE's sample and the drawn noise;
        `token_index` the root's k.
        """
        image, own = load_image(image), settings.generative
        if latents is None:
            latents = self.encode_image(image, own)
        latents = torch.as_tensor(latents, dtype=torch.float32, device=self._part("unet").device)
        given = None if noise is None else torch.as_tensor(noise, dtype=torch.float32)
        maps = self.attention(latents, [text], own, given)[:, 0]
        expression = parse(text, settings.expression)
        k = [token_index] if token_index is not None else token_indices(self, expression, settings.expression)
        edges = EdgeSmoother(image, own) if own.edge_smoothing else None
        return correlation_map(maps[..., k].mean(-1), (image.shape[0], image.shape[1]), own, edges).numpy()


def load_part(folder: Path, name: str, device: str | torch.device, dtype: torch.dtype) -> Any:
    """The 'unet', 'vae' or 'text_encoder' of a pipeline folder; the U-Net with its readers installed."""
    from ...weights import load
    from .recorder import install_readers

    if name == "text_encoder":
        return load.load_text_encoder(folder / name, device, dtype)
    if name == "vae":
        return load.load_vae(folder / name, device, dtype)
    unet = load.load_unet(folder / name, device, dtype)
    install_readers(unet)
    return unet


def _guided(both: torch.Tensor, texts: int, scale: float) -> torch.Tensor:
    """Guidance between the empty text's part of the batch and that of the `texts`."""
    without, with_text = both[:-texts], both[-texts:]
    return without + scale * (with_text - without)
