"""Attention whose backward pass is fast on CPUs, for training only; torch's fused kernel is slow there."""

import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

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
    return model
