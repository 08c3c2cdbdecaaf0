"""Datasets: the RefCOCO family, gRefCOCO, Ref-ZOM, PhraseCut, your own, and pictogram scenes."""

from __future__ import annotations

from pathlib import Path

from ..core.files import shown
from ..errors import InputError
from .own import load_own
from .phrasecut import load_phrasecut
from .refcoco_m import is_refcoco_m, load_refcoco_m
from .refer import load_refer
from .reference import Dataset, Reference, grouped

__all__ = ["Dataset", "Reference", "load_own", "load_phrasecut", "load_refcoco_m", "load_refer",
           "open_dataset"]


def open_dataset(path: str | Path, split: str = "val", split_by: str | None = None, images: str | Path | None = None,
                 name: str | None = None, limit: int | None = None) -> Dataset:
    """The split of a dataset in any layout refdiff reads, told apart by its files.

    `path` is a folder with `refs(<split_by>).p` or `.json` and `instances.json` (REFER, Ref-ZOM), or with
    `grefs(<split_by>).json` instead (gRefCOCO), a folder with `refer_<split>.json` (PhraseCut), or a `.jsonl` file
    (your own, RefCOCO-M). `name` (default: the folder's or file's) is what tables call it. `limit` keeps the first so
    many expressions. Raises InputError when the files are in another layout, the split is absent, two expressions have
    the same id, or `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise InputError(f"The limit must be at least one expression, not {limit}.")
    path = Path(path)
    label = shown(path)
    where = {"path": str(path), "split": split, "split_by": split_by, "images": images and str(images), "name": name,
             "limit": limit}
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except OSError:  # a name that is too long
        is_file = is_folder = False
    if is_file:
        one_target = is_refcoco_m(path)
        references = list(load_refcoco_m(path, images) if one_target else load_own(path, images, split))
        return grouped(name or path.stem, split, references, where, one_target)
    if not is_folder:
        raise InputError(f"There is no dataset {label}; check the path.")
    if any(path.glob("refs(*)*")) or any(path.glob("grefs(*)*")):
        references = list(load_refer(path, split, split_by, images))
        one_target = not any(isinstance(each.segmentation, tuple) for each in references)
    elif any(path.glob("refer_*.json")):
        references, one_target = list(load_phrasecut(path, split, images)), False
    else:
        raise InputError(f"{label} is not in a layout refdiff reads: it holds neither refs(<splitBy>).p or "
                         f"grefs(<splitBy>).json with instances.json nor refer_{shown(split)}.json.")
    return grouped(name or path.resolve().name, split, references, where, one_target)
