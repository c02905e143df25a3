"""The table of condition keys is complete and knows tags and issuers."""

import pytest

from broker.policy import CONTEXT_KEYS, KeySource, KeyType, find_context_key
from tests.support.rows import rows


@rows("name")
def test_knows_the_key_in_any_case(name: str) -> None:
    context_key = find_context_key(name)
    assert context_key is not None
    assert find_context_key(name.upper()) == context_key


@pytest.mark.parametrize("name", ["aws:nothing", "nothing", "x:aud", "saml:zzz", ""])
def test_knows_no_other_key(name: str) -> None:
    assert find_context_key(name) is None


def test_multivalued_keys_are_told_apart() -> None:
    many = {key.name for key in CONTEXT_KEYS.values() if key.multivalued}
    assert {"aws:TagKeys", "sts:TransitiveTagKeys", "saml:mail"} <= many
    assert not many & {"aws:username", "saml:aud", "saml:sub"}


def test_types_are_those_of_simulation() -> None:
    context_key = find_context_key("aws:PrincipalArn")
    assert context_key is not None
    assert (context_key.type, context_key.type.entry_type) == (KeyType.ARN, "string")
    assert {key.type.entry_type for key in CONTEXT_KEYS.values()} <= {
        "string",
        "numeric",
        "boolean",
        "date",
        "ip",
        "binary",
    }


def test_every_key_says_where_it_comes_from() -> None:
    assert {key.source for key in CONTEXT_KEYS.values()} == set(KeySource)
    assert all(key.when for key in CONTEXT_KEYS.values())
