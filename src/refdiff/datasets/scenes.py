"""The scenes benchmark: pictogram scenes with exact masks and unambiguous referring expressions, RefCOCO layout."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..core.files import shown, write_atomically
from ..core.masks import boxes, to_rle
from ..errors import InputError
from .scene_maker import Scene, SceneMaker, SceneObject

SEED = 1 << 48  # far from every seed that training draws
SPLIT_BY = "refdiff"
KINDS = ("noun", "colour", "place", "relation")
ANIMALS = frozenset(
    "ant bat bear bee bird bug butterfly camel cat chick chicken cow crab crocodile deer dog dolphin dove dragon duck "
    "eagle elephant fish flamingo fox frog giraffe goat gorilla hedgehog hippo horse kangaroo koala lion lizard llama "
    "lobster monkey mouse octopus otter owl panda parrot peacock penguin pig rabbit rat rhino rooster scorpion seal "
    "shark sheep shrimp skunk sloth snail snake spider squid squirrel swan tiger turkey turtle unicorn whale wolf "
    "worm zebra".split()
)
SIZES = ((240, 320), (320, 240), (288, 288), (213, 320))  # px, (height, width)
SMALLEST = 0.008  # of the image: smaller objects are never referred to
_MARGIN = 0.12  # of the image's side: how far apart places must be to be worth a word

_PLACE_FORMS = {
    "left": ("the {} on the left", "left {}", "leftmost {}", "{} on the far left"),
    "right": ("the {} on the right", "right {}", "rightmost {}", "{} on the far right"),
    "top": ("the {} at the top", "top {}", "upper {}", "the topmost {}"),
    "bottom": ("the {} at the bottom", "bottom {}", "lower {}", "the {} lowest in the picture"),
}
_RELATION_FORMS = {
    "left": ("the {} to the left of the {}", "{} left of the {}"),
    "right": ("the {} to the right of the {}", "{} right of the {}"),
    "top": ("the {} above the {}", "{} over the {}"),
    "bottom": ("the {} below the {}", "{} under the {}"),
}


@dataclass(frozen=True)
class Referral:
    """An expression, the object it means (an index; in gRefCOCO's layout a tuple of them), and its kind."""

    expression: str
    target: int | tuple[int, ...]
    kind: str


def referrals(rng: np.random.Generator, scene: Scene) -> list[Referral]:
    """At most one unambiguous expression of each kind for each object of the scene."""
    height, width = scene.image.shape[:2]
    visible = [i for i, thing in enumerate(scene.objects) if thing.mask.mean() >= SMALLEST]
    if len(visible) < len(scene.objects):
        return []  # a hidden object could make any expression ambiguous
    out = []
    for i in visible:
        thing = scene.objects[i]
        alike = [other for j, other in enumerate(scene.objects) if j != i and other.noun == thing.noun]
        options = {
            "noun": _by_noun(rng, thing, alike),
            "colour": _by_colour(rng, thing, alike),
            "place": _by_place(rng, thing, alike, height, width),
            "relation": _by_relation(rng, thing, alike, scene, height, width),
        }
        out += [Referral(text, i, kind) for kind, text in options.items() if text]
    return out


def _pick(rng, forms) -> str:
    return forms[rng.integers(len(forms))]


def _by_noun(rng, thing: SceneObject, alike: list[SceneObject]) -> str | None:
    if alike:
        return None
    article = "an" if thing.noun[0] in "aeiou" else "a"
    return _pick(rng, (f"the {thing.noun}", thing.noun, f"{article} {thing.noun}"))


def _by_colour(rng, thing: SceneObject, alike: list[SceneObject]) -> str | None:
    """Told from its look-alikes by colour; by itself too, one time in three."""
    if thing.colour is None or any(other.colour in (None, thing.colour) for other in alike):
        return None
    if not alike and rng.random() > 1 / 3:
        return None
    return _pick(rng, (f"the {thing.colour} {thing.noun}", f"{thing.colour} {thing.noun}",
                       f"the {thing.noun} that is {thing.colour}"))


def _offset(thing: SceneObject, other: SceneObject, height: int, width: int) -> tuple[float, float]:
    """How far `thing` lies to the left of and above `other`, in image sides."""
    return (other.centre[0] - thing.centre[0]) / width, (other.centre[1] - thing.centre[1]) / height


def _by_place(rng, thing: SceneObject, alike: list[SceneObject], height: int, width: int) -> str | None:
    if not alike:
        return None
    offsets = np.array([_offset(thing, other, height, width) for other in alike])
    sides = [side for side, gaps in (("left", offsets[:, 0]), ("right", -offsets[:, 0]),
                                     ("top", offsets[:, 1]), ("bottom", -offsets[:, 1])) if (gaps > _MARGIN).all()]
    return _pick(rng, _PLACE_FORMS[_pick(rng, sides)]).format(thing.noun) if sides else None


def _side(thing: SceneObject, other: SceneObject, height: int, width: int) -> str | None:
    """Where `thing` lies as seen from `other`, if one axis clearly decides."""
    dx, dy = _offset(thing, other, height, width)
    if max(abs(dx), abs(dy)) < _MARGIN or abs(abs(dx) - abs(dy)) < _MARGIN / 2:
        return None
    if abs(dx) > abs(dy):
        return "left" if dx > 0 else "right"
    return "top" if dy > 0 else "bottom"


def _by_relation(rng, thing: SceneObject, alike: list[SceneObject], scene: Scene, height: int,
                 width: int) -> str | None:
    nouns = [other.noun for other in scene.objects]
    anchors = [other for other in scene.objects if nouns.count(other.noun) == 1 and other.noun != thing.noun]
    for anchor in [anchors[i] for i in rng.permutation(len(anchors))]:
        side = _side(thing, anchor, height, width)
        axis = 0 if side in ("left", "right") else 1
        sign = 1 if side in ("left", "top") else -1
        # none of the look-alikes may lie on that side at all
        if side and all(sign * _offset(other, anchor, height, width)[axis] < 0 for other in alike):
            return _pick(rng, _RELATION_FORMS[side]).format(thing.noun, anchor.noun)
    return None


def write_scenes(out: str | Path, maker: SceneMaker, expressions: int = 300, seed: int = 0,
                 progress: Callable[[int], None] | None = None) -> dict[str, int]:
    """Write a dataset of at least `expressions` expressions per split below `out`; returns how many each split has.

    Layout: `refs(refdiff).p`, `refs(refdiff).json`, `instances.json` and `images/`, as the REFER toolkit reads. In
    splits val (anything), testA (animals) and testB (things). The same arguments give the same files; `progress` is
    told how many expressions were added. Raises InputError when the pictograms lack animals or things, or `out`
    already holds files or cannot be made.
    """
    out = Path(out)
    animals = [noun for noun in maker.nouns if noun in ANIMALS]
    things = [noun for noun in maker.nouns if noun not in ANIMALS]
    if len(animals) < 2 or len(things) < 2:
        raise InputError("The pictograms must show at least two animals and two things, each file named by its noun.")
    record = Record(out, maker.nouns)
    counts = {}
    for number, (split, nouns) in enumerate((("val", None), ("testA", animals), ("testB", things))):
        counts[split] = 0
        scene_seed = 0
        while counts[split] < expressions:
            rng = np.random.default_rng((SEED, seed, number, scene_seed))
            scene_seed += 1
            scene = maker.make(rng, *SIZES[rng.integers(len(SIZES))], nouns=nouns)
            found = _balanced(rng, referrals(rng, scene))
            if found:
                record.add(split, scene, found)
                counts[split] += len(found)
                if progress:
                    progress(len(found))
    record.write()
    write_atomically(out / f"{record.name}.p", pickle.dumps(record.refs, protocol=2))
    return counts


def _balanced(rng, found: list[Referral]) -> list[Referral]:
    """Up to three expressions of a scene, of different kinds and rarer kinds first, since nouns are the commonest."""
    order = sorted((found[i] for i in rng.permutation(len(found))), key=lambda each: each.kind == "noun")
    chosen: list[Referral] = []
    for each in order:
        if each.kind not in {other.kind for other in chosen} and len(chosen) < 3:
            chosen.append(each)
    return chosen


class Record:
    """A dataset being written in the REFER layout below a folder, which is made; `name` begins the refs file's name.

    Raises InputError when the folder already holds files or cannot be made.
    """

    def __init__(self, out: Path, nouns: list[str], name: str = "refs"):
        try:
            if out.exists() and (not out.is_dir() or any(out.iterdir())):
                raise InputError(f"{shown(out)} is not an empty folder; name a new one.")
            (out / "images").mkdir(parents=True)
        except (OSError, ValueError) as error:
            raise InputError(f"{shown(out)} cannot be made ({shown(error)}); name another folder.") from None
        self.out = out
        self.name = f"{name}({SPLIT_BY})"
        self.categories = {noun: i + 1 for i, noun in enumerate(nouns)}
        self.images: list[dict] = []
        self.annotations: list[dict] = []
        self.refs: list[dict] = []

    def add(self, split: str, scene: Scene, found: list[Referral]) -> None:
        """Write the scene's image and note its objects and expressions."""
        height, width = scene.image.shape[:2]
        image_id = len(self.images) + 1
        name = f"{split}_{image_id:05d}.jpg"
        file = io.BytesIO()
        Image.fromarray(scene.image).save(file, "JPEG", quality=90)
        write_atomically(self.out / "images" / name, file.getvalue())
        self.images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        first = len(self.annotations) + 1
        for thing in scene.objects:
            left, top, right, bottom = boxes(thing.mask[None])[0].tolist()
            self.annotations.append({
                "id": len(self.annotations) + 1, "image_id": image_id, "category_id": self.categories[thing.noun],
                "segmentation": to_rle(thing.mask), "area": int(thing.mask.sum()), "iscrowd": 0,
                "bbox": [left, top, right - left, bottom - top]})
        for each in found:
            sentence = len(self.refs) + 1
            words = each.expression.split()
            self.refs.append({
                "ref_id": sentence, "ann_id": _of(each.target, lambda i: first + i), "image_id": image_id,
                "file_name": name, "category_id": _of(each.target, lambda i: self.categories[scene.objects[i].noun]),
                "split": split, "kind": each.kind,
                **({"no_target": not each.target} if isinstance(each.target, tuple) else {}),
                "sent_ids": [sentence], "sentences": [
                    {"sent_id": sentence, "sent": each.expression, "raw": each.expression, "tokens": words}]})

    def write(self) -> None:
        """Write `instances.json` and the refs file as JSON."""
        names = [{"id": i, "name": noun, "supercategory": "animal" if noun in ANIMALS else "thing"}
                 for noun, i in self.categories.items()]
        instances = {"images": self.images, "annotations": self.annotations, "categories": names}
        write_atomically(self.out / "instances.json", json.dumps(instances).encode())
        write_atomically(self.out / f"{self.name}.json", json.dumps(self.refs).encode())


def _of(target: int | tuple[int, ...], value: Callable[[int], int]) -> int | list[int]:
    """The value of what is meant; of several a list, which is [-1] where there are none, as in gRefCOCO."""
    if isinstance(target, int):
        return value(target)
    return [value(i) for i in target] or [-1]
