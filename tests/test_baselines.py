"""Yu et al.'s features against the arrays of their own release; and that what a method keeps is not mixed up."""

import numpy as np
import pytest
import torch

from conftest import cases, shapes
from refdiff.baselines.registry import METHODS
from refdiff.baselines.yu2023 import (
    cut_features,
    global_local_features,
    region_token_features,
    token_masked_features,
    whole_pixels,
)
from refdiff.core.proposals import Proposals
from refdiff.models import open_similarity


@pytest.mark.parametrize("case", cases("baseline"))
def test_features_agree_with_the_release(case):
    folder, arrays = case
    clip = open_similarity(folder / "clip")
    pixels, masks = torch.from_numpy(arrays["pixels"]), torch.from_numpy(arrays["masks"])
    regions = region_token_features(clip, pixels, masks).numpy()
    masked = token_masked_features(clip, pixels, masks, int(arrays["first_masked_block"])).numpy()
    assert np.abs(regions - arrays["region_token_features"]).max() < 1e-4
    assert np.abs(masked - arrays["token_masked_features"]).max() < 1e-4


def some_masks(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    masks = np.zeros((3, 96, 144), bool)
    for mask in masks:
        top, left = rng.integers(60), rng.integers(100)
        mask[top : top + 30, left : left + 40] = True
    return masks


@pytest.mark.parametrize("name", ["region-token", "cropping", "global-local", "sam-clip", "ref-diff"])
def test_proposals_made_on_the_fly_are_never_taken_for_others(model, name):
    expected = [METHODS[name](model.encode(shapes(), proposals=Proposals.of(some_masks(seed), "given")), ["a ball"])[0]
                for seed in range(8)]
    scene = model.encode(shapes())
    for seed in range(8):  # each set is gone before the next is made, so that it may lie at the same address
        scene._given = Proposals.of(some_masks(seed), "given")
        found = METHODS[name](scene, ["a ball"])[0]
        assert np.array_equal(found.mask, expected[seed].mask) and found.score == expected[seed].score


def test_global_local_mixes_by_the_share_that_the_settings_name(model):
    clip, masks = model.baseline_similarity, torch.from_numpy(some_masks(0))
    depth = round(len(clip.blocks) * 9 / 12)
    whole = token_masked_features(clip, whole_pixels(clip, shapes()), masks, depth).numpy()
    local = cut_features(clip, shapes(), masks, hide=True).numpy()
    for share in (0.95, 0.85):
        mixed = global_local_features(clip, shapes(), masks, share).numpy()
        assert np.abs(mixed - (share * whole + (1 - share) * local)).max() < 1e-5
    scene = model.encode(shapes(), proposals=Proposals.of(some_masks(0), "given"))
    scores = []
    for share in (0.95, 0.0, 0.95):  # what is kept for one share is not used for another
        scene.settings = model.settings.replace(global_share=share)
        scores.append(METHODS["global-local"](scene, ["a ball"])[0].score)
    assert scores[0] == scores[2] != scores[1]
