"""The generative process: what a text-to-image diffusion model attends to for each word (Eq. 3-5)."""

from __future__ import annotations

import torch
import torch.nn.functional as F


class _Done(Exception):
    """Raised inside the U-Net once the last wanted layer has been read: nothing after it is needed."""


class _Reader:
    """Cross-attention processor that also keeps Eq. 4, averaged over heads; what the model computes is unchanged."""

    def __init__(self, softmax: bool, last: bool):
        self.softmax, self.last = softmax, last
        self.map: torch.Tensor | None = None

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None, **_):
        batch, pixels, _channels = hidden_states.shape
        split = lambda x: x.view(batch, -1, attn.heads, x.shape[-1] // attn.heads).transpose(1, 2)  # noqa: E731
        query, key = split(attn.to_q(hidden_states)), split(attn.to_k(encoder_hidden_states))
        logits = (query.float() @ key.float().transpose(-1, -2)) * attn.scale
        weights = logits.softmax(-1)
        self.map = (weights if self.softmax else logits).mean(1)
        if self.last:
            raise _Done
        value = split(attn.to_v(encoder_hidden_states))
        mixed = (weights.to(value.dtype) @ value).transpose(1, 2).reshape(batch, pixels, -1)
        return attn.to_out[1](attn.to_out[0](mixed))


def read_attention(unet, latents: torch.Tensor, timestep: int, states: torch.Tensor, layers: list[str],
                   softmax: bool) -> list[torch.Tensor]:
    """Cross-attention maps [B, h, w, S] of `layers`, in order; the U-Net stops after the last of them."""
    modules = dict(unet.named_modules())
    readers = {name: _Reader(softmax, name == layers[-1]) for name in layers}
    before = {name: modules[name].processor for name in layers}
    for name, reader in readers.items():
        modules[name].set_processor(reader)
    try:
        unet(latents, timestep, encoder_hidden_states=states)
    except _Done:
        pass
    finally:
        for name, processor in before.items():
            modules[name].set_processor(processor)
    side_ratio = latents.shape[-2] / latents.shape[-1]
    maps = []
    for name in layers:
        flat = readers[name].map
        height = round((flat.shape[1] * side_ratio) ** 0.5)
        maps.append(flat.unflatten(1, (height, -1)))
    return maps
