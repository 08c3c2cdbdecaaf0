import numpy as np
import pytest
import torch
import torch.nn.functional as F

from conftest import shapes
from refdiff.settings import OFFICIAL


def masks_of(image: np.ndarray) -> np.ndarray:
    left = np.zeros(image.shape[:2], bool)
    left[:, :70] = True
    return np.stack([image[..., 0] == 200, image[..., 2] == 200, left, np.zeros_like(left)])


@pytest.mark.parametrize("layer", [-1, -2])
@torch.inference_mode()
def test_masked_features_agree_with_one_pass_per_proposal(model, layer):
    """The long way: [CLS] and patches together under one full attention mask, a proposal at a time."""
    discriminative, settings = model.similarity, model.settings.replace(clip_layer=layer, clip_side=0)
    image = shapes()
    masks = masks_of(image)
    fast = discriminative.masked_features(image, masks, settings)
    vision = discriminative.model.vision_model
    start, rows, columns = discriminative.embedded(
        discriminative._normalised(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255))
    for feature, mask in zip(fast, masks, strict=True):
        inside = F.interpolate(torch.from_numpy(mask)[None, None].float(), size=(rows, columns)).flatten() > 0
        allowed = torch.ones(1 + len(inside), 1 + len(inside), dtype=torch.bool)
        allowed[1:, 0] = False
        allowed[0, 1:] = inside
        additive = torch.zeros(allowed.shape).masked_fill(~allowed, -torch.inf)[None, None]
        hidden = start
        for block in vision.encoder.layers[: len(vision.encoder.layers) + 1 + layer]:
            hidden = block(hidden, attention_mask=additive)
        assert torch.allclose(F.normalize(discriminative.project(hidden[0, 0]), dim=-1), feature, atol=1e-5)


@torch.inference_mode()
def test_plain_features_are_the_librarys_own(model):
    discriminative = model.similarity
    pixels = torch.rand(2, 3, discriminative.side, discriminative.side)
    own = discriminative.plain_features(pixels, model.settings.discriminative)
    library = discriminative.model.get_image_features(pixel_values=discriminative._normalised(pixels))
    library = getattr(library, "pooler_output", library)
    assert torch.allclose(own, F.normalize(library, dim=-1), atol=1e-5)


@pytest.mark.parametrize("crop", ["image", "box", "aspect"])
def test_crops_see_nothing_outside_the_mask(model, crop):
    image = shapes()
    masks = masks_of(image)[:2]
    settings = model.settings.replace(crop=crop, crop_side=64)
    repainted = np.where(masks[0][..., None], image, 255 - image)
    before, after = (model.similarity.crop_features(x, masks[:1], settings) for x in (image, repainted))
    assert torch.allclose(before, after, atol=1e-5)
    both = model.similarity.crop_features(image, masks, settings)
    assert torch.allclose(both[:1], before, atol=1e-5)
    assert torch.allclose(both.norm(dim=1), torch.ones(2), atol=1e-5)


def test_the_clue_acts_where_the_preset_says(model):
    image = shapes()
    masks, discriminative = masks_of(image)[:2], model.similarity
    paper = model.settings.replace(clue_on="masked")
    official = OFFICIAL.replace(crop_side=64)
    for settings, masked_moves in ((paper, True), (official, False)):
        masked, crops = ([encode(image, masks, settings, expression=text) for text in ("cat", "left cat")]
                         for encode in (discriminative.masked_features, discriminative.crop_features))
        assert torch.allclose(*masked) != masked_moves
        assert torch.allclose(*crops) == masked_moves


def test_the_text_feature_is_the_mean_of_text_and_root(model):
    settings = model.settings.replace(text="sentence")
    r = model.similarity.text_feature("a red apple", settings)
    whole, root = model.similarity.text_features(["a red apple", "apple"])
    assert torch.allclose(r, (whole + root) / 2, atol=1e-6)
