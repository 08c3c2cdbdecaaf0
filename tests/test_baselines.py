"""The rivals' features against the arrays of their own release."""

import numpy as np
import pytest
import torch

from refdiff.baselines import region_token_features, token_masked_features
from refdiff.discriminative import DiscriminativeModel


@pytest.fixture(scope="module")
def clip(golden):
    return DiscriminativeModel.from_pretrained(golden / "checkpoint" / "clip")


@pytest.mark.parametrize("case", (0, 2, 4))
def test_features_agree_with_the_release(clip, golden, case):
    arrays = np.load(golden / f"baseline_{case}.npz")
    pixels, masks = torch.from_numpy(arrays["pixels"]), arrays["masks"]
    regions = region_token_features(clip, pixels, masks).numpy()
    masked = token_masked_features(clip, pixels, masks, int(arrays["first_masked_block"])).numpy()
    assert np.abs(regions - arrays["region_token_features"]).max() < 1e-4
    assert np.abs(masked - arrays["token_masked_features"]).max() < 1e-4
