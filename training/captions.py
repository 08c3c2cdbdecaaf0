"""Captions of scenes and crops: what mini's diffusion model and CLIP read, and the words they know."""

from __future__ import annotations

import numpy as np

from pictograms import EMOJI
from refdiff.datasets.scene_maker import TINTS, Scene, SceneObject

NOUNS = sorted(EMOJI)
_IRREGULAR = {"fish": "fish", "sheep": "sheep", "glasses": "glasses", "scissors": "scissors", "grapes": "grapes",
              "broccoli": "broccoli", "corn": "corn", "bread": "bread", "mouse": "mice"}
WORDS = (
    "a an the and with of on in at to is are that which who one two three four five first second third some "
    "picture photo drawing image scene there this it its nothing background plain empty pattern "
    "left right top bottom upper lower middle center centre side corner edge half far near leftmost rightmost "
    "topmost bottommost lowest highest uppermost above below under over beneath beside next behind front between "
    "by from closest nearest biggest smallest largest big small large little tall short "
    "grey colored coloured color colour dark light bright"
).split()
_RELATIONS = {
    "left": ("left of", "to the left of", "on the left of"),
    "right": ("right of", "to the right of", "on the right of"),
    "above": ("above", "over", "on top of"),
    "below": ("below", "under", "beneath"),
}


def plural(noun: str) -> str:
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def vocabulary() -> list[str]:
    """Every word a caption or an everyday expression of place may hold."""
    return sorted({*NOUNS, *map(plural, NOUNS), *TINTS, *WORDS})


def name(rng: np.random.Generator, thing: SceneObject, colour: float = 0.5) -> str:
    """'a red apple', 'the apple', 'apple'."""
    words = f"{thing.colour} {thing.noun}" if thing.colour and rng.random() < colour else thing.noun
    article = ("an" if words[0] in "aeiou" else "a", "the", "")[rng.choice(3, p=[0.5, 0.3, 0.2])]
    return f"{article} {words}".strip()


def placed(rng: np.random.Generator, thing: SceneObject, height: int, width: int) -> str:
    """The object's name with its place in the image, where that is plain."""
    x, y = thing.centre[0] / width, thing.centre[1] / height
    sides = [side for side, holds in
             (("left", x < 0.36), ("right", x > 0.64), ("top", y < 0.36), ("bottom", y > 0.64)) if holds]
    words = name(rng, thing)
    if not sides:
        return words
    side = sides[rng.integers(len(sides))]
    form = rng.integers(3)
    if form == 0:
        noun = f"{thing.colour} {thing.noun}" if thing.colour and rng.random() < 0.3 else thing.noun
        return f"the {side} {noun}"
    preposition = "on" if side in ("left", "right") else "at"
    return f"{words} {preposition} the {side}"


def related(rng: np.random.Generator, first: SceneObject, second: SceneObject) -> str:
    """'a cat left of a dog': true of the two boxes' centres."""
    dx, dy = second.centre[0] - first.centre[0], second.centre[1] - first.centre[1]
    relation = ("left" if dx > 0 else "right") if abs(dx) > abs(dy) else ("above" if dy > 0 else "below")
    forms = _RELATIONS[relation]
    return f"{name(rng, first)} {forms[rng.integers(len(forms))]} {name(rng, second)}"


def scene_caption(rng: np.random.Generator, scene: Scene) -> str:
    """Names some of the scene's objects, now and then with their places."""
    things = [thing for thing in scene.objects if thing.mask.any()]
    if not things:
        return ""
    order = rng.permutation(len(things))
    count = min(len(things), int(rng.choice([1, 2, 3], p=[0.45, 0.35, 0.2])))
    chosen = [things[i] for i in order[:count]]
    style = rng.random()
    if count == 2 and style < 0.2:
        return related(rng, *chosen)
    if count == 2 and chosen[0].noun == chosen[1].noun and style < 0.7:
        return f"two {plural(chosen[0].noun)}"
    height, width = scene.image.shape[:2]
    parts = [placed(rng, thing, height, width) if 0.2 <= style < 0.4 else name(rng, thing) for thing in chosen]
    return (" and " if rng.random() < 0.7 else ", ").join(parts)
