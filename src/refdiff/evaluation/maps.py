"""Correlation maps of runs, which rows do not hold: made again by the models that the runs' headers name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.files import shown
from ..errors import InputError
from ..settings import Settings

if TYPE_CHECKING:
    from ..pipeline import RefDiff


class Maps:
    """The models of runs, each loaded once, with the settings, precision and optimisations of their runs.

    `model` names the bundle where a header's name does not lead to it: one in a folder. Raises InputError or
    BundleError where there is no such bundle, or it has changed since the run.
    """

    def __init__(self, headers: Sequence[dict[str, Any]], model: str | Path | None = None):
        places: dict[str, list[int]] = {}
        for place, header in enumerate(headers):
            key = json.dumps([header[name] for name in ("bundle", "settings", "dtype", "fast")], sort_keys=True)
            places.setdefault(key, []).append(place)
        one = len(places) == 1
        self._models = {"" if one else f"run {', '.join(str(place + 1) for place in same)}":
                        _model(headers[same[0]], model) for same in places.values()}

    def of(self, expression: str, image: np.ndarray) -> dict[str, np.ndarray]:
        """c of Eq. 5 for an expression about an image (uint8 [H, W, 3]), float32 [H, W] in [0, 1], by the runs that
        made it; by '' where all did."""
        return {name: model.encode(image).correlation_maps([expression])[0] for name, model in self._models.items()}


def _model(header: dict[str, Any], name: str | Path | None) -> RefDiff:
    from ..pipeline import RefDiff

    bundle = header["bundle"]
    model = RefDiff.from_pretrained(name or bundle["name"], dtype=header["dtype"].removeprefix("torch."),
                                    fast=header["fast"])
    model.bundle.part("diffusion")  # fetched now, since the fingerprint names the commit that was fetched
    if model.bundle.fingerprint() != bundle["fingerprint"]:
        raise InputError(f"The bundle {shown(model.bundle.name)} is not the one of the run, or has changed since; name "
                         "that one with --model, or leave out the maps.")
    model.settings = Settings().replace(**header["settings"])
    return model
