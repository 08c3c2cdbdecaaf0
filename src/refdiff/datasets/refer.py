"""The RefCOCO family in the REFER toolkit's layout: `refs(<splitBy>).p` or `.json`, `instances.json`, images.

gRefCOCO has the same with `grefs(<splitBy>).json`, and Ref-ZOM with `refs(final).p`: a ref's `ann_id` is a list there.
RRSIS-D has the same too, each mask a list of one RLE, and its images beside the annotations' folder.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ..core.files import read_json, shown
from ..errors import InputError
from .drawn import Drawing
from .plain_pickle import load_plain_pickle
from .reference import Reference, image_path, image_size, is_id, make_reference

_FILE = re.compile(r"g?refs\((.*)\)\.(json|p)", re.DOTALL)
_NOTHING = -1  # gRefCOCO's ann_id of an expression that means nothing in the image
_ZERO = "zero"  # Ref-ZOM's source of such an expression

_Category = tuple[Any, Any] | None  # (image, category)

Wording = Literal["sent", "raw"]
"""Which form of a sentence is the expression: 'sent', cleaned by REFER, or 'raw', as it was typed."""


def load_refer(folder: str | Path, split: str, split_by: str | None = None, images: str | Path | None = None,
               wording: Wording = "sent", drawing: Drawing = "union") -> Iterator[Reference]:
    """Every expression of a split, grouped by image.

    `split_by` names the refs file where there are several; `images` the images' folder (default: `images` in
    `folder`, else, as in RRSIS-D, `../images/<folder's name>/JPEGImages`). Where `ann_id` is a list, `segmentation` is
    a tuple: the truth is the union of those annotations, empty where the ref says that nothing is meant. Raises
    InputError when files are missing or in another layout, the split is empty, or instances.json gives one id to
    different things; a value of a wrong type is the fault of that reference alone.
    """
    folder = Path(folder)
    path = refs_file(folder, split_by)
    refs = load_plain_pickle(path) if path.suffix == ".p" else read_json(path)
    if not isinstance(refs, list) or not all(isinstance(ref, dict) and isinstance(ref.get("split"), str)
                                             for ref in refs):
        raise InputError(f"{shown(path)} is not in the REFER layout: it must be a list of refs, each with its split.")
    listed, annotations = _instances(folder / "instances.json")
    alike = Counter(map(_category, annotations.values()))
    chosen = sorted((ref for ref in refs if ref["split"] == split),
                    key=lambda ref: (_order(ref.get("image_id")), _order(ref.get("ref_id"))))
    if not chosen:
        splits = sorted({ref["split"] for ref in refs})
        raise InputError(f"{shown(folder)} has no split {split!r}; it has {shown(', '.join(splits) or 'none')}.")
    where_images = Path(images) if images else _images_of(folder)
    for number, ref in enumerate(chosen, 1):
        where = f"Ref {ref['ref_id']}" if is_id(ref.get("ref_id")) else f"Ref {number} of split {split}"
        for reference in _expressions(where, ref, listed, annotations, alike, where_images, wording):
            yield replace(reference, drawing=drawing)


def _images_of(folder: Path) -> Path:
    own, beside = folder / "images", folder.resolve().parent / "images" / folder.resolve().name / "JPEGImages"
    return beside if beside.is_dir() and not own.is_dir() else own


def refs_file(folder: Path, split_by: str | None) -> Path:
    """The file of a folder in the REFER layout that holds the expressions. Raises InputError where there is none or,
    without `split_by`, more than one."""
    named = {path: match[1] for path in sorted(folder.glob("*refs(*).*"))
             if (match := _FILE.fullmatch(path.name))}
    files = [path for path, name in named.items() if not split_by or name == split_by]  # .json before .p
    if not files or not (folder / "instances.json").is_file():
        pattern = f"refs({split_by or '*'})"
        raise InputError(f"{shown(folder)} is not a dataset in the REFER layout: it needs {shown(pattern)}.p or .json, "
                         f"or {shown('g' + pattern)}.json, and instances.json.")
    names = sorted({named[path] for path in files})
    if len(names) > 1:
        raise InputError(f"{shown(folder)} has several refs files; choose one with split_by (--split-by): "
                         f"{shown(', '.join(names))}.")
    if len({path.stem for path in files}) > 1:
        raise InputError(f"{shown(folder)} holds both refs({shown(names[0])}) and grefs({shown(names[0])}); keep each "
                         "in a folder of its own.")
    return files[0]


def _instances(path: Path) -> tuple[dict[Any, dict[str, Any]], dict[Any, dict[str, Any]]]:
    """(images, annotations) of an instances.json, by id."""
    content = read_json(path)
    found = []
    for name in ("images", "annotations"):
        part = content.get(name) if isinstance(content, dict) else None
        if not isinstance(part, list) or not all(isinstance(each, dict) for each in part):
            raise InputError(f"{shown(path)} is not in the REFER layout: it must hold lists of images and annotations.")
        by_id: dict[Any, dict[str, Any]] = {}
        for each in part:
            if is_id(each.get("id")) and by_id.setdefault(each["id"], each) != each:
                raise InputError(f"{shown(path)} gives the id {shown(each['id'])} to two {name}; every id must be "
                                 "unique.")
        found.append(by_id)
    return found[0], found[1]


def _order(value: Any) -> tuple[bool, int | str]:
    """A key to sort ids by, whatever they are: integers, then strings and all else."""
    return (False, value) if is_id(value) and not isinstance(value, str) else (True, shown(value))


def _expressions(where: str, ref: dict[str, Any], images: dict[Any, dict[str, Any]],
                 annotations: dict[Any, dict[str, Any]], alike: Counter[_Category], folder: Path,
                 wording: Wording) -> Iterator[Reference]:
    entry = images.get(ref.get("image_id")) if is_id(ref.get("image_id")) else None
    if entry is None:
        name = shown(ref.get("image_id")).replace("/", " ").replace("\0", " ")
        image, size = folder / f"{name} (not listed)", None
        fault: str | None = f"{where} is of an image that instances.json does not list."
    else:
        image, fault = image_path(folder, entry.get("file_name"), f"Image {entry['id']}")
        size, wrong = image_size(entry)
        fault = fault or wrong
    segmentation, empty, wrong = _truth(ref, annotations, where)
    fault = fault or wrong
    look_alikes = None if empty else _look_alikes(ref, annotations, alike)
    sentences = ref.get("sentences")
    if not isinstance(sentences, list) or not all(isinstance(sentence, dict) for sentence in sentences):
        yield make_reference(where, None, image, "", fault=f"{where} has no list of sentences.")
        return
    for number, sentence in enumerate(sentences, 1):
        place = f"{where}, sentence {number}"
        missing = None if wording in sentence else f"{place} has no {wording!r}."
        text = sentence.get(wording, sentence.get("raw", sentence.get("sent")))
        yield make_reference(place, sentence.get("sent_id"), image, text, ref.get("kind"), segmentation, size,
                             missing or fault, empty, ref.get("image_id"), look_alikes=look_alikes)


def _truth(ref: dict[str, Any], annotations: dict[Any, dict[str, Any]],
           where: str) -> tuple[Any, bool, str | None]:
    """(segmentation, whether nothing is meant, what is wrong)."""
    if ref.get("source") == _ZERO:
        return (), True, None
    ids = ref.get("ann_id")
    listed = ids if isinstance(ids, list) else [ids]
    meant = [each for each in listed if each != _NOTHING]
    nothing = ref.get("no_target") is True or (bool(listed) and not meant)
    if nothing:
        return (), True, f"{where} says that nothing is meant and names annotations." if meant else None
    if not meant or not all(is_id(each) and each in annotations for each in meant):
        return None, False, f"{where} has no mask: instances.json does not list its annotation."
    parts = tuple(annotations[each].get("segmentation") for each in dict.fromkeys(meant))
    return parts if listed is ids else parts[0], False, None


def _category(annotation: dict[str, Any]) -> _Category:
    """The image and the category of an annotation; None where it does not say."""
    image, category = annotation.get("image_id"), annotation.get("category_id")
    return (image, category) if is_id(image) and is_id(category) else None


def _look_alikes(ref: dict[str, Any], annotations: dict[Any, dict[str, Any]],
                 alike: Counter[_Category]) -> int | None:
    """How many annotations of the image are of a category that is meant without being meant; a crowd counts as one.
    None where the category of something that is meant is not known."""
    ids = ref.get("ann_id")
    listed = dict.fromkeys(filter(is_id, ids if isinstance(ids, list) else [ids]))
    meant = [_category(annotations[each]) for each in listed if each in annotations]
    if not meant or None in meant:
        return None
    return sum(alike[category] for category in set(meant)) - len(meant)
