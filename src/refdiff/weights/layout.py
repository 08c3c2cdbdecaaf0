"""Which files a part of a bundle consists of, on the Hub and in a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import BundleError

MAIN = ("diffusion", "clip", "sam")
PARTS = (*MAIN, "baseline_clip", "grounding_dino", "sam3", "tseg")  # the others are looked for by baselines only
# The models of each part: folders with a config.json and safetensors.
COMPONENTS = dict.fromkeys(PARTS, ("",)) | {"diffusion": ("unet", "vae", "text_encoder")}
TOKENIZERS = {"diffusion": "tokenizer", "clip": "", "baseline_clip": "", "grounding_dino": "", "sam3": "",
              "tseg": ""}
_OTHERS = {"diffusion": ("scheduler/scheduler_config.json",)}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "special_tokens_map.json",
                    "added_tokens.json")
_STEMS = ("model", "diffusion_pytorch_model")  # how transformers and diffusers call their weights
PICKLE = "pytorch_model.bin"
_JSON_LIMIT = 2**24  # bytes; the index of the largest model takes a hundredth of it


def read_json(path: Path, limit: int = _JSON_LIMIT) -> dict[str, Any]:
    """The object in a JSON file. Raises BundleError when it is missing, too large, not JSON or not an object."""
    try:
        if not path.is_file():
            raise BundleError(f"{path} is missing; copy it there or fetch it with 'refdiff models download'.")
        if path.stat().st_size > limit:
            raise BundleError(f"{path} is larger than {limit} bytes, which no such file of a model is.")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read as JSON ({short(error)}).") from None
    if not isinstance(content, dict):
        raise BundleError(f"{path} must hold a JSON object, not {type(content).__name__}.")
    return content


def short(error: BaseException, most: int = 200) -> str:
    """What an error says, on one line of at most `most` characters."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    return (text if len(text) <= most else text[: most - 3] + "...") or type(error).__name__


def needed(part: str, names: Collection[str]) -> list[str]:
    """Those of a listing's `names`, paths with '/', that `part` needs: no pickles, no other frameworks, no twins of
    the weights. What is missing among them, `lacking` says."""
    names = frozenset(names)
    paths = ["model_index.json", *_OTHERS.get(part, ())] if part == "diffusion" else []
    for folder in COMPONENTS[part]:
        inside = {path.name for path in map(PurePosixPath, names) if path.parent == PurePosixPath(folder)}
        paths += [_join(folder, name) for name in ("config.json", *weight_names(inside))]
    if part in TOKENIZERS:
        paths += [_join(TOKENIZERS[part], name) for name in _TOKENIZER_FILES]
    return [path for path in dict.fromkeys(paths) if path in names]


def lacking(part: str, names: Collection[str]) -> list[str]:
    """What `part` needs and a folder's or listing's `names` do not have, in words."""
    names = frozenset(names)
    missing = [path for path in _OTHERS.get(part, ()) if path not in names]
    for folder in COMPONENTS[part]:
        inside = {path.name for path in map(PurePosixPath, names) if path.parent == PurePosixPath(folder)}
        if "config.json" not in inside:
            missing.append(_join(folder, "config.json"))
        if not weight_names(inside):
            pickled = any(name.endswith((".bin", ".ckpt", ".pt", ".pth")) for name in inside)
            missing.append(_join(folder, "*.safetensors") + (" (the weights there are pickles)" if pickled else ""))
    if part in TOKENIZERS:
        files = [_join(TOKENIZERS[part], name) for name in ("tokenizer.json", "vocab.json", "merges.txt")]
        if files[0] not in names and not {*files[1:]} <= names:
            missing.append(f"{files[0]} (or vocab.json with merges.txt)")
    return missing


def weight_names(names: Collection[str]) -> list[str]:
    """Those of a folder's file names that hold one model's weights, with the index of shards: one file rather than
    shards, full precision rather than half."""
    for stem in _STEMS:
        single, index = f"{stem}.safetensors", f"{stem}.safetensors.index.json"
        if single in names:
            return [single]
        if index in names:
            pattern = re.compile(rf"{stem}-\d{{5}}-of-\d{{5}}\.safetensors")
            return [index, *sorted(filter(pattern.fullmatch, names))]
    return [name for stem in _STEMS if (name := f"{stem}.fp16.safetensors") in names][:1]


def missing(part: str, folder: Path) -> list[str]:
    """What `folder` lacks of `part`, in words; shards that an index names are looked for too."""
    places = {folder, *(folder / name for name in COMPONENTS[part]), folder / TOKENIZERS.get(part, ""),
              *((folder / path).parent for path in _OTHERS.get(part, ()))}
    names = [path.relative_to(folder).as_posix() for place in places if place.is_dir()
             for path in place.iterdir() if path.is_file()]
    lacks = lacking(part, names)
    for name in COMPONENTS[part] if not lacks else ():
        try:
            weights(folder / name)
        except BundleError as error:
            lacks.append(str(error).rstrip("."))
    return lacks


def weights(folder: Path) -> list[Path]:
    """The safetensors files that hold the weights of the model in `folder`.

    Raises BundleError where there are none, and for an index that names a shard outside the folder, one that is not
    there, or a file of another kind.
    """
    present = {path.name for path in folder.iterdir() if path.is_file()} if folder.is_dir() else set()
    names = weight_names(present)
    if not names:
        raise BundleError(f"{folder} has no safetensors weights; copy them there or fetch them with "
                          "'refdiff models download'.")
    if not names[0].endswith(".json"):
        return [folder / names[0]]
    index = folder / names[0]
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise BundleError(f"{index} has no weight_map; copy the model again.")
    paths = []
    for name in sorted({str(name) for name in shards.values()}):
        if "/" in name or "\\" in name or not name.endswith(".safetensors"):
            raise BundleError(f"{index} names {name[:80]!r}, but only safetensors files beside it are read.")
        if name not in present:
            raise BundleError(f"{index} names {name[:80]!r}, which is missing; copy it there or fetch it with "
                              "'refdiff models download'.")
        if not _belongs(folder / name, folder):
            raise BundleError(f"{index} names {name[:80]!r}, which is a link to a file outside the folder; "
                              "copy the file itself there.")
        paths.append(folder / name)
    return paths


def _belongs(path: Path, folder: Path) -> bool:
    """Whether a link's target lies in `folder`, or is a blob of the Hub cache of which `folder` is a snapshot."""
    target, folder = path.resolve(), folder.resolve()
    blobs = [parent.parent / "blobs" for parent in folder.parents if parent.name == "snapshots"]
    return target.parent in (folder, *blobs)


def check_weights(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a safetensors file, whose header and size are checked.

    Raises BundleError for a file that is damaged, truncated, or filled with zeros.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        with path.open("rb") as raw:  # a download that broke off may have left its size behind
            size = path.stat().st_size
            raw.seek(size - size // _ZEROS)
            zeros = size > _SMALL and not any(part.strip(b"\0") for part in iter(partial(raw.read, 2**20), b""))
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleError(f"{path} is damaged ({short(error)}); delete it and fetch it again.") from None
    if zeros:
        raise BundleError(f"{path} is damaged (it ends in zeros); delete it and fetch it again.")
    return shapes


_ZEROS = 10  # a last tenth of zeros is more than any model has whose biases and positions start at zero
_SMALL = 2**17  # bytes


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
