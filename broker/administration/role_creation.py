"""*New role*: trusted entity, permissions and session duration."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from broker.administration import roles
from broker.administration.buttons import read_tags
from broker.administration.listing import read_part
from broker.administration.policy_draft import pretty
from broker.administration.policy_editor import (
    DO,
    SAVE,
    PolicyEditor,
    apply_command,
    begin,
    begin_empty,
    read_editor,
)
from broker.administration.role_trust import TRUSTED, TrustForm, trust_statement
from broker.administration.roles import DETAIL, policy_arn, session_seconds
from broker.administration.trust_words import TrustLine, trust_lines
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import BrokerError, ServiceUnavailable, ValidationError
from broker.kinds.managed_policies import aws_managed_arns
from broker.policy import PolicyKind, PolicyRejected, parse_policy

NEW = "/console/roles/new"
_BAD_REQUEST = 400
_CUSTOM = "custom"
_FIELDS = (
    *("name", "path", "description", "minutes", "boundary", "tags", "policies"),
    *("account", "external_id", "provider", "audience", "subjects", "service"),
    *("attribute", "value"),
)
_TYPED_MAX = 8192
_OFFERED_MAX = 60
_OWN_READ = 500
_FIND_MAX = 128
_AWS = "arn:aws:iam::aws:policy"
_COMMON = (
    "AdministratorAccess",
    "PowerUserAccess",
    "ReadOnlyAccess",
    "SecurityAudit",
    "IAMFullAccess",
    "IAMReadOnlyAccess",
    "AmazonS3FullAccess",
    "AmazonS3ReadOnlyAccess",
    "AmazonEC2FullAccess",
    "AmazonEC2ReadOnlyAccess",
    "AmazonDynamoDBFullAccess",
    "AmazonDynamoDBReadOnlyAccess",
)
"""AWS managed policies that the page offers; others can be typed."""

_POLICIES_MAX = 20


class Provider(Struct, frozen=True):
    """An identity provider to choose from; ``label`` is its name."""

    arn: str
    label: str


async def _new(visit: Visit) -> Response:
    trusted = visit.text("for")
    if trusted not in TRUSTED and trusted != _CUSTOM:
        return await visit.show("admin/role_for.html", new=NEW)
    values = _values(visit, trusted)
    chosen = visit.posted_form.values("chosen")[:_POLICIES_MAX]
    editor = (
        read_editor(visit.posted_form, PolicyKind.TRUST) if trusted == _CUSTOM else None
    )
    # A link may preselect the trusted entity and the provider, but nothing else.
    do = visit.text(DO) if visit.posted else ""
    with visit.attempt():
        if do == "show-trust" and trusted != _CUSTOM:
            editor = begin(_trust(visit, trusted, values), PolicyKind.TRUST)
            trusted = _CUSTOM
        elif do == SAVE:
            if editor is not None:
                editor = editor.checked()
            if editor is None or editor.problem is None:
                text = editor.policy() if editor else _trust(visit, trusted, values)
                return await _create(visit, text, values, chosen)
            visit.status = _BAD_REQUEST
        elif editor is not None:
            editor = apply_command(editor, visit.form)
        elif trusted == _CUSTOM:
            editor = begin_empty(PolicyKind.TRUST)
    return await _show(visit, trusted, editor, values=values, chosen=chosen)


def _values(visit: Visit, trusted: str) -> dict[str, str]:
    form = visit.posted_form
    values = {name: (form.find(name) or "").strip()[:_TYPED_MAX] for name in _FIELDS}
    if not visit.posted:
        values["provider"] = visit.text("provider")[:_TYPED_MAX]
    if trusted == "saml" and not visit.posted:
        # Matches the shared ACS URL and each provider's own below it.
        values["audience"] = f"{visit.deps.public_origin}/saml*"
    return values


async def _show(
    visit: Visit,
    trusted: str,
    editor: PolicyEditor | None,
    *,
    values: Mapping[str, str],
    chosen: tuple[str, ...],
) -> Response:
    find = visit.posted_form.find("find") or ""
    providers = await _providers(visit, trusted)
    if providers and not values["provider"]:
        values = {**values, "provider": providers[0].arn}
    return await visit.show(
        "admin/role_new.html",
        action=NEW,
        trusted=trusted,
        editor=editor,
        preview=None if editor else _preview(visit, trusted, values),
        providers=providers,
        find=find[:_FIND_MAX],
        offered=await _offered(visit, find.strip()[:_FIND_MAX], chosen),
        mfa=visit.is_checked("mfa"),
        # Both are offered ticked: without them, a session that carries transitive tags
        # or a source identity cannot switch to the role.
        tag_session=_ticked(visit, "tag_session"),
        source_identity=_ticked(visit, "source_identity"),
        values=values,
        chosen=chosen,
    )


def _ticked(visit: Visit, name: str) -> bool:
    return not visit.posted or visit.is_checked(name)


class Preview(Struct, frozen=True):
    """The trust policy as the form stands, or what is missing for one."""

    lines: tuple[TrustLine, ...] = ()
    text: str = ""
    missing: str = ""


def _preview(visit: Visit, trusted: str, values: Mapping[str, str]) -> Preview:
    try:
        text = _trust(visit, trusted, values)
        document = parse_policy(text, PolicyKind.TRUST)
    except BrokerError as error:
        return Preview(missing=error.words)
    except PolicyRejected as error:
        return Preview(missing=str(error))
    return Preview(trust_lines(document, visit.who.session.account), text)


async def _offered(
    visit: Visit, find: str, chosen: tuple[str, ...]
) -> list[Mapping[str, str]]:
    """Policies to choose from: those whose names hold the text, or common ones."""
    own = (
        await read_part(visit, "ListPolicies", Scope="Local", MaxItems=_OWN_READ)
    ).get("Policies")
    if find:
        aws = [arn for arn in aws_managed_arns() if find.lower() in _name(arn).lower()]
        own = [entry for entry in own if find.lower() in entry["PolicyName"].lower()]
    else:
        aws = [f"{_AWS}/{name}" for name in _COMMON]
    arns = [*(entry["Arn"] for entry in own[:_OFFERED_MAX]), *aws[:_OFFERED_MAX]]
    return [{"Arn": arn, "PolicyName": _name(arn)} for arn in arns if arn not in chosen]


def _name(arn: str) -> str:
    return arn.rpartition("/")[2]


def _trust(visit: Visit, trusted: str, values: Mapping[str, str]) -> str:
    statement = trust_statement(
        trusted,
        TrustForm(
            account=values["account"] or visit.who.session.account,
            external_id=values["external_id"],
            mfa=visit.is_checked("mfa"),
            provider=values["provider"],
            audience=values["audience"],
            subjects=values["subjects"],
            service=values["service"],
            attribute=values["attribute"],
            value=values["value"],
            tag_session=_ticked(visit, "tag_session"),
            source_identity=_ticked(visit, "source_identity"),
        ),
    )
    return pretty({"Version": "2012-10-17", "Statement": [statement]})


async def _create(
    visit: Visit, trust: str, values: Mapping[str, str], chosen: Iterable[str]
) -> Response:
    policies = [*chosen, *values["policies"].split()]
    arns = [policy_arn(text, visit) for text in dict.fromkeys(policies)]
    if len(arns) > _POLICIES_MAX:
        raise ValidationError("A role cannot have that many policies.")
    boundary = values["boundary"]
    created = await visit.iam(
        "CreateRole",
        RoleName=values["name"],
        Path=values["path"] or None,
        Description=values["description"] or None,
        AssumeRolePolicyDocument=trust,
        MaxSessionDuration=session_seconds(values["minutes"] or "60"),
        PermissionsBoundary=policy_arn(boundary, visit) if boundary else None,
        Tags=read_tags(values["tags"]) or None,
    )
    name = created["Role"]["RoleName"]
    failed: list[str] = []
    for arn in arns:
        try:
            await visit.iam("AttachRolePolicy", RoleName=name, PolicyArn=arn)
        except ServiceUnavailable:
            raise
        except BrokerError as error:
            failed.append(f"{arn}: {error.words}")
    if failed:
        # The role exists by now, so report what failed instead of undoing it.
        return await visit.show(
            "admin/role_made.html", name=name, failed=failed, page=DETAIL
        )
    return visit.done(f"Role {name} created.", DETAIL, name=name)


async def _providers(visit: Visit, trusted: str) -> tuple[Provider, ...]:
    listing: Mapping[str, tuple[str, str]] = {
        "saml": ("ListSAMLProviders", "SAMLProviderList"),
        "oidc": ("ListOpenIDConnectProviders", "OpenIDConnectProviderList"),
    }
    if trusted not in listing:
        return ()
    action, member = listing[trusted]
    results: list[Any] = (await read_part(visit, action)).get(member)
    return tuple(
        Provider(entry["Arn"], entry["Arn"].partition("/")[2]) for entry in results
    )


PAGES = (PageRoute(NEW, roles.SECTION, _new, BOTH, long=True),)
