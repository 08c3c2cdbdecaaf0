import numpy as np
import pytest
from pycocotools import mask as coco

from refdiff.errors import InputError
from refdiff.masks import boxes, from_rle, iou_matrix, tidy, to_rle


def blobs(count: int = 6, height: int = 37, width: int = 53) -> np.ndarray:
    rng = np.random.default_rng(0)
    smooth = rng.random((count, height, width)).cumsum(1).cumsum(2)
    return (smooth % 97) < rng.uniform(10, 80, (count, 1, 1))


def test_rle_agrees_with_pycocotools():
    for mask in [*blobs(), np.zeros((5, 4), bool), np.ones((4, 5), bool)]:
        rle = to_rle(mask)
        assert np.array_equal(coco.decode(rle).astype(bool), mask)
        assert np.array_equal(from_rle(rle), mask)
        runs = np.flatnonzero(np.diff(np.r_[False, mask.T.ravel(), not mask.T.ravel()[-1]])).tolist()
        counts = np.diff([0, *runs]).tolist()
        assert np.array_equal(from_rle({"size": list(mask.shape), "counts": counts}), mask)


@pytest.mark.parametrize("rle", [
    None, {}, {"size": [4, 4]}, {"size": [4, 4], "counts": "zz\x00"}, {"size": [4, 4], "counts": "05"},
    {"size": [4, 4], "counts": [3, 4]}, {"size": [4, 4], "counts": [-1, 17]}, {"size": [4], "counts": [16]},
    {"size": [10**6, 10**6], "counts": [10**12]},
])
def test_broken_rle_is_refused(rle):
    with pytest.raises(InputError, match="RLE"):
        from_rle(rle)


def test_iou_and_boxes_agree_with_counting_pixels():
    masks = blobs()
    overlap = iou_matrix(masks, masks)
    for i, a in enumerate(masks):
        rows, columns = np.where(a)
        assert boxes(a[None])[0].tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        for j, b in enumerate(masks):
            assert overlap[i, j] == pytest.approx((a & b).sum() / (a | b).sum())
    assert iou_matrix(np.zeros((1, 3, 3), bool), np.zeros((1, 3, 3), bool)) == 0


def test_tidy_removes_specks_and_holes_only():
    mask = np.zeros((30, 30), bool)
    mask[5:20, 5:20] = True
    messy = mask.copy()
    messy[10:12, 10:12] = False
    messy[27, 27] = True
    assert np.array_equal(tidy(messy, 10), mask)
    speck = np.zeros((9, 9), bool)
    speck[4, 4] = True
    assert np.array_equal(tidy(speck, 10), speck)
