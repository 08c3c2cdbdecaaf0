"""Train mini's CLIP on captioned crops and scenes.

    python training/clip.py RUN --pictograms DIR [--unseen DIR]

A batch holds crops of whole objects (cut out, or with what lies around them), pairs of objects, and crops nobody
would caption (ground, fragments): those have no text and only serve as wrong answers. A text that happens to be
true of another image of the batch is not counted against it.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion
from transformers import CLIPConfig, CLIPModel

import attention
import captions
import tokenizer as tokenizers
from loop import HELD_OUT_SEED, arguments, autocast, scene_maker, shape, train
from refdiff.datasets.scene_maker import TINTS

SIDE, SCENE_SIDE, WIDTH = 64, 128, 192
HARD = 0.75  # share of hard objects and grounds
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]


def build(vocabulary: int) -> CLIPModel:
    tower = dict(hidden_act="gelu", hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_attention_heads=4,
                 projection_dim=128)
    config = CLIPConfig(
        text_config=dict(tower, vocab_size=vocabulary, num_hidden_layers=3, bos_token_id=0, eos_token_id=1,
                         pad_token_id=1, max_position_embeddings=tokenizers.LENGTH),
        vision_config=dict(tower, num_hidden_layers=6, image_size=SIDE, patch_size=8), projection_dim=128)
    return CLIPModel(config)


def normalised(images: list[np.ndarray]) -> torch.Tensor:
    return (torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255 - MEAN) / STD


def cut(rng, image: np.ndarray, mask: np.ndarray, keep_ground: bool, margin: float = 0.0) -> np.ndarray | None:
    """The mask's box, widened by up to `margin`, as an image of SIDE x SIDE, the rest black unless kept."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if rows.size < 6 or columns.size < 6:
        return None
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    grow = rng.uniform(0, margin, 4) * np.array([bottom - top, bottom - top, right - left, right - left])
    top, bottom = max(0, int(top - grow[0])), int(bottom + grow[1]) + 1
    left, right = max(0, int(left - grow[2])), int(right + grow[3]) + 1
    shown = image if keep_ground else image * mask[..., None]
    return np.asarray(Image.fromarray(shown[top:bottom, left:right]).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def roughened(rng, mask: np.ndarray) -> np.ndarray:
    """The mask as a segmentor might draw it: grown or shrunk by a pixel or two."""
    amount = int(rng.integers(-2, 4))
    if amount == 0:
        return mask
    changed = (binary_dilation if amount > 0 else binary_erosion)(mask, iterations=abs(amount))
    return changed if changed.sum() > 40 else mask


def fragment(rng, mask: np.ndarray) -> np.ndarray:
    """Part of the mask: what lies on one side of a random line near its middle."""
    ys, xs = np.nonzero(mask)
    angle = rng.uniform(0, 2 * np.pi)
    along = xs * np.cos(angle) + ys * np.sin(angle)
    keep = along < np.quantile(along, rng.uniform(0.25, 0.6))
    part = np.zeros_like(mask)
    part[ys[keep], xs[keep]] = True
    return part


def crops(rng, scene) -> list[tuple[np.ndarray, list]]:
    """(crop, the objects it shows) for one scene; an empty list marks a crop that nobody would caption."""
    out = []
    things = [thing for thing in scene.objects if thing.mask.sum() > 80]
    for thing in things:
        kind = rng.random()
        mask = roughened(rng, thing.mask)
        if kind < 0.6:
            crop = cut(rng, scene.image, mask, False, 0.1)
        else:
            crop = cut(rng, scene.image, mask, True, 0.3)
        if crop is not None:
            out.append((crop, [thing]))
        if rng.random() < 0.3:
            crop = cut(rng, scene.image, fragment(rng, thing.mask), rng.random() < 0.2)
            if crop is not None:
                out.append((crop, []))
    if len(things) >= 2 and rng.random() < 0.3:
        pair = [things[i] for i in rng.permutation(len(things))[:2]]
        crop = cut(rng, scene.image, pair[0].mask | pair[1].mask, False, 0.1)
        if crop is not None:
            out.append((crop, pair))
    if rng.random() < 0.4:
        ground = ~np.any([thing.mask for thing in scene.objects], axis=0) if scene.objects else None
        if ground is not None and rng.random() < 0.5:
            h, w = ground.shape
            top, left = int(rng.integers(h // 2)), int(rng.integers(w // 2))
            window = np.zeros_like(ground)
            window[top : top + h // 2, left : left + w // 2] = True
            ground = ground & window
        crop = cut(rng, scene.image, ground, False) if ground is not None else None
        if crop is not None:
            out.append((crop, []))
    return out


def text_of(rng, things: list) -> tuple[str, set]:
    """A caption and the set of (noun, colour or None) it claims."""
    words, claims = [], set()
    for thing in things:
        words.append(captions.name(rng, thing, 0.4))
        claims.add((thing.noun, thing.colour if thing.colour and f" {thing.colour} " in f" {words[-1]} " else None))
    return " and ".join(words), claims


def true_of(claims: set, things: list) -> bool:
    shown = {(thing.noun, thing.colour) for thing in things} | {(thing.noun, None) for thing in things}
    return claims <= shown


def contrast(images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor, truth: torch.Tensor,
             count: int) -> torch.Tensor:
    """images [N, D], texts [M, D]: the first `count` of each belong together; truth bool [N, M] marks every text
    that is true of an image, which is then not counted against it."""
    logits = scale.exp().clamp(max=100) * images @ texts.T
    own = torch.arange(count, device=logits.device)
    others = truth.clone()
    others[own, own] = False
    logits = logits.masked_fill(others, float("-inf"))
    return (F.cross_entropy(logits[:count], own) + F.cross_entropy(logits[:, :count].T, own)) / 2


def main() -> None:
    options = arguments(__doc__.splitlines()[0], batch=32, lr=6e-4)
    device = options.device
    maker = scene_maker(options.pictograms, more=options.more)
    maker.difficulty = HARD
    tokenizer = tokenizers.load()
    model = attention.use(build(len(tokenizer))).to(device)

    def tokens(texts: list[str]) -> torch.Tensor:
        return tokenizer(texts, padding=True, truncation=True, return_tensors="pt").input_ids.to(device)

    def batch(step: int):
        captioned, silent, seed = [], [], 0
        if step % 8 == 7:  # whole scenes, at a larger size
            while len(captioned) < options.batch // 2:
                rng = np.random.default_rng((step, seed, 2))
                scene = maker.make(rng, SCENE_SIDE, SCENE_SIDE)
                seed += 1
                if scene.objects:
                    captioned.append((scene.image, list(scene.objects)))
            return captioned, silent
        while len(captioned) < options.batch:
            rng = np.random.default_rng((step, seed, 2))
            side = int(rng.integers(96, 193))
            for crop, things in crops(rng, maker.make(rng, *shape(rng, side))):
                (captioned if things else silent).append((crop, things))
            seed += 1
        return captioned[: options.batch], silent[: options.batch // 3]

    def loss_of(step: int) -> torch.Tensor:
        captioned, silent = batch(step)
        rng = np.random.default_rng((step, 3))
        texts = [text_of(rng, [things[i] for i in rng.permutation(len(things))[: rng.integers(1, 4)]])
                 for _, things in captioned]
        # Every noun by itself is a wrong answer too, so that a small batch still asks which of all nouns it is.
        texts += [(f"{('a', 'the')[rng.integers(2)]} {noun}", {(noun, None)}) for noun in captions.NOUNS]
        truth = torch.tensor([[true_of(claims, things) for _, claims in texts] for _, things in captioned + silent])
        pixels = normalised([crop for crop, _ in captioned + silent]).to(device)
        with autocast(device):
            images = model.vision_model(pixels, interpolate_pos_encoding=True).pooler_output
            words = model.text_model(tokens([text for text, _ in texts])).pooler_output
            images, words = model.visual_projection(images), model.text_projection(words)
        return contrast(F.normalize(images.float(), dim=-1), F.normalize(words.float(), dim=-1), model.logit_scale,
                        truth.to(device), len(captioned))

    held_out = {"": scene_maker(options.pictograms, held_out=True)}
    if options.unseen:
        held_out["unseen_"] = scene_maker(options.unseen, held_out=True)
    tests = {key: test_set(maker) for key, maker in held_out.items()}

    def measure(averages: dict) -> dict[str, float]:
        probe = build(len(tokenizer)).to(device).eval()
        probe.load_state_dict(averages["clip"])
        return {key + name: value for key, test in tests.items()
                for name, value in naming_figures(probe, tokens, test).items()}

    train(options, {"clip": model}, loss_of, measure, every=500, best="noun", warmup=300, betas=(0.9, 0.98),
          weight_decay=0.05, decay=0.998, muon=1.5e-3)


def test_set(maker, count: int = 400):
    """Cut-out objects with their noun and, where they were tinted, their colour."""
    examples, seed = [], 0
    while len(examples) < count:
        rng = np.random.default_rng((HELD_OUT_SEED, seed, 2))
        scene = maker.make(rng, 160, 160)
        seed += 1
        for thing in scene.objects:
            crop = cut(rng, scene.image, thing.mask, False) if thing.mask.sum() > 120 else None
            if crop is not None:
                examples.append((crop, thing))
    return examples[:count]


@torch.inference_mode()
def naming_figures(model: CLIPModel, tokens, examples) -> dict[str, float]:
    """How often the right noun is the nearest of all, and the right colour the nearest given the noun."""
    device = model.device

    def words(texts: list[str]) -> torch.Tensor:
        return F.normalize(model.text_projection(model.text_model(tokens(texts)).pooler_output), dim=-1)

    pixels = normalised([crop for crop, _ in examples]).to(device)
    images = F.normalize(model.visual_projection(model.vision_model(pixels).pooler_output), dim=-1)
    nouns = words([f"the {noun}" for noun in captions.NOUNS])
    guessed = (images @ nouns.T).argmax(1).tolist()
    right = [captions.NOUNS[g] == thing.noun for g, (_, thing) in zip(guessed, examples, strict=True)]
    coloured = [(image, thing) for image, (_, thing) in zip(images, examples, strict=True) if thing.colour]
    named = []
    for image, thing in coloured:
        options = words([f"the {colour} {thing.noun}" for colour in TINTS])
        named.append(list(TINTS)[(options @ image).argmax()] == thing.colour)
    return {"noun": np.mean(right), "colour": np.mean(named)}


if __name__ == "__main__":
    main()
