import pytest

from broker.protocols.oidc.aws_claims import (
    PRINCIPAL_TAG_PREFIX,
    ROLES_CLAIM,
    SOURCE_IDENTITY_CLAIM,
    TAGS_CLAIM,
    TRANSITIVE_KEYS_CLAIM,
    read_allowed_roles,
    read_source_identity,
    read_tags,
)
from broker.protocols.oidc.rejection import OidcReason, OidcRejected
from tests.support.rows import of_file, rows

ROLE = "arn:aws:iam::123456789012:role/path/Deploy"
OTHER = "arn:aws:iam::123456789012:role/Read"


def nested(tags: object, **more: object) -> dict[str, object]:
    return {TAGS_CLAIM: {"principal_tags": tags, **more}}


def test_tags_come_in_the_nested_form() -> None:
    claims = nested({"Team": ["red"], "Cost": [""]}, transitive_tag_keys=["team"])
    tags = read_tags(claims)
    assert tags.tags == {"Team": "red", "Cost": ""}
    assert tags.transitive_keys == {"Team"}


def test_tags_come_in_the_flat_form() -> None:
    claims = {
        f"{PRINCIPAL_TAG_PREFIX}Team": "red",
        f"{PRINCIPAL_TAG_PREFIX}a/b": "c",
        TRANSITIVE_KEYS_CLAIM: ["Team"],
    }
    assert read_tags(claims).tags == {"Team": "red", "a/b": "c"}
    assert read_tags(claims).transitive_keys == {"Team"}


def test_without_the_claims_there_are_no_tags() -> None:
    assert read_tags({"sub": "x"}).tags == {}
    assert read_tags({TAGS_CLAIM: {}}).tags == {}


BAD_TAGS = of_file(__file__, "BAD_TAGS")


@rows("claims", BAD_TAGS.values(), ids=BAD_TAGS)
def test_tags_of_another_shape_are_refused(claims: dict[str, object]) -> None:
    with pytest.raises(OidcRejected, match="not in correct format") as caught:
        read_tags(claims)
    assert caught.value.reason is OidcReason.BAD_TAGS


def test_fifty_tags_pass() -> None:
    assert (
        len(read_tags(nested({f"k{n}": ["é /_.:=+-@"] for n in range(50)})).tags) == 50
    )


def test_a_source_identity_is_read_or_absent() -> None:
    assert read_source_identity({SOURCE_IDENTITY_CLAIM: "a@b.example"}) == "a@b.example"
    assert read_source_identity({}) is None


@pytest.mark.parametrize(
    "value", [None, "", "a", "x" * 65, "a b", "aws:x", 12, ["ab"], "ab\n", "é" * 3]
)
def test_a_source_identity_outside_its_alphabet_is_refused(value: object) -> None:
    with pytest.raises(OidcRejected):
        read_source_identity({SOURCE_IDENTITY_CLAIM: value})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (ROLE, {ROLE}),
        (f" {ROLE} ;{OTHER}; ", {ROLE, OTHER}),
        ([ROLE, f"{OTHER} ", 5, None, "no-arn", f"{ROLE};{OTHER}"[:0]], {ROLE, OTHER}),
        ("", set()),
        ([], set()),
        (["nothing"], set()),
        ("arn:aws:iam::123456789012:role/*", {"arn:aws:iam::123456789012:role/*"}),
        (5, set()),
        ({"role": ROLE}, set()),
        (False, set()),
    ],
)
def test_the_roles_claim_names_roles(value: object, expected: object) -> None:
    roles = read_allowed_roles({ROLES_CLAIM: value})
    assert roles == (expected if expected is None else frozenset(expected))


def test_an_absent_roles_claim_says_nothing() -> None:
    assert read_allowed_roles({}) is None
