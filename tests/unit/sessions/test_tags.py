import unicodedata
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from broker.errors import InvalidParameterValue, ValidationError
from broker.model.session import Session
from broker.sessions.tags import (
    NO_TAGS,
    SessionTags,
    inherit_tags,
    principal_tags,
    require_session_tags,
)
from tests.support.rows import rows

DUPLICATE = "Duplicate tag keys found. Please note that Tag keys are case insensitive."
CONFLICT = "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session."
NOT_AMONG = "The specified transitive tag key must be included in the requested tags."
RESERVED = "Tag keys that begin with aws: are reserved for system use."


@pytest.fixture
def calling(session: Session) -> Session:
    return structs.replace(
        session, tags={"Team": "blue", "Cost": "7"}, transitive_keys=frozenset({"Team"})
    )


def test_tags_are_optional() -> None:
    assert require_session_tags(()) == NO_TAGS


@rows("key, value")
def test_allowed_tags_are_kept_as_given(key: str, value: str) -> None:
    assert require_session_tags([(key, value)]).tags == {key: value}


@pytest.mark.parametrize(
    ("key", "value", "member", "broken"),
    [
        ("", "v", "key", "length greater than or equal to 1"),
        ("k" * 129, "v", "key", "length less than or equal to 128"),
        ("k", "v" * 257, "value", "length less than or equal to 256"),
        ("a*b", "v", "key", "satisfy regular expression pattern"),
        ("k", "a,b", "value", "satisfy regular expression pattern"),
        ("k", "a\nb", "value", "satisfy regular expression pattern"),
        ("k\n", "v", "key", "satisfy regular expression pattern"),
        ("k", "v\0", "value", "satisfy regular expression pattern"),
        ("k", "\ud800", "value", "satisfy regular expression pattern"),
        ("k", "e\u0301", "value", "satisfy regular expression pattern"),
        ("k", "😀", "value", "satisfy regular expression pattern"),
    ],
)
def test_a_bad_key_or_value_is_named(
    key: str, value: str, member: str, broken: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        require_session_tags([("ok", "ok"), (key, value)])
    assert caught.value.message is not None
    assert f"at 'tags.2.member.{member}'" in caught.value.message
    assert broken in caught.value.message


def test_fifty_tags_are_allowed_and_no_more() -> None:
    pairs = [(f"k{n}", "v") for n in range(51)]
    assert len(require_session_tags(pairs[:50], ["K49"]).tags) == 50
    with pytest.raises(ValidationError, match="less than or equal to 50"):
        require_session_tags(pairs)
    with pytest.raises(ValidationError, match="transitiveTagKeys"):
        require_session_tags(pairs[:50], [f"k{n}" for n in range(51)])


@pytest.mark.parametrize("key", ["aws:x", "AWS:x", "aWs:PrincipalTag"])
def test_reserved_keys_are_refused_in_any_case(key: str) -> None:
    with pytest.raises(InvalidParameterValue) as caught:
        require_session_tags([(key, "v")])
    assert caught.value.message == RESERVED


@pytest.mark.parametrize("second", ["Department", "department", "DEPARTMENT"])
def test_keys_equal_but_for_case_are_refused(second: str) -> None:
    with pytest.raises(InvalidParameterValue) as caught:
        require_session_tags([("Department", "a"), (second, "a")])
    assert caught.value.message == DUPLICATE


def test_transitive_keys_take_the_spelling_of_their_tags() -> None:
    passed = require_session_tags([("Team", "a"), ("Cost", "1")], ["TEAM", "team"])
    assert passed.transitive_keys == {"Team"}


@pytest.mark.parametrize("pairs", [[], [("Cost", "1")]])
def test_a_transitive_key_must_be_among_the_tags(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidParameterValue) as caught:
        require_session_tags(pairs, ["Team"])
    assert caught.value.message == NOT_AMONG


@pytest.mark.parametrize("key", ["Team", "team", "TEAM"])
@pytest.mark.parametrize("transitive", [True, False])
def test_what_a_session_passes_on_cannot_be_set_again(
    calling: Session, key: str, transitive: bool
) -> None:
    with pytest.raises(InvalidParameterValue) as caught:
        require_session_tags(
            [(key, "red")], [key] if transitive else [], calling=calling
        )
    assert caught.value.message == CONFLICT


def test_an_inherited_key_cannot_be_named_transitive_again(calling: Session) -> None:
    with pytest.raises(InvalidParameterValue) as caught:
        require_session_tags([], ["team"], calling=calling)
    assert caught.value.message == CONFLICT


def test_only_transitive_tags_pass_down_a_chain_and_stay_transitive(
    calling: Session,
) -> None:
    passed = require_session_tags(
        [("Cost", "9"), ("Job", "x")], ["Job"], calling=calling
    )
    assert inherit_tags(passed, calling) == SessionTags(
        {"Cost": "9", "Job": "x", "Team": "blue"}, frozenset({"Job", "Team"})
    )
    assert passed.tags == {"Cost": "9", "Job": "x"}, "the trust policy sees no more"


def test_tags_pass_down_the_whole_chain(calling: Session) -> None:
    for _ in range(3):
        inherited = inherit_tags(NO_TAGS, calling)
        calling = structs.replace(
            calling, tags=inherited.tags, transitive_keys=inherited.transitive_keys
        )
    assert calling.tags == {"Team": "blue"}
    assert calling.transitive_keys == {"Team"}


def test_nothing_is_inherited_from_a_user() -> None:
    passed = require_session_tags([("a", "b")])
    assert inherit_tags(passed, None) == passed


@rows("own, session_tags, seen")
def test_a_sessions_tag_replaces_the_entitys(
    own: Mapping[str, str], session_tags: Mapping[str, str], seen: Mapping[str, str]
) -> None:
    assert principal_tags(own, session_tags) == seen


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=5))
def test_any_texts_are_tags_or_refused(pairs: list[tuple[str, str]]) -> None:
    try:
        passed = require_session_tags(pairs)
    except (ValidationError, InvalidParameterValue):
        return
    assert passed.tags == dict(pairs)
    assert all(
        unicodedata.category(c)[0] in "LZN" or c in "_.:/=+-@"
        for pair in pairs
        for c in "".join(pair)
    )
