import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT, shapes
from refdiff import InputError
from refdiff.cli.main import main
from refdiff.cli.segment import images_and_expressions
from refdiff.core.masks import from_rle


def test_segment_writes_masks_overlays_and_a_table(image_file, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["segment", str(image_file), "the ball on the left", "ball", "ball", "--out", str(out)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 4 and table[0].split() == ["image", "expression", "found", "score", "confidence", "box",
                                                                "mask"]
    masks = sorted(out.glob("*.mask.png"))
    assert len(masks) == 3 == len(list(out.glob("*.overlay.png")))
    with Image.open(masks[0]) as mask:
        assert mask.size == (144, 96) and set(np.unique(np.asarray(mask))) <= {0, 255}


def test_json_alone_goes_to_standard_output(image_file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(shapes()).save(tmp_path / "second.jpg")
    assert main(["segment", str(image_file), str(tmp_path / "second.jpg"), "ball", "--json", "--variant", "gs"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["image"] for row in rows] == [str(image_file), str(tmp_path / "second.jpg")]
    for row in rows:
        mask = from_rle(row["segmentation"])
        assert mask.shape == (96, 144) and mask.sum() == row["area"]
    assert not (tmp_path / "refdiff-output").exists()


def test_one_bad_image_file_of_a_folder_loses_nothing_else(image_file, tmp_path, capsys):
    (image_file.parent / "broken.png").write_text("nonsense")
    assert main(["segment", str(image_file.parent), "ball", "--variant", "g", "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert "broken.png" in captured.err and "shapes.png" in captured.out
    assert len(list((tmp_path / "out").glob("*.mask.png"))) == 1


def test_proposals_from_a_file(image_file, tmp_path, capsys):
    left = np.zeros((96, 144), bool)
    left[:, :70] = True
    runs = [{"size": [96, 144], "counts": np.diff([0, *[0, 70 * 96], 144 * 96]).tolist()}]
    (tmp_path / "masks.json").write_text(json.dumps({image_file.name: runs}))
    assert main(["segment", str(image_file), "ball", "--proposals", str(tmp_path / "masks.json"), "--json", "--set",
                 "targets=one"]) == 0
    assert np.array_equal(from_rle(json.loads(capsys.readouterr().out)[0]["segmentation"]), left)
    (tmp_path / "masks.json").write_text(json.dumps({image_file.name: [{"size": [5, 5], "counts": [25]}]}))
    assert main(["segment", str(image_file), "ball", "--proposals", str(tmp_path / "masks.json"), "--json"]) == 2
    assert "same size" in capsys.readouterr().err


def test_attention_draws_every_token(image_file, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert main(["attention", str(image_file), "the red ball", "--out", str(sheet)]) == 0
    assert "5 tokens, root 'ball'" in capsys.readouterr().out
    with Image.open(sheet) as drawn:
        assert drawn.width > 1000


def test_unknown_words_are_noticed(image_file, capsys):
    assert main(["segment", str(image_file), "the bulldozer", "--variant", "g", "--json", "--device", "cpu"]) == 0
    captured = capsys.readouterr()
    assert "--model sd15" in json.loads(captured.out)[0]["notice"]
    assert captured.err.count("\n") == 1 and "'bulldozer'" in captured.err


def test_what_is_found_is_counted_and_explained_and_nothing_is_an_answer_too(tmp_path, capsys):
    call = ["segment", str(ROOT / "examples" / "scene.png"), "the cats", "a zebra", "--device", "cpu", "--explain"]
    assert main([*call, "--json"]) == 0
    captured = capsys.readouterr()
    cats, zebra = json.loads(captured.out)
    assert cats["found"] and len(cats["instances"]) == 2 and cats["query"] == "all cat" and cats["notice"] is None
    assert sum(from_rle(each["segmentation"]) for each in cats["instances"]).astype(bool).sum() == cats["area"]
    assert (zebra["found"], zebra["instances"], zebra["box"], zebra["area"]) == (False, [], None, 0)
    assert not from_rle(zebra["segmentation"]).any() and "'zebra'" in zebra["notice"]
    assert captured.err.splitlines() == ["refdiff: the cats: all cat", "refdiff: a zebra: one zebra",
                                         f"refdiff: a zebra: {zebra['notice']}"]
    assert main([*call, "--out", str(tmp_path / "out")]) == 0
    _, of_cats, of_zebra = capsys.readouterr().out.splitlines()
    assert " 2 " in of_cats and " nothing " in of_zebra
    with Image.open(tmp_path / "out" / "scene.a-zebra.mask.png") as mask:
        assert not np.asarray(mask).any()


def test_words_may_come_before_and_after_options(image_file, tmp_path, capsys):
    call = ["segment", str(image_file), "--variant", "g", "ball", "--out", str(tmp_path / "out"), "the gift"]
    assert main(call) == 0 and len(capsys.readouterr().out.splitlines()) == 3
    assert main([*call, "--nonsense"]) == 2 and "--nonsense" in capsys.readouterr().err
    assert main(["attention", str(image_file), "ball", "more"]) == 2


def test_what_is_read_as_one_is_explained_too(image_file, tmp_path, capsys):
    call = ["segment", str(image_file), "the red ball on the left", "--device", "cpu", "--variant", "g", "--explain"]
    assert main([*call, "--out", str(tmp_path / "out")]) == 0
    assert "refdiff: the red ball on the left: read as one, root 'ball', direction left" in capsys.readouterr().err


def test_what_names_a_file_is_an_image_and_e_gives_any_expression(image_file, tmp_path, monkeypatch):
    (tmp_path / "cat").mkdir()
    monkeypatch.chdir(tmp_path)
    assert images_and_expressions([image_file.name, "the cat"], []) == ([Path(image_file.name)], ["the cat"])
    assert images_and_expressions(["the cat", image_file.name], []) == ([Path(image_file.name)], ["the cat"])
    assert images_and_expressions([image_file.name], ["cat"]) == ([Path(image_file.name)], ["cat"])
    assert images_and_expressions(["a.png", "b.heic", "the cat"], [])[0] == [Path("a.png"), Path("b.heic")]
    with pytest.raises(InputError, match="folder cat holds no images"):
        images_and_expressions([image_file.name, "cat"], [])
    with pytest.raises(InputError, match="no file 'nowhere'"):
        images_and_expressions(["nowhere", "the cat"], [])


@pytest.mark.parametrize(("arguments", "words"), [
    (["nowhere.png", "cat"], "nowhere.png"),
    (["{image}"], "expression"),
    (["{image}", ""], "empty"),
    (["{image}", "x" * 2000], "2000 characters"),
    (["{image}", "cat", "--model", "maxi"], "mini"),
    (["{image}", "cat", "--set", "alpha=2"], "from 0 to 1"),
    (["{image}", "cat", "--set", "alfa=0.2"], "no setting"),
    (["{image}", "cat", "--set", "alpha"], "NAME=VALUE"),
    (["{image}", "cat", "--set", "guidance=NaN"], "guidance"),
    (["{image}", "cat", "--set", "layers=[1]"], "layers"),
    (["{image}", "cat", "--set", "image_size=100"], "multiple of"),
    (["{image}", "cat", "--set", "clip_layer=-9"], "clip_layer"),
    (["{image}", "cat", "--seed", "-1"], "seed"),
    (["{image}", "cat", "--memory", "inf"], "memory"),
    (["{image}", "cat", "--device", "warp"], "'warp'"),
    (["{image}", "cat", "--device", "meta"], "'meta'"),
    (["{image}", "cat", "--out", "{image}"], "not a folder"),
    (["{image}", "cat", "--proposals", "nowhere.json"], "nowhere.json"),
    (["{image}", "cat", "--preset", "paper", "--threshold", "0.5"], "--threshold has no effect"),
    (["{image}", "cat", "--variant", "g", "--threshold", "0.5"], "--threshold has no effect"),
])
def test_wrong_use_is_one_sentence_and_status_2(image_file, arguments, words, capsys):
    assert main(["segment", "--device", "cpu", *(each.format(image=image_file) for each in arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("refdiff: ") and captured.err.count("\n") == 1
    assert words in captured.err


def run(words: list[str], **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "refdiff", *words], text=True, **options)


def test_words_that_the_terminal_lacks_are_escaped(image_file, tmp_path):
    words = ["segment", str(image_file), "左边的猫", "--variant", "g", "--out", str(tmp_path / "out")]
    done = run(words, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "cp1252"})
    assert done.returncode == 0 and "\\u5de6" in done.stdout
    assert [path.name for path in (tmp_path / "out").glob("*.mask.png")] == ["shapes.左边的猫.mask.png"]


@pytest.mark.parametrize("environment", [
    {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
], ids=["ascii", "c", "c-without-utf8"])
def test_complaints_can_be_printed_in_any_locale(environment):
    done = run(["segment", "nöwhere.png", "cat"], capture_output=True, env=os.environ | environment)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith("refdiff: There is no file n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written_is_a_sentence(image_file, unbuffered):
    for words in (["segment", str(image_file), "ball", "--variant", "g", "--json", "--device", "cpu"], ["models"]):
        with Path("/dev/full").open("w") as full:
            done = run(words, stdout=full, stderr=subprocess.PIPE, env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
        assert done.returncode == 1
        assert done.stderr == "refdiff: Standard output cannot be written: No space left on device.\n"
    with Path("/dev/full").open("w") as full:
        assert run(["segment", "nowhere.png", "cat"], stdout=full, stderr=full).returncode == 2


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are closed by a POSIX shell")
def test_closed_streams_are_never_written_to(image_file, tmp_path):
    command = f'"{sys.executable}" -m refdiff segment "{image_file}"'
    closed = subprocess.run(f'{command} ball --variant g --json >&-', shell=True, stderr=subprocess.PIPE, text=True)
    assert closed.returncode == 1 and "closed" in closed.stderr
    silent = subprocess.run(f'{command} "" 2>&-', shell=True, stdout=subprocess.PIPE, text=True)
    assert silent.returncode == 2 and silent.stdout == ""


def test_an_unforeseen_error_is_a_sentence_too(image_file, capsys, monkeypatch):
    monkeypatch.setattr("refdiff.pipeline.RefDiff.from_pretrained", lambda *_, **__: 1 / 0)
    assert main(["segment", str(image_file), "cat"]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_models_lists_what_is_here(capsys):
    assert main(["models"]) == 0
    _, mini, sd15, light = capsys.readouterr().out.splitlines()
    assert mini.split()[:2] == ["mini", "ready"] and sd15.startswith("sd15 ") and light.startswith("sd15-light")
    assert main(["models", "check", "mini"]) == 0
    assert "fingerprint" in capsys.readouterr().out


def test_help_imports_no_heavy_library():
    code = "import sys; from refdiff.cli.main import _parser; _parser(); print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not any(f"'{heavy}'" in loaded for heavy in ("torch", "numpy", "spacy", "diffusers", "transformers"))
