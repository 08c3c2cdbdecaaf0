from pathlib import Path

import pytest

from refdiff import expressions
from refdiff.errors import InputError
from refdiff.expressions import parse, release_token, root_tokens

LINES = (Path(__file__).parent / "data" / "expressions.tsv").read_text(encoding="utf-8").splitlines()
LABELLED = [line.split("\t") for line in LINES if not line.startswith("#")]


def accuracy(rule: str) -> float:
    return sum(parse(text, rule).root == root for text, root, _ in LABELLED) / len(LABELLED)


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
    assert parse("the top right mug", clue_rule="release").direction == ("right",)
    assert parse("the top mug", clue_rule="release").direction == ()


def test_the_phrase_leaves_places_out():
    assert parse("the left red mug by the door").phrase == "red mug"
    assert parse("the mug that is red").phrase == "red mug"
    assert parse("the mug that is on the table").phrase == "mug"


def test_the_root_is_aligned_with_its_tokens(model):
    tokenizer = model.generative.tokenizer
    one = parse("the cat on the left")
    assert root_tokens(tokenizer, one) == [2] and release_token(tokenizer, one) == 2
    several = parse("a zebra")
    indices = root_tokens(tokenizer, several)
    assert len(indices) > 1
    pieces = tokenizer.convert_ids_to_tokens(tokenizer(several.text).input_ids)
    assert "".join(pieces[i] for i in indices) == "zebra</w>"


def test_a_root_past_the_tokenizers_length_falls_back_to_the_last_token(model):
    tokenizer = model.generative.tokenizer
    late = parse("very " * 60 + "big cat")
    assert root_tokens(tokenizer, late) == [tokenizer.model_max_length - 2]


@pytest.mark.parametrize("text", ["", "   ", "?!", "cat " * 300])
def test_unusable_expressions_are_refused_with_a_sentence(text):
    with pytest.raises(InputError, match=r"empty|characters"):
        parse(text)


def test_another_process_parses_ahead_and_gives_the_same(monkeypatch):
    texts = ["left broccoli", "  a cat\nin the top left corner "]
    expected = [parse(text, "syntax") for text in texts]
    parse.cache_clear()
    expressions._language.cache_clear()
    expressions.parse_ahead(texts, "syntax")
    monkeypatch.setattr(expressions, "_language", None)  # not needed here any more
    assert [parse(text, "syntax") for text in texts] == expected


def test_parsing_goes_on_here_where_the_other_process_fails(monkeypatch):
    parse.cache_clear()
    expressions._language.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(expressions.sys, "executable", "/bin/false")
        expressions.parse_ahead(["the red mug"])
    assert parse("the red mug").root == "mug"
