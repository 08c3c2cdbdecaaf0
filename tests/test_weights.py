"""Bundles: what a manifest may say, what is fetched from the Hub and how, and which weights are refused."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

from conftest import shapes
from hub_stand_in import Hub, Repository, serve
from refdiff import RefDiff
from refdiff.errors import BundleError, InputError
from refdiff.settings import PRESETS
from refdiff.weights import cache, hub, layout, load
from refdiff.weights.cache import sha256
from refdiff.weights.check import check_bundle, describe
from refdiff.weights.manifest import _BUILT_IN, EMBEDDED, find_bundle, names

MINI = EMBEDDED / "mini"
PINS = {part: (where["repo"], where["revision"]) for part, where in _BUILT_IN["sd15"].items()
        if part in layout.PARTS}


def refused(call, *arguments) -> str:
    """The one sentence with which a call is refused."""
    with pytest.raises(BundleError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    return str(caught.value)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Evil:
    """A pickle that would leave a file behind if it were ever read in full."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


# Manifests


@pytest.fixture
def bundle(tmp_path) -> Path:
    return Path(shutil.copytree(MINI, tmp_path / "bundle"))


def write(bundle: Path, **changes) -> Path:
    manifest = json.loads((bundle / "refdiff.json").read_text()) | changes
    (bundle / "refdiff.json").write_text(json.dumps(manifest))
    return bundle


def test_a_manifest_is_all_that_is_read(bundle):
    found = find_bundle(write(bundle, calibration={"kind": "logistic", "weights": [1, 2]}, name="mine"))
    assert (found.name, found.calibration["kind"], found.has("sam"), found.has("baseline_clip")) == (
        "mine", "logistic", True, False)
    assert "cat" in found.domain.nouns and "cat" in found.domain.vocabulary
    assert found.settings().segmentor.points_per_side == 16
    assert found.settings("paper").generative.image_size == 192
    with pytest.raises(InputError, match="paper, official"):
        found.settings("papers")
    for part in ("clip", "sam"):
        shutil.rmtree(bundle / part)
    found = find_bundle(bundle)
    assert found.part("diffusion") == bundle / "diffusion" and found.locate("sam") is None
    assert "config.json" in refused(found.part, "clip")
    assert "baseline_clip" in refused(found.require, "clip", "baseline_clip")
    assert pickle.loads(pickle.dumps(found)) == found


def test_bundles_known_by_name(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert names() == ["mini", "sd15", "sd15-light"]
    heavy, light = find_bundle("sd15"), find_bundle("sd15-light")
    assert light.settings("paper").segmentor.points_per_side == 16 < heavy.settings("paper").segmentor.points_per_side
    assert light.parts["clip"] == heavy.parts["clip"] and light.parts["sam"].repo == "facebook/sam-vit-base"
    assert describe(heavy).state == "absent" and heavy.fingerprint() != light.fingerprint()
    assert all(len(where.revision) == 40 and where.trusted for where in heavy.parts.values())
    for name in ("no-such-bundle", "/no/such/folder", "a/../b", "x" * 5000, "a\n/b", "\udc80", 5, b"mini"):
        assert "named by" in (said := refused(find_bundle, name)) or "mini, sd15, sd15-light" in said


def test_the_fingerprint_follows_every_file(bundle):
    before = find_bundle(bundle).fingerprint()
    assert before == find_bundle("mini").fingerprint()
    (bundle / "clip" / "config.json").write_text((bundle / "clip" / "config.json").read_text() + " ")
    assert find_bundle(bundle).fingerprint() != before


def test_a_part_of_another_bundle_and_a_pipeline_folder(bundle, tmp_path):
    parts = {"clip": {"bundle": "mini", "part": "clip"}, "sam": None}
    found = find_bundle(write(bundle, **parts))
    assert found.part("clip") == MINI / "clip" and not found.has("sam")
    folder = Path(shutil.copytree(MINI / "diffusion", tmp_path / "pipeline"))
    shutil.copytree(MINI / "clip", folder / "clip")
    found = find_bundle(folder)
    assert found.part("diffusion") == folder and found.part("clip") == folder / "clip"
    assert "no sam model" in refused(found.part, "sam")


@pytest.mark.parametrize(("text", "words"), [
    ("{", "JSON"), ("[1]", "object"), ("[" * 100_000, "JSON"), ('{"format": 9}', "format 1"), ("{}", "format 1"),
    ('{"format": 1, "clip": "../../elsewhere"}', "outside"), ('{"format": 1, "clip": 5}', "sub-folder"),
    ('{"format": 1, "clip": "a\\u0000b"}', "clip"), ('{"format": 1, "clip": {"repo": "../x"}}', "sub-folder"),
    ('{"format": 1, "clip": {"repo": "a/b", "revision": "../../x"}}', "sub-folder"),
    ('{"format": 1, "clip": {"bundle": "mini", "part": "baseline_clip"}}', "sub-folder"),
    ('{"format": 1, "clip": "' + "a" * 5000 + '"}', "folder name"),
    ('{"format": 1, "clip": {"repo": "a/' + "b" * 5000 + '"}}', "sub-folder"),
    ('{"format": 1, "settings": {"x": 1}}', "x"), ('{"format": 1, "settings": {"alpha": 2}}', "alpha"),
    ('{"format": 1, "geometry": {"image_size": NaN}}', "image_size"), ('{"format": 1, "settings": 3}', "settings"),
    ('{"format": 1, "domain": {"vocabulary": "cat"}}', "vocabulary must be a list of words"),
    ('{"format": 1, "domain": {"vocabulary": ["cat", 5]}}', "vocabulary"),
    ('{"format": 1, "domain": {"vocabulary": ["\\ud800"]}}', "vocabulary"),
    ('{"format": 1, "domain": {"attributes": {"red": true}}}', "attributes must be a list of words"),
    ('{"format": 1, "domain": {"attributes": [" "]}}', "attributes"),
    ('{"format": 1, "domain": {"meanings": ["cat"]}}', "meanings must name lists of nouns"),
    ('{"format": 1, "domain": {"meanings": {"pet": "cat"}}}', "meanings, as 'pet', must be a list of words"),
    ('{"format": 1, "domain": {"meanings": {"pet": [[]]}}}', "'pet'"),
    ('{"format": 1, "domain": {"meanings": {"pet": []}}}', "at least one noun"),
    ('{"format": 1, "domain": {"meanings": {"' + "a" * 5000 + '": 1}}}', "meanings"),
    ('{"format": 1, "settings": {"reading": "all"}}', "reading"),
    ('{"format": 1, "domain": {"nouns": "cat"}}', "nouns"), ('{"format": 1, "domain": {"low_score": "a"}}', "low_"),
    ('{"format": 1, "calibration": []}', "calibration"), ('{"format": 1, "name": "a\\nb"}', "name"),
    ('{"format": 1, "name": "' + "a" * 2**21 + '"}', "larger"),
])
def test_a_manifest_that_cannot_be_used(tmp_path, text, words):
    (tmp_path / "refdiff.json").write_text(text)
    assert words in refused(find_bundle, tmp_path)


# Saving


def test_a_saved_bundle_gives_the_same_masks(model, tmp_path):
    changed = RefDiff(model.bundle, model.device, settings=model.settings.replace(alpha=0.4, crops_per_batch=8))
    changed.save_pretrained(tmp_path / "saved")
    loaded = RefDiff.from_pretrained(tmp_path / "saved", device="cpu")
    assert loaded.settings == changed.settings and loaded.bundle.domain == model.bundle.domain
    assert [loaded.bundle.settings(name) for name in PRESETS] == [model.bundle.settings(name) for name in PRESETS]
    assert loaded.bundle.fingerprint() == model.bundle.fingerprint() and loaded.bundle.licence == model.bundle.licence
    first, second = (each(shapes(), "the ball on the left") for each in (changed, loaded))
    assert np.array_equal(first.mask, second.mask) and first.mask.any() and first.score == second.score
    assert first.confidence is None and loaded.bundle.calibration is None  # fitted for another alpha
    own = contents(MINI)
    assert {name: data for name, data in contents(tmp_path / "saved").items() if name in own and "/" in name} == {
        name: data for name, data in own.items() if "/" in name}
    assert str(tmp_path) not in (tmp_path / "saved" / "README.md").read_text("utf-8")
    card = ModelCard.load(tmp_path / "saved" / "README.md")
    assert (card.data.license, card.data.library_name, card.data.pipeline_tag) == (
        "apache-2.0", "refdiff", "image-segmentation")
    for words in ("`alpha`: 0.4", "91 nouns", "confidence` is None", sha256(MINI / "sam" / "model.safetensors")):
        assert words in card.text
    with pytest.raises(InputError, match="not empty"):
        changed.save_pretrained(tmp_path / "saved")


def test_a_calibration_is_saved_with_the_settings_it_was_fitted_for(model, tmp_path):
    batched = RefDiff(model.bundle, model.device, settings=model.settings.replace(crops_per_batch=8))
    for number, each in enumerate((model, batched)):
        each.save_pretrained(tmp_path / str(number))
        saved = find_bundle(tmp_path / str(number))
        assert saved.calibration == model.bundle.calibration and saved.settings() == each.settings


# Loading


def test_models_are_the_libraries_own(bundle):
    folder = find_bundle("mini").part("diffusion")
    numbers = torch.get_rng_state()
    text_encoder = load.load_text_encoder(folder / "text_encoder", dtype=torch.bfloat16)
    for made in (text_encoder, load.load_unet(folder / "unet"), load.load_vae(folder / "vae"),
                 load.load_sam(MINI / "sam"), load.load_clip(MINI / "clip")[0]):
        assert type(made).__module__.split(".")[0] in ("diffusers", "transformers")
        assert not made.training and not any(each.requires_grad or each.is_meta for each in made.parameters())
        assert made.dtype == (torch.bfloat16 if made is text_encoder else torch.float32)
    assert torch.equal(torch.get_rng_state(), numbers)
    stored = load_file(MINI / "clip" / "model.safetensors")
    assert torch.equal(made.state_dict()["visual_projection.weight"], stored["visual_projection.weight"].float())
    for weights in list(bundle.rglob("*.safetensors")):
        weights.rename(weights.with_name(weights.name.replace(".safetensors", ".fp16.safetensors")))
    assert all(result.ok for result in check_bundle(find_bundle(bundle)))
    assert load.vae_stride(folder / "vae") == 8 and load.text_positions(folder / "text_encoder") == 32
    assert load.load_scheduler(folder / "scheduler").config.prediction_type == "v_prediction"
    assert load.weight_gb(MINI / "clip", torch.float16) == pytest.approx(
        sum(each.numel() for each in made.state_dict().values()) * 2e-9)


@pytest.mark.parametrize("default", [torch.bfloat16, torch.float64])
def test_weights_are_read_the_same_whatever_torchs_default_dtype(default):
    def states() -> list[dict[str, torch.Tensor]]:
        folder = MINI / "diffusion"
        return [made.state_dict() for made in (
            load.load_unet(folder / "unet"), load.load_vae(folder / "vae"), load.load_sam(MINI / "sam"),
            load.load_text_encoder(folder / "text_encoder"), load.load_clip(MINI / "clip")[0])]

    expected = states()
    torch.set_default_dtype(default)
    try:
        found = states()
    finally:
        torch.set_default_dtype(torch.float32)
    for own, other in zip(expected, found, strict=True):
        assert all(own[name].dtype == other[name].dtype and torch.equal(own[name], other[name]) for name in own)


def test_tokenizer_files_of_both_ages(bundle):
    tokenizer = bundle / "clip" / "tokenizer.json"
    model = json.loads(tokenizer.read_text())["model"]
    (bundle / "clip" / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (bundle / "clip" / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    tokenizer.unlink()
    old, new = load.load_tokenizer(find_bundle(bundle).part("clip"), 20), load.load_tokenizer(MINI / "clip")
    assert old("the left cat").input_ids == new("the left cat").input_ids
    assert (old.model_max_length, new.model_max_length) == (20, 32)


def test_names_of_old_checkpoints(tmp_path):
    """Stable Diffusion 1.5 has its VAE's attention under old names, and position ids in its text encoder."""
    from diffusers import AutoencoderKL

    vae = AutoencoderKL(block_out_channels=(4,), norm_num_groups=2)
    vae.save_pretrained(tmp_path)
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = {}
    for name, tensor in load_file(path).items():
        for new, before in old.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{before}.")
        state[name] = tensor
    assert any("proj_attn" in name for name in state)
    save_file(state, path)
    loaded = load.load_vae(tmp_path)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in vae.state_dict().items())
    text = Path(shutil.copytree(MINI / "diffusion" / "text_encoder", tmp_path / "text"))
    state = {f"text_model.{name}": tensor for name, tensor in load_file(text / "model.safetensors").items()}
    save_file(state | {"text_model.embeddings.position_ids": torch.arange(32)[None]}, text / "model.safetensors")
    before = load.load_text_encoder(MINI / "diffusion" / "text_encoder").state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in load.load_text_encoder(text).state_dict().items())


def changed(path: Path, change) -> None:
    """Change the tensors of a safetensors file."""
    state = load_file(path)
    change(state)
    save_file(state, path)


@pytest.mark.parametrize(("loader", "folder", "tensor"), [
    (load.load_clip, "clip", "text_projection.weight"), (load.load_sam, "sam", "vision_encoder.pos_embed"),
    (load.load_text_encoder, "diffusion/text_encoder", "final_layer_norm.bias"),
    (load.load_unet, "diffusion/unet", "conv_in.weight"), (load.load_vae, "diffusion/vae", "encoder.conv_in.bias"),
])
def test_weights_that_are_not_the_models_are_refused_by_name(bundle, loader, folder, tensor):
    path = next((bundle / folder).glob("*.safetensors"))
    whole = path.read_bytes()
    for change, word in ((lambda state: state.pop(tensor), "missing"),
                         (lambda state: state.update({"stray": torch.ones(2)}), "unexpected"),
                         (lambda state: state.update({tensor: torch.ones(2, 2, 2)}), "another shape"),
                         (lambda state: state[tensor].view(-1)[:1].fill_(float("nan")), "not finite")):
        path.write_bytes(whole)
        changed(path, change)
        message = refused(loader, bundle / folder)
        assert word in message and ("stray" if word == "unexpected" else tensor) in message
    assert not check_of(bundle, folder.partition("/")[0]).ok
    path.write_bytes(whole)
    changed(path, lambda state: state.update({tensor: state[tensor].float().fill_(1e6)}))
    loader(bundle / folder)
    if loader is not load.load_sam:
        assert "too great" in refused(loader, bundle / folder, "cpu", torch.float16)


def check_of(bundle, part: str):
    return next(result for result in check_bundle(find_bundle(bundle)) if result.part == part)


def test_weights_of_another_model_and_damaged_files(bundle):
    path = bundle / "clip" / "model.safetensors"
    whole = path.read_bytes()
    shutil.copy(MINI / "sam" / "model.safetensors", path)
    assert "missing" in (message := refused(load.load_clip, bundle / "clip")) and "more" in message
    unwritten = whole[: len(whole) // 2].ljust(len(whole), b"\0")  # its size was set, its end never came
    for content in (b"nonsense", b"", whole[:-1000], whole[:100], bytes(len(whole)), unwritten, b"\xff" * 8 + whole):
        path.write_bytes(content)
        assert "damaged" in refused(load.load_clip, bundle / "clip")
        assert describe(find_bundle(bundle)).state == "partly"
    path.unlink()
    assert "no safetensors" in refused(load.load_clip, bundle / "clip")


def shard(folder: Path, **renamed: str) -> list[str]:
    """Split a folder's weights into two shards with an index; returns their names."""
    single = next(folder.glob("*.safetensors"))
    state, stem = load_file(single), single.stem
    single.unlink()
    keys = sorted(state)
    shards = {f"{stem}-0000{i + 1}-of-00002.safetensors": keys[i::2] for i in range(2)}
    for name, part in shards.items():
        save_file({key: state[key] for key in part}, folder / name)
    index = {key: renamed.get(key, name) for name, part in shards.items() for key in part}
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return list(shards)


def test_shards_are_read_from_the_folder_alone(bundle, tmp_path):
    for folder in (bundle / "sam", bundle / "diffusion" / "unet"):
        names = shard(folder)
    assert all(result.ok for result in check_bundle(find_bundle(bundle)))
    unet = bundle / "diffusion" / "unet"
    assert torch.equal(load.load_unet(unet).conv_in.weight, load.load_unet(MINI / "diffusion" / "unet").conv_in.weight)
    outside = tmp_path / "outside.safetensors"
    shutil.copy(unet / names[1], outside)
    (unet / "x.bin").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    (unet / "link.safetensors").symlink_to(outside)
    index = unet / "diffusion_pytorch_model.safetensors.index.json"
    good = json.loads(index.read_text())["weight_map"]
    for name in ("x.bin", "../../../outside.safetensors", str(outside), "absent.safetensors", "link.safetensors", 5,
                 "x" * 5000 + ".safetensors", "\0.safetensors"):
        index.write_text(json.dumps({"weight_map": good | {"conv_in.weight": name}}))
        refused(load.load_unet, unet)
    index.write_text(json.dumps({"weight_map": {key: name for key, name in good.items() if name == names[0]}}))
    assert "missing" in refused(load.load_unet, unet)
    for text in ("{}", "[]", "{", '{"weight_map": {}}'):
        index.write_text(text)
        refused(load.load_unet, unet)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("file", "text"), [
    ("scheduler/scheduler_config.json", '{"prediction_type": "flow"}'),
    ("scheduler/scheduler_config.json", '{"num_train_timesteps": 1e99}'),
    ("scheduler/scheduler_config.json", '{"beta_start": NaN}'),
    ("scheduler/scheduler_config.json", "{"),
    ("vae/config.json", '{"block_out_channels": 5}'),
    ("unet/config.json", '{"layers_per_block": 1000000}'),
    ("text_encoder/config.json", '{"num_hidden_layers": 1000000}'),
    ("text_encoder/config.json", '{"max_position_embeddings": 10000000000}'),
    ("text_encoder/config.json", '{"hidden_size": "many"}'),
    ("tokenizer/tokenizer.json", "{"),
])
def test_configs_that_cannot_be_used(bundle, file, text):
    (bundle / "diffusion" / file).write_text(text)
    result = check_of(bundle, "diffusion")
    assert not result.ok and "\n" not in result.message


def test_a_config_cannot_make_the_library_read_anything_else(bundle, tmp_path):
    config = bundle / "clip" / "config.json"
    (bundle / "clip" / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    config.write_text(json.dumps(json.loads(config.read_text()) | {
        "transformers_weights": "pytorch_model.bin", "attn_implementation": "someone/kernels",
        "quantization_config": {"quant_method": "bitsandbytes"}, "auto_map": {"AutoModel": "x.Y"}}))
    (bundle / "clip" / "adapter_config.json").write_text('{"base_model_name_or_path": "/etc"}')
    assert torch.equal(load.load_clip(bundle / "clip")[0].logit_scale, load.load_clip(MINI / "clip")[0].logit_scale)
    assert not (tmp_path / "ran").exists()


THREADS = """
import sys, threading, logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import torch
from refdiff.weights import load

mini, start, halt, seen = Path(sys.argv[1]), threading.Barrier(8), threading.Event(), set()
default = getattr(torch, sys.argv[2])
torch.set_default_dtype(default)
loaders = [lambda: load.load_unet(mini / "diffusion/unet"), lambda: load.load_vae(mini / "diffusion/vae"),
           lambda: load.load_text_encoder(mini / "diffusion/text_encoder", dtype=torch.bfloat16),
           lambda: load.load_clip(mini / "clip")[0], lambda: load.load_sam(mini / "sam"),
           lambda: load.load_scheduler(mini / "diffusion/scheduler")]

def each(number):
    start.wait()
    return [loaders[(number + i) % len(loaders)]() for i in range(3)]

def watch():
    while not halt.is_set():
        halt.wait(0.002)
        seen.add(torch.get_default_dtype())
        seen.add(bool((torch.nn.Linear(4, 4).weight.detach().abs() < 0.51).all()) and torch.ones(2).device.type)

watcher = threading.Thread(target=watch)
watcher.start()
with ThreadPoolExecutor(8) as pool:
    loaded = list(pool.map(each, range(8)))
halt.set()
watcher.join()
first = {}
for model in (model for models in loaded for model in models if isinstance(model, torch.nn.Module)):
    state = first.setdefault(type(model).__name__, model.state_dict())
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
assert len(first) == 5 and seen == {default, "cpu"}, (first.keys(), seen)
assert all(tensor.dtype == (torch.bfloat16 if name == "CLIPTextModel" else torch.float32)
           for name, state in first.items() for tensor in state.values())
assert logging.getLogger("transformers").level == logging.getLogger("diffusers").level == logging.WARNING
"""


@pytest.mark.parametrize("default", ["float32", "bfloat16"])
def test_eight_threads_load_at_once_and_nothing_global_changes(default):
    done = subprocess.run([sys.executable, "-c", THREADS, str(MINI), default], capture_output=True, text=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# The Hub


@pytest.fixture(scope="module")
def layouts(tmp_path_factory) -> dict[str, dict[str, bytes]]:
    """mini's parts in the layouts of the repositories that sd15 names, by part."""
    folder = tmp_path_factory.mktemp("layouts")
    sam = Path(shutil.copytree(MINI / "sam", folder / "sam"))
    shard(sam)
    clip = contents(MINI / "clip")
    torch.save(load_file(MINI / "clip" / "model.safetensors"), folder / "pytorch_model.bin")
    del clip["model.safetensors"]
    clip |= {"pytorch_model.bin": (folder / "pytorch_model.bin").read_bytes(), "tf_model.h5": b"x" * 1000}
    diffusion = contents(MINI / "diffusion") | {
        "v1-5-pruned.ckpt": b"x" * 1000, "unet/diffusion_pytorch_model.bin": b"x" * 1000, "README.md": b"x",
        "unet/diffusion_pytorch_model.fp16.safetensors": b"x" * 1000, "safety_checker/model.safetensors": b"x" * 1000}
    return {"diffusion": diffusion, "clip": clip, "sam": contents(sam), "baseline_clip": clip}


@pytest.fixture
def web(layouts, tmp_path, monkeypatch):
    """A stand-in of the Hub with sd15's repositories, and an empty cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    stand_in = Hub()
    for part, (repo, revision) in PINS.items():
        stand_in.repositories[repo] = Repository({revision: dict(layouts[part])}, {"main": revision})
    with serve(stand_in):
        monkeypatch.setattr(hub, "_endpoint", lambda: stand_in.url)
        yield stand_in


def converts(web: Hub, part: str) -> None:
    """Let the Hub's robot offer safetensors in pull request 3; the second is someone else's."""
    repository = web.repositories[PINS[part][0]]
    weights = (MINI / "clip" / "model.safetensors").read_bytes()
    repository.commits |= {"b" * 40: {"model.safetensors": weights}, "c" * 40: {"model.safetensors": b"not these"}}
    repository.branches |= {"refs/pr/3": "b" * 40, "refs/pr/2": "c" * 40}
    repository.pulls = [(2, "someone", "Adding safetensors"), (3, "SFconvertbot", "Adding `safetensors` variant")]


def test_download_then_list_and_check_say_ready(web):
    converts(web, "clip")
    bundle = find_bundle("sd15")
    plan = bundle.plan()
    for words in ("27.", "CreativeML", "free", "cache", PINS["clip"][0], PINS["sam"][0]):
        assert words in str(plan)
    assert [fetch.part.kind for fetch in plan.fetches] == ["sam", "clip", "diffusion"] and not web.sent
    hub.download(plan)
    assert describe(bundle).state == "ready" and describe(bundle).absent == ("baseline_clip",)
    assert all(result.ok for result in check_bundle(bundle)), check_bundle(bundle)
    assert not any(word in path for path in web.sent for word in
                   ("ckpt", "bin", "h5", "fp16", "safety", "README")), web.sent
    assert load.load_clip(bundle.part("clip"))[0].logit_scale == load.load_clip(MINI / "clip")[0].logit_scale
    light = describe(find_bundle("sd15-light"))
    assert (light.state, light.parts) == ("partly", ("diffusion", "clip"))
    sent = len(web.sent)
    assert "nothing to download" in str(bundle.plan()) and bundle.part("sam").is_dir() and len(web.sent) == sent


def test_the_baselines_pickle_is_converted_once(web):
    bundle = find_bundle("sd15")
    hub.download(bundle.plan(baselines=True))
    assert describe(bundle).absent == () and all(result.ok for result in check_bundle(bundle))
    folder = bundle.part("baseline_clip")
    assert sorted(path.name for path in folder.glob("*model*")) == ["model.safetensors"]
    first = load.load_clip(MINI / "clip")[0].state_dict()
    assert all(torch.equal(tensor, first[name]) for name, tensor in load.load_clip(folder)[0].state_dict().items())
    sent = len(web.sent)
    assert bundle.part("baseline_clip") == folder and not bundle.plan(baselines=True).fetches and len(web.sent) == sent


def test_only_the_parts_that_are_asked_for_are_fetched(web, capsys):
    bundle = find_bundle("sd15")
    assert load.load_unet(bundle.part("diffusion") / "unet")
    assert {path.rpartition("/")[0].split("/")[1] for path in web.sent} == {"stable-diffusion-v1-5"}
    captured = capsys.readouterr()
    assert not captured.out and "licence: CreativeML" in captured.err


def test_a_bundle_of_the_hub_is_saved_with_its_sources(web, tmp_path):
    """Weights that were in shards stay in shards; what was a pickle is saved as it was converted."""
    heavy = RefDiff.from_pretrained("sd15", device="cpu")
    heavy.save_pretrained(tmp_path / "saved")
    saved = find_bundle(tmp_path / "saved")
    assert all(saved.locate(part) == tmp_path / "saved" / part for part in PINS) and saved.has("baseline_clip")
    assert (saved.name, saved.licence, saved.settings()) == ("sd15", heavy.bundle.licence, heavy.settings)
    for part in PINS:
        source, copy = contents(heavy.bundle.part(part)), contents(saved.part(part))
        assert copy.items() <= source.items() and not any(name.endswith((".bin", ".ckpt", ".h5")) for name in copy)
    assert len(list((tmp_path / "saved" / "sam").glob("*-of-00002.safetensors"))) == 2
    card = ModelCard.load(tmp_path / "saved" / "README.md")
    assert (card.data.license, card.data.license_name) == ("other", "several") and "trained on" in card.text
    for repo, revision in PINS.values():
        assert f"| {repo} | {revision} |" in card.text


def test_another_pull_request_in_the_cache_is_not_used(web):
    root = cache.cache_folder() / "models--openai--clip-vit-base-patch16"
    (root / "refs" / "refs" / "pr").mkdir(parents=True)
    (root / "refs" / "refs" / "pr" / "9").write_text("d" * 40)
    shutil.copytree(MINI / "clip", root / "snapshots" / ("d" * 40))
    assert find_bundle("sd15").locate("clip") is None
    shutil.copytree(MINI / "clip", root / "snapshots" / PINS["clip"][1])
    assert find_bundle("sd15").locate("clip") == root / "snapshots" / PINS["clip"][1]


def test_what_the_listing_does_not_say_is_refused(web):
    bundle = find_bundle("sd15")
    repo, revision = PINS["diffusion"]
    path = "unet/diffusion_pytorch_model.safetensors"
    good = web.repositories[repo].commits[revision][path]
    web.repositories[repo].lies[path] = good[:-1] + bytes([good[-1] ^ 1])
    assert "SHA-256" in refused(bundle.part, "diffusion") and bundle.locate("diffusion") is None
    web.repositories[repo].lies.clear()
    folder = bundle.part("diffusion")
    (folder / path).resolve().write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert describe(bundle).state == "partly"
    result = check_bundle(bundle)[0]
    assert not result.ok and "SHA-256" in result.message and str((folder / path).resolve()) in result.message
    (folder / path).resolve().unlink()
    assert bundle.part("diffusion") == folder and check_bundle(bundle)[0].ok
    (folder / path).resolve().write_bytes(good[:-1000])
    assert "diffusion" not in describe(bundle).parts
    hub.download(bundle.plan())
    assert check_bundle(bundle)[0].ok


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_pickles_are_read_only_where_they_are_pinned_and_never_run(web, tmp_path):
    repo, revision = PINS["clip"]
    clip = web.repositories[repo].commits[revision]
    web.repositories["someone/clip"] = Repository({"e" * 40: dict(clip)}, {"main": "e" * 40})
    for where in ({"repo": "someone/clip"}, {"repo": repo, "revision": "main"}):
        (tmp_path / "refdiff.json").write_text(json.dumps({"format": 1, "clip": where}))
        assert "pickles" in refused(find_bundle(tmp_path).part, "clip")
    web.repositories[repo].lies["pytorch_model.bin"] = pickle.dumps(Evil(tmp_path / "ran"))
    assert "clip" in refused(find_bundle("sd15").part, "clip")
    web.repositories[repo].lies.clear()
    clip["pytorch_model.bin"] = pickle.dumps(Evil(tmp_path / "ran"))
    assert "weights" in refused(find_bundle("sd15").part, "clip")
    assert not (tmp_path / "ran").exists() and find_bundle("sd15").locate("clip") is None


def test_old_torch_reads_no_pickle(web, monkeypatch):
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.5.1"))
    assert "torch 2.6" in refused(find_bundle("sd15").part, "clip") and not web.sent


def test_hub_ids(web, tmp_path):
    web.repositories["owner/mini"] = Repository({"f" * 40: contents(MINI)}, {"main": "f" * 40})
    web.repositories["owner/other"] = Repository({"f" * 40: {"README.md": b""}}, {"main": "f" * 40})
    bundle = find_bundle("owner/mini")
    assert web.sent == ["owner/mini/refdiff.json"] and describe(bundle).state == "absent"
    hub.download(bundle.plan())
    assert all(result.ok for result in check_bundle(find_bundle("owner/mini@main")))
    assert "not a bundle" in refused(find_bundle, "owner/other")
    web.sent.clear()
    pipeline = find_bundle(PINS["diffusion"][0])
    assert "no clip and no sam" in str(pipeline.plan())
    assert "no sam model" in refused(pipeline.require, "diffusion", "sam")
    assert [Path(path).name for path in web.sent] == ["model_index.json"]
    assert load.load_scheduler(pipeline.part("diffusion") / "scheduler")
    (tmp_path / "refdiff.json").write_text(json.dumps({"format": 1, "sam": {"repo": PINS["sam"][0]}}))
    assert load.load_sam(find_bundle(tmp_path).part("sam"))


def test_what_goes_wrong_with_the_hub_is_said_in_one_sentence(web, monkeypatch):
    bundle, repository = find_bundle("sd15"), web.repositories[PINS["diffusion"][0]]
    repository.gated = True
    assert "is gated" in refused(bundle.plan)
    repository.gated = False
    for status, words in ((429, "429"), (503, "503")):
        repository.status = status
        assert words in refused(bundle.part, "diffusion")
    assert "owner/typo is neither" in refused(find_bundle, "owner/typo")
    assert "no revision typo" in refused(find_bundle, f"{PINS['sam'][0]}@typo")
    assert not web.sent
    monkeypatch.setattr(hub, "_free", lambda _: 10**7)
    repository.status = 200
    plan = bundle.plan()
    assert not plan.has_room and "not enough" in str(plan) and "too full" in refused(hub.download, plan)
    monkeypatch.setattr(hub, "_endpoint", lambda: "http://127.0.0.1:9")
    for call in (bundle.plan, lambda: find_bundle("owner/other")):
        assert "cannot be reached" in refused(call)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for call in (bundle.plan, lambda: find_bundle("owner/other")):
        assert "HF_HUB_OFFLINE" in refused(call)


def test_a_full_disk_is_named(web, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    assert "disk is full" in refused(find_bundle("sd15").part, "sam")


def test_the_environment_names_the_hub_and_its_cache(web, tmp_path):
    code = ("from refdiff.weights.manifest import find_bundle; from refdiff.weights import hub\n"
            "bundle = find_bundle('sd15'); hub.download(bundle.plan()); print(bundle.part('clip'))")
    environment = os.environ | {"HF_ENDPOINT": web.url, "HF_HOME": str(tmp_path / "home")}
    converts(web, "clip")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "home"))


def test_two_threads_fetch_a_part_once(web):
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(find_bundle("sd15").part("sam"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and len(found) == 4 and len(web.sent) == len(set(web.sent))


@pytest.mark.parametrize(("file", "name", "value"), [
    ("vae/config.json", "scaling_factor", float("nan")), ("vae/config.json", "scaling_factor", 0),
    ("vae/config.json", "scaling_factor", [1]), ("vae/config.json", "norm_num_groups", 0.5),
    ("unet/config.json", "freq_shift", "x"), ("unet/config.json", "downsample_padding", None),
    ("unet/config.json", "mid_block_scale_factor", "1"), ("unet/config.json", "norm_eps", [1e-5]),
    ("text_encoder/config.json", "eos_token_id", None), ("text_encoder/config.json", "layer_norm_eps", None),
    ("vae/config.json", "scaling_factor", "x"), ("vae/config.json", "shift_factor", "x"),
    ("unet/config.json", "norm_eps", float("inf"))])
def test_numbers_of_a_config_that_cannot_be_computed_with_are_refused(bundle, file, name, value):
    path = bundle / "diffusion" / file
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    read = {"vae": load.load_vae, "unet": load.load_unet, "text_encoder": load.load_text_encoder}[path.parent.name]
    assert name in refused(read, path.parent)


@pytest.mark.parametrize(("part", "group", "changes", "words"), [
    ("sam", "vision_config", {"num_attention_heads": 3}, "num_attention_heads 3, which do not divide"),
    ("sam", "mask_decoder_config", {"num_attention_heads": -1}, "num_attention_heads"),
    ("sam", "prompt_encoder_config", {"image_embedding_size": 16}, "image_embedding_size"),
    ("sam", "prompt_encoder_config", {"image_size": 512}, "image_size"),
    ("clip", "vision_config", {"num_attention_heads": 5}, "could not be loaded"),
    ("clip", "text_config", {"num_attention_heads": -1}, "num_attention_heads"),
    ("diffusion/unet", None, {"norm_num_groups": -1}, "norm_num_groups"),
    ("diffusion/text_encoder", None, {"num_attention_heads": -4}, "num_attention_heads"),
])
def test_what_does_not_show_in_the_shapes_of_weights_is_refused(bundle, part, group, changes, words):
    path = bundle / part / "config.json"
    config = json.loads(path.read_text())
    (config[group] if group else config).update(changes)
    path.write_text(json.dumps(config))
    assert words in check_of(bundle, part.partition("/")[0]).message


@pytest.mark.parametrize("value", [True, "0.5", None, [1], float("nan"), float("inf"), 10**400])
def test_a_calibration_is_three_numbers(bundle, value):
    good = {"bias": -1, "score": 2.5, "margin": 0}
    assert RefDiff.from_pretrained(write(bundle, calibration={"full": good}))
    for wrong in (good | {"score": value}, good | {"more": 1}, {"bias": 1}, value):
        message = refused(RefDiff.from_pretrained, write(bundle, calibration={"full": wrong}))
        assert "calibration of 'full'" in message
