"""Every optimisation against the library's own way, however its work is cut up."""

import pytest
import torch
from transformers import SamConfig, SamVisionConfig
from transformers.models.sam.modeling_sam import SamModel, SamVisionModel

from conftest import ROOT, shapes
from refdiff import InputError, RefDiff, load_image
from refdiff.fast import OPTIMISATIONS, chosen, clip, install
from refdiff.fast.attention import attend
from refdiff.fast.sam_decoder import FoldedDecoder
from refdiff.fast.sam_encoder import encode_pixels
from refdiff.fast.windows import WindowCanvas
from refdiff.models.segmentors.grid import point_grid
from refdiff.models.segmentors.sam import LibraryDecoder, SamSegmentor, WholeCanvas
from refdiff.models.similarity.clip import run_blocks


@pytest.mark.parametrize("cache", [1.0, 600.0, 1e9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_is_its_formula_however_the_work_is_cut_up(cache, dtype, monkeypatch):
    monkeypatch.setattr("refdiff.fast.cache.CACHE", cache)
    torch.manual_seed(0)
    query, key, value, bias = (torch.randn(2, 3, *size).to(dtype) for size in ((7, 8), (5, 8), (5, 8), (7, 5)))
    for more in (None, bias):
        scores = 0.3 * query.double() @ key.double().mT + (0 if more is None else more.double())
        expected = scores.softmax(-1) @ value.double()
        apart = (attend(query, key, value, 0.3, more) - expected).norm() / expected.norm()
        assert apart < (1e-6 if dtype == torch.float32 else 0.01)


@torch.inference_mode()
def test_the_decoder_agrees_with_the_librarys(model):
    segmentor = model.segmentor
    embedding = segmentor.encode(shapes())
    points = torch.rand(9, 2, generator=torch.Generator().manual_seed(0)) * segmentor.side
    library, folded = (decoder(segmentor.model, embedding) for decoder in (LibraryDecoder, FoldedDecoder))
    for threshold in (float("-inf"), 0.5):
        (expected, rated), (logits, own) = library(points, threshold), folded(points, threshold)
        assert torch.allclose(logits, expected, atol=1e-4) and torch.allclose(own, rated, atol=1e-5)


@pytest.mark.parametrize("cache", [1.0, 1e9])
def test_the_encoder_answers_as_the_library(cache, monkeypatch):
    """Windows that overhang the image, relative places, both however the work is cut up."""
    monkeypatch.setattr("refdiff.fast.cache.CACHE", cache)
    torch.manual_seed(0)
    encoder = SamVisionModel(SamVisionConfig(
        image_size=144, patch_size=16, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, mlp_dim=64,
        window_size=4, global_attn_indexes=[1], output_channels=16)).vision_encoder.eval()
    with torch.inference_mode():
        for parameter in encoder.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        pixels = torch.randn(1, 3, 144, 144)
        assert torch.allclose(encode_pixels(encoder, pixels), encoder(pixels).last_hidden_state, atol=1e-5)


@pytest.mark.parametrize("width", [32, 768])
def test_half_precision_is_for_the_products_of_a_wide_encoder(width):
    torch.manual_seed(0)
    vision = {"image_size": 64, "hidden_size": width, "num_hidden_layers": 2, "num_attention_heads": 4, "mlp_dim": 64,
              "window_size": 2, "global_attn_indexes": [1]}
    model = SamModel(SamConfig(vision_config=vision)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    segmentor = SamSegmentor(model)
    exact = segmentor.encode(shapes())
    install(segmentor, chosen(True), torch.bfloat16)
    halved = {name.split(".")[3] for name, weight in model.named_parameters() if weight.dtype == torch.bfloat16}
    assert halved == ({"attn", "mlp"} if width == 768 else set())
    apart = (segmentor.encode(shapes()) - exact).norm() / exact.norm()
    assert apart < (0.01 if halved else 1e-5)


@torch.inference_mode()
def test_masks_drawn_by_windows_are_those_resized_whole(model):
    segmentor, image = model.segmentor, load_image(ROOT / "examples" / "scene.png")[::2, ::2]
    size = image.shape[:2]
    embedding = segmentor.encode(image)
    logits, _ = FoldedDecoder(segmentor.model, embedding)(torch.from_numpy(point_grid(5)).float() * segmentor.side, 0.0)
    whole, windows = (canvas(segmentor.side, segmentor.inner(size), size, embedding)
                      for canvas in (WholeCanvas, WindowCanvas))
    settings = model.settings.segmentor
    expected = whole.judged(logits, settings)
    assert 3 < len(expected[0]) < len(logits)
    for judge in (windows.judged, windows._judged_whole):
        for own, other in zip(judge(logits, settings), expected, strict=True):
            assert torch.allclose(own, other, atol=1e-3)
    assert (windows.painted(logits) != whole.painted(logits)).mean() < 1e-5


@torch.inference_mode()
def test_clips_blocks_answer_as_the_librarys(model):
    blocks = model.similarity.blocks
    hidden = torch.randn(3, 65, blocks[0].mlp.fc1.in_features, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(clip.run_blocks(blocks, hidden), run_blocks(blocks, hidden), atol=1e-4)


def test_each_optimisation_alone_gives_the_answer(model):
    text, settings = "the ball on the left", model.settings.replace(points_per_side=4)
    expected = model.encode(shapes(), settings).segment([text])[0]
    for names in (False, *([name] for name in OPTIMISATIONS)):
        other = RefDiff.from_pretrained("mini", device="cpu", fast=names).encode(shapes(), settings).segment([text])[0]
        assert (other.mask == expected.mask).mean() > 0.999 and abs(other.score - expected.score) < 1e-4, names
    with pytest.raises(InputError, match="no optimisation"):
        RefDiff.from_pretrained("mini", fast=["sam-warp"])
