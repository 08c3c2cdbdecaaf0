"""A U-Net that is read for its attention: nothing after the last layer read, nothing twice before the first text."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from ..models.diffusion.recorder import Reader, Recorder, cross_attention_layers, recording
from .attention import ProductAttention
from .cache import fitting


class _Done(Exception):
    """Raised inside the U-Net once the last wanted layer has been read."""


@dataclass(frozen=True)
class _Pass:
    """One call of the U-Net: `texts` rows leave the first cross-attention, `images` rows enter it; `stop` after the
    last layer that `recorder` wants."""

    recorder: Recorder
    images: int
    texts: int
    stop: bool


_PASS: ContextVar[_Pass | None] = ContextVar("refdiff_unet_pass", default=None)


@dataclass(frozen=True)
class Runner:
    """Takes `run_unet`'s place on U-Nets prepared by `stop_after_reading` (`stop`) and `share_start` (`share`)."""

    stop: bool
    share: bool

    def __call__(self, unet: Any, latents: torch.Tensor, timestep: int, states: torch.Tensor, recorder: Recorder,
                 output: bool) -> torch.Tensor | None:
        if not self.share:
            latents = latents.repeat(len(states) // len(latents), 1, 1, 1)
        token = _PASS.set(_Pass(recorder, len(latents), len(states), self.stop and not output))
        try:
            with recording(recorder):
                predicted: torch.Tensor = unet(latents, timestep, encoder_hidden_states=states).sample
            return predicted
        except _Done:
            return None
        finally:
            _PASS.reset(token)


def stop_after_reading(unet: Any) -> None:
    """Let the U-Net run no further than the last layer that is read, where its prediction is not needed."""
    for name in cross_attention_layers(unet):
        unet.get_submodule(name).register_forward_hook(_stop)


def _stop(module: Any, inputs: Any, output: Any) -> None:
    running = _PASS.get()
    if running is not None and running.stop and running.recorder.complete:
        raise _Done


def _widened(x: torch.Tensor) -> torch.Tensor:
    running = _PASS.get()
    if running is None or len(x) == running.texts:
        return x
    return x.repeat(running.texts // len(x), *[1] * (x.ndim - 1))


def share_start(unet: Any) -> None:
    """Let the U-Net run on fewer latents than texts: they repeat at the first cross-attention.

    Hooks are installed once; each looks at the pass that runs in its own thread.
    """
    first = cross_attention_layers(unet)[0]
    unet.time_embedding.register_forward_hook(_one_time)
    for block in unet.up_blocks:
        block.register_forward_pre_hook(_widen_up_block, with_kwargs=True)
    if not first.startswith("up_blocks"):  # there the whole block is widened, as it joins skip connections
        transformer = unet.get_submodule(first.partition(".transformer_blocks")[0])
        transformer.register_forward_pre_hook(_widen_first)
        own = unet.get_submodule(first.removesuffix("2") + "1")
        own.set_processor(_Once(own.processor))


def _widen_first(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (_widened(inputs[0]), *inputs[1:])


def _one_time(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor | None:
    """One time embedding, which fits any number of rows."""
    return None if _PASS.get() is None else output[:1]


def _widen_up_block(module: Any, inputs: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    running = _PASS.get()
    if running is not None and (hasattr(module, "attentions") or len(options["hidden_states"]) == running.texts):
        options = options | {"hidden_states": _widened(options["hidden_states"]),
                             "res_hidden_states_tuple": tuple(map(_widened, options["res_hidden_states_tuple"]))}
    return inputs, options


class _Once:
    """Self-attention whose input repeats along the batch, computed once."""

    def __init__(self, processor: Any):
        self.processor = processor

    def __call__(self, attn: Any, hidden_states: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        running = _PASS.get()
        repeats = 1 if running is None else running.texts // running.images
        own = hidden_states[: len(hidden_states) // repeats]
        result: torch.Tensor = self.processor(attn, own, *arguments, **options)
        return result.repeat(repeats, 1, 1)


class GatedLayer(torch.nn.Module):
    """diffusers' `FeedForward` with a GEGLU, so many rows at a time as leave what lies between products in a cache."""

    def __init__(self, layer: Any):
        super().__init__()
        self.net = layer.net

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[..., C] of states [..., C]."""
        projection: Any = self.net[0].proj  # type: ignore[union-attr]
        (shown, gate), (shown_bias, gate_bias) = (x.chunk(2) for x in (projection.weight, projection.bias))
        rows = states.flatten(0, -2)
        mixed = torch.empty_like(rows)
        step = fitting(len(rows), 2 * len(gate) * rows.element_size(), rows.device)
        for part, out in zip(rows.split(step), mixed.split(step), strict=True):
            opened = F.gelu(F.linear(part, gate, gate_bias))
            out.copy_(self.net[2](F.linear(part, shown, shown_bias).mul_(opened)))
        return mixed.view_as(states)


def gate_by_rows(unet: Any) -> None:
    """Put `GatedLayer` in the place of every feed-forward layer with a GEGLU."""
    from diffusers.models.activations import GEGLU
    from diffusers.models.attention import FeedForward

    for name, layer in [*unet.named_modules()]:
        if isinstance(layer, FeedForward) and isinstance(layer.net[0], GEGLU):
            unet.set_submodule(name, GatedLayer(layer))


def attend_by_products(unet: Any) -> None:
    """Put `ProductAttention` in the place of the library's processors, inside the readers."""
    for name, module in unet.named_modules():
        if name.endswith(("attn1", "attn2")) and hasattr(module, "processor"):
            if isinstance(module.processor, Reader):
                module.processor.processor = ProductAttention()
            else:
                module.set_processor(ProductAttention())
