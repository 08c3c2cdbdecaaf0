"""Readers of cross-attention: installed once per U-Net, they write to the recorder of the call that is running.

A call's recorder lies in a context variable, so that threads that share a model never see each other's maps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

_CALL: ContextVar[Recorder | None] = ContextVar("refdiff_attention_call", default=None)


class Recorder:
    """What one call of the U-Net is to keep: Eq. 4's maps of the layers named, averaged over heads.

    `maps` holds float32 [B, n, S] by layer once they have run.
    """

    def __init__(self, layers: list[str], softmax: bool):
        self.layers, self.softmax = layers, softmax
        self.maps: dict[str, torch.Tensor] = {}

    @property
    def complete(self) -> bool:
        return len(self.maps) == len(self.layers)


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Within this context readers write to `recorder`."""
    token = _CALL.set(recorder)
    try:
        yield
    finally:
        _CALL.reset(token)


def current() -> Recorder | None:
    """The recorder of the call that is running in this thread."""
    return _CALL.get()


class Reader:
    """A cross-attention processor that lets `processor` compute and, when a call asks for its layer, keeps Eq. 4."""

    def __init__(self, layer: str, processor: Any):
        self.layer, self.processor = layer, processor

    def __call__(self, attn: Any, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor,
                 *arguments: Any, **options: Any) -> torch.Tensor:
        recorder = current()
        if recorder is not None and self.layer in recorder.layers:
            recorder.maps[self.layer] = _attention_map(attn, hidden_states, encoder_hidden_states, recorder.softmax)
        result: torch.Tensor = self.processor(attn, hidden_states, encoder_hidden_states, *arguments, **options)
        return result


def _attention_map(attn: Any, hidden: torch.Tensor, states: torch.Tensor, softmax: bool) -> torch.Tensor:
    """Eq. 4 of a diffusers `Attention`, averaged over its heads: float32 [B, n, S]; or its logits."""
    query, key = attn.to_q(hidden).float(), attn.to_k(states).float()
    if not softmax:  # the mean of the heads' dot products is the whole dot product over their number
        return (query @ key.transpose(-1, -2)) * (attn.scale / attn.heads)
    query, key = (each.unflatten(2, (attn.heads, -1)).transpose(1, 2) for each in (query, key))
    return ((query @ key.transpose(-1, -2)) * attn.scale).softmax(-1).mean(1)


def cross_attention_layers(unet: torch.nn.Module) -> list[str]:
    """Names of the U-Net's cross-attention layers in the order they run."""
    order = {"down_blocks": 0, "mid_block": 1, "up_blocks": 2}
    names = [name for name, module in unet.named_modules() if name.endswith("attn2") and hasattr(module, "processor")]
    return sorted(names, key=lambda name: order[name.partition(".")[0]])


def install_readers(unet: torch.nn.Module) -> None:
    """Give every cross-attention layer a reader around the processor it has."""
    for name in cross_attention_layers(unet):
        layer: Any = unet.get_submodule(name)
        layer.set_processor(Reader(name, layer.processor))
