"""Properties of whatever comes from outside: a stated result for what is valid, an InputError for all else."""

import io
import json
import pickle
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from pycocotools import mask as coco

from refdiff.core.images import load_image
from refdiff.core.masks import from_rle, mask_from_image, to_rle
from refdiff.core.polygons import from_polygons
from refdiff.core.proposal_files import load_proposals
from refdiff.datasets import open_dataset
from refdiff.datasets.plain_pickle import load_plain_pickle
from refdiff.errors import BundleError, InputError
from refdiff.language import parse
from refdiff.weights.manifest import find_bundle

quick = settings(max_examples=60, deadline=None, database=None, derandomize=True)

SIDES = st.integers(8, 40)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner,
                                                                                         max_size=4), max_leaves=12)
MASKS = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays.arrays(bool, size))


def answered(function, *arguments):
    """What the function returns, or None for an InputError; any other exception fails the test."""
    try:
        return function(*arguments)
    except InputError as error:
        assert str(error).endswith(".") and "\n" not in str(error)
        return None


def read_back(name: str, content: bytes, read):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        return answered(read, path)


def mutated(data: bytes, changes: list[tuple[int, int]], length: int) -> bytes:
    changed = bytearray(data)
    for place, value in changes:
        changed[place % len(changed)] = value
    return bytes(changed[: len(changed) - length % len(changed)])


CHANGES = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=5)


@quick
@given(st.tuples(SIDES, SIDES).flatmap(lambda size: arrays.arrays(np.uint8, (*size, 3))))
def test_arrays_and_files_give_their_pixels(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    for source in (image, image / 255, np.asfortranarray(image), image[::-1][::-1], file, Image.fromarray(image)):
        loaded = load_image(source)
        assert np.array_equal(loaded, image) and loaded.flags.owndata and not np.shares_memory(loaded, image)
    grey = load_image(image[..., 0])
    assert np.array_equal(grey, np.repeat(image[..., :1], 3, -1))


@quick
@given(arrays.arrays(arrays.scalar_dtypes(), arrays.array_shapes(min_dims=0, max_dims=4, max_side=12)))
def test_any_array_is_an_image_or_an_input_error(array):
    image = answered(load_image, array)
    assert image is None or (image.dtype == np.uint8 and image.shape == (*array.shape[:2], 3))
    mask = answered(mask_from_image, array)
    assert mask is None or (mask.dtype == bool and mask.shape == array.shape[:2])


@quick
@given(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]), st.sampled_from(["RGB", "L", "P", "RGBA", "1"]),
       CHANGES, st.integers(0, 200))
def test_damaged_files_are_images_or_input_errors(kind, mode, changes, length):
    file = io.BytesIO()
    image = Image.fromarray((np.arange(30 * 20 * 3) % 251).astype(np.uint8).reshape(20, 30, 3)).convert(mode)
    image.convert("RGB" if kind == "JPEG" and mode in ("P", "RGBA") else mode).save(file, kind)
    loaded = answered(load_image, mutated(file.getvalue(), changes, length))
    assert loaded is None or (loaded.dtype == np.uint8 and loaded.shape[2] == 3)
    answered(mask_from_image, mutated(file.getvalue(), changes, length))


@quick
@given(MASKS, st.integers(0, 200), st.integers(1, 55))
def test_two_values_make_a_mask(mask, low, step):
    expected = mask if mask.any() and not mask.all() else np.full_like(mask, mask.any() or low > 0)
    assert np.array_equal(mask_from_image(np.where(mask, low + step, low).astype(np.uint8)), expected)


@quick
@given(MASKS)
def test_rle_is_what_pycocotools_writes_and_reads(mask):
    rle = to_rle(mask)
    assert np.array_equal(from_rle(rle, mask.shape), mask) and np.array_equal(coco.decode(rle), mask)
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[2], mask.T.ravel(), [2]]).astype(int))))
    counts = [0] * bool(mask[0, 0]) + runs.tolist()
    assert np.array_equal(from_rle({"size": list(mask.shape), "counts": counts}), mask)


@quick
@given(MASKS, CHANGES, st.integers(0, 9))
def test_damaged_rle_fills_its_size_or_is_refused(mask, changes, length):
    rle = to_rle(mask)
    counts = mutated(rle["counts"].encode(), [(place, 48 + value % 66) for place, value in changes], length)
    found = answered(from_rle, rle | {"counts": counts})
    assert found is None or np.array_equal(coco.decode({"size": rle["size"], "counts": counts}), found)


@quick
@given(JSON | st.fixed_dictionaries({"size": JSON | st.lists(SIDES, min_size=2, max_size=2), "counts": JSON}))
def test_any_value_is_a_mask_or_an_input_error(value):
    for read in (from_rle, lambda value: from_polygons(value, (30, 40))):
        mask = answered(read, value)
        assert mask is None or (mask.dtype == bool and mask.ndim == 2)


@quick
@given(st.lists(st.lists(st.floats(-100, 200), min_size=6, max_size=20).filter(lambda xy: len(xy) % 2 == 0),
                min_size=1, max_size=4), SIDES, SIDES)
def test_polygons_are_drawn_as_pycocotools_does(polygons, height, width):
    expected = coco.decode(coco.merge(coco.frPyObjects(polygons, height, width)))
    assert np.array_equal(from_polygons(polygons, (height, width)), expected)


@quick
@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=9), min_size=1, max_size=3))
def test_far_polygons_are_cut(polygons):
    mask = answered(from_polygons, polygons, (30, 40))
    assert mask is None or mask.shape == (30, 40)


PLAIN = st.recursive(SCALARS.filter(lambda value: value == value),
                     lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(
                         st.text(max_size=5) | st.integers(-99, 99), inner, max_size=4), max_leaves=12)


@quick
@given(PLAIN, st.integers(0, 5))
def test_plain_pickles_are_read(content, protocol):
    assert read_back("refs.p", pickle.dumps([content], protocol=protocol), load_plain_pickle) == [content]


@quick
@given(PLAIN, st.integers(0, 5), CHANGES, st.integers(0, 9))
def test_damaged_pickles_are_read_or_refused(content, protocol, changes, length):
    read_back("refs.p", mutated(pickle.dumps([content], protocol=protocol), changes, length), load_plain_pickle)


@quick
@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_every_text_of_a_line_is_read(texts):
    rows = [{"image": "a.png", "expression": text} for text in texts]
    content = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode("utf-8", "surrogatepass")
    dataset = read_back("own.jsonl", content, open_dataset)
    assert [reference.expression for reference in dataset.references] == texts


@quick
@given(st.lists(st.fixed_dictionaries({"image": JSON, "expression": JSON}, optional={
    "id": JSON, "kind": JSON, "mask": JSON, "segmentation": JSON}), min_size=1, max_size=4))
def test_any_value_in_a_line_is_used_or_a_fault(rows):
    dataset = read_back("own.jsonl", "\n".join(map(json.dumps, rows)).encode(), open_dataset)
    if dataset is None:
        assert len({str(row.get("id", i)) for i, row in enumerate(rows)}) < len(rows) or len(rows) > 1
        return
    assert len(dataset.references) == len(rows) and dataset.fingerprint()
    for reference in dataset.references:
        assert isinstance(reference.expression, str) and (reference.kind is None or isinstance(reference.kind, str))
        truth = answered(reference.truth, (20, 30))
        assert truth is None or truth.shape == (20, 30)


@quick
@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_file_is_a_dataset_or_refused(content):
    read_back("own.jsonl", content, open_dataset)
    found = read_back("proposals.json", content, lambda path: (load_proposals(path, (20, 30), "a"),))
    assert found is None or found[0] is None or found[0].masks.shape[1:] == (20, 30)


@quick
@given(JSON, JSON, st.lists(st.fixed_dictionaries({"split": st.just("val")}, optional={
    "ref_id": JSON, "ann_id": JSON, "image_id": JSON | st.just(1), "kind": JSON, "no_target": JSON,
    "sentences": JSON | st.lists(st.fixed_dictionaries({"sent_id": JSON, "sent": JSON}), max_size=2)}), max_size=3))
def test_any_value_in_refs_is_used_or_a_fault(image, annotation, refs):
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("refs(x).json", refs), ("instances.json", {
                "images": [{"id": 1, "file_name": image, "height": image, "width": 30}],
                "annotations": [{"id": 1, "segmentation": annotation}]})):
            (Path(folder) / name).write_text(json.dumps(content))
        dataset = answered(open_dataset, folder, "val")
        for reference in dataset.references if dataset else ():
            answered(reference.truth, (20, 30))


@quick
@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_refused(text):
    expression = answered(parse, text)
    if expression is not None:
        assert expression.text[expression.start : expression.end] == expression.root
        assert expression.text == " ".join(text.split()) and expression.phrase


@quick
@given(st.fixed_dictionaries({"format": st.just(1) | JSON}, optional={
    "name": JSON, "diffusion": JSON, "clip": JSON, "sam": JSON, "geometry": JSON, "settings": JSON, "domain": JSON
    | st.fixed_dictionaries({}, optional={"nouns": JSON, "vocabulary": JSON, "attributes": JSON, "low_score": JSON,
                                          "meanings": JSON | st.dictionaries(st.text(), st.lists(st.text()))}),
    "calibration": JSON, "licence": JSON}) | JSON)
def test_any_manifest_is_a_bundle_or_refused(manifest):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "refdiff.json").write_text(json.dumps(manifest))
        try:
            bundle = find_bundle(folder)
        except BundleError as error:
            assert str(error).endswith(".") and "\n" not in str(error)
        else:
            assert bundle.settings() and manifest["format"] == 1
