"""Proposals: a set of masks that an answer is chosen from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import InputError
from . import masks as of_masks
from .lazy import Lazy

if TYPE_CHECKING:
    import torch

Source = Literal["filter", "segmentor", "file", "image", "given"]

MAX_TOTAL = 4_000_000_000  # pixels of all masks of a file for one image, a byte each


@dataclass(frozen=True, eq=False)
class Proposals:
    """`masks` bool [N, H, W], N at least 1, which cannot be written to through this object; `source` says where they
    are from: Eq. 8's 'filter', the 'segmentor', a 'file', 'given' by the caller, or 'image', the whole image, where
    there is no other.

    Two sets are equal only if they are the same object, so that what is computed of one can be kept with it.
    Raises InputError for masks of another type or shape.
    """

    masks: np.ndarray
    source: Source

    def __post_init__(self) -> None:
        _check(self.masks)
        if not len(self.masks):
            raise InputError("Proposals must hold at least one mask.")
        # What a caller gave is the caller's to change; segmentors and files keep no hold of what they made.
        kept = self.masks.flags.writeable and self.source != "given"
        owned = self.masks if kept else self.masks.copy()
        object.__setattr__(self, "_owned", owned)
        object.__setattr__(self, "masks", _read_only(owned.view()))

    @classmethod
    def of(cls, masks: np.ndarray, source: Source) -> Proposals:
        """Masks bool [N, H, W] without the empty ones; the whole image where none is left."""
        _check(masks)
        filled = masks.any((1, 2))
        kept = masks if filled.all() else masks[filled]
        return cls(kept, source) if len(kept) else cls(np.ones((1, *masks.shape[1:]), bool), "image")

    def __reduce__(self) -> tuple[type[Proposals], tuple[np.ndarray, Source]]:
        """Pickled and copied as masks and source; what was computed of them is not."""
        return Proposals, (self.masks, self.source)

    @cached_property
    def areas(self) -> np.ndarray:
        """int64 [N] in px."""
        return _read_only(of_masks.areas(self.masks))

    @cached_property
    def boxes(self) -> np.ndarray:
        """int64 [N, 4] (left, top, right, bottom) in px, right and bottom exclusive."""
        return _read_only(of_masks.boxes(self.masks))

    @cached_property
    def tensor(self) -> torch.Tensor:
        """The masks as a tensor on the CPU that shares their memory; not to be written to. (torch warns of arrays that
        are read-only.)"""
        import torch

        owned: np.ndarray = self._owned  # type: ignore[attr-defined]
        return torch.from_numpy(owned)

    def subset(self, indices: tuple[int, ...]) -> Proposals:
        """The proposals of these indices, in this order: the same object each time, so that what was computed of it is
        found again."""
        if indices == tuple(range(len(self.masks))):
            return self
        return self._subsets.get(indices, lambda: Proposals(self.masks[list(indices)], self.source))

    @cached_property
    def _subsets(self) -> Lazy[tuple[int, ...], Proposals]:
        return Lazy()


def _check(masks: Any) -> None:
    if not isinstance(masks, np.ndarray) or masks.dtype != bool or masks.ndim != 3 or not all(masks.shape[1:]):
        found = f"{masks.dtype} {list(masks.shape)}" if isinstance(masks, np.ndarray) else type(masks).__name__
        raise InputError(f"Proposals must be masks in an array bool [N, H, W], not {found}.")


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
