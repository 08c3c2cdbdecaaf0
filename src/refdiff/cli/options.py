"""Options that several commands share, and the model they choose."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import InputError
from .console import tell

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from ..baselines.method import Method
    from ..core.proposals import Proposals
    from ..pipeline import RefDiff


_MOST_WORKERS = 256


def model_options(parser: argparse.ArgumentParser, name: bool = True) -> None:
    """Options of every command that runs a model; without `name`, the command takes the model's name by itself."""
    if name:
        parser.add_argument("--model", default="mini",
                            help="mini, sd15, sd15-light, a bundle folder, or a Hub id (default: mini)")
    parser.add_argument("--preset", choices=("paper", "official"), help="settings of the paper or of its release")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="NAME=VALUE",
                        help="change one setting, for example --set alpha=0.2")
    parser.add_argument("--device", default="auto", help="cpu, cuda or mps (default: the best there is)")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto",
                        help="auto: bfloat16 on cuda, float32 elsewhere and for presets (default: auto)")
    parser.add_argument("--memory", type=float, metavar="GB",
                        help="keep memory within about this many GB: smaller batches, models loaded in turn")
    parser.add_argument("--no-fast", dest="fast", action="store_false",
                        help="leave the models as their libraries have them, without refdiff's optimisations")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the diffusion noise (default: 0)")


def method_option(parser: argparse.ArgumentParser, default: str) -> None:
    """`--method`, for `chosen_methods`."""
    parser.add_argument("--method", metavar="NAME[,NAME...]", default=default,
                        help="methods, 'all' built-in ones that fetch no model of their own, file.py:function for one "
                             "of your own, which is run, or the name under which an installed package offers one "
                             f"(default: {default})")


def engine_options(parser: argparse.ArgumentParser) -> None:
    """`--engine` and `--workers`, for `workers`."""
    parser.add_argument("--engine", choices=("local", "ray"), default="local",
                        help="ray: share the images among processes or machines (default: local)")
    parser.add_argument("--workers", metavar="N", type=int, default=2,
                        help="number of workers of the ray engine (default: 2)")


def workers(options: argparse.Namespace) -> int:
    """How many workers share the images; 0 for none. Raises InputError for a number out of range."""
    if not 1 <= options.workers <= _MOST_WORKERS:
        raise InputError(f"--workers must be from 1 to {_MOST_WORKERS}.")
    return options.workers if options.engine == "ray" else 0


def chosen_methods(options: argparse.Namespace) -> list[Method]:
    """The methods that --method names. Raises InputError for an unknown one, RefDiffError for a plug-in that fails."""
    from ..baselines.registry import OWN, get_methods

    return get_methods([each for name in options.method.split(",") for each in (OWN if name == "all" else [name])])


def load_model(options: argparse.Namespace, expressions: Sequence[str] = ()) -> RefDiff:
    """The model that `model_options` chose; `expressions`, checked ones, are parsed meanwhile.

    Raises InputError for a wrong setting or device, before any download.
    """
    changes = dict(_change(text) for text in options.changes)
    given = {name: getattr(options, name, None) for name in ("seed", "threshold")}
    changes |= {name: value for name, value in given.items() if value is not None}
    from ..weights.manifest import find_bundle

    # What is wrong here need not wait for the model libraries.
    settings = find_bundle(options.model).settings(options.preset).replace(**changes)
    if expressions:
        from .ahead import parse_ahead

        parse_ahead(expressions, settings.expression)

    from ..bench.allocator import keep_freed
    from ..pipeline import RefDiff

    if options.memory is None:
        keep_freed()
    model = RefDiff.from_pretrained(options.model, options.device, options.dtype, options.preset, options.memory,
                                    options.fast)
    model.settings = settings
    if options.device == "auto":
        tell(f"running {model.bundle.name} on {model.device} in {str(model.dtype).removeprefix('torch.')}.")
    return model


def given_proposals(options: argparse.Namespace, image: np.ndarray, path: Path) -> Proposals | None:
    """The masks that --proposals gives for an image (uint8 [H, W, 3]) read from `path`; None without the option.

    Raises InputError where the file holds none for it.
    """
    if not options.proposals:
        return None
    from ..core.proposal_files import load_proposals

    found = load_proposals(options.proposals, (image.shape[0], image.shape[1]), path)
    if found is None:
        raise InputError(f"{options.proposals} lists no masks for {path.name}; there is nothing to choose from.")
    return found


def warn_unfinished(run: Path) -> None:
    """Say so where a run of refdiff evaluate has not been finished."""
    from ..evaluation.run_folder import REPORT, read_header

    with suppress(InputError):  # another folder, of which the command says what it is
        read_header(run)
        if not (run / REPORT).exists():
            tell(f"The run {run} is not finished, and expressions are missing from it; start refdiff evaluate on it "
                 "again.")


def _change(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--set needs NAME=VALUE, not {text!r}.")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value
