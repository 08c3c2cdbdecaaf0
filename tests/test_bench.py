import json

import numpy as np
import pytest
import torch

from conftest import shapes
from refdiff import RefDiff
from refdiff.bench.floor import OperationCounter, matrix_product_rate
from refdiff.bench.measure import STAGES, measure
from refdiff.bench.memory import peak_memory
from refdiff.bench.reference import Reference
from refdiff.bench.report import described, table


def test_the_floor_counts_two_operations_per_multiplication():
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


@pytest.fixture(scope="module")
def reference(model):
    return Reference(model.bundle, model.device)


@pytest.mark.parametrize("preset", [None, "paper", "official"])
def test_answers_are_those_of_the_reference_implementation(model, reference, preset):
    settings = model.bundle.settings(preset).replace(points_per_side=6, min_area=0, reading="root")
    scene = model.encode(shapes(), settings)
    for text in ("a ball", "the blue book on the right"):
        answer = reference.answer(shapes(), text, settings)
        mask = scene.segment([text])[0].mask
        assert np.abs(scene.correlation_maps([text])[0] - answer.correlation).max() < 1e-3
        assert (mask & answer.mask).sum() > 0.9 * (mask | answer.mask).sum()


def test_the_report_holds_what_was_measured_and_the_table_shows_it(model, image_file):
    own = RefDiff(model.bundle, model.device, model.dtype, model.settings.replace(points_per_side=4))
    report = measure(own, image_file, [2], rounds=1)
    row = report["counts"][2]
    assert row["times_faster"] == pytest.approx(2 * report["reference_seconds"] / row["seconds"])
    assert row["floor_seconds"] == pytest.approx(sum(stage["floor_seconds"] for stage in row["stages"].values()))
    row["peak_gb"] = report["reference_peak_gb"] = peak_memory(own, image_file, None)
    assert 0.1 < row["peak_gb"] < 10
    report |= described(own)
    shown = table(report)
    assert all(f"| {stage} " in shown for stage in (*STAGES, "all", "times faster"))
    assert table(json.loads(json.dumps(report))) == shown
