"""How often an expression is understood: its query against the corpus, by kind.

    python benchmarks/queries.py working        # rules may be made with these
    python benchmarks/queries.py reporting      # written without sight of the rules; figures are of these
    python benchmarks/queries.py FILE           # an expression a line: the share with a word that is not understood
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path

from refdiff.language import query

HERE = Path(__file__).parent / "queries"


def tidy(line: str) -> str:
    """A line of the notation with the conditions of every target in alphabetical order."""
    while True:
        opened = re.search(r"\(([^()]*)\)", line)
        if not opened:
            return " + ".join(_sorted(target) for target in line.split(" + ")).replace("<", "(").replace(">", ")")
        inner = " + ".join(_sorted(target) for target in opened.group(1).split(" + "))
        line = f"{line[: opened.start()]}<{inner.replace(', ', ',,')}>{line[opened.end() :]}"


def _sorted(target: str) -> str:
    head, *conditions = (part.strip() for part in target.split(", "))
    return ", ".join([head, *sorted(conditions)]).replace(",,", ", ")


def show_ignored(path: Path, every: bool) -> None:
    """The share of a file's expressions with a word that is not understood, after every query if asked."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    missed = sum(bool(query(line).ignored) for line in lines)
    for line in lines if every else []:
        print(f"{line:45s} {query(line)}  {' '.join(query(line).ignored)}")
    print(f"a word is not understood in {missed} of {len(lines)} expressions ({missed / len(lines):.1%})")


def compare(path: Path, wrong: bool) -> None:
    """How many of a corpus's lines are read as they say, by kind; what is not is shown if asked."""
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, text, wanted = line.split("\t")
        found = query(text)
        good = tidy(str(found)) == tidy(wanted)
        total[kind] += 1
        right[kind] += good
        if wrong and not good:
            print(f"{kind}: {text}\n    wanted {wanted}\n    found  {found}   {found.ignored or ''}")
    for kind in total:
        print(f"{kind:12s} {right[kind]:3d} of {total[kind]:3d}")
    share = right.total() / total.total()
    print(f"{'all':12s} {right.total():3d} of {total.total():3d} ({share:.1%})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", help="working, reporting or a file of expressions")
    parser.add_argument("--wrong", action="store_true", help="show what is read wrongly")
    options = parser.parse_args()
    corpus = HERE / f"{options.corpus}.tsv"
    if corpus.exists():
        compare(corpus, options.wrong)
    else:
        show_ignored(Path(options.corpus), options.wrong)


if __name__ == "__main__":
    main()
