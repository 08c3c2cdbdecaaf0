"""A bundle written to a folder of its own, with a model card, ready for the Hub."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

from .. import __version__
from ..core.files import make_new_folder, shown, write_atomically
from ..errors import RefDiffError
from ..settings import Settings
from . import layout
from .cache import HubPart, commit, sha256
from .manifest import FORMAT, Bundle

_LICENCES = ("Apache-2.0", "BSD-3-Clause", "CC-BY-4.0", "CC0-1.0", "MIT")  # those that the Hub knows by these names

_CARD = """---
{front}
---

# {name}

A model for [referring image segmentation](https://arxiv.org/abs/2308.16777): given an image and words such as "the mug
on the left", it gives the masks of what they mean. It was not trained on such expressions with masks: a diffusion model
shows where in the image each word belongs, SAM proposes masks, and CLIP says which one fits. refdiff {version} runs it.

## Use

```python
from refdiff import RefDiff

model = RefDiff.from_pretrained("path/or/owner/name")  # this folder, or where it lies on the Hub
result = model("photo.jpg", "the mug on the left")
result.mask, result.found, result.instances, result.confidence, result.notice
```

    refdiff segment photo.jpg "the mug on the left" --model path/or/owner/name

## Parts

| part | from | revision | size | SHA-256 of the weights |
| --- | --- | --- | --- | --- |
{parts}

Licence: {licence}

## Settings

{settings}

## Limits

{limits}
"""


def save_bundle(bundle: Bundle, folder: Path, settings: Settings) -> None:
    """Write a bundle with these settings as its own: copies of its parts' files, refdiff.json and README.md.

    A part that is only on the Hub is fetched first. Raises InputError where the folder is not new or empty, BundleError
    where a part is not available, and RefDiffError when the disk refuses.
    """
    sources = {part: bundle.part(part) for part in bundle.parts}
    make_new_folder(folder)
    try:
        for part, source in sources.items():
            for path in _files(part, source):
                target = folder / part / path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / path, target)
    except OSError as error:
        raise RefDiffError(f"{shown(folder)} could not be written ({error.strerror or shown(error)}); make room and "
                           "start again in another folder.") from None
    content = manifest(bundle, settings)
    write_atomically(folder / "README.md", model_card(bundle, folder, content).encode())
    write_atomically(folder / "refdiff.json", (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def manifest(bundle: Bundle, settings: Settings) -> dict[str, Any]:
    """What refdiff.json says of a bundle whose parts lie in folders of their names, with these settings as its own.

    The calibration is left out where it was fitted for others.
    """
    usual, own, domain = Settings().replace(**bundle.geometry).flat(), bundle.settings(), bundle.domain
    fitted = settings.scores_like(own)
    known = {"nouns": sorted(domain.nouns), "vocabulary": list(domain.vocabulary),
             "attributes": sorted(domain.attributes),
             "meanings": {word: list(own) for word, own in domain.meanings.items()}}
    low_score = {"low_score": domain.low_score} if math.isfinite(domain.low_score) else {}
    return {"format": FORMAT, "name": bundle.name, "licence": bundle.licence, **{part: part for part in bundle.parts},
            "geometry": bundle.geometry,
            "settings": {name: value for name, value in settings.flat().items() if value != usual[name]},
            "domain": {name: value for name, value in known.items() if value} | low_score,
            "calibration": bundle.calibration if fitted else None}


def model_card(bundle: Bundle, folder: Path, content: dict[str, Any]) -> str:
    """The README.md of a bundle that was saved in `folder` with the manifest `content`."""
    from huggingface_hub import ModelCardData

    first = bundle.licence.partition(";")[0].strip()
    known = first in _LICENCES
    front = ModelCardData(license=first.lower() if known else "other", license_name=None if known else "several",
                          library_name="refdiff", pipeline_tag="image-segmentation",
                          tags=["referring-image-segmentation", "zero-shot", "ref-diff"]).to_yaml()
    changed = content["geometry"] | content["settings"]
    settings = "\n".join(f"- `{name}`: {json.dumps(value)}" for name, value in sorted(changed.items()))
    return _CARD.format(
        front=front, name=bundle.name, version=__version__, licence=bundle.licence or "not stated",
        parts="\n".join(_part_row(bundle, part, folder / part) for part in bundle.parts),
        settings=f"Those that differ from refdiff's defaults:\n\n{settings}" if settings else "refdiff's defaults.",
        limits="\n".join(f"- {limit}" for limit in _limits(bundle, content)))


def _part_row(bundle: Bundle, part: str, folder: Path) -> str:
    where = bundle.parts[part]
    source = (where.repo, commit(where) or where.revision) if isinstance(where, HubPart) else (
        f"the bundle {bundle.name}", f"fingerprint {bundle.fingerprint()}")
    weights = sorted(folder.rglob("*.safetensors"))
    size = sum(path.stat().st_size for path in weights) / 1e6
    hashes = "<br>".join(f"{path.relative_to(folder).as_posix()} {sha256(path)}" for path in weights)
    return f"| {part} | {source[0]} | {source[1]} | {size:.1f} MB | {hashes} |"


def _limits(bundle: Bundle, content: dict[str, Any]) -> list[str]:
    lacks = [part for part in layout.PARTS[:3] if part not in bundle.parts]
    nouns = bundle.domain.vocabulary or tuple(sorted(bundle.domain.nouns))
    return [
        *([f"It has no {' and no '.join(lacks)} model, and does only what needs none."] if lacks else []),
        f"It knows {len(nouns)} nouns: {', '.join(nouns)}. Asked about another word it says so." if nouns else
        "It knows the words that its models were trained on, and shares their errors and biases.",
        "`confidence` is the probability that a mask is right, fitted on held-out data." if content["calibration"] else
        "`confidence` is None: it has no calibration for these settings.",
        "Check answers before anything depends on them: a mask can be wrong without a notice."]


def _files(part: str, source: Path) -> list[str]:
    """The files that a part consists of, as paths in its folder."""
    names = [path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()]
    weights = [path.relative_to(source).as_posix() for component in layout.COMPONENTS[part]
               for path in layout.weights(source / component)]
    return list(dict.fromkeys([*layout.needed(part, names), *weights]))
