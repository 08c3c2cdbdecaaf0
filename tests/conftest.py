from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
DATA = Path(__file__).parent / "data"
SHARED = ROOT.parent / "shared"


def cases(kind: str) -> list:
    """The golden arrays in the repository and, where it lies beside it, in ../shared: parameters (checkpoint,
    arrays)."""
    found = [(DATA / "golden" / "checkpoint", path) for path in sorted((DATA / "golden").glob(f"{kind}_*.npz"))]
    here = {path.name for _, path in found}
    golden = SHARED / "golden"
    found += [(golden / "checkpoint", path) for path in sorted(golden.glob(f"{kind}_*.npz")) if path.name not in here]
    return [pytest.param((folder, dict(np.load(path))), id=path.stem) for folder, path in found]


@pytest.fixture(scope="session")
def model():
    from refdiff import RefDiff

    return RefDiff.from_pretrained("mini", device="cpu")


@pytest.fixture
def image_file(tmp_path) -> Path:
    """A red disc on the left and a blue square on the right of a grey ground."""
    path = tmp_path / "shapes.png"
    Image.fromarray(shapes()).save(path)
    return path


def shapes(height: int = 96, width: int = 144) -> np.ndarray:
    image = np.full((height, width, 3), 128, np.uint8)
    y, x = np.mgrid[0:height, 0:width]
    image[(y - height // 2) ** 2 + (x - 36) ** 2 < 24**2] = (200, 30, 30)
    image[height // 2 - 20 : height // 2 + 20, 90:130] = (30, 60, 200)
    return image
