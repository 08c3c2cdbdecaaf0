"""`refdiff`: the parser and the one place where errors become sentences and exit statuses."""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import sys
import warnings
from collections.abc import Sequence

from .. import __version__
from ..errors import RefDiffError
from . import batch, bench, evaluate, export, models, research, segment, serve, sheets
from .console import finish, prepare, tell


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 failed, 2 wrong use."""
    prepare()
    try:
        status = _run(arguments)
        finish()
        return status
    except RefDiffError as error:
        if error.__cause__ is not None and os.environ.get("REFDIFF_DEBUG"):  # of a plug-in, or of a library
            raise
        return _complain(str(error), error.status)
    except KeyboardInterrupt:
        return _complain("Stopped.", 130)
    except BrokenPipeError:
        return 1
    except OSError as error:
        return _complain(f"{error.filename or 'A file'} cannot be read or written: {error.strerror or error}.", 1)
    except MemoryError:
        return _complain("Memory ran out; use a smaller image or fewer expressions at once.", 1)
    except Exception as error:
        if os.environ.get("REFDIFF_DEBUG"):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return _complain(f"Something failed inside refdiff ({reason}); report it with what REFDIFF_DEBUG=1 shows.", 1)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        parser = _parser()
        options, rest = parser.parse_known_args(arguments)
        if (rest and not hasattr(options, "words")) or any(word.startswith("-") for word in rest):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        if rest:
            options.words += rest  # argparse takes one run of words, and these come after an option
    except SystemExit as done:  # help is printed, or what was wrong
        return int(done.code or 0)
    warnings.filterwarnings("ignore")
    # The model libraries make so many objects that collecting garbage takes a fifth of a start and a second at the end.
    gc.set_threshold(1_000_000)
    atexit.register(gc.freeze)
    status: int = options.run(options)
    return status


def _complain(sentence: str, status: int) -> int:
    tell(sentence)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="refdiff", description="Point at things in an image with words.")
    parser.add_argument("--version", action="version", version=f"refdiff {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for group in (segment, batch, export, models, evaluate, research, sheets, bench, serve):
        group.add_commands(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
