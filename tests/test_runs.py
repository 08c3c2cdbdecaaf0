"""Methods of your own, and runs in parts: shards, splits, seeds, limits; their rows in tables."""

import json
import pickle
import re
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT, shapes
from refdiff import InputError, RefDiff
from refdiff.baselines.registry import get_methods
from refdiff.cli.main import main
from refdiff.core.masks import to_rle
from refdiff.core.proposals import Proposals
from refdiff.evaluation.rows_folder import HEADER, ROWS
from refdiff.evaluation.run_folder import REPORT, read_rows
from refdiff.evaluation.tables import Run, paper_tables

PLUGINS = '''
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from refdiff.baselines.registry import Choice


@dataclass
class Part:
    share: float

    def mask(self, scene) -> np.ndarray:
        return np.indices(scene.size)[1] < self.share * scene.size[1]


def half(scene, expressions):
    mask = scene.kept.get("half", lambda: Part(0.5).mask(scene))
    return [mask for _ in expressions]


def by_seed(scene, expressions):
    share = 0.3 + 0.2 * scene.settings.generative.seed
    return [Choice(Part(share).mask(scene), np.int64(2), np.float32(share), {"width": np.float32(share)}, 0.5)
            for _ in expressions]


def nothing(scene, expressions):
    return [np.zeros(scene.size, bool) for _ in expressions]


half.needs = by_seed.needs = nothing.needs = ()
half.label = "Left half"
'''


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Seven images of 30 x 20 with three expressions each about rectangles, in two splits; one has no mask, one image
    is missing."""
    folder = tmp_path_factory.mktemp("data")
    rng, lines = np.random.default_rng(0), []
    for number in range(7):
        if number != 5:
            Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(folder / f"{number}.png")
        for part in range(3):
            mask = np.zeros((20, 30), bool)
            mask[: 8 + 3 * part, : rng.integers(8, 30)] = True
            lines.append({"id": f"{number}-{part}", "image": f"{number}.png", "expression": f"thing {part}",
                          "segmentation": to_rle(mask), "kind": "odd" if part % 2 else None,
                          "split": "test" if number == 6 else "val"})
    lines[4]["segmentation"] = None
    (folder / "set.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "mine.py").write_text(PLUGINS)
    return folder


def evaluate(data: Path, out: Path, *arguments: str, method: str = "half") -> int:
    methods = ",".join(f"{data / 'mine.py'}:{name}" for name in method.split(","))
    return main(["evaluate", str(data / "set.jsonl"), "--device", "cpu", "--method", methods, "--out", str(out),
                 *arguments])


def header(run: Path) -> dict:
    return json.loads((run / HEADER).read_text())


def refused(capsys, words: str) -> None:
    """What was said last is one line with these words."""
    said = capsys.readouterr().err.splitlines()
    assert re.search(words, said[-1]) and "Traceback" not in "".join(said), said


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert evaluate(data, out, method="half,by_seed") == 0
    return out


# Methods of your own


def test_a_method_in_a_file_has_its_own_name_everywhere(data, whole, tmp_path, capsys):
    about = header(whole)
    assert about["methods"] == ["half", "by_seed"] and about["labels"]["half"] == "Left half"
    assert set(about["plugins"]) == {"half", "by_seed"} and about["plugins"]["half"]["file"] == "mine.py"
    assert main(["tables", str(whole)]) == 0
    assert len(re.findall(r"^\| Left half \| [\d.*]+ \|$", capsys.readouterr().out, re.M)) == 2  # oIoU and mIoU
    assert main(["tables", str(whole), "--format", "csv"]) == 0
    assert '"set: comparison, mIoU",Left half,set,val,mIoU,,' in capsys.readouterr().out
    tables = paper_tables([replace(Run.read(whole), dataset="RefCOCO", split="val")])
    assert [table.title[:7] for table in tables if "Left half" in table.rows] == ["Table 1", "Table 2"]
    assert main(["tables", str(whole), "--paired"]) == 0
    assert "| Left half | by_seed | 14 | 5 |" in capsys.readouterr().out
    assert main(["failures", str(whole), "--method", "by_seed", "--out", str(tmp_path / "page.html")]) == 0
    assert "by_seed" in (tmp_path / "page.html").read_text()


def test_another_text_of_the_file_is_another_run(data, whole, tmp_path, capsys):
    (tmp_path / "set.jsonl").write_text((data / "set.jsonl").read_text().replace('"image": "', f'"image": "{data}/'))
    (tmp_path / "mine.py").write_text(PLUGINS + "# changed\n")
    assert evaluate(tmp_path, whole, method="half,by_seed") == 2
    refused(capsys, "holds a run that differs in plugins")


def test_the_example_of_the_documentation_works(model, tmp_path):
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "evaluation.md").read_text("utf-8"), re.S)[1]
    (tmp_path / "size_prior.py").write_text(code)
    masks = np.zeros((2, *shapes().shape[:2]), bool)
    masks[0, 24:72, 12:60] = masks[1, 28:68, 90:130] = True
    scene = model.encode(shapes(), proposals=Proposals.of(masks, "given"))
    method = get_methods([f"{tmp_path / 'size_prior.py'}:size_prior"])[0]
    choices = method(scene, ["the red ball", "the cat"])
    assert method.label == "CLIP + size"
    for choice, text in zip(choices, ("the red ball", "the cat"), strict=True):
        crops = model.similarity.crop_features(scene.image, masks, scene.settings)
        scores = (crops @ model.similarity.text_features([text])[0]).numpy() + 0.02 * np.log(masks.sum((1, 2)))
        assert (choice.index, choice.score) == (scores.argmax(), pytest.approx(scores.max(), abs=1e-5))


def test_an_entry_point_of_an_installed_package_is_a_method(data, tmp_path, monkeypatch, capsys):
    (tmp_path / "others_methods.py").write_text(PLUGINS)
    about = tmp_path / "others-2.5.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 2.5\n")
    (about / "entry_points.txt").write_text("[refdiff.methods]\nothers-half = others_methods:half\n"
                                            "lost = others_methods:lost\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["evaluate", str(data / "set.jsonl"), "--device", "cpu", "--method", "others-half", "--limit", "2",
                 "--out", str(tmp_path / "run")]) == 0
    origin = header(tmp_path / "run")["plugins"]["others-half"]
    assert (origin["package"], origin["version"], len(origin["sha256"])) == ("others", "2.5", 64)
    with pytest.raises(InputError, match=r"no method 'magic'.* ref-diff, others-half"):
        get_methods(["magic"])
    capsys.readouterr()
    assert main(["evaluate", str(data / "set.jsonl"), "--method", "lost", "--out", str(tmp_path / "run")]) == 1
    refused(capsys, "The method lost .*cannot be loaded.*AttributeError")


def test_a_method_travels_with_its_text(data, model, tmp_path):
    """As to a worker on another machine, where the file is not."""
    path = tmp_path / "mine.py"
    path.write_text(PLUGINS)
    methods = get_methods([f"{path}:half", "cropping"])
    sent = pickle.dumps(methods)
    path.unlink()
    for name in [name for name in sys.modules if name.startswith("refdiff_plugin_")]:
        del sys.modules[name]
    half, cropping = pickle.loads(sent)
    assert cropping is methods[1] and (half.label, half.needs, half.origin) == ("Left half", (), methods[0].origin)
    choice = half(model.encode(data / "0.png"), ["a thing"])[0]
    assert choice.mask.sum() == 20 * 15 and choice.score is None and choice.found


@pytest.mark.parametrize("body, words, status", [
    ("def f(scene, expressions):\n    return 1 / 0", r"method f failed at line 2 of .*f\.py: ZeroDivisionError: ", 1),
    ("def f(scene, expressions):\n    scene.image.reshape(7)", r"at line 2 of .*f\.py: ValueError: ", 1),
    ("import sys\ndef f(scene, expressions):\n    sys.exit('enough')", "line 3 of .*SystemExit: enough", 1),
    ("def f(scene, expressions:", r"plug-in .*f\.py cannot be loaded at line 1 of .*SyntaxError", 1),
    ("import nowhere_to_be_found\nf = 1", "cannot be loaded at line 1 of .*ModuleNotFoundError", 1),
    ("f = 5", "has no function 'f'", 2),
    ("def f(scene, expressions):\n    return []", "answer for each of the 3 expressions, not 0 of them", 1),
    ("def f(scene, expressions):\n    return None", "not NoneType", 1),
    ("def f(scene, expressions):\n    return [scene.image[..., 0] for _ in expressions]",
     r"bool \[H, W\] of the image's size, \[20, 30\], .*not uint8 \[20, 30\]", 1),
    ("def f(scene, expressions):\n    return [(scene.image > 1)[:5, :, 0] for _ in expressions]", r"bool \[5, 30\]", 1),
    ("from refdiff.baselines.registry import Choice\ndef f(scene, expressions):\n"
     "    return [Choice(scene.image[..., 0] > 1, 0, float('nan')) for _ in expressions]", "whose score .*nan", 1),
    ("def f(scene, expressions):\n    return []\nf.needs = ['sun']", "needs must be a list of some of", 2),
    ("def f(scene, expressions):\n    return []\nf.label = 5", "label of the method f", 2),
])
def test_what_is_wrong_with_a_method_is_one_sentence(data, tmp_path, body, words, status, capsys):
    (tmp_path / "f.py").write_text(body)
    assert main(["evaluate", str(data / "set.jsonl"), "--device", "cpu", "--method", f"{tmp_path / 'f.py'}:f", "--out",
                 str(tmp_path / "run")]) == status
    refused(capsys, words)


def test_names_of_methods_are_unique_and_a_failure_can_be_traced(data, tmp_path, monkeypatch, capsys):
    (tmp_path / "a.py").write_text("def cropping(scene, expressions):\n    pass\n"
                                   "def f(scene, expressions):\n    1 / 0\n")
    (tmp_path / "b.py").write_text("def f(scene, expressions):\n    pass\n")
    for names, words in ((["a.py:cropping"], "'cropping' is the name of a built-in"), (["a.py:f", "b.py:f"], "Two of"),
                         (["a.py"], "name the function"), (["absent.py:f"], "no file")):
        with pytest.raises(InputError, match=words):
            get_methods([str(tmp_path / name) for name in names])
    monkeypatch.setenv("REFDIFF_DEBUG", "1")
    with pytest.raises(Exception, match="line 4") as caught:
        main(["evaluate", str(data / "set.jsonl"), "--device", "cpu", "--method", f"{tmp_path / 'a.py'}:f", "--out",
              str(tmp_path / "run")])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


# Runs in parts


def without_times(run: Path) -> bytes:
    return re.sub(rb', "milliseconds": \{[^}]*\}', b"", (run / ROWS).read_bytes())


def test_shards_make_the_run_that_they_are_parts_of(data, whole, tmp_path, capsys):
    shards = [tmp_path / str(number) for number in (1, 2, 3)]
    for number, shard in enumerate(shards, 1):
        assert evaluate(data, shard, "--shard", f"{number}/3", method="half,by_seed") == 0
    lines = (shards[0] / ROWS).read_bytes().splitlines(keepends=True)
    (shards[0] / ROWS).write_bytes(b"".join(lines[:8]))  # as if it had been killed
    capsys.readouterr()
    assert main(["merge", str(tmp_path / "out"), *map(str, shards)]) == 2
    refused(capsys, r"hold \d\d answers, but the whole run has 36; start refdiff evaluate on each")
    assert evaluate(data, shards[0], "--shard", "1/3", method="half,by_seed") == 0
    assert len((shards[0] / ROWS).read_bytes().splitlines()) == len(lines)
    assert header(shards[1])["shard"] == "2/3"
    for _ in range(2):  # the second time over the first
        assert main(["merge", str(tmp_path / "out"), *map(str, [shards[2], shards[0], shards[1]])]) == 0
    assert (tmp_path / "out" / REPORT).read_bytes() == (whole / REPORT).read_bytes()
    assert without_times(tmp_path / "out") == without_times(whole) != b""
    assert evaluate(data, tmp_path / "out", method="half,by_seed") == 0  # nothing is left to do
    assert (tmp_path / "out" / REPORT).read_bytes() == (whole / REPORT).read_bytes()


def test_shards_that_do_not_belong_together_are_refused(data, whole, tmp_path, capsys):
    for name, shard, seed in (("1", "1/2", "0"), ("2", "2/2", "0"), ("other", "2/2", "3"), ("thirds", "2/3", "0")):
        assert evaluate(data, tmp_path / name, "--shard", shard, "--seed", seed) == 0
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / HEADER).write_bytes((tmp_path / "2" / HEADER).read_bytes())
    cases = {("1",): "Shard 2/2 is missing", ("1", "2", "1"): "are both shard 1/2", ("1", "thirds"): "same number",
             ("1", "other"): r"differ in settings \(seed\)", ("1", "unfinished"): "not finished",
             ("1", str(whole)): "without --shard"}
    for runs, words in cases.items():
        capsys.readouterr()
        assert main(["merge", str(tmp_path / "out"), *(str(tmp_path / run) for run in runs)]) == 2
        refused(capsys, words)
    assert not (tmp_path / "out").exists()
    assert main(["merge", str(tmp_path / "1"), str(tmp_path / "1"), str(tmp_path / "2")]) == 2
    refused(capsys, "holds a run that differs in shard")
    for shard in ("0/2", "3/2", "2", "1/2/3", "a/b", "1/99999"):
        assert evaluate(data, tmp_path / "x", "--shard", shard) == 2
        refused(capsys, "A shard is written as")
    assert evaluate(data, tmp_path / "x", "--shard", "8/8") == 2
    refused(capsys, "Shard 8/8 has no image")


def test_several_splits_and_a_limit(data, tmp_path, capsys):
    assert evaluate(data, tmp_path, "--split", "val,test", "--limit", "4") == 0
    table = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    assert table == [["split", "method", "expressions"], ["val", "half", "4"], ["test", "half", "3"]]
    assert [row["id"] for row in read_rows(tmp_path / "val")] == ["0-0", "0-1", "0-2", "1-0"]
    assert main(["tables", str(tmp_path / "val"), str(tmp_path / "test")]) == 0
    said = capsys.readouterr().out
    assert "| Method | set val | set test |" in said and "set val: the first 4 expressions, " in said
    assert main(["failures", str(tmp_path / "val"), "--method", "half", "--out", str(tmp_path / "page.html")]) == 0
    for split in ("val,nosuch", "val,../test", "val,"):
        assert evaluate(data, tmp_path / "x", "--split", split) == 2
    assert evaluate(data, tmp_path / "x", "--limit", "0") == 2 and not (tmp_path / "x").exists()


def test_several_seeds_have_a_mean_and_a_deviation(data, tmp_path, capsys):
    assert evaluate(data, tmp_path, "--seeds", "0,2,1", method="by_seed") == 0
    shown = capsys.readouterr().out
    runs = [tmp_path / f"seed-{seed}" for seed in (0, 1, 2)]
    found = [100 * json.loads((run / REPORT).read_text())["figures"]["by_seed"]["all"]["mIoU"] for run in runs]
    expected = f"{statistics.fmean(found):.2f} ± {statistics.stdev(found):.2f}"
    assert expected in shown and statistics.stdev(found) > 1
    assert main(["tables", *map(str, runs)]) == 0
    said = capsys.readouterr().out
    assert f"| by_seed | {expected} |" in said and "**set val, seed 2: gRefCOCO's metrics**" in said
    assert evaluate(data, tmp_path / "limited", "--seed", "5", "--limit", "4", method="by_seed") == 0
    capsys.readouterr()
    assert main(["tables", str(runs[0]), str(tmp_path / "limited")]) == 2  # not the same but for the seed
    refused(capsys, "Two runs, .*seed-0 and .*limited, measured by_seed on set val")
    for arguments in (["--seeds", "0,a"], ["--seeds", "0,-1"], ["--seeds", "0", "--seed", "1"],
                      ["--seeds", "0", "--set", "seed=1"]):
        assert evaluate(data, tmp_path / "x", *arguments) == 2 and not (tmp_path / "x").exists()


def test_what_is_made_of_an_unfinished_run_says_so(whole, tmp_path, capsys):
    part = tmp_path / "part"
    part.mkdir()
    (part / HEADER).write_bytes((whole / HEADER).read_bytes())
    (part / ROWS).write_bytes(b"".join((whole / ROWS).read_bytes().splitlines(keepends=True)[:6]))
    for command in (["rows", str(part), "--out", str(tmp_path / "rows.csv")],
                    ["failures", str(part), "--method", "half", "--out", str(tmp_path / "page.html")],
                    ["export", str(part), "--to", "coco", "--method", "half", "--out", str(tmp_path / "coco.json")]):
        assert main(command) == 0 and "not finished" in capsys.readouterr().err
    assert main(["rows", str(whole), "--out", str(tmp_path / "rows.csv")]) == 0 and not capsys.readouterr().err


def test_a_bootstrap_over_few_images_says_so(whole, capsys):
    assert main(["tables", str(whole), "--paired"]) == 0
    assert "fewer than 20 images" in capsys.readouterr().out


def test_pairs_are_compared_over_what_both_answered(data, whole, tmp_path, capsys):
    for name, arguments, method in (("few", ["--limit", "9"], "nothing"), ("test", ["--split", "test"], "half")):
        assert evaluate(data, tmp_path / name, *arguments, method=method) == 0
    capsys.readouterr()
    assert main(["tables", str(whole), str(tmp_path / "few"), "--paired", "--format", "csv"]) == 0
    head, *lines = (line.split(",") for line in capsys.readouterr().out.splitlines())
    rows = [dict(zip(head, line, strict=True)) for line in lines]
    assert [(row["first_method"], row["second_method"], row["expressions"], row["images"]) for row in rows] == [
        ("Left half", "by_seed", "14", "5"), ("Left half", "nothing", "8", "3"), ("by_seed", "nothing", "8", "3")]
    overlaps = {row["id"]: row["iou"] for row in read_rows(whole) if row.get("method") == "half"}
    both = [row["id"] for row in read_rows(tmp_path / "few") if "iou" in row]
    assert float(rows[1]["mIoU"]) == pytest.approx(100 * statistics.fmean(overlaps[each] for each in both), abs=1e-3)
    assert float(rows[1]["p_holm"]) >= float(rows[1]["p"])
    assert main(["tables", str(whole), str(tmp_path / "few"), "--paired"]) == 0
    assert re.search(r"whole and \S+few have 8 of 14 and 8 expressions in common", capsys.readouterr().out)
    assert main(["tables", str(tmp_path / "few"), str(tmp_path / "test"), "--paired"]) == 2
    refused(capsys, "have none of 8 and 3 expressions in common.*; nothing can be compared")


def test_rows_are_a_table_that_pandas_reads(whole, tmp_path, capsys):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    pytest.importorskip("pyarrow", reason="the extra refdiff[parquet] is not installed")
    rows = list(read_rows(whole))
    for name, read in (("rows.csv", pandas.read_csv), ("rows.parquet", pandas.read_parquet)):
        assert main(["rows", str(whole), "--out", str(tmp_path / name)]) == 0
        frame = read(tmp_path / name)
        assert len(frame) == len(rows) and list(frame["id"]) == [row["id"] for row in rows]
        answers = frame[frame["method"] == "by_seed"]
        expected = [row for row in rows if row.get("method") == "by_seed"]
        assert np.allclose(answers["iou"], [row["iou"] for row in expected])
        assert np.allclose(answers["parts.width"], 0.3) and set(answers["found"]) == {True}
        assert list(answers["rle.counts"]) == [row["rle"]["counts"] for row in expected]
        assert frame["fault"].notna().sum() == 4 and frame["intersection"].sum() == sum(
            row.get("intersection", 0) for row in rows)
    assert main(["rows", str(whole), "--out", str(tmp_path / "rows.xlsx")]) == 2
    refused(capsys, "must end in .csv or .parquet")
    sys.modules["pyarrow"], kept = None, sys.modules["pyarrow"]
    try:
        assert main(["rows", str(whole), "--out", str(tmp_path / "other.parquet")]) == 2
    finally:
        sys.modules["pyarrow"] = kept
    refused(capsys, r"refdiff\[parquet\]")


@pytest.mark.parametrize("arguments, targets", [
    ([], "one"), (["--set", "targets=any"], "any"), (["--targets", "any"], "any"),
    (["--targets", "one", "--set", "targets=any"], "one")])
def test_targets_that_are_asked_for_win_over_those_of_the_data(model, data, tmp_path, monkeypatch, arguments, targets):
    from refdiff import datasets

    opened = datasets.open_dataset

    def one_target(*given):
        found = opened(*given)
        object.__setattr__(found, "one_target", True)
        return found

    monkeypatch.setattr(datasets, "open_dataset", one_target)
    assert evaluate(data, tmp_path / "run", "--limit", "1", *arguments) == 0
    assert header(tmp_path / "run")["settings"]["targets"] == targets
    assert RefDiff.from_pretrained("mini", "cpu").settings.query.targets == "any"  # which is what mini has of its own
