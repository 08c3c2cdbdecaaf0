"""Fit a bundle's confidence on val: the probability that an answer's IoU with the truth is over 0.5.

    python training/calibrate.py [--model mini] [--data benchmarks/scenes] [--write]

A logistic curve over the winner's score and its margin, one per variant, and one each for answers to queries, for
"nothing" and for each thing found (refdiff.method.confidence), which are fitted on the working half of `said` too.
Prints the expected calibration error (10 bins of equal count) on val, testA, testB and both halves of `said`; --write
puts the curves into the bundle's refdiff.json.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from refdiff import RefDiff, Settings
from refdiff.answering import ask
from refdiff.core.masks import iou_matrix
from refdiff.datasets import Reference, open_dataset
from refdiff.evaluation.metrics import Overlap
from refdiff.language import parse
from refdiff.method import ref_diff
from refdiff.method.confidence import answer_features, features, instance_features
from refdiff.settings import VARIANTS, Variant

SPLITS = ("val", "testA", "testB")
LIMIT = 0.1  # a variant whose error is greater on testA or testB gets no curve: none is better than a wrong one


def answers(model: RefDiff, data: Path, split: str) -> dict[Variant, np.ndarray]:
    """For each variant float64 [N, 3]: score, margin, and whether the answer is right."""
    rows: dict[Variant, list[tuple[float, float, bool]]] = {variant: [] for variant in VARIANTS}
    settings: Settings = model.settings
    for references in open_dataset(data, split).images():
        scene = model.encode(references[0].image)
        expressions = [parse(each.expression, settings.expression) for each in references]
        for variant in VARIANTS:
            for reference, scores in zip(references, ref_diff(scene, expressions, variant, settings), strict=True):
                best = scores.proposals.masks[scores.order()[0]]
                right = iou_matrix(best[None], reference.truth(scene.size)[None])[0, 0] > 0.5
                rows[variant].append((*features(scores), right))
    return {variant: np.array(each, float) for variant, each in rows.items()}


def query_answers(model: RefDiff, data: Path, split: str) -> dict[str, np.ndarray]:
    """For 'query' (something was found), 'nothing' and 'instance' (each thing found) float64 [N, 3]: the two features,
    and whether that is right."""
    rows: dict[str, list[tuple[float, float, bool]]] = {"query": [], "nothing": [], "instance": []}
    for references in open_dataset(data, split).images():
        scene = model.encode(references[0].image)
        expressions = [parse(each.expression, model.settings.expression) for each in references]
        for reference, asked in zip(references, ask(scene, expressions, model.settings), strict=True):
            truth, mask = reference.truth(scene.size), np.zeros(scene.size, bool)
            things = [replace(reference, segmentation=each).truth(scene.size) for each in _parts(reference)]
            for index, likely in asked.answer.chosen:
                found = asked.evidence.proposals.masks[index]
                mask |= found
                right = any(Overlap.of(found, thing).iou > 0.5 for thing in things)
                rows["instance"].append((*instance_features(asked.answer, likely), right))
            kind = "query" if asked.answer.chosen else "nothing"
            rows[kind].append((*answer_features(asked.answer), Overlap.of(mask, truth).iou > 0.5))
    return {kind: np.array(each, float).reshape(-1, 3) for kind, each in rows.items()}


def _parts(reference: Reference) -> tuple[Any, ...]:
    """The segmentation of each thing that a reference means."""
    own = reference.segmentation
    return own if isinstance(own, tuple) else (own,)


def calibration_error(probabilities: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: mean over bins of equal count of |mean probability - share right|, by their size."""
    parts = np.array_split(np.argsort(probabilities), bins)
    return float(sum(len(part) * abs(probabilities[part].mean() - right[part].mean()) for part in parts) / len(right))


def query_curves(model: RefDiff, scenes: Path, said: Path) -> dict[str, dict[str, float]]:
    """The curves of answers to queries."""
    parts = {"val": (scenes, "val"), "testA": (scenes, "testA"), "testB": (scenes, "testB"), "work": (said, "work"),
             "report": (said, "report")}
    measured = {name: query_answers(model, *part) for name, part in parts.items()}
    curves, fits = {}, {}
    for kind in ("query", "nothing", "instance"):
        seen = np.concatenate([measured["val"][kind], measured["work"][kind]])
        fits[kind] = fit = LogisticRegression(C=10.0).fit(seen[:, :2], seen[:, 2])
        (score, margin), (bias,) = fit.coef_[0], fit.intercept_
        curves[kind] = {name: round(float(value), 4) for name, value in
                        (("bias", bias), ("score", score), ("margin", margin))}
    for name, answered in measured.items():
        for label, kinds in (("answers", ("query", "nothing")), ("things", ("instance",))):
            used = [(kind, answered[kind]) for kind in kinds if len(answered[kind])]
            chances = np.concatenate([fits[kind].predict_proba(rows[:, :2])[:, 1] for kind, rows in used])
            right = np.concatenate([rows[:, 2] for _, rows in used])
            print(label, name, f"error {calibration_error(chances, right):.3f}, right {right.mean():.3f}")
    print(curves)
    return curves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--data", type=Path, default=Path(__file__).parent.parent / "benchmarks" / "scenes")
    parser.add_argument("--said", type=Path, default=Path(__file__).parent.parent / "benchmarks" / "said")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    model = RefDiff.from_pretrained(options.model)
    measured = {split: answers(model, options.data, split) for split in SPLITS}
    curves = {}
    for variant in VARIANTS:
        val = measured["val"][variant]
        fit = LogisticRegression(C=10.0).fit(val[:, :2], val[:, 2])
        (score, margin), (bias,) = fit.coef_[0], fit.intercept_
        curve = {"bias": round(float(bias), 4), "score": round(float(score), 4), "margin": round(float(margin), 4)}
        errors = {split: calibration_error(fit.predict_proba(rows[variant][:, :2])[:, 1], rows[variant][:, 2])
                  for split, rows in measured.items()}
        shares = {split: rows[variant][:, 2].mean() for split, rows in measured.items()}
        kept = max(errors["testA"], errors["testB"]) <= LIMIT
        if kept:
            curves[variant] = curve
        print(variant, curve, "kept" if kept else "left out",
              "error", {split: round(value, 3) for split, value in errors.items()},
              "right", {split: round(float(value), 3) for split, value in shares.items()})
    curves |= query_curves(model, options.data, options.said)
    if options.write:
        path = next(iter(model.bundle.parts.values())).parent / "refdiff.json"
        manifest = json.loads(path.read_text(encoding="utf-8"))
        manifest["calibration"] = curves
        path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
