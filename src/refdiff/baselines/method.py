"""What a method that can be compared is, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..scene import EncodedImage


@dataclass(frozen=True, eq=False)
class Choice:
    """What a method answers to one expression: `mask` bool [H, W], its `index` among the proposals (among Eq. 8's
    masks for ref-diff/g) and its `score`, where it has them, the `parts` the score is made of, its `confidence`, where
    there is one, whether anything was `found`, and of how many `instances` the mask is the union.

    `order`: the indices of the proposals that could win, best first; () where the method does not rank proposals.
    `among`: the masks bool [N, H, W] that they are indices of, where those are not `scene.proposals()`."""

    mask: np.ndarray
    index: int | None
    score: float | None
    parts: dict[str, float] = field(default_factory=dict)
    confidence: float | None = None
    found: bool = True
    instances: int = 1
    order: tuple[int, ...] = ()
    among: np.ndarray | None = None


Call = Callable[[EncodedImage, Sequence[str]], list[Choice]]


@dataclass(frozen=True)
class Method:
    """A named method: `label` is its name in tables, `needs` the parts of a bundle that it runs; one that `prompts`
    asks the segmentor for masks of its own, whatever proposals there are. `origin` is what a run's header says of one
    that is not built in: where it is from, and the SHA-256 of its file."""

    name: str
    label: str
    call: Call
    needs: tuple[str, ...]
    origin: Mapping[str, str] | None = None
    prompts: bool = False

    @property
    def chooses(self) -> bool:
        """Whether it chooses among proposals: the segmentor's, or those that are given instead."""
        return "sam" in self.needs and not self.prompts

    def __call__(self, scene: EncodedImage, expressions: Sequence[str]) -> list[Choice]:
        """One choice per expression, in order. Raises InputError."""
        with scene.model.residency.turn():
            return self.call(scene, expressions)
