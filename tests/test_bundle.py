import json
import shutil
from pathlib import Path

import pytest

from refdiff import BundleError, RefDiff
from refdiff.bundle import EMBEDDED, _snapshot, find_bundle

MINI = EMBEDDED / "mini"


@pytest.fixture
def bundle(tmp_path) -> Path:
    return Path(shutil.copytree(MINI, tmp_path / "bundle"))


def loads(name) -> bool:
    model = RefDiff.from_pretrained(name)
    return all(part is not None for part in (model.generative, model.discriminative, model.segmentor))


def test_a_folder_with_a_manifest(bundle):
    assert loads(bundle)
    assert find_bundle(bundle).fingerprint() == find_bundle("mini").fingerprint()
    (bundle / "clip" / "config.json").write_text((bundle / "clip" / "config.json").read_text() + " ")
    assert find_bundle(bundle).fingerprint() != find_bundle("mini").fingerprint()


def test_a_pipeline_folder_with_clip_and_sam_in_it(bundle, tmp_path):
    folder = Path(shutil.copytree(bundle / "diffusion", tmp_path / "pipeline"))
    for part in ("clip", "sam"):
        shutil.copytree(bundle / part, folder / part)
    assert loads(folder)
    shutil.rmtree(folder / "sam")
    with pytest.raises(BundleError, match="no sam model"):
        _ = RefDiff.from_pretrained(folder).segmentor


def test_half_precision_names_and_old_tokenizer_files(bundle):
    for weights in list(bundle.rglob("*.safetensors")):
        weights.rename(weights.with_name(weights.name.replace(".safetensors", ".fp16.safetensors")))
    tokenizer = bundle / "clip" / "tokenizer.json"
    model = json.loads(tokenizer.read_text())["model"]
    (bundle / "clip" / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (bundle / "clip" / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    tokenizer.unlink()
    assert loads(bundle)
    old = RefDiff.from_pretrained(bundle).discriminative.tokenizer
    assert old("the left cat").input_ids == RefDiff.from_pretrained("mini").discriminative.tokenizer(
        "the left cat").input_ids


@pytest.fixture
def cache(bundle, tmp_path, monkeypatch):
    """A Hub cache holding the bundle as owner/mini, and its parts as owner/diffusion, owner/clip and owner/sam."""
    home = tmp_path / "cache"
    for name, source in [("mini", bundle), *((part, bundle / part) for part in ("diffusion", "clip", "sam"))]:
        root = home / f"models--owner--{name}"
        (root / "refs").mkdir(parents=True)
        (root / "refs" / "main").write_text("a" * 40)
        shutil.copytree(source, root / "snapshots" / ("a" * 40))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(home))
    return home


def test_hub_ids_and_parts_from_the_hub(cache, tmp_path):
    assert loads("owner/mini")
    assert loads("owner/mini@main")
    remote = tmp_path / "remote"
    remote.mkdir()
    parts = {part: {"repo": f"owner/{part}", "revision": "main"} for part in ("diffusion", "clip", "sam")}
    (remote / "refdiff.json").write_text(json.dumps({"format": 1, "name": "remote"} | parts))
    assert loads(remote)


def test_pickled_repositories_are_taken_from_the_robots_safetensors(cache, monkeypatch):
    """What the Hub would do is played here: the revision has a pickle, the robot's pull request safetensors."""
    root = cache / "models--owner--clip"
    converted = root / "snapshots" / ("b" * 40)
    shutil.copytree(root / "snapshots" / ("a" * 40), converted)
    (root / "snapshots" / ("a" * 40) / "model.safetensors").rename(root / "snapshots" / ("a" * 40) / "model.bin")
    with pytest.raises(BundleError, match="owner/clip"):
        _snapshot("x", "owner/clip", "main", "clip", download=True)
    (root / "refs" / "refs" / "pr").mkdir(parents=True)
    (root / "refs" / "refs" / "pr" / "3").write_text("b" * 40)
    assert _snapshot("x", "owner/clip", "main", "clip", download=True) == converted


def test_offline_the_error_says_what_where_and_how(cache):
    with pytest.raises(BundleError) as caught:
        find_bundle("sd15")
    assert all(words in str(caught.value) for words in
               ("stable-diffusion-v1-5/stable-diffusion-v1-5", str(cache), "refdiff models download sd15"))


@pytest.mark.parametrize(("break_it", "words"), [
    (lambda b: (b / "diffusion/unet/diffusion_pytorch_model.safetensors").unlink(), "unet/*.safetensors"),
    (lambda b: (b / "sam/config.json").unlink(), "config.json"),
    (lambda b: (b / "clip/model.safetensors").rename(b / "clip/pytorch_model.bin"), "pickles"),
    (lambda b: (b / "clip/model.safetensors").write_bytes(b"nonsense"), "could not be loaded"),
    (lambda b: (b / "diffusion/scheduler/scheduler_config.json").unlink(), "scheduler_config.json"),
    (lambda b: (b / "refdiff.json").write_text("{"), "JSON"),
    (lambda b: (b / "refdiff.json").write_text('{"format": 9}'), "format 1"),
    (lambda b: (b / "refdiff.json").write_text('{"format": 1, "clip": "../../elsewhere"}'), "outside"),
    (lambda b: (b / "refdiff.json").write_text('{"format": 1, "clip": "clip", "settings": {"x": 1}}'), "does not know"),
])
def test_a_broken_bundle_is_refused_with_a_sentence(bundle, break_it, words):
    break_it(bundle)
    with pytest.raises(BundleError) as caught:
        loads(bundle)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_names_are_refused():
    for name in ("no-such-bundle", "/no/such/folder"):
        with pytest.raises(BundleError, match="mini or sd15"):
            find_bundle(name)
