"""What is done with each image of many, here or in another process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ..core.images import load_image
from ..datasets import Reference
from ..errors import InputError
from ..pipeline import RefDiff
from .rows_folder import Row


class Job(Protocol):
    """What is done with each image: the rows of all its expressions. Other processes get a pickled copy."""

    def __call__(self, model: RefDiff, references: Sequence[Reference], index: int,
                 image: np.ndarray | InputError) -> list[Row]:
        """`index` is the image's number; `image` uint8 [H, W, 3], or why it cannot be read."""


def read_image(path: Path) -> np.ndarray | InputError:
    """The image uint8 [H, W, 3], or why there is none."""
    try:
        return load_image(path)
    except InputError as error:
        return error
