import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from conftest import shapes
from refdiff.cli import main
from refdiff.masks import from_rle


def test_segment_writes_masks_overlays_and_a_table(picture, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["segment", str(picture), "the ball on the left", "ball", "ball", "--out", str(out)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 4 and table[0].split() == ["picture", "expression", "score", "box", "mask"]
    masks = sorted(out.glob("*.mask.png"))
    assert len(masks) == 3 == len(list(out.glob("*.overlay.png")))
    with Image.open(masks[0]) as mask:
        assert mask.size == (144, 96) and set(np.unique(np.asarray(mask))) <= {0, 255}


def test_json_alone_goes_to_standard_output(picture, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(shapes()).save(tmp_path / "second.jpg")
    assert main(["segment", str(picture), str(tmp_path / "second.jpg"), "ball", "--json", "--variant", "gs"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["image"] for row in rows] == [str(picture), str(tmp_path / "second.jpg")]
    for row in rows:
        mask = from_rle(row["segmentation"])
        assert mask.shape == (96, 144) and mask.sum() == row["area"]
    assert not (tmp_path / "refdiff-output").exists()


def test_one_bad_picture_of_a_folder_loses_nothing_else(picture, tmp_path, capsys):
    (picture.parent / "broken.png").write_text("nonsense")
    assert main(["segment", str(picture.parent), "ball", "--variant", "g", "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert "broken.png" in captured.err and "shapes.png" in captured.out
    assert len(list((tmp_path / "out").glob("*.mask.png"))) == 1


def test_proposals_from_a_file(picture, tmp_path, capsys):
    left = np.zeros((96, 144), bool)
    left[:, :70] = True
    runs = [{"size": [96, 144], "counts": np.diff([0, *[0, 70 * 96], 144 * 96]).tolist()}]
    (tmp_path / "masks.json").write_text(json.dumps({picture.name: runs}))
    assert main(["segment", str(picture), "ball", "--proposals", str(tmp_path / "masks.json"), "--json"]) == 0
    assert np.array_equal(from_rle(json.loads(capsys.readouterr().out)[0]["segmentation"]), left)
    (tmp_path / "masks.json").write_text(json.dumps({picture.name: [{"size": [5, 5], "counts": [25]}]}))
    assert main(["segment", str(picture), "ball", "--proposals", str(tmp_path / "masks.json"), "--json"]) == 2
    assert "same size" in capsys.readouterr().err


def test_attention_draws_every_token(picture, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert main(["attention", str(picture), "the red ball", "--out", str(sheet)]) == 0
    assert "5 tokens, root 'ball'" in capsys.readouterr().out
    with Image.open(sheet) as drawn:
        assert drawn.width > 1000


def test_unknown_words_are_noticed(picture, capsys):
    assert main(["segment", str(picture), "the bulldozer", "--variant", "g", "--json"]) == 0
    captured = capsys.readouterr()
    assert "--model sd15" in json.loads(captured.out)[0]["notice"]
    assert captured.err.count("\n") == 1 and "'bulldozer'" in captured.err


@pytest.mark.parametrize(("arguments", "words"), [
    (["nowhere.png", "cat"], "nowhere.png"),
    (["{picture}"], "expression"),
    (["{picture}", ""], "empty"),
    (["{picture}", "x" * 2000], "2000 characters"),
    (["{picture}", "cat", "--model", "maxi"], "mini or sd15"),
    (["{picture}", "cat", "--set", "alpha=2"], "between 0 and 1"),
    (["{picture}", "cat", "--set", "alfa=0.2"], "no setting"),
    (["{picture}", "cat", "--set", "alpha"], "NAME=VALUE"),
    (["{picture}", "cat", "--device", "warp"], "'warp'"),
    (["{picture}", "cat", "--proposals", "nowhere.json"], "nowhere.json"),
])
def test_wrong_use_is_one_sentence_and_status_2(picture, arguments, words, capsys):
    assert main(["segment", *(each.format(picture=picture) for each in arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("refdiff: ") and captured.err.count("\n") == 1
    assert words in captured.err


def test_an_unforeseen_error_is_a_sentence_too(picture, capsys, monkeypatch):
    monkeypatch.setattr("refdiff.pipeline.RefDiff.from_pretrained", lambda *_, **__: 1 / 0)
    assert main(["segment", str(picture), "cat"]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_models_lists_what_is_here(capsys):
    assert main(["models"]) == 0
    mini, _sd15 = capsys.readouterr().out.splitlines()
    assert mini.split()[:2] == ["mini", "ready"]
    assert main(["models", "check", "mini"]) == 0
    assert "fingerprint" in capsys.readouterr().out


def test_help_imports_no_heavy_library():
    code = "import sys; from refdiff.cli import _parser; _parser(); print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not any(f"'{heavy}'" in loaded for heavy in ("torch", "numpy", "spacy", "diffusers", "transformers"))


def test_a_light_start_gives_the_same_answer(picture, capsys):
    words = ["segment", str(picture), "the ball on the left", "--json"]
    code = "import sys; from refdiff.cli import main; main(sys.argv[1:]); print(sorted(sys.modules), file=sys.stderr)"
    light = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    heavy = ("torch._inductor", "torch.distributed.tensor", "scipy.optimize", "scipy.stats", "sympy.core", "spacy")
    assert not any(f"'{name}'" in light.stderr for name in heavy)
    assert main(words) == 0
    assert json.loads(light.stdout) == json.loads(capsys.readouterr().out)
