import io
import time

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from refdiff.core.masks import boxes, from_rle, iou_matrix, mask_from_image, tidy, to_rle
from refdiff.core.polygons import from_polygons, pillow_polygons
from refdiff.core.proposals import Proposals
from refdiff.errors import InputError


def blobs(count: int = 6, height: int = 37, width: int = 53) -> np.ndarray:
    rng = np.random.default_rng(0)
    smooth = rng.random((count, height, width)).cumsum(1).cumsum(2)
    return (smooth % 97) < rng.uniform(10, 80, (count, 1, 1))


def test_rle_agrees_with_pycocotools():
    for mask in [*blobs(), np.zeros((5, 4), bool), np.ones((4, 5), bool)]:
        rle = to_rle(mask)
        assert np.array_equal(coco.decode(rle).astype(bool), mask)
        assert np.array_equal(from_rle(rle), mask)
        assert np.array_equal(from_rle(rle | {"counts": rle["counts"].encode()}, mask.shape), mask)
        runs = np.flatnonzero(np.diff(np.r_[False, mask.T.ravel(), not mask.T.ravel()[-1]])).tolist()
        counts = np.diff([0, *runs]).tolist()
        assert np.array_equal(from_rle({"size": list(mask.shape), "counts": counts}), mask)


@pytest.mark.parametrize("rle", [
    None, {}, [], "rle", {"size": [4, 4]}, {"size": [4, 4], "counts": "zz\x00"}, {"size": [4, 4], "counts": "05"},
    {"size": [4, 4], "counts": [3, 4]}, {"size": [4, 4], "counts": [-1, 17]}, {"size": [4], "counts": [16]},
    {"size": [10**6, 10**6], "counts": [10**12]}, {"size": [float("inf"), 3], "counts": [3]},
    {"size": [4, 4], "counts": [float("inf")]}, {"size": [4, 4], "counts": [float("nan"), 16]},
    {"size": ["4", "4"], "counts": [16]}, {"size": [4, 4], "counts": ["16"]}, {"size": [4, 4], "counts": [[16]]},
    {"size": [4, 4], "counts": [10**400]}, {"size": [4, 4], "counts": None}, {"size": [4, 4], "counts": ""},
    {"size": [4, 4], "counts": "ü"}, {"size": [True, 4], "counts": [4]}, {"size": [4, 4], "counts": "P" * 200_000},
    {"size": [4, 4], "counts": "0" * 200_000}, {"size": [2000, 2000], "counts": "P" * 20_000_000},
    {"size": [4, 4], "counts": [0] * 10**6 + [16]},
])
def test_broken_rle_is_refused_at_once(rle):
    started = time.monotonic()
    with pytest.raises(InputError, match="RLE"):
        from_rle(rle)
    assert time.monotonic() - started < 10


def test_rle_of_another_size_is_refused_before_it_is_decoded():
    with pytest.raises(InputError, match="10000x10000 for an image of 3x2"):
        from_rle({"size": [10_000, 10_000], "counts": [100_000_000]}, (2, 3))


@pytest.mark.parametrize("polygons", [
    [], None, 5, "polygons", [[1, 2, 3, 4]], [[1, 2, 3, 4, 5]], [[1, "2", 3, 4, 5, 6]], [[1, None, 3, 4, 5, 6]],
    ["123456"], [[0, 0, float("nan"), 0, 9, 9]], [[0, 0, 1e9, 0, 9, 9]], [[0, 0, float("inf"), 0, 9, 9]],
    [[0, 0, 10**400, 0, 9, 9]], [[-1e18, 0, 1e18, 0, 9, 9]], {"a": 1}, [[[1, 2], [3, 4], [5, 6]]],
    [[0, 0, 90, 90] * 30_000], [[0, 0, 1, 1, 2, 2]] * 30_000,
])
def test_broken_polygons_are_refused_at_once(polygons):
    started = time.monotonic()
    with pytest.raises(InputError, match="polygons"):
        from_polygons(polygons, (100, 100))
    assert time.monotonic() - started < 10


def test_polygons_are_drawn_as_pycocotools_does_and_cut_at_the_image():
    rng = np.random.default_rng(0)
    for _ in range(100):
        size = (int(rng.integers(8, 90)), int(rng.integers(8, 90)))
        given = [(rng.random(2 * int(rng.integers(3, 9))) * 100 - 5).tolist() for _ in range(int(rng.integers(1, 6)))]
        expected = coco.decode(coco.merge(coco.frPyObjects(given, *size))).astype(bool)
        assert np.array_equal(from_polygons(given, size), expected)
    far = 900_000
    assert from_polygons([[-far, -far, far, -far, far, far, -far, far]], (30, 40)).all()
    assert not from_polygons([[far, far, far, 2, far - 9, 2]], (30, 40)).any()
    half = from_polygons([[-far, -far, far, far, -far, far]], (60, 60))  # below the diagonal
    y, x = np.mgrid[:60, :60]
    assert np.array_equal(half[abs(x - y) > 2], (y > x)[abs(x - y) > 2])


def test_polygons_are_drawn_as_pillow_draws_them_with_fill_and_outline():
    """PhraseCut's own way: whole coordinates, each polygon on an image of its own, two points being enough."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        size = (int(rng.integers(8, 90)), int(rng.integers(8, 90)))
        given = [(rng.random(2 * int(rng.integers(2, 9))) * 120 - 15).tolist() for _ in range(int(rng.integers(1, 6)))]
        expected = np.zeros(size)
        for polygon in given:
            image = Image.new("L", size[::-1], 0)
            corners = [(int(x), int(y)) for x, y in zip(polygon[::2], polygon[1::2], strict=True)]
            ImageDraw.Draw(image).polygon(corners, outline=1, fill=1)
            expected += np.array(image)
        assert np.array_equal(pillow_polygons(given, size), expected > 0)
    far = 900_000
    assert pillow_polygons([[-far, -far, far, -far, far, far, -far, far]], (30, 40)).all()
    started = time.monotonic()
    for wrong in ([[1, 2]], [[0, 0, 1e9, 5]], [[0, 0, 1, 1] * 20_000] * 30):
        with pytest.raises(InputError, match="polygons"):
            pillow_polygons(wrong, (30_000, 100))
    assert time.monotonic() - started < 10


def test_mask_images_show_what_is_inside(tmp_path):
    """Of two values the greater; of more from half the greatest; of a palette all but 0 and 255; of RGBA the alpha."""
    mask = blobs(1)[0]
    edge = np.random.default_rng(0).integers(1, 60, mask.shape) * ~mask
    palette = Image.fromarray(np.where(mask, 8, 0).astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, *([9, 200, 30] * 255)])
    void = palette.copy()
    void.putpixel((0, 0), 255)
    greys = Image.fromarray(mask.astype(np.uint8) * 255, "P")
    greys.putpalette([value for grey in range(256) for value in (grey, grey, grey)])
    alpha = np.dstack([*[np.full(mask.shape, 7)] * 3, mask * 255]).astype(np.uint8)
    coloured = np.dstack([mask * 200, mask * 30, mask * 0]).astype(np.uint8)
    opaque = np.dstack([coloured, np.full(mask.shape, 255, np.uint8)])
    for image in [mask, mask.astype(np.uint8), mask * 255.0, np.where(mask, 200, 100), np.where(mask, 255 - edge, edge),
                  mask.astype(np.uint16) * 40_000, alpha, coloured, opaque, mask[..., None], palette, void, greys,
                  Image.fromarray(mask), Image.fromarray(mask.astype(np.uint8)), Image.fromarray(alpha),
                  Image.fromarray(alpha).convert("LA"), Image.fromarray(mask.astype(np.uint16) * 300)]:
        expected = mask if image is not void else mask & (np.arange(mask.size).reshape(mask.shape) > 0)
        assert np.array_equal(mask_from_image(image), expected)
        if isinstance(image, Image.Image):
            image.save(tmp_path / "mask.png")
            assert np.array_equal(mask_from_image(tmp_path / "mask.png"), expected)
    file = io.BytesIO()
    Image.fromarray(np.repeat(np.repeat(mask, 8, 0), 8, 1)).convert("L").save(file, "JPEG")
    assert (mask_from_image(file)[4::8, 4::8] == mask).all()
    assert not mask_from_image(np.zeros((9, 9), np.uint8)).any() and mask_from_image(np.ones((9, 9), np.uint8)).all()
    for wrong in (np.full((9, 9), np.nan), np.full((9, 9), -1), np.zeros((9, 9, 2)), np.zeros((0, 9)), None, 5,
                  np.dstack([mask * 255, mask * 0, ~mask * 255])):
        with pytest.raises(InputError):
            mask_from_image(wrong)


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


def test_proposals_own_their_masks_and_what_was_computed_of_them():
    masks = np.concatenate([blobs(), np.zeros((1, 37, 53), bool)])
    proposals = Proposals.of(masks, "given")
    assert len(proposals.masks) == 6 and proposals.source == "given"
    assert proposals != Proposals.of(masks, "given") and len({proposals, proposals}) == 1
    assert proposals.areas is proposals.areas and np.array_equal(proposals.areas, masks[:6].sum((1, 2)))
    assert np.array_equal(proposals.boxes, boxes(masks[:6]))
    with pytest.raises(ValueError, match="read-only"):
        proposals.masks[0, 0, 0] = True
    nothing = Proposals.of(masks[6:], "segmentor")
    assert nothing.source == "image" and nothing.masks.all() and nothing.masks.shape == (1, 37, 53)
    for wrong in (None, masks[0], masks.astype(np.uint8), masks[:, :0]):
        with pytest.raises(InputError):
            Proposals.of(wrong, "given")
    with pytest.raises(InputError, match="at least one"):
        Proposals(masks[:0], "given")
