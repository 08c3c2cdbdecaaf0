"""refdiff: point at things in an image with words (Ref-Diff, zero-shot referring image segmentation)."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["BundleError", "InputError", "RefDiff", "RefDiffError", "Segmentation", "Settings", "load_image"]

if TYPE_CHECKING:
    from .core.images import load_image
    from .errors import BundleError, InputError, RefDiffError
    from .pipeline import RefDiff
    from .result import Segmentation
    from .settings import Settings

_HOMES = {"RefDiff": "pipeline", "Segmentation": "result", "Settings": "settings", "load_image": "core.images",
          "RefDiffError": "errors", "InputError": "errors", "BundleError": "errors"}


def __getattr__(name: str) -> Any:
    # Torch and the model libraries take seconds to import; only what is asked for pays.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module 'refdiff' has no attribute {name!r}")
