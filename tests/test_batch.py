"""refdiff batch: many images and expressions, gone on with where they were stopped."""

import json
import pickle
from functools import partial

import numpy as np
import pytest
from PIL import Image

from conftest import shapes
from refdiff import InputError, RefDiff
from refdiff.cli.main import main
from refdiff.core.masks import from_rle
from refdiff.datasets import load_manifest
from refdiff.evaluation.rows_folder import locked
from refdiff.output import batch as batches
from refdiff.output.batch import batch

LINES = [
    '{"image": "a.png", "expressions": ["the ball", "a zebra"]}',
    '{"image": "b.png", "expression": "the ball", "id": "mine"}',
    "",
    '{"image": "gone.png", "expression": "the ball"}',
    "{",
    '{"image": "a.png", "expression": "the balls", "id": 7}',
    '{"image": "b.png", "expressions": []}',
    '{"image": "b.png", "expression": "x", "expressions": ["x"]}',
    '{"image": "b.png", "expressions": ["...", 5, "the gift"], "id": "three"}',
    '{"image": ["a.png"], "expression": "x"}',
    '{"image": "b.png", "expressions": ["x"], "id": [1]}',
]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("manifest")
    Image.fromarray(shapes()).save(folder / "a.png")
    Image.fromarray(shapes(64, 120)).save(folder / "b.png")
    (folder / "m.jsonl").write_text("\n".join(LINES))
    return folder / "m.jsonl"


@pytest.fixture(scope="module")
def whole(model, manifest, tmp_path_factory):
    out = tmp_path_factory.mktemp("batch") / "whole"
    return out, batch(model, manifest, out, ["masks", "overlays"])


def rows_of(out):
    return [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]


def test_every_expression_is_answered_or_its_fault_named(model, whole):
    out, summary = whole
    rows = {row["id"]: row for row in rows_of(out)}
    assert {id for id, row in rows.items() if "fault" not in row} == {"1.1", "1.2", "mine", 7, "three.3"}
    faults = {id: row["fault"] for id, row in rows.items() if "fault" in row}
    for id, words in ((4, "gone.png"), (5, "Line 5 is not valid JSON"), ("7.1", "no expressions"), (8, "either"),
                      ("three.1", "no word"), ("three.2", "a string"), (10, "file name"),
                      ("Line 11, expression 1,", "valid id")):
        assert words in faults.pop(id)
    assert not faults and len(rows) == len(rows_of(out))
    assert (summary.answered, summary.found, len(summary.faults)) == (5, sum(
        row.get("found", False) for row in rows.values()), 8)
    expected = dict(zip(("1.1", "1.2", 7), model.encode(shapes()).segment(["the ball", "a zebra", "the balls"]),
                        strict=True))
    for id, answer in expected.items():
        row = rows[id]
        assert (row["image"], row["expression"], row["found"], row["notice"], row["query"]) == (
            "a.png", answer.expression.text, answer.found, answer.notice, str(answer.query))
        assert (row["score"], row["confidence"], row["box"]) == (
            answer.score, answer.confidence, None if answer.box is None else list(answer.box))
        assert np.array_equal(from_rle(row["rle"]), answer.mask)
        assert [(each["score"], tuple(each["box"])) for each in row["instances"]] == [
            (each.score, each.box) for each in answer.instances]
        with Image.open(out / row["masks"]) as mask, Image.open(out / row["overlays"]) as overlay:
            assert np.array_equal(np.asarray(mask), answer.mask * 255) and overlay.width >= 144
    assert rows["1.1"]["found"] and not rows["1.2"]["found"] and len(list((out / "masks").iterdir())) == 5


@pytest.mark.parametrize("part", [0.6, 1.0])
def test_what_is_there_is_kept_and_the_rest_done(part, model, manifest, whole, tmp_path, monkeypatch):
    content = (whole[0] / "rows.jsonl").read_bytes()
    (tmp_path / "header.json").write_bytes((whole[0] / "header.json").read_bytes())
    (tmp_path / "rows.jsonl").write_bytes(content[: int(len(content) * part)])
    encoded = []
    monkeypatch.setattr(RefDiff, "encode", lambda self, *each, encode=RefDiff.encode, **options: (
        encoded.append(each[0].shape), encode(self, *each, **options))[1])
    assert batch(model, manifest, tmp_path, ["masks", "overlays"]) == whole[1]
    assert (tmp_path / "rows.jsonl").read_bytes() == content
    assert encoded == {0.6: [(64, 120, 3)], 1.0: []}[part]


def test_other_answers_are_not_mixed_in(model, manifest, whole, tmp_path):
    other = RefDiff(model.bundle, model.device, settings=model.settings.replace(seed=1))
    for wrong, words in ((lambda: batch(other, manifest, whole[0], ["masks", "overlays"]), r"settings \(seed\)"),
                         (lambda: batch(model, manifest, whole[0]), "files")):
        with pytest.raises(InputError, match=words):
            wrong()
    changed = manifest.with_name("changed.jsonl")
    changed.write_text("\n".join(LINES[:2]))
    with pytest.raises(InputError, match="differs in manifest"):
        batch(model, changed, whole[0], ["masks", "overlays"])
    with locked(tmp_path), pytest.raises(InputError, match="being written by"):
        batch(model, manifest, tmp_path)
    (tmp_path / "header.json").write_text('{"methods": []}')
    with pytest.raises(InputError, match="not of refdiff batch"):
        batch(model, manifest, tmp_path)


def test_what_is_done_with_an_image_can_go_to_another_process(model, manifest, whole, tmp_path):
    (tmp_path / "masks").mkdir()
    job = pickle.loads(pickle.dumps(partial(
        batches._answer_image, base=manifest.parent, out=tmp_path, files=("masks",))))
    references = next(load_manifest(manifest).images())
    rows = job(model, references, 0, shapes())
    for row, known in zip(rows, rows_of(whole[0])[:3], strict=True):
        assert row == {key: value for key, value in known.items() if key != "overlays"}
        assert (tmp_path / row["masks"]).read_bytes() == (whole[0] / row["masks"]).read_bytes()


def test_the_command(manifest, tmp_path, capsys):
    (tmp_path / "faulty.jsonl").write_text("\n".join([LINES[3], LINES[4]]))
    command = ["batch", str(tmp_path / "faulty.jsonl"), "--out", str(tmp_path / "out"), "--device", "cpu", "--masks"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "0 expressions answered" in said.out and "2 expressions could not be used" in said.err
    assert "gone.png" in said.err and (tmp_path / "out" / "masks").exists()
    (tmp_path / "empty.jsonl").write_text("\n \n")
    (tmp_path / "twice.jsonl").write_text(
        '{"image": "a", "expression": "a", "id": 2}\n{"image": "a", "expression": "b"}')
    for name, words in (("empty.jsonl", "is empty"), ("twice.jsonl", "the id 2"), ("gone.jsonl", "no file")):
        assert main(["batch", str(tmp_path / name), "--out", str(tmp_path / "other")]) == 2
        error = capsys.readouterr().err
        assert words in error and len(error.splitlines()) == 1
    assert main(["batch", str(manifest), "--out", "x", "--workers", "0"]) == 2
