"""What an ML backend of Label Studio answers: predictions for its tasks. `refdiff serve --label-studio` calls it.

The labels of a project's brush are the expressions: <Label value="the cat on the left"/>.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np

from .. import __version__
from ..core.files import MAX_BYTES, shown
from ..core.images import load_image
from ..errors import InputError
from .label_studio import LOCAL_FILES, prediction, region

if TYPE_CHECKING:
    from ..pipeline import RefDiff

_LONGEST_CONFIG = 1_000_000  # characters
_DATA = re.compile(r"data:image/[\w.+-]+;base64,", re.ASCII)
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*:", re.ASCII | re.IGNORECASE)


def model_version(model: RefDiff) -> str:
    """What Label Studio calls the model, which `setup` answers: {'model_version': ...}."""
    return f"refdiff {__version__}, {model.bundle.name}"


def predict(model: RefDiff, tasks: Sequence[Any], label_config: str,
            load: Callable[[str], np.ndarray]) -> list[dict[str, Any]]:
    """A prediction for each of Label Studio's tasks, in order, for the labels of the first brush in `label_config`.

    `load` gives the image uint8 [H, W, 3] that a task names, as `image_loader` does. A task whose image cannot be used
    has a prediction without regions and with an 'error', a sentence. Raises InputError where the interface has no brush
    over an image.
    """
    brush = brush_of(label_config)
    return [predict_one(model, task, brush, load) for task in tasks]


def predict_one(model: RefDiff, task: Any, brush: Brush, load: Callable[[str], np.ndarray]) -> dict[str, Any]:
    """`predict` for one task."""
    version = model_version(model)
    try:
        answers = model.encode(load(_image_of(task, brush))).segment(brush.labels)
    except InputError as error:
        return prediction([], version) | {"error": str(error)}
    return prediction([region(answer.expression.text, each.mask, each.score, brush.name, brush.image)
                       for answer in answers for each in answer.instances], version)


def image_loader(folder: str | Path | None) -> Callable[[str], np.ndarray]:
    """What loads the image that a task names: a data: URI, or a file in `folder`, which is Label Studio's folder of
    local files or, for images uploaded to it, its media folder. Nothing is fetched from a URL.

    What it returns raises InputError for anything else, and for a path that leads out of the folder.
    """
    home = None if folder is None else Path(folder).resolve()

    def load(name: str) -> np.ndarray:
        data = _DATA.match(name)
        if data:
            return load_image(_decoded(name[data.end() :]))
        if _REMOTE.match(name) or name.startswith("//"):
            raise InputError(f"The image {shown(name)} is not fetched; upload images to Label Studio, or let it serve "
                             "local files.")
        if home is None:
            raise InputError(f"The image {shown(name)} cannot be found: the server was started without a folder of "
                             "images.")
        return load_image(_inside(home, name))

    return load


@dataclass(frozen=True)
class Brush:
    """The brush of an interface: its name, its labels, the name of its image, and the key of a task's data that holds
    the image."""

    name: str
    labels: tuple[str, ...]
    image: str
    key: str


def brush_of(config: str) -> Brush:
    """The first brush over an image in a labelling interface, an XML. Raises InputError where there is none."""
    # entities, which a DOCTYPE defines, can grow without bound
    if not isinstance(config, str) or len(config) > _LONGEST_CONFIG or "<!DOCTYPE" in config.upper():
        raise InputError("The labelling interface must be XML of at most a million characters, without a DOCTYPE.")
    try:
        view = ElementTree.fromstring(config)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"The labelling interface is not valid XML ({shown(error)}).") from None
    images = {each.get("name"): each.get("value", "") for each in view.iter("Image")}
    for brush in view.iter("BrushLabels"):
        labels = tuple(label for each in brush.iter("Label") if (label := each.get("value")))
        value = images.get(brush.get("toName"), "")
        if labels and value.startswith("$"):
            return Brush(brush.get("name", ""), labels, brush.get("toName", ""), value[1:])
    raise InputError("The labelling interface has no <BrushLabels> with labels over an <Image>; its labels are the "
                     "expressions that are looked for.")


def _image_of(task: Any, brush: Brush) -> str:
    data = task.get("data") if isinstance(task, dict) else None
    name = data.get(brush.key) if isinstance(data, dict) else None
    if not isinstance(name, str) or not name:
        raise InputError(f"A task names no image under {shown(brush.key)!r}.")
    return name


def _decoded(text: str) -> bytes:
    if len(text) > MAX_BYTES:
        raise InputError(f"An image is larger than {MAX_BYTES / 1e6:.0f} MB, the most that is read.")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"An image's data: URI is not valid base64 ({shown(error)}).") from None


def _inside(home: Path, name: str) -> Path:
    """The file of a name such as /data/local-files/?d=a/b.jpg, /data/upload/1/b.jpg or a/b.jpg."""
    relative = unquote(name.removeprefix(LOCAL_FILES) if name.startswith(LOCAL_FILES) else name.removeprefix("/data/"))
    try:
        path = Path(os.path.realpath(home / relative.lstrip("/")))
    except (OSError, ValueError):
        raise InputError(f"{shown(name)} is not the name of an image.") from None
    if not path.is_relative_to(home):
        raise InputError(f"The image {shown(name)} is not in the folder that the server was started with.")
    return path
