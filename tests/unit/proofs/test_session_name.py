"""Names of sessions for people whose identity provider names none."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.proofs.session_name import session_name

_RULE = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
ISSUER = "https://idp.example.com"


def name(subject: str, wanted: str | None = None, **more: object) -> str:
    given_ = {"issuer": ISSUER, "subject": subject, **more}
    return session_name(subject if wanted is None else wanted, **given_)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "whole", ["ann@example.com", "a=b", "ab", "x" * 64, "b1946ac9-1111-4aaa-8bbb-a1b2"]
)
def test_a_name_that_loses_nothing_is_kept(whole: str) -> None:
    assert name(whole) == whole


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("o'neil@example.com", "o neil@example.com"),
        ("x" * 65, "x" * 66),
        ("é", "è"),
        ("-ann", "ann"),
        ("ann ", "ann"),
        ("ann", "Ann\n"),
    ],
)
def test_names_that_lose_something_are_told_apart(one: str, other: str) -> None:
    assert name(one) != name(other)
    assert _RULE.fullmatch(name(one))
    assert name(one) == name(one)


def test_no_one_can_be_called_what_another_was_made() -> None:
    victims = name("o'neil@example.com")
    assert name(victims) != victims


def test_a_name_that_may_be_anothers_is_marked() -> None:
    alices = name("1", "alice", is_unique=False)
    assert re.fullmatch(r"alice=[\w-]{12}", alices)
    assert len({alices, name("2", "alice", is_unique=False), name("1", "alice")}) == 3
    assert name("1", "alice", is_unique=False, issuer="https://other") != alices


# Of letters that are replaced, and some that are not, so that clashes are likely.
_TEXTS = st.text("a -'=é@", min_size=1, max_size=6) | st.text(max_size=80)


@given(_TEXTS, _TEXTS)
def test_two_subjects_never_get_one_name(one: str, other: str) -> None:
    names = {name(one), name(other)}
    assert len(names) == len({one, other})
    assert all(map(_RULE.fullmatch, names))
