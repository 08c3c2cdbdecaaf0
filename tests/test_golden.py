"""Preset `official` on the release's own arrays (computed by the authors' code with the same weights)."""

import numpy as np
import pytest

from refdiff import matching
from refdiff.discriminative import DiscriminativeModel
from refdiff.expressions import parse
from refdiff.generative import GenerativeModel
from refdiff.settings import OFFICIAL

CASES = (0, 2, 4)


@pytest.fixture(scope="module")
def models(golden):
    folder = golden / "checkpoint"
    return GenerativeModel.from_pretrained(folder), DiscriminativeModel.from_pretrained(folder / "clip")


@pytest.mark.parametrize("case", CASES)
def test_official_agrees_with_the_release(models, golden, case):
    generative, discriminative = models
    arrays = np.load(golden / f"case_{case}.npz")
    image, text, masks = arrays["image"], str(arrays["text"]), arrays["masks"]
    settings = OFFICIAL.replace(image_size=256)
    expression = parse(text, "release", "release")
    assert expression.root == str(arrays["root"])
    assert generative.token_indices(expression, settings) == [int(arrays["token_index"])]

    correlation = generative.correlation(image, text, settings, latents=arrays["latents"], noise=arrays["noise"])
    assert np.abs(correlation - arrays["correlation"]).max() < 1e-4

    masked = discriminative.masked_features(image, masks, settings)
    crops = discriminative.crop_features(image, masks, settings, expression=text)
    mean, whole = (each[0] for each in discriminative.text_features([expression], settings))
    assert np.abs(masked.numpy() - arrays["masked_features"]).max() < 1e-4
    assert np.abs(crops.numpy() - arrays["crop_features"]).max() < 1e-4
    assert np.abs(whole.numpy() - arrays["text_features"][0]).max() < 1e-4
    assert np.abs(mean.numpy() - (arrays["text_features"] + arrays["root_features"])[0] / 2).max() < 1e-4

    drawn = matching.generative_scores(correlation, masks)
    assert np.abs(drawn.numpy() - arrays["score_generative"]).max() < 1e-4
    likeness = settings.beta * masked @ mean + (1 - settings.beta) * crops @ whole
    score = matching.fuse(drawn, likeness, settings.alpha) * 1.05  # the release's weights sum to 1.05
    assert np.abs(score.numpy() - arrays["score"]).max() < 1e-4
    assert int(score.argmax()) == int(arrays["best"])
