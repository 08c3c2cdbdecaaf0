import json

import numpy as np
import pytest
import torch

from conftest import shapes
from refdiff import InputError, RefDiff
from refdiff.bench.floor import OperationCounter, matrix_product_rate
from refdiff.bench.plain import plain_answer
from refdiff.cli import main
from refdiff.memory import Shelf, weight_gb
from refdiff.settings import Settings


def test_the_floor_counts_two_operations_a_multiplication():
    counter, half = OperationCounter(), torch.bfloat16
    queries, keys = torch.randn(1, 2, 8, 16), torch.randn(1, 2, 32, 16)
    with torch.inference_mode():
        with counter("product"):
            torch.randn(3, 5) @ torch.randn(5, 7)
        with counter("attention"):
            torch.nn.functional.scaled_dot_product_attention(queries, keys, keys)
        with counter("attention"):
            torch.nn.functional.scaled_dot_product_attention(queries, keys, keys)
        with counter("attention"):
            torch.ones(2, 3, dtype=half) @ torch.ones(3, 4, dtype=half)
    attention = {torch.float32: 2 * 2 * (2 * 2 * 8 * 32 * 16), half: 2 * 2 * 3 * 4}
    assert counter.operations == {"product": {torch.float32: 2 * 3 * 5 * 7}, "attention": attention}
    assert counter.seconds("attention", {torch.float32: 1.0, half: 2.0}) == attention[torch.float32] + 24
    assert matrix_product_rate(torch.device("cpu"), torch.float32) > 0


@pytest.mark.parametrize("preset", [None, "official"])
def test_answers_are_those_of_the_plain_way(model, preset):
    settings = model.bundle.settings(preset).replace(points_per_side=6, min_area=0)
    scene = model.encode(shapes(), settings)
    for text in ("a ball", "the blue book on the right"):
        plain = plain_answer(model, shapes(), text, settings)
        result = scene.segment([text])[0]
        assert np.abs(scene.correlation_maps([text])[0] - plain.correlation).max() < 1e-4
        assert np.array_equal(result.mask, plain.mask)


def test_bench_prints_and_writes_what_it_measured(picture, tmp_path, capsys):
    file = tmp_path / "bench.json"
    command = ["bench", str(picture), "--expressions", "2", "--rounds", "1", "--set", "points_per_side=4"]
    assert main([*command, "--json", str(file)]) == 0
    report = json.loads(file.read_text())
    row = report["counts"]["2"]
    assert row["times_faster"] == pytest.approx(2 * report["plain_seconds"] / row["seconds"])
    assert row["floor_seconds"] == pytest.approx(sum(stage["floor_seconds"] for stage in row["stages"].values()))
    assert report["plain_peak_gb"] > 0 and row["peak_gb"] > 0
    out = capsys.readouterr().out
    assert all(f"| {stage}" in out for stage in row["stages"])
    assert main(["bench", str(picture), "--expressions", "0"]) == 2


def test_a_memory_bound_loads_models_in_turn_and_keeps_the_answer(model, picture):
    bound = 2.2 * max(weight_gb(folder, torch.float32) for folder in model.bundle.parts.values())
    small = RefDiff(model.bundle, memory=bound)
    loaded = set()
    get = small.shelf.get

    def watched(name, folder, load):
        found = get(name, folder, load)
        loaded.add(frozenset(small.shelf._models))
        return found

    small.shelf.get = watched
    assert np.array_equal(small(picture, "a ball").mask, model(picture, "a ball").mask)
    assert max(map(len, loaded)) < 5 and frozenset.union(*loaded) == {"sam", "clip", "unet", "vae", "text_encoder"}


def test_batches_follow_the_bound():
    def batches(bound):
        settings = Shelf(bound, {}, torch.float32).bounded(Settings())
        return settings.expressions_per_batch, settings.points_per_batch, settings.crops_per_batch

    assert batches(None) == batches(64.0) == (16, 64, 32)
    assert batches(0.01) == (1, 1, 1)
    assert batches(2.0) == (5, 35, 32)


def test_a_bound_must_be_above_zero(model):
    with pytest.raises(InputError, match="above 0"):
        RefDiff(model.bundle, memory=0)
