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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", help="working, reporting or a file of expressions")
    parser.add_argument("--wrong", action="store_true", help="show what is read wrongly")
    options = parser.parse_args()
    path = HERE / f"{options.corpus}.tsv"
    if not path.exists():
        lines = [line.strip() for line in Path(options.corpus).read_text().splitlines() if line.strip()]
        missed = [line for line in lines if query(line).ignored]
        for line in lines if options.wrong else []:
            print(f"{line:45s} {query(line)}  {' '.join(query(line).ignored)}")
        print(f"a word is not understood in {len(missed)} of {len(lines)} expressions ({len(missed) / len(lines):.1%})")
        return
    right, every = Counter(), Counter()
    for line in path.read_text().splitlines():
        kind, text, wanted = line.split("\t")
        found = str(query(text))
        good = tidy(found) == tidy(wanted)
        every[kind] += 1
        right[kind] += good
        if options.wrong and not good:
            print(f"{kind}: {text}\n    wanted {wanted}\n    found  {found}   {query(text).ignored or ''}")
    for kind in every:
        print(f"{kind:12s} {right[kind]:3d} of {every[kind]:3d}")
    print(f"{'all':12s} {sum(right.values()):3d} of {sum(every.values()):3d} ({sum(right.values()) / sum(every.values()):.1%})")


if __name__ == "__main__":
    main()
