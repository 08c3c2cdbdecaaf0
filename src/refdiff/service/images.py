"""Encoded images kept by an id that nobody can guess: bounded in number, time and memory."""

from __future__ import annotations

import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..result import Segmentation
from ..scene import EncodedImage
from .errors import Problem
from .limits import Limits

_ID_BYTES, _ANSWER_BYTES = 18, 6


@dataclass(eq=False)
class Kept:
    """An image with the answers that were given about it, oldest first; `proposals` are its masks bool [N, H, W]."""

    id: str
    client: str
    model: str
    scene: EncodedImage
    proposals: np.ndarray
    answers: OrderedDict[str, Segmentation] = field(default_factory=OrderedDict)
    used: float = field(default_factory=time.monotonic)

    @property
    def bytes(self) -> int:
        """Of the image and all masks."""
        held = {id(array): array.nbytes for array in self._arrays()}
        return sum(held.values())

    def _arrays(self) -> Iterable[np.ndarray]:
        yield self.scene.image
        yield _owner(self.proposals)
        for answer in self.answers.values():
            yield from (_owner(each.mask) for each in answer.candidates)
            yield from (_owner(each.mask) for each in answer.instances)

    def answer(self, name: str) -> Segmentation:
        """The answer of an id. Raises Problem."""
        if name not in self.answers:
            raise Problem(422, "There is no answer with this id about this image; ask for the expression again.")
        return self.answers[name]


def answer_ids(count: int) -> list[str]:
    """New ids for answers, unlike any other of their image."""
    return [secrets.token_urlsafe(_ANSWER_BYTES) for _ in range(count)]


def _owner(mask: np.ndarray) -> np.ndarray:
    """The array whose memory a mask is."""
    return mask if mask.base is None else _owner(mask.base)  # type: ignore[arg-type]


class ImageStore:
    """Images by id, for the event loop alone."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._kept: OrderedDict[str, Kept] = OrderedDict()  # least recently used first
        self._bytes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def bytes(self) -> int:
        return sum(self._bytes.values())

    def add(self, client: str, model: str, scene: EncodedImage, proposals: np.ndarray) -> Kept:
        """Keep an image under a new id, at the cost of the least recently used ones of whoever has the most."""
        kept = Kept(secrets.token_urlsafe(_ID_BYTES), client, model, scene, proposals)
        self._kept[kept.id] = kept
        self._bytes[kept.id] = kept.bytes
        self._make_room(kept)
        return kept

    def get(self, name: str) -> Kept:
        """The image of an id, whose time starts anew. Raises Problem where there is none, and says why."""
        self.expire()
        if name not in self._kept:
            raise Problem(404, "There is no image with this id here: it was never there, was deleted, has expired, "
                               "made room for others, or the server was restarted; send the image again.")
        kept = self._kept[name]
        kept.used = time.monotonic()
        self._kept.move_to_end(name)
        return kept

    def remember(self, kept: Kept, names: Sequence[str], answers: Sequence[Segmentation]) -> None:
        """Keep answers about an image under ids from `answer_ids`."""
        for name, answer in zip(names, answers, strict=True):
            kept.answers[name] = replace(answer, image=kept.scene.image)  # each comes with a copy of its own
        while len(kept.answers) > max(self._limits.answers, len(names)):
            kept.answers.popitem(last=False)
        if kept.id in self._kept:
            self._bytes[kept.id] = kept.bytes
            self._make_room(kept)
            while self.bytes > self._limits.images_bytes and len(kept.answers) > len(names):
                kept.answers.popitem(last=False)
                self._bytes[kept.id] = kept.bytes

    def remove(self, name: str) -> None:
        """Forget an image. Raises Problem where there is none."""
        self.get(name)
        self._forget(name)

    def expire(self) -> None:
        """Forget what has not been used for too long."""
        oldest = time.monotonic() - 60 * self._limits.image_minutes
        for name in [name for name, kept in self._kept.items() if kept.used < oldest]:
            self._forget(name)

    def _make_room(self, newest: Kept) -> None:
        while len(self._kept) > 1 and (len(self._kept) > self._limits.images or self.bytes > self._limits.images_bytes):
            shares = Counter(kept.client for kept in self._kept.values() if kept is not newest)
            shares[newest.client] += 1
            most = max(shares.values())
            self._forget(next(name for name, kept in self._kept.items()
                              if kept is not newest and shares[kept.client] == most))

    def _forget(self, name: str) -> None:
        del self._kept[name], self._bytes[name]
