"""`refdiff serve` under hostile requests, and under several times the load that it can answer.

    python benchmarks/service.py hostile --requests 10000 --seed 0
    python benchmarks/service.py load --minutes 10 --times 8

Both start a server of their own (mini, asking SAM at few points, as it is the server that is measured) and end it with
SIGTERM. hostile: every request is made from the seed, its kind and its number alone, and sent over a socket of its own;
it escapes when the answer is none of those that may come, a failure that is no problem+json, or later than --patience.
load: requests come at random times at a fixed mean rate, whether or not earlier ones were answered, from 16 addresses
(127.0.0.x, Linux). Exit status 1 when a request escaped or was lost, or the server did not live.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image

from fuzzing.requests import KINDS, Sent, parts, whole
from fuzzing.values import saved
from refdiff.core.images import load_image

CLIENTS = 16
_DRIP_SECONDS = 0.2


class Server:
    """A server in another process."""

    def __init__(self, *options: str):
        self.process = subprocess.Popen([sys.executable, "-m", "refdiff", "serve", "--port", "0", *options],
                                        stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        assert self.process.stderr is not None
        told = ""
        while (found := re.search(r"http://127\.0\.0\.1:(\d+)", told)) is None:
            told = self.process.stderr.readline()
            if not told:
                raise SystemExit("The server did not start.")
        self.address = "127.0.0.1", int(found[1])
        while self.get("/readyz")[0] != 200:
            time.sleep(0.2)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; 0 where there is no answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.address[1]}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except OSError:
            return 0, ""

    def metric(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.get("/metrics")[1], re.M)
        return float(found[1]) if found else float("nan")

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        return self.metric("process_resident_memory_bytes") / 1e6

    def stop(self) -> int:
        """The exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def serving(*options: str) -> Iterator[Server]:
    server = Server(*options)
    try:
        yield server
    finally:
        server.process.kill()


def exchange(address: tuple[str, int], sent: Sent, patience: float) -> tuple[int, bytes]:
    """Status and body of the (first) answer; 0 where the server closed the connection without one, -1 where it did
    neither."""
    until = time.monotonic() + patience
    with socket.create_connection(address, timeout=patience) as connection:
        with suppress(OSError):  # refused before all was sent: the answer says why
            connection.sendall(sent.data)
            if sent.then == "close":
                connection.shutdown(socket.SHUT_WR)
        found = b""
        while (answer := _answer(found)) is None:
            connection.settimeout(_DRIP_SECONDS if sent.then == "drip" else max(0.01, until - time.monotonic()))
            try:
                more = connection.recv(65536)
            except TimeoutError:
                if time.monotonic() > until:
                    return -1, found
                with suppress(OSError):
                    connection.send(b"a")
                continue
            except OSError:
                more = b""
            if not more:
                return (0, b"") if not found else (int(found[9:12]), found.partition(b"\r\n\r\n")[2])
            found += more
        return answer


def _answer(found: bytes) -> tuple[int, bytes] | None:
    """The first answer in what was received, once it is complete."""
    top, end, body = found.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)^content-length: *(\d+)", top, re.M)
    if not end or length is None or len(body) < int(length[1]):
        return None
    return int(top[9:12]), body[: int(length[1])]


def hostile(options: argparse.Namespace) -> int:
    shares = np.array([share for _, share in KINDS.values()])
    kinds = np.random.default_rng(options.seed).choice(list(KINDS), options.requests, p=shares / shares.sum())
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    slowest: dict[str, float] = defaultdict(float)
    escaped = []
    with serving("--set", "points_per_side=2", "--upload-seconds", "2", "--connections", "128", "--queue", "64",
                 "--queue-per-client", "64") as server:
        before = server.megabytes

        def one(number: int) -> tuple[str, int, int, float, bool]:
            kind = str(kinds[number])
            rng = np.random.default_rng((options.seed, zlib.crc32(kind.encode()), number))
            sent = KINDS[kind][0](rng)
            started = time.monotonic()
            status, body = exchange(server.address, sent, options.patience)
            right = status in sent.statuses and (status < 400 or not body or _is_problem(body, status))
            return kind, number, status, time.monotonic() - started, right

        with ThreadPoolExecutor(options.threads) as pool:
            for kind, number, status, seconds, right in pool.map(one, range(options.requests)):
                name = {0: "closed", -1: "nothing"}.get(status, f"{status // 100}xx")
                counts[kind][name] += 1
                slowest[kind] = max(slowest[kind], seconds)
                if not right:
                    escaped.append((kind, number, status))
        alive = server.get("/healthz")[0] == 200 and server.get("/readyz")[0] == 200
        after, held = server.megabytes, server.metric("refdiff_upload_bytes{model=\"\"}")
        connections = server.metric("process_open_fds")
        status = server.stop()
    print("| kind | requests | 2xx | 4xx | 5xx | closed | escaped | slowest |\n| --- |" + " ---: |" * 7)
    for kind in KINDS:
        row = counts[kind]
        print(f"| {kind} | {row.total()} | {row['2xx']} | {row['4xx']} | {row['5xx']} | {row['closed']} | "
              f"{sum(each[0] == kind for each in escaped)} | {slowest[kind]:.1f} s |")
    print(f"memory {before:.0f} MB before, {after:.0f} MB after; {held:.0f} bytes of uploads still held, "
          f"{connections:.0f} open files; alive: {alive}; exit status {status}")
    for each in escaped[:20]:
        print("escaped:", *each)
    return int(bool(escaped) or not alive)


def _is_problem(body: bytes, status: int) -> bool:
    try:
        told = json.loads(body)
        return told["status"] == status and str(told["detail"]).endswith(".")
    except (ValueError, KeyError, TypeError):
        return False


def pictures(count: int) -> list[bytes]:
    """The example scene, moved by another number of px each: no two files are the same."""
    scene = load_image(Path(__file__).parent.parent / "examples" / "scene.png")
    return [saved(Image.fromarray(np.roll(scene, 7 * i, axis=1)), "JPEG") for i in range(count)]


async def ask(address: tuple[str, int], client: str, request: bytes) -> tuple[int, bytes]:
    """Status and body of one answer; 0 where the connection failed."""
    try:
        reader, writer = await asyncio.open_connection(*address, local_addr=(client, 0))
    except OSError:
        return 0, b""
    try:
        writer.write(request)
        await writer.drain()
        found = b""
        while (answer := _answer(found)) is None:
            more = await reader.read(65536)
            if not more:
                return 0, found
            found += more
        return answer
    except OSError:
        return 0, b""
    finally:
        writer.close()


def load(options: argparse.Namespace) -> int:
    requests = [whole("/v1/segment", "parts", parts(("image", image), ("expression", b"the cat on the left")))
                for image in pictures(40)]
    with serving("--set", f"points_per_side={options.points}") as server:
        return asyncio.run(_load(server, requests, options))


async def _load(server: Server, requests: list[bytes], options: argparse.Namespace) -> int:
    begun, answered = time.monotonic(), 0
    while time.monotonic() - begun < options.alone:  # what it can answer: one request after another
        answered += (await ask(server.address, "127.0.0.1", requests[answered % len(requests)]))[0] == 200
    capacity = answered / (time.monotonic() - begun)
    rate, rng = options.times * capacity, np.random.default_rng(options.seed)
    outcomes: list[tuple[int, str, float]] = []
    memory = [await asyncio.to_thread(lambda: server.megabytes)]
    health: list[float] = []

    async def one(number: int) -> None:
        started = time.monotonic()
        status, body = await ask(server.address, f"127.0.0.{1 + number % CLIENTS}", requests[number % len(requests)])
        reason = "" if status == 200 else json.loads(body)["detail"].split(";")[0] if status else "no answer"
        outcomes.append((status, re.sub(r"\d+", "N", reason), time.monotonic() - started))

    async def look() -> None:
        while True:
            started = time.monotonic()
            await asyncio.to_thread(server.get, "/healthz")
            health.append(time.monotonic() - started)
            memory.append(await asyncio.to_thread(lambda: server.megabytes))
            await asyncio.sleep(2)

    looking, sent, begun = asyncio.create_task(look()), [], time.monotonic()
    due = begun
    while due < begun + 60 * options.minutes:
        await asyncio.sleep(max(0, due - time.monotonic()))
        sent.append(asyncio.create_task(one(len(sent))))
        due += rng.exponential(1 / rate)
    await asyncio.gather(*sent)
    elapsed = time.monotonic() - begun
    looking.cancel()
    await asyncio.sleep(5)
    memory.append(await asyncio.to_thread(lambda: server.megabytes))
    counted = {status: server.metric(f'refdiff_requests_total{{method="POST",route="/v1/segment",status="{status}"}}')
               for status in (200, 429, 503)}
    status = server.stop()
    good = sorted(seconds for code, _, seconds in outcomes if code == 200)
    refused = sorted(seconds for code, _, seconds in outcomes if code in (429, 503))
    print(f"alone: {capacity:.2f} answers/s; sent: {len(sent)}, {rate:.2f}/s, from {CLIENTS} addresses")
    print(f"answered: {len(good)}, {len(good) / elapsed:.2f}/s, p50 {_at(good, 50):.1f} s, p99 {_at(good, 99):.1f} s")
    print(f"refused: {len(refused)}, p50 {1000 * _at(refused, 50):.0f} ms, p99 {1000 * _at(refused, 99):.0f} ms")
    for (code, reason), number in sorted(Counter((code, reason) for code, reason, _ in outcomes).items()):
        print(f"  {code} {reason}: {number}")
    print(f"healthz: p50 {1000 * _at(sorted(health), 50):.0f} ms, p99 {1000 * _at(sorted(health), 99):.0f} ms")
    print(f"memory: {memory[0]:.0f} MB before, at most {max(memory):.0f} MB, {memory[-1]:.0f} MB after")
    print("counted by the server:", {code: int(number) for code, number in counted.items() if number == number},
          f"exit status {status}")
    lost = [each for each in outcomes if each[0] not in (200, 429, 503) or "took longer" in each[1]]
    print(f"lost: {len(lost)}")
    return int(bool(lost))


def _at(ordered: list[float], percent: float) -> float:
    return float(np.percentile(ordered, percent)) if ordered else float("nan")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    actions = parser.add_subparsers(required=True)
    action = actions.add_parser("hostile")
    action.add_argument("--requests", type=int, default=10_000)
    action.add_argument("--threads", type=int, default=16)
    action.add_argument("--patience", type=float, default=30.0, help="seconds for an answer")
    action.add_argument("--seed", type=int, default=0)
    action.set_defaults(run=hostile)
    action = actions.add_parser("load")
    action.add_argument("--minutes", type=float, default=10)
    action.add_argument("--times", type=float, default=8, help="how many times as much as it can answer")
    action.add_argument("--alone", type=float, default=30, help="seconds of measuring what it can answer")
    action.add_argument("--points", type=int, default=8, help="SAM's points per side")
    action.add_argument("--seed", type=int, default=0)
    action.set_defaults(run=load)
    chosen = parser.parse_args()
    sys.exit(chosen.run(chosen))
