"""What the directory's port promises of every kind of thing, on every database.

The entities are made from the fields of their classes: one has every field, with bytes
and texts that must survive as they are; the other only what it cannot do without.
"""

import enum
import json
import typing
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import NoneType, UnionType
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import fields as fields_of
from msgspec.structs import replace
from sqlalchemy import LargeBinary, Text, UniqueConstraint

from broker.model.account import Account, AccountId, format_access_key_id
from broker.model.document import UNREAD, UnreadDocumentError
from broker.model.page import PageRequest
from broker.stores.directory import kinds
from broker.stores.directory.accounts import (
    insert_account,
    remove_account,
    update_account,
)
from broker.stores.directory.identities import (
    delete_expired_tokens,
    find_instance_by_key,
    find_join_token,
    list_profiles_of_roles,
    list_virtual_mfa_devices,
)
from broker.stores.directory.policies import resource_policy_arns
from broker.stores.directory.sql import SqlDirectory
from broker.stores.directory.stored import Kind, is_document
from broker.stores.errors import AlreadyExistsError
from tests.support.policies import insert_policy

FIRST, SECOND = AccountId("111111111111"), AccountId("222222222222")
AT = datetime(2026, 3, 1, 12, 30, 15, 123457, tzinfo=UTC)
ODD = "ä\u2028 '\"\\%_"
OF_ACCOUNTS = [kind for kind in kinds.KINDS if kind is not kinds.ACCOUNT]
GIVEN: dict[str, Any] = {
    "attribute_mappings": {"x509SAN": ("DNS", "URI")},
    "lineage": ("111111111111", 0, "AIDA1", 0, 7, 0, 0, [["m", "k", "p", 1]]),
    "next_version": 2,
    "version_id": "v1",
    "attachment_count": 0,
    "boundary_count": 0,
}
"""Fields whose type does not say what they hold, or that others count."""
KEPT: dict[Kind[Any], tuple[str, ...]] = {
    kinds.MFA_DEVICE: ("state",),
    kinds.RESOURCE_POLICY: ("created_at",),
    kinds.UPSTREAM: ("created_at",),
}
"""Fields that an update leaves alone."""

DOCUMENTS: dict[Kind[Any], tuple[str, ...]] = {
    kinds.SAML_PROVIDER: ("metadata",),
    kinds.SERVER_CERTIFICATE: ("body", "chain"),
    kinds.SERVICE: ("definition",),
    kinds.RESOURCE_POLICY: ("document",),
    kinds.TRUST_ANCHOR: ("certificates",),
    kinds.CERTIFICATE_PROFILE: ("session_policy",),
    kinds.CERTIFICATE_LIST: ("data",),
    kinds.UPSTREAM: ("definition",),
    kinds.REPORT: ("body",),
}
"""Fields that lists leave out."""

LISTED = {
    "documents that every list shows": {
        "roles": ("trust_policy",),
        "user_credentials": ("body",),
        "provisioned_users": ("document",),
    },
    "sealed, or a digest": {
        "accounts": ("session_salt",),
        "login_profiles": ("sealed",),
        "access_keys": ("sealed_secret",),
        "mfa_devices": ("sealed_seed",),
        "user_credentials": ("sealed",),
        "server_certificates": ("sealed_key",),
        "saml_providers": ("private_keys",),
        "upstreams": ("sealed_secret",),
        "join_tokens": ("digest",),
        "service_tokens": ("digest",),
        "scim_tokens": ("digest",),
    },
    "short by the rules of their kind": {
        "accounts": ("quotas", "options", "password_policy"),
        "users": ("name", "tags"),
        "access_keys": ("status",),
        "groups": ("name",),
        "roles": ("name", "description", "tags"),
        "managed_policies": ("name", "description", "default_version_id", "tags"),
        "saml_providers": ("encryption_mode", "tags", "options"),
        "oidc_providers": ("url", "client_ids", "thumbprints", "tags", "options"),
        "ldap_providers": ("directory", "options"),
        "mfa_devices": ("serial", "tags"),
        "passkeys": ("serial", "credential_id", "public_key", "transports", "aaguid"),
        "user_credentials": ("status", "fingerprint", "details"),
        "server_certificates": ("name", "tags"),
        "instance_profiles": ("name", "tags"),
        "instances": ("region", "public_key", "lineage"),
        "join_tokens": ("created_by", "addresses", "lineage"),
        "deletion_tasks": ("status", "reason"),
        "service_tokens": ("addresses",),
        "scim_tokens": ("provider_arn", "addresses"),
        "trust_anchors": ("region", "name", "tags"),
        "certificate_profiles": (
            *("region", "name", "role_arns", "managed_policy_arns", "tags"),
            *("attribute_mappings", "created_by"),
        ),
        "certificate_lists": ("region", "name", "tags"),
        "provisioned_users": ("user_name",),
        "provisioned_groups": ("name",),
        "upstreams": ("access_key_id",),
    },
}
"""Every other text and blob, by why lists may read it."""


SCALARS: dict[Any, Callable[[int], Any]] = {
    bool: lambda _: True,
    int: lambda number: number,
    bytes: lambda number: b"\x00\xff" + bytes([number]) * 30,
    datetime: lambda number: AT + timedelta(microseconds=number),
}


def value_of(hint: Any, name: str, number: int) -> Any:
    """A value of this type; texts are in the order of the numbers."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if name in GIVEN:
        value = GIVEN[name]
    elif hint in SCALARS:
        value = SCALARS[hint](number)
    elif origin in {UnionType, typing.Union}:
        value = value_of(next(i for i in inner if i is not NoneType), name, number)
    elif isinstance(hint, type) and issubclass(hint, Struct):
        value = make(hint, number)
    elif origin in {tuple, Sequence}:
        value = (value_of(inner[0], "of", number),)
    elif "Mapping" in str(hint):
        value = {"Zoo": "1", "apple": ODD}
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        value = list(hint)[-1]
    elif name == "url":
        value = f"https://idp-{number}.example/x"
    else:
        is_name = name in {"name", "serial"} or name.endswith("_id")
        value = f"B{number}" if is_name else f"{name} {ODD} {number}"
    return value


def make(entity: Any, number: int, *, whole: bool = True) -> Any:
    """One of them, with every field or with those alone that have no default."""
    hints = typing.get_type_hints(entity)
    params = {
        field.name: value_of(hints[field.name], field.name, number)
        for field in fields_of(entity)
        if whole or field.required or field.name == "next_version"
    }
    if "account" in params:
        params["account"] = FIRST
    if "access_key_id" in params:
        params["access_key_id"] = format_access_key_id("AKIA", FIRST, number)
    return entity(**params)


def of(kind: Kind[Any], number: int, *, whole: bool = True) -> Any:
    return make(kind.stored.entity, number, whole=whole)


async def insert(change: Any, kind: Kind[Any], *entities: Any) -> None:
    for entity in entities:
        if kind is kinds.MANAGED_POLICY:
            await insert_policy(change, entity)
        else:
            await change.insert(kind, entity)


def column(kind: Kind[Any], entity: Any, name: str) -> str:
    """As the row has it."""
    text: str = kind.stored.values(entity)[name]
    return text


def changed(kind: Kind[Any], entity: Any) -> Any:
    """The same thing with another value in every field that an update writes."""
    other, fields = of(kind, 3), fields_of(entity)
    stay = {"account", kind.key, *kind.kept, "serial", "arn", "default_version"}
    stay |= {"state", "next_version"} | {f"{kind.key.removesuffix('_key')}"}
    params = {f.name: getattr(other, f.name) for f in fields if f.name not in stay}
    return replace(entity, **params)


def each_listed(kind: Kind[Any], *entities: Any) -> tuple[Any, ...]:
    """As lists have them."""
    if kind is kinds.MANAGED_POLICY:
        return tuple(
            replace(
                entity,
                default_version=replace(entity.default_version, document=UNREAD),
            )
            for entity in entities
        )
    unread = dict.fromkeys(DOCUMENTS.get(kind, ()), UNREAD)
    return tuple(replace(entity, **unread) for entity in entities)


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda kind: kind.table.name)
def test_every_long_text_is_a_document_or_says_why_not(kind: Kind[Any]) -> None:
    columns = [
        column
        for column in kind.table.c
        if isinstance(column.type, LargeBinary)
        # Keys have a collation of their own on PostgreSQL.
        or (isinstance(column.type, Text) and not column.type._variant_mapping)
    ]
    documents = {column.name for column in columns if is_document(column)}
    assert documents == set(DOCUMENTS.get(kind, ()))
    listed = [
        name for reason in LISTED.values() for name in reason.get(kind.table.name, ())
    ]
    assert sorted(listed) == sorted(
        column.name for column in columns if not is_document(column)
    )
    # SQLite reads a row from its beginning to the last column that is asked for.
    last = [column.name for column in kind.table.c][-len(documents) :]
    assert not documents or set(last) == documents


def test_a_document_that_was_not_read_cannot_be_used() -> None:
    assert repr(UNREAD) == "<unread>"
    assert [UNREAD] == [UNREAD]
    for use in (str, len, bool, hash, iter, json.loads, lambda text: text.encode()):
        with pytest.raises((UnreadDocumentError, TypeError)):
            use(UNREAD)
    with pytest.raises(UnreadDocumentError):
        assert UNREAD == ""  # what must not be false either
    with pytest.raises(UnreadDocumentError):
        f"{UNREAD}"


def unique_fields(kind: Kind[Any]) -> list[str]:
    return [
        column.name
        for constraint in kind.table.constraints
        if isinstance(constraint, UniqueConstraint) and len(constraint.columns) == 2
        for column in constraint.columns
        if column.name in {f.name for f in fields_of(kind.stored.entity)}
        and column.name != "account"
    ]


async def make_account(change: Any, account: AccountId) -> Account:
    made: Account = replace(make(Account, int(account[0])), account_id=account)
    await insert_account(change, made)
    return made


@pytest.mark.parametrize("kind", OF_ACCOUNTS, ids=lambda kind: kind.table.name)
async def test_a_kind(directory: SqlDirectory, kind: Kind[Any]) -> None:
    first, second = of(kind, 1), of(kind, 2, whole=False)
    key = column(kind, first, kind.key)
    assert await directory.find(kind, FIRST, key) is None
    assert (await directory.page_of(kind, FIRST, PageRequest())).items == ()
    async with directory.change(FIRST) as change:
        await make_account(change, FIRST)
        await insert(change, kind, second, first)
        with pytest.raises(AlreadyExistsError, match=kind.label):
            await insert(change, kind, first)
        for field in unique_fields(kind):
            same = replace(of(kind, 3), **{field: getattr(first, field)})
            with pytest.raises(AlreadyExistsError):
                await insert(change, kind, same)
        assert await change.count(kind, FIRST) == 2
    assert await directory.find(kind, FIRST, key) == first
    assert await directory.find(kind, FIRST, f"{key}\0") is None
    assert await directory.all_of(kind, FIRST) == each_listed(kind, first, second)
    whole = directory.with_documents(kind, await directory.all_of(kind, FIRST))
    assert [entity async for entity in whole] == [first, second]
    page = await directory.page_of(kind, FIRST, PageRequest(None, 1))
    assert page.items == each_listed(kind, first)
    rest = await directory.page_of(kind, FIRST, PageRequest(page.marker, 1))
    assert (rest.items, rest.marker) == (each_listed(kind, second), None)
    # Another account has none of it.
    assert await directory.find(kind, SECOND, key) is None
    assert await directory.all_of(kind, SECOND) == ()
    assert await directory.count(kind, SECOND) == 0
    async with directory.change(FIRST) as change:
        kept = {field: getattr(of(kind, 3), field) for field in KEPT.get(kind, ())}
        await change.update(kind, replace(changed(kind, second), **kept))
        await change.remove(kind, first)
    (left,) = await directory.all_of(kind, FIRST)
    assert (left,) == each_listed(kind, changed(kind, second))
    # Of a list, it is written without what it lacks.
    async with directory.change(FIRST) as change:
        await change.update(kind, left)
    left_key = column(kind, left, kind.key)
    assert await directory.find(kind, FIRST, left_key) == changed(kind, second)
    marks = (await directory.revocations(FIRST)).not_before_ms
    assert set(marks) == ({first.arn, key} if kind.vouches else set())


NAMED = [kind for kind in OF_ACCOUNTS if kind.name]


@pytest.mark.parametrize("kind", NAMED, ids=lambda kind: kind.table.name)
async def test_a_name(directory: SqlDirectory, kind: Kind[Any]) -> None:
    first, second = of(kind, 1), of(kind, 2)
    name = column(kind, first, kind.name)
    has_case = not kind.name.endswith("_key")
    field = "url" if hasattr(first, "url") else "name"
    async with directory.change(FIRST) as change:
        await insert(change, kind, first)
        assert await change.named(kind, FIRST, f"{name}\0") is None
        if kind.name != kind.key:
            taken = getattr(first, field)
            same = replace(second, **{field: taken if has_case else taken.swapcase()})
            with pytest.raises(AlreadyExistsError, match=kind.label):
                await insert(change, kind, same)
            await insert(change, kind, second)
            if not has_case:
                with pytest.raises(AlreadyExistsError):
                    await change.update(kind, same)
                first = replace(first, name=first.name.swapcase())
                await change.update(kind, first)
    assert await directory.named(kind, FIRST, name) == first
    entity = await directory.named(kind, FIRST, name.swapcase())
    assert entity == (None if has_case else first)
    assert await directory.named(kind, SECOND, name) is None


async def test_an_account_takes_all_that_is_its_own_along(
    directory: SqlDirectory,
) -> None:
    for account in (FIRST, SECOND):
        async with directory.change(account) as change:
            made = await make_account(change, account)
            assert await change.find(kinds.ACCOUNT, account) == made
            made = replace(made, alias=None, quotas={"roles": 5}, password_policy=None)
            await update_account(change, made)
            assert await change.find(kinds.ACCOUNT, account) == made
            for kind in OF_ACCOUNTS:
                number = 1 + (account == SECOND)
                await insert(change, kind, replace(of(kind, number), account=account))
    async with directory.change(FIRST) as change:
        (made,) = await directory.all_of(kinds.ACCOUNT, FIRST)
        await remove_account(change, made)
    for kind in OF_ACCOUNTS:
        assert await directory.all_of(kind, FIRST) == (), kind.label
        assert await directory.count(kind, SECOND) == 1, kind.label


OWNING = [
    (kind, owned, column.name)
    for kind in OF_ACCOUNTS
    for column in kind.owns
    for owned in OF_ACCOUNTS
    if owned.table is column.table
]
"""The last is the column; tokens call it ``owner_id``."""


@pytest.mark.parametrize(
    ("kind", "owned", "field"), OWNING, ids=lambda value: getattr(value, "label", None)
)
async def test_what_a_kind_owns_goes_with_it(
    directory: SqlDirectory, kind: Kind[Any], owned: Kind[Any], field: str
) -> None:
    owner = of(kind, 1)
    field = field if hasattr(owned.stored.entity, field) else "owner_id"
    mine = replace(of(owned, 1), **{field: column(kind, owner, kind.key)})
    async with directory.change(FIRST) as change:
        await insert(change, kind, owner)
        await insert(change, owned, mine, of(owned, 2))
        await change.remove(kind, owner)
    assert await directory.all_of(owned, FIRST) == each_listed(owned, of(owned, 2))


@pytest.mark.parametrize("kind", [kinds.RESOURCE_POLICY, kinds.UPSTREAM])
async def test_what_is_put_again_keeps_the_time_of_its_making(
    directory: SqlDirectory, kind: Kind[Any]
) -> None:
    first, second = of(kind, 1), of(kind, 2)
    again = replace(second, **{kind.key: getattr(first, kind.key)})
    async with directory.change(FIRST) as change:
        await change.put(kind, first)
        await change.put(kind, again)
    kept = replace(again, created_at=first.created_at)
    assert await directory.all_of(kind, FIRST) == each_listed(kind, kept)
    assert await directory.find(kind, FIRST, column(kind, kept, kind.key)) == kept


def test_no_repr_shows_what_proves_something() -> None:
    for kind in OF_ACCOUNTS:
        text = repr(of(kind, 1))
        for field in fields_of(kind.stored.entity):
            if "digest" in field.name or "sealed" in field.name:
                assert f"{field.name}=" not in text, kind.label


async def test_things_are_found_by_what_else_they_have(
    directory: SqlDirectory,
) -> None:
    machine, join, device, profile, policy, token, several = (
        of(kind, 1)
        for kind in (
            *(kinds.INSTANCE, kinds.JOIN_TOKEN, kinds.MFA_DEVICE),
            *(kinds.INSTANCE_PROFILE, kinds.RESOURCE_POLICY, kinds.SCIM_TOKEN),
            kinds.CERTIFICATE_LIST,
        )
    )
    hardware = replace(of(kinds.MFA_DEVICE, 2), virtual=False)
    later = replace(of(kinds.JOIN_TOKEN, 2), expires_at=AT + timedelta(hours=1))
    async with directory.change(FIRST) as change:
        await insert(change, kinds.INSTANCE, machine)
        await insert(change, kinds.JOIN_TOKEN, join, later)
        await insert(change, kinds.MFA_DEVICE, device, hardware)
        await insert(
            change, kinds.INSTANCE_PROFILE, profile, of(kinds.INSTANCE_PROFILE, 2)
        )
        await insert(change, kinds.RESOURCE_POLICY, policy)
        await insert(
            change, kinds.CERTIFICATE_LIST, several, of(kinds.CERTIFICATE_LIST, 2)
        )
        await insert(change, kinds.SCIM_TOKEN, token)
    roles = [profile.role_id, "none"]
    for account, is_there in ((FIRST, True), (SECOND, False)):
        instance = await find_instance_by_key(directory, account, machine.public_key)
        assert instance == (machine if is_there else None)
        admits = await find_join_token(directory, account, join.digest)
        assert admits == (join if is_there else None)
        arns = await resource_policy_arns(directory, account)
        assert arns == ({policy.arn} if is_there else frozenset())
        held = await list_profiles_of_roles(directory, account, roles)
        assert held == ({profile.role_id: (profile,)} if is_there else {})
        of_anchor = await directory.all_of(
            kinds.CERTIFICATE_LIST, account, anchor_id=several.anchor_id
        )
        own_lists = each_listed(kinds.CERTIFICATE_LIST, several)
        assert of_anchor == (own_lists if is_there else ())
    for assigned, listed in ((True, (device,)), (False, ())):
        page = await list_virtual_mfa_devices(
            directory, FIRST, PageRequest(), assigned=assigned
        )
        assert page.items == listed
    async with directory.change(FIRST) as change:
        expired = AT + timedelta(minutes=1)
        await delete_expired_tokens(change, kinds.JOIN_TOKEN, FIRST, expired)
    assert await directory.all_of(kinds.JOIN_TOKEN, FIRST) == (later,)
