"""SAM 3 by transformers' `Sam3Model`: masks of what a text names (Carion et al., 2025)."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ...errors import BundleError


class Sam3:
    """SAM 3's detector and its tokenizer. Threads may share it: calls wait their turn at `lock`."""

    def __init__(self, model: Any, tokenizer: Any):
        self.model, self.tokenizer = model, tokenizer
        self.side: int = model.config.vision_config.image_size
        self.lock = threading.RLock()

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | torch.device = "cpu") -> Sam3:
        """Load a Sam3Model and its tokenizer from a folder, in float32. Raises BundleError."""
        from ...weights.load import load_sam3

        return cls(*load_sam3(Path(folder), device))

    def pixels(self, image: np.ndarray) -> torch.Tensor:
        """What the model sees of uint8 [H, W, 3]: float32 [1, 3, side, side] in [-1, 1], stretched."""
        pixels = torch.from_numpy(image).to(self.model.device).permute(2, 0, 1)[None].float()
        return F.interpolate(pixels, size=(self.side, self.side), mode="bilinear", antialias=True) / 127.5 - 1

    @torch.inference_mode()
    def encode(self, image: np.ndarray) -> Any:
        """What `find` needs of an image uint8 [H, W, 3], on the model's device."""
        with self.lock:
            return self.model.get_vision_features(self.pixels(image))

    @torch.inference_mode()
    def find(self, encoded: Any, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of masks float32 [Q, h, w], on the model's device, and their scores float32 [Q] in [0, 1], best first:
        how likely a mask shows what the text names, times how likely that is in the image at all.

        A long text is cut to the model's length.
        """
        with self.lock:
            length = self.tokenizer.model_max_length
            read = self.tokenizer(text, padding="max_length", truncation=True, max_length=length,
                                  return_tensors="pt").to(self.model.device)
            if read.input_ids.max() >= self.model.config.text_config.vocab_size:
                raise BundleError("SAM 3's tokenizer has tokens that the model does not know; copy both from the same "
                                  "model.")
            output = self.model(vision_embeds=encoded, input_ids=read.input_ids, attention_mask=read.attention_mask)
            present = output.pred_logits[0].sigmoid() * output.presence_logits[0].sigmoid()
            scores, order = present.sort(descending=True, stable=True)
            return output.pred_masks[0][order], scores.cpu()

    @torch.inference_mode()
    def painted(self, logits: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
        """Masks bool [N, H, W] of logits [N, h, w]: where the probability, resized to `size` (H, W), is over one
        half."""
        if not len(logits):
            return np.zeros((0, *size), bool)
        masks: np.ndarray = (F.interpolate(logits.sigmoid()[None], size=size, mode="bilinear")[0] > 0.5).cpu().numpy()
        return masks
