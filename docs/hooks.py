"""What the site has beyond the pages in this folder: pages made when it is built, and equations as MathML."""

from __future__ import annotations

import argparse
import base64
import html
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import griffe
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from refdiff.cli.main import _parser
from refdiff.settings import OFFICIAL, PAPER, Settings
from refdiff.weights.manifest import find_bundle

ROOT = Path(__file__).parents[1]
PAGES = {"../examples/tour.ipynb": "tour.md", "../benchmarks/README.md": "performance.md",
         "../src/refdiff/cli/": "cli.md", "../src/refdiff/settings.py": "settings.md"}
"""The pages that are made here, by what links name where the pages in this folder are read in the repository."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here."""
    made: dict[str, str | bytes] = {
        "cli.md": "".join(command_line(_parser())), "settings.md": "".join(settings()),
        "performance.md": (ROOT / "benchmarks" / "README.md").read_text("utf-8"),
        **notebook(ROOT / "examples" / "tour.ipynb", "tour")}
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links between files of the repository as links between pages, and as text where a file has no page."""
    for path, page in (*PAGES.items(), ("../docs/", "")):
        markdown = markdown.replace(f"]({path}", f"]({page}")
    return re.sub(r"(?<!!)\[([^]]+)\]\((\.\./[^)#]+)[^)]*\)",
                  lambda found: found[1] if (ROOT / "docs" / found[2]).exists() else found[0], markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Equations, which arithmatex leaves as LaTeX between \\( \\) and \\[ \\], as MathML, which browsers draw."""
    content = re.sub(r'<span class="arithmatex">\\\((.*?)\\\)</span>', lambda found: _equation(found[1], "inline"),
                     content, flags=re.DOTALL)
    return re.sub(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>',
                  lambda found: f'<div class="equation">{_equation(found[1], "block")}</div>', content, flags=re.DOTALL)


def _equation(latex: str, display: str) -> str:
    spaced = html.unescape(latex).strip().replace(r"\tag", r"\qquad\tag")  # no margin to set the number in
    mathml: str = convert(spaced, display=display)
    return mathml


class Examples(griffe.Extension):
    """The examples in docstrings as code: Markdown takes `>>>` for a quotation."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = re.sub(r"^>>>.*(?:\n.+)*", r"```pycon\n\g<0>\n```", obj.docstring.value, flags=re.M)


def command_line(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every command with its arguments, as argparse has them."""
    yield f"# Command line\n\n{parser.description}\n\n"
    yield ("Results go to files and a table to the terminal, progress and notices to standard error. The exit status "
           "is 0 when all is done, 1 when something failed, 2 when a command or what it was given cannot be used "
           "(an option, an image, data, a model that is not there or cannot be reached), and 130 when it was "
           "stopped.\n")
    for name, command, help_text in _commands(parser, parser.prog):
        formatter = command._get_formatter()
        actions = [each for each in command._actions if not isinstance(each, argparse._HelpAction)]
        required = [f"{each.option_strings[0]} {each.metavar}" if each.option_strings else
                    formatter._format_args(each, each.dest) for each in actions if each.required]
        optional = [f"[{formatter._format_args(each, each.dest)}]" for each in actions
                    if not each.option_strings and not each.required]
        yield f"\n## {name}\n\n{help_text[:1].upper()}{help_text[1:]}. {command.description or ''}\n\n"
        yield f"```text\n{' '.join([name, '[OPTIONS]', *required, *optional])}\n```\n"
        yield "\n| argument | what it is |\n| --- | --- |\n"
        for each in actions:
            text = formatter._expand_help(each) if each.help else ""
            yield f"| `{formatter._format_action_invocation(each)}` | {_cell(text)} |\n"


def _commands(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """(name, parser, help) of each command that does something, those of `models` among them."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {each.dest: each.help or "" for each in action._choices_actions}
            for word, command in action.choices.items():
                inner = list(_commands(command, f"{name} {word}"))
                yield from inner or [(f"{name} {word}", command, helps[word])]


def settings() -> Iterator[str]:
    """Every setting with its values, and what its group's docstring says of it."""
    yield ("# Settings\n\nChange one with `--set NAME=VALUE` on the command line, or with "
           "`model.settings.replace(name=value)` in Python. A bundle starts from the defaults and changes what suits "
           "its models, as *mini* does; the presets *paper* and *official* are shown as they are for models of the "
           "paper's sizes.\n")
    default = Settings().flat()
    others = {"mini": find_bundle("mini").settings().flat(), "paper": PAPER.flat(), "official": OFFICIAL.flat()}
    for group in get_type_hints(Settings).values():
        head, *said = re.split(r"^((?:\w+, )*\w+): ", inspect.getdoc(group) or "", flags=re.M)
        about = {name: text for names, text in zip(said[::2], said[1::2], strict=True) for name in names.split(", ")}
        yield f"\n## {group.__name__}\n\n{_cell(head)}\n\n"
        yield "| setting | default | changed by | what it is |\n| --- | --- | --- | --- |\n"
        for each in fields(group):
            changes = "<br>".join(f"{name}: `{_short(values[each.name])}`" for name, values in others.items()
                                  if values[each.name] != default[each.name])
            yield (f"| `{each.name}` | `{_short(default[each.name])}` | {changes} | "
                   f"{_cell(about.get(each.name, ''))} |\n")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) and value.isalpha() else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:12]} ... {text[-12:]}"


def _cell(text: str) -> str:
    """Text on one line, as it is: what looks like markup in it is not."""
    return " ".join(html.escape(text, quote=False).replace("|", "\\|").replace("*", "\\*").split())


def notebook(path: Path, name: str) -> dict[str, str | bytes]:
    """A page `name`.md of a notebook as it was run, and its pictures; names of files and their content."""
    page, pictures = "", {}
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        source, printed = "".join(cell["source"]), ""
        page += f"\n\n{source}\n" if cell["cell_type"] == "markdown" else f"\n\n```python\n{source}\n```\n"
        for output in cell.get("outputs", []):
            printed += "".join(output.get("text", ""))
            if "image/jpeg" in output.get("data", {}):
                picture = f"pictures/{name}-{len(pictures) + 1}.jpg"
                pictures[picture] = base64.b64decode(output["data"]["image/jpeg"])
                page += _printed(printed) + f"\n![{output['metadata']['image/jpeg']['alt']}]({picture})\n"
                printed = ""
        page += _printed(printed)
    return {f"{name}.md": page, **pictures}


def _printed(text: str) -> str:
    return f"\n```text\n{text.rstrip()}\n```\n" if text else ""
