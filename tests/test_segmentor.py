from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import ROOT, shapes
from refdiff import InputError, RefDiff, Settings, load_image
from refdiff.core.masks import iou_matrix
from refdiff.core.protocols import ScoredMasks
from refdiff.models.segmentors.grid import box_nms, mask_boxes, peak_points, point_grid, stability_scores
from refdiff.models.segmentors.guided import guided


def test_nms_agrees_with_the_plain_loop():
    rng = torch.Generator().manual_seed(0)
    corner = torch.rand(60, 2, generator=rng) * 50
    boxes = torch.cat([corner, corner + 5 + torch.rand(60, 2, generator=rng) * 40], 1)
    scores = torch.rand(60, generator=rng)

    def iou(a, b):
        w = max(0, min(a[2], b[2]) - max(a[0], b[0]))
        h = max(0, min(a[3], b[3]) - max(a[1], b[1]))
        areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
        return w * h / (sum(areas) - w * h)

    expected = []
    for i in scores.argsort(descending=True).tolist():
        if all(iou(boxes[i].tolist(), boxes[j].tolist()) <= 0.4 for j in expected):
            expected.append(i)
    assert box_nms(boxes, scores, 0.4).tolist() == expected


def test_stability_and_boxes_of_a_cone():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    cone = (20 - ((y - 32) ** 2 + (x - 32) ** 2).sqrt())[None]
    inner, outer = (cone > 2).sum(), (cone > -2).sum()
    assert stability_scores(cone, 2.0)[0] == inner / outer
    empty = torch.zeros(1, 64, 64, dtype=torch.bool)
    found = mask_boxes(torch.cat([cone > 0, empty]))
    assert found.tolist() == [[13, 13, 52, 52], [0, 0, 0, 0]]


def test_the_grid_lies_at_cell_centres():
    assert point_grid(2).tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]


def test_masks_have_the_images_size_and_no_near_duplicates(model):
    settings = model.settings.replace(iou_threshold=0.0, stability_threshold=0.0, duplicate_threshold=0.8,
                                      min_region=0)
    found = model.segmentor.generate(shapes(90, 160), settings)
    assert found.masks.shape[1:] == (90, 160) and found.masks.any((1, 2)).all()
    assert (np.diff(found.iou) <= 0).all()
    flat = found.masks.reshape(len(found.masks), -1).astype(float)
    flat = flat[flat.sum(1) >= 100]  # at the image's size two different specks can be the same few pixels
    shared = flat @ flat.T
    overlap = shared / (flat.sum(1)[:, None] + flat.sum(1) - shared)
    assert (overlap[~np.eye(len(flat), dtype=bool)] < 0.9).all()  # judged at low resolution, hence the slack


def test_nothing_passing_the_filters_gives_no_masks(model):
    found = model.segmentor.generate(shapes(), model.settings.replace(iou_threshold=1.0))
    assert found.masks.shape == (0, 96, 144)


def test_masks_are_the_same_with_and_without_the_optimisations(model):
    """The library's decoder and whole masks resized one by one, against folded products and windows."""
    plain = RefDiff.from_pretrained("mini", device="cpu", fast=False)
    settings = model.settings.replace(points_per_side=6)
    image = load_image(ROOT / "examples" / "scene.png")[::2, ::2]
    own, library = (each.segmentor.generate(image, settings) for each in (model, plain))
    assert len(own.masks) == len(library.masks) > 3
    assert (own.masks != library.masks).mean() < 1e-4 and np.allclose(own.iou, library.iou, atol=1e-4)


def test_peaks_are_the_greatest_maxima():
    y, x = np.mgrid[0:60, 0:90]
    c = np.exp(-((y - 20) ** 2 + (x - 70) ** 2) / 50) + 0.5 * np.exp(-((y - 45) ** 2 + (x - 15) ** 2) / 50)
    from refdiff.settings import SegmentorSettings

    points = peak_points(c.astype(np.float32), SegmentorSettings(peaks=2))
    assert np.allclose(points * [90, 60], [[70.5, 20.5], [15.5, 45.5]])


def test_a_prompt_gives_the_thing_that_is_pointed_at(model):
    image = shapes()
    disc = image[..., 0] == 200
    found = model.segmentor.prompt(image, points=[(36, 48)])
    assert found.masks.shape == (3, 96, 144) and (np.diff(found.iou) <= 0).all()
    assert iou_matrix(found.masks, disc[None]).max() > 0.8
    assert model.segmentor.prompt(image, boxes=[(10, 20, 62, 76)]).masks.shape == (3, 96, 144)
    for wrong in ({}, {"points": [(1, 2, 3)]}, {"points": [(1, 2)], "labels": [1, 0]}, {"boxes": [(1, 2)]},
                  {"points": [(float("nan"), 2)]}):
        with pytest.raises(InputError):
            model.segmentor.prompt(image, **wrong)


def test_the_release_resizes_in_8_bit(model):
    image = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    eight, exact = (model.segmentor.pixels(image, way) for way in ("8bit", "float"))
    assert eight.shape == exact.shape and (eight - exact).abs().max() > 0


def test_guided_masks_end_where_the_colours_do():
    image = np.full((80, 120, 3), 40, np.uint8)
    image[20:60, 30:90] = (200, 60, 30)
    truth = np.zeros((80, 120), bool)
    truth[20:60, 30:90] = True
    rough = np.stack([np.roll(truth, 3, axis=1), np.roll(truth, -2, axis=0)])
    settings = Settings().replace(guided_radius=0.05, duplicate_threshold=1.0).segmentor

    def followed(masks, image):
        scores = np.linspace(1, 0.9, len(masks), dtype=np.float32)
        return guided(ScoredMasks(masks, scores, scores), image, settings).masks

    def overlaps(masks):
        return [(each & truth).sum() / (each | truth).sum() for each in masks]

    found = followed(rough, image)
    assert min(overlaps(found)) > 0.99 > max(overlaps(rough))
    wide = image.repeat(8, 0).repeat(8, 1)  # so large that the filter works on every third px
    large = followed(rough.repeat(8, 1).repeat(8, 2), wide)
    assert min(overlaps(large[:, 4::8, 4::8])) > 0.98
    scored = ScoredMasks(rough, np.ones(2), np.ones(2))
    assert guided(scored, image, Settings().segmentor) is scored  # off unless a bundle says so
    assert len(guided(scored, image, replace(settings, duplicate_threshold=0.9)).masks) == 1  # both are the thing now


def test_a_guided_mask_does_not_spread_over_a_touching_thing_of_its_colour():
    image = np.full((80, 120, 3), 40, np.uint8)
    image[20:60, 30:90] = (200, 60, 30)  # two things, of which the mask is the left one
    mask = np.zeros((1, 80, 120), bool)
    mask[0, 20:60, 30:60] = True
    settings = Settings().replace(guided_radius=0.1, guided_rounds=10).segmentor
    found = guided(ScoredMasks(mask, np.ones(1), np.ones(1)), image, settings).masks[0]
    assert not found[:, 60 + 7:].any() and found[20:60, 30 : 60 - 7].all()
