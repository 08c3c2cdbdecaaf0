"""The commands that measure methods over datasets: evaluate, merge, rows."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.files import shown
from ..errors import InputError
from .console import show, show_progress, table, tell
from .options import (
    chosen_methods,
    engine_options,
    load_model,
    method_option,
    model_options,
    warn_unfinished,
    workers,
)

if TYPE_CHECKING:
    from ..baselines.method import Method
    from ..datasets import Dataset
    from ..settings import Settings

_METRICS = ("oIoU", "mIoU", "Pr@0.5")


def add_commands(commands: Any) -> None:
    """Add them to the command line's parser."""
    evaluate = commands.add_parser("evaluate", help="run methods over a dataset; goes on where it was stopped")
    evaluate.add_argument("dataset", metavar="DATASET",
                          help="folder in the REFER, PhraseCut or ReasonSeg layout, or a .jsonl file of your own")
    evaluate.add_argument("--out", metavar="RUN", type=Path, required=True,
                          help="folder of the run; several splits and seeds have folders in it")
    method_option(evaluate, "ref-diff")
    evaluate.add_argument("--split", metavar="NAME[,NAME...]", default="val",
                          help="several: RUN/NAME has the run of each (default: val)")
    evaluate.add_argument("--split-by", metavar="NAME", help="of REFER's refs(NAME).p: unc, umd, google")
    evaluate.add_argument("--images", metavar="DIR", type=Path, help="the images' folder (default: DATASET/images)")
    evaluate.add_argument("--name", help="what tables call the dataset (default: the folder's name)")
    evaluate.add_argument("--text", choices=("sent", "raw"), default="sent",
                          help="of REFER's sentences: cleaned, or as they were typed (default: sent)")
    evaluate.add_argument("--truth-as", choices=("union", "yu2023"), default="union",
                          help="yu2023: leave out of a truth where its parts overlap, as Yu et al.'s release does "
                               "(default: union)")
    evaluate.add_argument("--proposals", metavar="FILE", type=Path,
                          help="JSON of masks by image, a COCO results list or an instances JSON, to use instead of "
                               "SAM's masks")
    evaluate.add_argument("--limit", metavar="N", type=int, help="measure the split's first N expressions alone")
    evaluate.add_argument("--shard", metavar="I/N",
                          help="measure part I of N of the images alone, for refdiff merge")
    evaluate.add_argument("--accept", action="store_true",
                          help="200 expressions alone, and whether their figures agree with the paper's (status 1 "
                               "where not)")
    engine_options(evaluate)
    model_options(evaluate)
    evaluate.add_argument("--seeds", metavar="N,N...",
                          help="instead of --seed: RUN/seed-N has the run with each; mean and standard deviation")
    evaluate.add_argument("--targets", choices=("one", "any"),
                          help="whether an answer is always one thing, or one, several or nothing (default: one where "
                               "every expression of the data means exactly one, unless --set targets=any)")
    evaluate.set_defaults(run=_evaluate)

    merge = commands.add_parser("merge", help="make one run of all its shards")
    merge.add_argument("out", metavar="OUT", type=Path, help="folder of the whole run")
    merge.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="folders of refdiff evaluate --shard")
    merge.set_defaults(run=_merge)

    rows = commands.add_parser("rows", help="the rows of a run as one table for pandas and others")
    rows.add_argument("folder", metavar="RUN", type=Path)
    rows.add_argument("--out", metavar="FILE", type=Path, required=True, help="ends in .csv or .parquet")
    rows.set_defaults(run=_rows)


def _evaluate(options: argparse.Namespace) -> int:
    count = workers(options)
    splits, seeds = _splits(options), _seeds(options)
    methods = chosen_methods(options)
    from ..datasets import open_dataset
    from ..evaluation.runner import evaluate, suited
    from ..evaluation.shards import Shard

    shard = Shard.parse(options.shard) if options.shard else None
    datasets = [open_dataset(options.dataset, split, options.split_by, options.images, options.name, options.limit,
                             options.text, options.truth_as)
                for split in splits]
    if options.accept:
        datasets = [_sample(options, dataset, methods) for dataset in datasets]
    model = load_model(options)
    settings = [[_settings(options, model.settings, suited(dataset), seed) for seed in seeds] for dataset in datasets]
    rows = []
    for dataset, of_seeds in zip(datasets, settings, strict=True):
        reports = []
        for seed, model.settings in zip(seeds, of_seeds, strict=True):
            out = options.out / dataset.split if len(splits) > 1 else options.out
            out = out if seed is None else out / f"seed-{seed}"
            if out != options.out:
                tell(f"{shown(out)}:")
            reports.append(evaluate(model, dataset, methods, out, options.proposals,
                                    count, show_progress, shard))
            _tell_faults(reports[-1], out)
        rows += [(*([dataset.split] if len(splits) > 1 else []), *row) for row in _figures(reports)]
    show(table([(*(["split"] if len(splits) > 1 else []), "method", "expressions", *_METRICS), *rows]))
    if not rows and reports[-1]["faults"]:  # nothing could be measured
        return 1
    return _accept(options.out) if options.accept else 0


def _sample(options: argparse.Namespace, dataset: Dataset, methods: Sequence[Method]) -> Dataset:
    """The expressions that --accept measures."""
    if options.limit is not None or options.shard or options.seeds or "," in options.split:
        raise InputError("--accept chooses its own expressions of one split; leave out --limit, --shard, --seeds and "
                         "further splits.")
    from ..evaluation.accept import sample

    return sample(dataset, methods)


def _accept(out: Path) -> int:
    from ..evaluation.accept import add_acceptance

    acceptance = add_acceptance(out)
    rows = [("method", "metric", "measured", "95 % interval", "paper", "within")]
    for method, metrics in acceptance["figures"].items():
        for metric, found in metrics.items():
            measured, low, high, paper = (f"{100 * found[name]:.2f}" for name in ("measured", "low", "high", "paper"))
            rows.append((method, metric, measured, f"{low} to {high}", paper, "yes" if found["within"] else "no"))
    show(f"\n{table(rows)}\n\n{'accepted' if acceptance['accepted'] else 'not accepted'}")
    return 0 if acceptance["accepted"] else 1


def _settings(options: argparse.Namespace, own: Settings, suited: dict[str, Any], seed: int | None) -> Settings:
    """The model's settings with what the data ask for, unless an option says otherwise, and the seed of this run."""
    changes = {name: value for name, value in suited.items() if not _is_set(options, name)}
    if options.targets:
        changes["targets"] = options.targets
    if seed is not None:
        changes["seed"] = seed
    return own.replace(**changes)


def _is_set(options: argparse.Namespace, name: str) -> bool:
    """Whether --set names a setting."""
    return any(change.partition("=")[0] == name for change in options.changes)


def _splits(options: argparse.Namespace) -> list[str]:
    splits = list(dict.fromkeys(options.split.split(",")))
    for split in splits:
        if len(splits) > 1 and (split in ("", ".", "..") or Path(split).name != split):
            raise InputError(f"{shown(split)!r} is not the name of a split that a folder can have; give --split a list "
                             "such as val,testA,testB.")
    return splits


def _seeds(options: argparse.Namespace) -> Sequence[int | None]:
    if options.seeds is None:
        return [None]
    if options.seed is not None or _is_set(options, "seed"):
        raise InputError("Give either one seed or --seeds, not both.")
    try:
        return list(dict.fromkeys(int(seed) for seed in options.seeds.split(",")))
    except ValueError:
        raise InputError(f"--seeds must be a list of integers such as 0,1,2, not {shown(options.seeds)!r}.") from None


def _figures(reports: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """A row for each method: its mean figures over the reports of all seeds, with the standard deviation of several."""
    from ..evaluation.report import ALL

    rows = []
    for name, kinds in reports[0]["figures"].items():
        found = [report["figures"][name][ALL] for report in reports] if ALL in kinds else []
        if found:
            values = [[100 * each[metric] for each in found] for metric in _METRICS]
            rows.append((name, str(found[0]["expressions"]), *(
                f"{statistics.fmean(of_seeds):.2f}" + (f" ± {statistics.stdev(of_seeds):.2f}" if len(found) > 1 else "")
                for of_seeds in values)))
    return rows


def _tell_faults(report: dict[str, Any], out: Path) -> None:
    if faults := report["faults"]:
        from ..evaluation.report import left_out

        tell(f"{left_out(report)} expressions could not be used; {shown(out / 'report.json')} names them, the first: "
             f"{faults[0]['fault']}")


def _merge(options: argparse.Namespace) -> int:
    from ..evaluation.shards import merge

    report = merge(options.out, options.runs)
    show(table([("method", "expressions", *_METRICS), *_figures([report])]))
    _tell_faults(report, options.out)
    return 0


def _rows(options: argparse.Namespace) -> int:
    from ..evaluation.export_rows import export_rows

    export_rows(options.folder, options.out)
    warn_unfinished(options.folder)
    show(str(options.out))
    return 0
