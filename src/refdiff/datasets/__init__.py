"""Datasets: the RefCOCO family, gRefCOCO, Ref-ZOM, RRSIS-D, PhraseCut, ReasonSeg, your own, and pictogram scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from ..core.files import shown
from ..errors import InputError
from .manifest import load_manifest
from .own import load_own
from .phrasecut import load_phrasecut
from .reasonseg import load_reasonseg, reasonseg_splits
from .refcoco_m import is_refcoco_m, load_refcoco_m
from .refer import Wording, load_refer, refs_file
from .reference import Dataset, Reference, grouped

__all__ = ["Dataset", "Reference", "load_manifest", "load_own", "load_phrasecut", "load_reasonseg", "load_refcoco_m",
           "load_refer", "open_dataset"]

TruthAs = Literal["union", "yu2023"]


def open_dataset(path: str | Path, split: str = "val", split_by: str | None = None, images: str | Path | None = None,
                 name: str | None = None, limit: int | None = None, text: Wording = "sent",
                 truth_as: TruthAs = "union") -> Dataset:
    """The split of a dataset in any layout refdiff reads, told apart by its files.

    `path` is a folder with `refs(<split_by>).p` or `.json` and `instances.json` (REFER, Ref-ZOM, RRSIS-D), or with
    `grefs(<split_by>).json` instead (gRefCOCO), a folder with `refer_<split>.json` (PhraseCut), a folder with a folder
    `<split>` of images and JSON files (ReasonSeg), or a `.jsonl` file (your own, RefCOCO-M). `name` (default: the
    folder's or file's) is what tables call it. `limit` keeps the first so many expressions. `text` and `truth_as` are
    for the REFER layout: 'raw' takes the words as they were typed; 'yu2023' leaves out of a truth where parts of its
    annotation overlap, as Yu et al.'s release does. Raises InputError when the files are in another layout, the split
    is absent, two expressions have the same id, or `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise InputError(f"The limit must be at least one expression, not {limit}.")
    where = {"path": str(path), "split": split, "split_by": split_by, "images": images and str(images), "name": name,
             "limit": limit, "text": text, "truth_as": truth_as}
    for option, value, choices in (("text", text, get_args(Wording)), ("truth_as", truth_as, get_args(TruthAs))):
        if value not in choices:
            raise InputError(f"{option} must be one of {', '.join(choices)}, not {shown(value)}.")
    path, label = Path(path), shown(path)
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except OSError:  # a name that is too long
        is_file = is_folder = False
    if not is_file and not is_folder:
        raise InputError(f"There is no dataset {label}; check the path.")
    is_refer = is_folder and (any(path.glob("refs(*)*")) or any(path.glob("grefs(*)*")))
    if not is_refer and (text, truth_as) != ("sent", "union"):
        raise InputError(f"{label} is not in the REFER layout, which alone has text 'raw' and truth_as 'yu2023'; leave "
                         "them out.")
    annotations, one_target = path.stem, False
    if is_file:
        one_target = is_refcoco_m(path)
        references = list(load_refcoco_m(path, images) if one_target else load_own(path, images, split))
    elif is_refer:
        annotations = refs_file(path, split_by).stem
        references = list(load_refer(path, split, split_by, images, text, "once" if truth_as == "yu2023" else "union"))
        one_target = not any(isinstance(each.segmentation, tuple) for each in references)
    elif any(path.glob("refer_*.json")):
        annotations = f"refer_{split}"
        references = list(load_phrasecut(path, split, images))
    elif reasonseg_splits(path):
        annotations = split
        references = list(load_reasonseg(path, split, images))
    else:
        raise InputError(f"{label} is not in a layout refdiff reads: it holds neither refs(<splitBy>).p or "
                         f"grefs(<splitBy>).json with instances.json nor refer_{shown(split)}.json, nor images "
                         f"{shown(split)}/X.jpg with their X.json.")
    if not references:
        raise InputError(f"The split {shown(split)} of {label} holds no expressions.")
    name = name or (path.stem if is_file else path.resolve().name)
    return grouped(name, split, references, where, one_target, annotations)
