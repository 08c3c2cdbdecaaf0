"""Write the bundle from the runs' best checkpoints: half-precision safetensors in the ordinary layouts.

    python training/export.py --diffusion RUN --vae RUN --clip RUN --sam RUN [--out src/refdiff/bundles/mini]
    python training/export.py --clip RUN        # one part of an existing bundle
    python training/export.py --tseg RUN        # the TSEG-style baseline, into bundles/tseg

Settings and the domain in refdiff.json, and those in tseg's config.json, are kept where the file exists; tune.py and
tune_tseg.py choose them.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from safetensors.torch import save_file

import captions
import clip
import diffusion
import sam
import tokenizer as tokenizers
import vae
from pictograms import STYLES
from refdiff.models.tseg import Tseg, TsegConfig

MANIFEST = {
    "format": 1,
    "name": "mini",
    "licence": "Apache-2.0; trained on " + "; ".join(f"{style} ({licence})" for style, (_, licence) in STYLES.items()),
    "diffusion": "diffusion",
    "clip": "clip",
    "sam": "sam",
    "geometry": {
        "image_size": 2 * diffusion.SIDE, "attention_stride": 8, "clip_side": clip.SCENE_SIDE, "crop_side": clip.SIDE,
        "points_per_side": 16, "points_per_batch": 64, "iou_threshold": 0.3, "stability_threshold": 0.6,
        "nms_threshold": 0.9, "min_region": 40,
    },
    "settings": {"noise_timestep": 50, "timesteps": [50], "attention": "logits",
                 "layers": [name.removesuffix(".transformer_blocks.0.attn2") for name in diffusion.LAYERS]},
    "domain": {"nouns": sorted({*captions.NOUNS, *map(captions.plural, captions.NOUNS)})},
}


def weights(run: Path) -> dict:
    best = torch.load(run / "best.pt", weights_only=True, map_location="cpu")
    print(run.name, best["row"])
    return best["averages"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for part in ("diffusion", "vae", "clip", "sam", "tseg"):
        parser.add_argument(f"--{part}", type=Path)
    parser.add_argument("--out", type=Path, default=Path("src/refdiff/bundles/mini"))
    options = parser.parse_args()
    tokenizer = tokenizers.load()
    if options.diffusion:
        averages = weights(options.diffusion)
        unet, text = diffusion.build(len(tokenizer))
        unet.load_state_dict(averages["unet"])
        text.load_state_dict(averages["text"])
        if options.vae:
            decoder = vae.build()
            decoder.load_state_dict(weights(options.vae)["vae"])
        else:  # the latents are kept, so the VAE that gives them can be too
            decoder = AutoencoderKL.from_pretrained(options.out / "diffusion" / "vae")
        pipeline = StableDiffusionPipeline(
            unet=unet, text_encoder=text, vae=decoder, tokenizer=tokenizer, scheduler=diffusion.scheduler(),
            safety_checker=None, feature_extractor=None, requires_safety_checker=False)
        pipeline.to(torch.float16).save_pretrained(options.out / "diffusion", safe_serialization=True)
    if options.clip:
        model = clip.build(len(tokenizer))
        model.load_state_dict(weights(options.clip)["clip"])
        model.half().save_pretrained(options.out / "clip", safe_serialization=True)
        tokenizer.save_pretrained(options.out / "clip")
    if options.sam:
        model = sam.build()
        model.load_state_dict(weights(options.sam)["sam"])
        model.half().save_pretrained(options.out / "sam", safe_serialization=True)
    if options.tseg:
        folder = options.out.parent / "tseg"
        folder.mkdir(exist_ok=True)
        network = Tseg(TsegConfig(vocabulary=len(tokenizer)))
        network.load_state_dict(weights(options.tseg)["tseg"])
        save_file(network.half().state_dict(), folder / "model.safetensors")
        tokenizer.save_pretrained(folder)
        config = folder / "config.json"
        if not config.exists():
            config.write_text(json.dumps(asdict(network.config), indent=2) + "\n")
    manifest = options.out / "refdiff.json"
    if not manifest.exists():
        manifest.write_text(json.dumps(MANIFEST, indent=2) + "\n")


if __name__ == "__main__":
    main()
