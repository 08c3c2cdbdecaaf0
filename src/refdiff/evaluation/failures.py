"""The worst expressions of a run as one HTML page."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

from PIL import Image

from ..datasets import open_dataset
from ..errors import InputError
from ..figures import overlay
from ..images import load_image
from ..masks import from_rle
from .runner import read_header, read_rows

TRUTH_COLOUR = (30, 150, 70)
_SHOWN_SIDE = 320  # px

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#222}}
figure{{display:inline-block;margin:0 1rem 1.6rem 0;vertical-align:top}}img{{display:block;max-width:100%}}
section{{border-top:1px solid #ddd;padding-top:1rem}}h2{{font-size:1.05rem;margin:.2rem 0 .6rem}}
figcaption,p{{color:#555}}</style>
<h1>{title}</h1><p>{subtitle}</p>
{body}</html>
"""


def failure_sheet(run: str | Path, method: str, worst: int) -> str:
    """An HTML page, pictures within, of the `worst` expressions of a method: truth (green) beside choice (blue).

    The dataset must still be where the run found it. Raises InputError when the run has no such method.
    """
    run = Path(run)
    about = read_header(run)
    if method not in about["methods"]:
        raise InputError(f"The run {run} has no method {method!r}; it has {', '.join(about['methods'])}.")
    rows = [row for row in read_rows(run) if row.get("method") == method and "fault" not in row]
    rows = sorted(rows, key=lambda row: (row["iou"], row["image"], str(row["id"])))[:worst]
    references = {str(each.id): each for each in open_dataset(**about["where"]).references}
    sections = []
    for rank, row in enumerate(rows, 1):
        reference = references[str(row["id"])]
        try:
            image = load_image(reference.image)
            pictures = [(overlay(image, reference.truth(image.shape[:2]), colour=TRUTH_COLOUR), "truth"),
                        (overlay(image, from_rle(row["rle"])), f"chosen, score {row['score']:.3f}")]
        except InputError as error:
            pictures, note = [], str(error)
        else:
            note = f"IoU {row['iou']:.3f}, proposal {row['chosen']}"
        sections.append(
            f"<section><h2>{rank}. {html.escape(row['expression'])}</h2>"
            f"<p>{html.escape(row['image'])}, expression {html.escape(str(row['id']))}: {html.escape(note)}</p>"
            + "".join(map(_figure, pictures)) + "</section>")
    title = f"The {len(rows)} worst of {method} on {about['dataset']['name']} {about['dataset']['split']}"
    return _PAGE.format(title=html.escape(title), body="\n".join(sections), subtitle=html.escape(
        f"bundle {about['bundle']['name']} {about['bundle']['fingerprint']}"))


def _figure(item: tuple[Image.Image, str]) -> str:
    picture, caption = item
    picture.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode()
    return (f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>")
