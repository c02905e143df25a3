"""*Identity providers*: the list, with their health, and the forms for new ones."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from operator import attrgetter

from msgspec import Struct
from starlette.responses import Response

from broker.actions.signin.identity_providers import OIDC_KIND, SAML_KIND
from broker.administration.buttons import describe, read_tags
from broker.administration.listing import Found, ListPage, PagePart, Query, read_part
from broker.console.signin.oidc_signin import CALLBACK
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import AccessDenied
from broker.proofs.diagnosis import LASSO_ADVICE
from broker.proofs.provider_health import HealthFinding, HealthLevel, ProviderHealth

SECTION = "providers"
LIST = "/console/providers"
DETAIL = "/console/providers/provider"
NEW_SAML = "/console/providers/new/saml"
NEW_OIDC = "/console/providers/new/oidc"
DIAGNOSE = "/console/providers/diagnose"

IS_NEW = {"new": "yes"}
"""The query of a new provider's page, which has it probed."""

ROWS = 50
LDAP_KIND = "ldap-provider"
_LISTS = {
    SAML_KIND: ("ListSAMLProviders", "SAMLProviderList"),
    OIDC_KIND: ("ListOpenIDConnectProviders", "OpenIDConnectProviderList"),
}
_KINDS = {SAML_KIND: "SAML", OIDC_KIND: "OpenID Connect", LDAP_KIND: "Directory"}

_NOT_WATCHED = HealthFinding(HealthLevel.UNKNOWN, "Its servers are not monitored.")
_LEVELS = ("problem", "warning", "unknown", "good")


class ProviderRow(Struct, frozen=True):
    """A provider in the list; ``health`` is None if the user may not see it."""

    arn: str
    kind: str
    name: str
    health: ProviderHealth | None

    @property
    def kind_name(self) -> str:
        """The kind in words."""
        return _KINDS[self.kind]


async def list_rows(visit: Visit) -> tuple[list[ProviderRow], list[str]]:
    """List the account's SAML and OpenID Connect providers, and why some are missing.

    Raises:
        AccessDenied: The user may list neither kind.
    """
    rows: list[ProviderRow] = []
    refused: list[AccessDenied] = []
    for kind, (action, member) in _LISTS.items():
        try:
            listed = (await visit.iam(action))[member]
        except AccessDenied as error:
            refused.append(error)
            continue
        healths = await _healths(visit, kind) if listed else {}
        rows += (
            ProviderRow(
                entry["Arn"], kind, name_of(entry["Arn"]), healths.get(entry["Arn"])
            )
            for entry in listed
        )
    if len(refused) == len(_LISTS):
        raise refused[0]
    return rows, [error.words for error in refused]


def _directory_rows(part: PagePart) -> list[ProviderRow]:
    """The rows of LDAP providers: when each was used, since nothing watches them."""
    return [
        ProviderRow(
            provider["Arn"],
            LDAP_KIND,
            provider["Name"],
            ProviderHealth(
                arn=provider["Arn"],
                findings=(_NOT_WATCHED,),
                accepted_at=provider.get("AcceptedDate"),
                refused_at=provider.get("RefusedDate"),
            ),
        )
        for provider in part.get("LDAPProviders")
    ]


def name_of(arn: str) -> str:
    """A provider's name, or its issuer without the scheme."""
    return arn.partition("-provider/")[2]


async def _healths(visit: Visit, kind: str) -> Mapping[str, ProviderHealth]:
    try:
        result = await visit.perform("signin", "ListProviderHealth", Kind=kind)
    except AccessDenied:
        # Listing providers does not imply reading them: show their names only.
        return {}
    return {provider.arn: health for provider, health in result["Providers"]}


async def _read(visit: Visit, _query: Query) -> Found:
    directories = await read_part(visit, "ListLDAPProviders", service="broker")
    try:
        rows, refused = await list_rows(visit)
    except AccessDenied as error:
        if directories.refused:
            raise
        rows, refused = [], [error.words]
    rows += _directory_rows(directories)
    if directories.refused:
        refused.append(directories.refused)
    hidden = any(row.health is None for row in rows)
    return Found(rows, more={"refused": refused, "without_health": hidden})


_LIST = ListPage(
    path=LIST,
    here=SECTION,
    template="admin/providers.html",
    read=_read,
    searched=attrgetter("name"),
    by={
        # As they are read: SAML first.
        "kind": lambda row: list(_KINDS).index(row.kind),
        "name": lambda row: row.name.lower(),
        "health": lambda row: row.health and _LEVELS.index(row.health.level),
        "accepted": lambda row: row.health and row.health.accepted_at,
        "refused": lambda row: row.health and row.health.refused_at,
        "ends": lambda row: row.health and row.health.first_end,
    },
    order="kind",
    rows=ROWS,
)


async def _new_saml(visit: Visit) -> Response:
    names = ("name", "metadata", "mode", "tags")
    return await _new(visit, "admin/provider_new_saml.html", names, _create_saml)


async def _create_saml(visit: Visit) -> str:
    made = await visit.iam(
        "CreateSAMLProvider",
        Name=visit.text("name"),
        SAMLMetadataDocument=visit.text("metadata"),
        AssertionEncryptionMode=visit.text("mode") or None,
        Tags=read_tags(visit.text("tags")) or None,
    )
    return str(made["SAMLProviderArn"])


async def _new_oidc(visit: Visit) -> Response:
    names = ("url", "clients", "thumbprints", "tags")
    return await _new(visit, "admin/provider_new_oidc.html", names, _create_oidc)


async def _create_oidc(visit: Visit) -> str:
    made = await visit.iam(
        "CreateOpenIDConnectProvider",
        Url=visit.text("url"),
        ClientIDList=lines(visit.text("clients")) or None,
        ThumbprintList=lines(visit.text("thumbprints")) or None,
        Tags=read_tags(visit.text("tags")) or None,
    )
    return str(made["OpenIDConnectProviderArn"])


async def _new(
    visit: Visit,
    template: str,
    names: Iterable[str],
    create: Callable[[Visit], Awaitable[str]],
) -> Response:
    if visit.posted:
        with visit.attempt(describe):
            arn = await create(visit)
            return visit.done(
                "Provider added. Set it up there as shown below, then create a role"
                " for it.",
                DETAIL,
                arn=arn,
                **IS_NEW,
            )
    return await visit.show(
        template,
        values={name: visit.text(name) for name in names},
        lasso=LASSO_ADVICE,
        origin=visit.deps.public_origin,
        entity_id=visit.deps.entity_id,
        callback=CALLBACK,
    )


def lines(text: str) -> list[str]:
    """The non-blank lines of a field."""
    return [line.strip() for line in text.splitlines() if line.strip()]


PAGES = (
    _LIST.route(),
    PageRoute(NEW_SAML, SECTION, _new_saml, BOTH, long=True),
    PageRoute(NEW_OIDC, SECTION, _new_oidc, BOTH),
)
