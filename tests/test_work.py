"""How much work an answer takes, counted and not timed, so that no change makes it slower unseen."""

import platform
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

import pytest

from conftest import shapes
from refdiff.decoder import PointDecoder

TEXTS = ["a ball", "the cat", "a red car", "the dog"]


@contextmanager
def counted(model):
    """Counts calls of the costly parts; the rows a part of the U-Net and SAM's decoder see are summed too."""
    counts: Counter[str] = Counter()
    generative, clip = model.generative, model.discriminative.model
    parts = {"U-Net middle": generative.unet.mid_block, "U-Net end": generative.unet.conv_out,
             "U-Net attention": generative.unet.up_blocks[-1].attentions[0], "VAE": generative.vae.encoder,
             "SAM encoder": model.segmentor.model.vision_encoder.patch_embed,
             "CLIP patches": clip.vision_model.embeddings.patch_embedding, "CLIP text": clip.text_model,
             "text encoder": generative.text_encoder}

    def note(name):
        def hook(module, inputs, options):
            counts[name] += 1
            if inputs:
                counts[name + " rows"] += len(inputs[0])

        return hook

    handles = [part.register_forward_pre_hook(note(name), with_kwargs=True) for name, part in parts.items()]
    call = PointDecoder.__call__

    def decode(self, points, threshold):
        counts["SAM decoder"] += 1
        counts["SAM decoder rows"] += len(points)
        return call(self, points, threshold)

    PointDecoder.__call__ = decode
    try:
        yield counts
    finally:
        PointDecoder.__call__ = call
        for handle in handles:
            handle.remove()


def test_work_for_a_picture_and_for_further_expressions(model):
    scene = model.encode(shapes())
    points = model.settings.points_per_side**2
    with counted(model) as first:
        scene.segment(TEXTS[:1])
    assert first["VAE"] == first["SAM encoder"] == first["CLIP text"] == first["text encoder"] == 1
    assert first["SAM decoder rows"] == points and first["SAM decoder"] <= points / 8
    assert first["U-Net middle rows"] == first["U-Net attention rows"] == 1 and first["U-Net end"] == 0
    assert first["CLIP patches rows"] == 1 + len(scene.proposals().masks)  # once the picture, once each crop
    with counted(model) as further:
        scene.segment(TEXTS[1:])
    assert further == {"U-Net middle": 1, "U-Net middle rows": 1, "U-Net attention": 1, "U-Net attention rows": 3,
                       "CLIP text": 1, "CLIP text rows": 6, "text encoder": 1, "text encoder rows": 3}


@pytest.mark.parametrize("preset, reached", [("paper", 2), ("official", 4)])
def test_work_of_the_presets_two_steps(model, preset, reached):
    """The first step shares what no text reaches, with the empty text too; the second runs no further than needed."""
    scene = model.encode(shapes(), model.bundle.settings(preset))
    with counted(model) as counts:
        scene.segment(TEXTS[:1], "g")
    assert counts["U-Net middle"] == 2 and counts["U-Net end"] == 1
    assert counts["U-Net middle rows"] == 2 and counts["U-Net attention rows"] == reached


def test_proposals_that_cannot_win_cost_nothing(model):
    scene = model.encode(shapes(), model.settings.replace(largest=1))
    with counted(model) as counts:
        answer = scene.segment(TEXTS[:1])[0]
    assert len(answer.candidates) == 1 < len(scene.proposals().masks)
    assert counts["CLIP patches rows"] == 1 + 1


PAGES = """
import resource
from refdiff.memory import keep_freed
def given():  # pages of 4 KB by the system, while 128 MB are written
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(b"x") * 2**27
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(min(given() for _ in range(3)))
keep_freed()
print(min(given() for _ in range(3)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep freed memory")
def test_freed_memory_is_written_again_without_the_system():
    printed = subprocess.run([sys.executable, "-c", PAGES], check=True, capture_output=True, text=True).stdout
    by_itself, kept = map(int, printed.split())
    assert kept < 1000 < 30_000 < by_itself
