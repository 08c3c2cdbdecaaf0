"""Write a bundle of randomly initialised models of exactly the paper's sizes, to measure with.

    python benchmarks/full_size.py FOLDER
    refdiff bench examples/scene.png --model FOLDER --set image_size=512

SD 1.5 (U-Net, VAE, text encoder), SAM ViT-H and CLIP ViT-B/16. The masks mean nothing; SAM's thresholds are set so that
a third of them passes the first filter and PROPOSALS all of them, about as of a real image with real weights.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, SamConfig, SamModel

from refdiff import load_image
from refdiff.models.segmentors.grid import point_grid, stability_scores
from refdiff.models.segmentors.sam import SamSegmentor
from refdiff.settings import SegmentorSettings
from refdiff.weights.load import load_tokenizer
from refdiff.weights.manifest import EMBEDDED, FORMAT

PROPOSALS = 60
LOGITS = 3000  # times larger than a fresh model's
IMAGE = Path(__file__).parent.parent / "examples" / "scene.png"


def write_diffusion(folder: Path) -> None:
    save(UNet2DConditionModel(sample_size=64, cross_attention_dim=768), folder / "unet")
    save(AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, sample_size=512,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4), folder / "vae")
    save(CLIPTextModel(CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)),
        folder / "text_encoder")
    DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
                  set_alpha_to_one=False, steps_offset=1).save_pretrained(folder / "scheduler")
    tokenizer().save_pretrained(folder / "tokenizer")


def write_clip(folder: Path) -> None:
    save(CLIPModel(CLIPConfig(text_config={"projection_dim": 512},
                              vision_config={"patch_size": 16, "projection_dim": 512})), folder)
    tokenizer().save_pretrained(folder)


def write_sam(folder: Path) -> dict[str, float]:
    """The thresholds that suit it. Predicted IoUs are spread, else half precision could not tell them apart, and logits
    made as large as trained ones, else no mask would be stable."""
    model = SamModel(SamConfig(vision_config={
        "hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16, "mlp_dim": 5120,
        "global_attn_indexes": [7, 15, 23, 31],
        "initializer_range": 0.02})).eval()  # the library's 1e-10 gives subnormal numbers, slow on some processors
    last = model.mask_decoder.iou_prediction_head.proj_out
    with torch.no_grad():
        last.weight *= 30
        last.bias.fill_(0.5)
        for head in model.mask_decoder.output_hypernetworks_mlps:
            head.proj_out.weight *= LOGITS
            head.proj_out.bias *= LOGITS
    thresholds = suitable_thresholds(model)
    save(model, folder)
    return thresholds


@torch.inference_mode()
def suitable_thresholds(model: Any) -> dict[str, float]:
    segmentor, image = SamSegmentor(model), load_image(IMAGE)
    size = image.shape[0], image.shape[1]
    embedding, (height, width) = segmentor.encode(image), segmentor.inner(size)
    points = torch.from_numpy(point_grid(32)).float() * torch.tensor([width, height])
    ratings, stabilities = [], []
    for part in points.split(16):
        output = model(image_embeddings=embedding, input_points=part[None, :, None],
                       input_labels=torch.ones(1, len(part), 1, dtype=torch.int))
        logits = F.interpolate(output.pred_masks[0], size=(segmentor.side,) * 2, mode="bilinear")
        logits = F.interpolate(logits[..., :height, :width], size=size, mode="bilinear")
        ratings.append(output.iou_scores.flatten())
        stabilities.append(stability_scores(logits.flatten(0, 1), SegmentorSettings().stability_offset))
    rated, stability = torch.cat(ratings), torch.cat(stabilities)
    first = float(rated.quantile(2 / 3))
    passed = stability[rated > first]
    print(f"logits {logits.std():.2f}, predicted IoU {rated.min():.3f} to {rated.max():.3f}, "
          f"stability {passed.min():.3f} to {passed.max():.3f}")
    return {"iou_threshold": first, "stability_threshold": float(passed.quantile(1 - PROPOSALS / len(passed)))}


def tokenizer() -> Any:
    """mini's vocabulary at CLIP's length: the words do not matter here, the 77 tokens do."""
    small = load_tokenizer(EMBEDDED / "mini" / "clip")
    small.model_max_length = 77
    return small


def save(model: Any, folder: Path) -> None:
    print(f"{folder.name}: {sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    model.half().save_pretrained(folder, safe_serialization=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write; 3.8 GB")
    options = parser.parse_args()
    torch.manual_seed(0)
    write_diffusion(options.folder / "diffusion")
    write_clip(options.folder / "clip")
    thresholds = write_sam(options.folder / "sam")
    (options.folder / "refdiff.json").write_text(json.dumps({
        "format": FORMAT, "name": "full-size", "diffusion": "diffusion", "clip": "clip", "sam": "sam",
        "geometry": thresholds | {"nms_threshold": 1.0, "duplicate_threshold": 1.0}}, indent=2) + "\n")


if __name__ == "__main__":
    main()
