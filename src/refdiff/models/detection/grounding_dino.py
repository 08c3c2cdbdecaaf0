"""Grounding DINO by transformers' `GroundingDinoForObjectDetection`: boxes of what a text names (Liu et al., 2023)."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...errors import BundleError

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
_SHORTER, _LONGER = 800, 1333  # px the image's sides are brought to


class GroundingDino:
    """Grounding DINO and its tokenizer. Threads may share it: calls wait their turn at `lock`."""

    def __init__(self, model: Any, tokenizer: Any):
        self.model, self.tokenizer = model, tokenizer
        self.lock = threading.RLock()

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | torch.device = "cpu") -> GroundingDino:
        """Load a GroundingDinoForObjectDetection and its tokenizer from a folder, in float32. Raises BundleError."""
        from ...weights.load import load_grounding_dino

        return cls(*load_grounding_dino(Path(folder), device))

    def pixels(self, image: np.ndarray) -> torch.Tensor:
        """What the model sees of uint8 [H, W, 3]: float32 [1, 3, h, w], the shorter side 800 px unless the longer would
        be over 1333, normalised. As transformers' image processor does with Pillow."""
        height, width = image.shape[:2]
        low, high = min(height, width), max(height, width)
        shorter = min(_SHORTER, _LONGER * low / high)
        sides = max(1, round(shorter)), max(1, int(shorter * high / low))
        size = sides if width <= height else sides[::-1]
        resized = np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        return ((torch.from_numpy(resized).permute(2, 0, 1)[None].float() / 255 - mean) / std).to(self.model.device)

    @torch.inference_mode()
    def boxes(self, pixels: torch.Tensor, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Boxes (left, top, right, bottom) as fractions of the image's sides, float32 [Q, 4] in [0, 1], and their
        scores, float32 [Q] in [0, 1], best first, on the CPU.

        `pixels` from `pixels`. A box's score is that of the word that it fits best. `text` is seen in lower case and
        with a full stop, as the model was trained; what does not fit into its length is cut.
        """
        caption = text.lower().strip().rstrip(".").rstrip() + "."
        with self.lock:
            read = self.tokenizer(caption, truncation=True, max_length=self.tokenizer.model_max_length,
                                  return_tensors="pt").to(self.model.device)
            if read.input_ids.max() >= self.model.config.text_config.vocab_size:
                raise BundleError("Grounding DINO's tokenizer has tokens that the model does not know; copy both from "
                                  "the same model.")
            output = self.model(pixel_values=pixels, input_ids=read.input_ids, attention_mask=read.attention_mask)
            scores, order = output.logits[0].sigmoid().amax(-1).sort(descending=True, stable=True)
            centre, extent = output.pred_boxes[0][order].split(2, dim=-1)
        return torch.cat([centre - extent / 2, centre + extent / 2], dim=-1).clamp(0, 1).cpu(), scores.cpu()
