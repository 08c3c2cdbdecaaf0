"""Make tests/data/golden from the release's arrays: one case of each kind, with its checkpoint cut to what it uses.

    python tests/make_golden.py SHARED_GOLDEN [tests/data/golden]

Of the vocabulary only the tokens of that case are kept, renumbered in their order; the VAE's weights are left out, as
the arrays hold the latents. Every other weight is the same, to the bit.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

CASES = ("case_0.npz", "baseline_0.npz")


def pair_of(merge: str | list[str]) -> tuple[str, str]:
    """A line of a tokenizer's merges, in either of the ways it is written."""
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second


def used_tokens(tokenizer: dict, texts: list[str]) -> set[str]:
    """The tokens that spell the texts, and all that they are merged from."""
    pairs: dict[str, tuple[str, str]] = {}
    for first, second in map(pair_of, tokenizer["model"]["merges"]):
        pairs.setdefault(first + second, (first, second))
    used = {"<|startoftext|>", "<|endoftext|>"}
    waiting = [token for text in texts for token in Tokenizer.from_str(json.dumps(tokenizer)).encode(text).tokens]
    while waiting:
        token = waiting.pop()
        used.add(token)
        waiting += pairs.get(token, ())
    return used


def cut(tokenizer: dict, used: set[str]) -> tuple[dict, list[int]]:
    """The tokenizer with these tokens alone, and their old numbers in order."""
    old = sorted((number, token) for token, number in tokenizer["model"]["vocab"].items() if token in used)
    new = {token: place for place, (_, token) in enumerate(old)}
    tokenizer["model"]["vocab"] = new
    tokenizer["model"]["merges"] = [merge for merge in tokenizer["model"]["merges"]
                                    if {*pair_of(merge), "".join(pair_of(merge))} <= used]
    for token in tokenizer["added_tokens"]:
        token["id"] = new[token["content"]]
    for token in tokenizer["post_processor"].get("special_tokens", {}).values():
        token["ids"] = [new[name] for name in token["tokens"]]
    for end in ("sep", "cls"):
        if end in tokenizer["post_processor"]:
            name = tokenizer["post_processor"][end][0]
            tokenizer["post_processor"][end][1] = new[name]
    return tokenizer, [number for number, _ in old]


def cut_model(source: Path, target: Path, kept: list[int]) -> None:
    """A model's folder with the rows of its token embedding that are kept."""
    target.mkdir(parents=True)
    weights = load_file(source / "model.safetensors")
    name = next(name for name in weights if name.endswith("embeddings.token_embedding.weight"))
    weights[name] = np.ascontiguousarray(weights[name][kept])
    save_file(weights, target / "model.safetensors", {"format": "pt"})
    config = json.loads((source / "config.json").read_text())
    for part in (config, config.get("text_config", {})):
        if "vocab_size" in part:
            part["vocab_size"] = len(kept)
        for end in ("bos_token_id", "eos_token_id", "pad_token_id"):
            if part.get(end) in kept:
                part[end] = kept.index(part[end])
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def main() -> None:
    source, out = Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "tests/data/golden")
    shutil.rmtree(out, ignore_errors=True)
    folder = out / "checkpoint"
    for part in ("unet", "scheduler"):
        shutil.copytree(source / "checkpoint" / part, folder / part, copy_function=shutil.copyfile)
    (folder / "vae").mkdir()
    shutil.copyfile(source / "checkpoint" / "vae" / "config.json", folder / "vae" / "config.json")
    shutil.copyfile(source / "checkpoint" / "model_index.json", folder / "model_index.json")
    arrays = np.load(source / CASES[0])
    text = str(arrays["text"])
    texts = [text, f"{text}, ", str(arrays["root"])]
    for place, model in (("tokenizer", "text_encoder"), ("clip", "clip")):
        tokenizer = json.loads((source / "checkpoint" / place / "tokenizer.json").read_text())
        tokenizer, kept = cut(tokenizer, used_tokens(tokenizer, texts))
        cut_model(source / "checkpoint" / model, folder / model, kept)
        (folder / place).mkdir(exist_ok=True)
        (folder / place / "tokenizer.json").write_text(json.dumps(tokenizer))
        shutil.copyfile(source / "checkpoint" / place / "tokenizer_config.json",
                        folder / place / "tokenizer_config.json")
    for name in CASES:
        shutil.copyfile(source / name, out / name)


if __name__ == "__main__":
    main()
