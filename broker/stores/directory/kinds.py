"""What is read from the directory as one, and which rows each depends on.

A change writes which rows it inserted, updated or deleted, each by the columns that
kinds are looked up by. A kind is outdated under the key that such a row has.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, Table

from broker.model.account import Account, AccountId
from broker.model.entities import (
    AccessKey,
    InlinePolicy,
    LdapProvider,
    LoginProfile,
    OidcProvider,
    Role,
    SamlProvider,
    User,
)
from broker.model.machines import Instance, InstanceProfile
from broker.model.provisioned import Membership, ProvisionedUser, ScimToken
from broker.model.registered import RegisteredService, ServiceToken
from broker.model.revocation import Revocations
from broker.model.roles_anywhere import (
    CertificateList,
    CertificateProfile,
    TrustAnchor,
)
from broker.model.upstream import Upstream
from broker.stores.directory.entity_tables import AnyRow
from broker.stores.directory.port import DirectoryReader
from broker.stores.schema import (
    ACCESS_KEYS,
    ACCOUNTS,
    ATTACHMENTS,
    CERTIFICATE_LISTS,
    CERTIFICATE_PROFILES,
    GROUP_MEMBERS,
    INLINE_POLICIES,
    INSTANCE_PROFILES,
    INSTANCES,
    LDAP_PROVIDERS,
    LOGIN_PROFILES,
    MANAGED_POLICIES,
    OIDC_PROVIDERS,
    PROVISIONED_MEMBERS,
    PROVISIONED_USERS,
    RESOURCE_POLICIES,
    REVOCATIONS,
    ROLES,
    SAML_PROVIDERS,
    SCIM_TOKENS,
    SERVICE_TOKENS,
    SERVICES,
    TRUST_ANCHORS,
    UPSTREAMS,
    USERS,
)

Value = TypeVar("Value")
Key = str | tuple[str, ...]
"""One value for each column that the kind is looked up by; an empty text for none."""

WHOLE = ""
"""The key of a kind of which an account has one."""

GROUPS_OF_PERSON_MAX = 1000

ROWS_MAX = 200
"""Of a table, named in a change; beyond, the whole table counts as changed."""


@dataclass(frozen=True, eq=False)
class Kind(Generic[Value]):
    """How something is read, and the columns by which rows of a table are its own.

    A table without columns outdates the kind with any row.
    """

    load: Callable[[DirectoryReader, AccountId, Any], Awaitable[Value]]
    rows: Mapping[Table, tuple[Column[Any], ...]]


async def _load_service_tokens(
    directory: DirectoryReader, account: AccountId, _: Key
) -> Mapping[bytes, tuple[ServiceToken, RegisteredService]]:
    services = await directory.list_services(account)
    by_id = {service.service_id: service for service in services}
    return {
        token.digest: (token, by_id[token.service_id])
        for token in await directory.list_service_tokens(account)
        if token.service_id in by_id
    }


async def _load_scim_tokens(
    directory: DirectoryReader, account: AccountId, _: Key
) -> Mapping[bytes, ScimToken]:
    return {one.digest: one for one in await directory.list_scim_tokens(account)}


async def _load_policies_of(
    directory: DirectoryReader, account: AccountId, owner_id: str
) -> tuple[tuple[InlinePolicy, ...], tuple[str, ...]]:
    inline = await directory.list_inline_policies(account, owner_id)
    return inline, await directory.list_attachments(account, owner_id)


async def _load_group_ids(
    directory: DirectoryReader, account: AccountId, user_id: str
) -> tuple[str, ...]:
    groups = await directory.list_user_groups(account, user_id)
    return tuple(group.group_id for group in groups)


async def _load_policy_text(
    directory: DirectoryReader, account: AccountId, name: str
) -> str | None:
    policy = await directory.find_policy(account, name)
    return None if policy is None else policy.default_version.document


async def _load_resource_policy(
    directory: DirectoryReader, account: AccountId, arn: str
) -> str | None:
    policy = await directory.find_resource_policy(account, arn)
    return None if policy is None else policy.document


def _people_by(attribute: str, column: Column[Any]) -> Kind[Sequence[ProvisionedUser]]:
    async def load(
        directory: DirectoryReader, account: AccountId, key: tuple[str, str]
    ) -> Sequence[ProvisionedUser]:
        provider_id, value = key
        return await directory.list_provisioned_people(
            account, provider_id, attribute, value
        )

    return Kind(load, {PROVISIONED_USERS: (PROVISIONED_USERS.c.provider_id, column)})


ACCOUNT = Kind[Account | None](lambda d, a, _: d.find_account(a), {ACCOUNTS: ()})
ROLE = Kind[Role | None](
    lambda d, a, key: d.find_role(a, key), {ROLES: (ROLES.c.name_key,)}
)
ROLE_BY_ID = Kind[Role | None](
    lambda d, a, key: d.find_role_by_id(a, key), {ROLES: (ROLES.c.role_id,)}
)
USER = Kind[User | None](
    lambda d, a, key: d.find_user(a, key), {USERS: (USERS.c.name_key,)}
)
USER_BY_ID = Kind[User | None](
    lambda d, a, key: d.find_user_by_id(a, key), {USERS: (USERS.c.user_id,)}
)
LOGIN_PROFILE = Kind[LoginProfile | None](
    lambda d, a, key: d.find_login_profile(a, key),
    {LOGIN_PROFILES: (LOGIN_PROFILES.c.user_id,)},
)
ACCESS_KEY = Kind[AccessKey | None](
    lambda d, _, key: d.find_access_key(key),
    {ACCESS_KEYS: (ACCESS_KEYS.c.access_key_id,)},
)
POLICIES_OF = Kind[tuple[tuple[InlinePolicy, ...], tuple[str, ...]]](
    _load_policies_of,
    {
        INLINE_POLICIES: (INLINE_POLICIES.c.owner_id,),
        ATTACHMENTS: (ATTACHMENTS.c.owner_id,),
    },
)
"""The inline policies of a user, role or group, and the ARNs of those attached."""

GROUP_IDS = Kind[tuple[str, ...]](
    _load_group_ids, {GROUP_MEMBERS: (GROUP_MEMBERS.c.user_id,)}
)
"""The groups that a user is in."""

POLICY_TEXT = Kind[str | None](
    _load_policy_text, {MANAGED_POLICIES: (MANAGED_POLICIES.c.name_key,)}
)
"""The version in force of a managed policy; its row names which one that is."""

SAML_PROVIDER = Kind[SamlProvider | None](
    lambda d, a, key: d.find_saml_provider(a, key),
    {SAML_PROVIDERS: (SAML_PROVIDERS.c.name,)},
)
OIDC_PROVIDER = Kind[OidcProvider | None](
    lambda d, a, key: d.find_oidc_provider(a, key),
    {OIDC_PROVIDERS: (OIDC_PROVIDERS.c.host_and_path,)},
)
LDAP_PROVIDER = Kind[LdapProvider | None](
    lambda d, a, key: d.find_ldap_provider(a, key),
    {LDAP_PROVIDERS: (LDAP_PROVIDERS.c.name,)},
)
REVOKED = Kind[Revocations](lambda d, a, _: d.revocations(a), {REVOCATIONS: ()})
ANCHOR = Kind[TrustAnchor | None](
    lambda d, a, key: d.find_trust_anchor(a, key),
    {TRUST_ANCHORS: (TRUST_ANCHORS.c.anchor_id,)},
)
CERTIFICATE_PROFILE = Kind[CertificateProfile | None](
    lambda d, a, key: d.find_certificate_profile(a, key),
    {CERTIFICATE_PROFILES: (CERTIFICATE_PROFILES.c.profile_id,)},
)
LISTS_OF_ANCHOR = Kind[tuple[CertificateList, ...]](
    lambda d, a, key: d.list_lists_of_anchor(a, key),
    {CERTIFICATE_LISTS: (CERTIFICATE_LISTS.c.anchor_id,)},
)
UPSTREAMS_OF = Kind[tuple[Upstream, ...]](
    lambda d, a, _: d.list_upstreams(a), {UPSTREAMS: ()}
)
SERVICE = Kind[RegisteredService | None](
    lambda d, a, key: d.find_service(a, key), {SERVICES: (SERVICES.c.name,)}
)
TOKENS_OF_SERVICES = Kind[Mapping[bytes, tuple[ServiceToken, RegisteredService]]](
    _load_service_tokens, {SERVICES: (), SERVICE_TOKENS: ()}
)
RESOURCE_POLICY_ARNS = Kind[frozenset[str]](
    lambda d, a, _: d.resource_policy_arns(a), {RESOURCE_POLICIES: ()}
)
RESOURCE_POLICY = Kind[str | None](
    _load_resource_policy, {RESOURCE_POLICIES: (RESOURCE_POLICIES.c.arn,)}
)
INSTANCE = Kind[Instance | None](
    lambda d, a, key: d.find_instance(a, key),
    {INSTANCES: (INSTANCES.c.instance_id,)},
)
INSTANCE_COUNT = Kind[int](lambda d, a, _: d.count(a, "instances"), {INSTANCES: ()})
INSTANCE_PROFILE = Kind[InstanceProfile | None](
    lambda d, a, key: d.find_instance_profile_by_id(a, key),
    {INSTANCE_PROFILES: (INSTANCE_PROFILES.c.profile_id,)},
)
TOKENS_OF_DIRECTORIES = Kind[Mapping[bytes, ScimToken]](
    _load_scim_tokens, {SCIM_TOKENS: ()}
)
PEOPLE = {
    "userName": _people_by("userName", PROVISIONED_USERS.c.name_key),
    "emails": _people_by("emails", PROVISIONED_USERS.c.email),
    "externalId": _people_by("externalId", PROVISIONED_USERS.c.external_id),
}
"""By the attribute that is looked for."""

MEMBERSHIPS = Kind[Sequence[Membership]](
    lambda d, a, key: d.list_provisioned_memberships(
        a, user_ids=(key,), limit=GROUPS_OF_PERSON_MAX
    ),
    {PROVISIONED_MEMBERS: (PROVISIONED_MEMBERS.c.user_id,)},
)
"""Of a provisioned person. A group that is renamed counts as changed members."""

KINDS: tuple[Kind[Any], ...] = (
    ACCOUNT,
    ROLE,
    ROLE_BY_ID,
    USER,
    USER_BY_ID,
    LOGIN_PROFILE,
    ACCESS_KEY,
    POLICIES_OF,
    GROUP_IDS,
    POLICY_TEXT,
    SAML_PROVIDER,
    OIDC_PROVIDER,
    LDAP_PROVIDER,
    REVOKED,
    ANCHOR,
    CERTIFICATE_PROFILE,
    LISTS_OF_ANCHOR,
    UPSTREAMS_OF,
    SERVICE,
    TOKENS_OF_SERVICES,
    RESOURCE_POLICY_ARNS,
    RESOURCE_POLICY,
    INSTANCE,
    INSTANCE_COUNT,
    INSTANCE_PROFILE,
    TOKENS_OF_DIRECTORIES,
    *PEOPLE.values(),
    MEMBERSHIPS,
)


def _columns_of(table: Table) -> tuple[Column[Any], ...]:
    columns = [one for kind in KINDS for one in kind.rows.get(table, ())]
    return tuple(dict.fromkeys(columns))


LOOKED_UP_BY: Mapping[str, tuple[Column[Any], ...]] = {
    table.name: _columns_of(table) for kind in KINDS for table in kind.rows
}
"""By table: the columns by which any kind is looked up, perhaps none."""

_KINDS_OF: Mapping[str, Sequence[tuple[Kind[Any], tuple[str, ...]]]] = {
    name: [
        (kind, tuple(column.name for column in columns))
        for kind in KINDS
        for table, columns in kind.rows.items()
        if table.name == name
    ]
    for name in LOOKED_UP_BY
}


class ChangedRows:
    """Which rows a change wrote, by table; None stands for any row of it.

    Tables that nothing is remembered of are listed too: another version may.
    """

    def __init__(self, rows: Mapping[str, object] | None = None) -> None:
        self._rows: dict[str, Any] = dict(rows or {})

    @classmethod
    def load(cls, text: str) -> "ChangedRows":
        """What ``dump`` wrote."""
        return cls(json.loads(text))

    def dump(self) -> str:
        """As text."""
        return json.dumps(self._rows, separators=(",", ":"))

    def note(self, table: str, rows: Sequence[AnyRow]) -> None:
        """Add rows, each with the columns of ``LOOKED_UP_BY``."""
        columns = [column.name for column in LOOKED_UP_BY.get(table, ())]
        known = self._rows.setdefault(table, [] if columns else None)
        if known is None or not rows:
            return
        known += ({name: getattr(row, name) for name in columns} for row in rows)
        if len(known) > ROWS_MAX:
            self._rows[table] = None

    def outdated(self) -> AbstractSet[tuple[Kind[Any], Key | None]]:
        """The kinds that depend on them, with the key; None for every key."""
        return {found for table in self._rows for found in self._of_table(table)}

    def _of_table(self, table: str) -> Iterator[tuple[Kind[Any], Key | None]]:
        rows = self._rows[table]
        for kind, columns in _KINDS_OF.get(table, ()):
            if not columns:
                yield kind, WHOLE
            elif rows is None or any(not row.keys() >= {*columns} for row in rows):
                yield kind, None
            else:
                for row in rows:
                    values = tuple(row[name] for name in columns)
                    yield kind, values if len(values) > 1 else values[0]
