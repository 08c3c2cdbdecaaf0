"""One model for many threads: the same answers as one call after another, also where everything is used first."""

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from conftest import ROOT, shapes
from refdiff import RefDiff
from refdiff.baselines.registry import METHODS

CALLS, THREADS = 200, 8
WORDS = ["a ball", "the balls left of the gift", "the blue gift", "everything but the red cat", "the square at the top"]
VARIANTS = ["full", "g", "gs", "ds"]


def cheap(model):
    return model.settings.replace(points_per_side=4)


def images() -> list[np.ndarray]:
    return [np.roll(shapes(), 11 * i, axis=1) for i in range(5)]


def ask(model, scenes, number: int) -> tuple[np.ndarray, float]:
    """The answer to one call of many kinds: image, words, variant, settings, fresh or shared scenes, all by its
    number."""
    settings = cheap(model).replace(alpha=0.1 * (number % 3), beta=0.2 + 0.1 * (number % 2), seed=number % 2)
    scene = scenes[number % 5] if number % 3 else model.encode(images()[number % 5], settings)
    answer = scene.segment([WORDS[number % len(WORDS)]], VARIANTS[number % 4], settings)[0]
    return answer.mask, answer.score


def test_eight_threads_give_what_one_call_after_another_gives(model):
    scenes = [model.encode(image) for image in images()]
    expected = [ask(model, scenes, number) for number in range(CALLS)]
    fresh = [model.encode(image) for image in images()]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda number: ask(model, fresh, number), range(CALLS)))
    for (mask, score), (other, again) in zip(expected, found, strict=True):
        assert np.array_equal(mask, other) and score == again


def test_tasks_of_asyncio_may_share_a_model_too(model):
    async def together():
        return await asyncio.gather(*(asyncio.to_thread(model, shapes(), text, "g") for text in WORDS))

    for text, answer in zip(WORDS, asyncio.run(together()), strict=True):
        assert np.array_equal(answer.mask, model(shapes(), text, "g").mask)


FIRST_USE = """
import threading
from concurrent.futures import ThreadPoolExecutor
from refdiff import RefDiff
from test_threads import WORDS, cheap, shapes
model = RefDiff.from_pretrained("mini", device="cpu")
start = threading.Barrier(8)
def first(number):
    start.wait()
    return model(shapes(), WORDS[number % len(WORDS)], settings=cheap(model))
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(first, range(8)))
again = [model(shapes(), WORDS[number % len(WORDS)], settings=cheap(model)) for number in range(8)]
print(all((a.mask == b.mask).all() and a.score == b.score for a, b in zip(found, again)))
"""


@pytest.mark.parametrize("memory", ["", ", memory=2.0"])
def test_eight_threads_may_be_the_first_to_use_a_model(memory):
    code = FIRST_USE.replace('device="cpu"', f'device="cpu"{memory}')
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tests", capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "True", done.stderr[-2000:]


def test_under_a_bound_calls_of_all_kinds_wait_for_each_other_in_one_order(model):
    bounded = RefDiff(model.bundle, model.device, memory=2.0, settings=cheap(model))
    bounded(shapes(), "a ball")
    for _ in range(3):
        scene = bounded.encode(shapes())
        threads = [threading.Thread(target=call, daemon=True) for call in (
            lambda scene=scene: scene.segment(["a ball"]), lambda scene=scene: scene.latents(scene.settings.generative),
            lambda scene=scene: METHODS["cropping"](scene, ["a ball"]), scene.proposals)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)


def test_one_scene_makes_what_it_keeps_once(model, monkeypatch):
    scene, count, lock = model.encode(shapes(), cheap(model)), [], threading.Lock()
    encode = model.diffusion.encode_image

    def counted(*arguments):
        with lock:
            count.append(1)
        return encode(*arguments)

    monkeypatch.setattr(model.diffusion, "encode_image", counted)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda text: scene.segment([text]), WORDS * 2))
    assert len(count) == 1
