"""A U-Net that is read for its attention runs no further than the last layer that is read."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import torch

from ..models.diffusion.cross import run_unet
from ..models.diffusion.recorder import Reader, Recorder, cross_attention_layers, current
from .attention import ProductAttention


class _Done(Exception):
    """Raised inside the U-Net once the last wanted layer has been read."""


_MAY_STOP: ContextVar[bool] = ContextVar("refdiff_unet_may_stop", default=False)


def stop_after_reading(unet: Any) -> None:
    """Let `run_until_read` stop the U-Net. The hooks are installed once and look at the call in their own thread."""
    for name in cross_attention_layers(unet):
        unet.get_submodule(name).register_forward_hook(_stop)


def _stop(module: Any, inputs: Any, output: Any) -> None:
    recorder = current()
    if _MAY_STOP.get() and recorder is not None and recorder.complete:
        raise _Done


def run_until_read(unet: Any, latents: torch.Tensor, timestep: int, states: torch.Tensor, recorder: Recorder,
                   output: bool) -> torch.Tensor | None:
    """Takes `run_unet`'s place on a U-Net prepared by `stop_after_reading`."""
    token = _MAY_STOP.set(not output)
    try:
        return run_unet(unet, latents, timestep, states, recorder, output)
    except _Done:
        return None
    finally:
        _MAY_STOP.reset(token)


def attend_by_products(unet: Any) -> None:
    """Put `ProductAttention` in the place of the library's processors, inside the readers."""
    for name, module in unet.named_modules():
        if name.endswith(("attn1", "attn2")) and hasattr(module, "processor"):
            if isinstance(module.processor, Reader):
                module.processor.processor = ProductAttention()
            else:
                module.set_processor(ProductAttention())
