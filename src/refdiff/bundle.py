"""Finds and loads a model bundle: a name, a folder or a Hub id with `refdiff.json` beside Hugging Face folders."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .errors import BundleError, RefDiffError
from .settings import PRESETS, Settings
from .transformer import Attention, GatedLayer

FORMAT = 1
EMBEDDED = Path(__file__).parent / "bundles"
PARTS = ("diffusion", "clip", "sam")
RIVAL = "rival_clip"  # the CLIP of Yu et al., only looked for when one of their methods runs
# The files each part needs, as folders that must hold a config and safetensors, and files that must exist.
_MODELS = {"diffusion": ("unet", "vae", "text_encoder"), "clip": ("",), "sam": ("",), RIVAL: ("",)}
_FILES = {"diffusion": ("scheduler/scheduler_config.json",)}
_TOKENIZERS = {"diffusion": "tokenizer", "clip": "", RIVAL: ""}
# Full-precision safetensors and the small files; no pickles, no other frameworks, no half-precision twins.
_PATTERNS = {
    "diffusion": ["model_index.json", "scheduler/*.json", "tokenizer/*", "unet/config.json", "vae/config.json",
                  "text_encoder/config.json", "unet/diffusion_pytorch_model.safetensors",
                  "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"],
    "clip": ["*.json", "merges.txt", "model.safetensors"],
    "sam": ["*.json", "model*.safetensors"],
    RIVAL: ["*.json", "merges.txt", "model.safetensors"],
}
_PICKLES = ["*.bin", "*.ckpt", "*.pt", "*.pth", "*.pkl", "*.msgpack", "*.h5", "*.onnx*"]

_SD15 = {
    "format": FORMAT,
    "name": "sd15",
    "licence": "CreativeML Open RAIL-M (Stable Diffusion 1.5), Apache-2.0 (SAM), MIT (CLIP)",
    "diffusion": {"repo": "stable-diffusion-v1-5/stable-diffusion-v1-5",
                  "revision": "451f4fe16113bff5a5d2269ed5ad43b0592e9a14"},
    "sam": {"repo": "facebook/sam-vit-huge", "revision": "87aecf0df4ce6b30cd7de76e87673c49644bdf67"},
    "clip": {"repo": "openai/clip-vit-base-patch16", "revision": "57c216476eefef5ab752ec549e440a49ae4ae5f3"},
    RIVAL: {"repo": "openai/clip-vit-base-patch32"},
}


@dataclass(frozen=True)
class Domain:
    """What a bundle knows: `nouns` it has words for (empty: any) and `low_score`, the score of Eq. 1 below which its
    answers were mostly wrong on held-out scenes."""

    nouns: frozenset[str] = frozenset()
    low_score: float = float("-inf")


@dataclass(frozen=True)
class Bundle:
    """A bundle that was found: where its parts are (`rival` finds the rivals' CLIP, if it has one) and which
    settings suit it."""

    name: str
    parts: dict[str, Path]
    geometry: dict[str, Any]
    tuned: dict[str, Any]
    domain: Domain
    licence: str
    rival: Callable[[], Path] | None = None

    def settings(self, preset: str | None = None) -> Settings:
        """The bundle's own settings, or a preset at the bundle's sizes. Raises RefDiffError for an unknown preset."""
        if preset is None:
            return Settings().replace(**self.geometry, **self.tuned)
        if preset not in PRESETS:
            raise RefDiffError(f"There is no preset {preset!r}; the presets are {', '.join(PRESETS)}.")
        return PRESETS[preset].replace(**self.geometry)

    def part(self, name: str) -> Path:
        """The folder of 'diffusion', 'clip' or 'sam'. Raises BundleError when the bundle has no such part."""
        if name not in self.parts:
            raise BundleError(f"The bundle {self.name} has no {name} model, which this call needs.")
        return self.parts[name]

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when any file of the bundle does."""
        digest = hashlib.sha256()
        for name, folder in sorted(self.parts.items()):
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                digest.update(f"{name}/{path.relative_to(folder)}".encode())
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest() if hasattr(hashlib, "file_digest")
                                  else hashlib.sha256(file.read()).digest())
        return digest.hexdigest()[:16]


def names() -> list[str]:
    """The bundles known by name."""
    return ["mini", "sd15"]


def find_bundle(name: str | os.PathLike, download: bool = True) -> Bundle:
    """The bundle called `name`: 'mini', 'sd15', a folder, or a Hub id ('owner/name' or 'owner/name@revision').

    A folder either has `refdiff.json` or is a `StableDiffusionPipeline` folder with `clip/` and, if proposals are
    to come from a segmentor, `sam/` in it. Parts named as Hub repositories are taken from the local Hub cache, or
    downloaded where `download` allows. Raises BundleError saying what is missing, where it was looked for and how
    to fetch it.
    """
    text = str(name)
    if text == "mini":
        return _from_manifest(_read_manifest(EMBEDDED / "mini" / "refdiff.json"), EMBEDDED / "mini", download)
    if text == "sd15":
        return _from_manifest(_SD15, None, download)
    folder = Path(text)
    if folder.is_dir():
        return _from_folder(folder, download)
    owner, _, rest = text.partition("/")
    if owner and rest and "/" not in rest and not folder.is_absolute() and owner not in (".", "..", "~"):
        repository, _, revision = text.partition("@")
        return _from_folder(_snapshot(text, repository, revision or "main", None, download), download)
    raise BundleError(f"There is no bundle {text!r}: name {' or '.join(names())}, an existing folder, or a Hub id "
                      "such as owner/name@revision.")


def _from_folder(folder: Path, download: bool) -> Bundle:
    if (folder / "refdiff.json").exists():
        return _from_manifest(_read_manifest(folder / "refdiff.json"), folder, download)
    if (folder / "model_index.json").exists():
        manifest = {"format": FORMAT, "name": folder.name, "diffusion": "."}
        manifest |= {part: part for part in ("clip", "sam") if (folder / part).is_dir()}
        return _from_manifest(manifest, folder, download)
    raise BundleError(f"{folder} is no bundle: it has neither refdiff.json nor a diffusers model_index.json.")


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{path} is missing; the installation is incomplete, install refdiff again.") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read as JSON ({error}).") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BundleError(f"{path} has not format {FORMAT}, the one this version of refdiff reads.")
    return manifest


def _from_manifest(manifest: dict[str, Any], folder: Path | None, download: bool) -> Bundle:
    name = str(manifest.get("name", folder.name if folder else "bundle"))
    parts: dict[str, Path] = {}
    for part in PARTS:
        if manifest.get(part) is not None:
            parts[part] = _locate(part, manifest[part], name, folder, download)
    rival = manifest.get(RIVAL)
    domain = manifest.get("domain", {})
    known = {field.name for field in dataclasses.fields(Settings)}
    for key in ("geometry", "settings"):
        unknown = set(manifest.get(key, {})) - known
        if unknown:
            raise BundleError(f"The bundle {name} sets {', '.join(sorted(unknown))}, which this version does not know.")
    return Bundle(
        name=name, parts=parts, geometry=dict(manifest.get("geometry", {})), tuned=dict(manifest.get("settings", {})),
        domain=Domain(frozenset(domain.get("nouns", ())), float(domain.get("low_score", "-inf"))),
        licence=str(manifest.get("licence", "")),
        rival=rival and functools.partial(_locate, RIVAL, rival, name, folder, download))


def _locate(part: str, where: Any, bundle: str, folder: Path | None, download: bool) -> Path:
    """The folder of a part that a manifest names as a sub-folder or as a Hub repository."""
    if isinstance(where, dict) and isinstance(where.get("repo"), str):
        path = _snapshot(bundle, where["repo"], str(where.get("revision", "main")), part, download)
    elif isinstance(where, str) and folder is not None:
        path = (folder / where).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise BundleError(f"The bundle {bundle} points outside its own folder for {part}.")
    else:
        raise BundleError(f"The bundle {bundle} names {part} neither as a folder nor as a Hub repository.")
    _check_part(part, path, bundle)
    return path


def _snapshot(bundle: str, repository: str, revision: str, part: str | None, download: bool) -> Path:
    """The repository's files in the Hub cache, fetched where they are not complete and `download` allows."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE

    patterns = _PATTERNS[part] if part else None
    fetch = functools.partial(snapshot_download, repository, allow_patterns=patterns, ignore_patterns=_PICKLES)
    complete = lambda folder: not _missing(part, folder) if part else (folder / "refdiff.json").exists()  # noqa: E731
    kept = Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "refs" / "refs" / "pr"
    for candidate in (revision, *(f"refs/pr/{path.name}" for path in sorted(kept.glob("*")))):
        with contextlib.suppress(Exception):  # the hub's errors have no common base
            folder = Path(fetch(revision=candidate, local_files_only=True))
            if complete(folder) or not download:
                return folder
    tried = ""
    if download:
        try:
            folder = Path(fetch(revision=revision))
            return folder if any(folder.rglob("*.safetensors")) else Path(fetch(revision=_converted(repository)))
        except Exception as error:
            tried = " ".join(str(error).split())[:160] or type(error).__name__
            tried = f" and could not be downloaded ({tried})"
    raise BundleError(
        f"{bundle} needs {', '.join(patterns or ['the whole repository'])} of {repository} (revision {revision}), "
        f"which the Hub cache {HF_HUB_CACHE} does not hold{tried}; with network, run 'refdiff models download "
        f"{bundle}', or point HF_HOME at a cache that has them."
    )


def _converted(repository: str) -> str:
    """The pull request in which the Hub's own robot offers a repository's pickled weights as safetensors."""
    from huggingface_hub import get_repo_discussions

    for discussion in get_repo_discussions(repository, author="SFconvertbot", discussion_type="pull_request"):
        if "safetensors" in discussion.title:
            return f"refs/pr/{discussion.num}"
    raise BundleError(f"{repository} offers pickled weights only")


def _missing(part: str, folder: Path) -> list[str]:
    """What a part's folder lacks, in words."""
    missing = []
    for sub in _MODELS[part]:
        place = folder / sub
        if not (place / "config.json").is_file():
            missing.append(f"{sub}/config.json".lstrip("/"))
        if not any(place.glob("*.safetensors")):
            pickled = any(place.glob("*.bin")) or any(place.glob("*.ckpt"))
            missing.append(f"{sub}/*.safetensors".lstrip("/") + (" (the weights there are pickles)" if pickled else ""))
    missing += [file for file in _FILES.get(part, ()) if not (folder / file).is_file()]
    if part in _TOKENIZERS:
        place = folder / _TOKENIZERS[part]
        if not ((place / "tokenizer.json").is_file()
                or ((place / "vocab.json").is_file() and (place / "merges.txt").is_file())):
            missing.append(f"{_TOKENIZERS[part]}/tokenizer.json (or vocab.json with merges.txt)".lstrip("/"))
    return missing


def _check_part(part: str, folder: Path, bundle: str) -> None:
    missing = _missing(part, folder)
    if missing:
        raise BundleError(f"The {part} model of {bundle} lacks {', '.join(missing)} in {folder}; copy the files there "
                          f"or fetch them with 'refdiff models download'.")


def _quietly(load, *arguments, **options):
    """Call a library's loader without its chatter; its many errors become one BundleError."""
    from transformers.utils import logging as transformers_logging

    loggers = [logging.getLogger(name) for name in ("transformers", "diffusers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        return load(*arguments, **options)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleError(f"{arguments[0]} could not be loaded: {reason}") from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        transformers_logging.enable_progress_bar()


def _variant(folder: Path) -> dict[str, str]:
    """The half-precision files where the folder has no others."""
    weights = [path.name for path in folder.glob("*.safetensors")]
    return {"variant": "fp16"} if weights and all(".fp16." in name for name in weights) else {}


def _model(kind, folder: Path, device, dtype):
    dtype = dtype or torch.float32
    key = "torch_dtype" if kind.__module__.startswith("diffusers") else "dtype"
    model = _quietly(kind.from_pretrained, str(folder), use_safetensors=True, local_files_only=True, **{key: dtype},
                     **_variant(folder))
    return model.to(device).eval().requires_grad_(False)


def load_diffusion(folder: str | Path) -> tuple[Any, Any, int]:
    """(tokenizer, scheduler, px of the picture in one cell of a latent) of a `StableDiffusionPipeline` folder."""
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    folder = Path(folder)
    _check_part("diffusion", folder, folder.name)
    read = functools.partial(_quietly, lambda path: json.loads(path.read_text(encoding="utf-8")))
    tokenizer = load_tokenizer(folder / "tokenizer")
    positions = read(folder / "text_encoder/config.json").get("max_position_embeddings", tokenizer.model_max_length)
    tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    known = inspect.signature(DDIMScheduler).parameters
    # Its own from_pretrained imports every scheduler of the library, half a second of them.
    scheduler = _quietly(lambda path: DDIMScheduler(**{name: value for name, value in read(path).items()
                                                       if name in known}), folder / "scheduler/scheduler_config.json")
    return tokenizer, scheduler, 2 ** (len(read(folder / "vae/config.json").get("block_out_channels", (64,))) - 1)


def load_diffusion_part(folder: str | Path, name: str, device: str | torch.device = "cpu",
                        dtype: torch.dtype | None = None) -> torch.nn.Module:
    """The 'unet', 'vae' or 'text_encoder' of a `StableDiffusionPipeline` folder; float32 unless told."""
    place = Path(folder) / name
    if name == "text_encoder":
        from transformers.models.clip.modeling_clip import CLIPTextModel

        return _model(CLIPTextModel, place, device, dtype)
    if name == "unet":
        from diffusers.models.activations import GEGLU
        from diffusers.models.attention import FeedForward
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel as Kind
    else:
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL as Kind
    # Convolutions over channels that lie side by side are a tenth to a third faster.
    model = _model(Kind, place, device, dtype).to(memory_format=torch.channels_last)
    if name == "unet":
        blocks = ("attn1.processor", "attn2.processor")
        model.set_attn_processor({key: Attention() if key.endswith(blocks) else own
                                  for key, own in model.attn_processors.items()})
        for place, layer in [*model.named_modules()]:
            if isinstance(layer, FeedForward) and isinstance(layer.net[0], GEGLU):
                model.set_submodule(place, GatedLayer(layer))
    return model


def load_tokenizer(folder: Path):
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    return _quietly(CLIPTokenizer.from_pretrained, str(folder), local_files_only=True)


def load_clip(folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None):
    """(CLIPModel, CLIPTokenizer) of a folder."""
    from transformers.models.clip.modeling_clip import CLIPModel

    folder = Path(folder)
    _check_part("clip", folder, folder.name)
    return _model(CLIPModel, folder, device, dtype), load_tokenizer(folder)


_WIDE = 768  # channels of SAM's image encoder from which half precision of its products is worth what it changes


def load_sam(folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None):
    """The SamModel of a folder in float32; in `dtype` the products of its image encoder, if that is as wide as ViT-B's.

    Masks meet thresholds, so that any rounding changes which pass; it is accepted only where there is much to gain.
    """
    from transformers.models.sam.configuration_sam import SamConfig
    from transformers.models.sam.modeling_sam import SamModel

    class Sam(SamModel):
        _keep_in_fp32_modules_strict = ("shared_image_embedding", "prompt_encoder", "mask_decoder", "neck",
                                        "layer_norm", "patch_embed", "pos_embed")

    folder = Path(folder)
    _check_part("sam", folder, folder.name)
    vision = _quietly(SamConfig.from_pretrained, str(folder), local_files_only=True).vision_config
    return _model(Sam, folder, device, dtype if vision.hidden_size >= _WIDE else torch.float32)
