"""Every kind of thing that the directory stores: the facts, in one place."""

import base64
import json
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, TypeVar

from sqlalchemy import Column, ScalarSelect, Select, Table, func, select

from broker.model import credentials, entities
from broker.model.account import Account
from broker.model.arn import iam_arn
from broker.model.document import UNREAD
from broker.model.machines import DeletionTask, Instance, InstanceProfile
from broker.model.provisioned import ProvisionedGroup, ProvisionedUser
from broker.model.registered import (
    BearerToken,
    JoinToken,
    RegisteredService,
    ResourcePolicy,
    ScimToken,
)
from broker.model.roles_anywhere import CertificateList, CertificateProfile, TrustAnchor
from broker.model.upstream import Upstream
from broker.model.uses import Report
from broker.stores import schema
from broker.stores.directory.stored import (
    AnyRow,
    ColumnFormat,
    Columns,
    EntityTable,
    Kind,
    Remembered,
    dump,
    dump_mapping,
    load_mapping,
    name_key,
)
from broker.stores.times import from_micros, to_micros

Token = TypeVar("Token", bound=BearerToken)

_MAPPINGS = ColumnFormat(
    dump_mapping,
    lambda text: {field: tuple(names) for field, names in load_mapping(text).items()},
)
_NOT_LOCKED = 0
_PROVISIONED = (
    schema.PROVISIONED_GROUPS.c.provider_id,
    schema.PROVISIONED_USERS.c.provider_id,
    schema.SCIM_TOKENS.c.provider_id,
)
_user_name: Callable[[ProvisionedUser], str] = attrgetter("user_name")

USER = Remembered(
    stored=EntityTable(schema.USERS, entities.User),
    key="user_id",
    name="name_key",
    label="user",
    admits=True,
)
LOGIN_PROFILE = Remembered(
    stored=EntityTable(schema.LOGIN_PROFILES, entities.LoginProfile),
    key="user_id",
    label="login profile",
)
ACCESS_KEY = Remembered(
    stored=EntityTable(schema.ACCESS_KEYS, entities.AccessKey),
    key="access_key_id",
    label="access key",
    order=(schema.ACCESS_KEYS.c.created_at, schema.ACCESS_KEYS.c.access_key_id),
)
GROUP = Kind(
    stored=EntityTable(schema.GROUPS, entities.Group),
    key="group_id",
    name="name_key",
    label="group",
)
ROLE = Remembered(
    stored=EntityTable(schema.ROLES, entities.Role),
    key="role_id",
    name="name_key",
    label="role",
    admits=True,
)
OIDC_PROVIDER = Remembered(
    stored=EntityTable(
        schema.OIDC_PROVIDERS,
        entities.OidcProvider,
        derived={"host_and_path": attrgetter("host_and_path")},
    ),
    key="unique_id",
    name="host_and_path",
    label="OIDC provider",
    owns=_PROVISIONED,
    vouches=True,
)
LDAP_PROVIDER = Remembered(
    stored=EntityTable(schema.LDAP_PROVIDERS, entities.LdapProvider),
    key="unique_id",
    name="name",
    label="LDAP provider",
    vouches=True,
)
USER_CREDENTIAL = Kind(
    stored=EntityTable(schema.USER_CREDENTIALS, credentials.UserCredential),
    key="credential_id",
    label="credential",
    order=(
        schema.USER_CREDENTIALS.c.created_at,
        schema.USER_CREDENTIALS.c.credential_id,
    ),
)
SERVER_CERTIFICATE = Kind(
    stored=EntityTable(schema.SERVER_CERTIFICATES, credentials.ServerCertificate),
    key="certificate_id",
    name="name_key",
    label="server certificate",
)
INSTANCE_PROFILE = Remembered(
    stored=EntityTable(schema.INSTANCE_PROFILES, InstanceProfile),
    key="profile_id",
    name="name_key",
    label="instance profile",
)
INSTANCE = Remembered(
    stored=EntityTable(schema.INSTANCES, Instance),
    key="instance_id",
    label="instance",
    owns=(schema.INSTANCE_ORIGINS.c.instance_id,),
)
DELETION_TASK = Kind(
    stored=EntityTable(schema.DELETION_TASKS, DeletionTask),
    key="task_id",
    label="deletion task",
)
SERVICE = Remembered(
    stored=EntityTable(schema.SERVICES, RegisteredService),
    key="service_id",
    name="name",
    label="service",
    owns=(schema.SERVICE_TOKENS.c.service_id,),
)
RESOURCE_POLICY = Remembered(
    stored=EntityTable(schema.RESOURCE_POLICIES, ResourcePolicy),
    key="arn",
    label="resource policy",
    kept=("created_at",),
)
TRUST_ANCHOR = Remembered(
    stored=EntityTable(schema.TRUST_ANCHORS, TrustAnchor),
    key="anchor_id",
    label="trust anchor",
    owns=(schema.CERTIFICATE_LISTS.c.anchor_id,),
    vouches=True,
)
CERTIFICATE_PROFILE = Remembered(
    stored=EntityTable(
        schema.CERTIFICATE_PROFILES, CertificateProfile, attribute_mappings=_MAPPINGS
    ),
    key="profile_id",
    label="profile",
)
CERTIFICATE_LIST = Kind(
    stored=EntityTable(schema.CERTIFICATE_LISTS, CertificateList),
    key="list_id",
    label="revocation list",
)
PROVISIONED_USER = Kind(
    stored=EntityTable(
        schema.PROVISIONED_USERS,
        ProvisionedUser,
        derived={"name_key": lambda user: name_key(_user_name(user))},
    ),
    key="user_id",
    label="user",
)
PROVISIONED_GROUP = Kind(
    stored=EntityTable(schema.PROVISIONED_GROUPS, ProvisionedGroup),
    key="group_id",
    label="group",
    owns=(schema.PROVISIONED_MEMBERS.c.group_id,),
)
UPSTREAM = Remembered(
    stored=EntityTable(schema.UPSTREAMS, Upstream),
    key="name",
    label="upstream",
    kept=("created_at",),
)
REPORT = Kind(
    stored=EntityTable(schema.REPORTS, Report), key="report_id", label="report"
)


def _dump_keys(keys: Iterable[entities.SamlPrivateKey]) -> str:
    return dump(
        [
            {
                "key_id": key.key_id,
                "created_at": to_micros(key.created_at),
                "sealed_pem": base64.b64encode(key.sealed_pem).decode("ascii"),
                "certificate": base64.b64encode(key.certificate).decode("ascii"),
            }
            for key in keys
        ]
    )


def _load_keys(text: str) -> tuple[entities.SamlPrivateKey, ...]:
    return tuple(
        entities.SamlPrivateKey(
            key_id=key["key_id"],
            created_at=from_micros(key["created_at"]),
            sealed_pem=base64.b64decode(key["sealed_pem"]),
            certificate=base64.b64decode(key.get("certificate", "")),
        )
        for key in json.loads(text)
    )


def _key_of_serial(factor: credentials.MfaDevice | credentials.Passkey) -> str:
    return name_key(factor.serial)


def mfa_state_values(state: credentials.MfaState) -> dict[str, int]:
    """The columns of a device's state."""
    locked = state.locked_until
    return {
        "last_step": state.last_step,
        "drift": state.drift,
        "failures": state.failures,
        "locked_until": _NOT_LOCKED if locked is None else to_micros(locked),
    }


def _read_mfa_state(row: AnyRow) -> credentials.MfaState:
    locked = row.locked_until
    return credentials.MfaState(
        last_step=row.last_step,
        drift=row.drift,
        failures=row.failures,
        locked_until=None if locked == _NOT_LOCKED else from_micros(locked),
    )


def count_uses(table: Table, column: str) -> ScalarSelect[int]:
    """How many rows of the same account name a managed policy's ARN."""
    arn = (
        iam_arn("", "policy").removesuffix(":policy")
        + schema.MANAGED_POLICIES.c.account
        + ":policy"
        + schema.MANAGED_POLICIES.c.path
        + schema.MANAGED_POLICIES.c.name
    )
    return (
        select(func.count())
        .select_from(table)
        .where(
            table.c.account == schema.MANAGED_POLICIES.c.account, table.c[column] == arn
        )
        .scalar_subquery()
    )


def _policies(*documents: Column[str]) -> Select[Any]:
    """Managed policies with their version in force, and how often each is used."""
    policies, versions = schema.MANAGED_POLICIES, schema.POLICY_VERSIONS
    return select(
        policies,
        *documents,
        versions.c.created_at.label("version_created_at"),
        count_uses(schema.ATTACHMENTS, "policy_arn").label("attachment_count"),
        (
            count_uses(schema.USERS, "boundary_arn")
            + count_uses(schema.ROLES, "boundary_arn")
        ).label("boundary_count"),
    ).join(
        versions,
        (versions.c.policy_id == policies.c.policy_id)
        & (versions.c.version_id == policies.c.default_version_id),
    )


def _tokens(table: Table, token: type[Token], owner: str, label: str) -> Kind[Token]:
    """Bearer tokens; ``owner`` is the column of what they belong to."""
    return Kind(
        stored=EntityTable(table, token, columns={"owner_id": owner}),
        key="token_id",
        label=label,
        order=(table.c.created_at, table.c.token_id),
    )


MANAGED_POLICY = Kind(
    stored=EntityTable(
        schema.MANAGED_POLICIES,
        entities.ManagedPolicy,
        parts={
            "default_version": Columns(
                lambda version: {"default_version_id": version.version_id},
                lambda row: entities.PolicyVersion(
                    version_id=row.default_version_id,
                    document=getattr(row, "document", UNREAD),
                    created_at=from_micros(row.version_created_at),
                ),
            )
        },
        counted=("attachment_count", "boundary_count"),
        selected=_policies(schema.POLICY_VERSIONS.c.document),
        listed=_policies(),
    ),
    key="policy_id",
    name="name_key",
    label="policy",
    owns=(schema.POLICY_VERSIONS.c.policy_id,),
)
SAML_PROVIDER = Remembered(
    stored=EntityTable(
        schema.SAML_PROVIDERS,
        entities.SamlProvider,
        private_keys=ColumnFormat(_dump_keys, _load_keys),
    ),
    key="uuid",
    name="name",
    label="SAML provider",
    order=(func.lower(schema.SAML_PROVIDERS.c.name), schema.SAML_PROVIDERS.c.name),
    owns=_PROVISIONED,
    vouches=True,
)
MFA_DEVICE = Kind(
    stored=EntityTable(
        schema.MFA_DEVICES,
        credentials.MfaDevice,
        derived={"serial_key": _key_of_serial},
        columns={"virtual": "is_virtual"},
        parts={"state": Columns(mfa_state_values, _read_mfa_state)},
    ),
    key="serial_key",
    name="serial_key",
    label="MFA device",
    kept=("last_step", "drift", "failures", "locked_until"),
)
"""An update leaves its state alone, which a code's use may change at any time."""

PASSKEY = Kind(
    stored=EntityTable(
        schema.PASSKEYS, credentials.Passkey, derived={"serial_key": _key_of_serial}
    ),
    key="serial_key",
    name="serial_key",
    label="passkey",
)
JOIN_TOKEN = _tokens(schema.JOIN_TOKENS, JoinToken, "profile_id", "join token")
SERVICE_TOKEN = _tokens(
    schema.SERVICE_TOKENS, BearerToken, "service_id", "service token"
)
SCIM_TOKEN = _tokens(schema.SCIM_TOKENS, ScimToken, "provider_id", "SCIM token")
_OF_ACCOUNTS: tuple[Kind[Any], ...] = (
    USER,
    LOGIN_PROFILE,
    ACCESS_KEY,
    GROUP,
    ROLE,
    MANAGED_POLICY,
    SAML_PROVIDER,
    OIDC_PROVIDER,
    LDAP_PROVIDER,
    MFA_DEVICE,
    PASSKEY,
    USER_CREDENTIAL,
    SERVER_CERTIFICATE,
    INSTANCE_PROFILE,
    INSTANCE,
    JOIN_TOKEN,
    DELETION_TASK,
    SERVICE,
    SERVICE_TOKEN,
    RESOURCE_POLICY,
    TRUST_ANCHOR,
    CERTIFICATE_PROFILE,
    CERTIFICATE_LIST,
    PROVISIONED_USER,
    PROVISIONED_GROUP,
    SCIM_TOKEN,
    UPSTREAM,
    REPORT,
)
"""What goes with a deleted account: every kind but the account itself."""

ACCOUNT = Remembered(
    stored=EntityTable(schema.ACCOUNTS, Account, columns={"account_id": "account"}),
    key="account",
    label="account",
    owns=tuple(
        table.c.account
        for table in (
            *(kind.table for kind in _OF_ACCOUNTS),
            schema.ATTACHMENTS,
            schema.GROUP_MEMBERS,
            schema.INSTANCE_ORIGINS,
            schema.INLINE_POLICIES,
            schema.POLICY_VERSIONS,
            schema.PROVISIONED_MEMBERS,
            schema.REVOCATIONS,
            schema.USES,
        )
    ),
)
KINDS = (ACCOUNT, *_OF_ACCOUNTS)
