import copy

import numpy as np
import pytest
import torch

from conftest import shapes
from refdiff import RefDiff
from refdiff.errors import BundleError, InputError
from refdiff.fast.unet import run_until_read, stop_after_reading
from refdiff.models.diffusion.cross import run_unet
from refdiff.models.diffusion.recorder import Recorder, cross_attention_layers


@pytest.fixture(scope="module")
def plain():
    """mini's diffusion model with nothing of `fast` in it."""
    return RefDiff.from_pretrained("mini", device="cpu", fast=False)


@pytest.fixture(scope="module")
def latents(model):
    return model.diffusion.encode_image(shapes(), model.settings.generative)


def read(runner, unet, latents, states, layers, softmax=True, output=True):
    """Maps float32 [B, n, S] of the layers, in order, and the U-Net's prediction."""
    recorder = Recorder(layers, softmax)
    predicted = runner(unet, latents, 200, states, recorder, output)
    return [recorder.maps[name] for name in layers], predicted


@torch.inference_mode()
def test_reading_attention_changes_nothing(plain, latents):
    unet, states = plain.diffusion._part("unet"), plain.diffusion._text_states(["a red ball"])
    alone = unet(latents, 200, encoder_hidden_states=states).sample
    layers = plain.diffusion.layers(plain.settings.generative)
    for softmax in (True, False):
        _, predicted = read(run_unet, unet, latents, states, layers, softmax)
        assert torch.allclose(predicted, alone, atol=1e-5)
    assert torch.equal(unet(latents, 200, encoder_hidden_states=states).sample, alone)


@torch.inference_mode()
def test_attention_is_eq_4_of_the_layers_own_projections(plain, latents):
    """Against a hook on one layer: softmax of its queries and keys, by hand."""
    unet, states = plain.diffusion._part("unet"), plain.diffusion._text_states(["a red ball"])
    name = plain.diffusion.layers(plain.settings.generative)[0]
    layer, seen = unet.get_submodule(name), {}
    hook = layer.register_forward_pre_hook(
        lambda _, args, kwargs: seen.update(hidden=args[0], states=kwargs["encoder_hidden_states"]), with_kwargs=True)
    (found,), _ = read(run_unet, unet, latents, states, [name])
    hook.remove()
    queries, keys = layer.to_q(seen["hidden"])[0], layer.to_k(seen["states"])[0]
    width = queries.shape[1] // layer.heads
    heads = [torch.softmax(queries[:, i : i + width] @ keys[:, i : i + width].T / width**0.5, -1)
             for i in range(0, queries.shape[1], width)]
    assert torch.allclose(found[0], sum(heads) / len(heads), atol=1e-5)


def test_the_unet_stops_after_the_last_layer_it_needs(model, latents):
    calls, unet = [], model.diffusion._part("unet")
    hooks = [block.register_forward_hook(lambda *_, i=i: calls.append(i))
             for i, block in enumerate([unet.mid_block, *unet.up_blocks[-1].resnets, unet.conv_out])]
    settings = model.settings.replace(layers=("up_blocks.1.attentions.0",)).generative
    model.diffusion.attention(latents, ["a cat"], settings)
    for hook in hooks:
        hook.remove()
    assert calls == [0, 1]  # neither the resnet after the layer nor what follows it


@torch.inference_mode()
def test_a_unet_that_stops_early_reads_the_same(plain, latents):
    unet, states = copy.deepcopy(plain.diffusion._part("unet")), plain.diffusion._text_states(["a red ball", "a cat"])
    layers = cross_attention_layers(unet)[:2]
    expected, predicted = read(run_unet, unet, latents, states, layers)
    stop_after_reading(unet)
    early, nothing = read(run_until_read, unet, latents, states, layers, output=False)
    assert nothing is None and all(torch.equal(a, b) for a, b in zip(early, expected, strict=True))
    assert torch.equal(read(run_until_read, unet, latents, states, layers)[1], predicted)


def test_a_batch_gives_what_single_expressions_give(model, latents):
    texts, settings = ["a cat", "the red ball on the left", "blue square"], model.settings.generative
    batch = model.diffusion.attention(latents, texts, settings)
    for i, text in enumerate(texts):
        alone = model.diffusion.attention(latents, [text], settings)[:, 0]
        assert torch.allclose(batch[:, i], alone, atol=1e-5)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_a_step_is_the_librarys_whatever_is_predicted(model, kind):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(**{**model.diffusion.scheduler.config, "prediction_type": kind, "clip_sample": False})
    scheduler.set_timesteps(20)
    x, predicted = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    step = scheduler.config.num_train_timesteps // 20
    diffusion = type(model.diffusion)(None, None, scheduler, 8)
    here = 5 * step
    own = diffusion.step(x, predicted, here, here - step, scheduler.alphas_cumprod)
    assert torch.allclose(own, scheduler.step(predicted, here, x).prev_sample, atol=1e-5)


def test_the_same_seed_gives_the_same_map_and_another_seed_another(model):
    diffusion, settings = model.diffusion, model.settings
    first, second = (diffusion.correlation(shapes(), "a red ball", settings) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, diffusion.correlation(shapes(), "a red ball", settings.replace(seed=7)))


def test_sizes_that_do_not_fit_the_models_are_refused(model):
    with pytest.raises(BundleError, match="strides 8"):
        model.diffusion.layers(model.settings.replace(attention_stride=5).generative)
    with pytest.raises(InputError, match="multiple of"):
        model.diffusion.encode_image(shapes(), model.settings.replace(image_size=100).generative)
