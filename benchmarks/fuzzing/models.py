"""Expressions, settings, manifests of bundles, and whole calls of the embedded model."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .values import Case, Rng, changed, either, junk, must_refuse, pick, text

_NOUNS = "cat dog car cup horse umbrella apple guitar bus clock".split()
_PLACES = {"left": ("on the left", "at the far left"), "right": ("on the right", "to the right"),
           "top": ("at the top",), "bottom": ("at the bottom",)}


def expression(rng: Rng, folder: Path) -> Case:
    from refdiff.language import parse

    if rng.random() < 0.4:
        noun, side = pick(rng, _NOUNS), pick(rng, sorted(_PLACES))
        words = f"the {pick(rng, ('red', 'big', 'blue', ''))} {noun} {pick(rng, _PLACES[side])}"
        return Case(lambda: parse(words), lambda found: (found.root, found.direction) == (noun, (side,))
                    and found.text[found.start : found.end] == noun)
    if rng.random() < 0.15:
        wrong = pick(rng, (None, 5, ["a cat"], "", " \n", "?!", "x" * 5000, "a \ud800 cat", b"a cat", "the " * 3000))
        return must_refuse(lambda: parse(wrong))
    signs = ("the", "left", "of", "not", "two", ",", "-", "'", "\u2028", "\t", "🐈", "左边的猫", "a" * 99)
    pieces = [pick(rng, (*_NOUNS, *signs, text(rng, 9))) for _ in range(rng.integers(1, 12))]
    odd = pick(rng, (" ", "", "\n")).join(pieces) if rng.random() < 0.8 else text(rng, 1500)

    def whole() -> Any:
        found = parse(odd)
        assert found.root and found.text[found.start : found.end] == found.root and found.phrase
        return found

    return either(whole)


@cache
def _flat() -> dict[str, Any]:
    from refdiff.settings import Settings

    default = Settings()
    return {each.name: getattr(getattr(default, group.name), each.name)
            for group in fields(default) for each in fields(getattr(default, group.name))}


def setting(rng: Rng, folder: Path) -> Case:
    from refdiff.settings import Settings

    name = pick(rng, sorted(_flat()))
    if rng.random() < 0.3:
        chosen = {key: _flat()[key] for key in rng.choice(sorted(_flat()), 3)} | {"alpha": float(rng.uniform(0, 1))}
        return Case(lambda: Settings().replace(**chosen), lambda found: found.matching.alpha == chosen["alpha"])
    if rng.random() < 0.2:
        wrong = pick(rng, ({"guidance": math.nan}, {"timesteps": [None]}, {"layers": [1]}, {"min_region": -1},
                           {"image_size": 1}, {"seed": 2**70}, {"min_area": "a"}, {"points_per_side": 10**6},
                           {"no_such": 1}, {"": 1}, {"alpha": True}, {"\ud800": 0}))
        return must_refuse(lambda: Settings().replace(**wrong))
    value = pick(rng, (junk(rng), [junk(rng, 1)], (junk(rng, 1),), object(), np.float32(1), np.zeros(2)))

    def finite() -> Any:
        found = Settings().replace(**{name: value})
        hash(found)
        json.dumps([getattr(getattr(found, group.name), each.name) for group in fields(found)
                    for each in fields(getattr(found, group.name))], allow_nan=False)
        return found

    return either(finite)


def manifest(rng: Rng, folder: Path) -> Case:
    from refdiff.weights.manifest import find_bundle

    place = Path(folder) / f"bundle{rng.integers(1 << 60)}"
    (place / "clip").mkdir(parents=True)
    content: dict[str, Any] = {"format": 1, "name": "mine", "licence": "MIT", "clip": "clip",
                               "settings": {"alpha": 0.2}, "domain": {"nouns": ["cat"], "low_score": 0.1}}
    action = rng.integers(4)
    if action == 1:
        content[pick(rng, (*sorted(content), "diffusion", "sam", "geometry", "calibration"))] = pick(
            rng, (junk(rng), {"repo": junk(rng)}, {"bundle": junk(rng)}, {"alpha": junk(rng)}, "../..", "/", "a\0"))
    data = json.dumps(content).encode()
    (place / "refdiff.json").write_bytes(changed(rng, data) if action == 2 else data)
    if action == 3:
        name = pick(rng, (text(rng), junk(rng), folder / "absent", place / "clip", "x" * 300, ""))
        named = name if isinstance(name, Path) else f"?{name}"  # no name that could be a Hub id
        return must_refuse(lambda: find_bundle(named))
    if action == 0:
        return Case(lambda: find_bundle(place), lambda found: found.name == "mine")
    return either(lambda: find_bundle(place).fingerprint())


@cache
def _mini() -> Any:
    from refdiff import RefDiff

    return RefDiff.from_pretrained("mini")


def segment(rng: Rng, folder: Path) -> Case:
    """Small images of every shape and expressions of every kind, through the embedded model."""
    height = int(rng.integers(8, 80))
    width = int(np.clip(height * 20.0 ** rng.uniform(-1, 1), 8, min(20 * height, 400)))
    height = max(height, -(-width // 20))
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8) if rng.random() < 0.5 else np.full(
        (height, width, 3), rng.integers(256), np.uint8)
    if rng.random() < 0.2:
        wrong = pick(rng, ("", "🐈", None, "a \ud800 cat", "x" * 5000))
        return must_refuse(lambda: _mini()(image, wrong))
    words = pick(rng, ("the red cat on the left", "左边的猫", "left", "not", "two dogs, or one", "x" * 900))
    variant = pick(rng, ("full", "g", "gs", "ds"))
    return Case(lambda: _mini()(image, words, variant=variant),
                lambda found: found.mask.shape == image.shape[:2] and math.isfinite(found.score))
