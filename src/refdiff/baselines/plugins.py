"""Methods that are not built in: a function in a file of yours, or an entry point of an installed package.

A plug-in is a function `(scene, expressions)` that returns one answer per expression, in order: a mask, bool [H, W] of
the image's size, empty where nothing is meant, or a `method.Choice`, which adds what chose it. It may have two
attributes: `label`, its name in tables (default: its own name), and `needs`, the parts of a bundle that it uses
(default: all of "diffusion", "clip" and "sam"). They are fetched before a run starts; and where a file of proposals
lists an image without any, methods that need "sam" count as having missed. Whatever a plug-in raises, but for refdiff's
own errors, reaches the user as one sentence that names it, its file and the line.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..core.files import read_bytes, shown
from ..errors import InputError, RefDiffError
from ..language import check_expression
from ..scene import NEEDED, EncodedImage
from .method import Call, Choice, Method

GROUP = "refdiff.methods"
"""The group of entry points."""
_LONGEST_FILE = 10_000_000  # bytes
_LARGEST_SCORE = 9e11  # what readers of runs accept


@dataclass(frozen=True)
class FileMethod(Method):
    """A method that was read from a file, and travels with its text: a worker of Ray runs what was read here."""

    path: str = ""
    text: bytes = b""

    def __reduce__(self) -> Any:
        return _from_text, (self.path, self.text, self.name)


class OfferedMethod(Method):
    """A method of an installed package's entry point, looked for again where it is unpickled."""

    def __reduce__(self) -> Any:
        return find_plugin, (self.name, ())


def find_plugin(name: str, taken: Sequence[str]) -> Method:
    """The method `file.py:function`, called as the function, or the entry point called `name`.

    Raises InputError when there is none, or a file's function is called as one of the built-in methods `taken`;
    RefDiffError when it fails to load.
    """
    path, colon, function = name.rpartition(":")
    if colon and path.endswith(".py"):
        if function in taken:
            raise InputError(f"{shown(path)}: {function!r} is the name of a built-in method; rename the function.")
        text = read_bytes(path, _LONGEST_FILE)
        return _from_text(str(Path(path).resolve()), text, function)
    if name.endswith(".py"):
        raise InputError(f"{shown(name)} is a file; name the function in it too, as {shown(name)}:FUNCTION.")
    offered = importlib.metadata.entry_points(group=GROUP)
    found = {entry.value: entry for entry in offered if entry.name == name}
    if not found:
        known = dict.fromkeys([*taken, *(entry.name for entry in offered)])
        raise InputError(f"There is no method {shown(name)!r}; the methods are {', '.join(known)}, and "
                         "file.py:function is one of your own.")
    if len(found) > 1:
        raise InputError(f"The method {shown(name)!r} is offered by {' and '.join(found)}; uninstall one of the "
                         "packages.")
    return _from_entry_point(next(iter(found.values())))


def _from_text(path: str, text: bytes, function: str) -> FileMethod:
    call = getattr(_module(path, text), function, None)
    if not callable(call):
        raise InputError(f"{shown(path)} has no function {shown(function)!r}.")
    origin = {"file": Path(path).name, "sha256": hashlib.sha256(text).hexdigest()}
    return FileMethod(function, *_described(function, path, call), origin, path=path, text=text)


def _module(path: str, text: bytes) -> ModuleType:
    """The file as a module, which is kept: all its functions share what it computed at first."""
    name = f"refdiff_plugin_{hashlib.sha256(path.encode('utf-8', 'backslashreplace') + text).hexdigest()[:16]}"
    if name not in sys.modules:
        module = ModuleType(name)
        module.__file__ = path
        sys.modules[name] = module  # where dataclasses and pickle look for it
        try:
            exec(compile(text, path, "exec"), module.__dict__)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise _failed(f"The plug-in {shown(path)} cannot be loaded", error, path) from error
    return sys.modules[name]


def _from_entry_point(entry: importlib.metadata.EntryPoint) -> Method:
    try:
        call = entry.load()
    except (Exception, SystemExit) as error:
        raise _failed(f"The method {entry.name} ({entry.value}) cannot be loaded", error, None) from error
    if not callable(call):
        raise InputError(f"The method {entry.name} ({entry.value}) is not a function.")
    code = getattr(call, "__code__", None)
    path = code.co_filename if code else getattr(sys.modules.get(entry.module), "__file__", None)
    origin = {"entry_point": entry.value}
    if entry.dist is not None:
        origin |= {"package": entry.dist.name, "version": entry.dist.version}
    if path is not None and Path(path).is_file():
        origin |= {"sha256": hashlib.sha256(read_bytes(path)).hexdigest()}
    return OfferedMethod(entry.name, *_described(entry.name, path, call), origin)


def _described(name: str, path: str | None, function: Callable[..., Any]) -> tuple[str, Call, tuple[str, ...]]:
    """Label, call and needs of a plug-in's function. Raises InputError where its attributes are not valid."""
    label, needs = getattr(function, "label", name), getattr(function, "needs", NEEDED["full"])
    if not isinstance(label, str) or not label.strip() or not label.isprintable():
        raise InputError(f"The label of the method {name} must be one line of text.")
    if not isinstance(needs, (list, tuple)) or not set(needs) <= {"baseline_clip", *NEEDED["full"]}:
        raise InputError(f"What the method {name} needs must be a list of some of diffusion, clip, sam and "
                         "baseline_clip.")

    def call(scene: EncodedImage, expressions: Sequence[str]) -> list[Choice]:
        texts = [check_expression(text) for text in expressions]
        try:
            answers = function(scene, texts)
        except RefDiffError:
            raise
        except (Exception, SystemExit) as error:
            raise _failed(f"The method {name} failed", error, path) from error
        if not isinstance(answers, (list, tuple)) or len(answers) != len(expressions):
            found = f"{len(answers)} of them" if isinstance(answers, (list, tuple)) else type(answers).__name__
            raise RefDiffError(f"The method {name} must return a list with an answer for each of the "
                               f"{len(expressions)} expressions, not {found}.")
        return [_checked(name, answer, scene) for answer in answers]

    return label, call, tuple(needs)


def _failed(what: str, error: BaseException, path: str | None) -> RefDiffError:
    """What went wrong where: at the innermost line of the plug-in's own file, or of any where it has none."""
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno))
    file, line = ([frame for frame in frames if frame[0] == path] or frames)[-1]
    reason = " ".join(str(error).split())[:200]
    return RefDiffError(f"{what} at line {line} of {shown(file)}: {type(error).__name__}"
                        f"{f': {shown(reason)}' if reason else ''}.")


def _checked(name: str, answer: Any, scene: EncodedImage) -> Choice:
    """An answer as a choice with plain numbers, which a row can hold. Raises RefDiffError for what is not one.

    Not InputError, which would count as the fault of an expression.
    """
    size = scene.size
    mask = answer.mask if isinstance(answer, Choice) else answer
    if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != size:
        found = f"{mask.dtype} {list(mask.shape)}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise RefDiffError(f"The method {name} must answer with a mask in an array bool [H, W] of the image's size, "
                           f"{list(size)}, or with a Choice that has one, not {found}.")
    if not isinstance(answer, Choice):
        anything = bool(mask.any())
        return Choice(mask, None, None, found=anything, instances=int(anything))
    score, confidence, index = answer.score, answer.confidence, answer.index
    valid = {
        "score": score is None or _is_number(score, -_LARGEST_SCORE, _LARGEST_SCORE),
        "confidence": confidence is None or _is_number(confidence, 0, 1),
        "index": index is None or (_is_number(index, 0, _LARGEST_SCORE) and int(index) == index),
        "order": not answer.order or _are_places(answer.order, scene.proposals().masks if answer.among is None
                                                 else answer.among),
        "instances": isinstance(answer.instances, Integral),
        "found": isinstance(answer.found, (bool, np.bool_)),
        "parts": isinstance(answer.parts, dict) and all(
            isinstance(part, str) and _is_number(value, -_LARGEST_SCORE, _LARGEST_SCORE)
            for part, value in answer.parts.items())}
    if not all(valid.values()):
        wrong = next(field for field, right in valid.items() if not right)
        raise RefDiffError(f"The method {name} answered with a Choice whose {wrong} cannot be used: "
                           f"{shown(repr(getattr(answer, wrong)))}.")
    return replace(answer, score=score if score is None else float(score), index=index if index is None else int(index),
                   confidence=confidence if confidence is None else float(confidence), found=bool(answer.found),
                   instances=int(answer.instances), parts={part: float(value) for part, value in answer.parts.items()})


def _are_places(order: Any, masks: np.ndarray) -> bool:
    """Whether an order names some of the masks, each once."""
    return (isinstance(order, (list, tuple)) and all(isinstance(each, Integral) for each in order)
            and len(set(order)) == len(order) and set(order) <= set(range(len(masks))))


def _is_number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, Real) and math.isfinite(value) and low <= float(value) <= high
