"""Preset `official` on the release's own arrays, computed by the authors' code with the same weights."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from conftest import cases
from refdiff.core.proposals import Proposals
from refdiff.language import parse
from refdiff.language.tokens import token_indices
from refdiff.method import biased_image, generative_scores, ref_diff
from refdiff.models import open_diffusion, open_similarity
from refdiff.settings import OFFICIAL
from refdiff.timing import Stopwatch

SETTINGS = OFFICIAL.replace(image_size=256, largest=0, min_area=0)  # the arrays are of small images, without the filter


@dataclass
class Scene:
    """What the method asks for, with the latents, noise and masks of the release in place of what is drawn at
    random."""

    arrays: dict
    diffusion: object
    similarity: object

    def __post_init__(self):
        self.image, self.watch = self.arrays["image"], Stopwatch()
        self.given = Proposals.of(self.arrays["masks"], "given")
        draw = torch.from_numpy(self.arrays["noise"])
        self.diffusion.noise = lambda latents, settings: draw

    def latents(self, settings):
        return torch.from_numpy(self.arrays["latents"])

    def follow_edges(self, settings):
        return None

    def proposals(self, settings, correlation=None):
        return self.given

    def masked_features(self, proposals, clues, settings):
        return self.similarity.masked_features(biased_image(self.image, clues), proposals.tensor, settings)

    def crop_features(self, proposals, clues, settings):
        own = settings.discriminative
        shown = biased_image(self.image, clues, own.clue_ramp)
        return self.similarity.crop_features(shown, proposals.tensor, own)


@pytest.mark.parametrize("case", cases("case"))
def test_the_method_agrees_with_the_release(case):
    folder, arrays = case
    diffusion, similarity = open_diffusion(folder), open_similarity(folder / "clip")
    scene, text = Scene(arrays, diffusion, similarity), str(arrays["text"])
    expression = parse(text, SETTINGS.expression)
    assert expression.root == str(arrays["root"])
    assert token_indices(diffusion, expression, SETTINGS.expression) == [int(arrays["token_index"])]

    c = diffusion.correlation(scene.image, text, SETTINGS, latents=arrays["latents"], noise=arrays["noise"])
    assert np.abs(c - arrays["correlation"]).max() < 1e-4
    masks = arrays["masks"]
    masked, crops = (encode(scene.image, masks, SETTINGS, expression=text)
                     for encode in (similarity.masked_features, similarity.crop_features))
    assert np.abs(masked.numpy() - arrays["masked_features"]).max() < 1e-4
    assert np.abs(crops.numpy() - arrays["crop_features"]).max() < 1e-4
    r = similarity.text_feature(text, SETTINGS)
    assert np.abs(r.numpy() - (arrays["text_features"] + arrays["root_features"])[0] / 2).max() < 1e-4
    assert np.abs(generative_scores(c, masks).numpy() - arrays["score_generative"]).max() < 1e-4

    scores, = ref_diff(scene, [expression], "full", SETTINGS)
    assert np.abs(scores.generative.numpy() - arrays["score_generative"]).max() < 1e-4
    # The release's weights, 0.7 + 0.3 + 0.05, sum to 1.05.
    assert np.abs(1.05 * scores.total.numpy() - arrays["score"]).max() < 1e-4
    assert scores.order()[0] == int(arrays["best"])


@pytest.mark.parametrize("case", cases("case")[:1])
def test_where_no_mask_passes_the_releases_filter_the_first_one_wins(case):
    folder, arrays = case
    scene = Scene(arrays, open_diffusion(folder), open_similarity(folder / "clip"))
    expression = parse(str(arrays["text"]), SETTINGS.expression)
    scores, = ref_diff(scene, [expression], "full", SETTINGS.replace(largest=10, min_area=10_000))
    assert scores.order()[0] == 0 and not scores.total.any()
