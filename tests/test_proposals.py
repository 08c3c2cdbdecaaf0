"""Files of proposals: whose masks they are, in every form."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from conftest import ROOT
from refdiff.core.masks import to_rle
from refdiff.core.polygons import from_polygons
from refdiff.core.proposal_files import check_proposals, load_proposals
from refdiff.errors import InputError

FAULTS = ROOT.parent / "shared" / "faults"
SIZE = (20, 30)
MASKS = np.random.default_rng(0).random((6, *SIZE)) < 0.4
RLES = [to_rle(mask) for mask in MASKS]
COCO_NAME = "COCO_train2014_000000000007.jpg"


@pytest.fixture
def found(tmp_path):
    """Which of MASKS a file of that content gives to an image; None where it says that there are none."""
    path = tmp_path / "proposals.json"

    def which(content, image="x.jpg", image_id=None) -> list[int] | None:
        path.write_text(json.dumps(content))
        proposals = load_proposals(path, SIZE, image, image_id)
        return proposals and [next(i for i, mask in enumerate(MASKS) if np.array_equal(mask, one))
                              for one in proposals.masks]

    return which


def test_masks_of_one_image_and_by_name(found):
    for content in (RLES, [{"segmentation": rle} for rle in RLES], {"x.jpg": RLES, "y.jpg": []}):
        assert found(content) == [0, 1, 2, 3, 4, 5]
    assert found({"x.jpg": []}) is None and found([]) is None  # the segmentor found nothing: a miss, not a fault
    named = {"a/x.jpg": RLES[:1], "b\\x.jpg": RLES[1:2], "./x.jpg": RLES[2:3], "7": RLES[3:4], "y.jpg": []}
    assert found(named, "/data/a/x.jpg") == [0] and found(named, "data/b/x.jpg") == [1]
    assert found(named, "c/x.jpg") == [2] and found(named, "z.jpg", 7) == [3] and found(named, "z.jpg", "7") == [3]
    assert found(named, COCO_NAME) == [3] and found({str(Path("x.jpg").absolute()): RLES[:1]}) == [0]
    for content, reason in [({"y.jpg": RLES}, r"no proposals for x\.jpg"), (5, "must hold a list"),
                            ({"x.jpg": 5}, "must hold a list"), ([5], "RLE"), ([[1, 2]], "RLE"), ({}, "no proposals"),
                            ([{"size": [10_000, 10_000], "counts": [10**8]}] * 200, "10000x10000 for an image")]:
        with pytest.raises(InputError, match=reason):
            found(content)


def test_a_results_list_is_read_by_image_id(found):
    results = [{"image_id": id, "category_id": 1, "score": 0.5, "segmentation": RLES[i]}
               for i, id in enumerate((7, 12, 7, 9))]
    assert found(results, "x.jpg", 7) == [0, 2] and found(results, f"images/{COCO_NAME}") == [0, 2]
    assert found(results, "12.jpg", 12) == [1] and found(results, "val2017/000000000009.jpg") == [3]
    for image, id in (("x.jpg", None), ("x.jpg", 8), (COCO_NAME, 8), ("12.jpg", None), ("x_9.jpg", None)):
        with pytest.raises(InputError, match="no proposals for"):  # a number in any other name is not an id
            found(results, image, id)
    assert found(results[:1]) == [0]  # the only image of the file for the only one asked for
    with pytest.raises(InputError, match=r"no proposals for x\.jpg, nor for the image id 8"):
        found(results[:1], "x.jpg", 8)
    by_path = [{"image_id": name, "segmentation": RLES[i]} for i, name in enumerate(("a/x.jpg", "x.jpg"))]
    assert found(by_path, "a/x.jpg") == [0] and found(by_path, "x.jpg") == [1]
    for content in ([{"segmentation": RLES[0]}, results[0]], [results[0] | {"image_id": [1]}]):
        with pytest.raises(InputError, match="every mask must have an image_id"):
            found(content)


def test_an_instances_json_says_what_its_ids_mean(found, tmp_path):
    outline = [[2, 2, 20, 2, 20, 15, 2, 15]]
    content = {"images": [{"id": 1, "file_name": "train/x.jpg", "height": 20, "width": 30},
                          {"id": 2, "file_name": "000000000007.jpg"}, {"id": 3, "file_name": "none.jpg"}],
               "annotations": [{"id": i, "image_id": 1 + i % 2, "segmentation": rle} for i, rle in enumerate(RLES)]}
    assert found(content, "train/x.jpg") == [0, 2, 4] and found(content, COCO_NAME, 7) == [1, 3, 5]
    assert found(content, "none.jpg") is None
    for id in (None, 1):  # the file says that its image 1 is another
        with pytest.raises(InputError, match=r"no proposals for val/x\.jpg"):
            found(content, "val/x.jpg", id)
    assert found({"images": [{"id": 5}], "annotations": [{"image_id": 5, "segmentation": RLES[0]}]}, "x.jpg", 5) == [0]
    content["annotations"][0]["segmentation"] = outline
    (tmp_path / "outline.json").write_text(json.dumps(content))
    masks = load_proposals(tmp_path / "outline.json", SIZE, "train/x.jpg").masks
    assert np.array_equal(masks[0], from_polygons(outline, SIZE)) and np.array_equal(masks[1:], MASKS[2:5:2])
    with pytest.raises(InputError, match="states an image of 30x20, but it is 9x8"):
        load_proposals(tmp_path / "outline.json", (8, 9), "train/x.jpg")
    for broken, reason in [
            ({"images": [{"id": 1}, {"id": 1}], "annotations": []}, "one id to two images"),
            ({"images": [{"id": 1}], "annotations": [{"image_id": 2}]}, "an image that it does not list: 2"),
            ({"images": [{"id": [1]}], "annotations": []}, "not an instances JSON"),
            ({"images": [{"id": 1}], "annotations": 5}, "not an instances JSON")]:
        with pytest.raises(InputError, match=reason):
            found(broken)


def test_what_may_be_two_images_is_never_guessed(found, tmp_path):
    for content, image, id in (({"y.jpg": RLES, "7": RLES}, "y.jpg", 7),
                               ({f"a/{COCO_NAME}": RLES, f"b/{COCO_NAME}": RLES}, COCO_NAME, 7),
                               ({"images": [{"id": i, "file_name": "x.jpg"} for i in (1, 2)], "annotations": []},
                                "x.jpg", None)):
        with pytest.raises(InputError, match="more than once"):
            found(content, image, id)
    path = tmp_path / "several.json"
    images = [(Path("a/x.jpg"), None), (Path("b/x.jpg"), None), (Path("b/y.jpg"), None)]
    for content, fits in (({"x.jpg": RLES}, False), (RLES, False), ([{"image_id": 3, "segmentation": RLES[0]}], False),
                          ({"a/x.jpg": RLES, "x.jpg": []}, True), ({"y.jpg": RLES}, True)):
        path.write_text(json.dumps(content))
        check_proposals(path, images[:1] * 2)
        if fits:
            check_proposals(path, images)
        else:
            with pytest.raises(InputError, match=r"does not tell the images a/x\.jpg and b/[xy]\.jpg apart"):
                check_proposals(path, images)


def test_files_that_cannot_be_read(tmp_path):
    for read in (lambda path: load_proposals(path, SIZE), lambda path: check_proposals(path, [])):
        with pytest.raises(InputError, match="no proposal file"):
            read(tmp_path / "none.json")
        (tmp_path / "deep.json").write_text("[" * 200_000)
        with pytest.raises(InputError, match="nested"):
            read(tmp_path / "deep.json")


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the collected faults (../shared/faults) are not here")
def test_collected_bombs_are_refused_at_once():
    started = time.monotonic()
    for size in ((480, 640), (10_000, 10_000)):
        with pytest.raises(InputError):
            load_proposals(FAULTS / "bombprop.json", size)
    assert time.monotonic() - started < 10
