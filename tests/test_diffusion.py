import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from conftest import shapes
from refdiff.errors import BundleError
from refdiff.generative import correlation_map, cross_attention_layers, read_attention
from refdiff.settings import OFFICIAL


@pytest.fixture(scope="module")
def generative(model):
    return model.generative


@pytest.fixture(scope="module")
def latents(generative, model):
    return generative.encode_image(shapes(), model.settings)


@torch.inference_mode()
def test_reading_attention_changes_nothing(generative, model, latents):
    states = generative.encode_texts(["a red ball"])
    plain = generative.unet(latents, 200, encoder_hidden_states=states).sample
    layers = generative.layers(model.settings)
    for softmax in (True, False):
        maps, output = read_attention(generative.unet, latents, 200, states, layers, softmax, whole=True)
        assert torch.allclose(output, plain, atol=1e-5)
        early, nothing = read_attention(generative.unet, latents, 200, states, layers, softmax)
        assert nothing is None
        assert all(torch.equal(a, b) for a, b in zip(maps, early, strict=True))
    assert torch.allclose(generative.unet(latents, 200, encoder_hidden_states=states).sample, plain)


@torch.inference_mode()
def test_attention_is_eq_4_of_the_layers_own_projections(generative, model, latents):
    """Against a plain hook on one layer: softmax of its queries and keys, by hand."""
    name = generative.layers(model.settings)[0]
    layer = dict(generative.unet.named_modules())[name]
    seen = {}
    hook = layer.register_forward_pre_hook(
        lambda _, args, kwargs: seen.update(hidden=args[0], states=kwargs["encoder_hidden_states"]), with_kwargs=True)
    states = generative.encode_texts(["a red ball"])
    maps, _ = read_attention(generative.unet, latents, 200, states, [name], softmax=True)
    hook.remove()
    queries, keys = layer.to_q(seen["hidden"])[0], layer.to_k(seen["states"])[0]
    width = queries.shape[1] // layer.heads
    heads = [torch.softmax(queries[:, i : i + width] @ keys[:, i : i + width].T / width**0.5, -1)
             for i in range(0, queries.shape[1], width)]
    assert torch.allclose(maps[0][0].flatten(0, 1), sum(heads) / len(heads), atol=1e-5)


def test_the_unet_stops_after_the_last_layer_it_needs(generative, model, latents):
    calls = []
    last = generative.unet.up_blocks[-1]
    hooks = [block.register_forward_hook(lambda *_, i=i: calls.append(i))
             for i, block in enumerate([generative.unet.mid_block, *last.resnets, generative.unet.conv_out])]
    generative.attention(latents, ["a cat"], model.settings.replace(layers=("up_blocks.1.attentions.0",)))
    for hook in hooks:
        hook.remove()
    assert calls == [0, 1]  # neither the resnet after the layer nor what follows it


@torch.inference_mode()
@pytest.mark.parametrize("crossing", [0, 1, 2])
def test_texts_that_share_their_picture_get_what_each_gets_alone(crossing):
    """Wherever in the U-Net the first cross-attention lies: on the way down, in the middle, on the way up."""
    torch.manual_seed(0)
    down, middle, up = [("CrossAttnDownBlock2D", "UNetMidBlock2DCrossAttn", "CrossAttnUpBlock2D"),
                        ("DownBlock2D", "UNetMidBlock2DCrossAttn", "CrossAttnUpBlock2D"),
                        ("DownBlock2D", "UNetMidBlock2D", "CrossAttnUpBlock2D")][crossing]
    unet = UNet2DConditionModel(sample_size=16, block_out_channels=(8, 16), layers_per_block=2, cross_attention_dim=12,
                                attention_head_dim=2, norm_num_groups=4, down_block_types=("DownBlock2D", down),
                                mid_block_type=middle, up_block_types=(up, "UpBlock2D")).eval()
    latents, states = torch.randn(2, 4, 16, 16), torch.randn(6, 7, 12)
    layers = cross_attention_layers(unet)
    shared, output = read_attention(unet, latents, 30, states, layers, softmax=True, whole=True)
    apart, expected = read_attention(unet, latents.repeat(3, 1, 1, 1), 30, states, layers, softmax=True, whole=True)
    assert torch.allclose(output, expected, atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(shared, apart, strict=True))
    assert len(read_attention(unet, latents[:1], 30, states[:1], layers, softmax=True)[0]) == len(layers)


def test_a_batch_gives_what_single_expressions_give(generative, model, latents):
    texts = ["a cat", "the red ball on the left", "blue square"]
    batch = generative.attention(latents, texts, model.settings)
    for i, text in enumerate(texts):
        assert torch.allclose(batch[:, i], generative.attention(latents, [text], model.settings)[:, 0], atol=1e-5)


def test_the_correlation_map_is_eq_5(model):
    grid = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))
    c = correlation_map(grid, (96, 144), model.settings)
    assert c.shape == (96, 144) and c.min() == 0 and c.max() == pytest.approx(1, abs=1e-6)
    square = torch.nn.functional.interpolate(grid[None], size=(144, 144), mode="bilinear")[0, 0, 24:120]
    assert torch.allclose(c, (square - square.min()) / (square.max() - square.min()), atol=1e-5)
    flat = correlation_map(torch.ones(1, 16, 16), (20, 30), OFFICIAL)
    assert flat.isfinite().all()


def test_the_same_seed_gives_the_same_map_and_another_seed_another(generative, model):
    settings = model.settings
    first, second = (generative.correlation(shapes(), "a red ball", settings) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, generative.correlation(shapes(), "a red ball", settings.replace(seed=7)))


def test_a_stride_without_layers_is_refused(generative, model):
    with pytest.raises(BundleError, match="strides 8"):
        generative.layers(model.settings.replace(attention_stride=5))
