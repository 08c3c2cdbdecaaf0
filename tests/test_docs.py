"""The tour as it is stored, and the site as it is built: nothing broken, nothing from elsewhere, nothing missing."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from conftest import ROOT
from refdiff.settings import Settings
from refdiff.weights.manifest import find_bundle

if not (ROOT / "mkdocs.yml").exists():
    pytest.skip("these files are not part of the source distribution", allow_module_level=True)

TOUR = ROOT / "examples" / "tour.ipynb"
A_MACHINES_PATH = re.compile(r"(?<![\w.])/(?:home|root|Users|tmp|work|opt|usr|mnt|var|private)/|\b[A-Z]:\\\\")


def test_the_tour_is_stored_as_it_ran_without_an_error_or_a_path_of_a_machine():
    assert TOUR.stat().st_size < 400_000
    cells = [cell for cell in json.loads(TOUR.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell["outputs"]]
    texts = ["".join(output.get("text", "")) for output in outputs]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert not [text for text in texts if "Traceback" in text or A_MACHINES_PATH.search(text)]
    pictures = [output["metadata"]["image/jpeg"] for output in outputs if "image/jpeg" in output.get("data", {})]
    assert pictures and all(about["alt"] for about in pictures)


def test_the_manifest_that_the_documentation_shows_can_be_used(tmp_path):
    manifest = re.search(r"```json\n(.*?)```", (ROOT / "docs" / "bundles.md").read_text("utf-8"), re.S)[1]
    (tmp_path / "refdiff.json").write_text(manifest)
    bundle = find_bundle(tmp_path)
    assert bundle.name == json.loads(manifest)["name"] and bundle.settings().matching.alpha == 0.2
    assert {"diffusion", "clip", "sam"} == {*bundle.parts}


class Page(HTMLParser):
    """What a page loads, links to and can be linked to, and its equations."""

    def __init__(self, html: str):
        super().__init__()
        self.html, self.loads, self.links, self.anchors = html, [], [], {""}
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found.get("id", ""), found.get("name", "")}
        if tag == "a":
            self.links += [found["href"]] if "href" in found else []
        elif tag != "link" or {*found["rel"].split()} - {"canonical", "next", "prev"}:
            self.loads += [found[name] for name in ("href", "src", "data", "poster") if name in found]
            self.loads += re.findall(r"[^\s,]+(?= |,|$)", found.get("srcset", ""))
        self.loads += re.findall(r"url\(([^)]*)\)", found.get("style", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    if missing := [name for name in ("mkdocs", "material", "mkdocstrings", "latex2mathml") if not find_spec(name)]:
        pytest.skip(f"the extra docs is not installed: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("site")
    # Without --quiet, which would hide warnings from --strict.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    return {path: Page(path.read_text("utf-8")) for path in site.glob("*.html") if path.name != "404.html"}


def test_the_site_loads_nothing_from_elsewhere(site, pages):
    styles = [path.read_text("utf-8") for path in site.rglob("*.css")]
    loads = [each for page in pages.values() for each in page.loads]
    loads += [each.strip("'\" ") for style in styles for each in re.findall(r"url\(([^)]*)\)", style)]
    assert len(loads) > 100 and len(styles) > 2
    assert not [each for each in loads if each.startswith("//") or urlsplit(each).scheme not in ("", "data")]
    assert not [style for style in styles if "@import" in style]


def test_what_pages_load_and_link_to_is_there(site, pages):
    for path, page in pages.items():
        for each in {*page.loads, *page.links}:
            there = urlsplit(each)
            if not there.scheme:
                target = (path.parent / unquote(there.path)).resolve() if there.path else path
                assert target.exists(), f"{path.name}: {each}"
                known = pages[target].anchors if target in pages else {""}
                assert unquote(there.fragment) in known, f"{path.name}: {each}"


def test_equations_are_drawn_without_a_script(site, pages):
    page = pages[site / "how-it-works.html"].html
    equations = re.findall(r"<math.*?</math>", page, re.S)
    assert {f"({number})" for number in range(1, 11)} == {*re.findall(r"<mtext>(.*?)</mtext>", " ".join(equations))}
    assert not [each for each in equations if "\\" in each]
    assert not [path for path, each in pages.items() if 'class="arithmatex"' in each.html]


def test_every_option_and_every_setting_is_on_its_page(site, pages):
    sources = [path.read_text("utf-8") for path in (ROOT / "src" / "refdiff" / "cli").glob("*.py")]
    options = {each for text in sources for each in re.findall(r'add_argument\([^)]*?"(--[a-z-]+)"', text)}
    shown = {*re.findall(r"--[a-z-]+", pages[site / "cli.html"].html)}
    assert len(options) > 30 and options - {"--version"} <= shown
    assert {*re.findall(r"<td><code>(\w+)</code></td>", pages[site / "settings.html"].html)} >= {*Settings().flat()}


def test_no_path_of_this_machine_is_on_the_site(site):
    texts = [path for path in site.rglob("*") if path.suffix in (".html", ".js", ".json", ".xml")]
    assert not [path.name for path in texts if str(ROOT) in path.read_text("utf-8")]
