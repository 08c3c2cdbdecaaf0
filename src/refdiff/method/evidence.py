"""How likely each proposal is what a noun or an attribute says: the two scores of Eq. 1, weighed against other words.

s^D alone does not say whether a thing is there: Eq. 10's cosines differ from model to model and from word to word. So
the word is asked for among a fixed list of common nouns, as the log-odds of a softmax over Eq. 10's scores; s^G of the
word's own attention map is added, and what is a part or a heap of other proposals counts less. The weights are settings
that a bundle may carry.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

from ..core.proposals import Proposals
from ..language import Target
from ..language.kinds import BODY
from ..language.query import THING
from ..language.spelling import slip_of
from ..settings import QuerySettings
from .instances import Overlaps
from .relations import step

COMMON = tuple(
    "person man woman child hand face dog cat horse cow sheep bird fish elephant bear zebra giraffe monkey rabbit "
    "mouse insect car bus truck train bicycle motorcycle airplane boat chair table couch bed desk shelf lamp clock "
    "picture mirror door window wall floor ceiling roof stairs building house street road sidewalk fence pole sign "
    "tree flower plant grass leaf rock sand snow water sea river sky cloud mountain field bottle glass cup bowl plate "
    "fork knife spoon pan oven sink toilet refrigerator towel pillow blanket curtain carpet box bag suitcase basket "
    "umbrella hat shirt jacket trousers dress shoe tie glasses watch ring ball bat racket kite skateboard surfboard "
    "skis toy book newspaper paper pen phone laptop keyboard screen camera remote guitar piano apple banana orange "
    "tomato carrot broccoli bread sandwich pizza cake donut meat rice soup egg cheese coin flag candle balloon "
    "scissors hammer wheel engine rope wire".split())
"""What a word is weighed against where a bundle does not name the nouns that it knows."""
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray")
_SHADES = {"grey": "gray", "violet": "purple", "lilac": "purple", "crimson": "red", "scarlet": "red", "maroon": "red",
           "golden": "yellow", "gold": "yellow", "navy": "blue", "turquoise": "blue", "cyan": "blue", "teal": "green",
           "beige": "brown", "tan": "brown", "magenta": "pink", "silver": "gray"}
_SYNONYM = 0.93  # cosine of two texts from which a common noun is no alternative to a word
_CONTRAST = 0.5  # of the greatest s^G of the other nouns of a query, which is taken off that of a noun
_UNSEEN = 0.1  # s^G of a word that has no map of its own
_UNKNOWN = 0.05  # what a word says that the model has not learnt
_SLIPS = 4  # letters of a noun from which on a slip is looked for
_EDGE = 2  # px from the image's border
_HEAP = 5.0  # what is taken off the log-odds of what is surely two things
_HALF, _WHOLE, _APART, _LOOKS = 0.2, 0.6, 0.2, 0.6
"""Each of the two takes this share of it at least, both together that; they overlap by less, and look like one thing at
least so surely."""
_THING = {"confidence": 4.0, "border": -2.0, "part": -1.0, "bias": 0.5}  # fitted on val and the working half of `said`


class Words(Protocol):
    """What a model knows of words: the nouns of its `vocabulary` in the singular and its `attributes`, both empty where
    it knows any; and the nouns that are meant by a word that is none of them ("animal", "mug")."""

    @property
    def vocabulary(self) -> Sequence[str]: ...
    @property
    def attributes(self) -> Collection[str]: ...
    @property
    def meanings(self) -> Mapping[str, tuple[str, ...]]: ...


Texts = Callable[[Sequence[str]], torch.Tensor]


class Evidence:
    """What the models say of words about the proposals of one image.

    `regions` v of Eq. 7, float32 [N, D]; `scale` what its products with texts are multiplied by in a softmax; `texts`
    gives features of texts, float32 [B, D]; `maps` s^G (Eq. 9) of targets, float64 [N] each.
    """

    def __init__(self, proposals: Proposals, overlaps: Overlaps, regions: torch.Tensor, scale: float, texts: Texts,
                 maps: Mapping[Target, np.ndarray], words: Words, settings: QuerySettings):
        self.proposals, self.overlaps, self.settings = proposals, overlaps, settings
        self._regions, self._scale, self._texts, self._maps = regions, scale, texts, maps
        self.words, self._nouns = words, list(words.vocabulary) or list(COMMON)
        self._common = self._logits(self._nouns)

    def _logits(self, words: Sequence[str]) -> np.ndarray:
        """Eq. 10 times the scale, float64 [N, B]."""
        return (self._scale * (self._regions @ self._texts(words).T)).double().cpu().numpy()

    def named(self, target: Target) -> np.ndarray:
        """How likely each proposal is a whole thing that the target's noun, with its colour, names; float64 [N]."""
        own = self.settings
        if target.head == THING:
            return self._things()
        known = known_nouns(target.head, self.words)
        others = self._others(known)
        odds = np.logaddexp.reduce(self._logits(known), 1) - others
        coloured = [f"{_colour(each.word)} {noun}" for each in target.attributes if _colour(each.word) in COLOURS
                    and not each.negated for noun in known]
        if coloured:  # a black banana is hardly a banana, but surely a black banana
            odds = np.maximum(odds, np.logaddexp.reduce(self._logits(coloured), 1) - others)
        odds = own.evidence_bias + own.evidence_text * odds + own.evidence_map * self._shown(target)
        odds = odds - own.evidence_parts * self._parts - _HEAP * self._heaps
        return step(odds) * (1.0 if self.knows_noun(target.head) else _UNKNOWN)

    def _shown(self, target: Target) -> np.ndarray | float:
        """s^G of a target in contrast to the maps of the other nouns of its query, float64 [N]."""
        if target not in self._maps:
            return _UNSEEN
        others = [shown for each, shown in self._maps.items() if each.head != target.head]
        return np.asarray(self._maps[target] - _CONTRAST * np.max([0 * self._maps[target], *others], axis=0))

    def described(self, target: Target, word: str) -> np.ndarray | None:
        """How likely each is what `word` says, given that it is what the noun names, float64 [N], None for a word that
        the model does not know. A colour is weighed against other colours, another word against the noun alone; of
        several nouns, as of any thing, it is the one that a proposal looks most like."""
        if not self.knows_attribute(word):
            return None
        word, nouns = _colour(word), self._likeliest_of(target.head)
        said = np.empty(len(nouns))
        for noun in dict.fromkeys(nouns):
            rows = [i for i, each in enumerate(nouns) if each == noun]
            if word in COLOURS:
                every = self._logits([f"{colour} {noun}" for colour in COLOURS])[rows]
                said[rows] = np.exp(every[:, COLOURS.index(word)] - np.logaddexp.reduce(every, 1))
            else:
                both = self._logits([f"{word} {noun}", noun])[rows]
                said[rows] = step(both[:, 0] - both[:, 1])
        return said

    def _likeliest_of(self, head: str) -> list[str]:
        """The noun that each proposal looks most like, of those that a head names."""
        known = self._nouns if head == THING else list(known_nouns(head, self.words))
        logits = self._common if head == THING else self._logits(known) if len(known) > 1 else None
        return known * len(self._regions) if logits is None else [known[i] for i in logits.argmax(1)]

    def knows_noun(self, noun: str) -> bool:
        return not self.words.vocabulary or known_nouns(noun, self.words)[0] in self._nouns

    def knows_attribute(self, word: str) -> bool:
        return not self.words.attributes or _colour(word) in self.words.attributes

    def shown(self, target: Target) -> tuple[list[float] | None, list[float]]:
        """(s^G or None, s^D) of every proposal for a target (Eq. 9 and 10)."""
        generative = self._maps.get(target)
        text = known_nouns(target.head, self.words)[0]
        discriminative = self._logits([target.phrase.removesuffix(target.head) + text])[:, 0] / self._scale
        return None if generative is None else generative.tolist(), discriminative.tolist()

    def likeliest(self, index: int) -> str:
        """The common noun that a proposal looks most like."""
        return self._nouns[int(self._common[index].argmax())]

    def _others(self, known: Sequence[str]) -> np.ndarray:
        """The log of the sum over the common nouns that are no alternative name of `known`; float64 [N]."""
        same = set(known)
        if not same <= set(self._nouns):
            alike = self._texts(known) @ self._texts(self._nouns).T
            same |= {self._nouns[j] for j in (alike.amax(0) > _SYNONYM).nonzero()[:, 0].tolist()}
        kept = [j for j, noun in enumerate(self._nouns) if noun not in same]
        return np.asarray(np.logaddexp.reduce(self._common[:, kept], 1))

    def _things(self) -> np.ndarray:
        """How likely each is a whole thing of any kind: it looks like one noun more than others, does not run along the
        image's border, and lies in no other proposal that looks like one thing."""
        height, width = self.proposals.masks.shape[1:]
        boxes = self.proposals.boxes
        border = ((boxes[:, :2] < _EDGE).sum(1) + (boxes[:, 2] > width - _EDGE) + (boxes[:, 3] > height - _EDGE)).clip(
            max=3)
        part = (self._inside * np.where(border < 2, self._looks, 0)).max(1, initial=0.0)
        return step(_THING["bias"] + _THING["confidence"] * self._looks + _THING["border"] * border
                    + _THING["part"] * part - _HEAP * self._heaps)

    @cached_property
    def _looks(self) -> np.ndarray:
        """How surely each proposal looks like the common noun that it looks most like; float64 [N]."""
        return np.asarray(np.exp(self._common.max(1) - np.logaddexp.reduce(self._common, 1)))

    @cached_property
    def _inside(self) -> np.ndarray:
        """Whether each proposal lies in each larger one; bool [N, N]."""
        areas = self.proposals.areas.astype(float)
        return np.asarray((self.overlaps.cover > 0.8) & (areas[None] > 1.2 * areas[:, None]))

    @cached_property
    def _heaps(self) -> np.ndarray:
        """How surely each proposal is two things, as it consists of two others that look like one each; float64 [N]."""
        areas, heaps = self.proposals.areas.astype(float), np.zeros(len(self.proposals.masks))
        large = self._inside & (areas[:, None] > _HALF * areas[None]) & (self._looks[:, None] >= _LOOKS)
        for j in range(len(heaps)):
            inner = np.flatnonzero(large[:, j])
            both = (areas[inner, None] + areas[inner] > _WHOLE * areas[j]) & (
                self.overlaps.cover[np.ix_(inner, inner)] < _APART)
            surely = np.minimum(self._looks[inner, None], self._looks[inner])
            heaps[j] = (both * surely).max(initial=0.0)
        return heaps

    @cached_property
    def _parts(self) -> np.ndarray:
        """How many other proposals each is a part of or holds; float64 [N]."""
        return np.asarray((self._inside | self._inside.T).sum(1), float)


def known_nouns(head: str, words: Words) -> tuple[str, ...]:
    """The nouns that a model knows a head by: "animal" by many, "mug" by "cup", "slice of pizza" by "pizza", "tennis
    ball" by "ball", "tiger head" by "tiger", "gitar" by "guitar"; the head itself where it knows none."""
    names = [head, head.split(" of ")[-1], head.split()[-1]]
    if names[-1] in BODY:
        names.append(head.removesuffix(names[-1]).strip())
    for noun in (*names, misspelt(head, words) or ""):
        if noun in words.meanings:
            return words.meanings[noun]
        if noun and (not words.vocabulary or noun in words.vocabulary):
            return (noun,)
    return (head,)


def misspelt(head: str, words: Words) -> str | None:
    """The word that a model knows of which the last word of a head is a slip of the pen; None where there is none."""
    last = head.split()[-1]
    if len(last) < _SLIPS or not last.isalpha() or last in words.vocabulary or last in words.meanings:
        return None
    return slip_of(last, [*words.vocabulary, *words.meanings])


def _colour(word: str) -> str:
    return _SHADES.get(word, word)
