"""Layouts, and what is wrong in them (the REFER layout of whole datasets is tested with the scenes)."""

import json
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco
from skimage.measure import find_contours

from conftest import ROOT
from refdiff.core.images import load_image
from refdiff.core.masks import to_rle
from refdiff.core.polygons import from_polygons
from refdiff.datasets import Reference, open_dataset
from refdiff.datasets.drawn import Shapes
from refdiff.datasets.plain_pickle import load_plain_pickle
from refdiff.errors import InputError
from refdiff.evaluation.metrics import Overlap

FAULTS = ROOT.parent / "shared" / "faults"
SQUARE = [[10, 5, 20, 5, 20, 15, 10, 15]]


def polygons(mask: np.ndarray) -> list[list[list[float]]]:
    """The outlines of a mask as lists of points [x, y], as PhraseCut keeps an instance."""
    lines = find_contours(np.pad(mask, 1).astype(float), 0.5)
    return [[[float(x - 0.5), float(y - 0.5)] for y, x in line] for line in lines]


def square() -> np.ndarray:
    mask = np.zeros((20, 30), bool)
    mask[5:15, 10:20] = True
    return mask


def faults(references: list[Reference], size: tuple[int, int] = (20, 30)) -> list[str | None]:
    """Why each reference cannot be evaluated, as whoever asks for its truth is told."""
    found = []
    for reference in references:
        try:
            assert reference.truth(size).any() or reference.empty_allowed
            found.append(None)
        except InputError as error:
            found.append(str(error))
    return found


def test_phrasecut_joins_all_instances_of_a_phrase(tmp_path):
    references = open_dataset(ROOT / "benchmarks" / "scenes", "val").references
    first = [reference for reference in references if reference.image == references[0].image]
    other = [reference for reference in references if reference.image != references[0].image][:1]
    (tmp_path / "images").mkdir()
    tasks = []
    for number, members in enumerate((first, other)):
        Image.open(members[0].image).convert("RGB").save(tmp_path / "images" / f"{number + 7}.jpg")
        tasks.append({"task_id": f"{number + 7}__1", "image_id": number + 7, "phrase": "some things",
                      "Polygons": [polygons(member.mask) for member in members]})
    tasks += [{"task_id": "9__1", "image_id": 9, "phrase": "nothing", "Polygons": []},
              {"task_id": "9__2", "image_id": "../../9", "phrase": "outside", "Polygons": [[[[1, 2], [3, 4], [5, 9]]]]},
              {"task_id": "9__3", "image_id": 9, "phrase": "broken", "Polygons": [[5]]},
              {"image_id": 9, "phrase": ["no", "text"]}]
    (tmp_path / "refer_test.json").write_text(json.dumps(tasks))
    dataset = open_dataset(tmp_path, "test", name="PhraseCut")
    assert [reference.expression for reference in dataset.references][:3] == ["some things", "some things", "nothing"]
    for reference, members in zip(dataset.references, (first, other), strict=False):
        union = np.any([member.mask for member in members], axis=0)
        truth = reference.truth(union.shape)
        assert (truth & union).sum() / (truth | union).sum() > 0.95
    told = {reference.expression: fault for reference, fault in zip(dataset.references,
                                                                    faults(dataset.references, (8, 8)), strict=True)}
    assert "no mask" in told["nothing"] and "outside its folder" in told["outside"] and "broken" in told["broken"]
    assert "no valid id" in told['["no", "text"]']


def test_phrasecuts_masks_are_drawn_as_its_own_code_draws_them(tmp_path):
    """Pillow's polygon of whole coordinates, filled and outlined; pycocotools draws the same points smaller."""
    instances = [[[[2.7, 3.2], [24.9, 3.8], [20.1, 15.5], [6.4, 16.6]]], [[[1, 18], [9, 18]], [[28, 1]]]]
    tasks = [{"task_id": "1__1", "image_id": 1, "phrase": "a thing", "Polygons": instances}]
    (tmp_path / "refer_val.json").write_text(json.dumps(tasks))
    reference, = open_dataset(tmp_path).references
    expected = np.zeros((20, 30))
    for polygon in (instances[0][0], instances[1][0]):  # a single point is not drawn
        image = Image.new("L", (30, 20), 0)
        ImageDraw.Draw(image).polygon([(int(x), int(y)) for x, y in polygon], outline=1, fill=1)
        expected += np.array(image)
    assert np.array_equal(reference.truth((20, 30)), expected > 0) and reference.image_id == 1
    corners = [value for point in instances[0][0] for value in point]
    assert expected.astype(bool).sum() > from_polygons([corners], (20, 30)).sum() + 9


def test_your_own_data_by_mask_image_rle_or_polygons(tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    mask = square()
    Image.fromarray(mask).save(tmp_path / "a.mask.png")
    Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "ones.png")
    Image.fromarray(mask & False).save(tmp_path / "none.png")
    rows = [{"image": "a.png", "expression": "x", "mask": "a.mask.png"},
            {"image": "a.png", "expression": "x", "mask": "ones.png"},
            {"image": "a.png", "expression": "x", "segmentation": SQUARE},
            {"image": "a.png", "expression": "x\u2028y\u0085z", "segmentation": to_rle(mask)}]
    path = tmp_path / "own.jsonl"
    path.write_text("\ufeff" + "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    dataset = open_dataset(path)
    assert len(dataset.references) == 4 and dataset.references[3].expression == "x\u2028y\u0085z"
    for reference in dataset.references:
        assert np.array_equal(reference.truth((20, 30)), mask)
    with pytest.raises(InputError, match="30x20 for an image of 8x8"):
        dataset.references[0].truth((8, 8))
    for content, reason in [('{"image": "a.png"}', "Line 1"), ("5", "Line 1"), ("[" * 200_000, "Line 1"),
                            ('\n{"image": 1, "expression"', "Line 2"), ('{"a": "\ufffe'.encode("utf-16"), "Line 1")]:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(InputError, match=reason):
            open_dataset(path)
    path.write_text("\n".join(json.dumps(row | {"id": 3}) for row in rows))
    with pytest.raises(InputError, match="id 3"):
        open_dataset(path)


def test_a_split_without_expressions_is_refused(tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no expressions"):
        open_dataset(tmp_path / "empty.jsonl")


@pytest.mark.parametrize(("change", "reason"), [
    ({"expression": None}, "no valid expression"), ({"expression": ["a", "cat"]}, "no valid expression"),
    ({"expression": 12}, "no valid expression"), ({"expression": "a \ud800 cat"}, "no valid expression"),
    ({"expression": "x" * 10**6}, "no valid expression"), ({"kind": ["a"]}, "kind"), ({"kind": 5}, "kind"),
    ({"kind": "\udfff"}, "kind"), ({"id": None}, "no valid id"), ({"id": [1]}, "no valid id"),
    ({"id": True}, "no valid id"), ({"id": 2**61 - 1}, "no valid id"), ({"image": None}, "no valid file name"),
    ({"image": 12}, "no valid file name"), ({"image": "\ud800.png"}, "no valid file name"),
    ({"image": "a\0.png"}, "no valid file name"), ({"mask": 5}, "mask"), ({"mask": "absent.png"}, "no file"),
    ({"mask": "x" * 300}, "cannot be opened"), ({"mask": "empty.png"}, "empty mask"),
    ({"segmentation": None}, "no mask"), ({"segmentation": []}, "no mask"), ({"segmentation": "a.png"}, "broken"),
    ({"segmentation": [[1, "?", 3, 4, 5, 6]]}, "broken"), ({"segmentation": [[0, 0, 1e9, 0, 9, 9]]}, "broken"),
    ({"segmentation": [[100, 100, 110, 100, 110, 110]]}, "empty mask"), ({"segmentation": {"size": 3}}, "RLE"),
    ({"segmentation": {"size": [20, 30], "counts": [600]}}, "empty mask"),
])
def test_a_fault_is_named_and_the_rest_measured(tmp_path, change, reason):
    Image.new("1", (30, 20)).save(tmp_path / "empty.png")
    row = {"image": "a.png", "expression": "x", "segmentation": SQUARE}
    rows = [row, row | change, row]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    dataset = open_dataset(tmp_path / "own.jsonl")
    found = {reference.id: fault for reference, fault in zip(dataset.references, faults(dataset.references),
                                                             strict=True)}
    assert reason in found.pop(next(id for id in found if str(id) in ("2", "Line 2")))
    assert list(found.values()) == [None, None]
    json.dumps([reference.expression for reference in dataset.references], ensure_ascii=False).encode()
    assert dataset.fingerprint() and sum(len(group) for group in dataset.images()) == 3


def test_a_split_of_ones_own_data_is_the_lines_that_name_it(tmp_path):
    path = tmp_path / "own.jsonl"
    rows = [{"image": "a.png", "expression": f"thing {i}", "segmentation": SQUARE} for i in range(3)]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert len(open_dataset(path).references) == 3
    with pytest.raises(InputError, match="has no splits"):
        open_dataset(path, "test")
    rows = [row | {"split": split} for row, split in zip(rows, ("val", "test", None), strict=True)]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert [[each.id for each in open_dataset(path, split).references] for split in ("val", "test")] == [[1], [2]]
    with pytest.raises(InputError, match="no split train; it has val, test"):
        open_dataset(path, "train")


def write_refer(folder, refs, images=None, annotations=None, kind="json", name="refs(unc)"):
    folder.mkdir(exist_ok=True)
    images = images or [{"id": 1, "file_name": "s.png", "height": 20, "width": 30}]
    annotations = annotations or [{"id": 10, "segmentation": SQUARE}, {"id": 11, "segmentation": [[0, 0, 3, 0, 3, 3]]}]
    (folder / "instances.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    data = json.dumps(refs).encode() if kind == "json" else pickle.dumps(refs, protocol=2)
    (folder / f"{name}.{kind}").write_bytes(data)
    return folder


def ref(number: int, **change):
    sentence = {"sent_id": number, "sent": "a cat", "raw": "A cat"}
    return {"ref_id": number, "ann_id": 10, "image_id": 1, "split": "val", "sentences": [sentence]} | change


def test_several_targets_and_none(tmp_path):
    refs = [ref(1, ann_id=[10, 11]), ref(2, ann_id=[10, 10]), ref(3, ann_id=[-1], no_target=True), ref(4, ann_id=-1),
            ref(5, ann_id=[10, 99]), ref(6, ann_id=[10], no_target=True), ref(7, ann_id=[])]
    dataset = open_dataset(write_refer(tmp_path / "set", refs, kind="p"), "val")
    both, one, none, minus, partly, contrary, unnamed = dataset.references
    assert np.array_equal(one.mask, square()) and both.mask.sum() > one.mask.sum() and both.mask[1, 2]
    for reference in (none, minus):
        assert reference.empty_allowed and not reference.truth((20, 30)).any()
    assert [bool(fault) for fault in faults([partly, contrary, unnamed])] == [True] * 3
    assert not dataset.one_target


def test_grefcocos_layout_by_any_name(tmp_path):
    refs = [ref(1, ann_id=[10], file_name="s.png", kind="one", no_target=False),
            ref(2, ann_id=[-1], kind="none", no_target=True)]
    dataset = open_dataset(write_refer(tmp_path / "set", refs, name="grefs(refdiff)"), "val", "refdiff")
    assert [each.kind for each in dataset.references] == ["one", "none"] and not dataset.one_target
    assert faults(dataset.references) == [None, None] and np.array_equal(dataset.references[0].mask, square())
    write_refer(tmp_path / "set", refs[:1], name="grefs(unc)")
    with pytest.raises(InputError, match=r"several refs files.*refdiff, unc"):
        open_dataset(tmp_path / "set", "val")
    alone = open_dataset(tmp_path / "set", "val", "unc")
    assert len(alone.references) == 1 and not alone.one_target  # a list says that there may be several
    write_refer(tmp_path / "set", [ref(1)], name="refs(unc)")
    with pytest.raises(InputError, match=r"both refs\(unc\) and grefs\(unc\)"):
        open_dataset(tmp_path / "set", "val", "unc")
    with pytest.raises(InputError, match=r"needs refs\(none\).p or .json, or grefs\(none\).json"):
        open_dataset(tmp_path / "set", "val", "none")


def test_ref_zoms_layout(tmp_path):
    refs = [ref(1, ann_id=[10, 11], source="many"), ref(2, ann_id=[10], source="one"),
            ref(3, ann_id=[10], source="zero"), ref(4, ann_id=[], source="zero"), ref(5, ann_id=[], source=["zero"])]
    dataset = open_dataset(write_refer(tmp_path / "set", refs, kind="p", name="refs(final)"), "val", "final")
    assert [each.empty_allowed for each in dataset.references] == [False, False, True, True, False]
    assert [bool(fault) for fault in faults(dataset.references)] == [False] * 4 + [True]
    assert [each.truth((20, 30)).any() for each in dataset.references[:4]] == [True, True, False, False]
    assert not dataset.one_target


def test_refcoco_ms_layout(tmp_path):
    mask = to_rle(square())
    rows = [{"image_id": 5, "file_name": "a.jpg", "samples": [
        {"id": 7, "category": "cat", "bbox": [1, 2, 3, 4], "sentences": ["left cat", "a cat", 5], "mask": mask},
        {"id": 8, "sentences": ["dog"], "mask": None}, {"id": [8], "sentences": ["dog"], "mask": mask},
        {"id": 9, "sentences": "dog", "mask": mask}, {"id": 10, "sentences": ["far"], "mask": "a.png"}]},
        {"file_name": "../b.jpg", "samples": [{"id": 11, "sentences": ["dog"], "mask": mask}]}, {"samples": []}]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    dataset = open_dataset(tmp_path / "m.jsonl", "validation", images=tmp_path / "train2014")
    assert dataset.one_target and [each.id for each in dataset.references[:4]] == ["7.1", "7.2", "7.3", "8.1"]
    assert np.array_equal(dataset.references[0].truth((20, 30)), square())
    assert dataset.references[0].image == tmp_path / "train2014" / "a.jpg"
    reasons = ["no valid expression", "no mask", "no valid id", "no list of sentences", "no mask", "outside its folder"]
    assert faults(dataset.references)[:2] == [None, None]
    for fault, reason in zip(faults(dataset.references)[2:], reasons, strict=True):
        assert reason in fault
    for row in (5, {"samples": 5}, {"samples": [5]}):
        (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, [rows[0], row])))
        with pytest.raises(InputError, match="Line 2"):
            open_dataset(tmp_path / "m.jsonl")


@pytest.mark.parametrize(("change", "reason"), [
    ({"sentences": [{"sent_id": 2, "raw": "A cat"}]}, "no 'sent'"), ({"sentences": None}, "no list of sentences"),
    ({"sentences": ["a"]}, "no list of sentences"), ({"sentences": [{"sent": "a cat"}]}, "no valid id"),
    ({"sentences": [{"sent_id": 2, "sent": None}]}, "no valid expression"), ({"kind": {"a": 1}}, "kind"),
    ({"image_id": 9}, "does not list"), ({"image_id": [1]}, "does not list"), ({"image_id": "1/../2"}, "does not list"),
    ({"ann_id": 99}, "no mask"), ({"ann_id": [[10]]}, "no mask"), ({"ann_id": None}, "no mask"),
    ({"ref_id": [1], "ann_id": 99}, "no mask"), ({"image_id": 2}, "outside its folder"),
    ({"image_id": 3}, "outside its folder"), ({"image_id": 4}, "outside its folder"),
    ({"image_id": 5}, "no valid file name"), ({"image_id": 6}, "not valid"), ({"image_id": 7}, "not valid"),
])
def test_a_fault_of_a_ref_is_named_and_the_rest_measured(tmp_path, change, reason):
    names = [(1, "s.png", 20), (2, "../s.png", 20), (3, "/etc/s.png", 20), (4, "a\\..\\..\\s.png", 20), (5, None, 20),
             (6, "s.png", -20), (7, "s.png", "20")]
    images = [{"id": id, "file_name": name, "height": height, "width": 30} for id, name, height in names]
    write_refer(tmp_path / "set", [ref(1), ref(2, **change), ref(3)], images)
    dataset = open_dataset(tmp_path / "set", "val")
    told = [fault for fault in faults(dataset.references) if fault]
    assert len(told) == 1 and reason in told[0] and len(dataset.references) == 3
    assert all(tmp_path / "set" / "images" in reference.image.parents for reference in dataset.references)


def test_refer_folders_in_no_known_state_are_refused(tmp_path):
    for refs in (5, [5], [{"split": ["val"]}], {"a": 1}, [ref(1), {}]):
        with pytest.raises(InputError, match="REFER layout"):
            open_dataset(write_refer(tmp_path / "set", refs), "val")
    with pytest.raises(InputError, match="no split"):
        open_dataset(write_refer(tmp_path / "set", [ref(1)]), "testA")
    with pytest.raises(InputError, match="id 1"):
        open_dataset(write_refer(tmp_path / "set", [ref(1), ref(1)]), "val")
    one = {"id": 10, "segmentation": SQUARE}
    assert len(open_dataset(write_refer(tmp_path / "set", [ref(1)], annotations=[one, one])).references) == 1
    for change in ({"annotations": [one, one | {"segmentation": []}]},
                   {"images": [{"id": 1, "file_name": name} for name in ("s.png", "t.png")]}):
        with pytest.raises(InputError, match=f"gives the id {10 if 'annotations' in change else 1} to two"):
            open_dataset(write_refer(tmp_path / "set", [ref(1)], **change))
    write_refer(tmp_path / "set", [ref(1)])
    (tmp_path / "set" / "refs(google).json").write_text(json.dumps([ref(1)]))
    with pytest.raises(InputError, match=r"several refs files.*google, unc"):
        open_dataset(tmp_path / "set", "val")
    assert len(open_dataset(tmp_path / "set", "val", "google").references) == 1
    (tmp_path / "set" / "instances.json").write_text('{"images": [5], "annotations": null}')
    with pytest.raises(InputError, match="REFER layout"):
        open_dataset(tmp_path / "set", "val", "google")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="not in a layout"):
        open_dataset(tmp_path / "empty")
    for absent in ("absent", "x" * 300, "a\0b"):
        with pytest.raises(InputError, match="no dataset"):
            open_dataset(tmp_path / absent)


def test_polygons_are_drawn_at_the_stated_size_then_resized(tmp_path):
    reference, = open_dataset(write_refer(tmp_path / "set", [ref(1)]), "val").references
    expected = square()
    assert np.array_equal(reference.mask, expected)
    assert np.array_equal(reference.truth((40, 60)), expected.repeat(2, 0).repeat(2, 1))
    assert np.array_equal(reference.truth((10, 15)), expected[1::2, 1::2])
    assert reference.truth((13, 20)).any()  # 30x20 scaled to 20 px, rounded
    with pytest.raises(InputError, match="states an image of 30x20, but it is 20x30"):
        reference.truth((30, 20))  # turned by its EXIF block, for example


def test_the_parts_of_a_truth_are_joined_or_counted_as_yu_et_al_do(tmp_path):
    """Their release sums the parts' masks and keeps where the sum is 1, so that overlaps are outside."""
    parts = [[0, 0, 12, 0, 12, 12, 0, 12], [8, 4, 25, 4, 25, 16, 8, 16], [9, 5, 11, 5, 11, 7, 9, 7]]
    drawn = coco.decode(coco.frPyObjects(parts, 20, 30))
    other = square()
    rles = [to_rle(other), to_rle(drawn[..., 0])]
    annotations = [{"id": 10, "segmentation": parts}, {"id": 11, "segmentation": rles},
                   {"id": 12, "segmentation": parts[:1] * 2}]
    refs = [ref(1), ref(2, ann_id=11), ref(3, ann_id=[10, 11]), ref(4, ann_id=12)]
    folder = write_refer(tmp_path / "set", refs, annotations=annotations)
    counts = [drawn.sum(2), other + drawn[..., 0].astype(int)]
    assert counts[0].max() == 3 and counts[1].max() == 2
    joined, once = open_dataset(folder).references, open_dataset(folder, truth_as="yu2023").references
    for i, count in enumerate(counts):
        assert np.array_equal(joined[i].mask, count > 0) and np.array_equal(once[i].mask, count == 1)
    assert np.array_equal(once[2].mask, (counts[0] == 1) | (counts[1] == 1))  # annotations are joined
    with pytest.raises(InputError, match="empty mask"):
        once[3].truth((20, 30))
    assert open_dataset(folder).fingerprint() != open_dataset(folder, truth_as="yu2023").fingerprint()


def test_expressions_as_they_were_typed(tmp_path):
    sentences = [{"sent_id": 1, "sent": "a cat", "raw": "A cat!"}, {"sent_id": 2, "sent": "dog"}]
    folder = write_refer(tmp_path / "set", [ref(1, sentences=sentences)])
    cleaned, typed = open_dataset(folder), open_dataset(folder, text="raw")
    assert [each.expression for each in cleaned.references] == ["a cat", "dog"]
    assert typed.references[0].expression == "A cat!" and "has no 'raw'" in faults(typed.references)[1]
    assert cleaned.where["text"] == "sent" and typed.where["text"] == "raw"
    (tmp_path / "own.jsonl").write_text(json.dumps({"image": "a.png", "expression": "x", "segmentation": SQUARE}))
    for options in ({"text": "raw"}, {"truth_as": "yu2023"}):
        with pytest.raises(InputError, match="not in the REFER layout"):
            open_dataset(tmp_path / "own.jsonl", **options)
    with pytest.raises(InputError, match="text must be one of sent, raw, not loud"):
        open_dataset(folder, text="loud")


def test_rrsis_ds_layout(tmp_path):
    """A list of one RLE for each mask, and the images beside the annotations."""
    folder = write_refer(tmp_path / "rrsisd", [ref(1), ref(2, ann_id=11)], annotations=[
        {"id": 10, "categories_id": 3, "segmentation": [to_rle(square())]}, {"id": 11, "segmentation": [{"size": 3}]}],
        kind="p")
    images = tmp_path / "images" / "rrsisd" / "JPEGImages"
    images.mkdir(parents=True)
    dataset = open_dataset(folder)
    assert dataset.one_target and dataset.annotations == "refs(unc)"
    assert dataset.references[0].image == images / "s.png" and dataset.references[0].image_id == 1
    assert np.array_equal(dataset.references[0].mask, square()) and "RLE" in faults(dataset.references)[1]
    (folder / "images").mkdir()
    assert open_dataset(folder).references[0].image == folder / "images" / "s.png"


def write_reasonseg(folder: Path, name: str, shapes, text=("where is it",), encoding: str = "utf-8", **more) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (30, 20)).save(folder / f"{name}.jpg")
    content = {"text": text, "is_sentence": True, "shapes": shapes} | more
    (folder / f"{name}.json").write_bytes(json.dumps(content, ensure_ascii=False).encode(encoding))


def test_reasonsegs_layout(tmp_path):
    """Larger shapes below smaller ones, whatever their order; what is labelled 'ignore' counts neither way."""
    def box(left, top, right, bottom, label="target"):
        return {"label": label, "points": [[left, top], [right, top], [right, bottom], [left, bottom]]}

    val = tmp_path / "ReasonSeg" / "val"
    shapes = [box(6, 6, 8, 8), box(4, 4, 12, 12, "Ignore"), box(2, 2, 20, 15), box(0, 0, 29, 19, "flag")]
    write_reasonseg(val, "a", shapes, ["the thing that barks ", "another"])
    write_reasonseg(val, "b", [box(2, 2, 9.9, 9.9)], "the café", "cp1252", is_sentence=False)
    write_reasonseg(val, "c", [])
    write_reasonseg(val, "d", [box(2, 2, 9, 9, "ignore")])
    write_reasonseg(val, "e", [{"label": 3}])
    (val / "f.json").write_text("[")
    (tmp_path / "ReasonSeg" / "explanatory").mkdir()
    (tmp_path / "ReasonSeg" / "explanatory" / "train.json").write_text("[]")
    dataset = open_dataset(tmp_path / "ReasonSeg")
    first, second, *others = dataset.references
    assert (first.id, first.image, first.expression) == ("a", val / "a.jpg", "the thing that barks")
    assert first.kind == "sentence"
    assert (second.expression, second.kind) == ("the café", "phrase") and not dataset.one_target
    truth, ignored = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    truth[2:16, 2:21] = True
    truth[4:13, 4:13], ignored[4:13, 4:13] = False, True
    truth[6:9, 6:9], ignored[6:9, 6:9] = True, False
    assert np.array_equal(first.truth((20, 30)), truth) and np.array_equal(first.ignored((20, 30)), ignored)
    assert second.truth((20, 30)).sum() == 64 and not second.ignored((20, 30)).any()  # coordinates lose their fraction
    reasons = ("no mask", "empty mask", "broken shapes", "not a valid JSON")
    for fault, reason in zip(faults(others), reasons, strict=True):
        assert reason in fault
    assert Overlap.of(np.ones((20, 30), bool), truth, ignored) == Overlap(truth.sum(), 600 - ignored.sum(), truth.sum())
    assert Overlap.of(truth | ignored, truth, ignored).iou == 1
    with pytest.raises(InputError, match="no split test; it has val"):
        open_dataset(tmp_path / "ReasonSeg", "test")


def test_reasonsegs_shapes_agree_with_opencv_but_for_edges(tmp_path):
    cv2 = pytest.importorskip("cv2", reason="OpenCV, which ReasonSeg's own code draws with, is not installed")
    rng = np.random.default_rng(0)
    for _ in range(20):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 40))
        points = np.array([250, 200]) + np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(60, 180, (40, 1))
        drawn = np.zeros((400, 500), np.uint8)
        cv2.polylines(drawn, points[None].astype(np.int32), True, 1, 1)
        cv2.fillPoly(drawn, points[None].astype(np.int32), 1)
        target, _ = Shapes(((points.ravel().tolist(), False),)).painted((400, 500))
        assert (target & (drawn > 0)).sum() / (target | (drawn > 0)).sum() > 0.99


def test_a_fingerprint_changes_with_whatever_figures_depend_on(tmp_path):
    row = {"image": "a.png", "expression": "x", "mask": "m.png"}
    path = tmp_path / "own.jsonl"

    def fingerprint(row) -> str:
        path.write_text(json.dumps(row))
        return open_dataset(path).fingerprint()

    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    Image.fromarray(square()).save(tmp_path / "m.png")
    first = fingerprint(row)
    assert len(first) == 64 and first == fingerprint(row | {"image": str(tmp_path / "a.png")})
    seen = {first, *(fingerprint(row | change) for change in (
        {"expression": "y"}, {"kind": "k"}, {"id": 2}, {"mask": "absent.png"}, {"mask": None, "segmentation": SQUARE},
        {"image": "b.png"}))}
    Image.fromarray(~square()).save(tmp_path / "m.png")  # the same name, another mask
    seen.add(fingerprint(row))
    Image.new("RGB", (33, 21), "red").save(tmp_path / "a.png")
    seen.add(fingerprint(row))
    assert len(seen) == 9


PLAIN = [{"a": ("b", 1, 2.5, None, True, False, [3, -70_000, 2**40, -(2**100)], (), {}), "ü\n'\"\u2028": b"\x00y",
          5: {"x" * 300: [[]], None: ("y",)}}]


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_are_read(tmp_path, protocol):
    word = "shared"
    content = [*PLAIN, word, word, [word] * 2000]
    (tmp_path / "refs.p").write_bytes(pickle.dumps(content, protocol=protocol))
    if protocol < 3:  # which call a function to make bytes
        content[0] = {key: value for key, value in content[0].items() if value != b"\x00y"}
        (tmp_path / "refs.p").write_bytes(pickle.dumps(content, protocol=protocol))
    assert load_plain_pickle(tmp_path / "refs.p") == content


def test_pickles_of_python_2_are_read(tmp_path):
    text = b"(lp0\n(dp1\nS'sent'\np2\nVthe caf\\u00e9\np3\nsS'ids'\n(lp4\nI1\naL2L\naI01\naF0.5\naNasa."
    binary = (b"\x80\x02]q\x00}q\x01(U\x04sentq\x02X\x03\x00\x00\x00catU\x03idsK\x01K\x02\x86"
              b"T\x02\x00\x00\x00\xc3\xa9Nua.")
    for data, content in ((text, [{"sent": "the café", "ids": [1, 2, True, 0.5, None]}]),
                          (binary, [{"sent": "cat", "ids": (1, 2), "é": None}])):
        (tmp_path / "refs.p").write_bytes(data)
        assert load_plain_pickle(tmp_path / "refs.p") == content


def doubled(levels: int) -> bytes:
    """A list of tuples, each of the one before twice: 2 ** levels parts in a few bytes, without the opcode DUP."""
    return b"\x80\x02(K\x01" + b"".join(b"q\x00h\x00\x86" for _ in range(levels)) + b"l."


@pytest.mark.parametrize("data", [
    b"", b".", b"N", b"\x80", b"(.", b"(l", b"NN.", b"h\x05.", b"Ia\n.", b"I1", b"Sabc\n.",
    b"I" + b"9" * 10_000 + b"\n.",
    b"X\xff\xff\xff\xff.", b"T\xff\xff\xff\xff.", b"\x8e" + b"\xff" * 8 + b".", b"\x96" + b"\xff" * 5 + b"\0\0\0.",
    b"]K\x01s.", b"}K\x01a.", b"}](Ns.", b"\x80\x02}N2\x86" + b"2\x86" * 60 + b"Ns.", b"N" + b"\x85" * 10**6 + b".",
    b"]" * 10**5 + b"a" * 99_999 + b".", b"]q\x00h\x00a.", b"cos\nsystem\n(S'ls'\ntR.", b"Ptouch\n.",
    b"\x80\x04\x8c\x02os\x8c\x06system\x93.", doubled(60),
    b"}(" + b"".join(b"\x8a\x09" + (k * (2**61 - 1)).to_bytes(9, "little") + b"N" for k in range(1, 99)) + b"u.",
])
def test_hostile_pickles_are_refused_at_once(tmp_path, data):
    (tmp_path / "refs.p").write_bytes(data)
    started = time.process_time()
    with pytest.raises(InputError, match="plain data"):
        load_plain_pickle(tmp_path / "refs.p")
    assert time.process_time() - started < 10


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the collected faults (../shared/faults) are not here")
def test_collected_faults():
    """What each of the collected files must give: the true areas, or a reason."""
    expected = {
        "bom.jsonl": [12733], "u2028.jsonl": [12733], "m01.jsonl": [9241], "mvoc.jsonl": [9241],
        "expr_null.jsonl": ["expression"] * 3 + [12733] * 3,
        "poly/own.jsonl": ["polygons"], "poly/rleinf.jsonl": ["RLE"],
        "polygon_far/far.jsonl": [5920, "polygons"], "grefcoco_multi": [12733], "refer_no_sent": ["no 'sent'"],
        "laugh": "plain data", "listlaugh": "plain data", "memo": "REFER layout"}
    for name, results in expected.items():
        images = None if name.endswith(".jsonl") else FAULTS / "images"
        if isinstance(results, str):
            with pytest.raises(InputError, match=results):
                open_dataset(FAULTS / name, images=images)
            continue
        references = open_dataset(FAULTS / name, images=images).references
        assert len(references) == len(results)
        for reference, result in zip(references, results, strict=True):
            size = load_image(reference.image).shape[:2]
            if isinstance(result, int):
                assert reference.truth(size).sum() == result, name
            else:
                with pytest.raises(InputError, match=result):
                    reference.truth(size)
