"""The HTTP API: answers, limits, failures, batches, turns, and a graceful stop."""

import io
import json
import re
import socket
import sys
import threading
import time
import zipfile
import zlib
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from conftest import shapes
from refdiff import Settings
from refdiff.core.masks import from_rle

pytest.importorskip("fastapi", reason="the extra serve is not installed")
from fastapi.testclient import TestClient

from refdiff.service import schemas
from refdiff.service.app import create_app
from refdiff.service.errors import Problem
from refdiff.service.images import ImageStore
from refdiff.service.limits import Limits
from refdiff.service.queue import Job, Queue
from refdiff.service.server import server_of

WORDS = ["the red ball on the left", "the blue gift"]


def png(image: np.ndarray | None = None) -> bytes:
    file = io.BytesIO()
    Image.fromarray(shapes() if image is None else image).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def cheap(model):
    from refdiff import RefDiff

    return RefDiff(model.bundle, model.device, settings=model.settings.replace(points_per_side=4))


@contextmanager
def serving(model, token=None, hosts=(), label_studio=None, **limits):
    app = create_app([model], Limits(**limits), token, hosts, label_studio=label_studio)
    with TestClient(app, "http://localhost", raise_server_exceptions=False) as client:
        while client.get("/readyz").status_code != 200:
            time.sleep(0.02)
        client.service = app.state.service
        yield client


@pytest.fixture(scope="module")
def client(cheap):
    with serving(cheap) as client:
        yield client


@pytest.fixture
def kept(client) -> str:
    made = client.post("/v1/images", files={"image": png()})
    assert made.status_code == 201 and made.headers["location"] == f"/v1/images/{made.json()['id']}"
    return f"/v1/images/{made.json()['id']}"


@contextmanager
def busy(service):
    """The worker at something else until the block ends; yields what ends it sooner."""
    done, begun = threading.Event(), threading.Event()

    def perform(asked, watch):
        begun.set()
        done.wait(20)
        return [None]

    service.workers["mini"]._submit(Job("another", "busy", object(), perform, None))
    begun.wait(5)
    try:
        yield done
    finally:
        done.set()


def waiting(service, count: int) -> None:
    until = time.monotonic() + 10
    while service.workers["mini"].load()[0] != count:
        assert time.monotonic() < until
        time.sleep(0.005)


def is_problem(response, status: int, words: str = "") -> bool:
    told = response.json()
    schemas.ProblemTold.model_validate(told)
    assert response.headers["content-type"] == "application/problem+json" and told["status"] == status
    assert re.fullmatch(r"\w[^\n]*\.", told["detail"]) and words in told["detail"], told["detail"]
    assert "default-src 'none'" in response.headers["content-security-policy"]
    return response.status_code == status


def test_both_forms_of_a_request_get_what_the_library_answers(client, cheap):
    expected = cheap(shapes(), WORDS[0])
    options = {"candidates": 3}
    as_json = client.post("/v1/segment", json={"image": b64encode(png()).decode(), "expressions": WORDS,
                                               "options": options})
    as_parts = client.post("/v1/segment", files={"image": png()},
                           data={"expression": WORDS, "options": json.dumps(options)})
    told = as_json.json()
    schemas.SegmentResponse.model_validate(told)
    assert told["answers"] == as_parts.json()["answers"] and (told["width"], told["height"]) == (144, 96)
    answer = told["answers"][0]
    assert np.array_equal(from_rle(answer["segmentation"]), expected.mask) and answer["box"] == list(expected.box)
    assert answer["score"] == round(expected.score, 6) and answer["query"] == str(expected.query)
    assert [each["index"] for each in answer["candidates"]] == [each.index for each in expected.candidates[:3]]
    assert told["timings"]["total"] >= told["timings"]["stages"]["SAM decoder"] > 0
    image = client.post("/v1/segment", files={"image": png()}, data={"expression": WORDS[0]},
                        headers={"Accept": "application/json;q=0.5, image/png"})
    assert image.headers["content-type"] == "image/png"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(image.content))) > 0, expected.mask)
    root = client.post("/v1/segment", files={"image": png()}, data={
        "expression": WORDS[0], "options": '{"reading": "root", "alpha": 0.9, "variant": "gs"}'}).json()["answers"][0]
    other = cheap(shapes(), WORDS[0], "gs", cheap.settings.replace(reading="root", alpha=0.9))
    assert root["score"] == round(other.score, 6) and root["query"] is None and root["variant"] == "gs"


def test_a_kept_image_is_asked_corrected_and_written_to_files(client, kept, cheap):
    told = client.post(f"{kept}/segment", json={"expressions": WORDS}).json()
    first, second = told["answers"]
    assert "SAM encoder" not in told["timings"]["stages"]  # it was encoded before
    refined = client.post(f"{kept}/refine", json={"answer": first["id"], "points": [[110, 48]], "labels": [1]}).json()
    schemas.SegmentResponse.model_validate(refined)
    mask = from_rle(refined["answers"][0]["segmentation"])
    assert mask[48, 110] and refined["answers"][0]["id"] not in (first["id"], second["id"])
    chosen = client.post(f"{kept}/refine", json={"answer": first["id"], "candidate": first["candidates"][1]["index"]})
    assert chosen.json()["answers"][0]["segmentation"] == first["candidates"][1]["segmentation"]

    maps = client.post(f"{kept}/correlation", json={"expression": "the ball", "side": 96})
    schemas.CorrelationResponse.model_validate(maps.json())
    tokens = maps.json()["tokens"]
    assert (maps.json()["width"], maps.json()["height"]) == (96, 64) and len(maps.json()["per_token"]) == len(tokens)
    assert [tokens[i] for i in maps.json()["root"]] == ["ball"]
    one = client.post(f"{kept}/correlation", json={"expression": "the ball", "side": 144, "token": 2},
                      headers={"Accept": "image/png"})
    found = cheap.encode(shapes()).correlation("the ball")
    assert np.abs(np.asarray(Image.open(io.BytesIO(one.content))) / 255 - found.per_token[2]).max() < 0.01

    def download(**asked):
        return client.post(f"{kept}/download", json=asked)

    drawn = download(answers=[first["id"]], format="cutout")
    assert Image.open(io.BytesIO(drawn.content)).mode == "RGBA" and "attachment" in drawn.headers["content-disposition"]
    both = [first["id"], refined["answers"][0]["id"]]
    coco = download(answers=both, format="coco").json()
    assert coco["annotations"][0]["segmentation"] == first["segmentation"] and coco["images"][0]["width"] == 144
    names = zipfile.ZipFile(io.BytesIO(download(answers=both, format="zip").content)).namelist()
    assert "01-the-red-ball-on-the-left.mask.png" in names and "coco.json" in names and len(names) == 8
    assert is_problem(download(answers=both, format="mask"), 422)
    assert client.delete(kept).status_code == 204
    for path in ("segment", "refine", "correlation", "download"):
        body = {"segment": {"expressions": WORDS}, "refine": {"answer": "x", "points": [[1, 1]]},
                "correlation": {"expression": "x"}, "download": {"answers": ["x"], "format": "zip"}}[path]
        assert is_problem(client.post(f"{kept}/{path}", json=body), 404, "send the image again")
    assert is_problem(client.delete(kept), 404)


def upload(client, **changes):
    return client.post("/v1/segment", **{"files": {"image": png()}, "data": {"expression": WORDS}, **changes})


def as_json(client, **changes):
    body = {"image": b64encode(png()).decode(), "expressions": WORDS, **changes}
    return client.post("/v1/segment", json={name: value for name, value in body.items() if value is not None})


JSON = {"Content-Type": "application/json"}
RAW = {"Content-Type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n'


@pytest.mark.parametrize("status, words, ask", [
    (404, "nothing at", lambda c: c.get("/v1/nothing")),
    (405, "Allow", lambda c: c.get("/v1/segment")),
    (415, "Content-Type", lambda c: c.post("/v1/segment", content=b"x", headers={"Content-Type": "text/plain"})),
    (406, "Accept", lambda c: upload(c, headers={"Accept": "text/html"})),
    (400, "not valid JSON", lambda c: c.post("/v1/segment", content=b"{", headers=JSON)),
    (400, "not UTF-8", lambda c: c.post("/v1/images", content=b"\xff", headers=JSON)),
    (400, "nested", lambda c: c.post("/v1/images", content=b"[" * 9000, headers=JSON)),
    (400, "holds NaN", lambda c: c.post("/v1/images", content=b'{"options": {"alpha": NaN}}', headers=JSON)),
    (400, "digits", lambda c: c.post("/v1/images", content=b"[" + b"9" * 5000 + b"]", headers=JSON)),
    (400, "it is empty", lambda c: c.post("/v1/images", content=b"", headers=JSON)),
    (422, "an object", lambda c: c.post("/v1/images", content=b"[]", headers=JSON)),
    (422, "needs at least 1", lambda c: as_json(c, expressions=[])),
    (422, "values", lambda c: c.post("/v1/images", content=b"[" + b"1," * 30000 + b"1]", headers=JSON)),
    (400, "boundary", lambda c: c.post("/v1/segment", content=PART + b"abc", headers=RAW)),
    (400, "multipart", lambda c: c.post("/v1/segment", content=b"nonsense", headers=RAW)),
    (400, "boundary", lambda c: c.post("/v1/segment", content=b"x", headers={"Content-Type": "multipart/form-data"})),
    (422, "named image", lambda c: upload(c, files={"picture": png()})),
    (422, "at most 1", lambda c: upload(c, files=[("image", png()), ("image", png())])),
    (422, "no part named image", lambda c: upload(c, files={"expression": b"x"}, data={})),
    (422, "without expressions", lambda c: c.post("/v1/images", files={"image": png()}, data={"expression": "x"})),
    (422, "not an image", lambda c: upload(c, files={"image": b"GIF87"})),
    (422, "broken", lambda c: upload(c, files={"image": png()[:200]})),
    (422, "base64", lambda c: as_json(c, image="%%%")),
    (422, "expressions", lambda c: as_json(c, expressions=None)),
    (422, "is empty", lambda c: as_json(c, expressions=[" "])),
    (422, "surrogate", lambda c: c.post("/v1/segment", headers=JSON, content=json.dumps(
        {"image": b64encode(png()).decode(), "expressions": ["\ud800"]}).encode())),
    (422, "UTF-8", lambda c: upload(c, files=[("image", png()), ("expression", b"\xff\xfe")], data={})),
    (422, "options.alpha", lambda c: as_json(c, options={"alpha": 1.5})),
    (422, "options.alpha", lambda c: as_json(c, options={"alpha": "0.5"})),
    (422, "no such field", lambda c: as_json(c, unheard=1)),
    (422, "options.unheard", lambda c: as_json(c, options={"unheard": 1})),
    (422, "no such model", lambda c: as_json(c, options={"model": "/etc/passwd"})),
    (422, "one expression", lambda c: upload(c, headers={"Accept": "image/png"})),
    (422, "16", lambda c: as_json(c, expressions=["x"] * 17)),
    (422, "301 characters", lambda c: as_json(c, expressions=["x" * 301])),
    (404, "send the image again", lambda c: c.post("/v1/images/guess/segment", json={"expressions": ["x"]})),
])
def test_what_is_wrong_is_said_in_one_sentence(client, status, words, ask):
    assert is_problem(ask(client), status, words)


def test_wrong_corrections(client, kept):
    answer = client.post(f"{kept}/segment", json={"expressions": WORDS}).json()["answers"][0]["id"]
    for words, asked in (("no candidate", {"candidate": 9999}), ("outside the image", {"points": [[1000, 5]]}),
                         ("one label", {"points": [[1, 1]], "labels": []}), ("needs points", {}),
                         ("points.0", {"points": [[1]]}), ("inside the image", {"box": [5, 5, 2, 2]})):
        assert is_problem(client.post(f"{kept}/refine", json={"answer": answer, **asked}), 422, words)
    assert is_problem(client.post(f"{kept}/refine", json={"answer": "guess", "points": [[1, 1]]}), 422, "no answer")
    assert is_problem(client.post(f"{kept}/correlation", json={"expression": "x", "token": 99},
                                  headers={"Accept": "image/png"}), 422, "no token")


def test_bodies_and_images_that_are_too_large(cheap):
    with serving(cheap, body_mb=0.05, megapixels=0.02, uploads_mb=0.04) as client:
        large = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
        assert is_problem(upload(client, files={"image": png(large)}), 413, "larger than 0.05 MB")  # by its header
        parts = (bytes(1000) for _ in range(45))
        assert is_problem(client.post("/v1/segment", content=parts, headers=RAW), 503, "uploads")
        bomb = png(np.zeros((3000, 3000, 3), np.uint8))
        assert len(bomb) < 40_000 and is_problem(upload(client, files={"image": bomb}), 413, "3000x3000")
        huge = bytearray(png())  # of another size, as its header states
        huge[16:24] = (200_000).to_bytes(4, "big") * 2
        huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, "big")
        assert is_problem(upload(client, files={"image": bytes(huge)}), 413, "200000x200000")
        assert upload(client).status_code == 200 and client.service.uploads.held == 0


def test_requests_that_wait_for_one_image_are_one_batch(client, kept, cheap, monkeypatch):
    from refdiff.scene import EncodedImage

    calls, segment = [], EncodedImage.segment

    def counted(scene, expressions, *rest):
        calls.append(list(expressions))
        return segment(scene, expressions, *rest)

    monkeypatch.setattr(EncodedImage, "segment", counted)
    with ThreadPoolExecutor(4) as pool, busy(client.service) as done:
        def ask(words):
            return client.post(f"{kept}/segment", json={"expressions": [words]}).json()["answers"][0]["expression"]

        found = [pool.submit(ask, words) for words in WORDS]
        sent = [pool.submit(upload, client, data={"expression": words}) for words in WORDS]
        waiting(client.service, 4)
        done.set()
        assert [each.result() for each in found] == WORDS
        assert [each.result().json()["answers"][0]["expression"] for each in sent] == WORDS
    assert sorted(map(sorted, calls)) == [sorted(WORDS)] * 2


def test_limits_of_the_queue_and_of_time(cheap):
    with serving(cheap, queue=3, queue_per_client=2, seconds=1.5) as client:
        queue = client.service.workers["mini"]._queue
        queue._costs["busy"] = queue._costs["segment"] = 0.0
        with ThreadPoolExecutor(3) as pool, busy(client.service):
            late = [pool.submit(upload, client, data={"expression": words}) for words in WORDS]
            waiting(client.service, 2)
            full = upload(client)
            assert is_problem(full, 429, "2 of your requests") and int(full.headers["retry-after"]) >= 1
            client.service.workers["mini"]._submit(Job("third", "segment", object(), None, None))
            queue._limits = Limits(queue=3, queue_per_client=3, seconds=1.5)
            full = upload(client)
            assert is_problem(full, 503, "Too many") and int(full.headers["retry-after"]) >= 1
            for each in late:  # nothing that was accepted is left without an answer
                assert is_problem(each.result(), 503, "took longer") and each.result().headers["retry-after"]
            queue.drain()
            queue._costs["segment"] = 1e6
            assert is_problem(upload(client), 503, "would take longer")


def job(client: str, key: object = None, weight: int = 1, kind: str = "x") -> Job:
    return Job(client, kind, key or object(), None, None, weight)


def test_clients_take_turns_and_what_belongs_together_goes_together():
    queue = Queue(Limits(queue_per_client=20))
    greedy, modest = [job("a") for _ in range(4)], [job("b"), job("b")]
    for each in (*greedy, *modest):
        queue.push(each, 0)
    order = [each for _ in range(6) for each in queue.take()]
    assert order == [greedy[0], modest[0], greedy[1], modest[1], greedy[2], greedy[3]] and not queue.take()
    together = [job("a", "scene", 30), job("b", "other"), job("b", "scene", 30), job("c", "scene", 30)]
    for each in together:
        queue.push(each, 0)
    assert queue.take() == [together[0], together[2]]  # at most 64 expressions
    assert queue.take() == [together[1]] and queue.take() == [together[3]] and len(queue) == 0


def test_a_newcomer_is_let_in_where_a_greedy_client_is_not():
    queue = Queue(Limits(queue_per_client=20, seconds=10))
    queue.measured("x", 2.0)
    for _ in range(5):
        queue.push(job("a"), 0)
    with pytest.raises(Problem) as refused:
        queue.push(job("a"), 0)
    assert refused.value.status == 503 and refused.value.headers["Retry-After"] == "5"
    queue.push(job("b"), 0)  # its turn comes after one of the other's
    queue.push(job("c"), 4)
    with pytest.raises(Problem):
        queue.push(job("d"), 7)
    idle = Queue(Limits())
    idle.measured("x", 1e6)
    with pytest.raises(Problem):
        idle.push(job("a"), 0)
    idle.push(job("a"), None)  # it may be faster than it was


def test_a_job_that_fails_in_a_batch_fails_alone(client):
    worker = client.service.workers["mini"]

    def perform(asked, watch):
        if "bad" in asked:
            raise ValueError("secret")
        return [f"{each}!" for each in asked]

    jobs = [Job("a", "x", "together", perform, each) for each in ("good", "bad", "fine")]
    with busy(client.service):
        for each in jobs:
            worker._submit(each)
    assert jobs[0].result.result(5)[0] == "good!" and jobs[2].result.result(5)[0] == "fine!"
    assert isinstance(jobs[1].result.exception(5), ValueError)


def test_an_unforeseen_failure_is_a_problem_without_details(client, monkeypatch):
    from refdiff.scene import EncodedImage

    monkeypatch.setattr(EncodedImage, "segment", lambda *rest: 1 / 0)
    failed = upload(client)
    assert is_problem(failed, 500, "log") and "zero" not in failed.text
    assert client.get("/healthz").status_code == 200


def test_a_stop_finishes_what_runs_and_refuses_what_waits(cheap):
    with serving(cheap) as client, ThreadPoolExecutor(2) as pool:
        with busy(client.service) as done:
            refused = pool.submit(upload, client)
            waiting(client.service, 1)
            client.service.stop()
            assert is_problem(refused.result(5), 503, "stopping") and refused.result().headers["retry-after"]
            assert is_problem(upload(client), 503, "stopping") and is_problem(client.get("/readyz"), 503)
            assert client.service.workers["mini"].load() == (0, 1)
            done.set()
        client.service.workers["mini"].join(5)
        assert client.service.workers["mini"].load() == (0, 0)


def test_ids_are_long_random_and_bounded_in_number_and_time(cheap, monkeypatch):
    store = ImageStore(Limits(images=3, image_minutes=1))
    scene = cheap.encode(shapes())
    masks = np.zeros((2, 96, 144), bool)

    def add(client):
        return store.add(client, "mini", scene, masks).id

    other, *mine = add("b"), *(add("a") for _ in range(3))
    assert all(re.fullmatch(r"[\w-]{24}", name) for name in mine) and len(set(mine)) == 3
    assert store.get(other) and store.get(mine[2])  # the oldest of whoever has the most made room
    with pytest.raises(Problem):
        store.get(mine[0])
    now = time.monotonic()
    monkeypatch.setattr("refdiff.service.images.time.monotonic", lambda: now + 61)
    with pytest.raises(Problem) as gone:
        store.get(other)
    assert gone.value.status == 404 and "expired" in str(gone.value) and len(store) == 0


def test_kept_images_are_bounded_in_memory(cheap):
    scene, masks = cheap.encode(shapes()), np.zeros((50, 96, 144), bool)
    store = ImageStore(Limits(images_mb=2.0))  # of 0.73 MB each
    kept = [store.add("a", "mini", scene, masks.copy()) for _ in range(4)]
    assert len(store) == 2 and store.bytes == 2 * (shapes().nbytes + masks.nbytes)
    answer = scene.segment([WORDS[0]])[0]
    for number in range(3):
        store.remember(kept[-1], [str(number)], [answer])
    assert store.bytes == sum(each.bytes for each in kept[-len(store):]) and len(kept[-1].answers) == 3


def test_who_may_ask(cheap):
    with serving(cheap, token="a-token-of-some-length", hosts=["scenes.example"]) as client:
        given = {"Authorization": "Bearer a-token-of-some-length"}
        assert client.get("/v1/settings", headers=given).status_code == 200
        for wrong in ({}, {"Authorization": "Bearer no"}, {"Authorization": "a-token-of-some-length"}):
            refused = client.get("/v1/settings", headers=wrong)
            assert is_problem(refused, 401) and refused.headers["www-authenticate"] == "Bearer"
        assert client.get("/metrics").status_code == 401 and client.get("/healthz").status_code == 200
        for host in ("scenes.example", "127.0.0.1:8000", "[::1]:80", "LOCALHOST:1"):
            assert client.get("/healthz", headers={"Host": host}).status_code == 200
        for host in ("evil.example", "localhost.evil.example", "", "[evil]:80"):
            assert is_problem(client.get("/healthz", headers={"Host": host}), 421)
        assert client.get("/healthz", headers={"Origin": "https://localhost"}).status_code == 200
        for origin in ("https://evil.example", "null", "http://localhost:9"):
            assert is_problem(client.get("/healthz", headers={"Origin": origin}), 403)
        assert client.get("/openapi.json").json()["paths"]["/v1/segment"]["post"]["security"] == [{"token": []}]


def test_an_ml_backend_of_label_studio(cheap, tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    interface = ('<View><Image name="image" value="$image"/><BrushLabels name="brush" toName="image">'
                 '<Label value="the red ball on the left"/></BrushLabels></View>')
    tasks = [{"id": n, "data": {"image": name}} for n, name in enumerate(["/data/local-files/?d=a.png", "gone.png"])]
    token = "x" * 20
    with serving(cheap, token, label_studio=tmp_path) as client:
        def post(where, body):
            return client.post(f"/v1/label-studio/{where}", json=body, auth=("anyone", token))

        assert is_problem(client.get("/v1/label-studio/health"), 401)
        assert is_problem(client.get("/v1/label-studio/health", auth=("anyone", "y" * 20)), 401)
        assert client.get("/v1/label-studio/health", auth=("anyone", token)).json()["status"] == "UP"
        version = post("setup", {"project": "1", "schema": interface, "hostname": "http://here"}).json()["model_version"]
        found, gone = post("predict", {"tasks": tasks, "label_config": interface, "params": {}}).json()["results"]
        expected = cheap(shapes(), "the red ball on the left")
        assert [each["score"] for each in found["result"]] == [each.score for each in expected.instances]
        assert found["model_version"] == version and found["error"] is None
        assert gone["result"] == [] and "gone.png" in gone["error"]
        assert is_problem(post("setup", {"schema": "<View/>"}), 422, "interface")
        assert is_problem(post("predict", {"tasks": tasks, "label_config": "<View/>"}), 422, "interface")
        many = interface.replace("<Label ", "<Label value='a'/>" * 16 + "<Label ")
        assert is_problem(post("predict", {"tasks": tasks, "label_config": many}), 422, "17 labels")


def test_settings_are_published_as_the_library_has_them(client, cheap):
    told = client.get("/v1/settings").json()
    schemas.SettingsTold.model_validate(told)
    by_name = {each["name"]: each for each in told["settings"]}
    assert by_name["noise_timestep"]["symbol"] == "t" and by_name["noise_timestep"]["maximum"] == 999
    assert by_name["alpha"]["default"] == {"mini": cheap.settings.matching.alpha}
    assert by_name["reading"]["choices"] == ["root", "query", "instances", "relations"]
    for name, each in by_name.items():
        assert each["says"] and name in Settings().flat()


def test_metrics_count_what_was_asked(client):
    upload(client)
    text = client.get("/metrics").text
    assert re.search(r'refdiff_requests_total\{method="POST",route="/v1/segment",status="200"\} [1-9]', text)
    assert 'refdiff_waiting_requests{model="mini"} 0.0' in text and "process_resident_memory_bytes" in text


def talk(address, sent: bytes, seconds: float = 10) -> bytes:
    with socket.create_connection(address, timeout=seconds) as connection:
        connection.sendall(sent)
        found = b""
        while part := connection.recv(65536):
            found += part
    return found


def test_slow_and_broken_connections_are_closed(cheap):
    app = create_app([cheap], Limits(upload_seconds=0.5, connections=3))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server, address = server_of(app), listener.getsockname()
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert b'"status": 400' in talk(address, b"nonsense\r\n\r\n")
            assert talk(address, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n") == b""  # the head never ends
            head = b"POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            assert b"408" in talk(address, head + b"Content-Length: 99\r\n\r\n{")
            assert b"413" in talk(address, head + b"Content-Length: 99999999999\r\n\r\n{")
            held = [socket.create_connection(address) for _ in range(3)]
            assert b"Too many connections" in talk(address, b"")
            for each in held:
                each.close()
        finally:
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()


def test_a_model_may_take_longer_to_load_than_a_request_may_wait(cheap):
    with serving(cheap, seconds=0.1) as client:
        assert client.get("/readyz").json() == {"status": "ready"}


def test_the_command_line_says_what_is_wrong_before_it_loads_anything(tmp_path, capsys, monkeypatch):
    from refdiff.cli.main import main

    short = tmp_path / "token"
    short.write_text("short")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for words, options in (("at least 16", ["--token-file", str(short)]), ("--behind", ["--behind", "proxy"]),
                               ("cannot listen", ["--port", str(taken.getsockname()[1])]), ("--port", ["--port", "-1"]),
                               ("queue must be", ["--queue", "0"])):
            assert main(["serve", *options]) == 2 and words in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert main(["serve"]) == 1 and "pip install 'refdiff[serve]'" in capsys.readouterr().err
