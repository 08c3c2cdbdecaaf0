"""Train mini's SAM on scenes with class-agnostic masks: one point in, the object under it out.

    python training/sam.py RUN --pictograms DIR [--unseen DIR]

A point on the background is taught nothing but a predicted IoU of 0, so that automatic mask generation drops it.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from transformers import SamConfig, SamModel

import attention
from loop import HELD_OUT_SEED, arguments, autocast, ramp, scene_maker, shape, train

SIDE, WIDTH = 256, 96
OBJECT_POINTS, GROUND_POINTS = 3, 1
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


def loss_on(model: SamModel, images: torch.Tensor, points: torch.Tensor, objects: torch.Tensor,
            masks: torch.Tensor) -> torch.Tensor:
    """20 focal + dice of the best of the three masks, the squared error of every predicted IoU, and `affinity`."""
    embeddings = model.vision_encoder(images).last_hidden_state  # get_image_embeddings() blocks gradients
    out = model(image_embeddings=embeddings, input_points=points[:, :, None],
                input_labels=torch.ones_like(points[:, :, None, 0], dtype=torch.long), multimask_output=True)
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
        scenes, asked = [], []
        maker.difficulty = ramp(options, step, RAMP)
        for i in range(options.batch):
            rng = np.random.default_rng((step, i, 1))
            scenes.append(maker.make(rng, *shape(rng, SIDE)))
            asked.append(prompts(rng, scenes[-1]))
        points, objects, masks = (torch.from_numpy(np.stack(part)).to(device) for part in zip(*asked, strict=True))
        with autocast(device):
            return loss_on(model, pixels(scenes).to(device), points, objects, masks)

    held_out = {"": scene_maker(options.pictograms, held_out=True)}
    if options.unseen:
        held_out["unseen_"] = scene_maker(options.unseen, held_out=True)
    tests = {key: test_set(maker) for key, maker in held_out.items()}

    def measure(averages: dict) -> dict[str, float]:
        probe = build().to(device).eval()
        probe.load_state_dict(averages["sam"])
        return {key + name: value for key, test in tests.items() for name, value in point_figures(probe, test).items()}

    train(options, {"sam": model}, loss_of, measure, every=250, best="best_iou", weight_decay=0.05, muon=2e-3)


def test_set(maker, count: int = 60):
    scenes = []
    for seed in range(count):
        rng = np.random.default_rng((HELD_OUT_SEED, seed, 1))
        scene = maker.make(rng, *shape(rng, SIDE))
        scenes.append((scene, *prompts(rng, scene)))
    return scenes


@torch.inference_mode()
def point_figures(model: SamModel, tests) -> dict[str, float]:
    """Mean IoU per object point of the best mask and of the one SAM itself rates highest; and how well the
    predicted IoU tells objects from ground (fraction of points on the right side of 0.5)."""
    best, chosen, told = [], [], []
    device = model.device
    for scene, points, objects, masks in tests:
        points = torch.from_numpy(points).to(device)[None, :, None]
        out = model(pixel_values=pixels([scene]).to(device), input_points=points,
                    input_labels=torch.ones(points.shape[:3], dtype=torch.long, device=device), multimask_output=True)
        logits = F.interpolate(out.pred_masks[0], size=(SIDE, SIDE), mode="bilinear") > 0
        truth = torch.from_numpy(masks).to(device)[:, None]
        iou = (logits & truth).sum((-2, -1)) / (logits | truth).sum((-2, -1)).clamp(min=1)
        rated = out.iou_scores[0].max(-1)
        for i, is_object in enumerate(objects):
            told.append(float((rated.values[i] > 0.5).item() == bool(is_object)))
            if is_object:
                best.append(iou[i].max().item())
                chosen.append(iou[i, rated.indices[i]].item())
    return {"best_iou": np.mean(best), "chosen_iou": np.mean(chosen), "told": np.mean(told)}


if __name__ == "__main__":
    main()
