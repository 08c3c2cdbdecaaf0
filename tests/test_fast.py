import pytest
import torch
from diffusers.models.attention import FeedForward

from refdiff.transformer import GatedLayer, attend


@pytest.mark.parametrize("cache", [1.0, 600.0, 1e9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_is_its_formula_however_the_work_is_cut_up(cache, dtype, monkeypatch):
    monkeypatch.setattr("refdiff.memory.CACHE", cache)
    torch.manual_seed(0)
    query, key, value, bias = (torch.randn(2, 3, *size).to(dtype) for size in ((7, 8), (5, 8), (5, 8), (7, 5)))
    for more in (None, bias):
        scores = 0.3 * query.double() @ key.double().mT + (0 if more is None else more.double())
        expected = scores.softmax(-1) @ value.double()
        apart = (attend(query, key, value, 0.3, more) - expected).norm() / expected.norm()
        assert apart < (1e-6 if dtype == torch.float32 else 0.01)


@pytest.mark.parametrize("cache", [1.0, 5000.0, 1e9])
def test_a_gated_layer_is_the_librarys_however_the_work_is_cut_up(cache, monkeypatch):
    monkeypatch.setattr("refdiff.memory.CACHE", cache)
    torch.manual_seed(0)
    layer, states = FeedForward(8), torch.randn(2, 75, 8)
    with torch.inference_mode():
        assert torch.allclose(GatedLayer(layer)(states), layer(states), atol=1e-6)
