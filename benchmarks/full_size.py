"""Run one picture through randomly initialised models of exactly the paper's sizes: shapes, times and memory.

    python benchmarks/full_size.py [--size 512] [--dtype float32|bfloat16] [--device cpu] [--json FILE]

SD 1.5 (U-Net, VAE, text encoder), SAM ViT-H and CLIP ViT-B/16, no weights needed. The masks mean nothing; that
every stage runs at its true size is what is shown.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, SamConfig, SamModel

from refdiff.bundle import EMBEDDED, Bundle, Domain, load_tokenizer
from refdiff.discriminative import DiscriminativeModel
from refdiff.generative import GenerativeModel
from refdiff.pipeline import RefDiff
from refdiff.proposals import Proposals
from refdiff.segmentor import Segmentor
from refdiff.settings import Settings

EXPRESSIONS = ["the mug left of the laptop", "a red book", "the chair on the right", "a lamp"]


def stable_diffusion(build) -> GenerativeModel:
    unet = build(lambda: UNet2DConditionModel(sample_size=64, cross_attention_dim=768))
    vae = build(lambda: AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, sample_size=512,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4))
    text = build(lambda: CLIPTextModel(CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)))
    schedule = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
                             set_alpha_to_one=False, steps_offset=1)
    return GenerativeModel(unet, vae, text, tokenizer(), schedule)


def sam_huge(build) -> Segmentor:
    return Segmentor(build(lambda: SamModel(SamConfig(vision_config={
        "hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16, "mlp_dim": 5120,
        "global_attn_indexes": [7, 15, 23, 31]}))))


def clip_base(build) -> DiscriminativeModel:
    config = CLIPConfig(text_config={"projection_dim": 512}, vision_config={"patch_size": 16, "projection_dim": 512})
    return DiscriminativeModel(build(lambda: CLIPModel(config)), tokenizer())


def tokenizer():
    """mini's vocabulary at CLIP's length: the words do not matter here, the 77 tokens do."""
    small = load_tokenizer(EMBEDDED / "mini" / "clip")
    small.model_max_length = 77
    return small


def rectangles(count: int, height: int, width: int) -> np.ndarray:
    """bool [count, height, width], seeded."""
    rng = np.random.default_rng(0)
    masks = np.zeros((count, height, width), bool)
    for mask in masks:
        top, left = rng.integers(height - 40), rng.integers(width - 40)
        mask[top : top + rng.integers(30, 200), left : left + rng.integers(30, 200)] = True
    return masks


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="side of the diffusion model's square")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    dtype = getattr(torch, options.dtype)
    torch.manual_seed(0)
    times: dict[str, float] = {}

    def timed(name: str, run):
        started = time.perf_counter()
        result = run()
        if options.device == "cuda":
            torch.cuda.synchronize()
        times[name] = round(time.perf_counter() - started, 2)
        return result

    def build(make):
        default = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            model = make()
        finally:
            torch.set_default_dtype(default)
        return model.to(options.device, dtype).eval().requires_grad_(False)

    # Random weights pass no threshold: the filters are opened, so that every stage has its work.
    settings = Settings(image_size=options.size, iou_threshold=0.0, stability_threshold=0.0)
    model = RefDiff(Bundle("random", {}, {}, {}, Domain(), ""), options.device, dtype, settings)
    model.__dict__["generative"] = timed("build diffusion", lambda: stable_diffusion(build))
    model.__dict__["segmentor"] = timed("build SAM", lambda: sam_huge(build))
    model.__dict__["discriminative"] = timed("build CLIP", lambda: clip_base(build))
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in (
        ("U-Net", model.generative.unet), ("VAE", model.generative.vae),
        ("text encoder", model.generative.text_encoder),
        ("SAM", model.segmentor.model), ("CLIP", model.discriminative.model))}
    picture = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    scene = model.encode(picture)
    timed("latent (VAE)", lambda: scene._latents(settings))
    timed("attention, 1 expression", lambda: scene.correlation_maps(EXPRESSIONS[:1]))
    maps = timed("attention, 4 expressions", lambda: scene.correlation_maps(EXPRESSIONS))
    timed("SAM, whole", lambda: scene.proposals())
    # What random SAM finds is one mask many times over; the rest is run on as many as a real picture gives.
    masks = rectangles(60, *picture.shape[:2])
    scene = model.encode(picture, proposals=Proposals(masks, "file"))
    timed("CLIP masked, 60 proposals", lambda: model.discriminative.masked_features(picture, masks, settings))
    timed("CLIP crops, 60 proposals", lambda: model.discriminative.crop_features(picture, masks, settings))
    results = timed("answer, 1 expression", lambda: scene.segment(EXPRESSIONS[:1]))
    timed("answer, 4 further expressions", lambda: scene.segment(EXPRESSIONS))
    assert maps[0].shape == results[0].mask.shape == (480, 640)
    peak = (torch.cuda.max_memory_allocated() if options.device == "cuda"
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    report = {"device": torch.cuda.get_device_name() if options.device == "cuda" else processor(),
              "threads": torch.get_num_threads(), "torch": torch.__version__, "size": options.size,
              "dtype": options.dtype, "parameters": sizes, "proposals": len(masks), "seconds": times,
              "peak GB": round(peak / 1e9, 2)}
    print(json.dumps(report, indent=2))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
