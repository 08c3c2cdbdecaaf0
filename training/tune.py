"""Choose mini's settings on the val split of the scenes benchmark and write them into its refdiff.json.

    python training/tune.py [--data benchmarks/scenes] [--bundle src/refdiff/bundles/mini]

Chosen in turn: the image's side, noise level, kind of attention and strength of edges by pointing and variant g;
SAM's filters by variant ds; alpha, beta and the clue's weight by the full variant's mIoU; then the score below which an
answer is called doubtful, which best parts right answers from answers about things that are not in the image.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np

from refdiff import RefDiff
from refdiff.core.masks import iou_matrix
from refdiff.datasets import open_dataset
from refdiff.datasets.scene_maker import load_photographs
from refdiff.language import parse
from refdiff.method import between_class_scores, positional_bias, threshold_proposals
from refdiff.method.scores import inside_means

SIDES, LEVELS, KINDS, EDGES = (176, 192, 224), (20, 50), ("logits",), (300, 1000)
FILTERS = tuple(itertools.product((0.2, 0.4), (0.3, 0.4, 0.5), (0.9,)))  # predicted IoU, stability, NMS
ALPHAS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
BETAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
CLUES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7)


def tune_maps(model: RefDiff, data: Path) -> dict:
    """The image's side, noise level, kind of attention and strength of edges whose maps point best and give the best
    masks of g."""
    options = [dict(image_size=side, noise_timestep=level, timesteps=[level], attention=attention, edge_smoothing=edges)
               for side, level, attention, edges in itertools.product(SIDES, LEVELS, KINDS, EDGES)]
    pointing, overlap = ([[] for _ in options] for _ in range(2))
    for references in open_dataset(data, "val").images():
        scene = model.encode(references[0].image)
        for i, changes in enumerate(options):
            maps = scene.correlation_maps([r.expression for r in references], model.settings.replace(**changes))
            for reference, c in zip(references, maps, strict=True):
                truth = reference.truth(scene.size)
                if reference.kind == "noun":
                    pointing[i].append(truth.flatten()[c.argmax()])
                proposals = threshold_proposals(c, model.settings.generative.thresholds)
                best = proposals.masks[int(between_class_scores(c, proposals.tensor).argmax())]
                overlap[i].append((best & truth).sum() / (best | truth).sum())
    figures = [(np.mean(p), np.mean(o)) for p, o in zip(pointing, overlap, strict=True)]
    for changes, (points, masks) in zip(options, figures, strict=True):
        print(f"{changes}  pointing {points:.3f}  g {masks:.3f}")
    return options[int(np.argmax([points + masks for points, masks in figures]))]


def tune_segmentor(model: RefDiff, data: Path, count: int = 30) -> dict:
    """SAM's filters: those whose proposals, told apart by CLIP alone, give the greatest mIoU on some images."""
    figures = {}
    for filters in FILTERS:
        changes = dict(zip(("iou_threshold", "stability_threshold", "nms_threshold"), filters, strict=True))
        settings = model.settings.replace(**changes)
        chosen, best, number = [], [], []
        for references in itertools.islice(open_dataset(data, "val").images(), count):
            scene = model.encode(references[0].image, settings)
            for result, reference in zip(scene.segment([r.expression for r in references], "ds"), references,
                                         strict=True):
                masks, truth = np.stack([each.mask for each in result.candidates]), reference.truth(scene.size)
                overlap = iou_matrix(masks, truth[None])[:, 0]
                chosen.append(overlap[0])
                best.append(overlap.max())
                number.append(len(overlap))
        figures[np.mean(chosen)] = changes
        print(f"{changes}  proposals {np.mean(number):.1f}  best {np.mean(best):.3f}  ds {np.mean(chosen):.3f}",
              flush=True)
    return figures[max(figures)]


def tune_weights(model: RefDiff, data: Path) -> dict:
    """alpha, beta and clue_weight with the greatest mIoU of the full variant; at alpha 0 it would be ds."""
    cases = []
    for references in open_dataset(data, "val").images():
        scene = model.encode(references[0].image)
        proposals, settings = scene.proposals(), model.settings
        texts = [reference.expression for reference in references]
        own = settings.replace(clue_weight=0.0, alpha=0.0, reading="root")
        parts = {beta: scene.segment(texts, "full", own.replace(beta=beta))
                 for beta in (0.0, 1.0)}
        for i, reference in enumerate(references):
            overlap = iou_matrix(proposals.masks, reference.truth(scene.size)[None])[:, 0]
            aligned = [sorted(parts[beta][i].candidates, key=lambda each: each.index) for beta in (0.0, 1.0)]
            drawn = np.array([c.generative for c in aligned[0]])
            crops, masked = (np.array([c.discriminative for c in each]) for each in aligned)
            clues = parse(reference.expression, settings.expression).direction
            p = positional_bias(scene.size, clues, settings.discriminative.clue_ramp)
            bias = inside_means(p, proposals.tensor).numpy() if clues else np.zeros(len(proposals.masks))
            cases.append((overlap, drawn, crops, masked, bias))

    def miou(alpha: float, beta: float, clue: float) -> float:
        return np.mean([overlap[(alpha * g + (1 - alpha) * (beta * m + (1 - beta) * c + clue * b)).argmax()]
                        for overlap, g, c, m, b in cases])

    ranked = sorted(itertools.product(ALPHAS, BETAS, CLUES), key=lambda each: -miou(*each))
    for alpha, beta, clue in ranked[:5]:
        print(f"alpha {alpha}  beta {beta}  clue_weight {clue}  mIoU {miou(alpha, beta, clue):.3f}; "
              f"ds {miou(0.0, beta, clue):.3f}")
    print(f"best proposal {np.mean([case[0].max() for case in cases]):.3f}")
    alpha, beta, clue = ranked[0]
    return {"alpha": alpha, "beta": beta, "clue_weight": clue}


def tune_doubt(model: RefDiff, data: Path) -> float:
    """The score that best parts right answers from answers about absent things and about photographs."""
    rng = np.random.default_rng(0)
    nouns = sorted(noun for noun in model.bundle.domain.nouns)
    right, absent = [], []
    for references in open_dataset(data, "val").images():
        scene = model.encode(references[0].image)
        for result, reference in zip(scene.segment([r.expression for r in references]), references, strict=True):
            if iou_matrix(result.mask[None], reference.truth(scene.size)[None])[0, 0] > 0.5:
                right.append(result.score)
        absent.append(scene.segment([f"the {nouns[rng.integers(len(nouns))]}"])[0].score)
    for photograph in load_photographs().values():
        texts = [f"the {nouns[i]}" for i in rng.integers(len(nouns), size=8)]
        absent += [result.score for result in model.encode(photograph).segment(texts)]
    candidates = np.quantile(right + absent, np.linspace(0.01, 0.99, 99))
    balance = [np.mean(np.array(right) >= c) + np.mean(np.array(absent) < c) for c in candidates]
    best = float(candidates[int(np.argmax(balance))])
    print(f"doubtful below {best:.3f}: {np.mean(np.array(right) >= best):.2f} of right answers pass, "
          f"{np.mean(np.array(absent) < best):.2f} of the others are marked")
    return round(best, 4)


STEPS = {"maps": tune_maps, "segmentor": tune_segmentor, "weights": tune_weights, "doubt": tune_doubt}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("benchmarks/scenes"))
    parser.add_argument("--bundle", type=Path, default=Path("src/refdiff/bundles/mini"))
    parser.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS))
    options = parser.parse_args()
    manifest = options.bundle / "refdiff.json"
    for name in options.only:
        found = STEPS[name](RefDiff.from_pretrained(options.bundle), options.data)
        content = json.loads(manifest.read_text())
        if name == "doubt":
            content["domain"]["low_score"] = found
        else:
            for key, value in found.items():
                content["geometry" if key in content["geometry"] else "settings"][key] = value
        manifest.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
