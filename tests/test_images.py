import numpy as np
import pytest
from PIL import Image

from conftest import shapes
from refdiff import InputError, load_image
from refdiff.images import letterbox


@pytest.mark.parametrize(("suffix", "tolerance"), [("png", 0), ("bmp", 0), ("tiff", 0), ("gif", 8), ("webp", 40),
                                                   ("jpg", 40)])
def test_formats(tmp_path, suffix, tolerance):
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(shapes()).save(path)
    loaded = load_image(path)
    assert loaded.dtype == np.uint8 and loaded.shape == (96, 144, 3)
    assert np.median(np.abs(loaded.astype(int) - shapes())) <= tolerance / 10
    assert np.abs(loaded[48, 36].astype(int) - (200, 30, 30)).max() <= tolerance


def test_modes_become_rgb(tmp_path):
    rgb = Image.fromarray(shapes())
    grey = np.asarray(rgb.convert("L"))
    deep = tmp_path / "deep.png"
    Image.fromarray(grey.astype(np.uint16) * 257).save(deep)
    assert np.array_equal(load_image(deep)[..., 0], grey)
    for mode in ("L", "P", "CMYK", "1", "LA", "YCbCr"):
        assert load_image(rgb.convert(mode)).shape == (96, 144, 3), mode
    clear = rgb.convert("RGBA")
    clear.putalpha(0)
    assert (load_image(clear) == 255).all()


def test_arrays_agree_with_each_other():
    image = shapes()
    assert np.array_equal(load_image(image), image)
    assert np.array_equal(load_image(image / 255), image)
    assert np.array_equal(load_image(image.astype(np.uint16) * 257), image)
    assert np.array_equal(load_image(np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])), image)


def test_exif_orientation_is_applied(tmp_path):
    turned = Image.fromarray(shapes())
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert load_image(tmp_path / "turned.jpg").shape == (144, 96, 3)


def test_unusable_pictures_are_refused_with_a_sentence(tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    Image.fromarray(shapes()).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:150])
    (tmp_path / "empty.jpg").touch()
    Image.new("1", (20_000, 10_000)).save(tmp_path / "huge.png")
    for source, reason in [(tmp_path / "none.png", "no picture"), (tmp_path, "folder"),
                           (tmp_path / "text.png", "not a picture"), (tmp_path / "cut.png", "broken"),
                           (tmp_path / "empty.jpg", "not a picture"), (tmp_path / "huge.png", "megapixels"),
                           (np.zeros((4, 40, 3), np.uint8), "at least 8"), (np.zeros((9, 9, 2)), "array"),
                           (np.full((9, 9), np.nan), "0 to 1")]:
        with pytest.raises(InputError, match=reason):
            load_image(source)


def test_letterbox_centres_on_black():
    boxed = letterbox(np.full((20, 40, 3), 200, np.uint8), 40)
    assert boxed.shape == (40, 40, 3)
    assert (boxed[:8] == 0).all() and (boxed[32:] == 0).all() and (boxed[14:26] == 200).all()
