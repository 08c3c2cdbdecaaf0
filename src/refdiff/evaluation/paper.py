"""The figures of the paper's Tables 1 to 5, in percent, as data.

Source: Ni et al., "Ref-Diff: Zero-shot referring image segmentation with generative models" (2023), Tables 1 to 5.
Its figures for Region Token, Cropping and Global-Local are those of Yu et al. (CVPR 2023), for TSEG those of Strudel
et al. (2022).
"""

from __future__ import annotations

SOURCE = "Ni et al., Ref-Diff (2023), Tables 1 to 5"

REFCOCO_FAMILY = tuple((name, split) for name, splits in (
    ("RefCOCO", ("val", "testA", "testB")), ("RefCOCO+", ("val", "testA", "testB")),
    ("RefCOCOg", ("val(U)", "test(U)", "val(G)"))) for split in splits)
_DATASETS = {  # (a dataset's name lower-cased, its annotations) -> its name and the end of a split's name here
    ("refcoco", "refs(unc)"): ("RefCOCO", ""), ("refcoco+", "refs(unc)"): ("RefCOCO+", ""),
    ("refcocog", "refs(umd)"): ("RefCOCOg", "(U)"), ("refcocog", "refs(google)"): ("RefCOCOg", "(G)"),
    **{(name, "refer_test"): ("PhraseCut", "") for name in ("phrasecut", "vgphrasecut_v0")}}
ABLATION = (("RefCOCO", "val"), ("RefCOCO+", "val"), ("RefCOCOg", "val(U)"))
PHRASECUT = (("PhraseCut", "test"),)

TSEG = "tseg (reported)"  # weakly supervised, no public code: never measured; the method `tseg` is another training


def _row(columns: tuple[tuple[str, str], ...], figures: str) -> dict[tuple[str, ...], float]:
    return {column: float(figure) for column, figure in zip(columns, figures.split(), strict=True) if figure != "-"}


def column(name: str, annotations: str, split: str) -> tuple[str, str] | None:
    """(dataset, split) as the paper names them, of a split whose expressions are from the file `annotations`; None for
    any other data. RefCOCOg has two partitions: the file says which, and what the dataset is called does not."""
    found = _DATASETS.get((name.lower(), annotations))
    return found and (found[0], split + found[1])


# title, metric, columns, method -> figures
TABLES: dict[int, tuple[str, str | None, tuple[tuple[str, str], ...], dict[str, dict[tuple[str, ...], float]]]] = {
    1: ("oIoU against methods with a segmentor and CLIP", "oIoU", REFCOCO_FAMILY, {
        TSEG: {},
        "region-token": _row(REFCOCO_FAMILY, "21.71 20.31 22.63 22.61 20.91 23.46 25.52 25.38 25.29"),
        "cropping": _row(REFCOCO_FAMILY, "22.73 21.11 23.08 24.09 22.42 23.93 28.69 27.51 27.70"),
        "global-local": _row(REFCOCO_FAMILY, "24.88 23.61 24.66 26.16 24.90 25.83 31.11 30.96 30.69"),
        "sam-clip": _row(REFCOCO_FAMILY, "25.23 25.86 24.75 25.64 27.76 26.06 33.75 34.80 33.65"),
        "ref-diff": _row(REFCOCO_FAMILY, "35.16 37.44 34.50 35.56 38.66 31.40 38.62 37.50 37.82"),
    }),
    2: ("mIoU against methods with a segmentor and CLIP", "mIoU", REFCOCO_FAMILY, {
        TSEG: _row(REFCOCO_FAMILY, "25.95 - - 22.62 - - 23.41 - -"),
        "region-token": _row(REFCOCO_FAMILY, "23.43 22.07 24.62 24.51 22.64 25.37 27.57 27.34 27.69"),
        "cropping": _row(REFCOCO_FAMILY, "24.83 22.58 25.72 26.33 24.06 26.46 31.88 30.94 31.06"),
        "global-local": _row(REFCOCO_FAMILY, "26.20 24.94 26.56 27.80 25.64 27.84 33.52 33.67 33.61"),
        "sam-clip": _row(REFCOCO_FAMILY, "26.33 25.82 26.40 25.70 28.02 26.84 38.75 38.91 38.27"),
        "ref-diff": _row(REFCOCO_FAMILY, "37.21 38.40 37.19 37.29 40.51 33.01 44.02 44.51 44.26"),
    }),
    3: ("PhraseCut", None, PHRASECUT, {
        "global-local": {("PhraseCut", "test", "oIoU"): 23.64},
        "ref-diff": {("PhraseCut", "test", "oIoU"): 29.42, ("PhraseCut", "test", "mIoU"): 41.75},
    }),
    4: ("Ablation, oIoU", "oIoU", ABLATION, {
        "ref-diff/g": _row(ABLATION, "16.18 17.23 20.39"),
        "ref-diff/gs": _row(ABLATION, "26.04 26.68 26.84"),
        "ref-diff/ds": _row(ABLATION, "33.64 34.43 34.83"),
        "ref-diff": _row(ABLATION, "35.16 35.56 38.62"),
    }),
    5: ("Ablation, mIoU", "mIoU", ABLATION, {
        TSEG: _row(ABLATION, "25.95 22.62 23.41"),
        "ref-diff/g": _row(ABLATION, "21.53 22.50 27.03"),
        "ref-diff/gs": _row(ABLATION, "29.82 30.06 30.73"),
        "ref-diff/ds": _row(ABLATION, "35.27 35.72 41.84"),
        "ref-diff": _row(ABLATION, "37.21 37.29 44.02"),
    }),
}


def figures(method: str, column: tuple[str, str] | None) -> dict[str, float]:
    """The paper's figures, in percent, of a method on a dataset and split: by 'oIoU' and 'mIoU', where it has them."""
    found = {}
    for _, metric, _, rows in TABLES.values():
        for where, figure in rows.get(method, {}).items():
            if where[:2] == column:
                found[metric or where[2]] = figure
    return found
