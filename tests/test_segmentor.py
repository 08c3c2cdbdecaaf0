import numpy as np
import pytest
import torch
from transformers import SamConfig, SamVisionConfig
from transformers.models.sam.modeling_sam import SamModel, SamVisionModel

from conftest import ROOT, shapes
from refdiff.bench.plain import plain_masks
from refdiff.decoder import PointDecoder
from refdiff.encoder import encode_pixels
from refdiff.images import load_image
from refdiff.segmentor import Segmentor, _judged, _judged_at_once, box_nms, mask_boxes, point_grid, stability_scores


def test_nms_agrees_with_the_plain_loop():
    rng = torch.Generator().manual_seed(0)
    corner = torch.rand(60, 2, generator=rng) * 50
    boxes = torch.cat([corner, corner + 5 + torch.rand(60, 2, generator=rng) * 40], 1)
    scores = torch.rand(60, generator=rng)

    def iou(a, b):
        w = max(0, min(a[2], b[2]) - max(a[0], b[0]))
        h = max(0, min(a[3], b[3]) - max(a[1], b[1]))
        area = lambda x: (x[2] - x[0]) * (x[3] - x[1])  # noqa: E731
        return w * h / (area(a) + area(b) - w * h)

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


def test_masks_have_the_pictures_size_and_no_near_duplicates(model):
    settings = model.settings.replace(iou_threshold=0.0, stability_threshold=0.0, duplicate_threshold=0.8,
                                      min_region=0)
    found = model.segmentor.generate(shapes(90, 160), settings)
    assert found.masks.shape[1:] == (90, 160) and found.masks.any((1, 2)).all()
    assert (np.diff(found.iou) <= 0).all()
    flat = found.masks.reshape(len(found.masks), -1).astype(float)
    flat = flat[flat.sum(1) >= 100]  # at the picture's size two different specks can be the same few pixels
    shared = flat @ flat.T
    overlap = shared / (flat.sum(1)[:, None] + flat.sum(1) - shared)
    assert (overlap[~np.eye(len(flat), dtype=bool)] < 0.9).all()  # judged at low resolution, hence the slack


@torch.inference_mode()
def test_the_decoder_agrees_with_the_librarys(model):
    segmentor = model.segmentor
    embedding = segmentor.encode(shapes())
    points = torch.rand(9, 2, generator=torch.Generator().manual_seed(0)) * segmentor.side
    library = segmentor.model(image_embeddings=embedding, input_points=points[None, :, None],
                              input_labels=torch.ones(1, 9, 1, dtype=torch.int), multimask_output=True)
    logits, rated = PointDecoder(segmentor.model, embedding)(points, float("-inf"))
    assert torch.allclose(logits, library.pred_masks[0].flatten(0, 1), atol=1e-4)
    assert torch.allclose(rated, library.iou_scores.flatten(), atol=1e-5)
    bar = float(rated.median())
    some, above = PointDecoder(segmentor.model, embedding)(points, bar)
    assert torch.equal(above, rated[rated > bar])
    assert torch.allclose(some, logits[rated > bar], atol=1e-4)


def test_nothing_passing_the_filters_gives_no_masks(model):
    found = model.segmentor.generate(shapes(), model.settings.replace(iou_threshold=1.0))
    assert found.masks.shape == (0, 96, 144)


@pytest.mark.parametrize("cache", [1.0, 1e9])
def test_the_encoder_answers_as_the_library(cache, monkeypatch):
    """Windows that overhang the picture, relative places, both however the work is cut up."""
    monkeypatch.setattr("refdiff.memory.CACHE", cache)
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
def test_half_precision_is_for_the_products_of_a_wide_encoder(width, tmp_path):
    torch.manual_seed(0)
    vision = {"image_size": 64, "hidden_size": width, "num_hidden_layers": 2, "num_attention_heads": 4, "mlp_dim": 64,
              "window_size": 2, "global_attn_indexes": [1]}
    model = SamModel(SamConfig(vision_config=vision))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    model.save_pretrained(tmp_path)
    exact, half = (Segmentor.from_pretrained(tmp_path, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    rounded = {name for name, weight in half.model.named_parameters() if not torch.equal(
        weight.float(), exact.model.get_parameter(name))}
    assert {name.split(".")[3] for name in rounded} == ({"attn", "mlp"} if width == 768 else set())
    embedding = exact.encode(shapes())
    apart = (half.encode(shapes()) - embedding).norm() / embedding.norm()
    assert 0 < apart < 0.01 if rounded else apart == 0


def test_masks_are_those_of_judging_every_pixel(model):
    """Enlarging and judging a mask only where it is keeps the masks of the plain way."""
    settings = model.settings.replace(points_per_side=6)
    image = load_image(ROOT / "examples" / "scene.png")[::2, ::2]
    plain = plain_masks(model.segmentor, image, settings)
    assert np.array_equal(model.segmentor.generate(image, settings).masks, plain) and len(plain) > 3


@torch.inference_mode()
def test_masks_judged_at_once_are_as_judged_one_by_one(model):
    segmentor, image = model.segmentor, load_image(ROOT / "examples" / "scene.png")[::2, ::2]
    embedding = segmentor.encode(image)
    points = torch.from_numpy(point_grid(5)).float() * segmentor.side
    logits, _ = PointDecoder(segmentor.model, embedding)(points, 0.0)
    enlarge = segmentor._enlarger(embedding, image.shape[:2])
    one_by_one = _judged(logits, enlarge, model.settings)
    assert 3 < len(one_by_one[0]) < len(logits)
    for own, other in zip(one_by_one, _judged_at_once(logits, enlarge, model.settings), strict=True):
        assert torch.allclose(own, other)
