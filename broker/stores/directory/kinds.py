"""Every kind of thing that the directory stores: the facts, in one place."""

import base64
import json
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, TypeVar

from sqlalchemy import ScalarSelect, Table, func, select

from broker.model.account import Account
from broker.model.arn import iam_arn
from broker.model.credentials import (
    CredentialKind,
    CredentialStatus,
    MfaDevice,
    MfaState,
    Passkey,
    ServerCertificate,
    UserCredential,
)
from broker.model.entities import (
    AccessKey,
    EncryptionMode,
    Group,
    KeyStatus,
    LdapProvider,
    LoginProfile,
    ManagedPolicy,
    OidcProvider,
    PolicyVersion,
    Role,
    SamlPrivateKey,
    SamlProvider,
    User,
)
from broker.model.machines import DeletionTask, Instance, InstanceProfile
from broker.model.provisioned import ProvisionedGroup, ProvisionedUser
from broker.model.registered import RegisteredService, ResourcePolicy
from broker.model.roles_anywhere import (
    CertificateList,
    CertificateProfile,
    TrustAnchor,
)
from broker.model.tokens import BearerToken, JoinToken, ScimToken
from broker.model.upstream import Upstream
from broker.model.uses import Report
from broker.stores.directory.entity_tables import (
    FLAG,
    MAPPING,
    ROW,
    TEXTS,
    TIME,
    AnyRow,
    ColumnFormat,
    EntityTable,
    Part,
    dump,
    dump_mapping,
    key_of_name,
    load_mapping,
    name_key,
)
from broker.stores.directory.kind import Kind, Remembered
from broker.stores.schema import (
    ACCESS_KEYS,
    ACCOUNTS,
    ATTACHMENTS,
    CERTIFICATE_LISTS,
    CERTIFICATE_PROFILES,
    CHANGES,
    DELETION_TASKS,
    GROUP_MEMBERS,
    GROUPS,
    INLINE_POLICIES,
    INSTANCE_PROFILES,
    INSTANCES,
    JOIN_TOKENS,
    LDAP_PROVIDERS,
    LOGIN_PROFILES,
    MANAGED_POLICIES,
    MFA_DEVICES,
    OIDC_PROVIDERS,
    PASSKEYS,
    POLICY_VERSIONS,
    PROVISIONED_GROUPS,
    PROVISIONED_MEMBERS,
    PROVISIONED_USERS,
    REPORTS,
    RESOURCE_POLICIES,
    REVOCATIONS,
    ROLES,
    SAML_PROVIDERS,
    SCIM_TOKENS,
    SERVER_CERTIFICATES,
    SERVICE_TOKENS,
    SERVICES,
    TRUST_ANCHORS,
    UPSTREAMS,
    USER_CREDENTIALS,
    USERS,
    USES,
)
from broker.stores.times import from_micros, to_micros

Token = TypeVar("Token", bound=BearerToken)

_STATUS = ColumnFormat(attrgetter("value"), KeyStatus)
_MAPPINGS = ColumnFormat(
    dump_mapping,
    lambda text: {field: tuple(names) for field, names in load_mapping(text).items()},
)
_NOT_LOCKED = 0
_PROVISIONED = (
    PROVISIONED_GROUPS.c.provider_id,
    PROVISIONED_USERS.c.provider_id,
    SCIM_TOKENS.c.provider_id,
)
_user_name: Callable[[ProvisionedUser], str] = attrgetter("user_name")
_BY_NAME: dict[str, Callable[[Any], object]] = {"name_key": key_of_name}


def _dump_keys(keys: Iterable[SamlPrivateKey]) -> str:
    return dump(
        [
            {
                "key_id": key.key_id,
                "created_at": to_micros(key.created_at),
                "sealed_pem": base64.b64encode(key.sealed_pem).decode("ascii"),
            }
            for key in keys
        ]
    )


def _load_keys(text: str) -> tuple[SamlPrivateKey, ...]:
    return tuple(
        SamlPrivateKey(
            key_id=key["key_id"],
            created_at=from_micros(key["created_at"]),
            sealed_pem=base64.b64decode(key["sealed_pem"]),
        )
        for key in json.loads(text)
    )


def _key_of_serial(factor: MfaDevice | Passkey) -> str:
    return name_key(factor.serial)


def mfa_state_values(state: MfaState) -> dict[str, int]:
    """The columns of a device's state."""
    locked = state.locked_until
    return {
        "last_step": state.last_step,
        "drift": state.drift,
        "failures": state.failures,
        "locked_until": _NOT_LOCKED if locked is None else to_micros(locked),
    }


def _read_mfa_state(row: AnyRow) -> MfaState:
    locked = row.locked_until
    return MfaState(
        last_step=row.last_step,
        drift=row.drift,
        failures=row.failures,
        locked_until=None if locked == _NOT_LOCKED else from_micros(locked),
    )


def count_uses(table: Table, column: str) -> ScalarSelect[int]:
    """How many rows of the same account name a managed policy's ARN."""
    arn = (
        iam_arn("", "policy").removesuffix(":policy")
        + MANAGED_POLICIES.c.account
        + ":policy"
        + MANAGED_POLICIES.c.path
        + MANAGED_POLICIES.c.name
    )
    return (
        select(func.count())
        .select_from(table)
        .where(table.c.account == MANAGED_POLICIES.c.account, table.c[column] == arn)
        .scalar_subquery()
    )


def _tokens(
    table: Table,
    token: type[Token],
    owner: str,
    label: str,
    **formats: Any,  # noqa: ANN401  # as EntityTable takes them
) -> Kind[Token]:
    """Bearer tokens; ``owner`` is the column of what they belong to."""
    return Kind(
        stored=EntityTable(
            table,
            token,
            columns={"owner_id": owner},
            created_at=TIME,
            expires_at=TIME,
            addresses=TEXTS,
            **formats,
        ),
        key="token_id",
        label=label,
        order=(table.c.created_at, table.c.token_id),
    )


USER = Remembered(
    stored=EntityTable(USERS, User, derived=_BY_NAME, created_at=TIME, tags=MAPPING),
    key="user_id",
    name="name_key",
    label="user",
)
LOGIN_PROFILE = Remembered(
    stored=EntityTable(
        LOGIN_PROFILES,
        LoginProfile,
        created_at=TIME,
        changed_at=TIME,
        reset_required=FLAG,
    ),
    key="user_id",
    label="login profile",
)
ACCESS_KEY = Remembered(
    stored=EntityTable(ACCESS_KEYS, AccessKey, status=_STATUS, created_at=TIME),
    key="access_key_id",
    label="access key",
    order=(ACCESS_KEYS.c.created_at, ACCESS_KEYS.c.access_key_id),
)
GROUP = Kind(
    stored=EntityTable(GROUPS, Group, derived=_BY_NAME, created_at=TIME),
    key="group_id",
    name="name_key",
    label="group",
)
ROLE = Remembered(
    stored=EntityTable(ROLES, Role, derived=_BY_NAME, created_at=TIME, tags=MAPPING),
    key="role_id",
    name="name_key",
    label="role",
)
MANAGED_POLICY = Kind(
    stored=EntityTable(
        MANAGED_POLICIES,
        ManagedPolicy,
        derived=_BY_NAME,
        parts={
            "default_version": Part(
                lambda version: {"default_version_id": version.version_id},
                lambda row: PolicyVersion(
                    version_id=row.default_version_id,
                    document=row.document,
                    created_at=from_micros(row.version_created_at),
                ),
            )
        },
        counted=("attachment_count", "boundary_count"),
        selected=select(
            MANAGED_POLICIES,
            POLICY_VERSIONS.c.document,
            POLICY_VERSIONS.c.created_at.label("version_created_at"),
            count_uses(ATTACHMENTS, "policy_arn").label("attachment_count"),
            (
                count_uses(USERS, "boundary_arn") + count_uses(ROLES, "boundary_arn")
            ).label("boundary_count"),
        ).join(
            POLICY_VERSIONS,
            (POLICY_VERSIONS.c.policy_id == MANAGED_POLICIES.c.policy_id)
            & (POLICY_VERSIONS.c.version_id == MANAGED_POLICIES.c.default_version_id),
        ),
        created_at=TIME,
        updated_at=TIME,
        tags=MAPPING,
    ),
    key="policy_id",
    name="name_key",
    label="policy",
    owns=(POLICY_VERSIONS.c.policy_id,),
)
SAML_PROVIDER = Remembered(
    stored=EntityTable(
        SAML_PROVIDERS,
        SamlProvider,
        created_at=TIME,
        valid_until=TIME,
        encryption_mode=ColumnFormat(attrgetter("value"), EncryptionMode),
        private_keys=ColumnFormat(_dump_keys, _load_keys),
        tags=MAPPING,
        options=MAPPING,
    ),
    key="uuid",
    name="name",
    label="SAML provider",
    order=(func.lower(SAML_PROVIDERS.c.name), SAML_PROVIDERS.c.name),
    owns=_PROVISIONED,
    vouches=True,
)
OIDC_PROVIDER = Remembered(
    stored=EntityTable(
        OIDC_PROVIDERS,
        OidcProvider,
        derived={"host_and_path": attrgetter("host_and_path")},
        client_ids=TEXTS,
        thumbprints=TEXTS,
        created_at=TIME,
        tags=MAPPING,
        options=MAPPING,
    ),
    key="unique_id",
    name="host_and_path",
    label="OIDC provider",
    owns=_PROVISIONED,
    vouches=True,
)
LDAP_PROVIDER = Remembered(
    stored=EntityTable(LDAP_PROVIDERS, LdapProvider, created_at=TIME, options=MAPPING),
    key="unique_id",
    name="name",
    label="LDAP provider",
    vouches=True,
)
MFA_DEVICE = Kind(
    stored=EntityTable(
        MFA_DEVICES,
        MfaDevice,
        derived={"serial_key": _key_of_serial},
        columns={"virtual": "is_virtual"},
        parts={"state": Part(mfa_state_values, _read_mfa_state)},
        virtual=FLAG,
        created_at=TIME,
        enabled_at=TIME,
        tags=MAPPING,
    ),
    key="serial_key",
    name="serial_key",
    label="MFA device",
    kept=("last_step", "drift", "failures", "locked_until"),
)
"""An update leaves its state alone, which a code's use may change at any time."""

PASSKEY = Kind(
    stored=EntityTable(
        PASSKEYS,
        Passkey,
        derived={"serial_key": _key_of_serial},
        enabled_at=TIME,
        transports=TEXTS,
        synced=FLAG,
        last_used_at=TIME,
    ),
    key="serial_key",
    name="serial_key",
    label="passkey",
)
USER_CREDENTIAL = Kind(
    stored=EntityTable(
        USER_CREDENTIALS,
        UserCredential,
        kind=ColumnFormat(attrgetter("value"), CredentialKind),
        status=ColumnFormat(attrgetter("value"), CredentialStatus),
        created_at=TIME,
        expires_at=TIME,
        details=MAPPING,
    ),
    key="credential_id",
    label="credential",
    order=(USER_CREDENTIALS.c.created_at, USER_CREDENTIALS.c.credential_id),
)
SERVER_CERTIFICATE = Kind(
    stored=EntityTable(
        SERVER_CERTIFICATES,
        ServerCertificate,
        derived=_BY_NAME,
        uploaded_at=TIME,
        expires_at=TIME,
        tags=MAPPING,
    ),
    key="certificate_id",
    name="name_key",
    label="server certificate",
)
INSTANCE_PROFILE = Remembered(
    stored=EntityTable(
        INSTANCE_PROFILES,
        InstanceProfile,
        derived=_BY_NAME,
        created_at=TIME,
        tags=MAPPING,
    ),
    key="profile_id",
    name="name_key",
    label="instance profile",
)
INSTANCE = Remembered(
    stored=EntityTable(INSTANCES, Instance, registered_at=TIME),
    key="instance_id",
    label="instance",
)
JOIN_TOKEN = _tokens(JOIN_TOKENS, JoinToken, "profile_id", "join token", lineage=ROW)
DELETION_TASK = Kind(
    stored=EntityTable(DELETION_TASKS, DeletionTask, made_at=TIME),
    key="task_id",
    label="deletion task",
)
SERVICE = Remembered(
    stored=EntityTable(SERVICES, RegisteredService, created_at=TIME, updated_at=TIME),
    key="service_id",
    name="name",
    label="service",
    owns=(SERVICE_TOKENS.c.service_id,),
)
SERVICE_TOKEN = _tokens(SERVICE_TOKENS, BearerToken, "service_id", "service token")
RESOURCE_POLICY = Remembered(
    stored=EntityTable(
        RESOURCE_POLICIES, ResourcePolicy, created_at=TIME, updated_at=TIME
    ),
    key="arn",
    label="resource policy",
    kept=("created_at",),
)
TRUST_ANCHOR = Remembered(
    stored=EntityTable(
        TRUST_ANCHORS,
        TrustAnchor,
        enabled=FLAG,
        created_at=TIME,
        updated_at=TIME,
        tags=MAPPING,
    ),
    key="anchor_id",
    label="trust anchor",
    owns=(CERTIFICATE_LISTS.c.anchor_id,),
    vouches=True,
)
CERTIFICATE_PROFILE = Remembered(
    stored=EntityTable(
        CERTIFICATE_PROFILES,
        CertificateProfile,
        role_arns=TEXTS,
        managed_policy_arns=TEXTS,
        accepts_session_name=FLAG,
        attribute_mappings=_MAPPINGS,
        enabled=FLAG,
        created_at=TIME,
        updated_at=TIME,
        tags=MAPPING,
    ),
    key="profile_id",
    label="profile",
)
CERTIFICATE_LIST = Kind(
    stored=EntityTable(
        CERTIFICATE_LISTS,
        CertificateList,
        enabled=FLAG,
        created_at=TIME,
        updated_at=TIME,
        tags=MAPPING,
    ),
    key="list_id",
    label="revocation list",
)
PROVISIONED_USER = Kind(
    stored=EntityTable(
        PROVISIONED_USERS,
        ProvisionedUser,
        derived={"name_key": lambda user: name_key(_user_name(user))},
        active=FLAG,
        created_at=TIME,
        updated_at=TIME,
        not_before=TIME,
        departed_at=TIME,
    ),
    key="user_id",
    label="user",
)
PROVISIONED_GROUP = Kind(
    stored=EntityTable(
        PROVISIONED_GROUPS,
        ProvisionedGroup,
        derived=_BY_NAME,
        created_at=TIME,
        updated_at=TIME,
    ),
    key="group_id",
    label="group",
    owns=(PROVISIONED_MEMBERS.c.group_id,),
)
SCIM_TOKEN = _tokens(SCIM_TOKENS, ScimToken, "provider_id", "SCIM token")
UPSTREAM = Remembered(
    stored=EntityTable(UPSTREAMS, Upstream, created_at=TIME, updated_at=TIME),
    key="name",
    label="upstream",
    kept=("created_at",),
)
REPORT = Kind(
    stored=EntityTable(REPORTS, Report, made_at=TIME), key="report_id", label="report"
)
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
ACCOUNT = Remembered(
    stored=EntityTable(
        ACCOUNTS,
        Account,
        columns={"account_id": "account"},
        created_at=TIME,
        quotas=MAPPING,
        options=MAPPING,
        password_policy=MAPPING,
    ),
    key="account",
    label="account",
    owns=tuple(
        table.c.account
        for table in (
            *(kind.table for kind in _OF_ACCOUNTS),
            ATTACHMENTS,
            CHANGES,
            GROUP_MEMBERS,
            INLINE_POLICIES,
            POLICY_VERSIONS,
            PROVISIONED_MEMBERS,
            REVOCATIONS,
            USES,
        )
    ),
)
KINDS = (ACCOUNT, *_OF_ACCOUNTS)
