from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT.parent / "shared" / "golden"


@pytest.fixture(scope="session")
def golden() -> Path:
    if not GOLDEN.is_dir():
        pytest.skip("the golden arrays of the release (../shared/golden) are not here")
    return GOLDEN


@pytest.fixture(scope="session")
def model():
    from refdiff import RefDiff

    return RefDiff.from_pretrained("mini")


@pytest.fixture
def picture(tmp_path) -> Path:
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
