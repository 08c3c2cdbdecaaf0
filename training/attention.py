"""Attention whose backward pass is fast on CPUs, for training only; torch's fused kernel is slow there."""

from types import MethodType

import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.sam.modeling_sam import SamVisionAttention

NAME = "refdiff-training"


def attend(module, query, key, value, attention_mask=None, scaling=None, dropout=0.0, **_):
    """query [B, h, T, d], key and value [B, h, S, d] -> ([B, T, h, d], None), in the inputs' own precision."""
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    if key.shape[-2] < 32 and attention_mask is None:  # a softmax along the strided axis runs over whole vectors
        weights = ((key * scaling) @ query.transpose(-1, -2)).softmax(-2).transpose(-1, -2)
    else:
        scores = (query * scaling) @ key.transpose(-1, -2)
        weights = (scores if attention_mask is None else scores + attention_mask).softmax(-1)
    return (weights @ value).transpose(1, 2).contiguous(), None


ALL_ATTENTION_FUNCTIONS.register(NAME, attend)


def use(model: torch.nn.Module) -> torch.nn.Module:
    """Make every part of a transformers model train with `attend`."""
    for module in model.modules():
        if hasattr(getattr(module, "config", None), "_attn_implementation"):
            module.config._attn_implementation = NAME
        if isinstance(module, SamVisionAttention):
            module.forward = MethodType(_sam_forward, module)
    return model


def _sam_forward(self, hidden_states: torch.Tensor, **_):
    """SAM's self-attention [B, h, w, C] without relative positions; the library's takes its softmax in float32."""
    qkv = self.qkv(hidden_states).flatten(1, 2).unflatten(-1, (3, self.num_attention_heads, -1))
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    mixed = attend(self, query, key, value, scaling=self.scale)[0]
    return self.proj(mixed.flatten(2).unflatten(1, hidden_states.shape[1:3])), None
