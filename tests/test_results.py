"""What a researcher gets from runs: rows, breakdowns, LaTeX, sheets, acceptance."""

import io
import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT
from refdiff import InputError
from refdiff.baselines.registry import METHODS, OWN, Choice, Method
from refdiff.cli.main import main
from refdiff.core.drawing import heat_overlay
from refdiff.core.figures import Figure, Panel, as_html, as_image, as_pdf, at_print_size
from refdiff.core.masks import from_rle, iou_matrix, ious, to_rle
from refdiff.core.proposals import Proposals
from refdiff.datasets import open_dataset
from refdiff.evaluation import accept, paper, rows_folder, run_folder, runner
from refdiff.evaluation.breakdowns import BREAKDOWNS, object_size
from refdiff.evaluation.maps import Maps
from refdiff.evaluation.metrics import Overlap, summary
from refdiff.evaluation.render import render
from refdiff.evaluation.report import ALL
from refdiff.evaluation.run_tables import run_tables
from refdiff.evaluation.sheets import make_sheet, picked_places
from refdiff.evaluation.tables import Run, Table, paper_tables

SCENES = ROOT / "benchmarks" / "scenes"
HARD = r"a&b_50% #1 $x {y} ~z^2 C:\new <|> [s] *é"


def reversing(scene, texts):
    """Ranks the proposals from the last to the first, the largest of them ruled out, and takes the first of its
    order."""
    proposals = scene.proposals()
    largest = int(proposals.areas.argmax())
    order = tuple(i for i in reversed(range(len(proposals.masks))) if i != largest)
    return [Choice(proposals.masks[order[0]], order[0], 0.5, order=order) for _ in texts]


def own_masks(scene, texts):
    """Ranks two masks of its own: the left half, then the whole image."""
    masks = np.zeros((2, *scene.size), bool)
    masks[0, :, : scene.size[1] // 2], masks[1] = True, True
    return [Choice(masks[0], 0, 0.5, order=(0, 1), among=masks) for _ in texts]


STAND_INS = (Method("sam-clip", "Reversing", reversing, ("sam",)), Method("ref-diff/g", "Halves", own_masks, ()),
             Method("ref-diff", "Unranked", lambda scene, texts: [
                 Choice(np.ones(scene.size, bool), 0, 0.5) for _ in texts], ()))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four images of the scenes benchmark in their own folder, and four proposals for each: three quarters and the
    first expression's truth."""
    folder = tmp_path_factory.mktemp("results") / "data"
    (folder / "images").mkdir(parents=True)
    refs = json.loads((SCENES / "refs(refdiff).json").read_text())
    wanted = sorted({ref["image_id"] for ref in refs if ref["split"] == "val"})[:4]
    (folder / "refs(refdiff).json").write_text(json.dumps([ref for ref in refs if ref["image_id"] in wanted]))
    shutil.copy(SCENES / "instances.json", folder)
    proposals = {}
    whole = open_dataset(SCENES, "val")
    for reference in whole.references:
        if len(proposals) == 4 and reference.image.name not in proposals:
            break
        shutil.copy(reference.image, folder / "images")
        quarters = np.zeros((3, *reference.size), bool)
        for i in range(3):
            quarters[i, :, : reference.size[1] * (i + 1) // 4] = True
        proposals.setdefault(reference.image.name, [*map(to_rle, quarters), to_rle(reference.mask)])
    (folder / "proposals.json").write_text(json.dumps(proposals))
    return folder


@pytest.fixture(scope="module")
def run(model, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "first"
    runner.evaluate(model, open_dataset(data), STAND_INS, out, data / "proposals.json")
    return out


def rows(run, method: str) -> list[dict]:
    return [row for row in run_folder.read_rows(run) if row.get("method") == method]


def test_ious_agree_with_the_matrix():
    rng = np.random.default_rng(0)
    masks = rng.random((6, 20, 30)) < 0.3
    masks[0] = False
    for mask in (masks[1], masks[0], np.ones((20, 30), bool), np.eye(20, 30, dtype=bool)):
        assert ious(masks, mask) == pytest.approx(iou_matrix(masks, mask[None])[:, 0])


def test_rows_hold_the_upper_bound_and_the_rank_of_the_best_proposal(run, data):
    proposals = json.loads((data / "proposals.json").read_text())
    truths = {each.id: each.mask for each in open_dataset(data).references}
    ranks = []
    for row in rows(run, "sam-clip"):
        masks = np.stack([from_rle(each) for each in proposals[row["image"]]])
        overlaps = iou_matrix(masks, truths[row["id"]][None])[:, 0]
        best, largest = int(overlaps.argmax()), int(masks.sum((1, 2)).argmax())
        assert row["upper_bound"] == pytest.approx(overlaps.max()) and row["upper_bound"] >= row["iou"]
        order = [i for i in (3, 2, 1, 0) if i != largest]
        assert row["rank"] == (order.index(best) + 1 if best != largest else None)
        ranks.append(row["rank"])
    assert 1 in ranks and len(set(ranks)) > 1
    for row in rows(run, "ref-diff/g"):
        assert row["upper_bound"] >= row["area"] / truths[row["id"]].size - 1e-9 and row["rank"] in (1, 2)
    assert {(row["upper_bound"], row["rank"]) for row in rows(run, "ref-diff")} == {(None, None)}


def test_every_method_ranks_what_it_chooses_first(model):
    """An order of what can win, the choice first; of the same proposals but for Eq. 8's own."""
    reference = open_dataset(SCENES, "val").references[0]
    halves = np.zeros((3, *reference.size), bool)
    halves[0, :, : reference.size[1] // 2], halves[1] = True, reference.mask
    halves[2] = ~halves[0]
    scene = model.encode(reference.image, proposals=Proposals.of(halves, "given"))
    for method in (METHODS[name] for name in OWN if name != "tseg"):  # which has no proposals
        choice = method(scene, [reference.expression])[0]
        masks = scene.proposals().masks if choice.among is None else choice.among
        assert sorted(choice.order) == list(range(len(masks))), method.name
        assert (masks[choice.order[0]] == choice.mask).all(), method.name
    assert METHODS["ref-diff/g"](scene, [reference.expression])[0].among is not None


@pytest.mark.parametrize("name, split", [("scenes", "testB"), ("said", "report")])
def test_look_alikes_agree_with_counting_annotations(name, split):
    folder = ROOT / "benchmarks" / name
    annotations = json.loads((folder / "instances.json").read_text())["annotations"]
    meant = {}
    for ref in json.loads(next(folder.glob("*refs(*).json")).read_text()):
        ids = ref["ann_id"] if isinstance(ref["ann_id"], list) else [ref["ann_id"]]
        meant |= {sentence["sent_id"]: ids for sentence in ref["sentences"]}
    by_id = {each["id"]: each for each in annotations}
    counted = []
    for reference in open_dataset(folder, split).references[:300]:
        ids = meant[reference.id]
        if ids == [-1]:
            assert reference.look_alikes is None
            continue
        kinds = {(by_id[id]["image_id"], by_id[id]["category_id"]) for id in ids}
        counted.append(sum((each["image_id"], each["category_id"]) in kinds and each["id"] not in ids
                           for each in annotations))
        assert reference.look_alikes == counted[-1]
    assert len(set(counted)) > 1


def test_breakdowns_agree_with_counting_rows(run):
    assert [object_size(area) for area in (0, 1, 1023, 1024, 9215, 9216)] == [
        None, "small", "small", "medium", "medium", "large"]
    assert BREAKDOWNS["look_alikes"].group({"look_alikes": None}) is None
    assert [BREAKDOWNS["look_alikes"].group({"look_alikes": n}) for n in (0, 2, 3, 5, 6, 99)] == [
        "0", "2", "3-5", "3-5", "6 or more", "6 or more"]
    assert [BREAKDOWNS["lengths"].group({"expression": "a " * n}) for n in (1, 2, 3, 4, 5, 7, 8, 30)] == [
        f"{name} words" for name in ("1-2", "1-2", "3-4", "3-4", "5-7", "5-7", "8 or more", "8 or more")]
    report = json.loads((run / run_folder.REPORT).read_text())
    found = rows(run, "sam-clip")
    text = render(run_tables([Run.read(run)]), "markdown")
    for name, key in (("sizes", "object_size"), ("look_alikes", "look_alikes")):
        for group, figures in report[name]["sam-clip"].items():
            members = [row for row in found if str(row[key]) == group]
            assert figures["mIoU"] == pytest.approx(np.mean([row["iou"] for row in members]))
            assert len(report[name]["sam-clip"]) == 1 or f"{group} {len(members)}" in text
    proposals = report["proposals"]["sam-clip"]
    assert proposals["upper_bound"] == pytest.approx(np.mean([row["upper_bound"] for row in found]))
    assert proposals["first"] == pytest.approx(np.mean([row["rank"] == 1 for row in found]))
    assert proposals["ranked"] == pytest.approx(np.mean([row["rank"] is not None for row in found]))
    assert "ref-diff" not in report["proposals"]
    assert "| Method | mIoU | upper bound | first | among 5 | ranked |" in text


def test_rows_of_older_runs_are_read(run, tmp_path):
    lines = [json.loads(line) for line in (run / rows_folder.ROWS).read_text().splitlines()]
    new = ("upper_bound", "rank", "object_size", "look_alikes")
    (tmp_path / rows_folder.HEADER).write_bytes((run / rows_folder.HEADER).read_bytes())
    (tmp_path / rows_folder.ROWS).write_text("".join(
        json.dumps({key: value for key, value in row.items() if key not in new}) + "\n" for row in lines))
    assert len(list(run_folder.read_rows(tmp_path))) == len(lines)
    (tmp_path / rows_folder.ROWS).write_text(json.dumps(lines[0] | {"upper_bound": 1.5}) + "\n")
    with pytest.raises(InputError, match="Line 1"):
        list(run_folder.read_rows(tmp_path))


def hard_tables(run) -> tuple[list[Table], list[Run]]:
    """The paper's tables and those of a run whose names hold all that is special to LaTeX."""
    report = json.loads((run / run_folder.REPORT).read_text())
    for part in ("figures", *BREAKDOWNS, "proposals"):
        report[part][HARD] = report[part]["sam-clip"]
    hard = Run(HARD, HARD, report, run)
    return [*paper_tables([hard]), *run_tables([hard])], [hard]


def test_latex_escapes_what_is_special(run):
    tables, runs = hard_tables(run)
    text = render(tables, "latex", runs)
    assert (r"a\&b\_50\% \#1 \$x \{y\} \textasciitilde{}z\textasciicircum{}2 C:\textbackslash{}new "
            r"\textless{}\textbar{}\textgreater{} {[}s] {*}é") in text


def test_latex_compiles(run, tmp_path):
    if not shutil.which("pdflatex"):
        pytest.skip("no pdflatex on PATH; on Debian, apt-get install texlive-latex-base")
    tables, runs = hard_tables(run)
    text = render(tables, "latex", runs)
    for package in ("", r"\usepackage{graphicx}"):
        (tmp_path / "tables.tex").write_text(
            rf"\documentclass{{article}}{package}\extrafloats{{200}}\begin{{document}}{text}\end{{document}}", "utf-8")
        done = subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape",
                               "tables.tex"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout[-2000:]
        too_wide = re.findall(r"Overfull \\hbox \((\d+)", done.stdout)
        assert not package or not any(int(points) > 10 for points in too_wide)
    pypdf = pytest.importorskip("pypdf")
    said = " ".join("".join(page.extract_text() for page in pypdf.PdfReader(tmp_path / "tables.pdf").pages).split())
    assert "35.16" in said and "p < 0.01" in said and "C:\\new" in said


def test_examples_are_picked_as_asked():
    values = np.array([[0.2, 0.4], [0.9, 0.9], [0.0, 0.9], [0.2, 0.4], [1.0, 0.6]])
    assert picked_places(values, "worst", 3, 0) == [0, 3, 2]
    assert picked_places(values, "best", 2, 0) == [1, 4]
    assert picked_places(values, "differ", 2, 0) == [2, 4]
    assert picked_places(values, "random", 5, 1) == picked_places(values, "random", 5, 1)
    assert sorted(picked_places(values, "random", 9, 1)) == [0, 1, 2, 3, 4]
    drawn = Counter(picked_places(values, "random", 1, seed)[0] for seed in range(200))
    assert set(drawn) == {0, 1, 2, 3, 4}


def test_a_sheet_shows_masks_of_methods_and_runs(run, model, data, tmp_path, capsys):
    second = tmp_path / "second"
    runner.evaluate(model, open_dataset(data), STAND_INS[:1], second, data / "proposals.json")
    sheet = make_sheet([run, second], None, "differ", 2)
    assert [column.label for column in sheet.columns] == [
        "Reversing, run 1", "Halves", "Unranked", "Reversing, run 2"]
    figure = next(sheet.figures(100))
    assert [panel.label for panel in figure.panels] == ["Image", "Truth", *(each.label for each in sheet.columns)]
    row = sheet.columns[0].rows[sheet.picked[0]]
    assert figure.panels[2].note.startswith(f"IoU {row['iou']:.3f}, best {row['upper_bound']:.3f}")
    blue = np.asarray(figure.panels[2].picture).astype(int)
    inside = at_print_size(from_rle(row["rle"]), 100)
    assert (blue[inside, 2] - blue[inside, 0]).mean() > (blue[~inside, 2] - blue[~inside, 0]).mean() + 20
    out = tmp_path / "sheet.pdf"
    assert main(["sheet", str(run), "--count", "3", "--pick", "random", "--out", str(out)]) == 0
    pypdf = pytest.importorskip("pypdf")
    pages = pypdf.PdfReader(out).pages
    assert len(pages) == 3 and all(len(page.images) == 5 for page in pages)
    text = pages[0].extract_text()
    assert "Halves" in text and "IoU " in text and "Truth" in text
    assert main(["sheet", str(run), "--count", "1", "--maps", "--out", str(tmp_path / "sheet.html")]) == 0
    page = (tmp_path / "sheet.html").read_text()
    assert page.count("<section>") == 1 and page.count('class="bar"') == 1 and page.count("Correlation map<br>") == 1


def test_maps_are_the_runs_own_and_refused_of_another_bundle(run, model, data):
    header = run_folder.read_header(run)
    reference = open_dataset(data).references[0]
    image = np.asarray(Image.open(reference.image).convert("RGB"))
    found = Maps([header, header]).of(reference.expression, image)
    assert list(found) == [""]
    own = model.encode(image).correlation_maps([reference.expression])[0]
    assert np.abs(found[""] - own).max() < 1e-5
    other = header | {"settings": header["settings"] | {"seed": 5}}
    several = Maps([header, other, header]).of(reference.expression, image)
    assert list(several) == ["run 1, 3", "run 2"] and (several["run 2"] != several["run 1, 3"]).any()
    with pytest.raises(InputError, match="not the one of the run"):
        Maps([header | {"bundle": {"name": "mini", "fingerprint": "0" * 16}}])


def test_a_figure_is_the_same_at_every_resolution_and_in_pdf():
    photo = np.linspace(0, 255, 90 * 120 * 3).reshape(90, 120, 3).astype(np.uint8)
    values = np.linspace(0, 1, 120, dtype=np.float32)[None].repeat(90, 0)
    panels = [Panel("first & “second” <b>", Image.fromarray(photo), "note é"),
              Panel("map", heat_overlay(photo, values), bar=True)]
    figure = Figure(panels, "A title 漢字 " + "long " * 80)
    small, large = as_image(figure, 72), as_image(figure, 288)
    assert large.width == pytest.approx(4 * small.width, abs=4) and small.width == 2 * 120 + 8 + 2 * 6
    shrunk = large.resize(small.size, Image.Resampling.BOX).convert("L")
    assert np.abs(np.asarray(shrunk, float) - np.asarray(small.convert("L"), float)).mean() < 6
    # the bar has the colours that the map has over medium grey
    bar = [np.asarray(large)[y, x] for y in range(large.height - 60, large.height - 40)
           for x in ((6 + 128 + 1) * 4, (6 + 128 + 119) * 4)]
    ends = [np.asarray(heat_overlay(np.full((1, 1, 3), 128, np.uint8), np.full((1, 1), value)))[0, 0]
            for value in (0.01, 0.99)]
    assert all(any(np.abs(each.astype(int) - end).max() < 12 for each in bar) for end in ends)
    pdf = as_pdf([figure, Figure([], "nothing to see")], "title")
    assert pdf == as_pdf([figure, Figure([], "nothing to see")], "title")  # the same bytes
    pypdf = pytest.importorskip("pypdf")
    first, second = pypdf.PdfReader(io.BytesIO(pdf)).pages
    assert "first & “second” <b>" in first.extract_text() and "note é" in first.extract_text()
    assert "nothing to see" in second.extract_text()
    fonts = [each.get_object() for each in first["/Resources"]["/Font"].values()]
    assert all("/FontFile2" in font["/FontDescriptor"] for font in fonts)
    page = "".join(as_html([figure], "t <i>", "s"))
    assert "first &amp; “second” &lt;b&gt;" in page and "<b>" not in page and "<i>" not in page


def test_compare_as_pdf(image_file, tmp_path, capsys):
    half = np.zeros((96, 144), bool)
    half[:, :72] = True
    (tmp_path / "proposals.json").write_text(json.dumps([to_rle(half), to_rle(~half)]))
    assert main(["compare", str(image_file), "the ball", "--device", "cpu", "--proposals",
                 str(tmp_path / "proposals.json"), "--out", str(tmp_path / "sheet.pdf"), "--dpi", "300"]) == 0
    (page,) = pytest.importorskip("pypdf").PdfReader(tmp_path / "sheet.pdf").pages
    text = page.extract_text()
    assert all(METHODS[name].label in text for name in OWN) and "Correlation map" in text and "0.5" in text
    assert min(image.image.width for image in page.images if image.image.height > 1) == 500  # 120 pt at 300 dpi


# Acceptance


@pytest.fixture
def stand_in(tmp_path):
    """300 images of 20 x 20 px, two or four expressions each, called RefCOCO val; the truth is the first rows of an
    image, as many as its expression's number says."""
    lines = []
    for image in range(300):
        Image.new("RGB", (20, 20)).save(tmp_path / f"{image}.png")
        for number in range(2 + 2 * (image % 2)):
            truth = np.zeros((20, 20), bool)
            truth[: 5 + number] = True
            lines.append(json.dumps({"id": f"{image}-{number}", "image": f"{image}.png", "segmentation": to_rle(truth),
                                     "expression": f"{5 + number} rows"}))
    (tmp_path / "refs(unc).jsonl").write_text("\n".join(lines))
    return tmp_path


def answering(share: float) -> Method:
    """Answers about `share` of the expressions with their truth, the others with its first row."""
    def call(scene, texts):
        choices = []
        for text in texts:
            mask = np.zeros(scene.size, bool)
            mask[: int(text.split()[0]) if scene.kept.get("rng", lambda: next(rng)) < share else 1] = True
            choices.append(Choice(mask, 0, 0.5))
        return choices

    rng = iter(np.random.default_rng(3).random(10_000))
    return Method("ref-diff", "Ref-Diff", call, ())


def test_the_sample_is_even_and_does_not_depend_on_the_order_of_files(stand_in):
    whole = open_dataset(stand_in / "refs(unc).jsonl", name="RefCOCO")
    part = accept.sample(whole, [METHODS["ref-diff"]])
    assert len(part.references) == accept.EXPRESSIONS
    per_image = Counter(each.image for each in part.references)
    assert max(per_image.values()) == 1 and len(per_image) == 200  # 900 expressions: every 4.5th of the list
    turned = accept.sample(replace(whole, references=whole.references[::-1]), [METHODS["ref-diff"]])
    assert {each.id for each in turned.references} == {each.id for each in part.references}
    # images with four expressions are taken about twice as often as those with two
    assert 0.55 < np.mean([int(each.image.stem) % 2 for each in part.references]) < 0.78
    few = replace(whole, references=whole.references[:7])
    assert accept.sample(few, [METHODS["ref-diff"]]).references == few.references
    for other, method in ((replace(whole, split="train"), "ref-diff"), (replace(whole, name="mine"), "ref-diff"),
                          (replace(whole, split="testA"), "ref-diff/g")):
        with pytest.raises(InputError, match="The paper has no figures of"):
            accept.sample(other, [METHODS[method]])


def test_the_interval_is_the_bootstrap_over_images():
    rng = np.random.default_rng(0)
    images = [[Overlap(int(both), int(both + other), int(both + 1))
               for both, other in rng.integers(1, 100, (rng.integers(1, 5), 2))] for _ in range(60)]
    for metric, parts in accept._STATISTICS.items():
        measured, low, high = accept.interval(images, parts)
        assert measured == pytest.approx(summary([each for image in images for each in image])[metric])
        drawn = []
        for _ in range(2000):
            picked = [images[i] for i in rng.integers(0, 60, 60)]
            drawn.append(summary([each for image in picked for each in image])[metric])
        width = np.subtract(*np.quantile(drawn, (0.975, 0.025)))
        assert (low, high) == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))), abs=0.08 * width)
    single = [[image[0]] for image in images]
    fourfold = [image * 4 for image in single]  # four times the same says nothing more
    assert accept.interval(fourfold, accept._mean_iou) == pytest.approx(accept.interval(single, accept._mean_iou))
    assert accept.interval([[each] for image in fourfold for each in image], accept._mean_iou)[1] > (
        accept.interval(single, accept._mean_iou)[1])
    assert accept.interval([], accept._mean_iou) == (0, 0, 0)


def test_the_papers_figures_by_method_and_split():
    assert paper.figures("ref-diff", paper.column("refcoco", "refs(unc)", "val")) == {"oIoU": 35.16, "mIoU": 37.21}
    val_g = paper.column("refcocog", "refs(google)", "val")
    phrasecut = paper.column("VGPhraseCut_v0", "refer_test", "test")
    assert paper.figures("global-local", val_g) == {"oIoU": 30.69, "mIoU": 33.61}
    assert paper.figures("ref-diff", phrasecut) == {"oIoU": 29.42, "mIoU": 41.75}
    assert paper.figures("ref-diff/g", paper.column("RefCOCO", "refs(unc)", "testA")) == {}


def test_acceptance_says_whether_the_papers_figures_lie_within(stand_in, monkeypatch, capsys):
    monkeypatch.setattr(rows_folder.os, "fsync", lambda file: None)  # half the time of 400 images that small
    data = str(stand_in / "refs(unc).jsonl")
    command = ["evaluate", data, "--name", "RefCOCO", "--accept", "--device", "cpu", "--out"]
    for share, status in ((0.24, 0), (0.6, 1)):
        monkeypatch.setitem(METHODS, "ref-diff", answering(share))
        out = stand_in / str(share)
        assert main([*command, str(out)]) == status
        said = capsys.readouterr().out
        assert said.rstrip().endswith("not accepted" if status else "\naccepted")
        report = json.loads((out / run_folder.REPORT).read_text())
        found = report["acceptance"]
        assert found["accepted"] is (status == 0) and found["images"] == 200
        assert report["figures"]["ref-diff"][ALL]["expressions"] == 200
        for metric, figure in (("oIoU", 0.3516), ("mIoU", 0.3721)):
            each = found["figures"]["ref-diff"][metric]
            assert each["paper"] == pytest.approx(figure)
            assert each["measured"] == pytest.approx(report["figures"]["ref-diff"][ALL][metric])
            assert each["low"] < each["measured"] < each["high"]
            assert each["within"] is (each["low"] <= figure <= each["high"]) is (status == 0)
            assert f"{100 * figure:.2f}" in said
        sheet = make_sheet([out], None, "worst", 5)  # whose dataset is a part of the file's
        assert len(sheet.picked) == 5
        before = (out / run_folder.REPORT).read_bytes()
        assert main([*command, str(out)]) == status and (out / run_folder.REPORT).read_bytes() == before
        capsys.readouterr()
    for path in stand_in.glob("*.png"):
        path.unlink()
    assert main(["sheet", str(out), "--out", str(stand_in / "all.html")]) == 2
    assert "has changed since the run" in capsys.readouterr().err


@pytest.mark.parametrize("arguments, words", [
    (["sheet", "{run}", "--method", "magic"], "no method 'magic'"),
    (["sheet", "{run}", "--method", "ref-diff", "--pick", "differ"], "two or more"),
    (["sheet", "{run}", "--count", "0"], "from 1 to 10,000"),
    (["sheet", "{run}", "--seed", "-1"], "--seed"),
    (["sheet", "{run}", "--out", "{tmp}/sheet.docx"], ".html or .pdf"),
    (["sheet", "{run}", "{tmp}"], "holds no run"),
    (["compare", "{tmp}/absent.png", "a cat", "--dpi", "10"], "--dpi must be from 72"),
    (["evaluate", "{data}", "--accept", "--out", "{tmp}/run"], "The paper has no figures of ref-diff on data"),
])
def test_wrong_use_is_one_sentence(run, data, tmp_path, arguments, words, capsys):
    filled = [argument.format(run=run, data=data, tmp=tmp_path) for argument in arguments]
    assert main(filled) == 2
    error = capsys.readouterr().err
    assert words in error and len(error.splitlines()) == 1
