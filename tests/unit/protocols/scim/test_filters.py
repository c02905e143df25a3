"""The filters of identity providers, and those that are refused by name."""

from typing import Any

import pytest
from scim2_models import Resource

from broker.protocols.scim.filters import (
    FILTER_CHARACTERS_MAX,
    FilterCondition,
    read_filter,
)
from broker.protocols.scim.requests import rejecting
from broker.protocols.scim.resources import Group, ScimRejected, User
from tests.support.rows import rows
from tests.support.scim import ENTERPRISE, USER

SUPPORTED: list[tuple[type[Resource[Any]], str, list[tuple[str, object]]]] = [
    (User, 'userName eq "bjensen"', [("userName", "bjensen")]),
    (User, 'USERNAME Eq "bjensen"', [("userName", "bjensen")]),
    (User, f'{USER}:userName eq "b"', [("userName", "b")]),
    (User, 'externalId eq "7"', [("externalId", "7")]),
    (User, 'id eq "SCMU1"', [("id", "SCMU1")]),
    (User, 'emails eq "a@b.c"', [("emails", "a@b.c")]),
    (User, 'emails.value eq "a@b.c"', [("emails", "a@b.c")]),
    (User, 'emails[type eq "work"].value eq "a@b.c"', [("emails", "a@b.c")]),
    (User, 'emails[type eq "work" and value eq "a"]', [("emails", "a")]),
    (User, "active eq true", [("active", True)]),
    (User, 'active eq "False"', [("active", False)]),
    (User, 'userName eq "b" and active eq true', [("userName", "b"), ("active", True)]),
    (Group, 'displayName eq "Admins"', [("displayName", "Admins")]),
    (
        Group,
        'id eq "SCMG1" and members eq "SCMU1"',
        [("id", "SCMG1"), ("members", "SCMU1")],
    ),
    (Group, 'members[value eq "SCMU1"]', [("members", "SCMU1")]),
    (Group, 'members.value eq "SCMU1"', [("members", "SCMU1")]),
]


@pytest.mark.parametrize(("kind", "text", "conditions"), SUPPORTED)
def test_supported_filters(
    kind: type[Resource[Any]], text: str, conditions: list[tuple[str, object]]
) -> None:
    with rejecting():
        filter_conditions = read_filter(text, kind)
    assert filter_conditions == tuple(
        FilterCondition(*condition) for condition in conditions
    )  # type: ignore[arg-type]


@rows(
    "text",
    [
        'userName sw "b"',
        'userName co "b"',
        'userName ne "b"',
        "userName pr",
        'userName eq "b" or userName eq "c"',
        'not (userName eq "b")',
        'meta.lastModified gt "2026-01-01T00:00:00Z"',
        'displayName eq "B"',
        'name.givenName eq "B"',
        'phoneNumbers eq "1"',
        'members eq "SCMU1"',
        f'{ENTERPRISE}:department eq "x"',
        f'{ENTERPRISE}:userName eq "x"',
        'urn:example:userName eq "x"',
        'emails[type eq "work"]',
        'emails[value eq "a" and value eq "b"]',
        'emails[display eq "a" and value eq "b"]',
        'emails[value sw "a"]',
        "userName eq null",
        "userName eq 5",
        "active eq 5",
        "active eq null",
        'userName eq "\\u0000"',
        'emails[value eq "\\u0000"]',
        'externalId eq "\\ud83d"',
        "",
        "(",
        'userName eq "b',
        "not(" * 200 + 'userName eq "b"' + ")" * 200,
        f'userName eq "{"a" * FILTER_CHARACTERS_MAX}"',
        'userName eq "b" and active eq true and username eq "c"',
        'emails eq "a" and emails[type eq "work"].value eq "b"',
    ],
)
def test_other_filters_are_refused(text: str) -> None:
    with pytest.raises(ScimRejected) as rejected, rejecting():
        read_filter(text, User)
    assert rejected.value.scim_type in {"invalidFilter", "invalidValue"}
