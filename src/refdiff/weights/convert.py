"""Pickled weights to safetensors: the only place where refdiff reads a pickle.

Only `hub.py` calls it, for the pinned files of the built-in manifests whose SHA-256 it has compared.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import BundleError
from .layout import short


def check_torch(repo: str) -> None:
    """Raise BundleError when torch is older than 2.6, whose `weights_only=True` can run code."""
    from torch import __version__ as version  # one that compares as versions do

    if version < "2.6":
        raise BundleError(f"{repo} offers its weights as a pickle only, which torch {version} cannot read safely; "
                          "install torch 2.6 or newer.")


def convert(pickle: Path, target: Path) -> Path:
    """Write the tensors of `pickle` as the safetensors file `target`, remove `pickle` and return `target`."""
    import torch
    from safetensors.torch import save_file

    check_torch(pickle.name)
    try:
        state = torch.load(pickle, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BundleError(f"{pickle} could not be read as weights ({short(error)}); nothing in it was run.") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise BundleError(f"{pickle} holds other things than named tensors, so it is not used.")
    beside = target.with_name(f"{target.name}.{os.getpid()}")
    # Tensors that share memory are not accepted, so each gets its own.
    save_file({str(name): value.contiguous().clone() for name, value in state.items()}, beside, {"format": "pt"})
    beside.replace(target)
    pickle.unlink()
    return target
