"""The page of one identity provider: its health, setup instructions and settings."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from starlette.responses import Response

from broker.actions.signin.identity_providers import OIDC_KIND, SAML_KIND, kind_of
from broker.administration import providers
from broker.administration.listing import read_part
from broker.administration.provider_setup import oidc_setup, saml_setup
from broker.administration.providers import describe_error, lines, name_of
from broker.administration.tag_lines import read_tags
from broker.console.page_frame import PageFrame, Route
from broker.console.pages.audit_log import AUDIT
from broker.console.visit import Visit, go, visited
from broker.errors import ValidationError
from broker.model.entities import OidcProvider, SamlProvider

HERE = providers.HERE
ONE = providers.ONE
METADATA = "/console/providers/metadata"
_MEDIA_TYPE = "application/samlmetadata+xml"
_DONE = {"checked": "Fetched just now without problems."}


class ProviderPage:
    """The provider's page, and the download of its metadata."""

    def __init__(self, frame: PageFrame) -> None:
        self._frame = frame

    def routes(self) -> Iterable[Route]:
        """Their routes."""
        both = ["GET", "POST"]
        return (
            (ONE, both, visited(self._frame, HERE, _page, long=True)),
            (METADATA, ["GET"], visited(self._frame, HERE, _metadata)),
        )


async def _page(visit: Visit) -> Response:
    arn = require_arn(visit)
    if visit.posted:
        with visit.attempt(describe_error):
            return await _act(visit, arn)
    found = await visit.perform("signin", "GetProviderHealth", ProviderArn=arn)
    provider = found["Provider"]
    trusted = await read_part(
        visit, "ListTrustingRoles", service="signin", ProviderArn=provider.arn
    )
    return await visit.show(
        "admin/provider.html",
        HERE,
        provider=provider,
        health=found["Health"],
        options=found["Options"],
        saml=isinstance(provider, SamlProvider),
        name=name_of(provider.arn),
        tags=[{"Key": key, "Value": value} for key, value in provider.tags.items()],
        trusted=trusted,
        setup=expectations_of(visit, provider),
        audit=AUDIT,
        done=_DONE.get(visit.text("done"), ""),
        # A private key is a secret: it is not sent back to be corrected.
        values={
            field: visit.text(field)
            for field in ("metadata", "client", "thumbprints", "tags")
        },
    )


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
    deps = visit.frame.context.deps
    if isinstance(provider, OidcProvider):
        return oidc_setup(provider, origin=deps.public_origin)
    return saml_setup(
        provider,
        origin=deps.public_origin,
        entity_id=deps.entity_id,
        expected=deps.federated.expected_of(provider),
    )


async def _metadata(visit: Visit) -> Response:
    """Download the registered metadata document."""
    arn = require_arn(visit)
    found = await visit.iam("GetSAMLProvider", SAMLProviderArn=arn)
    return Response(
        found["SAMLMetadataDocument"],
        media_type=_MEDIA_TYPE,
        headers={
            "cache-control": "no-store",
            "content-disposition": 'attachment; filename="metadata.xml"',
        },
    )


async def _act(visit: Visit, arn: str) -> Response:
    """Do what a button on the page says."""
    do = visit.text("do")
    if do == "check":
        result = await visit.perform("signin", "CheckProvider", ProviderArn=arn)
        if result["Problem"]:
            raise ValidationError(str(result["Problem"]))
        return go(ONE, arn=arn, done="checked")
    kind = kind_of(arn)
    operation = _OPERATIONS.get((kind, do))
    if operation is None:
        raise ValidationError("Unknown operation.")
    await operation(visit, arn)
    return go(providers.LIST) if do == "delete" else go(ONE, arn=arn)


Work = Callable[[Visit, str], Awaitable[object]]


async def _update_metadata(visit: Visit, arn: str) -> None:
    await visit.iam(
        "UpdateSAMLProvider",
        SAMLProviderArn=arn,
        SAMLMetadataDocument=visit.text("metadata"),
    )


async def _set_mode(visit: Visit, arn: str) -> None:
    await visit.iam(
        "UpdateSAMLProvider",
        SAMLProviderArn=arn,
        AssertionEncryptionMode=visit.text("mode"),
    )


async def _add_key(visit: Visit, arn: str) -> None:
    await visit.iam(
        "UpdateSAMLProvider", SAMLProviderArn=arn, AddPrivateKey=visit.text("pem")
    )


async def _remove_key(visit: Visit, arn: str) -> None:
    await visit.iam(
        "UpdateSAMLProvider", SAMLProviderArn=arn, RemovePrivateKey=visit.text("key")
    )


async def _add_client(visit: Visit, arn: str) -> None:
    await visit.iam(
        "AddClientIDToOpenIDConnectProvider",
        OpenIDConnectProviderArn=arn,
        ClientID=visit.text("client"),
    )


async def _remove_client(visit: Visit, arn: str) -> None:
    await visit.iam(
        "RemoveClientIDFromOpenIDConnectProvider",
        OpenIDConnectProviderArn=arn,
        ClientID=visit.text("client"),
    )


async def _set_thumbprints(visit: Visit, arn: str) -> None:
    await visit.iam(
        "UpdateOpenIDConnectProviderThumbprint",
        OpenIDConnectProviderArn=arn,
        ThumbprintList=lines(visit.text("thumbprints")),
    )


def _member(arn: str) -> tuple[str, dict[str, str]]:
    """The noun and parameter of this provider in the API's actions."""
    if kind_of(arn) == OIDC_KIND:
        return "OpenIDConnectProvider", {"OpenIDConnectProviderArn": arn}
    return "SAMLProvider", {"SAMLProviderArn": arn}


async def _tag(visit: Visit, arn: str) -> None:
    noun, named = _member(arn)
    await visit.iam(f"Tag{noun}", **named, Tags=read_tags(visit.text("tags")))


async def _untag(visit: Visit, arn: str) -> None:
    noun, named = _member(arn)
    await visit.iam(f"Untag{noun}", **named, TagKeys=[visit.text("key")])


async def _delete(visit: Visit, arn: str) -> None:
    if visit.text("sure") != name_of(arn):
        raise ValidationError("Type the provider's name to delete it.")
    noun, named = _member(arn)
    await visit.iam(f"Delete{noun}", **named)


_BOTH: Mapping[str, Work] = {"tag": _tag, "untag": _untag, "delete": _delete}
_OPERATIONS: Mapping[tuple[str, str], Work] = {
    **{
        (kind, do): work
        for kind in (SAML_KIND, OIDC_KIND)
        for do, work in _BOTH.items()
    },
    (SAML_KIND, "metadata"): _update_metadata,
    (SAML_KIND, "mode"): _set_mode,
    (SAML_KIND, "add-key"): _add_key,
    (SAML_KIND, "remove-key"): _remove_key,
    (OIDC_KIND, "add-client"): _add_client,
    (OIDC_KIND, "remove-client"): _remove_client,
    (OIDC_KIND, "thumbprints"): _set_thumbprints,
}
