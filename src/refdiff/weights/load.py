"""Loads models from folders: the libraries' own, checked, with nothing swapped in.

Weights are read here, from safetensors files whose headers were checked, and handed to the library, which therefore
opens no file but those. A folder is always the one that holds the model's own config.json.
"""

from __future__ import annotations

import inspect
import logging
import math
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from ..errors import BundleError, RefDiffError
from . import layout
from .config import check_parts, read_config, usual_values
from .layout import read_json, short

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from transformers.models.bert.tokenization_bert import BertTokenizer
    from transformers.models.clip.modeling_clip import CLIPModel, CLIPTextModel
    from transformers.models.clip.tokenization_clip import CLIPTokenizer
    from transformers.models.grounding_dino.modeling_grounding_dino import GroundingDinoForObjectDetection
    from transformers.models.sam.modeling_sam import SamModel
    from transformers.models.sam3.modeling_sam3 import Sam3Model

_PREDICTIONS = ("epsilon", "v_prediction", "sample")
_MAKERS = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.tensor}
# Both libraries patch torch and themselves while they load, and again while they are imported.
_LOADING = threading.RLock()


def load_unet(folder: Path, device: str | torch.device = "cpu",
              dtype: torch.dtype = torch.float32) -> UNet2DConditionModel:
    """The U-Net in `folder`, on `device`, in `dtype`, in eval mode and without gradients. Raises BundleError."""
    with _loading(folder):
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        return _diffusers_model(UNet2DConditionModel, folder, device, dtype)


def load_vae(folder: Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> AutoencoderKL:
    """The VAE in `folder`, as `load_unet` does."""
    with _loading(folder):
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

        return _diffusers_model(AutoencoderKL, folder, device, dtype)


def load_text_encoder(folder: Path, device: str | torch.device = "cpu",
                      dtype: torch.dtype = torch.float32) -> CLIPTextModel:
    """The text encoder of a diffusion pipeline in `folder`, as `load_unet` does."""
    with _loading(folder):
        from transformers.models.clip.modeling_clip import CLIPTextModel

        return _transformers_model(CLIPTextModel, folder, device, dtype)


def load_clip(folder: Path, device: str | torch.device = "cpu",
              dtype: torch.dtype = torch.float32) -> tuple[CLIPModel, CLIPTokenizer]:
    """The CLIP model in `folder`, as `load_unet` does, and its tokenizer."""
    with _loading(folder):
        from transformers.models.clip.modeling_clip import CLIPModel

        model = _transformers_model(CLIPModel, folder, device, dtype)
        return model, load_tokenizer(folder, model.config.text_config.max_position_embeddings)


def load_sam(folder: Path, device: str | torch.device = "cpu") -> SamModel:
    """The SAM model in `folder`, as `load_unet` does but always in float32: its masks meet thresholds, so that any
    rounding changes which of them pass."""
    with _loading(folder):
        from transformers.models.sam.modeling_sam import SamModel

        return _transformers_model(SamModel, folder, device, torch.float32)


def load_grounding_dino(folder: Path, device: str | torch.device = "cpu",
                        ) -> tuple[GroundingDinoForObjectDetection, BertTokenizer]:
    """The Grounding DINO in `folder`, as `load_unet` does but always in float32, since half precision would move its
    boxes by whole px, and its tokenizer."""
    with _loading(folder):
        from transformers.models.bert.tokenization_bert import BertTokenizer
        from transformers.models.grounding_dino.modeling_grounding_dino import GroundingDinoForObjectDetection

        _check_type(folder, "grounding-dino")
        model = _transformers_model(GroundingDinoForObjectDetection, folder, device, torch.float32)
        positions = min(model.config.max_text_len, model.config.text_config.max_position_embeddings)
        return model, _tokenizer(BertTokenizer, folder, positions)


def load_sam3(folder: Path, device: str | torch.device = "cpu") -> tuple[Sam3Model, CLIPTokenizer]:
    """The detector of the SAM 3 in `folder`, which may hold its tracker too, as `load_sam` does, and its tokenizer."""
    with _loading(folder):
        from transformers.models.sam3.modeling_sam3 import Sam3Model

        _check_type(folder, "sam3", "sam3_video")
        model = _transformers_model(Sam3Model, folder, device, torch.float32, "detector_config")
        return model, load_tokenizer(folder, model.config.text_config.max_position_embeddings)


def load_tokenizer(folder: Path, positions: int | None = None) -> CLIPTokenizer:
    """The CLIP tokenizer in `folder`; its `model_max_length` is at most `positions`, those of the text encoder."""
    with _loading(folder):
        from transformers.models.clip.tokenization_clip import CLIPTokenizer

        return _tokenizer(CLIPTokenizer, folder, positions)


def load_scheduler(folder: Path) -> DDIMScheduler:
    """A DDIM scheduler with the noise levels that `folder`'s scheduler_config.json states, whatever scheduler it names.

    Raises BundleError where they cannot be used.
    """
    with _loading(folder):
        from diffusers.schedulers.scheduling_ddim import DDIMScheduler

        # Its own from_pretrained imports every scheduler of the library, which takes half a second.
        path, known = folder / "scheduler_config.json", inspect.signature(DDIMScheduler).parameters
        config = {name: value for name, value in read_json(path).items() if name in known}
        prediction, steps = config.get("prediction_type", "epsilon"), config.get("num_train_timesteps", 1000)
        if prediction not in _PREDICTIONS:
            raise BundleError(f"{path} has the prediction_type {str(prediction)[:40]!r}, but it must be one of "
                              f"{', '.join(_PREDICTIONS)}.")
        if type(steps) is not int or not 1 <= steps <= 100_000:
            raise BundleError(f"{path} has num_train_timesteps that are not a whole number from 1 to 100,000.")
        with _quiet("diffusers"):
            scheduler = DDIMScheduler(**config)
        if not torch.isfinite(scheduler.alphas_cumprod).all():
            raise BundleError(f"{path} has noise levels that are not finite; copy the model again.")
        return scheduler


def text_positions(folder: Path) -> int | None:
    """How many tokens the text encoder in `folder` reads at most, if its config.json says so."""
    positions = read_json(folder / "config.json").get("max_position_embeddings")
    return positions if type(positions) is int and positions > 0 else None


def vae_stride(folder: Path) -> int:
    """How many pixels of an image one cell of the latents of the VAE in `folder` covers, along each side."""
    blocks = read_json(folder / "config.json").get("block_out_channels", (64,))
    if not isinstance(blocks, (list, tuple)) or not 1 <= len(blocks) <= 16:
        raise BundleError(f"{folder / 'config.json'} has block_out_channels that are not a list of numbers.")
    return int(2 ** (len(blocks) - 1))


def weight_gb(folder: Path, dtype: torch.dtype) -> float:
    """GB (10^9 bytes) that the weights in `folder` take once loaded as `dtype`. Raises BundleError."""
    shapes = [shape for path in layout.weights(folder) for shape in layout.check_weights(path).values()]
    return sum(map(math.prod, shapes)) * dtype.itemsize / 1e9


@contextmanager
def _loading(folder: Path) -> Iterator[None]:
    """One load at a time in the process, and the libraries' many errors as one BundleError."""
    with _LOADING, np.errstate(all="ignore"):
        try:
            yield
        except RefDiffError:
            raise
        except Exception as error:
            raise BundleError(f"{folder} could not be loaded: {short(error)}.") from error


@contextmanager
def _quiet(library: str) -> Iterator[None]:
    """Without the chatter of 'transformers' or 'diffusers', which must be imported by now: that sets its level."""
    logger = logging.getLogger(library)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with _without_bars() if library == "transformers" else nullcontext():
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _without_bars() -> Iterator[None]:
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars
    from transformers.utils import logging as transformers_logging

    shown, hub_shown = transformers_logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    if shown:
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
            if not hub_shown:  # transformers switches the Hub's bars on and off with its own
                disable_progress_bars()


def _tokenizer(kind: Any, folder: Path, positions: int | None) -> Any:
    with _quiet("transformers"):
        tokenizer = kind.from_pretrained(str(folder), local_files_only=True)
    if positions is not None:
        tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    return tokenizer


def _check_type(folder: Path, *types: str) -> None:
    """Refuse a folder that holds another model before one of the default size is made. Raises BundleError."""
    path = folder / "config.json"
    found = read_json(path).get("model_type")
    if found not in types:
        raise BundleError(f"{path} describes a model of type {short(ValueError(found), 40)!r}, not {types[0]!r}; name "
                          "the folder of another model.")


def _transformers_model(kind: Any, folder: Path, device: str | torch.device, dtype: torch.dtype,
                        part: str = "") -> Any:
    """A model of transformers; where config.json has an object `part`, that describes it."""
    state = _weights(folder, dtype)
    with _quiet("transformers"):
        config = kind.config_class.from_dict(read_config(folder, len(state), {} if part else usual_values(kind), part))
        check_parts(folder, config)
        # Told another dtype than torch's default, the library would change that for the whole process while it loads.
        with nullcontext() if torch.get_default_dtype() == torch.float32 else _InFloat32():
            model, report = kind.from_pretrained(None, config=config, state_dict=state, dtype=torch.get_default_dtype(),
                                                 ignore_mismatched_sizes=True, output_loading_info=True)
    _check_report(folder, report["missing_keys"], report["unexpected_keys"],
                  [name for name, *_ in report["mismatched_keys"]])
    return _finished(model, device, dtype)


class _InFloat32(TorchFunctionMode):
    """In this thread new tensors are float32, whatever torch's default dtype: a model takes its weights in the dtype it
    was made in."""

    def __torch_function__(self, function: Any, types: Any, values: Any = (), named: Any = None) -> Any:
        made = function(*values, **named or {})
        return made.float() if function in _MAKERS and made.is_floating_point() else made


def _diffusers_model(kind: Any, folder: Path, device: str | torch.device, dtype: torch.dtype) -> Any:
    # Not its from_pretrained: while that runs, every layer that another thread makes stays uninitialised.
    state = _weights(folder, dtype)
    with _quiet("diffusers"), torch.device("meta"):
        model = kind.from_config(read_config(folder, len(state), usual_values(kind)))
    model._fix_state_dict_keys_on_load(state)  # names of old checkpoints, such as those of Stable Diffusion 1.5
    wanted = {name: tensor.shape for name, tensor in model.state_dict().items()}
    _check_report(folder, wanted.keys() - state.keys(), state.keys() - wanted.keys(),
                  [name for name, shape in wanted.items() if name in state and state[name].shape != shape])
    model.load_state_dict(state, assign=True)
    return _finished(model, device, dtype)


def _weights(folder: Path, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The tensors of a model by name, floating-point ones in float32, each in memory of its own on the CPU.

    Raises BundleError for files that are damaged and for numbers that are not finite or do not fit into `dtype`.
    """
    from safetensors import safe_open

    state: dict[str, torch.Tensor] = {}
    paths, most = layout.weights(folder), torch.finfo(dtype).max
    for path in paths:
        layout.check_weights(path)
    for path in paths:
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118
                read = file.get_tensor(name)
                floating = read.is_floating_point()
                state[name] = torch.empty(read.shape, dtype=torch.float32 if floating else read.dtype, device="cpu")
                # numpy, because one thread is done with small tensors before torch has woken its others
                values = state[name].numpy()
                values[...] = (read.float() if read.dtype == torch.bfloat16 else read).numpy()
                if floating and values.size and not -most <= values.min() <= values.max() <= most:
                    raise BundleError(f"The weights in {folder} hold numbers that are not finite or too great for "
                                      f"{dtype} ({short(ValueError(name), 80)}); fetch the model again, or choose "
                                      "another dtype.")
    return state


def _check_report(folder: Path, missing: Iterable[str], unexpected: Iterable[str], mismatched: Iterable[str]) -> None:
    """Refuse weights that are not those of the model. Raises BundleError naming some of the tensors."""
    unexpected = [name for name in unexpected if not name.endswith("position_ids")]  # made anew by every version
    found = [f"{kind} {_some(names)}" for kind, names in (("missing", missing), ("unexpected", unexpected),
                                                          ("of another shape", mismatched)) if names]
    if found:
        raise BundleError(f"The weights in {folder} are not those of the model that its config.json describes: "
                          f"{'; '.join(found)}; copy or fetch the model again.")


def _some(names: Iterable[str]) -> str:
    first = sorted(short(ValueError(name), 80) for name in names)
    return ", ".join(first[:3]) + (f" and {len(first) - 3} more" if len(first) > 3 else "")


def _finished(model: Any, device: str | torch.device, dtype: torch.dtype) -> Any:
    # torch's own `to`, as that of diffusers warns of what does not matter here
    return torch.nn.Module.to(model, device, dtype).eval().requires_grad_(False)
