"""Patterns match as the plain definition says, and quickly."""

import tracemalloc
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.policy import wildcard
from broker.policy.wildcard import (
    compile_wildcard,
    find_literal,
    find_prefix,
    tokenize,
)
from tests.support.effort import cpu_at_most, times_as_long
from tests.support.rows import rows


def by_definition(pattern: str, text: str) -> bool:
    """The textbook table: row by row, no cleverness."""
    reachable = {0}
    for character in pattern:
        if character == "*":
            first = min(reachable, default=len(text) + 1)
            reachable = set(range(first, len(text) + 1))
        else:
            reachable = {
                position + 1
                for position in reachable
                if position < len(text) and character in ("?", text[position])
            }
    return len(text) in reachable


@given(st.text("ab*?", max_size=12), st.text("ab", max_size=16))
def test_matches_by_definition(pattern: str, text: str) -> None:
    assert compile_wildcard(tokenize(pattern))(text) is by_definition(pattern, text)


def test_matches_by_definition_for_all_short_patterns_and_texts() -> None:
    texts = [
        "".join(letters) for size in range(6) for letters in product("ab", repeat=size)
    ]
    for size in range(6):
        for letters in product("ab*?", repeat=size):
            pattern = "".join(letters)
            if "**" in pattern:
                continue
            matches = compile_wildcard(tokenize(pattern))
            for text in texts:
                assert matches(text) is by_definition(pattern, text), (pattern, text)


@given(st.text("ab?", min_size=1, max_size=8), st.text("ab", min_size=60, max_size=200))
def test_finds_a_chunk_late_in_a_long_text(chunk: str, text: str) -> None:
    """Long texts of few letters reach the search by bit sets."""
    pattern = f"*{chunk}b?a{chunk}*"
    assert compile_wildcard(tokenize(pattern))(text) is by_definition(pattern, text)


def test_finds_a_chunk_after_many_false_beginnings() -> None:
    for pattern in ("*a?b*", "*a?bb*", "*a?b*c*", "*a?b*b"):
        matches = compile_wildcard(tokenize(pattern))
        for begin, end in product((12 * "a", 9 * "xbb"), product("abc", repeat=4)):
            text = begin + "".join(end)
            assert matches(text) is by_definition(pattern, text), (pattern, text)


@pytest.mark.parametrize("length", [33, 100, 2047, 2048, 2049, 2060, 7000, 9000])
def test_finds_a_chunk_across_the_windows_of_the_search(length: int) -> None:
    matches = compile_wildcard(tokenize("*a?a?b*"))
    assert matches("a" * length + "b")
    assert not matches("a" * length + "c")
    assert matches("a" * length + "xaxaxb" + "a" * 50)


@pytest.mark.parametrize("letter", ["\x00", "\x01", "é", "ÿ", "Ā", "漢", "🙂"])
def test_finds_a_chunk_of_any_letters(letter: str) -> None:
    matches = compile_wildcard(tokenize(f"*{letter}?{letter}?b*"))
    assert matches("\x01\x00" * 30 + letter * 90 + "b")
    assert not matches("\x01\x00" * 30 + letter * 90 + "c")


def test_a_question_mark_is_one_character_beyond_the_basic_plane() -> None:
    assert compile_wildcard(tokenize("a?b"))("a🙂b")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("a*" * 24 + "b", "a" * 900),
        ("a*" * 1000 + "b", "a" * 100_000),
        ("*" + "a?" * 240 + "b*", "a" * 100_000 + "b"),
        ("*" + "a?b" * 120 + "*", ("a" * 70 + "axb") * 1300),
        ("?*" * 250 + "x", "y" * 100_000),
        ("*" + "ab" * 1000 + "*", "ab" * 999 + "a" * 100_000),
    ],
)
def test_no_pattern_makes_matching_slow(pattern: str, text: str) -> None:
    """A translation to a regular expression does not answer within seconds."""
    matches = compile_wildcard(tokenize(pattern))
    with cpu_at_most(2_000):
        matches(text)


@given(st.text("ab\0", min_size=1, max_size=6), st.text("ab\0", max_size=40))
def test_the_linear_search_finds_what_the_direct_one_does(
    literal: str, text: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wildcard, "_PRODUCT_MAX", -1)
        for shape in ("a*{0}*a", "a*{0}*b*{0}*a", "a*{0}*?b*{0}?*a"):
            pattern = shape.format(literal)
            matches = compile_wildcard(tokenize(pattern))
            assert matches(f"a{text}a") is by_definition(pattern, f"a{text}a")


@pytest.mark.parametrize("mark", ["bXY", "X", "b"])
@pytest.mark.parametrize("size", [12, 40, 60, 97, 99, 150, 700, 2000])
def test_no_literal_makes_a_search_more_than_linear(size: int, mark: str) -> None:
    """A search of eight characters for nothing is the reference: linear anyhow."""
    text, letters = "a" * 4096, "a" * size
    for place in (0, size // 3, size // 2, size):
        literal = letters[:place] + mark + letters[place:]
        for shape in ("*{}*", "*?a{}*"):
            matches = compile_wildcard(tokenize(shape.format(literal)))
            least = times_as_long(lambda: matches(text), lambda: "aaaabaaa" in text)  # noqa: B023  # called here
            assert least < 6, (shape, place)


@rows("pattern, literal, prefix")
def test_knows_the_simple_patterns(
    pattern: str, literal: str | None, prefix: str | None
) -> None:
    assert find_literal(tokenize(pattern)) == literal
    assert find_prefix(tokenize(pattern)) == prefix


def test_what_is_kept_of_texts_is_bounded_in_bytes() -> None:
    matches = compile_wildcard(tokenize("*a?a?a?b*"))
    wildcard._occurrences.clear()
    tracemalloc.start()
    try:
        for number in range(1000):
            assert not matches(f"{number}" + "a" * 4000)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 4000 < kept < 1.5 * wildcard._OCCURRENCES_BYTES
