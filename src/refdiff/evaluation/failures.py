"""The worst expressions of a run as one HTML page."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

from PIL import Image

from ..core.drawing import overlay
from ..core.files import shown
from ..core.images import load_image
from ..core.masks import from_rle
from ..datasets import Dataset, Reference, open_dataset
from ..errors import InputError
from .run_folder import Row, fits, read_header, read_rows

TRUTH_COLOUR = (30, 150, 70)
_SHOWN_SIDE = 320  # px
_WHERE_SHAPE = {"path": str, "split": str, **dict.fromkeys(("split_by", "images", "name"), (str, type(None)))}

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#222}}
figure{{display:inline-block;margin:0 1rem 1.6rem 0;vertical-align:top}}img{{display:block;max-width:100%}}
section{{border-top:1px solid #ddd;padding-top:1rem}}h2{{font-size:1.05rem;margin:.2rem 0 .6rem}}
figcaption,p{{color:#555}}</style>
<h1>{title}</h1><p>{subtitle}</p>
{body}</html>
"""


def failure_sheet(run: str | Path, method: str, worst: int) -> str:
    """An HTML page, images within, of the `worst` expressions of a method: truth (green) beside choice (blue).

    The dataset must still be where the run found it. Raises InputError when the run has no such method or the dataset
    has changed.
    """
    run = Path(run)
    header = read_header(run)
    if method not in header["methods"]:
        raise InputError(f"The run {shown(run)} has no method {method!r}; it has {', '.join(header['methods'])}.")
    if worst < 1:
        raise InputError("At least one expression must be asked for.")
    rows = [row for row in read_rows(run) if row.get("method") == method and "fault" not in row]
    rows = sorted(rows, key=lambda row: (row["iou"], row["image"], str(row["id"])))[:worst]
    dataset = _dataset(run, header["where"]["dataset"])
    if dataset.fingerprint() != header["dataset"]["fingerprint"]:
        raise InputError(f"The dataset {shown(header['dataset']['name'])} has changed since the run {shown(run)}.")
    references = {str(each.id): each for each in dataset.references}
    sections = [_section(rank, row, references[str(row["id"])]) for rank, row in enumerate(rows, 1)
                if str(row["id"]) in references]
    title = f"The {len(sections)} worst of {method} on {header['dataset']['name']} {header['dataset']['split']}"
    return _PAGE.format(title=html.escape(title), body="\n".join(sections), subtitle=html.escape(
        f"bundle {header['bundle']['name']} {header['bundle']['fingerprint']}"))


def _dataset(run: Path, where: dict[str, str | None]) -> Dataset:
    if not fits(where, _WHERE_SHAPE):
        raise InputError(f"The header of {shown(run)} does not say where its dataset is.")
    return open_dataset(**{key: where[key] for key in _WHERE_SHAPE})  # type: ignore[arg-type]


def _section(rank: int, row: Row, reference: Reference) -> str:
    if row["score"] is None:
        chosen = "nothing proposed"
    else:
        chosen = f"{'chosen' if row.get('found', True) else 'nothing found'}, score {row['score']:.3f}"
    note, figures = f"IoU {row['iou']:.3f}, proposal {row['chosen']}", ""
    try:
        image = load_image(reference.image)
        size = image.shape[0], image.shape[1]
        figures = _figure(overlay(image, [reference.truth(size)], colours=[TRUTH_COLOUR]), "truth") + _figure(
            overlay(image, [from_rle(row["rle"], size)]), chosen)
    except InputError as error:
        note = str(error)
    return (f"<section><h2>{rank}. {html.escape(row['expression'])}</h2>"
            f"<p>{html.escape(row['image'])}, expression {html.escape(str(row['id']))}: {html.escape(note)}</p>"
            f"{figures}</section>")


def _figure(image: Image.Image, caption: str) -> str:
    image.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode()
    return (f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>")
