"""Layouts, and what is wrong in them (the REFER layout of whole datasets is tested with the scenes)."""

import json
import pickle
import time

import numpy as np
import pytest
from PIL import Image
from skimage.measure import find_contours

from conftest import ROOT
from refdiff.core.images import load_image
from refdiff.core.masks import to_rle
from refdiff.datasets import Reference, open_dataset
from refdiff.datasets.plain_pickle import load_plain_pickle
from refdiff.errors import InputError

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
    started = time.monotonic()
    with pytest.raises(InputError, match="plain data"):
        load_plain_pickle(tmp_path / "refs.p")
    assert time.monotonic() - started < 10


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
