"""The page of refdiff serve in a real browser: Debian's chromium, driven by Playwright; `.ci/full browser` runs it."""

import io
import json
import re
import shutil
import socket
import threading
import time
import urllib.request
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refdiff.core.masks import to_rle

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("playwright", reason="the extra browser is not installed")
from playwright import sync_api

from refdiff.service.app import PAGE, create_app
from refdiff.service.labels import open_labels
from refdiff.service.limits import Limits
from refdiff.service.server import server_of

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here (Debian: apt-get install chromium)")

TURTLE, CAMERAS = PAGE / "examples" / "turtle.jpg", PAGE / "examples" / "cameras.jpg"
SECONDS = 30  # for anything that a model does


@contextmanager
def serving(model, labels=None, token=None):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = server_of(create_app([model], Limits(), token, labels=labels))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)


@pytest.fixture(scope="module")
def cheap(model):
    from refdiff import RefDiff

    return RefDiff(model.bundle, model.device, settings=model.settings.replace(points_per_side=8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("photos")
    for number, name in enumerate((TURTLE, CAMERAS, TURTLE), 1):
        Image.open(name).rotate(180 * (number == 3)).save(made / f"{number}.png")
    return made


@pytest.fixture(scope="module")
def site(cheap, folder):
    with open_labels(folder, "the turtle = animal") as labels, serving(cheap, labels) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def page_of(browser, site, width=1280, scheme="light", path="/", ready="main:not([inert])"):
    """A page of a session of its own, which may use nothing but the site and must not fail inside."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(1000 * SECONDS)
    asked, broken = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on("console", lambda told: broken.append(told.text) if "Content Security Policy" in told.text else None)
    page.asked = asked
    page.goto(site + path)
    page.wait_for_selector(ready)
    yield page
    context.close()
    assert not broken
    assert all(url.startswith((site, "blob:", "data:")) for url in asked)


def until(condition) -> None:
    """Waits until something is so; Playwright's own way needs eval, which the page's policy forbids."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not become so in time"
        time.sleep(0.05)


def ask(page, text: str, image: Path | None = None) -> None:
    """Types an expression and waits until it is picked, with its maps."""
    if image is not None:
        page.set_input_files("#file", image)
        page.wait_for_selector("#stage:not([hidden])")
    page.fill("#expressions", text)
    page.press("#expressions", "Enter")
    page.locator("#details-title", has_text=text.split("\n")[0]).wait_for()
    page.wait_for_selector("#details .badge")


def settled(page) -> None:
    until(lambda: page.is_hidden("#status") or "busy" not in page.get_attribute("#status", "class"))


def share(page) -> float:
    """Which per cent of the image the picked answer covers."""
    return float(re.search(r"([\d.]+) % of the image", page.inner_text("#details dl"))[1])


def place(page, x: float, y: float) -> tuple[float, float]:
    """Of a point in parts of the image."""
    box = page.locator("#canvas").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def colour(page, x: float, y: float) -> list[int]:
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate("""([x, y]) => { const { width, height } = document.getElementById('canvas');
        const drawn = document.getElementById('canvas').getContext('2d').getImageData(x * width, y * height, 1, 1);
        return [...drawn.data.slice(0, 3)]; }""", [x, y])


def test_run_lengths_are_read_as_pycocotools_writes_them(browser, site):
    rng = np.random.default_rng(0)
    with page_of(browser, site) as page:
        for density in (0.02, 0.5, 0.9):
            mask = rng.random((37, 53)) < density
            rows, columns = np.nonzero(mask)
            box = [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]
            found = page.evaluate("""async ([rle, box]) => { const { decode } = await import('/page/rle.js');
                const { width, height, inside } = decode(rle, box); return [width, height, [...inside]]; }""",
                                  [to_rle(mask), box])
            assert found == [box[2] - box[0], box[3] - box[1],
                             mask[box[1]:box[3], box[0]:box[2]].astype(int).ravel().tolist()]


def test_an_image_is_asked_about_corrected_and_downloaded(browser, site):
    with page_of(browser, site) as page:
        ask(page, "the turtle", TURTLE)
        turtle, drum = (0.62, 0.53), (0.29, 0.38)
        assert "1 found" in page.inner_text("#list") and page.inner_text("#details .badge") == "root"
        assert page.locator("#details .candidates li").count() == 5 and "Understood as" in page.inner_text("#details")
        with Image.open(TURTLE) as image:
            plain = {spot: image.getpixel((int(288 * spot[0]), int(288 * spot[1]))) for spot in (turtle, drum)}
        assert sum(colour(page, *drum)) < 0.8 * sum(plain[drum])  # dim outside the mask
        assert colour(page, *turtle)[2] > plain[turtle][2] + 20  # tinted blue inside
        page.check("[name=view][value=attention]", force=True)
        assert colour(page, *drum) != colour(page, *turtle)

        begun = time.monotonic()
        ask(page, "the drum")  # another expression about the same image, which was encoded and sent once
        assert time.monotonic() - begun < 10 and page.locator("#list li").count() == 2
        assert sum(url.endswith("/v1/images") for url in page.asked) == 1
        before = share(page)

        page.click("#correct")
        page.mouse.click(*place(page, *turtle))  # a point that adds
        settled(page)
        both = share(page)
        assert both > before + 2 and "corrected by hand" in page.inner_text("#list")
        page.mouse.click(*place(page, *turtle))  # removes the point again
        until(lambda: share(page) == before)
        page.mouse.click(*place(page, *drum))  # a point that takes away
        until(lambda: "% of the image" not in page.inner_text("#details dl") or share(page) != before)
        page.mouse.move(*place(page, 0.38, 0.38))
        page.mouse.down()
        page.mouse.move(*place(page, 0.78, 0.70), steps=4)
        page.mouse.up()  # a box around the turtle
        until(lambda: "% of the image" in page.inner_text("#details dl") and abs(share(page) - both + before) < 1.5)
        page.locator(".candidates button").nth(1).click()
        settled(page)
        for _ in range(5):
            page.keyboard.press("Control+z")
        page.wait_for_selector("#undo[disabled]")
        assert share(page) == before and "score" in page.inner_text("#list")

        files = {}
        for kind in ("mask", "overlay", "cutout", "coco", "zip"):
            with page.expect_download() as download:
                page.click(f"[data-format={kind}]")
            files[download.value.suggested_filename] = Path(download.value.path()).read_bytes()
        mask = Image.open(io.BytesIO(files["the-drum.mask.png"]))
        assert mask.size == (288, 288) and abs(np.mean(np.array(mask) > 0) * 100 - before) < 0.06
        assert Image.open(io.BytesIO(files["the-drum.cutout.png"])).mode == "RGBA"
        assert len(json.loads(files["refdiff.coco.json"])["categories"]) == 2
        assert len(zipfile.ZipFile(io.BytesIO(files["refdiff.zip"])).namelist()) == 8


def test_what_is_wrong_is_said_where_the_user_looks(browser, site, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with page_of(browser, site) as page:
        page.click("#find")
        assert page.inner_text("#ask-error") == "Choose an image first."
        page.set_input_files("#file", tmp_path / "notes.txt")
        page.locator("#image-error", has_text="notes.txt").wait_for()
        page.set_input_files("#file", TURTLE)
        page.click("#find")
        assert page.inner_text("#ask-error") == "Type what should be found."
        page.fill("#expressions", "x" * 301)
        page.click("#find")
        page.locator("#ask-error", has_text="301 characters").wait_for()
        page.click("#settings summary")
        page.fill("#set-alpha", "3")
        page.press("#set-alpha", "Tab")
        assert "from 0 to 1" in page.inner_text("#settings-error")
        assert page.get_attribute("#set-alpha", "aria-invalid") == "true"


def test_settings_change_what_is_asked(browser, site):
    with page_of(browser, site) as page:
        ask(page, "the turtle\nthe drum", TURTLE)
        page.click("#settings summary")
        page.select_option("#set-variant", "ds")
        page.fill("#set-beta", "0.75")
        page.press("#set-beta", "Tab")
        with page.expect_request(re.compile("/segment$")) as request:
            page.click("#again")
        asked = request.value.post_data_json
        assert asked["options"] == {"variant": "ds", "beta": 0.75} and len(asked["expressions"]) == 2
        page.locator("#details dd", has_text=re.compile("^ds$")).wait_for()
        assert "–" in page.inner_text(".candidates")  # ds has no s^G
        page.click("#reset")
        assert page.input_value("#set-beta") == "0.2"


def test_all_of_it_works_by_keyboard(browser, site):
    with page_of(browser, site) as page:
        for _ in range(2):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")  # the first example, whose expression is filled in
        page.wait_for_selector("#stage:not([hidden])")
        until(lambda: page.evaluate("document.activeElement.id") == "expressions")
        page.fill("#expressions", "the guitar\nthe apple")
        page.keyboard.press("Enter")
        page.wait_for_selector("#details .badge")
        page.focus("#list :checked")
        page.keyboard.press("ArrowDown")
        assert page.inner_text("#details-title") == "the apple"
        page.wait_for_selector("#details .badge")
        before = share(page)
        page.focus("#correct")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "canvas"
        for key in ["Shift+ArrowRight"] * 3 + ["ArrowDown"] * 3:  # from the middle to the cat on the right
            page.keyboard.press(key)
        page.keyboard.press("Enter")
        page.wait_for_selector("#undo:not([disabled])")
        assert share(page) > before + 2
        page.keyboard.press("Control+z")
        page.wait_for_selector("#undo[disabled]")
        assert share(page) == before
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.id") == "correct"


def test_two_sessions_never_see_each_others_images(browser, site):
    with page_of(browser, site) as one, page_of(browser, site) as two:
        ask(one, "the turtle", TURTLE)
        assert two.is_visible("#start")
        ask(two, "the lion", CAMERAS)
        ids = [{re.search(r"/v1/images/([\w-]+)/", url)[1] for url in page.asked if "/v1/images/" in url}
               for page in (one, two)]
        assert len(ids[0]) == len(ids[1]) == 1 and ids[0] != ids[1]
        ratios = [page.evaluate("document.getElementById('canvas').width / document.getElementById('canvas').height")
                  for page in (one, two)]
        assert ratios[0] == 1 and ratios[1] > 1.4 and "lion" not in one.inner_text("#answers")
        with one.expect_request(lambda request: request.method == "DELETE"):
            one.click("#another")


def test_a_token_is_asked_for_once(browser, cheap):
    with serving(cheap, token="0123456789abcdef") as site, page_of(browser, site, ready="#token[open]") as page:
        page.fill("#token-field", "0123456789abcdef")
        page.keyboard.press("Enter")
        page.wait_for_selector("main:not([inert])")
        page.reload()
        page.wait_for_selector("main:not([inert])")
        assert not page.is_visible("#token")


def violations(page) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 10
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found["violations"]
            if each["impact"] in ("serious", "critical")]


@pytest.mark.parametrize("width, scheme", [(360, "dark"), (768, "light"), (1280, "dark"), (1280, "light")])
def test_axe_finds_nothing_serious(browser, site, width, scheme):
    with page_of(browser, site, width, scheme) as page:
        assert violations(page) == []
        ask(page, "the turtle\nthe drum", TURTLE)
        page.click("#settings summary")
        page.click("#correct")
        settled(page)
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    with page_of(browser, site, width, scheme, "/label") as page:
        page.wait_for_selector("#facts:not([hidden]), #empty:not([hidden])")
        assert violations(page) == [] and page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_folder_is_labelled(browser, site, folder):
    def told(path=""):
        with urllib.request.urlopen(f"{site}/v1/label{path}") as response:
            return json.load(response)

    until(lambda: told()["proposed"] == 3)
    scores = [told(f"/items/{each['item']}")["answer"]["score"] for each in told()["queue"]]
    assert len(scores) == 3 and scores == sorted(scores)  # this model's settings have no calibration
    with page_of(browser, site, path="/label") as page:
        page.wait_for_selector("#stage:not([hidden])")
        shown = page.inner_text("#facts")
        page.keyboard.press("n")
        until(lambda: page.inner_text("#facts") != shown)
        page.keyboard.press("p")
        until(lambda: page.inner_text("#facts") == shown)
        page.keyboard.press("1")  # the best proposal instead
        page.wait_for_selector("#undo:not([disabled])")
        page.mouse.click(*place(page, 0.1, 0.1))
        settled(page)
        page.keyboard.press("a")
        page.locator("#counts", has_text="1 corrected").wait_for()
        page.wait_for_selector("#undo[disabled]")
        page.keyboard.press("r")
        page.locator("#counts", has_text="1 rejected").wait_for()
        page.locator("#queue [aria-current=true]").wait_for()
        page.click("#accept")
        page.locator("#empty-title", has_text="Everything is decided").wait_for()
    rows = [json.loads(line) for line in (folder / "refdiff-labels" / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 2 and {row["expression"] for row in rows} == {"animal"}
    assert all(row["found"] == bool(row["instances"]) for row in rows)
