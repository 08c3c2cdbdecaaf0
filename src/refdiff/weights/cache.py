"""The Hub's cache on this machine; nothing here asks the Hub.

Only the pinned revision of a repository is ever looked at. Beside the files of a repository in the cache lies
`refdiff/<revision>.<part>.json`, the listing of what was fetched: sizes, SHA-256, and the folder that holds the part.
That folder is the cache's own snapshot, unless the pinned revision has no safetensors: then it is
`refdiff/<revision>.<part>/`, with the pinned small files and the weights as the Hub's robot converted them or, for
the repositories of the built-in manifests, as `convert.py` does.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import BundleError
from . import layout

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubPart:
    """A part of a bundle on the Hub: `kind` is its name in `layout.PARTS`, `folder` its place in the repository.

    Only where `trusted`, its pinned pickle may be converted.
    """

    kind: str
    repo: str
    revision: str
    folder: str = ""
    trusted: bool = False

    @property
    def home(self) -> Path:
        """The repository's folder in the Hub's cache."""
        return cache_folder() / f"models--{self.repo.replace('/', '--')}"

    @property
    def own(self) -> Path:
        """The folder in which a part is assembled when the pinned revision has no safetensors."""
        name = ".".join(filter(None, (self.revision, self.folder, self.kind.replace("baseline_", ""))))
        return self.home / "refdiff" / re.sub(r"[^\w.-]", "-", name)

    @property
    def listing(self) -> Path:
        """The file that keeps the listing."""
        return self.own.with_name(self.own.name + ".json")


@dataclass(frozen=True)
class RemoteFile:
    """A file on the Hub, its size in bytes, its SHA-256 where the Hub states one, and the commit it is taken from."""

    path: str
    size: int
    sha256: str | None
    commit: str


def cache_folder() -> Path:
    """The folder of the Hub's cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def locate(part: HubPart) -> Path | None:
    """The folder that holds a part, or None where the cache has not all of it. Never asks the Hub."""
    kept = _read_listing(part)
    folder = kept[1] if kept else _snapshot(part)
    return folder if folder is not None and not layout.missing(part.kind, folder) else None


def keep_listing(part: HubPart, folder: Path, files: Iterable[RemoteFile], weights: str) -> None:
    """Keep the listing of a part that was fetched into `folder`, and the commit that its revision stands for."""
    files = list(files)
    if not _COMMIT.fullmatch(part.revision):
        _write(part.home / "refs" / part.revision, files[0].commit)
    kept = {"repo": part.repo, "revision": part.revision, "weights": weights,
            "folder": folder.relative_to(part.home).as_posix(),
            "files": {file.path: {"size": file.size, "sha256": file.sha256, "commit": file.commit} for file in files}}
    _write(part.listing, json.dumps(kept, indent=1))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def kept_listing(part: HubPart) -> list[RemoteFile] | None:
    """The files of a part as the Hub listed them when it was fetched, paths inside its folder, or None."""
    kept = _read_listing(part)
    return kept[0] if kept else None


def commit(part: HubPart) -> str | None:
    """The commit that a part's revision stands for, as far as the cache knows: that of the files that were fetched,
    even where another program has fetched a newer one since."""
    if _COMMIT.fullmatch(part.revision):
        return part.revision
    kept = _read_listing(part)
    if kept and kept[0]:
        return kept[0][0].commit
    try:
        text = (part.home / "refs" / part.revision).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return text if _COMMIT.fullmatch(text) else None


def _read_listing(part: HubPart) -> tuple[list[RemoteFile], Path] | None:
    """(files, folder) of a kept listing, or None where there is none that can be used."""
    try:
        kept = layout.read_json(part.listing)
        folder = (part.home / kept["folder"]).resolve()
        files = [RemoteFile(path, int(each["size"]), each["sha256"], str(each["commit"]))
                 for path, each in kept["files"].items()]
    except (BundleError, KeyError, TypeError, ValueError, AttributeError):
        return None
    return (files, folder) if folder.is_relative_to(part.home.resolve()) else None


def _snapshot(part: HubPart) -> Path | None:
    known = commit(part)
    return part.home / "snapshots" / known / part.folder if known else None


def sizes_fit(part: HubPart) -> bool:
    """Whether the files of a part have the sizes that its kept listing states; True where none is kept."""
    kept = _read_listing(part)
    return kept is None or all(fits(kept[1] / file.path, file.size) for file in kept[0])


def fits(path: Path, size: int) -> bool:
    """Whether there is a file of that size."""
    return path.is_file() and path.stat().st_size == size


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
