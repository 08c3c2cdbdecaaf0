"""Layouts other than REFER's (tests of that one are with the scenes)."""

import json

import numpy as np
import pytest
from PIL import Image
from skimage.measure import find_contours

from conftest import ROOT
from refdiff import InputError
from refdiff.datasets import open_dataset


def polygons(mask: np.ndarray) -> list[list[list[float]]]:
    """The outlines of a mask as lists of points [x, y], as PhraseCut keeps an instance."""
    lines = find_contours(np.pad(mask, 1).astype(float), 0.5)
    return [[[float(x - 0.5), float(y - 0.5)] for y, x in line] for line in lines]


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
    tasks.append({"task_id": "9__1", "image_id": 9, "phrase": "nothing", "Polygons": []})
    (tmp_path / "refer_test.json").write_text(json.dumps(tasks))
    dataset = open_dataset(tmp_path, "test", name="PhraseCut")
    assert [reference.expression for reference in dataset.references] == ["some things", "some things", "nothing"]
    for reference, members in zip(dataset.references, (first, other), strict=False):
        union = np.any([member.mask for member in members], axis=0)
        truth = reference.truth(union.shape)
        assert (truth & union).sum() / (truth | union).sum() > 0.95
    with pytest.raises(InputError, match="no mask"):
        dataset.references[2].truth((8, 8))


def test_your_own_data_by_mask_picture_rle_or_polygons(tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    mask = np.zeros((20, 30), np.uint8)
    mask[5:15, 10:20] = 255
    Image.fromarray(mask).save(tmp_path / "a.mask.png")
    square = [[10, 5, 20, 5, 20, 15, 10, 15]]
    rows = [{"image": "a.png", "expression": "x", "mask": "a.mask.png"},
            {"image": "a.png", "expression": "x", "segmentation": square},
            {"image": "a.png", "expression": "x", "segmentation": [[1, "?", 3, 4, 5, 6]]}]
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    dataset = open_dataset(path)
    for reference in dataset.references[:2]:
        assert np.array_equal(reference.truth((20, 30)), mask > 0)
    with pytest.raises(InputError, match="polygons are broken"):
        dataset.references[2].truth((20, 30))
    with pytest.raises(InputError, match="30x20 for a picture of 8x8"):
        dataset.references[0].truth((8, 8))
    path.write_text('{"image": "a.png"}')
    with pytest.raises(InputError, match="Line 1"):
        open_dataset(path)


def test_a_folder_in_no_known_layout_is_refused(tmp_path):
    with pytest.raises(InputError, match="no layout"):
        open_dataset(tmp_path)
    with pytest.raises(InputError, match="no dataset"):
        open_dataset(tmp_path / "absent")
