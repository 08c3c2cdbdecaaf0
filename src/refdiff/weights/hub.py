"""The Hub itself: what a download would take, and the download."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import BundleError
from . import layout
from .cache import HubPart, RemoteFile, cache_folder, fits, keep_listing, locate, sha256, sizes_fit
from .convert import check_torch, convert
from .hub_errors import explained

ROBOT = "SFconvertbot"
_CONVERTED = "model.safetensors"
_SPARE = 10**8  # bytes of the disk that a download leaves free
FETCHING = threading.RLock()  # one download at a time in the process


@dataclass(frozen=True)
class Fetch:
    """How one part will be fetched: `files` into `folder`; `origin` says where its weights come from."""

    part: HubPart
    files: tuple[RemoteFile, ...]
    folder: Path
    origin: str

    @property
    def pickle(self) -> RemoteFile | None:
        """The pickled weights that have to be converted."""
        return next((file for file in self.files if file.path.endswith(layout.PICKLE)), None)

    @property
    def size(self) -> int:
        """Bytes that are still to be downloaded."""
        return sum(file.size for file in self.files if not fits(self.folder / file.path, file.size))


@dataclass(frozen=True)
class Plan:
    """What a download will do; `str(plan)` says it in a few lines."""

    bundle: str
    licence: str
    fetches: tuple[Fetch, ...]
    lacks: tuple[str, ...] = ()
    free: int = field(default_factory=lambda: _free(cache_folder()))

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(fetch.size for fetch in self.fetches)

    @property
    def needed(self) -> int:
        """Bytes of disk that it takes: a pickle and what is made of it lie there together for a while."""
        return self.size + sum(fetch.pickle.size for fetch in self.fetches if fetch.pickle)

    @property
    def has_room(self) -> bool:
        """Whether the disk has room for it."""
        return self.needed + _SPARE <= self.free

    def __str__(self) -> str:
        lines = [f"{self.bundle}: {_amount(self.size)} to download" if self.fetches else
                 f"{self.bundle}: everything is there, nothing to download"]
        lines += [f"  {fetch.part.kind:14} {_amount(fetch.size):>9}  from {fetch.part.repo} "
                  f"({fetch.part.revision[:12]}), {fetch.origin}" for fetch in self.fetches]
        if self.fetches:
            room = "" if self.has_room else f"; not enough, {_amount(self.needed + _SPARE)} are needed"
            lines.append(f"  to: {cache_folder()} ({_amount(self.free)} free{room})")
            lines.append(f"  licence: {self.licence or 'see the repositories'}")
        if self.lacks:
            lines.append(f"  {self.bundle} has no {' and no '.join(self.lacks)} model: name them in a refdiff.json for "
                         "what needs them")
        return "\n".join(lines)


def find_manifest(repo: str, revision: str) -> tuple[str, Path | None]:
    """(commit, path of refdiff.json or None for a plain diffusers pipeline) of a bundle on the Hub.

    From the cache, or else from the Hub, which is a few kB. Raises BundleError when the repository is not a bundle.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    cache, endpoint, listed = cache_folder(), _endpoint(), False
    for name in ("refdiff.json", "model_index.json"):
        found = try_to_load_from_cache(repo, name, cache_dir=cache, revision=revision)
        if found is None:  # not known to be missing either
            listed = listed or bool(_listing(repo, revision, ""))  # which fails at once where a download tries again
            with explained(repo, revision):
                try:
                    found = hf_hub_download(repo, name, revision=revision, cache_dir=cache, endpoint=endpoint)
                except LocalEntryNotFoundError:
                    raise
                except EntryNotFoundError:
                    continue
        if isinstance(found, str):
            return Path(found).parent.name, Path(found) if name == "refdiff.json" else None
    raise BundleError(f"{repo} is not a bundle: it has neither refdiff.json nor a diffusers model_index.json.")


def plan(bundle: str, licence: str, parts: Iterable[HubPart], lacks: tuple[str, ...] = ()) -> Plan:
    """What has to be fetched for `parts` to be there, small ones first. Asks the Hub for listings only.

    Raises BundleError when something is not available: a repository that is gated, mistyped or out of reach, or weights
    that only a pickle holds.
    """
    fetches = [_fetch_plan(bundle, part) for part in parts if locate(part) is None or not sizes_fit(part)]
    return Plan(bundle, licence, tuple(sorted(fetches, key=lambda fetch: fetch.size)), lacks)


def download(plan: Plan) -> None:
    """Fetch what a plan names, compare sizes and SHA-256, convert pickles, and keep the listings.

    A download that was broken off goes on where it stopped. Raises BundleError.
    """
    if not plan.has_room:
        raise BundleError(f"The disk of {cache_folder()} is too full: {plan.bundle} needs "
                          f"{_amount(plan.needed + _SPARE)} and {_amount(plan.free)} are free; make room, or point "
                          "HF_HOME at another disk.")
    with FETCHING:
        for fetch in plan.fetches:
            with explained(fetch.part.repo, fetch.part.revision):
                _download(fetch)


def _fetch_plan(bundle: str, part: HubPart) -> Fetch:
    pinned = _listing(part.repo, part.revision, part.folder)
    wanted = layout.needed(part.kind, pinned)
    if not (lacks := layout.lacking(part.kind, pinned)):
        revision = pinned[wanted[0]].commit
        folder = part.home / "snapshots" / revision / part.folder
        return Fetch(part, tuple(pinned[path] for path in wanted), folder, "safetensors")
    others = {path: file for path, file in pinned.items() if path in wanted}
    if layout.COMPONENTS[part.kind] == ("",) and "config.json" in others:
        if converted := _conversion(part):
            number, weights = converted
            files = (*others.values(), weights)
            return Fetch(part, files, part.own, f"safetensors by the Hub's robot (pull request {number})")
        pickle = pinned.get(layout.PICKLE)
        if part.trusted and pickle is not None and pickle.sha256:
            check_torch(part.repo)
            return Fetch(part, (*others.values(), pickle), part.own, "a pickle to be converted to safetensors")
    raise BundleError(f"{part.repo} (revision {part.revision}) lacks {', '.join(lacks)}, which {bundle} needs for "
                      f"{part.kind}; name a repository that has safetensors.")


def _listing(repo: str, revision: str, folder: str) -> dict[str, RemoteFile]:
    """The files below `folder` of a repository on the Hub, by their paths in it."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    with explained(repo, revision):
        info = _api().model_info(repo, revision=revision, files_metadata=True)
        if info.gated and info.siblings:  # a listing is not denied, a file may be: better now than after gigabytes
            get_hf_file_metadata(hf_hub_url(repo, info.siblings[0].rfilename, revision=info.sha, endpoint=_endpoint()))
    inside = f"{folder}/" if folder else ""
    return {file.rfilename.removeprefix(inside): RemoteFile(
                file.rfilename.removeprefix(inside), int(file.size or 0), file.lfs.sha256 if file.lfs else None,
                str(info.sha))
            for file in info.siblings or () if file.rfilename.startswith(inside)}


def _conversion(part: HubPart) -> tuple[int, RemoteFile] | None:
    """The pull request in which the Hub's own robot offers a repository's weights as safetensors, and these."""
    from huggingface_hub.errors import HfHubHTTPError

    with explained(part.repo, part.revision):
        try:
            found = [each for each in islice(_api().get_repo_discussions(
                part.repo, author=ROBOT, discussion_type="pull_request"), 50)
                if each.author == ROBOT and each.is_pull_request and "safetensors" in each.title]
        except HfHubHTTPError as error:
            if error.response.status_code in (403, 404):  # discussions can be switched off
                return None
            raise
    for each in found:
        try:
            files = _listing(part.repo, f"refs/pr/{each.num}", part.folder)
        except BundleError:
            continue
        if _CONVERTED in files and files[_CONVERTED].sha256:
            return each.num, files[_CONVERTED]
    return None


def _download(fetch: Fetch) -> None:
    from huggingface_hub import hf_hub_download

    part, assembled = fetch.part, fetch.folder == fetch.part.own
    for file in fetch.files:
        path = fetch.folder / file.path
        if path.exists() and not fits(path, file.size):
            _remove(path)
        place: dict[str, Any] = {"local_dir": fetch.folder} if assembled else {"cache_dir": cache_folder()}
        name = f"{part.folder}/{file.path}" if part.folder else file.path
        got = Path(hf_hub_download(part.repo, name, revision=file.commit, endpoint=_endpoint(), **place))
        if not fits(got, file.size) or (file.sha256 and sha256(got) != file.sha256):
            _remove(got)
            raise BundleError(f"{name} of {part.repo} is not what the Hub's listing says (size or SHA-256 differ); "
                              "it was removed, fetch it again.")
    files = [file for file in fetch.files if file is not fetch.pickle]
    if fetch.pickle:
        converted = convert(fetch.folder / fetch.pickle.path, fetch.folder / _CONVERTED)
        files.append(RemoteFile(_CONVERTED, converted.stat().st_size, sha256(converted), fetch.pickle.commit))
    keep_listing(part, fetch.folder, files, fetch.origin)


def _remove(path: Path) -> None:
    """Remove a file of the cache, its blob too."""
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _free(folder: Path) -> int:
    """Bytes free on the disk of a folder that need not exist yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _api() -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=_endpoint(), library_name="refdiff")
