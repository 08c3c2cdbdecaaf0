"""TSEG-style: its formulas against loops over patches, its checkpoint, and its shipped weights on a few scenes."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from conftest import ROOT, shapes
from refdiff import BundleError
from refdiff.baselines import tseg
from refdiff.baselines.registry import METHODS
from refdiff.datasets import open_dataset
from refdiff.models.tseg import Tseg, TsegConfig, assignment, global_score, image_loss, nearby
from refdiff.weights import manifest

TINY = TsegConfig(vocabulary=20, side=32, width=24, image_layers=1, text_layers=1, longest_text=6)


def some_similarities() -> torch.Tensor:
    return 2 * torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_patches_are_assigned_against_the_background(kind):
    similar = some_similarities()
    found = assignment(similar, kind)
    for image, text, row, column in np.ndindex(*similar.shape):
        own = float(similar[image, text, row, column])
        all_texts = similar[image, :, row, column].tolist()
        expected = sigmoid(own) if kind == "sigmoid" else np.exp(own) / (1 + sum(np.exp(s) for s in all_texts))
        assert float(found[image, text, row, column]) == pytest.approx(expected, abs=1e-6)
    alone = assignment(similar[:, :1], kind)
    torch.testing.assert_close(alone, assignment(similar[:, :1], "sigmoid"))  # one text: no difference


@pytest.mark.parametrize("size_term", [False, True])
def test_the_global_score_is_the_weighted_mean_with_the_size_term(size_term):
    similar = some_similarities()
    masks = similar.sigmoid()
    config = replace(TINY, size_term=size_term, size_power=3.0, size_floor=0.01)
    found = global_score(similar, masks, config)
    for image, text in np.ndindex(2, 3):
        weights, values = masks[image, text].numpy().ravel(), similar[image, text].numpy().ravel()
        expected = sum(w * s for w, s in zip(weights, values, strict=True)) / sum(weights)
        if size_term:
            expected += (1 - weights.mean()) ** 3 * np.log(0.01 + weights.mean())
        assert float(found[image, text]) == pytest.approx(expected, abs=1e-5)


def test_the_loss_counts_each_known_text_of_each_image():
    scores = torch.tensor([[0.5, -2.0, 3.0], [1.0, 0.0, -1.0]], requires_grad=True)
    truth = torch.tensor([[1.0, 0.0, float("nan")], [0.0, float("nan"), 1.0]])
    loss = image_loss(scores, truth)
    expected = -np.log([sigmoid(0.5), 1 - sigmoid(-2.0), 1 - sigmoid(1.0), sigmoid(-1.0)]).sum() / 2
    assert float(loss.detach()) == pytest.approx(expected, abs=1e-6)
    loss.backward()
    assert scores.grad is not None and scores.grad.isfinite().all() and (scores.grad[truth.isnan()] == 0).all()


def test_a_patch_attends_to_those_nearby():
    bias = nearby(4, 6, 2)
    for here, there in np.ndindex(24, 24):
        near = max(abs(here // 6 - there // 6), abs(here % 6 - there % 6)) <= 2
        assert float(bias[here, there]) == (0 if near else -np.inf)


def test_padding_does_not_change_a_text():
    network = Tseg(TINY).eval()
    with torch.inference_mode():
        short = network.texts(torch.tensor([[0, 5, 1]]), torch.ones(1, 3, dtype=torch.bool))
        padded = network.texts(torch.tensor([[0, 5, 1, 1, 1]]), torch.tensor([[True, True, True, False, False]]))
    torch.testing.assert_close(short, padded)


def written(folder, config: TsegConfig = TINY) -> Tseg:
    torch.manual_seed(0)
    network = Tseg(TINY)
    folder.mkdir()
    save_file(network.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(asdict(config)))
    return network


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    network = written(tmp_path / "tseg").eval()
    loaded = Tseg.from_pretrained(tmp_path / "tseg")
    image, tokens = shapes(), torch.tensor([[0, 5, 7, 1]])
    with torch.inference_mode():
        first, second = (each.similarities(tseg.encoded(each, image), each.texts(tokens, tokens >= 0))
                         for each in (network, loaded))
    assert loaded.config == TINY and first.shape == (1, 3, 4)  # 144x96 px at 32x24 (of 21.3) px, patches of 8
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize(("change", "said"), [
    ({"width": 48}, "does not hold the weights"), ({"heads": 5}, "do not divide"), ({"patch": 0}, "has the patch '0'"),
    ({"side": 1e9}, "has the side"), ({"assignment": "argmax"}, "has the assignment 'argmax'"),
    ({"threshold": float("nan")}, "has the threshold")])
def test_a_config_that_cannot_be_used_is_refused(tmp_path, change, said):
    written(tmp_path / "tseg")
    (tmp_path / "tseg" / "config.json").write_text(json.dumps(asdict(TINY) | change))
    with pytest.raises(BundleError, match=said):
        Tseg.from_pretrained(tmp_path / "tseg")


def test_a_mask_is_never_empty():
    values = np.array([[0.1, 0.2], [0.4, 0.3]], np.float32)
    for relative, threshold, expected in ((False, 0.3, [2, 3]), (False, 0.8, [2]), (True, 0.3, [1, 2, 3])):
        found = tseg.cut(values, replace(TINY, relative=relative, threshold=threshold))
        assert np.flatnonzero(found).tolist() == expected  # nothing reaches 0.8: 0.8 of the greatest instead


@pytest.mark.skipif(not (manifest.EMBEDDED / "tseg").is_dir(), reason="its weights come with a clone alone")
def test_it_finds_nouns_better_than_the_best_constant_guess(model):
    """On 20 expressions of val. The guess: benchmarks/constant_guess.py."""
    references = [r for r in open_dataset(ROOT / "benchmarks" / "scenes", "val").references if r.kind == "noun"][:20]
    ious, guessed = [], []
    for reference in references:
        truth = reference.mask
        y, x = (np.linspace(-1, 1, extent) for extent in truth.shape)
        guess = np.hypot(y[:, None], x) <= 0.6
        found = METHODS["tseg"](model.encode(reference.image), [reference.expression])[0].mask
        ious.append((found & truth).sum() / (found | truth).sum())
        guessed.append((guess & truth).sum() / (guess | truth).sum())
    assert np.mean(ious) > max(0.35, np.mean(guessed) + 0.1)
