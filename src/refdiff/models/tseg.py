"""TSEG-style network: patches and texts in one space, and patches assigned to texts (Strudel, Laptev, Schmid, 2022).

The authors released no code. What their description leaves open is a field of `TsegConfig`, with what was taken.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import BundleError
from ..weights import layout

_MOST = 2**16  # no number in a config is greater

@dataclass(frozen=True)
class TsegConfig:
    """The network's sizes and the switches of what is uncertain in the paper."""

    vocabulary: int
    side: int = 160  # px, the longer edge of what is encoded
    patch: int = 8  # px
    width: int = 192
    heads: int = 3
    image_layers: int = 4
    text_layers: int = 2
    reach: int = 2  # patches: how far a patch attends along either axis
    longest_text: int = 32  # tokens
    assignment: str = "sigmoid"  # each text against the background; or "softmax" over the background and all texts
    size_term: bool = True
    size_power: float = 4.0  # p
    size_floor: float = 0.01  # lambda
    threshold: float = 0.3  # of the upsampled assignment
    relative: bool = True  # whether as a share of the greatest assignment in the image: there is always something meant
    edges: bool = True  # whether it follows the image's edges first, in place of the paper's CRF

    @classmethod
    def read(cls, content: dict[str, Any], source: str) -> TsegConfig:
        """The config that a JSON object states. Raises BundleError naming `source` where it cannot be used."""
        kinds = {"int": int, "float": float, "str": str, "bool": bool}
        for name, kind in {field.name: kinds[str(field.type)] for field in fields(cls)}.items():
            value = content.get(name)
            inside = 0 < value <= _MOST if isinstance(value, (int, float)) else True
            usable = type(value) is kind and (inside or kind is bool)
            if name == "assignment":
                usable = value in ("sigmoid", "softmax")
            if not usable:
                raise BundleError(f"{source} has the {name} {str(value)[:40]!r}, which cannot be used; copy it again.")
        config = cls(**{field.name: content[field.name] for field in fields(cls)})
        if config.width % config.heads or config.width % 3 or config.patch % 2:
            raise BundleError(f"{source} has a width that 3 or its heads do not divide, or an odd patch; copy it "
                              "again.")
        return config


class Block(nn.Module):
    """A transformer block with its norms first."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """x [B, T, W]; `bias`, broadcast to [B, heads, T, T], is added to the attention's logits."""
        query, key, value = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        # By plain products: the backward pass of torch's fused kernel is slow on CPUs.
        weights = (query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2) + bias.to(query)).softmax(-1)
        x = x + self.out((weights @ value).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Residual(nn.Module):
    """A convolution beside the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.norm, self.conv = nn.GroupNorm(1, width), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(F.gelu(self.norm(x)))


class Tseg(nn.Module):
    """Image and text encoders, and the logit of the background, which every similarity is compared with."""

    def __init__(self, config: TsegConfig):
        super().__init__()
        self.config, width = config, config.width
        stem = width // 3
        self.patch_embed = nn.Conv2d(3, stem, config.patch // 2, stride=config.patch // 2)
        self.stem = nn.Sequential(Residual(stem), nn.Conv2d(stem, width, 3, stride=2, padding=1), Residual(width))
        self.place_embed = nn.Linear(16, width)
        self.image_blocks = nn.ModuleList(Block(width, config.heads) for _ in range(config.image_layers))
        self.image_norm, self.image_out = nn.LayerNorm(width), nn.Linear(width, width)
        self.word_embed = nn.Embedding(config.vocabulary, width)
        self.order_embed = nn.Embedding(config.longest_text, width)
        self.text_blocks = nn.ModuleList(Block(width, config.heads) for _ in range(config.text_layers))
        self.text_norm, self.text_out = nn.LayerNorm(width), nn.Linear(width, width)
        self.background = nn.Parameter(torch.tensor(3.0))
        nn.init.normal_(self.order_embed.weight, std=0.1)

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | torch.device = "cpu") -> Tseg:
        """The network in `folder`, in float32, in eval mode and without gradients. Raises BundleError."""
        from safetensors.torch import load_file

        folder = Path(folder)
        config = TsegConfig.read(layout.read_json(folder / "config.json"), f"{folder / 'config.json'}")
        path = folder / "model.safetensors"
        shapes = layout.check_weights(path)
        with torch.device("meta"):
            network = cls(config)
        if shapes != {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}:
            raise BundleError(f"{path} does not hold the weights that config.json describes; copy both again.")
        network.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()}, assign=True)
        return network.to(device).eval().requires_grad_(False)

    def patches(self, pixels: torch.Tensor) -> torch.Tensor:
        """X: [B, 3, H, W] in [-1, 1], sides multiples of the patch -> [B, h, w, D]."""
        grid = self.stem(self.patch_embed(pixels))
        rows, columns = grid.shape[-2:]
        x = grid.flatten(2).transpose(1, 2) + self.place_embed(places(rows, columns).to(pixels.device))
        bias = nearby(rows, columns, self.config.reach).to(pixels.device)
        for block in self.image_blocks:
            x = block(x, bias)
        return self.image_out(self.image_norm(x)).unflatten(1, (rows, columns))

    def texts(self, tokens: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Y: token numbers [T, L] and which of them are not padding, bool [T, L] -> [T, D]."""
        x = self.word_embed(tokens) + self.order_embed.weight[: tokens.shape[1]]
        bias = torch.where(present, 0.0, float("-inf"))[:, None, None]
        for block in self.text_blocks:
            x = block(x, bias)
        x = self.text_norm(x) * present[..., None]
        return self.text_out(x.sum(1) / present.sum(1, keepdim=True))

    def similarities(self, patches: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """S, less the background's logit: patches [..., h, w, D] and texts [T, D] -> float32 [..., T, h, w]."""
        products = torch.einsum("...hwd,td->...thw", patches, texts).float()
        return products * patches.shape[-1] ** -0.5 - self.background


def assignment(similarities: torch.Tensor, kind: str) -> torch.Tensor:
    """M in [0, 1] of S [..., T, h, w], the background's logit being 0: each text against the background alone
    ("sigmoid"), or the background and all texts against each other ("softmax")."""
    if kind == "sigmoid":
        return similarities.sigmoid()
    background = torch.zeros_like(similarities[..., :1, :, :])
    return torch.cat([background, similarities], dim=-3).softmax(-3)[..., 1:, :, :]


def global_score(similarities: torch.Tensor, masks: torch.Tensor, config: TsegConfig) -> torch.Tensor:
    """z [..., T]: the mean of S weighted by M, both [..., T, h, w]; with the size term (1 - m)^p log(lambda + m) of
    Araslanov and Roth (2020), m the mean of M."""
    score = (similarities * masks).sum((-2, -1)) / (masks.sum((-2, -1)) + 1e-6)
    if config.size_term:
        size = masks.mean((-2, -1))
        score = score + (1 - size) ** config.size_power * (config.size_floor + size).log()
    return score


def image_loss(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Multi-label loss of scores [B, T]: binary cross-entropy, summed over texts, mean over images. `truth` is 1 where
    a text belongs to the image, 0 where not, and NaN where that is unknown, which counts nothing."""
    known = truth.isfinite()
    losses = F.binary_cross_entropy_with_logits(scores, truth.nan_to_num(), reduction="none")
    return (losses * known).sum() / len(scores)


def places(rows: int, columns: int) -> torch.Tensor:
    """Where each patch's centre lies in the image, as sines and cosines: float32 [rows * columns, 16]."""
    y, x = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij")
    angles = torch.stack([x, y], -1)[..., None] * torch.pi * torch.tensor([0.5, 1.0, 2.0, 4.0])
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(0, 1).flatten(1)


def nearby(rows: int, columns: int, reach: int) -> torch.Tensor:
    """0 where two patches of a grid lie within `reach` of each other along both axes, else minus infinity; float32
    [rows * columns, rows * columns]."""
    y, x = torch.arange(rows).repeat_interleave(columns), torch.arange(columns).repeat(rows)
    near = ((y[:, None] - y).abs() <= reach) & ((x[:, None] - x).abs() <= reach)
    return torch.where(near, 0.0, float("-inf"))
