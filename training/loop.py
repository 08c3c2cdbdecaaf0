"""What every recipe shares: data, a resumable loop with an average of the weights, and its curve."""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from muon import Muon, has_bfloat16, split
from refdiff.datasets.scene_maker import Scene, SceneMaker, load_photographs, load_pictograms
from styles import StyledMaker

# scikit-image's photographs that no recipe sees, so that the benchmark's backgrounds are new; the last four also
# show things mini has words for.
HELD_OUT_PHOTOGRAPHS = ("camera", "gravel", "retina", "chelsea", "coffee", "rocket", "moon")
HOMES = {"unet": "diffusion/unet", "text": "diffusion/text_encoder", "vae": "diffusion/vae", "clip": "clip",
         "sam": "sam", "tseg": "../tseg"}  # where a bundle keeps what a recipe trains
HELD_OUT_SEED = 1 << 40  # training draws its seeds from below this


def arguments(description: str, batch: int, lr: float, extra: dict[str, type] | None = None,
              switches: dict[str, tuple[str, ...]] | None = None) -> argparse.Namespace:
    """What a recipe is told: what all are, its `extra` options, and `switches`, whose first choice is the default."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("run", type=Path, help="folder for checkpoints and the curve; an existing one goes on")
    parser.add_argument("--pictograms", type=Path, required=True, help="folder made by pictograms.py")
    parser.add_argument("--unseen", type=Path, help="pictograms of a style never trained on, to measure with")
    parser.add_argument("--more", type=Path, help="pictograms to train on that nothing is measured with")
    parser.add_argument("--start", type=Path, help="a bundle whose weights a new run starts from")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop, measure and save after this time")
    parser.add_argument("--anneal", type=float, default=0, help="lower the learning rate to 0 over these last minutes")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name, kind in (extra or {}).items():
        parser.add_argument(name, type=kind, required=True)
    for name, choices in (switches or {}).items():
        parser.add_argument(name, choices=choices, default=choices[0])
    options = parser.parse_args()
    options.run.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    return options


def scene_maker(pictograms: Path, held_out: bool = False, more: Path | None = None) -> SceneMaker:
    """Scenes to train on, in many styles; or to measure with, in the drawings' own, over other photographs. `more`
    names a folder of further drawings."""
    photographs = load_photographs()
    chosen = [photo for name, photo in photographs.items() if (name in HELD_OUT_PHOTOGRAPHS) == held_out]
    drawings = load_pictograms(pictograms) + (load_pictograms(more) if more else [])
    return (SceneMaker if held_out else StyledMaker)(drawings, chosen)


def ramp(options: argparse.Namespace, step: int, steps: int) -> float:
    """The share of hard scenes: all for weights that know something; else from none over the first `steps` steps."""
    return 1.0 if options.start else min(1.0, step / steps)


def autocast(device: str):
    """bf16 where the processor has it; ordinary precision elsewhere."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=has_bfloat16(device))


def letterboxed(scene: Scene, side: int, centred: bool = True) -> np.ndarray:
    """uint8 [side, side, 3]: the scene on a black square, centred as for diffusion or at the corner as for SAM."""
    h, w = scene.image.shape[:2]
    canvas = np.zeros((side, side, 3), np.uint8)
    top, left = ((side - h) // 2, (side - w) // 2) if centred else (0, 0)
    canvas[top : top + h, left : left + w] = scene.image
    return canvas


def shape(rng: np.random.Generator, side: int) -> tuple[int, int]:
    """An image's (height, width) whose longer edge is `side`: square half of the time."""
    if rng.random() < 0.5:
        return side, side
    shorter = int(side * rng.uniform(0.6, 1))
    return (side, shorter) if rng.random() < 0.5 else (shorter, side)


def train(options, modules: dict[str, torch.nn.Module], loss_of: Callable[[int], torch.Tensor],
          measure: Callable[[dict], dict[str, float]], every: int, best: str, decay: float = 0.999,
          warmup: int = 200, betas=(0.9, 0.99), weight_decay: float = 0.01, muon: float = 0.0) -> None:
    """Run for `minutes`; every `every` steps, and at the end, measure the averaged weights and save.

    `loss_of(step)` draws its own batch, seeded by the step. `measure(averages)` gives held-out figures; the
    weights with the greatest `best` are kept in best.pt (plain tensors), the state to go on from in last.pt.
    `muon` is the rate of inner matrices where they are trained by Muon; AdamW has the rest.
    """
    parameters = [p for module in modules.values() for p in module.parameters() if p.requires_grad]
    inner, rest = split(modules) if muon else ([], parameters)
    optimisers = [torch.optim.AdamW(rest, lr=options.lr, betas=betas, weight_decay=weight_decay, fused=True)]
    if muon:
        optimisers.append(Muon(inner, lr=muon, weight_decay=weight_decay))
    rates = [(group, group["lr"]) for optimiser in optimisers for group in optimiser.param_groups]
    if options.start and not (options.run / "last.pt").exists():
        for name, module in modules.items():
            begin_from(module, type(module).from_pretrained(options.start / HOMES[name]).float().state_dict())
    averages = {name: {k: v.detach().clone().float() for k, v in m.state_dict().items()} for name, m in modules.items()}
    step, samples, record, seconds = 0, 0, -np.inf, 0.0
    last = options.run / "last.pt"
    if last.exists():
        state = torch.load(last, weights_only=True, map_location=options.device)
        for name, module in modules.items():
            module.load_state_dict(state["modules"][name])
        averages, step, record, seconds = state["averages"], state["step"], state["record"], state["seconds"]
        samples = state.get("samples", step * options.batch)
        for optimiser, kept in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
    curve = options.run / "curve.csv"
    started, mean, counted, left = time.monotonic(), 0.0, 0, options.minutes
    while left > 0:
        share = min(1.0, (step + 1) / warmup)
        if options.anneal:
            share *= min(1.0, left / options.anneal)
        for group, rate in rates:
            group["lr"] = rate * share
        loss = loss_of(step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        step, samples, counted = step + 1, samples + options.batch, counted + 1
        mean += loss.item()
        left = options.minutes - (time.monotonic() - started) / 60
        keep = min(decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, module in modules.items():
                for key, value in module.state_dict().items():
                    if value.is_floating_point():
                        averages[name][key].lerp_(value.float(), 1 - keep)
                    else:
                        averages[name][key].copy_(value)
        if step % every == 0 or left <= 0:
            elapsed = seconds + time.monotonic() - started
            row = {"step": step, "samples": samples, "minutes": round(elapsed / 60, 1),
                   "loss": round(mean / counted, 5), **{k: round(float(v), 4) for k, v in measure(averages).items()}}
            mean, counted = 0.0, 0
            new = not curve.exists()
            with curve.open("a", newline="") as file:
                writer = csv.DictWriter(file, row)
                if new:
                    writer.writeheader()
                writer.writerow(row)
            print(row, flush=True)
            if row[best] > record:
                record = row[best]
                save({"averages": averages, "row": row}, options.run / "best.pt")
            save({"modules": {n: m.state_dict() for n, m in modules.items()}, "averages": averages, "step": step,
                  "samples": samples,
                  "record": record, "seconds": elapsed, "optimisers": [o.state_dict() for o in optimisers]}, last)


def begin_from(module: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load weights, a grid of position embeddings [1, h, w, C] resized to the module's own."""
    for name, wanted in module.state_dict().items():
        if name.endswith("pos_embed") and weights[name].shape != wanted.shape:
            grid = F.interpolate(weights[name].permute(0, 3, 1, 2), size=wanted.shape[1:3], mode="bicubic")
            weights[name] = grid.permute(0, 2, 3, 1)
    module.load_state_dict(weights)


def save(state: dict, path: Path) -> None:
    """Whole or not at all, so that a kill never leaves half a checkpoint."""
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)
