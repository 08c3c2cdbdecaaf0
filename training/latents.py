"""The latent space of mini's diffusion model: the leading principal components of 8x8 blocks of scenes.

The VAE (vae.py) is taught to give these latents and to draw images from them, so the U-Net can be trained
beside it, on the linear map itself.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

SIDE, BLOCK, CHANNELS = 128, 8, 16
_SCALE_POWER = 0.4  # 0 would whiten; 1 would keep the components' own scales


class LinearLatents(torch.nn.Module):
    """pixels float32 [B, 3, H, W] in [-1, 1] -> latents float32 [B, 16, H/8, W/8]; kept in `path` once learnt."""

    def __init__(self, path: Path, maker=None):
        super().__init__()
        if not path.exists():
            save_file(_principal_components(maker), path)
        for name, value in load_file(path).items():
            self.register_buffer(name, value)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return F.conv2d(pixels, self.weight, self.bias, stride=BLOCK)


def _principal_components(maker, scenes: int = 1500) -> dict[str, torch.Tensor]:
    blocks = []
    for seed in range(scenes):
        image = maker.make(np.random.default_rng((1 << 32, seed)), SIDE, SIDE).image
        grid = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
        blocks.append(F.unfold(grid, BLOCK, stride=BLOCK)[0].T)
    blocks = torch.cat(blocks).double()
    mean = blocks.mean(0)
    values, vectors = torch.linalg.eigh((blocks - mean).T @ (blocks - mean) / len(blocks))
    values, vectors = values.flip(0)[:CHANNELS], vectors.flip(1)[:, :CHANNELS]
    vectors = vectors * vectors.sum(0).sign()  # eigenvectors have no sign of their own
    deviation = values.sqrt()
    scale = (deviation / deviation[0]) ** _SCALE_POWER / deviation
    weight = (vectors * scale).T
    return {"weight": weight.reshape(CHANNELS, 3, BLOCK, BLOCK).float().contiguous(), "bias": -(weight @ mean).float()}
