"""Says whether a bundle is here and whole: `describe` at a glance, `check_bundle` by its hashes and by loading it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import BundleError
from . import layout
from .cache import HubPart, fits, kept_listing, sha256
from .manifest import Bundle


@dataclass(frozen=True)
class Result:
    """What was found out about one part: whether it can be used, and why, in a sentence."""

    part: str
    ok: bool
    message: str

    def __str__(self) -> str:
        return f"{self.part}: {self.message}"


@dataclass(frozen=True)
class Description:
    """`state` is 'ready', 'partly' or 'absent'; `size` in MB (10^6 bytes); `parts` those that are here, `absent` those
    that are not. What only baselines need does not count towards the state."""

    state: str
    size: float
    parts: tuple[str, ...]
    absent: tuple[str, ...]


def describe(bundle: Bundle) -> Description:
    """What of a bundle is on this machine, by its files' names and sizes. Asks the Hub nothing."""
    folders = {part: bundle.locate(part) for part in bundle.parts}
    here = {part: folder for part, folder in folders.items() if folder is not None and _whole(bundle, part, folder)}
    state = "ready" if all(part in here for part in bundle.counted) else "partly" if here else "absent"
    files = {path.resolve() for part, folder in here.items() for path in _files(part, folder)}
    return Description(state, sum(path.stat().st_size for path in files) / 1e6, tuple(here),
                       tuple(part for part in bundle.parts if part not in here))


def check_bundle(bundle: Bundle) -> list[Result]:
    """One result for each part: its files against the kept listing, if there is one, and its models loaded.

    Models are loaded one at a time, on the CPU. That a model which only baselines need is missing is not a fault.
    """
    return [_check(bundle, part) for part in bundle.parts]


def _check(bundle: Bundle, part: str) -> Result:
    folder = bundle.locate(part)
    if folder is None and part not in bundle.counted:
        return Result(part, True, f"absent, needed by baselines only; fetch it with 'refdiff models download "
                                  f"{bundle.name} --all'")
    where = bundle.parts[part]
    if folder is None:
        if isinstance(where, Path):
            return Result(part, False, f"lacks {', '.join(layout.missing(part, where))} in {where}")
        return Result(part, False, f"absent; fetch it with 'refdiff models download {bundle.name}'")
    listing = kept_listing(where) if isinstance(where, HubPart) else None
    for file in listing or ():
        path = folder / file.path
        if not fits(path, file.size) or (file.sha256 and sha256(path) != file.sha256):
            return Result(part, False, f"{file.path} is not what the Hub listed (size or SHA-256 differ); delete "
                                       f"{path.resolve()} and run 'refdiff models download {bundle.name}'")
    try:
        _load(part, folder)
    except BundleError as error:
        return Result(part, False, str(error).rstrip("."))
    compared = f"{len(listing)} files as the Hub listed them" if listing else "no listing kept to compare with"
    return Result(part, True, f"loads from {folder}, {compared}")


def _load(part: str, folder: Path) -> None:
    """Load every model of a part, each given back before the next."""
    from . import load  # brings torch, which `describe` can do without

    if part == "diffusion":
        load.load_scheduler(folder / "scheduler")
        load.load_tokenizer(folder / "tokenizer")
        load.load_unet(folder / "unet")
        load.load_vae(folder / "vae")
        load.load_text_encoder(folder / "text_encoder")
    elif part == "sam":
        load.load_sam(folder)
    elif part == "grounding_dino":
        load.load_grounding_dino(folder)
    elif part == "sam3":
        load.load_sam3(folder)
    elif part == "tseg":
        for path in layout.weights(folder):
            layout.check_weights(path)
    else:
        load.load_clip(folder)


def _files(part: str, folder: Path) -> list[Path]:
    """The files that a part consists of."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return [folder / name for name in layout.needed(part, names)]


def _whole(bundle: Bundle, part: str, folder: Path) -> bool:
    """Whether the files have the sizes that their headers and the kept listing state."""
    where = bundle.parts[part]
    listing = kept_listing(where) if isinstance(where, HubPart) else None
    try:
        for path in _files(part, folder):
            if path.suffix == ".safetensors":
                layout.check_weights(path)
    except BundleError:
        return False
    return all(fits(folder / file.path, file.size) for file in listing or ())
