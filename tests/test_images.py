import io
import os
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import ROOT, shapes
from refdiff.core.decoding import MAX_ASPECT, MAX_SIDE, stated_size
from refdiff.core.files import read_json, write_atomically
from refdiff.core.images import check_image_name, letterbox, load_image, save_image
from refdiff.errors import InputError, RefDiffError

FAULTS = ROOT.parent / "shared" / "faults"


def encoded(image: np.ndarray, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(("suffix", "tolerance"), [("png", 0), ("bmp", 0), ("tiff", 0), ("gif", 8), ("webp", 40),
                                                   ("jpg", 40), ("avif", 40)])
def test_formats(tmp_path, suffix, tolerance):
    path = tmp_path / f"image.{suffix}"
    try:
        Image.fromarray(shapes()).save(path)
    except (KeyError, ValueError, OSError):
        pytest.skip(f"this Pillow writes no {suffix}")
    loaded = load_image(path)
    assert loaded.dtype == np.uint8 and loaded.shape == (96, 144, 3)
    assert np.median(np.abs(loaded.astype(int) - shapes())) <= tolerance / 10
    assert np.abs(loaded[48, 36].astype(int) - (200, 30, 30)).max() <= tolerance


def test_heic_is_read_with_the_extra_and_named_without(tmp_path):
    try:
        import pillow_heif
    except ImportError:
        (tmp_path / "a.heic").write_bytes(b"\x00\x00\x00\x1cftypheic\x00\x00\x00\x00mif1heicmiaf")
        with pytest.raises(InputError, match=r"refdiff\[heif\]"):
            load_image(tmp_path / "a.heic")
        return
    pillow_heif.from_pillow(Image.fromarray(shapes())).save(tmp_path / "a.heic")
    assert np.abs(load_image(tmp_path / "a.heic").astype(int) - shapes()).mean() < 5
    assert ".heic" not in Image.EXTENSION  # nothing is registered for the whole process


def test_modes_become_rgb():
    rgb = Image.fromarray(shapes())
    grey = np.asarray(rgb.convert("L"))
    for mode in ("L", "P", "CMYK", "1", "LA", "YCbCr"):
        assert load_image(rgb.convert(mode)).shape == (96, 144, 3), mode
    for deep in (Image.fromarray(grey.astype(np.uint16) * 257), Image.fromarray(grey.astype(np.int32) * 257),
                 Image.fromarray(grey.astype(np.float32) / 255), Image.fromarray(grey.astype(np.float32))):
        assert np.array_equal(load_image(deep), np.repeat(grey[..., None], 3, -1)), deep.mode
    clear = rgb.convert("RGBA")
    clear.putalpha(0)
    assert (load_image(clear) == 255).all()


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_values_of_16_bits_are_scaled_by_the_bits_they_use(tmp_path, bits):
    values = np.linspace(0, (1 << bits) - 1, 64 * 64).astype(np.uint16).reshape(64, 64)
    Image.fromarray(values).save(tmp_path / "deep.png")
    expected = values * 255.0 / ((1 << bits) - 1)
    for loaded in (load_image(tmp_path / "deep.png"), load_image(values), load_image(values.astype(">u2"))):
        assert np.abs(loaded[..., 0] - expected).max() <= 1


def test_every_kind_of_source_gives_the_same_image(tmp_path):
    image = shapes()
    data = encoded(image)
    (tmp_path / "a.png").write_bytes(data)
    read_to_the_end = io.BytesIO(data)
    read_to_the_end.read()
    tensor = torch.from_numpy(image)
    with (tmp_path / "a.png").open("rb") as file:
        sources = [image, image / 255, image.astype(np.uint16) * 257, np.dstack([image, np.full(image.shape[:2], 255,
                   np.uint8)]), np.asfortranarray(image), tmp_path / "a.png", str(tmp_path / "a.png"), data,
                   bytearray(data), memoryview(data), read_to_the_end, file, Image.fromarray(image), tensor,
                   tensor.permute(2, 0, 1), tensor.permute(2, 0, 1) / 255, (tensor / 255).bfloat16().float()]
        for source in sources:
            loaded = load_image(source)
            assert np.array_equal(loaded, image)
            assert loaded.flags.owndata and loaded.flags.writeable and loaded.flags.c_contiguous
            loaded[:] = 0  # a copy: the source stays as it is
    assert np.array_equal(image, shapes())
    grey = torch.from_numpy(image[..., 0].copy())
    for source in (grey, grey[None], grey[..., None], grey.numpy()[..., None]):
        assert np.array_equal(load_image(source), np.repeat(image[..., :1], 3, -1))


@pytest.mark.parametrize("source", [
    None, 5, 2.5, [1, 2], {"a": 1}, object(), np.zeros((4, 40, 3), np.uint8), np.zeros((9, 9, 2)), np.zeros(9),
    np.full((9, 9), np.nan), np.full((9, 9), 2.0), np.zeros((9, 9), np.int64), np.zeros((9, 9), object),
    np.zeros((9, 9), complex), torch.zeros(2, 3, 9, 9), torch.zeros(9, 9, dtype=torch.int64), torch.zeros(5, 9, 9),
    torch.zeros(3, 9, 9, device="meta"), torch.zeros(3, 9, 9).to_sparse(), b"", b"not an image", io.StringIO("text"),
    io.BytesIO(), "", "\0", "x" * 300, "\ud800.png", Image.new("F", (9, 9), float("nan")), Image.new("I", (9, 9), -1),
    Image.new("I", (9, 9), 70_000), Image.new("RGB", (0, 0)),
], ids=lambda source: type(source).__name__)
def test_everything_else_is_an_input_error(source):
    with pytest.raises(InputError):
        load_image(source)


def test_broken_files_and_images_are_refused(tmp_path):
    whole = encoded(shapes())
    truncated = Image.open(io.BytesIO(whole[:200]))
    closed = Image.fromarray(shapes())
    closed.close()
    ended = io.BytesIO(whole)
    ended.close()
    for source in (whole[:200], whole[:20], truncated, closed, ended, encoded(shapes(), "JPEG")[:300]):
        with pytest.raises(InputError):
            load_image(source)
    with pytest.raises(InputError, match="no file"):
        load_image(tmp_path / "none.png")
    with pytest.raises(InputError, match="folder"):
        load_image(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    started = time.monotonic()
    with pytest.raises(InputError, match="not a regular file"):
        load_image(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="not a regular file"):
        read_json(tmp_path / "pipe.png")
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(("width", "height", "reason"), [
    (20_000, 10_000, "megapixels"), (9_800, 9_700, None), (8, 500, "times the shorter"), (12_000, 8, "times"),
    (30_000, 8, "times"), (MAX_SIDE + 1, 3_000, "at most"), (7, 9, "at least 8"), (8, 8 * MAX_ASPECT, None)])
def test_sizes_are_bounded_and_nothing_warns(recwarn, width, height, reason):
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    if reason is None:
        assert load_image(file).shape == (height, width, 3)
    else:
        with pytest.raises(InputError, match=reason):
            load_image(file)
    assert not recwarn.list


def test_images_load_in_threads(recwarn):
    data, found = encoded(shapes()), []

    def load():
        found.extend(load_image(data) for _ in range(20))

    threads = [threading.Thread(target=load) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(found) == 160 and all(np.array_equal(image, shapes()) for image in found)


def test_exif_orientation_is_applied_and_damage_ignored(tmp_path):
    image = Image.fromarray(shapes())
    for orientation in range(1, 9):
        exif = image.getexif()
        exif[0x0112] = orientation
        image.save(tmp_path / "turned.png", exif=exif)
        from PIL import ImageOps

        with Image.open(tmp_path / "turned.png") as opened:
            expected = np.asarray(ImageOps.exif_transpose(opened))
        assert np.array_equal(load_image(tmp_path / "turned.png"), expected)
    damaged = encoded(shapes(), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff\x00\x01")
    assert load_image(damaged).shape == (96, 144, 3)


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the collected faults (../shared/faults) are not here")
def test_collected_faults():
    assert load_image(FAULTS / "exif_typeerror.jpg").shape == (40, 30, 3)
    values = np.asarray(Image.open(FAULTS / "grey12in16.png"))
    assert 1 << 11 < values.max() < 1 << 12
    assert np.abs(load_image(FAULTS / "grey12in16.png")[..., 0] - values * 255.0 / 4095).max() <= 1


@pytest.mark.parametrize("shape", [(20, 40), (97, 33), (33, 97), (64, 64), (128, 50), (300, 211), (2500, 700)])
def test_letterbox_is_the_resized_square(shape):
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3)).astype(np.uint8)
    side, top, left = max(shape), (max(shape) - shape[0]) // 2, (max(shape) - shape[1]) // 2
    square = np.zeros((side, side, 3), np.uint8)
    square[top : top + shape[0], left : left + shape[1]] = image
    expected = np.asarray(Image.fromarray(square).resize((64, 64), Image.Resampling.LANCZOS))
    assert np.array_equal(letterbox(image, 64), expected)


def test_images_are_saved_whole_by_suffix_or_into_a_file(tmp_path, monkeypatch):
    image = shapes()
    for suffix in ("png", "PNG", "bmp", "tiff", "webp", "jpg"):
        save_image(image, tmp_path / f"a.{suffix}")
        assert load_image(tmp_path / f"a.{suffix}").shape == image.shape
    mask = image[..., 0] > 150
    save_image(mask, str(tmp_path / "mask.png"))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "mask.png")), mask * np.uint8(255))
    file = io.BytesIO()
    save_image(Image.fromarray(image), file)
    assert file.getvalue().startswith(b"\x89PNG") and np.array_equal(load_image(file), image)
    with (tmp_path / "text").open("w") as text, (tmp_path / "a.png").open("rb") as reading:
        for target in (tmp_path / "noname", tmp_path / "a.heic", tmp_path / "none" / "a.png", tmp_path, 5, None, text,
                       reading, "x" * 300 + ".png", "\0.png"):
            with pytest.raises(InputError):
                save_image(image, target)
    for wrong in (None, [[1]], np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8)):
        with pytest.raises(InputError):
            save_image(wrong, tmp_path / "b.png")
    with pytest.raises(InputError, match="JPEG"):
        save_image(Image.new("RGBA", (9, 9)), tmp_path / "b.jpg")
    with pytest.raises(InputError, match="must end in"):
        check_image_name(tmp_path / "sheet.txt")
    assert not (tmp_path / "b.png").exists() and not list(tmp_path.glob(".*"))


def test_a_failed_write_leaves_the_old_file_and_names_it(tmp_path):
    path = tmp_path / "a.json"
    write_atomically(path, b"old")

    def fill(file):
        file.write(b"half of the new")
        raise OSError(28, "No space left on device")

    with pytest.raises(RefDiffError, match=r"a\.json could not be written \(No space left"):
        write_atomically(path, fill)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_header_states_the_size_of_what_is_not_decoded():
    whole = encoded(np.zeros((40, 60, 3), np.uint8))
    assert stated_size(whole) == stated_size(whole[:50]) == (60, 40)
    for wrong in (b"", b"text", whole[:16] + b"\0\1\0\0" * 2 + whole[24:]):
        with pytest.raises(InputError):
            stated_size(wrong)
