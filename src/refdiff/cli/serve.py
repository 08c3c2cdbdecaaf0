"""`refdiff serve`: the HTTP API and its page."""

from __future__ import annotations

import argparse
import dataclasses
import ipaddress
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..errors import InputError, RefDiffError
from .console import tell
from .options import load_model, model_options

_SHORTEST_TOKEN = 16


def add_commands(commands: Any) -> None:
    """Add it to the command line's parser."""
    from ..service.limits import Limits

    serve = commands.add_parser("serve", help="serve an HTTP API and a web page (extra: refdiff[serve])")
    serve.add_argument("--model", dest="models", action="append", metavar="NAME",
                       help="a bundle to offer, as for segment; may be repeated, the first answers by default "
                            "(default: mini)")
    model_options(serve, name=False)
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen at (default: 127.0.0.1)")
    serve.add_argument("--port", type=int, default=8000, help="default: 8000; 0 takes any that is free")
    serve.add_argument("--token-file", metavar="FILE", type=Path,
                       help="what is in it must be sent as 'Authorization: Bearer ...'")
    serve.add_argument("--allow-host", dest="hosts", action="append", default=[], metavar="NAME",
                       help="a name that clients may call the server by, beside localhost and addresses")
    serve.add_argument("--behind", dest="proxies", action="append", default=[], metavar="ADDRESS",
                       help="a proxy's address, whose X-Forwarded-For says who asks")
    serve.add_argument("--folder", metavar="DIR", type=Path,
                       help="images to label: masks are proposed for all of them, and decided about at /label")
    serve.add_argument("--expressions", metavar="FILE|TEXT",
                       help="what to find in them: a file with one expression in a line, or 'cat,dog'; 'EXPRESSION = "
                            "CATEGORY' gives it another name for export")
    serve.add_argument("--label-studio", metavar="DIR", type=Path,
                       help="be an ML backend of Label Studio at /v1/label-studio, for tasks whose images are in this "
                            "folder")
    limits = serve.add_argument_group("limits")
    for each in dataclasses.fields(Limits):
        limits.add_argument(f"--{each.name.replace('_', '-')}", type=type(each.default), default=each.default,
                            metavar="N", help=f"{each.metadata['says']} (default: {each.default:g})")
    serve.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    from ..service.limits import Limits

    limits = Limits(**{each.name: getattr(options, each.name) for each in dataclasses.fields(Limits)})
    token = None if options.token_file is None else _token(options.token_file)
    for address in options.proxies:
        _check_address(address)
    _check_extra()
    if (options.folder is None) != (options.expressions is None):
        raise InputError("--folder and --expressions go together: the images, and what to find in them.")
    if options.label_studio is not None and not options.label_studio.is_dir():
        raise InputError(f"--label-studio needs a folder of images; there is no folder {options.label_studio}.")
    with ExitStack() as stack:
        labels = None
        if options.folder is not None:
            from ..service.labels import open_labels

            labels = stack.enter_context(open_labels(options.folder, options.expressions))
        listener = stack.enter_context(_listener(options.host, options.port))
        models = []
        for name in options.models or ["mini"]:
            options.model = name
            models.append(load_model(options))
        from ..service.app import create_app
        from ..service.server import server_of

        app = create_app(models, limits, token, options.hosts, labels, options.label_studio)
        host, port = listener.getsockname()[:2]
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if token is None and not ipaddress.ip_address(host).is_loopback:
            tell(f"{where} may be reached from other machines, and no token is asked for; see --token-file.")
        tell(f"serving {', '.join(model.bundle.name for model in models)} at http://{where}; Ctrl+C stops it.")
        if labels is not None:
            if labels.damaged:
                tell(f"{labels.damaged} damaged lines of decisions.jsonl were left out; those masks are to be decided "
                     "again.")
            tell(f"{len(labels)} masks of {len(labels.images)} images are to be decided at http://{where}/label")
        if options.label_studio is not None:
            tell(f"Label Studio may use the ML backend at http://{where}/v1/label-studio")
        server_of(app, options.proxies).run([listener])
    return 0


def _check_extra() -> None:
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise RefDiffError(f"The package {error.name} is missing; install what the server needs with pip install "
                           "'refdiff[serve]'.") from None


def _token(path: Path) -> str:
    from ..core.files import read_bytes

    try:
        token = read_bytes(path, 10_000).decode("ascii").strip()
    except UnicodeDecodeError:
        token = ""
    if len(token) < _SHORTEST_TOKEN or not token.isprintable() or " " in token:
        raise InputError(f"{path} must hold a token of at least {_SHORTEST_TOKEN} ASCII characters without spaces.")
    return token


def _check_address(address: str) -> None:
    try:
        ipaddress.ip_network(address)
    except ValueError:
        raise InputError(f"--behind needs an IP address, not {address!r}.") from None


def _listener(host: str, port: int) -> socket.socket:
    """A socket of that address, before the models are loaded: a port that is taken should fail at once."""
    if not 0 <= port <= 65535:
        raise InputError(f"--port must be from 0 to 65535, not {port}.")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        if sys.platform != "win32":  # where it would let two servers have one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        return listener
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"The server cannot listen at {host}:{port} ({reason}); choose another --host or "
                         "--port.") from None
