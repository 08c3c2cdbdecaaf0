"""Train mini's AutoencoderKL: its encoder to give the linear latents, its decoder to draw images from them.

    python training/vae.py RUN --pictograms DIR --latents diffusion-run/latents.safetensors
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from latents import CHANNELS, SIDE, LinearLatents
from loop import HELD_OUT_SEED, arguments, autocast, letterboxed, scene_maker, shape, train


def build() -> AutoencoderKL:
    """The posterior's deviation is held small: its log-variance starts at -10 and nothing pulls it up."""
    vae = AutoencoderKL(
        latent_channels=CHANNELS, block_out_channels=(16, 32, 64, 64), layers_per_block=1, norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        mid_block_add_attention=False, sample_size=SIDE, scaling_factor=1.0, force_upcast=False)
    with torch.no_grad():
        vae.quant_conv.weight[CHANNELS:] = 0
        vae.quant_conv.bias[CHANNELS:] = -10
    return vae


def main() -> None:
    options = arguments(__doc__.splitlines()[0], batch=8, lr=1e-3, extra={"--latents": Path})
    device = options.device
    maker = scene_maker(options.pictograms)
    target = LinearLatents(options.latents).to(device)
    vae = build().to(device, memory_format=torch.channels_last)

    def images(maker, seeds) -> torch.Tensor:
        pixels = []
        for seed in seeds:
            rng = np.random.default_rng(seed)
            pixels.append(letterboxed(maker.make(rng, *shape(rng, SIDE)), SIDE))
        return torch.from_numpy(np.stack(pixels)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1

    def loss_of(step: int) -> torch.Tensor:
        pixels = images(maker, [(step, i, 4) for i in range(options.batch)])
        wanted = target(pixels)
        with autocast(device):
            moments = vae.quant_conv(vae.encoder(pixels.contiguous(memory_format=torch.channels_last)))
            drawn = vae.decode(wanted).sample
        return F.mse_loss(moments[:, :CHANNELS].float(), wanted) + F.l1_loss(drawn.float(), pixels)

    test = images(scene_maker(options.pictograms, held_out=True), [(HELD_OUT_SEED, i, 4) for i in range(64)])

    @torch.inference_mode()
    def measure(averages: dict) -> dict[str, float]:
        probe = build().to(device).eval()
        probe.load_state_dict(averages["vae"])
        wanted, given = target(test), probe.encode(test).latent_dist.mean
        explained = 1 - F.mse_loss(given, wanted) / wanted.var()
        return {"latents_explained": explained.item(),
                "psnr": (20 * torch.log10(2 / F.mse_loss(probe.decode(given).sample, test).sqrt())).item()}

    train(options, {"vae": vae}, loss_of, measure, every=250, best="latents_explained", muon=3e-3)


if __name__ == "__main__":
    main()
