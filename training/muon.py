"""Muon (Jordan et al., 2024): momentum whose matrices are made orthogonal, scaled to AdamW's step (Liu et al., 2025).

The library's own takes matrices only; here a convolution counts as one, its inputs and window flattened.
"""

from __future__ import annotations

import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic Newton-Schulz iteration (Jordan et al.)
_ITERATIONS = 5
_ENDS = ("embed", "conv_in", "conv_out", "token.", "tokens.")


class Muon(torch.optim.Optimizer):
    def __init__(self, parameters, lr: float, momentum: float = 0.95, weight_decay: float = 0.01):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                kept = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                kept.lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(kept, group["momentum"]).flatten(1)
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                step = 0.2 * max(update.shape) ** 0.5 * group["lr"]
                parameter.sub_(orthogonal(update).reshape(parameter.shape).to(parameter), alpha=step)


def has_bfloat16(device: str | torch.device) -> bool:
    """Elsewhere bfloat16 is a hundred times slower than float32."""
    return torch.device(device).type != "cpu" or torch.cpu._is_avx512_bf16_supported()


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """The matrix [m, n] with its singular values brought near 1; bfloat16 where the processor has it."""
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).to(torch.bfloat16 if has_bfloat16(matrix.device) else torch.float32)
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x


def split(modules: dict[str, torch.nn.Module]) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
    """(matrices inside the network for Muon, all else that is trained: embeddings, ends, scales and shifts)."""
    inner, rest = [], []
    for module in modules.values():
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                own = parameter.ndim < 2 or any(end in name for end in _ENDS)
                (rest if own else inner).append(parameter)
    return inner, rest
