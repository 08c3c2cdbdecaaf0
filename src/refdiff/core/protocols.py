"""What the method asks of its three models; any family that offers this can take part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..settings import BatchingSettings, DiscriminativeSettings, GenerativeSettings, SegmentorSettings

if TYPE_CHECKING:
    from torch import Tensor


class Diffusion(Protocol):
    """A text-to-image diffusion model, read for what each word attends to."""

    def encode_image(self, image: np.ndarray, settings: GenerativeSettings) -> Tensor:
        """The scaled latent float32 [1, C, h, w] of an image uint8 [H, W, 3] on its black square."""
        ...

    def attention(self, latents: Tensor, texts: Sequence[str], settings: GenerativeSettings,
                  noise: Tensor | None = None) -> Tensor:
        """Eq. 3 and 4: maps float32 [L, B, h, w, S] of every layer and step used, for each text."""
        ...

    def tokens(self, text: str) -> tuple[str, ...]:
        """All that the model sees of the text, start and end included, readable."""
        ...

    def token_count(self, text: str) -> int:
        """How many tokens spell `text`, start and end not counted, not cut to the model's length."""
        ...


@dataclass(frozen=True, eq=False)
class ScoredMasks:
    """`masks` bool [N, H, W], best first; `iou` the segmentor's own estimate and `stability`, float32 [N] in [0, 1]."""

    masks: np.ndarray
    iou: np.ndarray
    stability: np.ndarray


class Segmentor(Protocol):
    """A model that draws masks where it is asked to."""

    def encode(self, image: np.ndarray, settings: SegmentorSettings) -> Tensor:
        """What later calls need of an image uint8 [H, W, 3], as a tensor on the model's device."""
        ...

    def masks_at(self, embedding: Tensor, points: np.ndarray, size: tuple[int, int], settings: SegmentorSettings,
                 batching: BatchingSettings) -> ScoredMasks:
        """Filtered masks for points (x, y) float [P, 2] in [0, 1] of an image of `size` (H, W)."""
        ...


class Similarity(Protocol):
    """An image-text model with a ViT image encoder."""

    @property
    def scale(self) -> float:
        """What products of features are multiplied by before a softmax over texts, as the model was trained."""
        ...

    def masked_features(self, image: np.ndarray, masks: np.ndarray | Tensor,
                        settings: DiscriminativeSettings) -> Tensor:
        """f_M of Eq. 7: float32 [N, D], unit length, of an image float32 [H, W, 3] in [0, 1] (which may carry a bias)
        and masks bool [N, H, W]."""
        ...

    def crop_features(self, image: np.ndarray, masks: np.ndarray | Tensor, settings: DiscriminativeSettings, *,
                      batching: BatchingSettings) -> Tensor:
        """f of Eq. 7: float32 [N, D], unit length, of the same."""
        ...

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Features float32 [B, D] of texts, unit length."""
        ...
