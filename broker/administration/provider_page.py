"""The page of one identity provider: its health, setup, settings and broker options."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from broker.actions.scim.administration import GROUPS_MAX, PEOPLE_MAX
from broker.actions.signin.identity_providers import OIDC_KIND, kind_of
from broker.administration import providers
from broker.administration.buttons import (
    Button,
    Buttons,
    describe,
    show_tokens,
    tag_buttons,
    token_buttons,
    typed,
)
from broker.administration.listing import read_part
from broker.administration.provider_setup import oidc_setup, saml_setup
from broker.administration.providers import IS_NEW, lines, name_of
from broker.console.context import SIGN_IN
from broker.console.pages.audit_filters import AUDIT
from broker.console.tables import page_number, place_page
from broker.console.visit import BOTH, PageRoute, Visit, address, go
from broker.errors import AccessDenied, BrokerError, NoSuchEntity, ValidationError
from broker.kinds.bearer_tokens import SCIM_TOKENS
from broker.model.entities import OidcProvider, SamlProvider
from broker.policy import DIRECTORY_KEYS
from broker.proofs.provider_health import HealthFinding
from broker.proofs.provider_options import GROUPS, OPTIONS_OF, SECRET

SECTION = providers.SECTION
DETAIL = providers.DETAIL
METADATA = "/console/providers/metadata"
OPTIONS = "/console/providers/options"
_MEDIA_TYPE = "application/samlmetadata+xml"
_DONE = {"checked": "Fetched just now without problems."}

_SAML, _OIDC = "SAMLProvider", "OpenIDConnectProvider"
_UPDATE = "UpdateSAMLProvider"
_CLIENT = {"ClientID": typed("client")}
SCIM = "/console/providers/scim"
_INACTIVE = "inactive"
_SCIM_BUTTONS = Buttons(
    path=SCIM,
    query="arn",
    member="ProviderArn",
    service="broker",
    known=token_buttons(SCIM_TOKENS),
)


async def _page(visit: Visit) -> Response:
    arn = require_arn(visit)
    buttons = _OIDC_BUTTONS if kind_of(arn) == OIDC_KIND else _SAML_BUTTONS
    if isinstance(done := await buttons.press(visit, arn), Response):
        return done
    if f":{providers.LDAP_KIND}/" in arn:
        return await _show_directory(visit, arn)
    # First, so that the health shows what it read.
    probe = await _probe(visit, arn) if visit.text("new") == IS_NEW["new"] else ()
    answer = await visit.perform("signin", "GetProviderHealth", ProviderArn=arn)
    provider = answer["Provider"]
    trusted = await read_part(
        visit, "ListTrustingRoles", service="signin", ProviderArn=provider.arn
    )
    return await visit.show(
        "admin/provider.html",
        provider=provider,
        health=answer["Health"],
        options=answer["Options"],
        may_set_options=answer["MaySetOptions"],
        saml=isinstance(provider, SamlProvider),
        name=name_of(provider.arn),
        tags=[{"Key": key, "Value": value} for key, value in provider.tags.items()],
        trusted=trusted,
        setup=expectations_of(visit, provider),
        audit=AUDIT,
        done=_DONE.get(visit.text("done"), ""),
        probe=probe,
        # A private key is a secret: it is not sent back to be corrected.
        values={
            field: visit.text(field)
            for field in ("metadata", "client", "thumbprints", "tags")
        },
    )


async def _probe(visit: Visit, arn: str) -> tuple[HealthFinding, ...]:
    """Probe a new provider; nothing is found if the user may not probe it."""
    try:
        answer = await visit.perform("signin", "ProbeProvider", ProviderArn=arn)
    except BrokerError:
        return ()
    return tuple(answer["Findings"])


def require_arn(visit: Visit) -> str:
    """Read the ARN of the page's provider.

    Raises:
        ValidationError: It is missing.
    """
    arn = visit.text("arn")[:2048]
    if not arn:
        raise ValidationError("The provider's ARN is missing.")
    return arn


def expectations_of(
    visit: Visit, provider: SamlProvider | OidcProvider
) -> Mapping[str, Any]:
    """What the broker expects of proofs, and so what to set up at the provider."""
    deps = visit.deps
    if isinstance(provider, OidcProvider):
        return oidc_setup(provider, origin=deps.public_origin)
    return saml_setup(
        provider,
        origin=deps.public_origin,
        entity_id=deps.entity_id,
        expected=deps.federated.expected_of(provider),
    )


async def _show_directory(visit: Visit, arn: str) -> Response:
    """Show an LDAP provider, which only ``broker apply`` changes.

    Raises:
        AccessDenied: The user may not list LDAP providers.
        NoSuchEntity: The account has none of this ARN.
    """
    listed = (await visit.perform("broker", "ListLDAPProviders"))["LDAPProviders"]
    directory = next((entry for entry in listed if entry["Arn"] == arn), None)
    if directory is None:
        raise NoSuchEntity(f"There is no provider {arn[:300]} in this account.")
    options = json.loads(directory["Options"])
    group_roles = options.pop("GroupRoles", {})
    account = visit.who.session.account
    start = (
        f"{visit.deps.public_origin}{SIGN_IN}/{account}/with/{directory['ProviderId']}"
    )
    return await visit.show(
        "admin/provider_ldap.html",
        provider=directory,
        options={name: json.dumps(value) for name, value in sorted(options.items())},
        group_roles=sorted(group_roles.items()),
        start=start if options.get("SignIn") else "",
        keys=[f"{directory['Name']}:{key}" for key in DIRECTORY_KEYS],
        trusted=await read_part(
            visit, "ListTrustingRoles", service="signin", ProviderArn=arn
        ),
        audit=AUDIT,
    )


async def _options(visit: Visit) -> Response:
    arn = require_arn(visit)
    known = OPTIONS_OF[OidcProvider if kind_of(arn) == OIDC_KIND else SamlProvider]
    values = {name: visit.text(name) for name in known}
    if visit.posted:
        with visit.attempt(describe):
            await visit.perform(
                "signin", "SetProviderOptions", ProviderArn=arn, Options=values
            )
            return visit.done("Options saved.", DETAIL, arn=arn)
    options = await visit.perform("signin", "GetProviderOptions", ProviderArn=arn)
    if options["Options"] is None:
        raise AccessDenied(
            "The operator has not let this account set its providers' options in the"
            " console. They can be set with “broker providers set”."
        )
    view = options["Options"]
    if visit.refusal is not None:
        # A secret is not sent back to be corrected.
        view = {**values, SECRET: view.get(SECRET, "")}
    return await visit.show(
        "admin/provider_options.html",
        arn=arn,
        name=name_of(arn),
        groups={
            title: [option for option in known.values() if option.place.group == title]
            for title in GROUPS
        },
        values=view,
    )


async def _metadata(visit: Visit) -> Response:
    arn = require_arn(visit)
    results = await visit.iam("GetSAMLProvider", SAMLProviderArn=arn)
    return Response(
        results["SAMLMetadataDocument"],
        media_type=_MEDIA_TYPE,
        headers={
            "cache-control": "no-store",
            "content-disposition": 'attachment; filename="metadata.xml"',
        },
    )


async def _check(visit: Visit, arn: str) -> Response:
    result = await visit.perform("signin", "CheckProvider", ProviderArn=arn)
    if result["Problem"]:
        raise ValidationError(str(result["Problem"]))
    return go(DETAIL, arn=arn, done="checked")


async def _delete(visit: Visit, arn: str) -> Response:
    if visit.text("sure") != name_of(arn):
        raise ValidationError("Type the provider's name to delete it.")
    noun = _OIDC if kind_of(arn) == OIDC_KIND else _SAML
    await visit.iam(f"Delete{noun}", **{f"{noun}Arn": arn})
    return visit.done(f"Provider {name_of(arn)} deleted.", providers.LIST)


def _buttons(noun: str, known: Mapping[str, Button]) -> Buttons:
    return Buttons(
        makes={"add-client": "client"},
        path=DETAIL,
        query="arn",
        member=f"{noun}Arn",
        known={"check": _check, "delete": _delete, **tag_buttons(noun), **known},
    )


_SAML_BUTTONS = _buttons(
    _SAML,
    {
        "metadata": Button(_UPDATE, {"SAMLMetadataDocument": typed("metadata")}),
        "mode": Button(_UPDATE, {"AssertionEncryptionMode": typed("mode")}),
        "add-key": Button(_UPDATE, {"AddPrivateKey": typed("pem")}),
        "remove-key": Button(_UPDATE, {"RemovePrivateKey": typed("key")}),
    },
)
_OIDC_BUTTONS = _buttons(
    _OIDC,
    {
        "add-client": Button("AddClientIDToOpenIDConnectProvider", _CLIENT),
        "remove-client": Button("RemoveClientIDFromOpenIDConnectProvider", _CLIENT),
        "thumbprints": Button(
            "UpdateOpenIDConnectProviderThumbprint",
            {"ThumbprintList": typed("thumbprints", lines)},
        ),
    },
)


async def _scim(visit: Visit) -> Response:
    arn = require_arn(visit)
    if isinstance(made := await _SCIM_BUTTONS.press(visit, arn), Response):
        return made
    search, state = visit.text("q")[:128], visit.text("state")
    inactive_only = state == _INACTIVE
    number = page_number(visit.text("page"))
    answer = await visit.perform(
        "signin",
        "GetProvisioning",
        ProviderArn=arn,
        Start=number * PEOPLE_MAX,
        UserName=search,
        InactiveOnly=inactive_only,
    )
    account = visit.who.session.account
    here = {"arn": arn, "q": search, "state": _INACTIVE if inactive_only else ""}
    page = place_page(
        answer["Users"], answer["Total"], number, SCIM, PEOPLE_MAX, **here
    )
    return await visit.show(
        "admin/provider_scim.html",
        provider=answer["Provider"],
        name=name_of(arn),
        options=answer["Options"],
        counts=answer["Counts"],
        members=answer["Members"],
        groups=answer["Groups"],
        groups_max=GROUPS_MAX,
        scim_address=f"{visit.deps.public_origin}/scim/v2/{account}",
        **await show_tokens(visit, SCIM_TOKENS, made, arn),
        search=search,
        inactive_only=inactive_only,
        states=[
            ("All", address(SCIM, arn=arn, q=search), not inactive_only),
            (
                "Inactive",
                address(SCIM, arn=arn, q=search, state=_INACTIVE),
                inactive_only,
            ),
        ],
        pages=page,
    )


PAGES = (
    PageRoute(DETAIL, SECTION, _page, BOTH, long=True),
    PageRoute(METADATA, SECTION, _metadata),
    PageRoute(OPTIONS, SECTION, _options, BOTH, long=True),
    PageRoute(SCIM, SECTION, _scim, BOTH),
)
