"""What clients of SCIM send, within bounds: bodies, patches, queries."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from broker.protocols.scim.requests import (
    MEMBERS_MAX,
    OPERATIONS_MAX,
    PAGE_MAX,
    apply_group_patch,
    apply_user_patch,
    read_group,
    read_group_patch,
    read_listing,
    read_user,
    read_user_patch,
)
from broker.protocols.scim.resources import (
    EMAILS_MAX,
    TEXT_MAX,
    Group,
    ScimRejected,
    User,
)
from tests.support.rows import of_file, rows
from tests.support.scim import ENTERPRISE, GROUP, PATCH_OP, USER

ENTRA_USER = of_file(__file__, "ENTRA_USER")
OKTA_USER = of_file(__file__, "OKTA_USER")


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def patch(*operations: dict[str, Any]) -> bytes:
    return encoded({"schemas": [PATCH_OP], "Operations": list(operations)})


def patched(user: User, *operations: dict[str, Any]) -> User:
    return apply_user_patch(read_user_patch(patch(*operations)), user)


def rejection(read: Any, *params: Any) -> ScimRejected:
    with pytest.raises(ScimRejected) as rejected:
        read(*params)
    return rejected.value


def test_what_entra_and_okta_create() -> None:
    entra = read_user(encoded(ENTRA_USER))
    assert entra.active is True
    assert entra.external_id == ENTRA_USER["externalId"]
    assert entra.address.endswith("@testuser.com")
    assert entra.label == "givenName familyName"
    okta = read_user(encoded(OKTA_USER))
    kept = json.dumps(okta.model_dump())
    assert okta.address == "test.user@okta.local"
    for dropped in ("password", "1mz050nq", "locale", "groups"):
        assert dropped not in kept


@pytest.mark.parametrize(
    ("given", "active"),
    [("False", False), ("True", True), ("false", False), (True, True), (None, None)],
)
def test_active_may_be_a_text(given: object, active: bool | None) -> None:
    user = read_user(encoded({"schemas": [USER], "userName": "a", "active": given}))
    assert user.active is active


@rows("name, value")
def test_what_only_the_broker_sets_is_not_taken_from_a_client(
    name: str, value: object
) -> None:
    body = {"schemas": [USER], "userName": "a", name: value}
    for replaces in (False, True):
        user = read_user(encoded(body), replaces=replaces)
        assert user.id is None
        assert user.meta is None
        assert user.groups is None


@pytest.mark.parametrize(
    ("body", "keyword"),
    [
        (b"", "invalidSyntax"),
        (b"{", "invalidSyntax"),
        (b"[]", "invalidSyntax"),
        (b"null", "invalidSyntax"),
        (b'{"userName": "a", "userName": "b"}', "invalidSyntax"),
        (b"[" * 5000, "invalidSyntax"),
        (b'{"a":' * 5000, "invalidSyntax"),
        (encoded({"schemas": [USER]}), "invalidValue"),
        (encoded({"schemas": [USER], "userName": ""}), "invalidValue"),
        (encoded({"schemas": [USER], "userName": 5}), "invalidValue"),
        (
            encoded({"schemas": [USER], "userName": "a" * (TEXT_MAX + 1)}),
            "invalidValue",
        ),
        (encoded({"schemas": [USER], "userName": "a\0b"}), "invalidValue"),
        (
            encoded({"schemas": [USER], "userName": "a", "externalId": "\0"}),
            "invalidValue",
        ),
        (
            encoded({"schemas": [USER], "userName": "a", "active": "maybe"}),
            "invalidValue",
        ),
        (
            encoded(
                {"schemas": [USER], "userName": "a", "emails": [{}] * (EMAILS_MAX + 1)}
            ),
            "invalidValue",
        ),
    ],
)
def test_bodies_that_are_not_a_user(body: bytes, keyword: str) -> None:
    assert rejection(read_user, body).scim_type == keyword


def test_a_body_has_so_many_values_even_of_what_is_not_kept() -> None:
    body = {"schemas": [USER], "userName": "a", "phoneNumbers": [1] * 10_002}
    assert rejection(read_user, encoded(body)).scim_type == "tooMany"
    body["phoneNumbers"] = [1] * 9000
    assert read_user(encoded(body)).user_name == "a"


def test_the_address_that_counts() -> None:
    def address(*emails: dict[str, Any]) -> str:
        body = {"schemas": [USER], "userName": "a", "emails": list(emails)}
        return read_user(encoded(body)).address

    home, work = {"type": "home", "value": "h"}, {"type": "work", "value": "w"}
    assert address() == ""
    assert address(home) == "h"
    assert address(home, work) == "w"
    assert address(work, {**home, "primary": True}) == "h"
    assert address({"type": "work"}, home) == "h"


@rows("operation")
def test_ways_to_deactivate(operation: dict[str, Any]) -> None:
    user = patched(User(user_name="a", active=True), operation)
    assert user.active is False


def test_patches_of_entra_and_okta() -> None:
    user = patched(
        User(user_name="a", active=True),
        {"op": "Add", "path": 'emails[type eq "work"].value', "value": "a@b.c"},
        {"op": "Replace", "path": "name.familyName", "value": "Jones"},
        {"op": "Add", "path": f"{ENTERPRISE}:department", "value": "x"},
        {"op": "Add", "path": 'phoneNumbers[type eq "work"].value', "value": "1"},
        {"op": "Replace", "value": {"displayName": "B", "name.givenName": "Barb"}},
    )
    assert user.address == "a@b.c"
    assert user.label == "B"
    assert user.name is not None
    assert (user.name.given_name, user.name.family_name) == ("Barb", "Jones")


@rows("operation, keyword")
def test_patches_that_are_refused(operation: dict[str, Any], keyword: str) -> None:
    rejected = rejection(patched, User(user_name="a", active=True), operation)
    assert rejected.scim_type in {keyword, "invalidFilter"}


def test_a_path_is_no_longer_than_its_bound() -> None:
    path = f'emails[type eq "{"w" * 1000}"].value'
    operation = {"op": "replace", "path": path, "value": "a"}
    assert (
        "at most 1000 characters" in rejection(read_user_patch, patch(operation)).detail
    )


def test_a_patch_makes_no_more_of_a_user_than_a_whole_one_may_have() -> None:
    halves = [
        {
            "op": "add",
            "path": "emails",
            "value": [{"value": f"{n}{m}"} for m in range(15)],
        }
        for n in "ab"
    ]
    assert len(patched(User(user_name="a", active=True), halves[0]).emails or ()) == 15
    one_by_one = [
        {"op": "add", "path": f'emails[type eq "{n}"].value', "value": "a"}
        for n in range(EMAILS_MAX + 1)
    ]
    for operations in (halves, one_by_one):
        rejected = rejection(patched, User(user_name="a", active=True), *operations)
        assert rejected.scim_type == "invalidValue"


def test_a_patch_has_a_bound() -> None:
    entry = {"op": "replace", "path": "active", "value": True}
    read_user_patch(patch(*[entry] * OPERATIONS_MAX))
    assert rejection(read_user_patch, patch(*[entry] * (OPERATIONS_MAX + 1)))
    assert rejection(read_user_patch, patch())
    assert rejection(read_user_patch, encoded({"schemas": [PATCH_OP]}))


MEMBER = [{"value": "1"}]
STEPS = of_file(__file__, "STEPS")


@pytest.mark.parametrize(("operation", "step"), STEPS)
def test_changes_of_members(operation: dict[str, Any], step: Any) -> None:
    read = read_group_patch(patch(operation))
    assert read.members.steps == (step,)
    assert read.patch is None


def test_members_and_names_in_one_patch() -> None:
    read = read_group_patch(
        patch(
            {"op": "replace", "value": {"displayName": "B", "members": MEMBER}},
            {"op": "replace", "path": "externalId", "value": "7"},
        )
    )
    group = Group(display_name="A")
    assert read.patch is not None
    group = apply_group_patch(read.patch, group)
    assert (group.display_name, group.external_id) == ("B", "7")
    assert read.members.steps == ((("1",), None),)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "members.value", "value": "1"},
        {"op": "remove", "path": "members.value"},
        {"op": "remove", "path": "members.$ref"},
        {"op": "remove", "path": 'members[value eq "1"].value'},
        {"op": "remove", "path": 'members[value ne "1"]'},
        {"op": "remove", "path": 'members[value eq "1" or value eq "2"]'},
        {"op": "add", "path": 'members[value eq "1"]', "value": MEMBER},
        {"op": "add", "path": "members", "value": ["1"]},
        {"op": "add", "path": "members", "value": [{"display": "x"}]},
        {"op": "add", "path": "members", "value": [{"value": 1}]},
        {"op": "add", "path": "members", "value": [{"value": ""}]},
        {"op": "remove", "path": "members", "value": [{"value": "\0"}]},
        {"op": "remove", "path": 'members[value eq "\\u0000"]'},
        {
            "op": "add",
            "path": "members",
            "value": [{"value": str(n)} for n in range(MEMBERS_MAX + 1)],
        },
    ],
)
def test_changes_of_members_that_are_refused(operation: dict[str, Any]) -> None:
    assert rejection(read_group_patch, patch(operation)).scim_type in {
        *("invalidPath", "invalidValue", "invalidFilter", "tooMany"),
        "mutability",
    }


@rows("operation")
def test_members_are_never_passed_over(operation: dict[str, Any]) -> None:
    """Somebody would stay in the group, and the directory would not learn of it."""
    read = read_group_patch(patch(operation))
    assert read.patch is not None
    with pytest.raises(ScimRejected):
        apply_group_patch(read.patch, Group(display_name="A"))


@pytest.mark.parametrize("op", ["add", "replace", "remove"])
def test_an_empty_path_without_attributes_is_refused(op: str) -> None:
    operation = patch({"op": op, "path": "", "value": "x"})

    def apply(body: bytes) -> None:
        read = read_group_patch(body)
        assert read.patch is not None
        apply_group_patch(read.patch, Group(display_name="A"))

    assert rejection(apply, operation)


def test_a_group_names_a_bounded_number_of_members() -> None:
    members = [{"value": str(number)} for number in range(MEMBERS_MAX + 1)]
    body: dict[str, Any] = {"schemas": [GROUP], "displayName": "A", "members": members}
    assert rejection(read_group, encoded(body)).scim_type == "tooMany"
    # They are counted before any is looked at.
    body = {**body, "members": [5] * (MEMBERS_MAX + 1)}
    assert rejection(read_group, encoded(body)).scim_type == "tooMany"
    halves = [
        {"op": "add", "path": "members", "value": members[:600]},
        {"op": "remove", "path": "members", "value": members[600:]},
    ]
    assert rejection(read_group_patch, patch(*halves)).scim_type == "tooMany"


def listing(**params: object) -> Any:
    return read_listing(urlencode(params).encode(), User)


def test_queries() -> None:
    assert (listing().start, listing().count) == (1, PAGE_MAX)
    assert listing(startIndex=0, count=-1).start == 1
    assert listing(count=-1).count == 0
    assert listing(count=5000).count == PAGE_MAX
    assert listing(startIndex=7).start == 7
    assert listing(attributes="userName,groups.value").shows("groups")
    assert not listing(attributes="userName").shows("groups")
    assert not listing(excludedAttributes="emails, groups").shows("groups")
    assert not listing(excludedAttributes=f"{USER}:groups").shows("groups")


@pytest.mark.parametrize(
    "query",
    [
        b"count=many",
        b"startIndex=99999999999999999999",
        b"count=1&COUNT=2",
        b"filter=%ff",
        b"attributes=" + b"a," * 2000,
        b"attributes=userName&excludedAttributes=emails",
        b"&".join(b"x%d=1" % number for number in range(30)),
        b"x=" + b"a" * 20_000,
    ],
)
def test_queries_that_are_refused(query: bytes) -> None:
    rejection(read_listing, query, User)
