"""The RefCOCO family in the REFER toolkit's layout: `refs(<splitBy>).p` or `.json`, `instances.json`, pictures."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError
from .reference import Reference, read_json


class _PlainUnpickler(pickle.Unpickler):
    """Builds containers, strings and numbers only: a pickle that names any class or function is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def load_plain_pickle(path: str | Path) -> Any:
    """The content of an untrusted pickle. Raises InputError unless it holds plain containers, strings and numbers."""
    try:
        return _PlainUnpickler(io.BytesIO(Path(path).read_bytes())).load()
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.") from None
    except Exception as error:  # a hostile pickle can make the machinery raise anything
        raise InputError(f"{path} is no pickle of plain data ({error}); refdiff reads no other.") from None


def load_refer(folder: str | Path, split: str, split_by: str | None = None,
               images: str | Path | None = None) -> Iterator[Reference]:
    """Every expression of a split, grouped by picture.

    `split_by` names the refs file where there are several; `images` the pictures' folder (default: `images` in
    `folder`). Raises InputError when files are missing or the split is empty.
    """
    folder = Path(folder)
    pattern = f"refs({split_by})" if split_by else "refs(*)"
    files = sorted([*folder.glob(f"{pattern}.json"), *folder.glob(f"{pattern}.p")], key=lambda p: p.suffix == ".p")
    if not files or not (folder / "instances.json").is_file():
        raise InputError(f"{folder} is no dataset in the REFER layout: it needs {pattern}.p or .json and "
                         "instances.json.")
    refs = load_plain_pickle(files[0]) if files[0].suffix == ".p" else read_json(files[0])
    instances = read_json(folder / "instances.json")
    try:
        pictures = {image["id"]: image for image in instances["images"]}
        annotations = {annotation["id"]: annotation for annotation in instances["annotations"]}
        splits = sorted({ref["split"] for ref in refs})
        chosen = sorted((ref for ref in refs if ref["split"] == split),
                        key=lambda ref: (ref["image_id"], ref["ref_id"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{files[0]} or {folder / 'instances.json'} is not in the REFER layout ({error!r}).") from None
    if not chosen:
        raise InputError(f"{folder} has no split {split!r}; it has {', '.join(splits)}.")
    for ref in chosen:
        picture = pictures.get(ref["image_id"], {})
        annotation = annotations.get(ref.get("ann_id"), {})
        for sentence in ref["sentences"]:
            yield Reference(
                id=sentence["sent_id"],
                image=Path(images or folder / "images") / picture.get("file_name", f"{ref['image_id']} (not listed)"),
                expression=sentence["sent"], kind=ref.get("kind"), segmentation=annotation.get("segmentation"),
                size=(picture["height"], picture["width"]) if "height" in picture and "width" in picture else None)
