"""Two servers behind nginx (examples/nginx.conf), one of which is killed under load: is any answer lost?

    python benchmarks/nginx.py [--seconds 20] [--clients 6]

Clients send an image to /v1/segment, one request after another. After --seconds the server that keeps an image is
killed (SIGKILL); after as many again the image is asked about once more. Needs nginx, and the ports 8100 to 8102. Exit
status 1 when a request to /v1/segment failed.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from fuzzing.requests import Sent, parts, whole
from fuzzing.values import saved
from service import Server, exchange

FRONT = "127.0.0.1", 8100
ROOT = Path(__file__).parent.parent


def ask(data: bytes) -> tuple[int, bytes]:
    return exchange(FRONT, Sent(data, ()), 130)


def wait_for(address: tuple[str, int]) -> None:
    """Until somebody listens there. Raises OSError after 10 seconds."""
    until = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(address).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def main(options: argparse.Namespace) -> int:
    scene = saved(Image.open(ROOT / "examples" / "scene.png").convert("RGB").resize((160, 120)), "PNG")
    request = whole("/v1/segment", "parts", parts(("image", scene), ("expression", b"the cat on the left")))
    servers = [Server("--port", port, "--behind", "127.0.0.1", "--set", "points_per_side=2")
               for port in ("8101", "8102")]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # started by root, nginx works as another user
        nginx = subprocess.Popen(["nginx", "-p", folder, "-c", ROOT / "examples" / "nginx.conf", "-g", "daemon off;"])
        try:
            wait_for(FRONT)
            return under_load(servers, request, scene, options)
        finally:
            for process in (nginx, *(server.process for server in servers)):
                process.terminate()
            nginx.wait(10)


def under_load(servers: list[Server], request: bytes, scene: bytes, options: argparse.Namespace) -> int:
    status, body = ask(whole("/v1/images", "parts", parts(("image", scene))))
    assert status == 201, body
    about = whole(f"/v1/images/{json.loads(body)['id']}/segment", "json", b'{"expressions": ["the cat"]}')
    kept = Counter(ask(about)[0] for _ in range(5))
    outcomes: list[tuple[float, int]] = []
    until = time.monotonic() + 2 * options.seconds

    def client() -> None:
        while time.monotonic() < until:
            started = time.monotonic()
            outcomes.append((started, ask(request)[0]))

    with ThreadPoolExecutor(options.clients) as pool:
        for _ in range(options.clients):
            pool.submit(client)
        time.sleep(options.seconds)
        owner = next(each for each in servers if 'route="/v1/images",status="201"' in each.get("/metrics")[1])
        owner.process.kill()
        killed = time.monotonic()
    status, body = ask(about)
    print("answers about a kept image before:", dict(kept), "and after:", status, json.loads(body)["detail"])
    for name, chosen in (("sent before the kill", [code for at, code in outcomes if at < killed]),
                         ("sent after it", [code for at, code in outcomes if at >= killed])):
        print(f"{name}:", dict(Counter(chosen)))
    return int(any(code != 200 for _, code in outcomes))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--clients", type=int, default=6)
    sys.exit(main(parser.parse_args()))
