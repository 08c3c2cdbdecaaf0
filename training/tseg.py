"""Train the TSEG-style baseline on scenes and the expressions that belong to them; no mask, box or place is a target.

    python training/tseg.py RUN --pictograms DIR [--unseen DIR]

A batch's texts are all nouns by themselves and a few of its scenes' own referring expressions. Of another image's
expression it is known that it is false where its nouns or colours are missing, and that it is true where it is only
noun and colour; else it counts nothing.
"""

from __future__ import annotations

import numpy as np
import torch

import captions
import tokenizer as tokenizers
from loop import HELD_OUT_SEED, arguments, autocast, ramp, scene_maker, train
from refdiff.datasets.scene_maker import TINTS, Scene
from refdiff.datasets.scenes import referrals
from refdiff.models.tseg import Tseg, TsegConfig, assignment, global_score, image_loss

SHAPES = ((120, 160), (160, 120), (144, 144), (104, 160))  # px, (height, width)
SMALL = ((80, 104), (104, 80), (96, 96), (72, 104))  # of the first scenes
RAMP, LARGE = 1200, 2200  # steps until as many scenes are hard as will be, and until they are large
HARD = 0.7  # share of hard objects and grounds in the end
OWN = 1  # expressions taken of a scene, beside its nouns


def pixels(scenes: list[Scene]) -> torch.Tensor:
    """float32 [B, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2) / 127.5 - 1


def with_article(rng, noun: str) -> str:
    return f"{('an' if noun[0] in 'aeiou' else 'a', 'the', '')[rng.integers(3)]} {noun}".strip()


def belongs(text: str, kind: str, scene: Scene) -> float:
    """1 where the text belongs to the scene, 0 where it does not, NaN where neither can be said."""
    nouns = [word for word in text.split() if word in captions.NOUNS]
    colour = next((word for word in text.split() if word in TINTS), None) if kind == "colour" else None
    shown = {(thing.noun, thing.colour) for thing in scene.objects} | {(thing.noun, None) for thing in scene.objects}
    if (nouns[0], colour) not in shown or any((noun, None) not in shown for noun in nouns):
        return 0.0
    return 1.0 if kind in ("noun", "colour") else float("nan")


def texts_of(rng, scenes: list[Scene], own: int) -> tuple[list[str], torch.Tensor]:
    """A batch's texts, each once, and which belong to which scene, float32 [B, T]."""
    known = {with_article(rng, noun): "noun" for noun in captions.NOUNS}
    mine: list[tuple[int, str]] = []
    for i, scene in enumerate(scenes):
        found = [each for each in referrals(rng, scene) if each.kind != "noun"]
        for j in rng.permutation(len(found))[:own]:
            known[found[j].expression] = found[j].kind
            mine.append((i, found[j].expression))
    texts = list(known)
    truth = torch.tensor([[belongs(text, kind, scene) for text, kind in known.items()] for scene in scenes])
    for i, text in mine:
        truth[i, texts.index(text)] = 1.0
    return texts, truth


def main() -> None:
    options = arguments(__doc__.splitlines()[0], batch=16, lr=8e-4,
                        switches={"--assignment": ("sigmoid", "softmax"), "--size-term": ("on", "off")})
    device = options.device
    maker = scene_maker(options.pictograms)
    tokenizer = tokenizers.load()
    config = TsegConfig(len(tokenizer), assignment=options.assignment, size_term=options.size_term == "on")
    model = Tseg(config).to(device)

    def features(model: Tseg, texts: list[str]) -> torch.Tensor:
        read = tokenizer(texts, padding=True, truncation=True, max_length=config.longest_text, return_tensors="pt")
        return model.texts(read.input_ids.to(device), read.attention_mask.bool().to(device))

    def scenes_of(step: int) -> list[Scene]:
        """Scenes of one shape; small ones, of few objects, at first."""
        maker.difficulty = HARD * ramp(options, step, RAMP)
        order = np.random.default_rng((step, 4))
        small = step < LARGE
        height, width = (SMALL if small else SHAPES)[order.integers(len(SHAPES))]
        most = 1 + int(3 * min(1.0, step / RAMP))
        scenes, seed = [], 0
        while len(scenes) < options.batch:
            rng = np.random.default_rng((step, seed, 4))
            seed += 1
            scene = maker.make(rng, height, width, int(rng.integers(1, most + 1)) if small else None)
            if scene.objects:
                scenes.append(scene)
        return scenes

    def loss_of(step: int) -> torch.Tensor:
        scenes = scenes_of(step)
        texts, truth = texts_of(np.random.default_rng((step, 5)), scenes, OWN)
        with autocast(device):
            patches, words = model.patches(pixels(scenes).to(device)), features(model, texts)
        similar = model.similarities(patches.float(), words.float())
        masks = assignment(similar, config.assignment)
        return image_loss(global_score(similar, masks, config), truth.to(device))

    held_out = {"": scene_maker(options.pictograms, held_out=True)}
    if options.unseen:
        held_out["unseen_"] = scene_maker(options.unseen, held_out=True)
    tests = {key: test_set(maker) for key, maker in held_out.items()}

    def measure(averages: dict) -> dict[str, float]:
        probe = Tseg(config).to(device).eval()
        probe.load_state_dict(averages["tseg"])
        return {key + name: value for key, test in tests.items()
                for name, value in naming_figures(probe, features, test).items()}

    train(options, {"tseg": model}, loss_of, measure, every=250, best="named", warmup=200, weight_decay=0.05,
          decay=0.998, muon=2e-3)


def test_set(maker, count: int = 96) -> list[Scene]:
    """Scenes of the benchmark's kind, no two objects of which share a noun."""
    scenes, seed = [], 0
    while len(scenes) < count:
        rng = np.random.default_rng((HELD_OUT_SEED, seed, 4))
        seed += 1
        scene = maker.make(rng, *SHAPES[rng.integers(len(SHAPES))])
        nouns = [thing.noun for thing in scene.objects]
        if nouns and len(nouns) == len(set(nouns)) and all(thing.mask.mean() > 0.008 for thing in scene.objects):
            scenes.append(scene)
    return scenes


@torch.inference_mode()
def naming_figures(model: Tseg, features, scenes: list[Scene]) -> dict[str, float]:
    """`named`: of a scene's n nouns, the share among the n of all nouns with the greatest scores, which chooses the
    checkpoint. Only to look at, from true masks: how often a noun's greatest patch lies on its object (`pointing`),
    the mean IoU of its assignment at 0.5 (`iou`) and the mean of the assigned share over the true one (`area`)."""
    words = features(model, [f"the {noun}" for noun in captions.NOUNS])
    named, pointing, ious, areas = [], [], [], []
    for scene in scenes:
        similar = model.similarities(model.patches(pixels([scene]))[0], words)
        scores = global_score(similar, assignment(similar, model.config.assignment), model.config)
        wanted = [captions.NOUNS.index(thing.noun) for thing in scene.objects]
        best = scores.topk(len(wanted)).indices.tolist()
        named += [each in best for each in wanted]
        maps = torch.nn.functional.interpolate(similar[None, wanted], size=scene.image.shape[:2], mode="bilinear")[0]
        for thing, own in zip(scene.objects, maps.numpy(), strict=True):
            found = own > 0
            pointing.append(thing.mask[np.unravel_index(own.argmax(), own.shape)])
            ious.append((found & thing.mask).sum() / (found | thing.mask).sum())
            areas.append(found.sum() / thing.mask.sum())
    return {"named": np.mean(named), "pointing": np.mean(pointing), "iou": np.mean(ious), "area": np.mean(areas)}


if __name__ == "__main__":
    main()
