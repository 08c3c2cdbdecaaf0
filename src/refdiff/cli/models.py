"""`refdiff models`: which bundles are on this machine, fetching them, checking them, trying them on photographs."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import BundleError
from .console import show, table
from .options import load_model, model_options


def add_commands(commands: Any) -> None:
    """Add it to the command line's parser."""
    models = commands.add_parser("models", help="list, download, check or try model bundles")
    actions = models.add_subparsers(metavar="ACTION")
    models.set_defaults(run=_list, name=None)

    listing = actions.add_parser("list", help="which bundles are on this machine")
    listing.add_argument("name", nargs="?", help="a bundle's name, folder or Hub id (default: all known by name)")
    listing.set_defaults(run=_list)

    download = actions.add_parser("download", help="fetch a bundle from the Hub")
    download.add_argument("name", help="sd15, sd15-light, or a Hub id")
    download.add_argument("--all", dest="baselines", action="store_true", help="the CLIP of the baselines too")
    download.set_defaults(run=_download)

    check = actions.add_parser("check", help="compare a bundle's files with the Hub's listing and load its models")
    check.add_argument("name", help="a bundle's name, folder or Hub id")
    check.set_defaults(run=_check)

    trial = actions.add_parser("try", help="run a bundle on three photographs whose answers are known")
    trial.add_argument("model", metavar="name", help="a bundle's name, folder or Hub id")
    model_options(trial, name=False)
    trial.set_defaults(run=_try)


def _list(options: argparse.Namespace) -> int:
    from ..weights.check import describe
    from ..weights.manifest import find_bundle, names

    rows = [("model", "state", "MB", "parts here")]
    for name in [options.name] if options.name else names():
        found = describe(find_bundle(name))
        absent = f"; absent: {', '.join(found.absent)}" if found.absent else ""
        rows.append((name, found.state, f"{found.size:.0f}", (", ".join(found.parts) or "none") + absent))
    show(table(rows))
    return 0


def _download(options: argparse.Namespace) -> int:
    from ..weights.hub import download
    from ..weights.manifest import find_bundle

    bundle = find_bundle(options.name)
    plan = bundle.plan(options.baselines)
    show(str(plan))
    download(plan)
    show(f"{bundle.name}: complete, fingerprint {bundle.fingerprint()}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from ..weights.check import check_bundle
    from ..weights.manifest import find_bundle

    bundle = find_bundle(options.name)
    results = check_bundle(bundle)
    for result in results:
        show(str(result))
    if not all(result.ok for result in results):
        raise BundleError(f"{bundle.name} cannot be used as it is.")
    show(f"{bundle.name}: complete, fingerprint {bundle.fingerprint()}")
    return 0


def _try(options: argparse.Namespace) -> int:
    from ..evaluation.self_test import report, self_test

    model = load_model(options)
    show(report(self_test(model), model.bundle))
    return 0
