"""k of Eq. 5: which of the diffusion model's tokens spell the root."""

from __future__ import annotations

from ..core.protocols import Diffusion
from ..settings import ExpressionSettings
from .expression import Expression


def token_indices(diffusion: Diffusion, expression: Expression, settings: ExpressionSettings) -> list[int]:
    """Indices in `diffusion.tokens(expression.text)`, where the start token is 0; never empty.

    All tokens that spell the root, or the release's single one under its rule. A root beyond what the model sees of the
    text falls back to the last text token.
    """
    last = len(diffusion.tokens(expression.text)) - 2
    if settings.root_rule == "release":
        return [_release_token(diffusion, expression, last)]
    before = diffusion.token_count(expression.text[: expression.start])
    through = diffusion.token_count(expression.text[: expression.end])
    return [index for index in range(before + 1, through + 1) if index <= last] or [max(last, 1)]


def _release_token(diffusion: Diffusion, expression: Expression, last: int) -> int:
    """The last token of the text cut after the first occurrence of the root."""
    cut = expression.text[: expression.text.find(expression.root) + len(expression.root)]
    return min(diffusion.token_count(cut), last)
