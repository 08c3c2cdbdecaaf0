"""Train mini's SAM on scenes with class-agnostic masks: a point, points or a box in, the object meant out.

    python training/sam.py RUN --pictograms DIR [--unseen DIR]

A point on the background is taught nothing but a predicted IoU of 0, so that automatic mask generation drops it. Half
of the steps ask by one point, a quarter by a point with points outside the object, a quarter by a box: what correcting
a mask by hand needs.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from transformers import SamConfig, SamModel

import attention
from loop import HELD_OUT_SEED, arguments, autocast, ramp, scene_maker, shape, train
from refdiff.core.masks import boxes

SIDE, WIDTH = 256, 96
OBJECT_POINTS, GROUND_POINTS = 3, 1
OUTSIDE_POINTS = 2
RAMP = 3000  # steps
MEAN, STD = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])


def build() -> SamModel:
    return SamModel(SamConfig(
        vision_config=dict(
            image_size=SIDE, patch_size=8, hidden_size=128, mlp_dim=512, num_hidden_layers=6, num_attention_heads=2,
            output_channels=WIDTH, window_size=0, global_attn_indexes=list(range(6)),
            num_pos_feats=WIDTH // 2, use_rel_pos=False,
            initializer_range=0.02,  # the library's 1e-10 suits only weights that are loaded
            scale=1.0),  # of the random frequencies of positions; the library's default of 64 hides where a point lies
        prompt_encoder_config=dict(hidden_size=WIDTH, image_size=SIDE, patch_size=8),
        mask_decoder_config=dict(hidden_size=WIDTH, mlp_dim=384, num_attention_heads=4, iou_head_hidden_dim=96),
        attn_implementation="eager"))


def pixels(scenes) -> torch.Tensor:
    """float32 [B, 3, SIDE, SIDE], normalised first and padded with zeros after, as SAM's processor does."""
    out = torch.zeros(len(scenes), 3, SIDE, SIDE)
    for i, scene in enumerate(scenes):
        h, w = scene.image.shape[:2]
        out[i, :, :h, :w] = ((torch.from_numpy(scene.image).float() - MEAN) / STD).permute(2, 0, 1)
    return out


def prompts(rng, scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (x, y) float32 [P, 2] in px, whether each is on an object bool [P], its mask bool [P, SIDE, SIDE]."""
    h, w = scene.image.shape[:2]
    things = [thing for thing in scene.objects if thing.mask.sum() >= 60]
    points, masks = [], []
    for i in range(OBJECT_POINTS if things else 0):
        mask = things[i % len(things)].mask
        ys, xs = np.nonzero(mask)
        chosen = rng.integers(len(ys))
        points.append((xs[chosen] + 0.5, ys[chosen] + 0.5))
        masks.append(np.pad(mask, ((0, SIDE - h), (0, SIDE - w))))
    ground = ~np.any([thing.mask for thing in scene.objects], axis=0) if scene.objects else np.ones((h, w), bool)
    ys, xs = np.nonzero(ground)
    while len(points) < OBJECT_POINTS + GROUND_POINTS:
        chosen = rng.integers(len(ys))
        points.append((xs[chosen] + 0.5, ys[chosen] + 0.5))
        masks.append(np.zeros((SIDE, SIDE), bool))
    masks = np.stack(masks)
    return np.array(points, np.float32), masks.any((1, 2)), masks


def by_point(points: np.ndarray) -> dict[str, torch.Tensor]:
    """What SAM is asked for each point [P, 2] inside a thing, by that alone."""
    return {"input_points": torch.from_numpy(points)[:, None], "input_labels": torch.ones(len(points), 1).long()}


def by_points(rng, points: np.ndarray, masks: np.ndarray) -> dict[str, torch.Tensor]:
    """By that point and OUTSIDE_POINTS outside the thing [P, SIDE, SIDE], mostly near it or on other things."""
    every, labels = [], torch.tensor([1] + [0] * OUTSIDE_POINTS).expand(len(points), -1)
    for point, mask in zip(points, masks, strict=True):
        others = masks.any(0) & ~mask
        left, top, right, bottom = boxes(mask[None])[0]
        near = np.zeros_like(mask)
        near[max(0, top - 12) : bottom + 12, max(0, left - 12) : right + 12] = True
        allowed = others if others.any() and rng.random() < 0.5 else near & ~mask
        ys, xs = np.nonzero(allowed if allowed.any() else ~mask)
        chosen = rng.integers(len(ys), size=OUTSIDE_POINTS)
        every.append(np.concatenate([point[None], np.stack([xs[chosen], ys[chosen]], 1) + 0.5]).astype(np.float32))
    return {"input_points": torch.from_numpy(np.stack(every)), "input_labels": labels}


def by_box(rng, points: np.ndarray, masks: np.ndarray) -> dict[str, torch.Tensor]:
    """By its box, each side moved by up to a tenth; a ground point's box lies about the point."""
    frames = []
    for point, mask in zip(points, masks, strict=True):
        left, top, right, bottom = boxes(mask[None])[0] if mask.any() else (*(point - 15), *(point + 15))
        width, height = right - left, bottom - top
        frames.append(np.array([left, top, right, bottom]) + rng.uniform(-0.1, 0.1, 4) * [width, height, width, height])
    return {"input_boxes": torch.from_numpy(np.stack(frames).clip(0, SIDE).astype(np.float32))}


def loss_on(model: SamModel, images: torch.Tensor, points: torch.Tensor, objects: torch.Tensor,
            masks: torch.Tensor, asked: dict[str, torch.Tensor]) -> torch.Tensor:
    """20 focal + dice of the best of the three masks, the squared error of every predicted IoU, and `affinity`."""
    embeddings = model.vision_encoder(images).last_hidden_state  # get_image_embeddings() blocks gradients
    out = model(image_embeddings=embeddings, multimask_output=True, **asked)
    logits = out.pred_masks.float().flatten(3)  # [B, P, 3, 128 * 128]
    truth = F.interpolate(masks.float(), size=out.pred_masks.shape[-2:], mode="area").flatten(2)[:, :, None]
    probability = logits.sigmoid()
    cross = F.binary_cross_entropy_with_logits(logits, truth.expand_as(logits), reduction="none")
    focal = (cross * (probability - truth).abs() ** 2).mean(-1)
    dice = 1 - (2 * (probability * truth).sum(-1) + 1) / (probability.sum(-1) + truth.sum(-1) + 1)
    best = (20 * focal + dice).min(-1).values
    with torch.no_grad():
        hard, target = logits > 0, truth > 0.5
        iou = (hard & target).sum(-1) / (hard | target).sum(-1).clamp(min=1)
    predicted = F.mse_loss(out.iou_scores.float(), iou * objects[..., None])
    return best[objects].mean() + predicted + affinity(embeddings.float(), points, masks, objects)


def affinity(embeddings: torch.Tensor, points: torch.Tensor, masks: torch.Tensor,
             objects: torch.Tensor) -> torch.Tensor:
    """The embedding [B, C, h, w] under a point should resemble that of its object's other cells and no others.

    It teaches the encoder at every cell what the decoder's loss tells it through a few points; nothing of it is kept.
    """
    cells = F.interpolate(masks.float(), size=embeddings.shape[-2:], mode="area").flatten(2)
    column, row = (points / SIDE * embeddings.shape[-1]).long().unbind(-1)
    flat = embeddings.flatten(2)
    flat = flat - flat.mean(2, keepdim=True)
    chosen = flat.gather(2, (row * embeddings.shape[-1] + column)[:, None].expand(-1, flat.shape[1], -1))
    logits = (chosen.transpose(1, 2) @ flat / flat.shape[1] ** 0.5)[objects]
    truth, likely = cells[objects], logits.sigmoid()
    dice = 1 - (2 * (likely * truth).sum(-1) + 1) / (likely.sum(-1) + truth.sum(-1) + 1)
    return F.binary_cross_entropy_with_logits(logits, truth) + dice.mean()


def main() -> None:
    options = arguments(__doc__.splitlines()[0], batch=6, lr=8e-4)
    device = options.device
    maker = scene_maker(options.pictograms)
    model = attention.use(build()).to(device)

    def loss_of(step: int) -> torch.Tensor:
        scenes, chosen, asked = [], [], []
        maker.difficulty = ramp(options, step, RAMP)
        for i in range(options.batch):
            rng = np.random.default_rng((step, i, 1))
            scenes.append(maker.make(rng, *shape(rng, SIDE)))
            points, objects, masks = prompts(rng, scenes[-1])
            chosen.append((points, objects, masks))
            asked.append((by_point(points), by_points(rng, points, masks), by_point(points),
                          by_box(rng, points, masks))[step % 4])
        points, objects, masks = (torch.from_numpy(np.stack(part)).to(device) for part in zip(*chosen, strict=True))
        inputs = {name: torch.stack([each[name] for each in asked]).to(device) for name in asked[0]}
        with autocast(device):
            return loss_on(model, pixels(scenes).to(device), points, objects, masks, inputs)

    held_out = {"": scene_maker(options.pictograms, held_out=True)}
    if options.unseen:
        held_out["unseen_"] = scene_maker(options.unseen, held_out=True)
    tests = {key: test_set(maker) for key, maker in held_out.items()}

    def measure(averages: dict) -> dict[str, float]:
        probe = build().to(device).eval()
        probe.load_state_dict(averages["sam"])
        return {key + name: value for key, test in tests.items() for name, value in point_figures(probe, test).items()}

    train(options, {"sam": model}, loss_of, measure, every=250, best="score", weight_decay=0.05, muon=2e-3)


def test_set(maker, count: int = 60):
    scenes = []
    for seed in range(count):
        rng = np.random.default_rng((HELD_OUT_SEED, seed, 1))
        scene = maker.make(rng, *shape(rng, SIDE))
        scenes.append((scene, *prompts(rng, scene)))
    return scenes


@torch.inference_mode()
def point_figures(model: SamModel, tests) -> dict[str, float]:
    """Mean IoU per object point of the best mask and of the one SAM itself rates highest, and of the latter with
    points outside it and by its box; how well the predicted IoU tells objects from ground (fraction of points on the
    right side of 0.5); and `score`, the mean of the first and of those by points outside and by box."""
    names = ("best_iou", "chosen_iou", "outside_iou", "box_iou", "told")
    figures: dict[str, list[float]] = {name: [] for name in names}
    for i, (scene, points, objects, masks) in enumerate(tests):
        rng = np.random.default_rng((HELD_OUT_SEED, i, 2))
        embedding = model.get_image_embeddings(pixels([scene]).to(model.device))
        truth = torch.from_numpy(masks).to(model.device)[:, None]

        def answer(asked: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
            """IoU of the three masks and what SAM itself says of it, each [P, 3]."""
            out = model(image_embeddings=embedding, multimask_output=True,  # noqa: B023
                        **{name: each[None].to(model.device) for name, each in asked.items()})
            found = F.interpolate(out.pred_masks[0], size=(SIDE, SIDE), mode="bilinear") > 0
            union = (found | truth).sum((-2, -1)).clamp(min=1)  # noqa: B023
            return (found & truth).sum((-2, -1)) / union, out.iou_scores[0]  # noqa: B023

        iou, rated = answer(by_point(points))
        figures["told"] += ((rated.amax(1) > 0.5).cpu().numpy() == objects).astype(float).tolist()
        figures["best_iou"] += iou[objects].amax(1).tolist()
        for name, asked in (("chosen_iou", by_point(points)), ("outside_iou", by_points(rng, points, masks)),
                            ("box_iou", by_box(rng, points, masks))):
            iou, rated = answer(asked)
            figures[name] += iou[objects].gather(1, rated[objects].argmax(1, keepdim=True))[:, 0].tolist()
    means = {name: float(np.mean(values)) for name, values in figures.items()}
    return {**means, "score": (means["best_iou"] + means["outside_iou"] + means["box_iou"]) / 3}


if __name__ == "__main__":
    main()
