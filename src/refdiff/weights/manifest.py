"""Model bundles: what their manifests say, and where their parts are."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import BundleError, InputError
from ..settings import PRESETS, Settings
from . import hub, layout
from .cache import HubPart, commit, locate, sha256

FORMAT = 1
EMBEDDED = Path(__file__).parent.parent / "bundles"
_LIMIT = 2**20  # bytes of a refdiff.json
# Bounded, since they become names of folders: the Hub's own limit for a repository, and enough for revisions.
_REPOSITORY = re.compile(r"[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"(?!.{101})[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)

_SD15: dict[str, Any] = {
    "format": FORMAT,
    "name": "sd15",
    "licence": "CreativeML Open RAIL-M (Stable Diffusion 1.5), Apache-2.0 (SAM), MIT (CLIP)",
    "diffusion": {"repo": "stable-diffusion-v1-5/stable-diffusion-v1-5",
                  "revision": "451f4fe16113bff5a5d2269ed5ad43b0592e9a14"},
    "clip": {"repo": "openai/clip-vit-base-patch16", "revision": "57c216476eefef5ab752ec549e440a49ae4ae5f3"},
    "sam": {"repo": "facebook/sam-vit-huge", "revision": "87aecf0df4ce6b30cd7de76e87673c49644bdf67"},
    "baseline_clip": {"repo": "openai/clip-vit-base-patch32", "revision": "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268"},
}
_BUILT_IN = {
    "sd15": _SD15,
    "sd15-light": _SD15 | {
        "name": "sd15-light",
        "sam": {"repo": "facebook/sam-vit-base", "revision": "70c1a07f894ebb5b307fd9eaaee97b9dfc16068f"},
        "geometry": {"points_per_side": 16},
    },
}
# What a baseline brings along where a bundle does not name it: bundles of that one part.
_BASELINES: dict[str, dict[str, Any]] = {
    "grounding_dino": {"format": FORMAT, "name": "grounding_dino", "licence": "Apache-2.0", "grounding_dino": {
        "repo": "IDEA-Research/grounding-dino-base", "revision": "12bdfa3120f3e7ec7b434d90674b3396eccf88eb"}},
    "sam3": {"format": FORMAT, "name": "sam3", "licence": "SAM License (the repository is gated)", "sam3": {
        "repo": "facebook/sam3", "revision": "3c879f39826c281e95690f02c7821c4de09afae7"}},
}
_PINNED = {(where["repo"], where["revision"]) for manifest in _BUILT_IN.values() for where in manifest.values()
           if isinstance(where, dict) and "repo" in where}


@dataclass(frozen=True)
class Domain:
    """What a bundle knows: `nouns` it has words for (empty: any), those of them that name one kind of thing each, in
    the singular (`vocabulary`), other words for them (`meanings`), its `attributes` (empty: any), and `low_score`, the
    score of Eq. 1 below which its answers were mostly wrong on held-out scenes."""

    nouns: frozenset[str] = frozenset()
    low_score: float = float("-inf")
    vocabulary: tuple[str, ...] = ()
    attributes: frozenset[str] = frozenset()
    meanings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """What a manifest says. `calibration` is what `confidence` is computed from, or None; `parts` says where each part
    is, as a folder or a place on the Hub. Nothing is looked for before it is asked for."""

    name: str
    parts: dict[str, Path | HubPart]
    geometry: dict[str, Any] = field(default_factory=dict)
    tuned: dict[str, Any] = field(default_factory=dict)
    domain: Domain = Domain()
    calibration: dict[str, Any] | None = None
    licence: str = ""

    def settings(self, preset: str | None = None) -> Settings:
        """The bundle's own settings, or a preset at the bundle's sizes. Raises InputError for an unknown preset."""
        if preset is None:
            return Settings().replace(**self.geometry | self.tuned)
        if preset not in PRESETS:
            raise InputError(f"There is no preset {preset!r}; the presets are {', '.join(PRESETS)}.")
        return PRESETS[preset].replace(**self.geometry)

    @property
    def counted(self) -> list[str]:
        """The parts without which the bundle is not complete: those for baselines are not, unless it has no others."""
        return [name for name in self.parts if name in layout.MAIN] or list(self.parts)

    def owner(self, name: str) -> Bundle:
        """The bundle that a part is taken from: this one, or the baseline's own where this one does not name it."""
        return self if name in self.parts else BROUGHT.get(name, self)

    def has(self, name: str) -> bool:
        """Whether the manifest names the part, one of `layout.PARTS`, or a baseline brings it along."""
        return name in self.owner(name).parts

    def require(self, *names: str) -> None:
        """Raise BundleError where the manifest does not name one of the parts; nothing is looked for."""
        for name in names:
            if not self.has(name):
                raise BundleError(f"The bundle {self.name} has no {name} model, which this call needs; "
                                  f"name one in its refdiff.json, or try another model.")

    def locate(self, name: str) -> Path | None:
        """The folder of a part, or None where it is not complete on this machine. Never downloads."""
        self.require(name)
        where = self.owner(name).parts[name]
        if isinstance(where, HubPart):
            return locate(where)
        return where if not layout.missing(name, where) else None

    def part(self, name: str) -> Path:
        """The folder of a part, fetched from the Hub if need be, which standard error is told first.

        Raises BundleError when the bundle has no such part or it is not available.
        """
        owner = self.owner(name)
        if owner is not self:
            return owner.part(name)
        folder, where = self.locate(name), self.parts[name]
        if folder is not None:
            return folder
        if isinstance(where, Path):
            if where.parent == EMBEDDED and not where.exists():
                raise BundleError(f"The {name} model is not in this installation of refdiff; install refdiff from a "
                                  f"clone of its repository, or name a folder with {name} in a bundle's refdiff.json.")
            raise BundleError(f"The {name} model of {self.name} lacks {', '.join(layout.missing(name, where))} in "
                              f"{where}; copy the files there.")
        with hub.FETCHING:  # another thread may have fetched it by now
            if (folder := locate(where)) is None:
                plan = hub.plan(self.name, self.licence, [where])
                print(plan, file=sys.stderr)
                hub.download(plan)
                folder = locate(where)
        if folder is None:
            raise BundleError(f"{where.repo} was fetched but is not complete; run 'refdiff models check {self.name}'.")
        return folder

    def plan(self, baselines: bool = False) -> hub.Plan:
        """What a download of the parts, with `baselines` those of the baselines too, would take. Raises BundleError."""
        wanted = [where for name, where in self.parts.items()
                  if isinstance(where, HubPart) and (baselines or name in self.counted)]
        lacks = tuple(name for name in layout.MAIN if not self.has(name)) if self.name not in BROUGHT else ()
        return hub.plan(self.name, self.licence, wanted, lacks)

    def source(self, name: str) -> str:
        """What a part is: 'owner/name@commit' on the Hub, else the fingerprint of the bundle that has it."""
        owner = self.owner(name)
        where = owner.parts[name]
        return f"{where.repo}@{commit(where) or where.revision}" if isinstance(where, HubPart) else owner.fingerprint()

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when any file of the bundle does, or the commit of a part on the Hub."""
        digest = hashlib.sha256()
        for name, where in sorted(self.parts.items()):
            if isinstance(where, HubPart):
                digest.update(f"{name}/{where.repo}/{commit(where) or where.revision}/{where.folder}".encode())
                continue
            for path in sorted(p for p in where.rglob("*") if p.is_file()):
                digest.update(f"{name}/{path.relative_to(where).as_posix()}".encode())
                digest.update(bytes.fromhex(sha256(path)))
        return digest.hexdigest()[:16]


def names() -> list[str]:
    """The bundles known by name."""
    return ["mini", *_BUILT_IN]


def find_bundle(name: str | os.PathLike[str]) -> Bundle:
    """The bundle called `name`: one of `names()` or `BROUGHT`, a folder, or a Hub id ('owner/name' or
    'owner/name@revision').

    Only its manifest is read, which for a Hub id that is not in the cache means fetching a few kB. A folder has
    `refdiff.json` or is a diffusers pipeline, with `clip/` and `sam/` in it if it has those. Raises BundleError.
    """
    text = os.fspath(name) if isinstance(name, (str, os.PathLike)) else None
    if not isinstance(text, str):
        raise BundleError(f"A model is named by text or a path, not by {type(name).__name__}.")
    if text == "mini":
        return _from_folder(EMBEDDED / "mini")
    if text in _BUILT_IN:
        return _from_manifest(_BUILT_IN[text], None)
    if text in BROUGHT:
        return BROUGHT[text]
    try:
        if Path(text).is_dir():
            return _from_folder(Path(text))
    except (OSError, ValueError):
        pass
    repo, _, revision = text.partition("@")
    if _REPOSITORY.fullmatch(repo) and ".." not in text and _REVISION.fullmatch(revision or "main"):
        known, manifest = hub.find_manifest(repo, revision or "main")
        return (_from_manifest(layout.read_json(manifest, _LIMIT), HubPart("", repo, known)) if manifest else
                Bundle(repo, {"diffusion": HubPart("diffusion", repo, known)}))
    raise BundleError(f"There is no bundle {layout.short(ValueError(text), 80)!r}; name {', '.join(names())}, an "
                      "existing folder, or a Hub id such as owner/name@revision.")


def _from_folder(folder: Path) -> Bundle:
    if (folder / "refdiff.json").exists():
        return _from_manifest(layout.read_json(folder / "refdiff.json", _LIMIT), folder)
    if (folder / "model_index.json").exists():
        inside = [part for part in layout.PARTS[1:] if (folder / part).is_dir()]
        return Bundle(folder.resolve().name, {"diffusion": folder, **{part: folder / part for part in inside}})
    raise BundleError(f"{folder} is not a bundle: it has neither refdiff.json nor a diffusers model_index.json.")


def _from_manifest(manifest: dict[str, Any], home: Path | HubPart | None) -> Bundle:
    """The bundle of a manifest that lies in the folder or repository `home`; None for a built-in one."""
    source = f"{home / 'refdiff.json'}" if isinstance(home, Path) else f"refdiff.json of {home.repo}" if home else ""
    if manifest.get("format") != FORMAT:
        raise BundleError(f"{source} does not have format {FORMAT}, the one that this version of refdiff reads.")
    fallback = home.name if isinstance(home, Path) else home.repo if home else ""
    name, licence = manifest.get("name", fallback), manifest.get("licence", "")
    for key, value in (("name", name), ("licence", licence)):
        if not isinstance(value, str) or not value.isprintable() or len(value) > 2000:
            raise BundleError(f"{source}: {key} must be one line of text.")
    objects = {}
    for key in ("geometry", "settings", "domain", "calibration"):
        objects[key] = manifest.get(key)
        if objects[key] is not None and not isinstance(objects[key], dict):
            raise BundleError(f"{source}: {key} must be an object.")
    parts = {part: _place(part, manifest[part], source, home) for part in layout.PARTS
             if manifest.get(part) is not None}
    bundle = Bundle(name, parts, objects["geometry"] or {}, objects["settings"] or {},
                    _domain(objects["domain"] or {}, source), objects["calibration"], licence)
    try:
        bundle.settings()
        for preset in PRESETS:
            bundle.settings(preset)
    except InputError as error:
        raise BundleError(f"{source} has settings that cannot be used: {layout.short(error)}") from None
    return bundle


def _place(part: str, where: Any, source: str, home: Path | HubPart | None) -> Path | HubPart:
    """Where a part is that a manifest names as a sub-folder, a Hub repository or a part of a built-in bundle."""
    if isinstance(where, str) and isinstance(home, Path):
        try:
            path = (home / where).resolve()
            with suppress(FileNotFoundError, NotADirectoryError):  # what is not there is said when it is needed
                path.stat()
        except (OSError, RuntimeError, ValueError):  # RuntimeError: a loop of links, before Python 3.13
            raise BundleError(f"{source}: {part} is not a valid folder name.") from None
        if not path.is_relative_to(home.resolve()):
            raise BundleError(f"{source} points outside its own folder for {part}.")
        return path
    if isinstance(where, str) and isinstance(home, HubPart) and _REVISION.fullmatch(where) and ".." not in where:
        return HubPart(part, home.repo, home.revision, where)
    if isinstance(where, dict) and where.get("bundle") in names():
        other = find_bundle(where["bundle"])
        if where.get("part", part) in layout.PARTS and other.has(where.get("part", part)):
            return other.parts[where.get("part", part)]
    if isinstance(where, dict) and "repo" in where:
        repo, revision = where["repo"], where.get("revision", "main")
        if (isinstance(repo, str) and _REPOSITORY.fullmatch(repo) and isinstance(revision, str)
                and _REVISION.fullmatch(revision) and ".." not in repo + revision):
            return HubPart(part, repo, revision, trusted=(repo, revision) in _PINNED)
    raise BundleError(f'{source} must name {part} as a sub-folder, as {{"repo": "owner/name", "revision": ...}}, or '
                      f'as {{"bundle": ..., "part": ...}} with one of {", ".join(names())}.')


def _domain(domain: dict[str, Any], source: str) -> Domain:
    low_score = domain.get("low_score", float("-inf"))
    if type(low_score) not in (int, float) or not low_score <= 1e9:  # NaN too
        raise BundleError(f"{source}: low_score must be a number, not over a billion.")
    lists = {name: _words(domain.get(name, []), name, source) for name in ("nouns", "vocabulary", "attributes")}
    meanings = domain.get("meanings", {})
    if not isinstance(meanings, dict):
        raise BundleError(f"{source}: meanings must name lists of nouns by a word each.")
    known = {word: _words(own, f"each of meanings, as {word[:40]!r},", source) for word, own in meanings.items()}
    if not all(known.values()):
        raise BundleError(f"{source}: each of meanings must be a list of at least one noun.")
    return Domain(frozenset(lists["nouns"]), float(low_score), lists["vocabulary"], frozenset(lists["attributes"]),
                  known)


def _words(value: Any, name: str, source: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) and word.strip() and word.isprintable()
                                              for word in value):
        raise BundleError(f"{source}: {name} must be a list of words.")
    return tuple(value)


BROUGHT = {name: _from_manifest(manifest, None) for name, manifest in _BASELINES.items()} | {
    "tseg": Bundle("tseg", {"tseg": EMBEDDED / "tseg"})}
"""The bundles of what baselines bring along, by the name of their one part."""


def is_here(name: str) -> bool:
    """Whether a part needs no download of its own: one of a bundle, or one that comes with this installation."""
    where = BROUGHT[name].parts[name] if name in BROUGHT else EMBEDDED
    return isinstance(where, Path) and where.exists()
