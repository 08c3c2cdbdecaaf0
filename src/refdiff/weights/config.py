"""What a model's config.json says, checked before a library builds anything from it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import BundleError
from .layout import read_json

# With these a config.json does not describe the model but lets a library fetch kernels, quantise or read other files.
_NOT_DESCRIBING = {"backbone", "backbone_kwargs", "use_pretrained_backbone", "use_timm_backbone",
                   "quantization_config", "compression_config", "auto_map", "attn_implementation",
                   "_attn_implementation", "_attn_implementation_internal", "experts_implementation",
                   "transformers_weights", "fusion_config", "kernel_config", "dtype", "torch_dtype",
                   "transformers_version", "_name_or_path", "scale"}
_MOST = 2**20  # no whole number in a config is greater
_LARGEST_SIDE = 4096  # px


def read_config(folder: Path, tensors: int, usual: dict[str, Any], part: str = "") -> dict[str, Any]:
    """What config.json in `folder`, or the object `part` in it, says of a model that has so many `tensors`.

    `usual` are the values that the library takes where the file names none. Raises BundleError for a value of another
    type than these, and for sizes beyond reason.
    """
    path = folder / "config.json"

    def described(value: Any, usual: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            known = usual if isinstance(usual, dict) else {}
            return {key: described(each, known.get(key), key) for key, each in value.items()
                    if key not in _NOT_DESCRIBING}
        if not _fits(value, usual):
            raise BundleError(f"{path} has the {name[:40]} {str(value)[:40]!r}, which must be a value such as "
                              f"{usual!r}.")
        if isinstance(value, list):
            return [described(each, None, name) for each in value]
        if isinstance(value, float) and not math.isfinite(value):
            raise BundleError(f"{path} has {name[:40]} {value}, which is not a finite number.")
        if name in ("scaling_factor", "shift_factor") and not (
                (isinstance(value, (int, float)) and value) or (name == "shift_factor" and not value)):
            raise BundleError(f"{path} has the {name} {str(value)[:40]!r}, which cannot be used.")
        most = tensors if "layers" in name else _LARGEST_SIDE if name == "image_size" else _MOST
        if type(value) is int and not (0 <= value <= most or name.endswith("token_id")):
            raise BundleError(f"{path} has {name[:40]} {value:.3g}, which is out of range for its weights.")
        return value

    content = read_json(path)
    return dict(described(content.get(part, content), usual))


def _fits(value: Any, usual: Any) -> bool:
    """Whether a value is of the usual one's type, where that is a number, a truth value or a string."""
    if isinstance(usual, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(usual, bool):
        return value is None or isinstance(value, bool)  # libraries write null for what is off
    return not isinstance(usual, (int, str)) or type(value) is type(usual)


def usual_values(kind: Any) -> dict[str, Any]:
    """What a model class of diffusers or transformers takes where config.json names nothing."""
    if hasattr(kind, "config_class"):
        return dict(kind.config_class().to_dict())
    values = {}
    for name, each in inspect.signature(kind.__init__).parameters.items():
        if each.annotation in (bool, int, float, str):  # others take several types
            values[name] = float(each.default) if each.annotation is float else each.default
    return values


def check_parts(folder: Path, config: Any) -> None:
    """Refuse what does not show in the shapes of weights. Raises BundleError."""
    path = folder / "config.json"
    for part in _parts(config):
        heads, width = getattr(part, "num_attention_heads", 1), getattr(part, "hidden_size", 0)
        each = [heads] if isinstance(heads, int) else heads  # Swin's are those of its stages, its width the last one's
        if min(each) < 1 or width % each[-1]:
            raise BundleError(f"{path} has num_attention_heads {heads}, which do not divide the hidden_size {width}.")
    if config.model_type == "grounding-dino" and config.backbone_config.model_type != "swin":
        raise BundleError(f"{path} has a backbone_config of another type than swin, the only one that is read.")
    if config.model_type == "sam":
        prompt, vision = config.prompt_encoder_config, config.vision_config
        size = vision.image_size // vision.patch_size
        if (prompt.image_size, prompt.image_embedding_size) != (vision.image_size, size):
            raise BundleError(f"{path} has prompts for another image_size or image_embedding_size than those of its "
                              f"vision_config, {vision.image_size} and {size}.")


def _parts(config: Any) -> Iterator[Any]:
    """A config and those in it."""
    yield config
    for name in config.sub_configs:
        yield from _parts(getattr(config, name))
