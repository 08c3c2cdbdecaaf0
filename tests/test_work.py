"""How much work an answer takes, counted and not timed, so that no change makes it slower unnoticed."""

from collections import Counter
from contextlib import contextmanager

import pytest

from conftest import shapes
from refdiff import RefDiff
from refdiff.fast.sam_decoder import FoldedDecoder
from refdiff.method.evidence import COLOURS

TEXTS = ["a ball", "the cat", "a red car", "the dog"]


@pytest.fixture
def fresh(model):
    """A model that has seen no text."""
    return RefDiff(model.bundle, model.device)


@contextmanager
def counted(model):
    """Counts calls of the costly parts; the rows a part of the U-Net and SAM's decoder see are summed too."""
    counts: Counter[str] = Counter()
    part, clip = model.diffusion._part, model.similarity.model
    parts = {"U-Net middle": part("unet").mid_block, "U-Net end": part("unet").conv_out,
             "U-Net attention": part("unet").up_blocks[-1].attentions[0], "VAE": part("vae").encoder,
             "SAM encoder": model.segmentor.model.vision_encoder.patch_embed,
             "CLIP patches": clip.vision_model.embeddings.patch_embedding, "CLIP text": clip.text_model,
             "text encoder": part("text_encoder")}

    def note(name):
        def hook(module, inputs, options):
            counts[name] += 1
            if inputs:
                counts[name + " rows"] += len(inputs[0])

        return hook

    handles = [each.register_forward_pre_hook(note(name), with_kwargs=True) for name, each in parts.items()]
    call = FoldedDecoder.__call__

    def decode(self, points, threshold):
        counts["SAM decoder"] += 1
        counts["SAM decoder rows"] += len(points)
        return call(self, points, threshold)

    FoldedDecoder.__call__ = decode
    try:
        yield counts
    finally:
        FoldedDecoder.__call__ = call
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize(("reading", "calls", "texts"), [("root", 1, 6), ("relations", 2, len(COLOURS))])
def test_work_for_an_image_and_for_further_expressions(fresh, reading, calls, texts):
    """Of a noun that a query names CLIP has seen all it is weighed against; of a colour the others are new."""
    scene = fresh.encode(shapes(), fresh.settings.replace(reading=reading))
    points = fresh.settings.segmentor.points_per_side**2
    with counted(fresh) as first:
        scene.segment(TEXTS[:1])
    assert first["VAE"] == first["SAM encoder"] == first["text encoder"] == 1
    assert first["CLIP text rows"] == (2 if reading == "root" else len(fresh.bundle.domain.vocabulary))
    assert first["SAM decoder rows"] == points and first["SAM decoder"] <= points / 8
    assert first["U-Net middle rows"] == first["U-Net attention rows"] == 1 and first["U-Net end"] == 0
    assert first["CLIP patches rows"] == 1 + len(scene.proposals().masks)  # once the image, once each crop
    with counted(fresh) as further:
        scene.segment(TEXTS[1:])
    assert further == {"U-Net middle": 1, "U-Net middle rows": 3, "U-Net attention": 1, "U-Net attention rows": 3,
                       "CLIP text": calls, "CLIP text rows": texts, "text encoder": 1, "text encoder rows": 3}


def test_what_several_expressions_name_is_looked_for_once(model):
    scene = model.encode(shapes())
    scene.segment(["a ball"])
    with counted(model) as counts:
        scene.segment(["the cat", "two cats on the left", "the cat next to the biggest dog", "cats but not dogs"])
    assert counts["U-Net middle"] == 1 and counts["U-Net middle rows"] == 2 and counts["CLIP text"] == 0


@pytest.mark.parametrize("preset, reached", [("paper", 2), ("official", 4)])
def test_work_of_the_presets_two_steps(model, preset, reached):
    """The second step runs no further than needed."""
    scene = model.encode(shapes(), model.bundle.settings(preset))
    with counted(model) as counts:
        scene.segment(TEXTS[:1], "g")
    assert counts["U-Net middle"] == 2 and counts["U-Net end"] == 1
    assert counts["U-Net middle rows"] == counts["U-Net attention rows"] == reached


def test_proposals_that_cannot_win_cost_nothing(model):
    scene = model.encode(shapes(), model.settings.replace(largest=1))
    with counted(model) as counts:
        answer = scene.segment(TEXTS[:1])[0]
    assert len(answer.candidates) == 1 < len(scene.proposals().masks)
    assert counts["CLIP patches rows"] == 1 + 1
