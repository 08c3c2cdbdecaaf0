"""Answers in the formats of other tools, each read back by the tool's own library."""

import base64
import csv
import io
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from pycocotools.coco import COCO
from scipy import ndimage

from conftest import ROOT
from refdiff import InputError
from refdiff.baselines.registry import Choice, Method
from refdiff.cli.main import main
from refdiff.core.masks import to_rle
from refdiff.core.outlines import to_polygon, to_polygons
from refdiff.datasets import open_dataset
from refdiff.evaluation import runner
from refdiff.output import label_studio_backend
from refdiff.output.batch import batch
from refdiff.output.coco import to_coco, write_coco
from refdiff.output.label_studio import brush_rle, write_label_studio
from refdiff.output.png import write_png
from refdiff.output.source import Answer, AnsweredImage, Source, Thing, file_names, read_source
from refdiff.output.yolo import write_yolo

NAMES = ("the cat: \"on\" the left", "löwe, 猫 & 'dog'", "no")


def ring(height: int, width: int) -> np.ndarray:
    """A part with two holes, one below the other, and a speck in a hole."""
    mask = np.zeros((height, width), bool)
    mask[2:-1, 3:-4] = True
    mask[4:9, 6:12] = mask[11:15, 5:14] = False
    mask[12, 8] = True
    return mask


@pytest.fixture
def masks() -> list[np.ndarray]:
    """Of an image of 40x31: with holes and a speck, in one part, at the border, one pixel wide."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(3).random((31, 40)), 2) > 0.52
    labels, _ = ndimage.label(smooth)
    thin = np.zeros((31, 40), bool)
    thin[30, 5:40] = True
    return [ring(31, 40), labels == np.bincount(labels.ravel())[1:].argmax() + 1, smooth, thin]


@pytest.fixture
def source(masks) -> Source:
    """Two images: three expressions about the first, the second of which means two things and the third nothing."""
    first, *others = masks
    answers = (
        Answer("1.1", NAMES[0], to_rle(first), 0.75, 0.5, (Thing(to_rle(first), 0.75, 0.5),)),
        Answer("1.2", NAMES[1], to_rle(np.any(others, 0)), 2.5, None, tuple(
            Thing(to_rle(mask), score, None) for mask, score in zip(others, (2.5, 1.5, 0.5), strict=True))),
        Answer("1.3", NAMES[2], to_rle(first & False), 0.1, None, ()))
    nothing = Answer(2, NAMES[2], to_rle(np.zeros((20, 30), bool)), 0.2, None, ())
    images = AnsweredImage("a b.png", (31, 40), answers), AnsweredImage("b.png", (20, 30), (nothing,))
    return Source(images, 0, "mini")


@pytest.mark.parametrize("seed", range(6))
def test_polygons_are_the_masks_to_the_pixel(seed):
    rng = np.random.default_rng(seed)
    for _ in range(30):
        height, width = rng.integers(1, 26, 2)
        mask = rng.random((height, width)) < rng.random()
        if seed % 2:
            mask = ndimage.gaussian_filter(rng.random((height + 20, width + 20)), 2) > 0.5
        parts = to_polygons(mask)
        assert len(parts) == ndimage.label(mask)[1] and all(len(part) >= 4 for part in parts)
        drawn = coco.decode(coco.merge(coco.frPyObjects([part.ravel().tolist() for part in parts], *mask.shape))
                            ) if parts else np.zeros(mask.shape)
        assert np.array_equal(drawn, mask)
        polygon = to_polygon(mask)  # through the centres of pixels that are inside, but for the lines between parts
        assert {(x, y) for x, y in np.floor(polygon).astype(int).tolist()} <= {(x, y) for y, x in np.argwhere(mask)}


@pytest.mark.parametrize("polygons", [False, True])
def test_coco_as_pycocotools_reads_it(source, masks, polygons, tmp_path, capsys):
    write_coco(source, tmp_path / "coco.json", polygons)
    read = COCO(tmp_path / "coco.json")
    assert [each["name"] for each in read.loadCats(read.getCatIds())] == list(NAMES)
    assert [(each["file_name"], each["width"], each["height"]) for each in read.loadImgs(read.getImgIds())] == [
        ("a b.png", 40, 31), ("b.png", 30, 20)]
    found = read.loadAnns(read.getAnnIds(imgIds=[1]))
    assert len(found) == len(masks) == len(read.loadAnns(read.getAnnIds())) and not read.getAnnIds(catIds=[3])
    for annotation, mask in zip(found, masks, strict=True):
        assert np.array_equal(read.annToMask(annotation), mask) and annotation["area"] == mask.sum()
        assert isinstance(annotation["segmentation"], list) == polygons
        left, top, width, height = annotation["bbox"]
        assert mask[top : top + height, left : left + width].sum() == mask.sum()
        assert mask[top].any() and mask[:, left].any() and not annotation["iscrowd"]
    assert [(each["expression"], each["expression_id"], each["score"], each.get("confidence")) for each in found] == [
        (NAMES[0], "1.1", 0.75, 0.5), *((NAMES[1], "1.2", score, None) for score in (2.5, 1.5, 0.5))]
    detections = read.loadRes(found)  # what evaluators of detections read
    assert len(detections.getAnnIds()) == 4


def test_yolo_as_supervision_reads_it(source, masks, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it does without OpenCV
        supervision = pytest.importorskip("supervision")
    write_yolo(source, tmp_path / "yolo")
    (tmp_path / "yolo" / "images").mkdir()
    for image in source.images:
        Image.new("RGB", image.size[::-1]).save(tmp_path / "yolo" / "images" / image.name)
    read = supervision.DetectionDataset.from_yolo(
        *(str(tmp_path / "yolo" / name) for name in ("images", "labels", "data.yaml")), force_masks=True)
    assert read.classes == list(NAMES)
    found = {path.rpartition("/")[2]: detections for path, _, detections in read}
    assert found["a b.png"].class_id.tolist() == [0, 1, 1, 1] and len(found["b.png"]) == 0
    for drawn, mask in zip(found["a b.png"].mask, masks, strict=True):
        parts = ndimage.label(mask)[1]
        assert not (mask & ~drawn).any() and (parts > 1 or np.array_equal(drawn, mask))
        assert drawn.sum() <= mask.sum() + 12 * (parts - 1)  # lines between parts


def test_label_studio_as_its_own_converter_reads_it(source, masks, tmp_path):
    brush = pytest.importorskip("label_studio_converter.brush")
    config = pytest.importorskip("label_studio_tools.core.label_config")
    write_label_studio(source, tmp_path / "tasks")
    interface = config.parse_config((tmp_path / "tasks" / "label_config.xml").read_text("utf-8"))
    assert list(interface["label"]["labels"]) == list(NAMES)
    assert [each["value"] for each in interface["label"]["inputs"]] == ["image"]
    first, second = json.loads((tmp_path / "tasks" / "tasks.json").read_text())
    assert first["data"] == {"image": "/data/local-files/?d=a%20b.png"}
    prediction, = first["predictions"]
    assert [each["score"] for each in prediction["result"]] == [0.75, 2.5, 1.5, 0.5] and prediction["score"] == 0.5
    assert second["predictions"][0]["result"] == [] and "mini" in prediction["model_version"]
    assert len({each["id"] for each in prediction["result"]}) == 4
    layers = brush.decode_from_annotation("label", [
        {**each, **each["value"]} for each in prediction["result"]])  # as its converter hands them on
    assert [name.rpartition("-")[0] for name in layers] == [f"label-{name}" for name in (NAMES[0], *[NAMES[1]] * 3)]
    for layer, mask in zip(layers.values(), masks, strict=True):
        assert np.array_equal(layer, mask * 255)
    long = np.zeros((200, 300), bool)  # a run of over 2^16 values
    long[100:] = True
    values = brush.decode_rle(brush_rle(long)).reshape(200, 300, 4)
    assert (values == long[..., None] * 255).all()


def test_png_masks_and_their_list(source, masks, tmp_path):
    write_png(source, tmp_path / "png")
    with (tmp_path / "png" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["id"], row["expression"], row["found"], row["things"]) for row in rows] == [
        ("a b.png", "1.1", NAMES[0], "True", "1"), ("a b.png", "1.2", NAMES[1], "True", "3"),
        ("a b.png", "1.3", NAMES[2], "False", "0"), ("b.png", "2", NAMES[2], "False", "0")]
    expected = [masks[0], np.any(masks[1:], 0), masks[0] & False, np.zeros((20, 30), bool)]
    for row, mask in zip(rows, expected, strict=True):
        with Image.open(tmp_path / "png" / row["file"]) as image:
            assert image.mode == "L" and np.array_equal(np.asarray(image), mask * 255)
    assert len(list((tmp_path / "png").iterdir())) == 5


def test_names_of_files(source):
    def called(*names: str) -> list[str]:
        return [str(name) for name in file_names([AnsweredImage(name, (8, 8), ()) for name in names])]

    assert called("a/x.png", "b/x.v1.jpg", "/data/y.png", "../z.png", "c:\\w.png", "plain") == [
        "a/x", "b/x.v1", "y", "z", "w", "plain"]
    with pytest.raises(InputError, match=r"x\.png and /c/x\.jpg would be called x alike"):
        called("x.png", "/c/x.jpg")
    for name in ("", "..", "/"):
        with pytest.raises(InputError, match="not the name of an image"):
            called(name)


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    """A run of two methods over one image: one finds its left half twice and refuses once, one finds nothing."""
    folder = tmp_path_factory.mktemp("run")
    Image.new("RGB", (30, 20)).save(folder / "a.png")
    half = np.zeros((20, 30), bool)
    half[:, :15] = True
    lines = [{"id": id, "image": "a.png", "expression": text, "segmentation": to_rle(half)}
             for id, text in (("x", "a cat"), ("y", "the cats"), ("z", " "))]
    (folder / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def method(name: str, found: bool) -> Method:
        def answer(scene, texts):
            if " " in texts:
                raise InputError("empty")
            return [Choice(half, 0, 0.5, confidence=0.25, found=found) for _ in texts]

        return Method(name, name, answer, ())

    runner.evaluate(model, open_dataset(folder / "own.jsonl"), [method("left", True), method("nothing", False)],
                    folder / "run")
    return folder / "run", half


def test_a_run_is_exported_by_method(run, tmp_path, capsys):
    folder, half = run
    content = to_coco(read_source(folder, "left"))
    assert [(each["name"], each["width"]) for each in ({"name": i["file_name"], **i} for i in content["images"])] == [
        ("a.png", 30)]
    assert [(each["expression_id"], each["score"], each["confidence"]) for each in content["annotations"]] == [
        ("x", 0.5, 0.25), ("y", 0.5, 0.25)]
    assert np.array_equal(coco.decode(content["annotations"][0]["segmentation"]), half)
    assert to_coco(read_source(folder, "nothing"))["annotations"] == []
    assert main(["export", str(folder), "--to", "coco", "--method", "left"]) == 0
    said = capsys.readouterr()
    assert "1 image, 2 answers" in said.out and "1 expressions could not be used" in said.err
    assert json.loads((folder / "coco.json").read_text()) == content
    for arguments, words in (([str(folder), "--to", "png"], "left, nothing; choose one"),
                             ([str(folder), "--to", "png", "--method", "right"], "choose one"),
                             ([str(tmp_path), "--to", "png"], "holds no answers"),
                             ([str(folder), "--to", "yolo", "--polygons"], "--polygons is for"),
                             ([str(folder), "--to", "yolo", "--method", "left", "--out", str(folder)], "not empty")):
        assert main(["export", *arguments]) == 2
        error = capsys.readouterr().err
        assert words in error and len(error.splitlines()) == 1


def test_a_broken_mask_is_one_sentence(run, tmp_path, capsys):
    folder, _ = run
    (tmp_path / "header.json").write_bytes((folder / "header.json").read_bytes())
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    answer = next(row for row in rows if row.get("method") == "left" and "rle" in row)
    for rle in ({"size": [20, 30], "counts": "!!"}, {"size": [1 << 20, 1 << 20], "counts": "0"}, {}):
        (tmp_path / "rows.jsonl").write_text(json.dumps(answer | {"rle": rle}) + "\n")
        for format in ("coco", "yolo", "label-studio", "png"):
            out = tmp_path / f"{format}-{len(str(rle))}"
            assert main(["export", str(tmp_path), "--to", format, "--method", "left", "--out", str(out)]) == 2
            assert "RLE is broken" in capsys.readouterr().err


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """The example image at 240x180."""
    with Image.open(ROOT / "examples" / "scene.png") as image:
        return np.asarray(image.convert("RGB").resize((240, 180)))


@pytest.fixture(scope="module")
def answers(model, photo):
    return model.encode(photo).segment(["both cats", "a zebra"])


def test_coco_has_the_category_and_the_expression_that_was_asked(tmp_path):
    mask = to_rle(np.ones((20, 30), bool))
    answer = Answer(1, "ball", mask, 0.5, None, (Thing(mask, 0.5, None),), "the red ball")
    write_coco(Source([AnsweredImage("a.png", (20, 30), (answer,))], 0, "mini"), tmp_path / "coco.json", False)
    found = json.loads((tmp_path / "coco.json").read_text())
    assert found["categories"][0]["name"] == "ball" and found["annotations"][0]["expression"] == "the red ball"


def test_supervision_gets_the_instances(answers):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        supervision = pytest.importorskip("supervision")
    cats, nothing = answers
    found = cats.to_supervision()
    assert isinstance(found, supervision.Detections) and len(found) == len(cats.instances) == 2
    for place, instance in enumerate(cats.instances):
        assert np.array_equal(found.mask[place], instance.mask) and tuple(found.xyxy[place]) == instance.box
        assert found.confidence[place] == pytest.approx(instance.confidence)
        assert found.data["score"][place] == instance.score
    assert found.data["class_name"].tolist() == ["both cats"] * 2 and found.area.sum() == cats.mask.sum()
    assert len(nothing.to_supervision()) == 0 and nothing.to_supervision().mask.shape == (0, 180, 240)
    unsure = replace(cats, instances=tuple(replace(each, confidence=None, score=0.25) for each in cats.instances))
    assert unsure.to_supervision().confidence.tolist() == [0.25, 0.25]
    assert len(supervision.Detections.merge([found, found])) == 4


CONFIG = """<View><!-- what is looked for --><Image name="img" value="$photo"/><BrushLabels name="tag" toName="img">
    <Label value="both cats"/><Label value="a zebra" background="red"/></BrushLabels></View>"""


def test_the_label_studio_backend(model, photo, answers, tmp_path):
    decode = pytest.importorskip("label_studio_converter.brush").decode_rle
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "PNG")
    scene = file.getvalue()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a b.png").write_bytes(scene)
    (tmp_path / "out.png").write_bytes(scene)
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "out.png")
    names = ["/data/local-files/?d=a%20b.png", "a b.png", f"data:image/png;base64,{base64.b64encode(scene).decode()}"]
    wrong = ["http://somewhere/a.png", "//somewhere/a.png", "s3://bucket/a.png", "file:///etc/passwd", "../out.png",
             "/data/local-files/?d=%2E%2E/out.png", "/data/../out.png", "link.png", str(tmp_path / "out.png"), "a\0b",
             "data:image/png;base64,!", "data:text/html;base64,AAAA", "gone.png"]
    load = label_studio_backend.image_loader(tmp_path / "in")
    for name in names:
        assert np.array_equal(load(name), photo)
    for name in wrong:
        with pytest.raises(InputError):
            load(name)
    with pytest.raises(InputError, match="without a folder"):
        label_studio_backend.image_loader(None)("a b.png")
    tasks = [{"id": 1, "data": {"photo": names[0]}}, {"id": 2, "data": {"photo": wrong[0]}}, {"id": 3, "data": {}}, 5]
    found, *failed = label_studio_backend.predict(model, tasks, CONFIG, load)
    for result, instance in zip(found["result"], answers[0].instances, strict=True):
        assert (result["from_name"], result["to_name"], result["value"]["brushlabels"]) == ("tag", "img", ["both cats"])
        mask = decode(result["value"]["rle"]).reshape(result["original_height"], result["original_width"], 4)[..., 3]
        assert np.array_equal(mask, instance.mask * 255) and result["score"] == instance.score
    assert found["score"] == answers[0].instances[1].score
    assert [(each["result"], bool(each["error"])) for each in failed] == [([], True)] * 3
    assert found["model_version"] == label_studio_backend.model_version(model)
    assert "not fetched" in failed[0]["error"]
    for config in ("", "<View/>", CONFIG.replace("$photo", "photo"), "<!DOCTYPE x>" + CONFIG, "<" * 2_000_000, None):
        with pytest.raises(InputError, match="interface"):
            label_studio_backend.predict(model, tasks, config, load)


def test_a_batch_is_exported_thing_by_thing(model, photo, answers, tmp_path):
    Image.fromarray(photo).save(tmp_path / "photo.png")
    (tmp_path / "m.jsonl").write_text(json.dumps({"image": "photo.png", "expressions": ["both cats", "a zebra"]}))
    batch(model, tmp_path / "m.jsonl", tmp_path / "out")
    source = read_source(tmp_path / "out")
    image, = source.images
    assert [answer.expression for answer in image.answers] == ["both cats", "a zebra"] and not source.faults
    assert [len(answer.things) for answer in image.answers] == [2, 0]
    for (_, thing, mask), instance in zip(image.things(), answers[0].instances, strict=True):
        assert np.array_equal(mask, instance.mask) and thing.score == instance.score
    with pytest.raises(InputError, match="no methods"):
        read_source(tmp_path / "out", "ref-diff")
