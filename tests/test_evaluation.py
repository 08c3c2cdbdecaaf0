"""Metrics, significance, the runner and the tables."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from conftest import ROOT
from refdiff import InputError, RefDiff
from refdiff.baselines.registry import OWN, Choice, Method, get_methods
from refdiff.cli.main import main
from refdiff.core.files import read_json
from refdiff.core.masks import to_rle
from refdiff.core.polygons import from_polygons
from refdiff.core.proposals import Proposals
from refdiff.datasets import open_dataset
from refdiff.evaluation import curves, engine, rows_folder, run_folder, runner, self_test
from refdiff.evaluation.generalised import generalised_summary
from refdiff.evaluation.metrics import Overlap, summary
from refdiff.evaluation.render import render
from refdiff.evaluation.report import write_report
from refdiff.evaluation.run_tables import run_tables
from refdiff.evaluation.tables import Run, paper_tables
from refdiff.weights.manifest import Domain

QUICK = ("region-token", "cropping")


def masks(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 20, 30)) < 0.3


def test_metrics_agree_with_counting_and_with_pycocotools():
    predictions, truths = masks(12), masks(12, 1)
    predictions[0], truths[1] = False, False
    predictions[2] = truths[2]
    overlaps = [Overlap.of(*pair) for pair in zip(predictions, truths, strict=True)]
    figures = summary(overlaps)
    ious, inter, union = [], 0, 0
    for prediction, truth in zip(predictions, truths, strict=True):
        both = sum(bool(p and t) for p, t in zip(prediction.flat, truth.flat, strict=True))
        either = sum(bool(p or t) for p, t in zip(prediction.flat, truth.flat, strict=True))
        inter, union = inter + both, union + either
        ious.append(both / either)
        rle = [to_rle(mask) for mask in (prediction, truth)]
        assert coco.iou(rle[:1], rle[1:], [False])[0, 0] == pytest.approx(both / either)
    assert figures["oIoU"] == pytest.approx(inter / union)
    assert figures["mIoU"] == pytest.approx(sum(ious) / 12)
    assert figures["Pr@0.5"] == pytest.approx(sum(iou > 0.5 for iou in ious) / 12)
    areas = truths.sum((1, 2))
    assert figures["area-weighted IoU"] == pytest.approx((np.array(ious) * areas).sum() / areas.sum())


def test_empty_masks_count_as_misses_but_where_nothing_is_meant():
    nothing, thing = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert Overlap.of(nothing, thing).iou == Overlap.of(thing, nothing).iou == 0
    assert Overlap.of(nothing, nothing).iou == 1
    assert summary([Overlap.of(nothing, thing), Overlap.of(thing, thing)])["oIoU"] == 0.5
    assert summary([Overlap.of(thing, nothing), Overlap.of(thing, thing)])["oIoU"] == 0.5
    assert summary([Overlap.of(thing, nothing), Overlap.of(thing, thing)])["area-weighted IoU"] == 1
    assert set(summary([]).values()) == {0.0}


@pytest.mark.parametrize("seed", range(5))
def test_grefcocos_metrics_agree_with_counting_pixels(seed):
    """Sample by sample as its evaluator goes, with the empty prediction as the answer "nothing"."""
    rng = np.random.default_rng(seed)
    truths = masks(40, seed) & (rng.random((40, 1, 1)) < 0.6)
    blurred = truths ^ (rng.random(truths.shape) < 0.05)
    predictions = np.where(rng.random((40, 1, 1)) < 0.5, blurred, masks(40, seed + 9))
    predictions &= rng.random((40, 1, 1)) < 0.7
    ious, inter, union, right = [], 0, 0, dict.fromkeys((0.7, 0.8, 0.9), 0)
    true_positive = false_negative = true_negative = false_positive = 0  # positive: that nothing is meant
    for prediction, truth in zip(predictions.tolist(), truths.tolist(), strict=True):
        pairs = [(p, t) for row in zip(prediction, truth, strict=True) for p, t in zip(*row, strict=True)]
        empty = not any(p for p, _ in pairs)
        both, either = sum(p and t for p, t in pairs), sum(p or t for p, t in pairs)
        inter, union = inter + both, union + either
        if not any(t for _, t in pairs):
            ious.append(1 if empty else 0)
            true_positive, false_negative = true_positive + empty, false_negative + (not empty)
        else:
            ious.append(both / either)
            false_positive, true_negative = false_positive + empty, true_negative + (not empty)
            for threshold in right:
                right[threshold] += both / either >= threshold
    overlaps = [Overlap.of(*pair) for pair in zip(predictions, truths, strict=True)]
    targeted = true_negative + false_positive
    assert 0 < targeted < 40 and true_positive and false_positive and false_negative and right[0.7]
    assert generalised_summary(overlaps) == pytest.approx({
        "gIoU": sum(ious) / 40, "cIoU": inter / union, "N-acc": true_positive / (true_positive + false_negative),
        "T-acc": true_negative / targeted, **{f"Pr@{each}": count / targeted for each, count in right.items()}})
    assert (summary(overlaps)["mIoU"], summary(overlaps)["oIoU"]) == pytest.approx((sum(ious) / 40, inter / union))
    assert [overlap.predicted for overlap in overlaps] == predictions.sum((1, 2)).tolist()


def test_grefcocos_metrics_where_there_is_nothing_to_count():
    nothing, thing = np.zeros((2, 2), bool), np.ones((2, 2), bool)
    right = generalised_summary([Overlap.of(nothing, nothing)])
    assert (right["gIoU"], right["N-acc"]) == (1, 1)
    assert right["cIoU"] is right["T-acc"] is right["Pr@0.7"] is None
    assert generalised_summary([Overlap.of(thing, thing)])["N-acc"] is None
    assert set(generalised_summary([]).values()) == {None}


def test_curves_agree_with_counting():
    rng = np.random.default_rng(0)
    confidences = np.append(np.round(rng.random(300), 2), [0.0, 1.0])
    right = rng.random(302) < confidences**2
    bins = curves.calibration(confidences, right)
    error = 0.0
    for i, each in enumerate(bins):
        inside = [(c, r) for c, r in zip(confidences.tolist(), right.tolist(), strict=True)
                  if i <= 10 * c < i + 1 or (i == 9 and c == 1)]
        assert (each.low, each.count) == (pytest.approx(i / 10), len(inside))
        error += abs(sum(c for c, _ in inside) - sum(r for _, r in inside)) / 302
    assert len(bins) == 10 and curves.expected_error(bins) == pytest.approx(error) and error > 0.1
    answered = curves.abstention(confidences, right, 400)
    assert [least for least, _, _ in answered] == sorted(set(confidences.tolist()), reverse=True)
    for least, share, accuracy in answered:
        taken = [r for c, r in zip(confidences.tolist(), right.tolist(), strict=True) if c >= least]
        assert (share, accuracy) == pytest.approx((len(taken) / 400, sum(taken) / len(taken)))
    assert curves.expected_error([]) == 0


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A dataset of 5 images with proposals, and with four faults: no image, no mask, a broken RLE, no words."""
    folder = tmp_path_factory.mktemp("small")
    references = open_dataset(ROOT / "benchmarks" / "scenes", "val").references
    names = list(dict.fromkeys(reference.image for reference in references))[:5]
    lines, proposals = [], {}
    for reference in references:
        if reference.image in names:
            lines.append({"id": reference.id, "image": str(reference.image), "expression": reference.expression,
                          "segmentation": to_rle(reference.mask), "kind": reference.kind})
            whole = np.zeros((2, *reference.size), bool)
            whole[0, :, : reference.size[1] // 2], whole[1] = True, ~whole[0]
            kept = proposals.setdefault(reference.image.name, [to_rle(mask) for mask in whole])
            kept.append(to_rle(reference.mask))
    lines[1] |= {"segmentation": None}
    lines[2]["segmentation"] |= {"counts": "!!"}
    lines[3] |= {"expression": " "}
    lines.append({"id": "lost", "image": "nowhere.png", "expression": "a cat", "segmentation": None})
    (folder / "small.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "proposals.json").write_text(json.dumps(proposals))
    return folder


def run(model, small, out, methods=QUICK, **options):
    return runner.evaluate(model, open_dataset(small / "small.jsonl"), get_methods(methods), out,
                           small / "proposals.json", **options)


@pytest.fixture(scope="module")
def whole(model, small, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    run(model, small, out)
    return out


def test_every_fault_is_named_and_the_rest_is_measured(whole, small):
    report = json.loads((whole / run_folder.REPORT).read_text())
    said = {fault["id"]: fault["fault"] for fault in report["faults"]}
    assert len(said) == 4 and "nowhere.png" in said["lost"]
    assert any("no mask" in text for text in said.values()) and any("RLE" in text for text in said.values())
    total = len((small / "small.jsonl").read_text().splitlines())
    for method in QUICK:
        assert report["figures"][method]["all"]["expressions"] == total - 4
    rows = [row for row in run_folder.read_rows(whole) if "iou" in row]
    assert {"iou", "intersection", "union", "chosen", "score", "milliseconds"} <= set(rows[0])


def test_a_run_cut_anywhere_goes_on_to_the_same_report(model, small, whole, tmp_path):
    content = (whole / rows_folder.ROWS).read_bytes()
    for part in (0.02, 0.55, 1.0):
        out = tmp_path / str(part)
        out.mkdir()
        (out / rows_folder.HEADER).write_bytes((whole / rows_folder.HEADER).read_bytes())
        (out / rows_folder.ROWS).write_bytes(content[: int(len(content) * part)])
        run(model, small, out)
        assert (out / run_folder.REPORT).read_bytes() == (whole / run_folder.REPORT).read_bytes()


def test_a_killed_process_loses_nothing(small, whole, tmp_path):
    command = [sys.executable, "-m", "refdiff", "evaluate", str(small / "small.jsonl"), "--out", str(tmp_path),
               "--method", ",".join(QUICK), "--proposals", str(small / "proposals.json")]
    rows = tmp_path / rows_folder.ROWS
    for moment in (0, 4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (rows.exists() and len(rows.read_bytes().splitlines()) > moment):
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert (tmp_path / run_folder.REPORT).read_bytes() == (whole / run_folder.REPORT).read_bytes()


def test_other_settings_or_data_are_not_mixed_in(model, small, whole, tmp_path):
    with pytest.raises(InputError, match=r"settings \(seed\)"):
        run(RefDiff(model.bundle, model.device, settings=model.settings.replace(seed=1)), small, whole)
    with pytest.raises(InputError, match="differs in fast"):
        run(RefDiff(model.bundle, model.device, settings=model.settings, fast=False), small, whole)
    with pytest.raises(InputError, match="differs in methods"):
        run(model, small, whole, QUICK[:1])
    with pytest.raises(InputError, match="differs in proposals"):
        changed = tmp_path / "proposals.json"
        changed.write_text((small / "proposals.json").read_text() + " ")
        runner.evaluate(model, open_dataset(small / "small.jsonl"), get_methods(QUICK), whole, changed)
    with pytest.raises(InputError, match="dataset"):
        runner.evaluate(model, open_dataset(ROOT / "benchmarks" / "scenes", "testA"), get_methods(QUICK), whole,
                        small / "proposals.json")


def copied(whole: Path, out: Path, rows: bytes) -> Path:
    out.mkdir()
    (out / rows_folder.HEADER).write_bytes((whole / rows_folder.HEADER).read_bytes())
    (out / rows_folder.ROWS).write_bytes(rows)
    return out


def test_a_line_that_is_not_a_row_is_refused_by_readers_and_done_again_by_a_run(model, small, whole, tmp_path, capsys):
    lines = (whole / rows_folder.ROWS).read_bytes().splitlines(keepends=True)
    answer = next(json.loads(line) for line in lines if b'"iou"' in line)
    broken = [b"5", b'{"picture": "0"}', b"[" * 200_000, b"\xff", b"", *(json.dumps(row).encode() for row in (
        {key: value for key, value in answer.items() if key != "kind"}, answer | {"iou": float("nan")},
        answer | {"confidence": 2}, answer | {"found": 1}, answer | {"area": answer["union"] + 1},
        answer | {"image_index": 99}, answer | {"method": ["cropping"]}))]
    for number, line in enumerate(broken):
        out = copied(whole, tmp_path / str(number), b"".join([lines[0], line + b"\n", *lines[1:]]))
        if b'"image_index": 99' not in line:
            assert main(["failures", str(out), "--method", "cropping", "--out", str(tmp_path / "page.html")]) == 2
            assert "Line 2 of" in capsys.readouterr().err
        images = list(open_dataset(small / "small.jsonl").images())
        done = rows_folder.keep_whole_images(out, images, run_folder.kind(QUICK))
        assert done == {1, 2, 3, 4, 5}
    run(model, small, out)
    assert (out / run_folder.REPORT).read_bytes() == (whole / run_folder.REPORT).read_bytes()


@pytest.mark.parametrize("header", ["[1]", "{}", "5", '{"methods": [3]}', "[" * 200_000, ""])
def test_a_header_that_is_not_one_is_refused(header, model, small, whole, tmp_path, capsys):
    out = copied(whole, tmp_path / "run", b"")
    (out / rows_folder.HEADER).write_text(header)
    assert main(["tables", str(out)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    with pytest.raises(InputError, match=r"header\.json"):
        run(model, small, out)


def test_rows_that_are_there_twice_count_once(small, whole, tmp_path):
    content = (whole / rows_folder.ROWS).read_bytes()
    out = copied(whole, tmp_path / "twice", content * 2)
    write_report(out)
    assert (out / run_folder.REPORT).read_bytes() == (whole / run_folder.REPORT).read_bytes()
    images = list(open_dataset(small / "small.jsonl").images())
    assert rows_folder.keep_whole_images(out, images, run_folder.kind(QUICK)) == set(range(len(images)))
    assert (out / rows_folder.ROWS).read_bytes() == content


def test_a_run_has_one_writer_and_a_killed_one_leaves_no_lock(model, small, tmp_path, capsys):
    hold = "import sys, time; from pathlib import Path; from refdiff.evaluation.rows_folder import locked\n" \
           "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match=f"process {process.pid} on "):
            run(model, small, tmp_path)
        process.kill()
    with rows_folder.locked(tmp_path), pytest.raises(InputError, match=f"process {os.getpid()} on "):
        run(model, small, tmp_path)


def test_where_nothing_is_proposed_everything_is_missed(model, small, tmp_path):
    proposals = json.loads((small / "proposals.json").read_text())
    line = json.loads((small / "small.jsonl").read_text().splitlines()[0])
    (tmp_path / "one.jsonl").write_text(json.dumps(line))
    (tmp_path / "none.json").write_text(json.dumps(proposals | {Path(line["image"]).name: []}))
    report = runner.evaluate(model, open_dataset(tmp_path / "one.jsonl"), get_methods(["cropping", "ref-diff/g"]),
                             tmp_path / "run", tmp_path / "none.json")
    figures = report["figures"]["cropping"]["all"]
    assert (figures["expressions"], figures["mIoU"]) == (1, 0)
    assert report["figures"]["ref-diff/g"]["all"]["mIoU"] > 0 and report["faults"] == []
    row = next(run_folder.read_rows(tmp_path / "run"))
    assert row["union"] == row["area"] > 0 and row["chosen"] is None
    assert main(["failures", str(tmp_path / "run"), "--method", "cropping", "--out", str(tmp_path / "page.html")]) == 0
    assert "nothing found" in (tmp_path / "page.html").read_text()


def test_a_run_over_several_targets_and_none(model, tmp_path, capsys):
    """Two methods that look nowhere: one always answers with the left half, one with nothing."""
    half = np.zeros((20, 30), bool)
    half[:, :15] = True
    (tmp_path / "set" / "images").mkdir(parents=True)
    Image.new("RGB", (30, 20)).save(tmp_path / "set" / "images" / "a.png")
    parts = [{"id": 1, "segmentation": to_rle(half & (np.arange(20) < 12)[:, None])},
             {"id": 2, "segmentation": to_rle(half & (np.arange(20) >= 12)[:, None])}]
    refs = [{"ref_id": i, "ann_id": ids, "image_id": 1, "split": "work", "kind": kind, "no_target": ids == [-1],
             "sentences": [{"sent_id": i, "sent": text}]} for i, (ids, kind, text) in enumerate((
                 ([1], "one", "a cat"), ([1, 2], "several", "the cats on the left side"), ([-1], "none", "two dogs")))]
    (tmp_path / "set" / "grefs(refdiff).json").write_text(json.dumps(refs))
    (tmp_path / "set" / "instances.json").write_text(json.dumps({
        "images": [{"id": 1, "file_name": "a.png", "height": 20, "width": 30}], "annotations": parts}))

    def answers(found: bool, confidence: float) -> Method:
        name = "ref-diff" if found else "sam-clip"
        return Method(name, name, lambda scene, texts: [
            Choice(half, 0, 0.5, confidence=confidence, found=found) for _ in texts], ())

    dataset = open_dataset(tmp_path / "set", "work", "refdiff")
    assert not dataset.one_target
    report = runner.evaluate(model, dataset, [answers(True, 0.8), answers(False, 0.2)], tmp_path / "run")
    assert report["figures"]["ref-diff"]["all"]["generalised"] == pytest.approx({
        "gIoU": 1.6 / 3, "cIoU": 480 / 900, "N-acc": 0, "T-acc": 1, "Pr@0.7": 0.5, "Pr@0.8": 0.5, "Pr@0.9": 0.5})
    assert report["figures"]["sam-clip"]["all"]["generalised"] == pytest.approx({
        "gIoU": 1 / 3, "cIoU": 0, "N-acc": 1, "T-acc": 0, "Pr@0.7": 0, "Pr@0.8": 0, "Pr@0.9": 0})
    assert {length: each["expressions"] for length, each in report["lengths"]["ref-diff"].items()} == {
        "1-2 words": 2, "5-7 words": 1}
    assert {row["method"]: row["found"] for row in run_folder.read_rows(tmp_path / "run")} == {
        "ref-diff": True, "sam-clip": False}
    assert main(["tables", str(tmp_path / "run"), "--curves", str(tmp_path / "curves")]) == 0
    said = capsys.readouterr()
    assert "**set work: gRefCOCO's metrics**\n\n| Method | gIoU | cIoU | N-acc | T-acc | Pr@0.7 |" in said.out
    assert "| Ref-Diff | **53.33** | **53.33** | 0.00 | **100.00** | **50.00** |" in said.out
    assert "**set work: mIoU by kind**\n\n| Method | none | one | several |" in said.out
    assert "| SAM-CLIP | **100.00** | 0.00 | 0.00 |" in said.out and "none 1, one 1, several 1" in said.out
    assert "| Method | 1-2 words | 5-7 words |" in said.out
    assert "set-work-ref-diff.png: expected calibration error 0.133" in said.err
    written = sorted(path.name for path in (tmp_path / "curves").iterdir())
    assert written == [f"set-work-{method}{end}" for method in ("ref-diff", "sam-clip")
                       for end in ("-abstention.csv", "-calibration.csv", ".png")]
    assert (tmp_path / "curves" / written[1]).read_text() == (
        "from,to,answers,confidence,right\n0.8,0.9,3,0.8,0.666667\n")
    assert main(["tables", str(tmp_path / "run"), "--format", "csv"]) == 0
    assert "set work: gRefCOCO's metrics,SAM-CLIP,set,work,N-acc,,100.0,3,0" in capsys.readouterr().out
    assert main(["failures", str(tmp_path / "run"), "--method", "sam-clip", "--worst", "2", "--out",
                 str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "nothing found" in page and "two dogs" not in page  # which was rightly empty


@pytest.fixture
def refer(tmp_path):
    """Makes a folder in the REFER layout with one expression for each of two images, by its name and annotations."""
    half = np.zeros((20, 30), bool)
    half[:, :15] = True

    def make(name: str, annotations: str) -> Path:
        folder = tmp_path / name
        (folder / "images").mkdir(parents=True, exist_ok=True)
        images = [{"id": 70 + i, "file_name": f"{i}.png", "height": 20, "width": 30} for i in (1, 2)]
        for image in images:
            Image.new("RGB", (30, 20)).save(folder / "images" / image["file_name"])
        refs = [{"ref_id": i, "ann_id": i, "image_id": 70 + i, "split": "val",
                 "sentences": [{"sent_id": i, "sent": "a cat", "raw": "A cat."}]} for i in (1, 2)]
        (folder / f"{annotations}.json").write_text(json.dumps(refs))
        (folder / "instances.json").write_text(json.dumps({"images": images, "annotations": [
            {"id": 1, "segmentation": to_rle(half)}, {"id": 2, "segmentation": to_rle(~half)}]}))
        return folder

    return make


FIRST = Method("cropping", "Cropping", lambda scene, texts: [
    Choice(scene.proposals().masks[0], 0, 0.5) for _ in texts], ("sam",))
"""A method that always takes the first proposal."""


@pytest.mark.parametrize(("name", "annotations", "column"), [
    ("refcocog", "refs(google)", ("RefCOCOg", "val(G)")), ("refcocog", "refs(umd)", ("RefCOCOg", "val(U)")),
    ("RefCOCO+", "refs(unc)", ("RefCOCO+", "val")), ("refcocog", "refs(mine)", ("refcocog", "val")),
    ("refcoco", "refs(google)", ("refcoco", "val")), ("refcoco", "grefs(unc)", ("refcoco", "val"))])
def test_figures_stand_under_the_split_that_the_refs_file_says(model, refer, tmp_path, name, annotations, column):
    """Whether or not --split-by named it, and whatever the folder is called."""
    dataset = open_dataset(refer(name, annotations))
    (tmp_path / "all.json").write_text(json.dumps({f"{i}.png": [to_rle(np.ones((20, 30), bool))] for i in (1, 2)}))
    runner.evaluate(model, dataset, [FIRST], tmp_path / "run", tmp_path / "all.json")
    found = Run.read(tmp_path / "run")
    assert (found.dataset, found.split) == column
    assert runner.suited(dataset) == ({"targets": "one", "global_share": 0.85} if column[0] == "RefCOCOg" else
                                      {"targets": "one"})
    text = render(paper_tables([found]), "csv")
    assert f",Cropping,{column[0]},{column[1]},mIoU," in text and text.count(",50.0,2,") == 2  # oIoU and mIoU
    assert found.reading == ""


def test_tables_say_where_data_were_read_in_another_way(model, refer, tmp_path):
    dataset = open_dataset(refer("refcoco", "refs(unc)"), text="raw", truth_as="yu2023")
    runner.evaluate(model, dataset, [replace(FIRST, needs=(), call=lambda scene, texts: [
        Choice(np.ones((20, 30), bool), 0, 0.5)])], tmp_path / "run")
    text = render(paper_tables([Run.read(tmp_path / "run")]), "markdown")
    assert "RefCOCO val: 2 expressions, text raw, truth as yu2023, bundle mini" in text


def test_proposals_of_a_results_list_and_an_instances_json(model, refer, tmp_path):
    """Each image gets its own, by the dataset's ids; one that has none is missed, and one not listed a fault."""
    dataset = open_dataset(refer("set", "refs(x)"))
    truths = [to_rle(reference.mask) for reference in dataset.references]

    def ious(content) -> list[float | str]:
        path, out = tmp_path / "proposals.json", tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        path.write_text(json.dumps(content))
        runner.evaluate(model, dataset, [FIRST], out, path)
        return [row.get("iou", row.get("fault")) for row in run_folder.read_rows(out)]

    results = [{"image_id": 70 + i, "segmentation": truths[i - 1], "score": 0.5} for i in (2, 1)]
    assert ious(results) == [1, 1] and ious([results[0] | {"image_id": 71}, results[1] | {"image_id": 72}]) == [0, 0]
    assert "no proposals for" in ious(results[:1])[0] and ious(results[:1])[1] == 1
    instances = {"images": [{"id": i, "file_name": f"images/{i}.png"} for i in (1, 2)],
                 "annotations": [{"image_id": 2, "segmentation": truths[1]}]}
    assert ious(instances) == [0, 1] and ious({"1.png": truths[:1], "2.png": []}) == [1, 0]
    with pytest.raises(InputError, match="does not tell the images"):
        ious(truths)


def test_what_is_to_be_ignored_counts_neither_way(model, tmp_path):
    folder = tmp_path / "ReasonSeg" / "val"
    folder.mkdir(parents=True)
    Image.new("RGB", (30, 20)).save(folder / "a.jpg")
    shapes = [{"label": label, "points": [[x, 0], [x + 9, 0], [x + 9, 19], [x, 19]]}
              for label, x in (("target", 0), ("ignore", 10))]
    (folder / "a.json").write_text(json.dumps({"text": ["x"], "is_sentence": False, "shapes": shapes}))
    (tmp_path / "all.json").write_text(json.dumps([to_rle(np.ones((20, 30), bool))]))
    dataset = open_dataset(tmp_path / "ReasonSeg")
    report = runner.evaluate(model, dataset, [FIRST], tmp_path / "run", tmp_path / "all.json")
    row, = run_folder.read_rows(tmp_path / "run")
    assert (row["intersection"], row["union"], row["area"]) == (200, 400, 200)
    assert report["figures"]["cropping"]["all"]["generalised"]["cIoU"] == 0.5


def test_the_commands_options_for_text_truth_and_share(model, refer, tmp_path, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(runner, "evaluate", lambda model, dataset, *rest: seen.append((model.settings, dataset)) or {
        "figures": {}, "faults": []})
    folder = str(refer("refcocog", "refs(umd)"))
    for options in ([], ["--text", "raw", "--truth-as", "yu2023", "--set", "global_share=0.9", "--targets", "any"]):
        assert main(["evaluate", folder, "--out", str(tmp_path / "run"), "--device", "cpu", *options]) == 0
    (plain, plain_data), (changed, changed_data) = seen
    assert (plain.baselines.global_share, plain.query.targets) == (0.85, "one")
    assert (changed.baselines.global_share, changed.query.targets) == (0.9, "any")
    assert [each.references[0].expression for each in (plain_data, changed_data)] == ["a cat", "A cat."]
    assert changed_data.references[0].drawing == "once" and changed_data.where["truth_as"] == "yu2023"


def test_kinds_of_wrong_types_are_faults(model, small, tmp_path):
    line = json.loads((small / "small.jsonl").read_text().splitlines()[0])
    kinds = ["noun", 5, None, ["noun"], {}, "place"]
    (tmp_path / "kinds.jsonl").write_text("".join(json.dumps(line | {"id": i, "kind": kind}) + "\n"
                                                  for i, kind in enumerate(kinds)))
    report = runner.evaluate(model, open_dataset(tmp_path / "kinds.jsonl"), get_methods(["cropping"]), tmp_path / "run",
                             small / "proposals.json")
    assert [fault["id"] for fault in report["faults"]] == [1, 3, 4]
    assert {kind: each["expressions"] for kind, each in report["figures"]["cropping"].items()} == {
        "all": 3, "noun": 1, "place": 1}


def test_ray_gives_the_same_report_though_a_worker_is_killed(model, small, whole, tmp_path):
    ray = pytest.importorskip("ray", reason="the extra refdiff[ray] is not installed")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    killed = []

    def kill_one(progress) -> None:
        if not killed:
            for line in subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True).stdout.splitlines():
                if "ray::_Worker" in line:
                    killed.append(int(line.split()[0]))
                    os.kill(killed[0], signal.SIGKILL)
                    return

    mine = tmp_path / "mine.py"
    mine.write_text("def mine(scene, expressions):\n    return [scene.proposals().masks[0] for _ in expressions]\n")
    try:
        report = run(model, small, tmp_path / "ray", [*QUICK, f"{mine}:mine"], workers=2, show=kill_one)
    finally:
        ray.shutdown()
    assert killed
    expected, own = read_json(whole / run_folder.REPORT), run(model, small, tmp_path / "local", [f"{mine}:mine"])
    assert [fault for fault in report["faults"] if fault.get("method") != "mine"] == expected["faults"]
    assert len(own["faults"]) == 4
    for part in ("figures", "lengths"):
        assert json.dumps(report[part]) == json.dumps(expected[part] | own[part])


def test_reading_ahead_keeps_order_and_stays_few():
    loaded = []
    for item, value in engine.ahead(range(20), lambda i: (loaded.append(i), i * i)[1]):
        assert value == item**2 and len(loaded) <= item + 6


def test_tables_hold_the_papers_figures_beside_the_measured(whole):
    tables = paper_tables([])
    assert [table.title.split(":")[0] for table in tables] == [f"Table {i}" for i in range(1, 6)]
    text = render(tables, "markdown")
    assert "| Ref-Diff | 35.16 | 37.44 |" in text and "TSEG (reported)" in text
    report = json.loads((whole / run_folder.REPORT).read_text())
    measured = f"{100 * report['figures']['cropping']['all']['mIoU']:.2f}"
    run = Run("RefCOCO", "val", report, whole)
    assert f"24.83 / **{measured}**" in render(paper_tables([run]), "markdown") or (
        f"24.83 / {measured}" in render(paper_tables([run]), "markdown"))
    assert measured in render(paper_tables([Run.read(whole)]), "html")
    assert r"\begin{tabular}" in render(paper_tables([run]), "latex")
    rows = render(paper_tables([run]), "csv").splitlines()
    assert any("Cropping,RefCOCO,val,mIoU,24.83," in row for row in rows)
    part = report | {"dataset": report["dataset"] | {"limit": 3}, "faults": [{"image": "a.jpg", "id": 1}] * 2}
    told = next(row for row in csv.DictReader(io.StringIO(render(paper_tables([replace(run, report=part)]), "csv")))
                if row["method"] == "Cropping" and row["measured"])
    assert (told["faults"], told["limit"], told["shard"], told["bundle"]) == ("1", "3", "", "mini")
    assert told["settings"] == replace(run, report=part).fingerprint()
    assert "| Method | colour | " in render(run_tables([run]), "markdown")
    with pytest.raises(InputError, match=f"Two runs, {re.escape(str(whole))} and other, measured region-token on"):
        paper_tables([run, replace(run, folder=Path("other"))])


def test_every_method_answers_every_expression(model):
    reference = open_dataset(ROOT / "benchmarks" / "scenes", "val").references[0]
    scene = model.encode(reference.image, proposals=Proposals.of(reference.mask[None], "given"))
    for method in get_methods(OWN):
        choices = method(scene, ["a cat", reference.expression])
        assert len(choices) == 2 and all(choice.mask.shape == scene.size for choice in choices)


def test_the_commands_of_a_comparison(small, whole, image_file, tmp_path, capsys):
    assert main(["tables", str(whole), "--format", "csv"]) == 0
    assert '"small: comparison, mIoU",Cropping,small,val,mIoU,' in capsys.readouterr().out
    page = tmp_path / "failures.html"
    assert main(["failures", str(whole), "--method", "cropping", "--worst", "3", "--out", str(page)]) == 0
    assert page.read_text().count("<section>") == 3 and page.read_text().count("data:image/jpeg") == 9
    capsys.readouterr()
    sheet = tmp_path / "compare.png"
    (tmp_path / "mine.py").write_text("def mine(scene, expressions):\n    return [scene.image[..., 0] > 150]\n")
    assert main(["compare", str(image_file), "--device", "cpu", "the ball", "--dpi", "300", "--out", str(sheet),
                 "--method", f"all,{tmp_path / 'mine.py'}:mine"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:-1]]
    assert [line[0] for line in lines] == [*OWN, "mine"] and lines[-1] == ["mine", "-", "-"]
    with Image.open(sheet) as opened:
        assert opened.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert opened.width == round((4 * 120 + 3 * 8 + 2 * 6) * 300 / 72)  # panels, gaps and margins in points


@pytest.mark.parametrize("arguments, words", [
    (["evaluate", "{small}/small.jsonl", "--out", "{tmp}", "--method", "magic"], "no method 'magic'"),
    (["evaluate", "{small}/absent", "--out", "{tmp}"], "no dataset"),
    (["evaluate", "{small}/small.jsonl", "--out", "{whole}", "--device", "cpu"], "differs in methods"),
    (["tables", "{tmp}"], "no run"),
    (["tables", "{whole}", "--curves", "{tmp}"], "No answer of these runs has a confidence"),
    (["failures", "{whole}", "--method", "ref-diff"], "no method 'ref-diff'"),
    (["compare", "{small}/absent.png", "a cat"], "no file"),
])
def test_wrong_use_is_one_sentence(small, whole, tmp_path, arguments, words, capsys):
    filled = [argument.format(small=small, whole=whole, tmp=tmp_path) for argument in arguments]
    assert main(filled) == 2
    error = capsys.readouterr().err
    assert words in error and len(error.splitlines()) == 1


class _Drawn:
    """Answers the photographs' expressions with the masks drawn by hand, the first `wrong` of them with nothing."""

    def __init__(self, wrong: int):
        self.left = wrong

    def encode(self, image: np.ndarray):
        self.size = image.shape[:2]
        return self

    def segment(self, expressions: list[str]) -> list[SimpleNamespace]:
        drawn = {asked["expression"]: asked["segmentation"] for each in read_json(self_test.PHOTOGRAPHS)
                 for asked in each["expressions"]}
        answers = []
        for text in expressions:
            mask = from_polygons(drawn[text], self.size) & (self.left <= 0)
            self.left -= 1
            answers.append(SimpleNamespace(mask=mask, confidence=None))
        return answers


def test_the_self_test_judges_models_for_photographs_alone(model):
    photographic = replace(model.bundle, domain=Domain())
    rows = self_test.self_test(_Drawn(wrong=2))
    assert [row.iou for row in rows] == [0, 0, 1, 1, 1, 1]
    assert "4 of 6 are over 0.5: the models do what they should" in self_test.report(rows, photographic)
    assert "never been run" in self_test.report(rows, photographic)
    assert "something is wrong" in self_test.report(self_test.self_test(_Drawn(wrong=3)), photographic)
    of_mini = self_test.report(rows, model.bundle)
    assert "outside the domain of mini" in of_mini and "what they should" not in of_mini
