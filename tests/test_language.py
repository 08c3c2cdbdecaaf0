import sys
from pathlib import Path

import pytest

from refdiff.cli.ahead import parse_ahead
from refdiff.errors import InputError
from refdiff.language import parse, syntax
from refdiff.language.tokens import token_indices
from refdiff.settings import ExpressionSettings

LINES = (Path(__file__).parent / "data" / "expressions.tsv").read_text(encoding="utf-8").splitlines()
LABELLED = [line.split("\t") for line in LINES if not line.startswith("#")]


def accuracy(rule: str) -> float:
    settings = ExpressionSettings(root_rule=rule)
    return sum(parse(text, settings).root == root for text, root, _ in LABELLED) / len(LABELLED)


def test_the_default_root_rule_is_right_on_more_expressions_than_the_others():
    assert len(LABELLED) >= 60
    assert accuracy("referent") >= 0.95
    assert accuracy("referent") > max(accuracy("syntax"), accuracy("release")) + 0.05


@pytest.mark.parametrize(("text", "root", "directions"), [
    ("black horse jumping", "horse", ()),
    ("left broccoli", "broccoli", ("left",)),
    ("second from left", "second", ("left",)),
    ("the mug left of the laptop", "mug", ("left",)),
    ("the apple in the top left corner", "apple", ("top", "left")),
])
def test_telegraphic_expressions(text, root, directions):
    assert (parse(text).root, parse(text).direction) == (root, directions)


def test_directions():
    wrong = [text for text, _, directions in LABELLED if (",".join(parse(text).direction) or "-") != directions]
    assert len(wrong) <= 0.03 * len(LABELLED), wrong
    assert parse("the top right mug", ExpressionSettings(clue_rule="release")).direction == ("right",)
    assert parse("the top mug", ExpressionSettings(clue_rule="release")).direction == ()


def test_the_phrase_leaves_places_out():
    assert parse("the left red mug by the door").phrase == "red mug"
    assert parse("the mug that is red").phrase == "red mug"
    assert parse("the mug that is on the table").phrase == "mug"


def test_the_root_is_aligned_with_its_tokens(model):
    diffusion, release = model.diffusion, ExpressionSettings(root_rule="release")
    one = parse("the cat on the left")
    assert token_indices(diffusion, one, ExpressionSettings()) == token_indices(diffusion, one, release) == [2]
    several = parse("a zebra")
    indices = token_indices(diffusion, several, ExpressionSettings())
    assert len(indices) > 1 and "".join(diffusion.tokens("a zebra")[i] for i in indices) == "zebra"


def test_a_root_past_the_models_length_falls_back_to_the_last_token(model):
    late = parse("very " * 60 + "big cat")
    last = len(model.diffusion.tokens(late.text)) - 2
    assert token_indices(model.diffusion, late, ExpressionSettings()) == [last]


@pytest.mark.parametrize("text", ["", "   ", "?!", "cat " * 300, "a \ud800 cat", None, 12, ["a cat"]])
def test_unusable_expressions_are_refused_with_a_sentence(text):
    with pytest.raises(InputError, match=r"empty|no word|characters|surrogate|must be text"):
        parse(text)


def test_another_process_parses_ahead_and_where_it_fails_this_one_does(monkeypatch):
    texts, settings = ["left broccoli", "a cat in the top left corner"], ExpressionSettings(root_rule="syntax")
    expected = [parse(text, settings) for text in texts]
    for program, elsewhere in ((sys.executable, True), ("/bin/false", False), ("/nowhere", False)):
        syntax._parsed.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", program)
            parse_ahead(texts, settings)
            if elsewhere:
                patch.setattr(syntax, "_language", None)  # not needed in this process
            assert [parse(text, settings) for text in texts] == expected
