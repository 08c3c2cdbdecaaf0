"""HybridGL against plain loops; Grounded-SAM and SAM 3, as small random models, against their library; and the models
that a baseline brings along."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from conftest import ROOT, shapes
from hub_stand_in import Hub, Repository, serve
from refdiff import RefDiff
from refdiff.baselines import gem, hybridgl
from refdiff.baselines.registry import METHODS, OWN, get_methods
from refdiff.core.proposals import Proposals
from refdiff.datasets import open_dataset
from refdiff.errors import BundleError
from refdiff.evaluation import runner
from refdiff.evaluation.work import evaluate_image
from refdiff.models.detection import grounding_dino
from refdiff.models.detection.grounding_dino import GroundingDino
from refdiff.models.segmentors.sam3 import Sam3
from refdiff.weights import hub, manifest
from refdiff.weights.check import check_bundle, describe
from refdiff.weights.manifest import EMBEDDED, find_bundle

RNG = np.random.default_rng(0)


# HybridGL


@torch.inference_mode()
def test_the_last_blocks_agree_with_loops_over_heads_and_tokens(model):
    blocks = model.similarity.blocks[-2:]
    width = model.similarity.model.config.vision_config.hidden_size
    local, whole = torch.randn(2, 2, 4, width, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([[0, 0.5, 1], [0, 0, 0.25]])

    def ran(block, tokens, allowed):
        attention, normed = block.self_attn, block.layer_norm1(tokens)
        size, mixed = width // attention.num_heads, torch.zeros_like(tokens)
        for head in range(attention.num_heads):
            part = slice(head * size, (head + 1) * size)
            query, key, value = (getattr(attention, f"{name}_proj")(normed)[:, part] for name in "qkv")
            for i in range(len(tokens)):
                seen = [j for j in range(len(tokens)) if allowed(i, j)]
                shares = torch.stack([query[i] @ key[j] / math.sqrt(size) for j in seen]).softmax(0)
                mixed[i, part] = sum(share * value[j] for share, j in zip(shares, seen, strict=True))
        tokens = tokens + attention.out_proj(mixed)
        return tokens + block.mlp(block.layer_norm2(tokens))

    for n, found in enumerate(hybridgl.fused(blocks, local, whole, weights)):
        own, other = local[n], whole[n]
        for block in blocks:
            masked = torch.stack([other[0], *(w * token for w, token in zip(weights[n], other[1:], strict=True))])
            own = ran(block, own + 2 * masked, lambda i, j: True)
            other = ran(block, other, lambda i, j, n=n: i > 0 or j == 0 or weights[n, j - 1] > 0)
        assert torch.allclose(found, own, atol=1e-4)


def test_a_view_shows_nothing_but_the_proposal_and_its_surroundings(model):
    image, clip = shapes(), model.similarity
    mask = torch.from_numpy(image[..., 0] == 200)[None]
    far = image.copy()
    far[:, 120:] = 0  # further than the blur reaches
    both = [hybridgl.hybrid_features(clip, each, mask, 4) for each in (image, far)]
    assert not torch.equal(*both)  # the whole view sees it
    all_masks = torch.cat([mask, ~mask, mask])
    alone = torch.cat([hybridgl.hybrid_features(clip, image, each[None], 1) for each in all_masks])
    assert torch.allclose(hybridgl.hybrid_features(clip, image, all_masks, 2), alone, atol=1e-4)


HOLDS = {
    "left": lambda a, b: a[0] + a[2] < b[0] + b[2], "right": lambda a, b: a[0] + a[2] > b[0] + b[2],
    "above": lambda a, b: a[1] + a[3] < b[1] + b[3], "below": lambda a, b: a[1] + a[3] > b[1] + b[3],
    "big": lambda a, b: (a[2] - a[0]) * (a[3] - a[1]) > (b[2] - b[0]) * (b[3] - b[1]),
    "small": lambda a, b: (a[2] - a[0]) * (a[3] - a[1]) < (b[2] - b[0]) * (b[3] - b[1]),
    "within": lambda a, b: (max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
                            / ((a[2] - a[0]) * (a[3] - a[1])))}


@pytest.mark.parametrize("relation", [None, *HOLDS])
@pytest.mark.parametrize("named", [True, False])
def test_relations_agree_with_loops_over_pairs(relation, named):
    corner = RNG.integers(0, 40, (9, 2))
    boxes = np.concatenate([corner, corner + RNG.integers(5, 40, (9, 2))], 1)
    similar, others = torch.from_numpy(RNG.random((2, 9))).float()
    likely, found = hybridgl.related(relation, boxes, similar, others if named else None)
    assert likely.tolist() == sorted(range(9), key=lambda i: -similar[i])[:3]
    scores = others if named else similar
    against = sorted(range(9), key=lambda j: -scores[j])[: 6 if named else 3]
    sums = [sum(similar[i] if relation is None else
                similar[i] * scores[j] * HOLDS[relation](boxes[i].tolist(), boxes[j].tolist()) for j in against)
            for i in likely.tolist()]
    expected = np.exp(sums) / np.exp(sums).sum()
    assert found.numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("side", ["left", "right", "middle", None])
def test_coherence_agrees_with_loops_over_pixels(side):
    heat = torch.from_numpy(RNG.random((5, 8))).float()
    masks = torch.from_numpy(RNG.random((3, 5, 8)) < 0.4)
    fall = {"left": lambda x: 1 - x / 7, "right": lambda x: x / 7, None: lambda x: 1,
            "middle": lambda x: x / 3 if x < 4 else 1 - (x - 4) / 3}[side]
    found = hybridgl.coherence(heat * hybridgl.ramp(side, 8), masks, 1.8)
    for mask, score in zip(masks.tolist(), found, strict=True):
        cells = [(heat[y, x] * fall(x), mask[y][x]) for y in range(5) for x in range(8)]
        inside, outside = ([value for value, own in cells if own == wanted] for wanted in (True, False))
        expected = 0.2 * sum(inside) / len(inside) - 1.8 * sum(outside) / len(outside)
        assert score == pytest.approx(float(expected), abs=1e-5)


@torch.inference_mode()
def test_self_self_attention_agrees_with_loops(model):
    tokens, value = torch.randn(2, 1, 2, 5, 4, generator=torch.Generator().manual_seed(1))
    found = gem.self_self_attention(tokens, value, torch.tensor(2.5))

    def mixed(unit, what):
        rows = []
        for i in range(len(unit)):
            shares = torch.stack([2.5 * unit[i] @ each for each in unit]).softmax(0)
            rows.append(sum(share * each for share, each in zip(shares, what, strict=True)))
        return torch.stack(rows)

    for head in range(2):
        unit = torch.stack([each / each.norm() for each in tokens[0, head]])
        gathered = mixed(unit, unit)
        expected = mixed(torch.stack([each / each.norm() for each in gathered]), value[0, head])
        assert torch.allclose(found[0, head], expected, atol=1e-5)
    patches = gem.patch_features(model.similarity, shapes())
    assert torch.allclose(patches.norm(dim=-1), torch.ones(patches.shape[:2]), atol=1e-4)
    heat = gem.heat_map(patches, patches[2, 5], (96, 144))
    assert heat.shape == (96, 144) and heat.min() == 0 and heat.max() == 1
    y, x = np.unravel_index(int(heat.argmax()), heat.shape)
    rows, columns = patches.shape[:2]
    assert (int(y * rows / 96), int(x * columns / 144)) == (2, 5)


@pytest.mark.parametrize(("text", "phrase", "others", "relation", "side"), [
    ("the dog on the left of the car", "the dog", ("the car",), "left", "left"),
    ("the dog right of the car", "the dog", ("the car",), "right", "right"),
    ("right man", "right man", (), "right", "right"),
    ("bigger cat behind the sofa", "bigger cat", ("the sofa",), "big", None),
    ("cup inside the box", "cup", ("the box",), "within", None),
    ("the man in the middle of the picture", "the man", ("the picture",), None, "middle"),
    ("the red ball", "the red ball", (), None, None),
])
def test_what_an_expression_says(text, phrase, others, relation, side):
    found = hybridgl.read(text)
    assert (found.phrase, found.others, found.relation, found.side) == (phrase, others, relation, side)


def test_a_side_tells_two_like_things_apart(model):
    image = np.full((96, 144, 3), 128, np.uint8)
    y, x = np.mgrid[0:96, 0:144]
    discs = np.stack([(y - 48) ** 2 + (x - centre) ** 2 < 20**2 for centre in (36, 108)])
    image[discs.any(0)] = (200, 30, 30)
    scene = model.encode(image, proposals=Proposals.of(discs, "given"))
    left, right = METHODS["hybridgl"](scene, ["the ball on the left", "the ball on the right"])
    assert (left.index, right.index) == (0, 1) and set(left.parts) == {"similarity", "relation", "coherence"}


# Grounded-SAM and SAM 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A bundle with mini's models and small random ones of Grounding DINO and SAM 3."""
    from transformers import BertTokenizer, GroundingDinoConfig, GroundingDinoForObjectDetection, Sam3Config, Sam3Model

    home = tmp_path_factory.mktemp("rivals")
    torch.manual_seed(0)
    small = dict(hidden_size=32, num_attention_heads=2, intermediate_size=32)
    words = ["[PAD]", *(f"[u{i}]" for i in range(1, 100)), "[UNK]", "[CLS]", "[SEP]", "[MASK]",
             *(f"[u{i}]" for i in range(104, 1012)), ".", *(f"[u{i}]" for i in range(1013, 1029)), "?",
             *"a the red blue ball square left".split()]  # the model knows its special tokens by their numbers
    BertTokenizer(vocab={word: i for i, word in enumerate(words)}).save_pretrained(home / "dino")
    GroundingDinoForObjectDetection(GroundingDinoConfig(
        backbone_config=dict(model_type="swin", image_size=64, embed_dim=8, depths=[1] * 4, num_heads=[1, 1, 2, 2],
                             window_size=4, out_indices=[2, 3, 4]),
        text_config=dict(model_type="bert", vocab_size=len(words), num_hidden_layers=1, max_position_embeddings=64,
                         **small),
        d_model=32, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, num_queries=6, max_text_len=32)).save_pretrained(home / "dino")
    text = json.loads((EMBEDDED / "mini" / "clip" / "config.json").read_text())["text_config"]
    Sam3Model(Sam3Config(
        vision_config=dict(
            fpn_hidden_size=32, backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]], backbone_config=dict(
                model_type="sam3_vit_model", num_hidden_layers=2, image_size=112, patch_size=14, window_size=4,
                global_attn_indexes=[1], pretrain_image_size=56, **small)),
        text_config=dict(model_type="clip_text_model", vocab_size=text["vocab_size"], num_hidden_layers=1,
                         max_position_embeddings=32, projection_dim=16, bos_token_id=0, eos_token_id=1, **small),
        geometry_encoder_config=dict(num_layers=1, **small), detr_encoder_config=dict(num_layers=1, **small),
        detr_decoder_config=dict(num_layers=2, num_queries=5, **small),
        mask_decoder_config=dict(hidden_size=32, num_attention_heads=2))).save_pretrained(home / "sam3")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (home / "sam3" / name).write_bytes((EMBEDDED / "mini" / "clip" / name).read_bytes())
    own = json.loads((EMBEDDED / "mini" / "refdiff.json").read_text())
    parts = {part: {"bundle": "mini", "part": part} for part in ("diffusion", "clip", "sam")}
    (home / "refdiff.json").write_text(json.dumps(
        own | parts | {"name": "rivals", "grounding_dino": "dino", "sam3": "sam3"}))
    return home


@pytest.fixture(scope="module")
def rivals(folder) -> RefDiff:
    return RefDiff.from_pretrained(folder, device="cpu")


TEXTS = ["The red ball.", "blue square left"]


@pytest.fixture
def small(monkeypatch):
    """Grounding DINO sees small images, as 800 px would take seconds."""
    monkeypatch.setattr(grounding_dino, "_SHORTER", 128)


@torch.inference_mode()
def test_grounding_dino_agrees_with_its_library(folder):
    from transformers import GroundingDinoProcessor
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil

    detector = GroundingDino.from_pretrained(folder / "dino")
    processor = GroundingDinoProcessor(GroundingDinoImageProcessorPil(), detector.tokenizer)
    for size in ((90, 120), (300, 90), (50, 50), (333, 1000)):
        image = Image.fromarray(RNG.integers(0, 256, (*size, 3), np.uint8))
        inputs = processor(images=image, text="the red ball.", return_tensors="pt")
        assert torch.allclose(detector.pixels(np.asarray(image)), inputs.pixel_values, atol=1e-5)
    for name in ("pixel_values", "pixel_mask"):
        inputs[name] = inputs[name][..., :200, :300]
    (expected,) = processor.post_process_grounded_object_detection(
        detector.model(**inputs), threshold=0.0, target_sizes=[(100, 150)])
    boxes, scores = detector.boxes(inputs.pixel_values, "The red ball.")
    order = expected["scores"].argsort(descending=True)
    frame = torch.tensor([150, 100, 150, 100])
    assert torch.allclose(scores, expected["scores"][order], atol=1e-5)
    assert torch.allclose(boxes * frame, expected["boxes"][order].clamp(torch.zeros(4), frame), atol=1e-2)


def test_grounded_sam_prompts_with_the_best_box_or_all_good_ones(rivals, small):
    image = shapes()
    detector = rivals.brought("grounding_dino", GroundingDino.from_pretrained)
    scene = rivals.encode(image, rivals.settings.replace(targets="one"))
    for text, choice in zip(TEXTS, METHODS["grounded-sam"](scene, TEXTS), strict=True):
        boxes, scores = detector.boxes(detector.pixels(image), text)
        first = rivals.segmentor.prompt_at(scene.embedding(), (96, 144), single=True,
                                           boxes=boxes[:1].numpy() * np.array([144, 96, 144, 96]))
        assert len(first.masks) == 1 and np.array_equal(choice.mask, first.masks[0])
        assert choice.score == float(scores[0])
    several = rivals.encode(image, rivals.settings.replace(targets="any"))
    for text, choice in zip(TEXTS, METHODS["grounded-sam"](several, TEXTS), strict=True):
        boxes, scores = detector.boxes(detector.pixels(image), text)
        union = np.zeros((96, 144), bool)
        for box in boxes[scores > 0.25]:
            union |= rivals.segmentor.prompt_at(several.embedding(), (96, 144), single=True,
                                                boxes=box[None].numpy() * np.array([144, 96, 144, 96])).masks[0]
        assert np.array_equal(choice.mask, union) and choice.instances == int((scores > 0.25).sum())


@torch.inference_mode()
def test_sam3_agrees_with_its_library(folder, rivals):
    sam3, image = Sam3.from_pretrained(folder / "sam3"), shapes()
    square = torch.from_numpy(np.array(Image.fromarray(image).resize((112, 112), Image.Resampling.BILINEAR)))
    assert torch.allclose(sam3.pixels(image)[0], square.permute(2, 0, 1) / 127.5 - 1, atol=0.02)  # that is in 8 bit
    read = sam3.tokenizer(TEXTS[0], padding="max_length", max_length=32, return_tensors="pt")
    output = sam3.model(pixel_values=sam3.pixels(image), input_ids=read.input_ids, attention_mask=read.attention_mask)
    # as its processor does afterwards, which cannot be imported without torchvision
    expected = output.pred_logits[0].sigmoid() * output.presence_logits[0, 0].sigmoid()
    order = expected.argsort(descending=True)
    logits, scores = sam3.find(sam3.encode(image), TEXTS[0])
    assert torch.allclose(scores, expected[order], atol=1e-6)
    masks = sam3.painted(logits, (96, 144))
    resized = F.interpolate(output.pred_masks.sigmoid(), (96, 144), mode="bilinear")[0, order]
    assert np.array_equal(masks, resized.numpy() > 0.5) and masks.any() and not masks.all()
    for targets, number in (("one", 1), ("any", int((scores > 0.5).sum()))):
        scene = rivals.encode(image, rivals.settings.replace(targets=targets))
        (choice,) = METHODS["sam3"](scene, TEXTS[:1])
        assert np.array_equal(choice.mask, masks[:number].any(0)) and choice.score == pytest.approx(float(scores[0]))
        assert (choice.found, choice.instances) == (number > 0, number)


@pytest.mark.parametrize("name", ["hybridgl", "grounded-sam", "sam3"])
def test_an_answer_depends_on_its_image_and_expression_alone(rivals, small, name):
    image = shapes()
    given = Proposals.of(np.stack([image[..., 0] == 200, image[..., 2] == 200, image[..., 0] == 128]), "given")
    scene = rivals.encode(image, proposals=given)
    forth = METHODS[name](scene, TEXTS)
    back = METHODS[name](rivals.encode(image, proposals=given), TEXTS[::-1])[::-1]
    for one, other in zip(forth, back, strict=True):
        assert np.array_equal(one.mask, other.mask) and one.score == pytest.approx(other.score, abs=1e-5)
    again = METHODS[name](scene, [" ".join(["a red ball and"] * 60)])  # longer than any text encoder reads
    assert again[0].mask.shape == (96, 144)


def test_who_chooses_among_proposals(rivals, folder, small, tmp_path):
    image = tmp_path / "none.png"
    Image.fromarray(shapes()).save(image)
    Image.fromarray(np.uint8(shapes()[..., 0] == 200) * 255).save(tmp_path / "mask.png")
    (tmp_path / "one.jsonl").write_text(json.dumps({"image": "none.png", "expression": "the ball", "mask": "mask.png"}))
    (tmp_path / "proposals.json").write_text('{"none.png": []}')
    references = open_dataset(tmp_path / "one.jsonl", "val").references
    methods = get_methods(["hybridgl", "grounded-sam", "sam3"])
    rows = evaluate_image(rivals, references, 0, shapes(), methods, tmp_path / "proposals.json")
    assert [row["chosen"] for row in rows] == [None, 0, 0]
    assert runner._needed(rivals, methods[:1], given=True) == ["clip"]
    assert runner._needed(rivals, methods[1:], given=True) == ["grounding_dino", "sam", "sam3"]
    report = runner.evaluate(rivals, open_dataset(tmp_path / "one.jsonl", "val"), methods[1:], tmp_path / "run")
    assert set(report["figures"]) == {"grounded-sam", "sam3"} and "brought" not in report
    assert {result.part: result.ok for result in check_bundle(find_bundle(folder))}["sam3"]


# Models that a baseline brings along


def refused(call, *arguments) -> str:
    with pytest.raises(BundleError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    return str(caught.value)


@pytest.fixture
def web(folder, tmp_path, monkeypatch):
    """A stand-in of the Hub with SAM 3, tracker and all, and an empty cache."""
    from safetensors.torch import load_file, save

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    files = {path.name: path.read_bytes() for path in (folder / "sam3").iterdir()}
    state = load_file(folder / "sam3" / "model.safetensors")
    both = {"model_type": "sam3_video", "detector_config": json.loads(files["config.json"]),
            "tracker_config": {"model_type": "sam3_tracker_video"}, "min_trk_keep_alive": -1}
    files |= {"config.json": json.dumps(both).encode(), "sam3.pt": b"x" * 1000, "model.safetensors": save(
        {f"detector_model.{name}": each for name, each in state.items()} | {"tracker_model.x": torch.ones(3)})}
    pinned = manifest.BROUGHT["sam3"].parts["sam3"]
    stand_in = Hub()
    stand_in.repositories[pinned.repo] = Repository({pinned.revision: files}, {"main": pinned.revision})
    with serve(stand_in):
        monkeypatch.setattr(hub, "_endpoint", lambda: stand_in.url)
        yield stand_in


def test_a_model_is_fetched_when_its_method_is_named_and_its_commit_is_in_the_header(web, model, capsys):
    pinned = manifest.BROUGHT["sam3"].parts["sam3"]
    dataset, methods = open_dataset(ROOT / "benchmarks" / "scenes", "val"), get_methods(["sam3", "cropping"])
    assert "sam3" not in OWN and "grounded-sam" not in OWN and "hybridgl" in OWN
    assert find_bundle("mini").owner("sam3").name == "sam3" and not find_bundle("mini").plan(baselines=True).fetches
    assert describe(find_bundle("sam3")).state == "absent" and not web.sent
    web.repositories[pinned.repo].gated = True
    assert "facebook/sam3 is gated: accept its licence" in refused(model.bundle.part, "sam3")
    web.repositories[pinned.repo].gated = False
    sam3 = model.brought("sam3", Sam3.from_pretrained)
    assert sam3.side == 112 and model.brought("sam3", Sam3.from_pretrained) is sam3
    assert not any(path.endswith(".pt") for path in web.sent) and "SAM License" in capsys.readouterr().err
    brought = runner.header(model, dataset, methods, None)["brought"]
    assert brought == {"sam3": f"facebook/sam3@{pinned.revision}"}
    assert "brought" not in runner.header(model, dataset, methods[1:], None)
    assert describe(find_bundle("sam3")).state == "ready" and not find_bundle("sam3").plan().fetches


def test_a_wrong_folder_is_one_sentence(folder, tmp_path, monkeypatch):
    where = tmp_path / "refdiff.json"
    for part, words in (("grounding_dino", "not 'grounding-dino'"), ("sam3", "not 'sam3'")):
        where.write_text(json.dumps({"format": 1, part: {"bundle": "mini", "part": "clip"}}))
        wrong = RefDiff.from_pretrained(tmp_path, device="cpu")
        load = {"grounding_dino": GroundingDino, "sam3": Sam3}[part].from_pretrained
        assert f"of type 'clip', {words}" in refused(wrong.brought, part, load)
    config = json.loads((folder / "dino" / "config.json").read_text())
    broken = tmp_path / "dino"
    broken.mkdir()
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (broken / name).write_bytes((folder / "dino" / name).read_bytes())
    for change, words in (({"backbone_config": {"model_type": "resnet"}}, "another type than swin"),
                          ({"d_model": 64}, "of another shape"), ({"encoder_attention_heads": 5}, "do not divide")):
        (broken / "config.json").write_text(json.dumps(config | change))
        assert words in refused(GroundingDino.from_pretrained, broken)
    monkeypatch.setitem(manifest.BROUGHT, "tseg", manifest.Bundle("tseg", {"tseg": EMBEDDED / "no-such"}))
    assert "tseg model is not in this installation" in refused(find_bundle("mini").part, "tseg")


def test_a_backbone_on_the_hub_is_not_asked_for(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi.repo_exists", lambda *_, **__: pytest.fail("the Hub was asked"))
    config = json.loads((folder / "dino" / "config.json").read_text())
    config |= {"backbone": "someone/backbone", "use_pretrained_backbone": True, "use_timm_backbone": True}
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / "dino" / name).read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert GroundingDino.from_pretrained(tmp_path).model.config.backbone_config.embed_dim == 8
