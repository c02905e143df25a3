"""One caller of every kind, in a real broker's directory."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import structs

from broker.compose.services import Services, open_services
from broker.kinds.accounts import ROOT_MANAGED_BY
from broker.kinds.control_policies import ControlKind, ControlPolicy, option_value
from broker.kinds.roles_anywhere import SERVICE_PRINCIPAL
from broker.model.account import Account, AccountId
from broker.model.entities import (
    InlinePolicy,
    ManagedPolicy,
    OidcProvider,
    PolicyVersion,
    Role,
    SamlProvider,
    User,
)
from broker.model.federated import FederatedIdentity
from broker.model.machines import Instance, InstanceProfile
from broker.model.principal import EC2, Principal, PrincipalType
from broker.model.session import Caller, Session, SessionKind, SessionPolicies
from broker.settings import Settings
from broker.stores.directory import kinds
from broker.stores.directory.accounts import insert_account
from broker.stores.directory.kinds import (
    INSTANCE_PROFILE,
    OIDC_PROVIDER,
    ROLE,
    SAML_PROVIDER,
    USER,
)
from broker.stores.directory.policies import attach_policy, put_inline_policy
from tests.authorization.inputs import (
    ACCOUNT,
    ANCHOR,
    BOUND,
    CERTIFICATE_PROFILE,
    INSTANCE,
    LDAP,
    OIDC,
    OTHER,
    POLICY,
    SAML,
    TAGS,
    TASK_POLICY,
)
from tests.support.policies import insert_policy
from tests.support.saml_idp import metadata_xml
from tests.support.tables import lay_tables

ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
READER = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"
NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Kind:
    """A kind of caller: how the table names it, and who it is."""

    title: str
    caller: Caller | None = None
    identity: FederatedIdentity | None = None


def document(*statements: Mapping[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: object, **more: object) -> dict[str, object]:
    return {"Effect": "Allow", "Action": action, "Resource": "*", **more}


ALL = document(allow("*"))
NOTHING_MORE = document(
    allow("*"), allow(["iam:*", "sts:*"], Effect="Deny"), allow("iam:*", Effect="Deny")
)
TRUST = document(
    *(
        {"Effect": "Allow", "Principal": principal, "Action": action}
        for principal, action in (
            ({"AWS": [ACCOUNT, OTHER, BOUND]}, "sts:AssumeRole"),
            ({"AWS": [ACCOUNT, OTHER, BOUND]}, "sts:TagSession"),
            ({"Federated": SAML}, ["sts:AssumeRoleWithSAML", "sts:TagSession"]),
            ({"Federated": OIDC}, ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]),
            (
                {"Service": SERVICE_PRINCIPAL},
                ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
            ),
            ({"Federated": LDAP}, ["sts:AssumeRoleWithLDAPIdentity", "sts:TagSession"]),
        )
    )
)
USERS: Mapping[str, tuple[str, tuple[str, ...], str | None, str | None]] = {
    # name: account, attached, inline, boundary
    "target": (ACCOUNT, (), None, POLICY),
    "nothing": (ACCOUNT, (), None, None),
    "admin": (ACCOUNT, (ADMINISTRATOR,), None, None),
    "reader": (ACCOUNT, (READER,), None, None),
    "denied": (ACCOUNT, (ADMINISTRATOR,), NOTHING_MORE, None),
    "bounded": (ACCOUNT, (ADMINISTRATOR,), None, READER),
    "stranger": (OTHER, (ADMINISTRATOR,), None, None),
    "controlled": (BOUND, (ADMINISTRATOR,), None, None),
}
CONTROL = document(allow("*"), allow(["iam:Delete*", "sts:Assume*"], Effect="Deny"))


@asynccontextmanager
async def open_installation(folder: Path) -> AsyncIterator[Services]:
    """A broker with the accounts, entities and policies of the table."""
    settings = Settings(data_dir=folder, rate_limit=0)
    lay_tables(settings)
    async with open_services(settings) as services:
        for account in map(AccountId, (ACCOUNT, OTHER, BOUND)):
            await _fill(services, account)
        yield services


async def _fill(services: Services, account: AccountId) -> None:
    controls = [ControlPolicy("Bounds", CONTROL)] if account == BOUND else []
    async with services.stores.directory.change(account) as change:
        await insert_account(
            change,
            Account(
                account_id=account,
                alias=None,
                session_salt=bytes(32),
                created_at=NOW,
                options={
                    ControlKind.SERVICE.value: option_value(controls),
                    **({ROOT_MANAGED_BY: ACCOUNT} if account == OTHER else {}),
                },
            ),
        )
        if account == ACCOUNT:
            await _fill_entities(change, account)
        for name, (home, attached, inline, boundary) in USERS.items():
            if home != account:
                continue
            user_id = _user_id(name)
            await change.insert(
                USER,
                User(
                    account=account,
                    user_id=user_id,
                    name=name,
                    path="/",
                    created_at=NOW,
                    tags={"team": "blue"} if name == "target" else {},
                    boundary_arn=boundary,
                ),
            )
            for arn in attached:
                await attach_policy(change, account, user_id, arn)
            if inline is not None:
                await put_inline_policy(
                    change,
                    InlinePolicy(
                        account=account, owner_id=user_id, name="Deny", document=inline
                    ),
                )


async def _fill_entities(change: Any, account: AccountId) -> None:
    tags = {tag["Key"]: tag["Value"] for tag in TAGS}
    await insert_policy(
        change,
        ManagedPolicy(
            account=account,
            policy_id="ANPATARGET",
            name="Policy",
            path="/",
            description=None,
            default_version=PolicyVersion(
                version_id="v1", document=ALL, created_at=NOW
            ),
            next_version=2,
            created_at=NOW,
            updated_at=NOW,
            tags=tags,
        ),
    )
    for name, role_id in (("Target", "AROATARGET"), ("Caller", "AROACALLER")):
        await change.insert(
            ROLE,
            Role(
                account=account,
                role_id=role_id,
                name=name,
                path="/app/",
                trust_policy=TRUST,
                created_at=NOW,
                tags=tags,
                boundary_arn=POLICY,
            ),
        )
        await attach_policy(change, account, role_id, ADMINISTRATOR)
    await change.insert(
        INSTANCE_PROFILE,
        InstanceProfile(
            account=account,
            profile_id="AIPATARGET",
            name="example",
            path="/",
            created_at=NOW,
            role_id="AROATARGET",
        ),
    )
    await change.insert(
        kinds.INSTANCE,
        Instance(
            account=account,
            instance_id=INSTANCE,
            region="us-east-1",
            public_key=bytes(32),
            registered_at=NOW,
            registered_by="",
            profile_id="AIPATARGET",
        ),
    )
    await change.insert(
        SAML_PROVIDER,
        SamlProvider(
            account=account,
            uuid="SAMLSPTARGET",
            name="Corp",
            metadata=metadata_xml(),
            created_at=NOW,
            valid_until=NOW + timedelta(days=365),
            tags=tags,
        ),
    )
    if account == ACCOUNT:
        await change.insert(kinds.CERTIFICATE_PROFILE, CERTIFICATE_PROFILE)
    await change.insert(
        OIDC_PROVIDER,
        OidcProvider(
            account=account,
            unique_id="OIDCPTARGET",
            url="https://issuer.example",
            client_ids=("client",),
            thumbprints=(),
            created_at=NOW,
            tags=tags,
        ),
    )


def _user_id(name: str) -> str:
    return f"AIDA{name.upper()}"


def _user(name: str, **session: Any) -> Caller:
    account = AccountId(USERS[name][0])
    principal = Principal.user(account, user_id=_user_id(name), path="/", name=name)
    if not session:
        return Caller(principal=principal, access_key_id="AKIAEXAMPLE")
    return Caller(principal=principal, session=_session(principal.unique_id, **session))


def _session(principal_id: str, **more: Any) -> Session:
    issued = int(NOW.timestamp())
    params: dict[str, Any] = {
        "access_key_id": "ASIAEXAMPLE",
        "account": AccountId(ACCOUNT),
        "principal_id": principal_id,
        "name": "session",
        "issued_at_ms": issued * 1000,
        "expires_at": issued + 3600,
    }
    return Session(**{**params, **more})


def _machine(resource: str, name: str) -> Caller:
    account = AccountId(ACCOUNT)
    arn = f"arn:aws:ec2:us-east-1:{account}:{resource}"
    principal = Principal.aws_service(account, service=EC2, arn=arn, name=name)
    return Caller(principal=principal, access_key_id=name)


def _role(**session: Any) -> Caller:
    return Caller(
        principal=Principal.role_session(
            AccountId(ACCOUNT),
            role_id="AROACALLER",
            path="/app/",
            role_name="Caller",
            session_name="session",
        ),
        session=_session(
            "AROACALLER", kind=SessionKind.ASSUME_ROLE, chain_depth=0, **session
        ),
    )


def _federated(*policies: SessionPolicies) -> Caller:
    return Caller(
        principal=Principal.federated_user(AccountId(ACCOUNT), name="bob", issuer=None),
        session=_session(
            _user_id("admin"),
            name="bob",
            kind=SessionKind.FEDERATION_TOKEN,
            policies=policies,
        ),
    )


def _outside(kind: PrincipalType, provider: str) -> FederatedIdentity:
    return FederatedIdentity(
        principal=Principal.from_provider(
            kind, AccountId(ACCOUNT), provider=provider, subject="ann"
        ),
        account=AccountId(ACCOUNT),
        provider_arn=provider,
        provider_id="P",
        issuer="https://issuer.example",
        subject="ann",
        session_name="ann",
        tags={"team": "blue"},
    )


_CERTIFICATE = structs.replace(
    _outside(PrincipalType.SERVICE, ANCHOR),
    principal=Principal.aws_service(
        AccountId(ACCOUNT), service=SERVICE_PRINCIPAL, arn=ANCHOR, name="CN=ann"
    ),
    source_identity="ann",
    context={"aws:sourcearn": (ANCHOR,)},
)

_READ_ONLY = SessionPolicies(document(allow(["iam:Get*", "iam:List*"])), ())

_ROOT_TASK = Caller(
    principal=Principal.root(AccountId(ACCOUNT)),
    session=_session(
        ACCOUNT,
        kind=SessionKind.ROOT_TASK,
        policies=(SessionPolicies(None, (TASK_POLICY,)),),
    ),
)

KINDS = (
    Kind("root user", Caller(principal=Principal.root(AccountId(ACCOUNT)))),
    Kind("user without policies", _user("nothing")),
    Kind("user, IAMReadOnlyAccess", _user("reader")),
    Kind("user, AdministratorAccess", _user("admin")),
    Kind("administrator bounded by IAMReadOnlyAccess", _user("bounded")),
    Kind("administrator with a Deny of iam:* and sts:*", _user("denied")),
    Kind("administrator whose account denies iam:Delete*", _user("controlled")),
    Kind("administrator of another account", _user("stranger")),
    Kind("role session, AdministratorAccess", _role()),
    Kind("role session cut to reading IAM", _role(policies=(_READ_ONLY,))),
    Kind("GetSessionToken", _user("admin", kind=SessionKind.SESSION_TOKEN)),
    Kind(
        "GetSessionToken with MFA",
        _user(
            "admin", kind=SessionKind.SESSION_TOKEN, mfa_at=int(NOW.timestamp()) - 60
        ),
    ),
    Kind("GetFederationToken, all allowed", _federated(SessionPolicies(ALL, ()))),
    Kind("GetFederationToken without policies", _federated()),
    Kind("AssumeRoot, IAMAuditRootUserCredentials", _ROOT_TASK),
    Kind("SAML assertion", identity=_outside(PrincipalType.SAML, SAML)),
    Kind("web identity token", identity=_outside(PrincipalType.WEB_IDENTITY, OIDC)),
    Kind("nobody"),
    Kind("console, AdministratorAccess", _user("admin", kind=SessionKind.CONSOLE)),
    Kind(
        "console, root user",
        Caller(
            principal=Principal.root(AccountId(ACCOUNT)),
            session=_session(ACCOUNT, kind=SessionKind.CONSOLE),
        ),
    ),
    Kind("certificate", identity=_CERTIFICATE),
    Kind("join token", _machine("join-token/example", "AJTKEXAMPLE")),
    Kind("instance", _machine(f"instance/{INSTANCE}", INSTANCE)),
    Kind("person of a directory", identity=_outside(PrincipalType.LDAP, LDAP)),
)

ADMIN = replace(KINDS[3], title="")
