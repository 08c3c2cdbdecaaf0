"""Hostile and valid requests to `refdiff serve`, as the bytes that go over a connection."""

from __future__ import annotations

import json
import struct
import zlib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from .values import Rng, changed, pick, pixels, saved

ROUTES = ("/v1/segment", "/v1/images", "/v1/images/AAAAAAAAAAAAAAAAAAAAAAAA/segment", "/v1/images/x/refine",
          "/v1/images/x/download", "/v1/images/x/correlation")
_TYPES = {"json": "application/json", "parts": "multipart/form-data; boundary=xyz"}


@dataclass(frozen=True)
class Sent:
    """`data`, and after it the connection is kept open (`then` 'wait'), closed at once ('close'), or given one more
    byte at a time ('drip'). `statuses` are the answers that may come; with 0 in it, also none."""

    data: bytes
    statuses: tuple[int, ...]
    then: str = "wait"


def head(path: str, *headers: str, method: str = "POST", host: str = "localhost") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]).encode("latin-1")


def whole(path: str, kind: str, body: bytes, *headers: str) -> bytes:
    return head(path, f"Content-Type: {_TYPES[kind]}", f"Content-Length: {len(body)}", *headers) + body


def parts(*given: tuple[str, bytes]) -> bytes:
    disposition = '--xyz\r\nContent-Disposition: form-data; name="{}"; filename="../../x"\r\n\r\n'
    return b"".join(disposition.format(name).encode() + value + b"\r\n" for name, value in given) + b"--xyz--\r\n"


def picture(rng: Rng) -> bytes:
    return saved(Image.fromarray(pixels(rng)), pick(rng, ("PNG", "JPEG", "WEBP")))


def valid(rng: Rng) -> Sent:
    image = picture(rng)
    if rng.integers(2):
        return Sent(whole("/v1/segment", "parts", parts(("image", image), ("expression", b"the red ball"))),
                    (200, 429, 503))
    body = {"image": b64encode(image).decode(), "expressions": ["the ball on the left"]}
    return Sent(whole("/v1/segment", "json", json.dumps(body).encode()), (200, 429, 503))


def truncated(rng: Rng) -> Sent:
    body = parts(("image", picture(rng)), ("expression", b"a ball"))
    cut = body[: int(rng.integers(len(body) - 8))]
    if rng.integers(2):  # as if it were all
        return Sent(whole("/v1/segment", "parts", cut), (400, 422))
    stated = head("/v1/segment", f"Content-Type: {_TYPES['parts']}", f"Content-Length: {len(body)}")
    return Sent(stated + cut, (0, 408), pick(rng, ("close", "close", "close", "wait")))


def huge_declared(rng: Rng) -> Sent:
    size = pick(rng, ("20000001", "99999999999", "18446744073709551616", "9" * 200, "-1", "1e9", "0x10", "1, 2", ""))
    kind = pick(rng, tuple(_TYPES.values()))
    return Sent(head(pick(rng, ROUTES), f"Content-Type: {kind}", f"Content-Length: {size}") + b"{", (0, 400, 413, 415),
                "close")


def chunked(rng: Rng) -> Sent:
    start = head(pick(rng, ROUTES), f"Content-Type: {_TYPES['json']}", "Transfer-Encoding: chunked")
    chunk = pick(rng, (b"zz\r\nabc", b"ffffffffffffffff\r\nabc", b"5\r\nabc", b"5\r\n[1,2]\r\n0\r\n\r\n", b"-1\r\n",
                       b"1;" + b"x" * 40_000))
    return Sent(start + chunk, (0, 400, 404, 408, 422), "close")


def slow(rng: Rng) -> Sent:
    body = parts(("image", picture(rng)), ("expression", b"a ball"))
    data = whole("/v1/segment", "parts", body)
    return Sent(data[: int(rng.integers(10, len(data) - 30))], (0, 400, 408), "drip")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(rng: Rng) -> Sent:
    """Small files that state or hold far more than they should."""
    action = rng.integers(6)
    start = b"\x89PNG\r\n\x1a\n"
    width, height = pick(rng, ((30_000, 3000), (3537, 3535), (65_000, 65_000), (2**31 - 1, 2**31 - 1)))
    lines = zlib.compress(bytes(2_000_000))
    ihdr = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    if action == 0:
        data = start + ihdr + _chunk(b"IDAT", lines) + _chunk(b"IEND", b"")
    elif action == 1:  # an image of a usual size with text that unpacks to 50 MB
        small = _chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0))
        text = _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000)))
        data = start + small + text + _chunk(b"IDAT", zlib.compress(bytes(16 * 17))) + _chunk(b"IEND", b"")
    elif action == 2:
        data = b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\xf7\0\0" + rng.bytes(2000)
    elif action == 3:
        data = saved(Image.fromarray(pixels(rng)), "TIFF")
        data = data[:10] + changed(rng, data[10:])
    elif action == 4:
        data = zlib.compress(bytes(10_000_000))
        return Sent(whole("/v1/segment", "json", data, "Content-Encoding: gzip"), (400,))
    else:
        data = saved(Image.new("1", (9000, 9000)), "PNG")
    return Sent(whole("/v1/images", "parts", parts(("image", data))), (201, 413, 422, 429, 503))


def encodings(rng: Rng) -> Sent:
    body = {"image": b64encode(picture(rng)).decode(), "expressions": [pick(rng, ("мяч", "ボール", "a\ud800", "a\0b",
                                                                                "\u202eball", "x" * 301, "", " "))]}
    text = json.dumps(body, ensure_ascii=bool(rng.integers(2)))
    data = text.encode(pick(rng, ("utf-8", "utf-16", "utf-32", "utf-7")), "surrogatepass")
    if rng.integers(3) == 0:
        words = pick(rng, (b"\xff\xfe\xfa", "мяч".encode("cp1251"), b"\xed\xa0\x80", b"\0\0\0"))
        given = parts(("image", picture(rng)), ("expression", words))
        return Sent(whole("/v1/segment", "parts", given), (200, 422, 429, 503))
    return Sent(whole("/v1/segment", "json", data), (200, 400, 422, 429, 503))


def values(rng: Rng) -> Sent:
    """JSON of the wrong types, depth or number of values."""
    body = {"image": b64encode(picture(rng)).decode(), "expressions": ["a ball"], "options": {}}
    wrong = pick(rng, (None, True, -1, 1e400, "x" * 5000, [], {}, [[]] * 50, {"a": {"b": 1}}, "../../etc/passwd",
                       "http://localhost/x.png", "file:///etc/passwd"))
    action = rng.integers(5)
    if action == 0:
        body[pick(rng, ("image", "expressions", "options", "url", "path"))] = wrong
    elif action == 1:
        body["options"][pick(rng, ("model", "alpha", "beta", "noise_timestep", "variant", "candidates", "x"))] = wrong
        body["image"] = "%%"
    elif action == 2:
        deep = pick(rng, (b"[", b'{"a":')) * int(rng.integers(100, 200_000))
        return Sent(whole(pick(rng, ROUTES), "json", deep), (400, 404, 422))
    elif action == 3:
        many = b"[" + b"[]," * int(rng.integers(10_000, 300_000)) + b"1]"
        return Sent(whole(pick(rng, ROUTES), "json", many), (400, 404, 422))
    else:
        data = changed(rng, json.dumps(body).encode())
        return Sent(whole("/v1/segment", "json", data), (200, 400, 422, 429, 503))
    return Sent(whole("/v1/segment", "json", json.dumps(body).encode()), (200, 400, 422, 429, 503))


def multipart(rng: Rng) -> Sent:
    action, image = rng.integers(6), picture(rng)
    if action == 0:
        data = changed(rng, parts(("image", image), ("expression", b"a ball"), ("options", b"{}")))
    elif action == 1:
        data = parts(*[("expression", b"x")] * int(rng.integers(17, 5000)))
    elif action == 2:
        data = b"\r\n--xy" * int(rng.integers(1000, 200_000))
    elif action == 3:
        data = b"--xyz\r\n" + b"X: y\r\n" * int(rng.integers(10, 5000)) + b"\r\n" + image
    elif action == 4:
        data = parts(("image", image), ("expression", b"x" * int(rng.integers(3000, 100_000))))
    else:
        data = parts(("image", image), (pick(rng, ("url", "path", "", "image", "a" * 5000)), b"/etc/passwd"))
    return Sent(whole("/v1/segment", "parts", data), (200, 400, 422, 429, 503))


def paths(rng: Rng) -> Sent:
    target = pick(rng, ("/page/../../../etc/passwd", "/page/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/%00", "*",
                        "/v1/images/..%2f..%2fetc", "/" + "a" * 60_000, "/v1/images/" + "a" * 65, "/v1/segment/",
                        "http://localhost/v1/settings", "/healthz?" + "a=b&" * 5000, "/v1/%ff"))
    method = pick(rng, ("GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "HEAD", "BREW", "CONNECT"))
    return Sent(head(target, "Content-Length: 0", method=method),
                (0, 200, 204, 400, 404, 405, 415, 422) if method != "HEAD" else (0, 400, 404, 405))


def headers(rng: Rng) -> Sent:
    action = rng.integers(6)
    if action == 0:
        host = pick(rng, ("evil.example", "localhost.evil.example", "a:b:c", "[::g]", "%", "@localhost"))
        return Sent(head("/v1/settings", method="GET", host=host), (400, 421))
    if action == 1:
        return Sent(head("/v1/settings", f"Origin: {pick(rng, ('null', 'http://evil.example', 'x', 'file://'))}",
                         method="GET"), (403,))
    if action == 2:
        return Sent(head("/healthz", *[f"X-{i}: {'y' * 100}" for i in range(int(rng.integers(10, 2000)))],
                         method="GET"), (0, 200, 400))
    if action == 3:
        return Sent(head("/healthz", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                         "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", method="GET"), (0, 200, 400, 403))
    if action == 4:
        return Sent(head("/v1/settings", "Accept: " + "a/b;q=x," * 3000, method="GET"), (200, 400))
    return Sent(head("/healthz", method="GET") * int(rng.integers(2, 100)), (200,))


def garbage(rng: Rng) -> Sent:
    data = pick(rng, (rng.bytes(int(rng.integers(1, 5000))), b"\x16\x03\x01" + rng.bytes(200), b"GET /\r\n",
                      b"\r\n" * 100, changed(rng, valid(rng).data[:300]), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
    return Sent(data, (0, 200, 400, 403, 404, 405, 408, 413, 415, 421, 422, 429, 503), "close")


KINDS: dict[str, tuple[Callable[[Rng], Sent], float]] = {
    "valid": (valid, 1), "truncated": (truncated, 3), "huge declared sizes": (huge_declared, 2),
    "chunked": (chunked, 2), "slow senders": (slow, 0.6), "bombs": (bomb, 2), "wrong encodings": (encodings, 1.5),
    "values": (values, 3), "multipart": (multipart, 2), "paths and methods": (paths, 2), "headers": (headers, 2),
    "garbage": (garbage, 3),
}
"""Every kind's generator and its share of the requests."""
