"""Labelling a folder: what is asked about, what is kept, and that a killed server loses no decision."""

import io
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from conftest import shapes
from refdiff import InputError, RefDiffError
from refdiff.core.masks import from_rle

pytest.importorskip("fastapi", reason="the extra serve is not installed")
from fastapi.testclient import TestClient

from refdiff.evaluation.rows_folder import locked
from refdiff.service.app import create_app
from refdiff.service.folder import FOLDER, find_images, read_expressions
from refdiff.service.journal import Journal
from refdiff.service.labels import open_labels


@pytest.fixture
def folder(tmp_path):
    photos = tmp_path / "photos"
    (photos / "more").mkdir(parents=True)
    for name in ("b.png", "more/a.jpg"):
        Image.fromarray(shapes()).save(photos / name)
    return photos


def lines(folder, name):
    return [json.loads(line) for line in (folder / FOLDER / name).read_text().splitlines()]


def answer(model, text):
    """The content of an answer, as the server keeps it."""
    from refdiff.service.rendering import answers_content

    cheap = model.settings.replace(points_per_side=4)
    return answers_content(model.encode(shapes(), cheap).segment([text], settings=cheap), [None], 5)["answers"][0]


@pytest.fixture(scope="module")
def told(model):
    return answer(model, "the red ball")


def test_expressions_come_from_text_or_a_file_and_have_categories(tmp_path):
    assert read_expressions("the cat = cat, dog ,") == {"the cat": "cat", "dog": "dog"}
    file = tmp_path / "expressions.txt"
    file.write_text("the cat, asleep = cat\n\n  dog\n", "utf-8")
    assert read_expressions(str(file)) == {"the cat, asleep": "cat", "dog": "dog"}
    for wrong in ("", " , ", "cat,cat", "= cat", str(tmp_path), "nowhere.txt"):
        with pytest.raises(InputError):
            read_expressions(wrong)


def test_only_images_inside_the_folder_are_asked_about(folder, tmp_path):
    Image.fromarray(shapes()).save(tmp_path / "secret.png")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("")
    (folder / FOLDER).mkdir()
    Image.fromarray(shapes()).save(folder / FOLDER / "own.png")
    assert find_images(folder) == ["b.png", "more/a.jpg"]


def test_a_journal_drops_the_line_that_a_killed_process_left(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"n": 1}\nnonsense\n{"n": 2}\n{"n": ')
    journal = Journal(path)
    values = dict(journal)
    assert list(values.values()) == [{"n": 1}, None, {"n": 2}] and journal.damaged == 1
    place = journal.append({"n": 3}, durable=True)
    assert journal.read(place) == {"n": 3} and journal.read(0) == {"n": 1}
    journal.close()
    assert path.read_bytes() == b'{"n": 1}\nnonsense\n{"n": 2}\n{"n": 3}\n'


def test_what_the_disk_refuses_is_not_kept(tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append({"n": 1}, durable=True)

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RefDiffError, match="No space left on device"):
            journal.append({"n": 2}, durable=True)
    place = journal.append({"n": 3}, durable=True)
    assert journal.read(place) == {"n": 3}
    journal.close()
    assert path.read_bytes() == b'{"n": 1}\n{"n": 3}\n'


def test_decisions_are_kept_and_the_last_one_counts(folder, told):
    with open_labels(folder, "the red ball = ball,cat") as labels:
        first, second = labels.item(0), labels.item(2)
        assert (first.image, second.image, second.category) == ("b.png", "more/a.jpg", "ball") and len(labels) == 4
        labels.decide(first, "accepted", told)
        labels.decide(second, "accepted", told)
        rows = lines(folder, "rows.jsonl")
        assert [(row["image_index"], row["id"], row["expression"]) for row in rows] == [
            (0, "the red ball", "ball"), (1, "the red ball", "ball")]
        assert np.array_equal(from_rle(rows[0]["rle"]), from_rle(told["segmentation"]))
        labels.decide(first, "rejected", None)
        assert [row["image"] for row in lines(folder, "rows.jsonl")] == ["more/a.jpg"]
        with pytest.raises(InputError, match="is being written"), open_labels(folder, "cat"):
            pass  # another server
    (folder / FOLDER / "rows.jsonl").unlink()
    with open_labels(folder, "cat,the red ball") as labels:  # in another order, with another category
        assert labels.decisions == {1: "rejected", 3: "accepted"}
        assert [row["expression"] for row in lines(folder, "rows.jsonl")] == ["the red ball"]
        assert labels.decided(labels.item(3))["expression"] == "the red ball" and labels.decided(labels.item(1)) is None
    assert len(lines(folder, "decisions.jsonl")) == 3


def test_a_killed_server_loses_no_decision(folder, told):
    code = ("import json, sys, time\nfrom pathlib import Path\nfrom refdiff.service.labels import open_labels\n"
            "with open_labels(Path(sys.argv[1]), 'the red ball') as labels:\n"
            "    labels.decide(labels.item(1), 'accepted', json.loads(sys.stdin.read()))\n"
            "    print('decided', flush=True)\n    time.sleep(60)\n")
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env=dict(os.environ), text=True) as process:
        process.stdin.write(json.dumps(told))
        process.stdin.close()
        assert process.stdout.readline() == "decided\n"
        process.kill()
    with open_labels(folder, "the red ball") as labels:
        assert labels.decisions == {1: "accepted"} and len(lines(folder, "rows.jsonl")) == 1


def test_a_folder_is_proposed_decided_and_corrected_over_http(folder, model):
    from refdiff import RefDiff

    (folder / "z.png").write_text("not an image")
    cheap = RefDiff(model.bundle, model.device, settings=model.settings.replace(points_per_side=4))

    def state(client):
        return client.get("/v1/label").json()

    with open_labels(folder, "the red ball") as labels, TestClient(
            create_app([cheap], labels=labels), "http://localhost") as client:
        until = time.monotonic() + 60
        while (now := state(client))["proposed"] + now["faults"] < 3:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert now["wrong"][0]["image"] == "z.png" and str(folder) not in now["wrong"][0]["detail"]
        with Image.open(io.BytesIO(client.get("/v1/label/images/0").content)) as image:
            assert image.size == (144, 96)
        assert client.get("/v1/label/images/7").status_code == client.get("/v1/label/items/2").status_code == 404
        opened = client.post("/v1/label/items/0/open").json()
        blue = client.post(f"/v1/images/{opened['id']}/refine",
                           json={"answer": opened["answer"], "box": [86, 24, 134, 72]}).json()["answers"][0]
        sent = {"decision": "correct", "image": opened["id"], "answer": blue["id"]}
        assert client.post("/v1/label/items/0/decide", json=sent).json() == {"item": 0, "decision": "corrected"}
        assert client.post("/v1/label/items/1/decide", json={"decision": "accept"}).status_code == 200
        assert client.post("/v1/label/items/1/decide", json={"decision": "correct"}).status_code == 422
        assert client.get("/v1/label/items/0").json()["answer"]["segmentation"] == blue["segmentation"]
        again = client.post("/v1/label/items/0/decide", json={"decision": "accept"})  # of what is shown now
        assert again.json()["decision"] == "corrected"
        Image.fromarray(shapes()[:48]).save(folder / "more/a.jpg")  # another image than the one that was asked about
        changed = client.post("/v1/label/items/1/decide", json={"decision": "accept"})
        assert changed.status_code == 422 and "has changed" in changed.json()["detail"]
        rows = lines(folder, "rows.jsonl")
        assert rows[0]["rle"] == blue["segmentation"] and rows[1]["image"] == "more/a.jpg"
        assert (counts := state(client))["queue"] == [] and (counts["accepted"], counts["corrected"]) == (1, 1)
        header = json.loads((folder / FOLDER / "header.json").read_text())
        assert header["bundle"]["name"] == "mini" and header["manifest"]["expressions"] == 3
    with open_labels(folder, "the red ball") as labels:
        labels.use(cheap)  # what was proposed is still known
        assert list(labels.unproposed()) == [2] and labels.proposal(labels.item(1)) is not None
    with locked(folder / FOLDER):
        pass
