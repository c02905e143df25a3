"""OpenID Connect providers: issuer URL, client ids and thumbprints.

Source: botocore's IAM model; IAM User Guide, id_roles_providers_create_oidc; recorded
answers (REC-S federation).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from broker.errors import EntityAlreadyExists, InvalidInput, ValidationError, about
from broker.kinds.accounts import require_account
from broker.kinds.kind import Named, Work
from broker.kinds.limits import Quota, require_within
from broker.kinds.tags import KeyCase, given_tags, tag_pairs
from broker.model.account import AccountId
from broker.model.entities import OidcProvider
from broker.runtime.entropy import new_provider_id
from broker.stores.directory.kinds import LDAP_PROVIDER, OIDC_PROVIDER

if TYPE_CHECKING:
    from broker.model.types import iam as types

IsInternal = Callable[[AccountId, str, int], bool]
"""Whether the operator lists exactly this host and port for the account."""

_FORM = "Write the issuer as its tokens name it in iss, such as https://idp.example.com/realm."
_THUMBPRINTS_MAX = 5
_HTTPS_PORT = 443
_HTTP_PORT = 80
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()+,;=:@%-]*)*")


async def _change(
    found: OidcProvider, given: Mapping[str, Any], work: Work
) -> OidcProvider:
    """With other client ids (duplicates removed) and thumbprints, where given."""
    clients = tuple(dict.fromkeys(given.get("ClientIDList", found.client_ids)))
    if len(clients) > len(found.client_ids):
        account = await require_account(work.change, work.account)
        with about("ClientIDList"):
            require_within(account, Quota.CLIENT_IDS, len(clients))
    thumbprints = checked_thumbprints(given.get("ThumbprintList", found.thumbprints))
    return replace(found, client_ids=clients, thumbprints=thumbprints)


def _view(found: OidcProvider) -> types.GetOpenIDConnectProviderResponse:
    return {
        "Url": found.host_and_path,
        "ClientIDList": list(found.client_ids),
        "ThumbprintList": list(found.thumbprints),
        "CreateDate": found.created_at,
        "Tags": [{"Key": k, "Value": v} for k, v in tag_pairs(found.tags)],
    }


OIDC_PROVIDERS = Named(
    kind=OIDC_PROVIDER,
    quota=Quota.OIDC_PROVIDERS,
    change=_change,
    view=_view,
    missing="OpenIDConnect Provider not found for arn {}",
    taken="Provider with url {0.url} already exists.",
    name="OpenIDConnectProviderArn",
    resource="oidc-provider",
    one="",
    many="OpenIDConnectProviderList",
    by_arn=True,
)
require_oidc_provider = OIDC_PROVIDERS.require


def with_issuers(is_internal: IsInternal) -> Named[OidcProvider]:
    """The kind where providers are made; their unique ids are new at every creation."""

    async def make(
        given: types.CreateOpenIDConnectProviderRequest, work: Work
    ) -> OidcProvider:
        tags = given_tags(given.get("Tags", ()), KeyCase.SENSITIVE)
        url = given["Url"]
        plain = OidcProvider(
            account=work.account,
            unique_id=new_provider_id("OIDCP"),
            url=checked_issuer_url(url, work.account, is_internal),
            client_ids=(),
            thumbprints=(),
            created_at=work.now,
            tags=tags,
        )
        made = await _change(plain, given, work)
        # An issuer without a dot: its condition keys would be those of a directory.
        at = (work.account, made.host_and_path)
        if await work.change.named(OIDC_PROVIDER, *at) or await work.change.named(
            LDAP_PROVIDER, *at
        ):
            raise EntityAlreadyExists(f"Provider with url {url} already exists.")
        return made

    return replace(OIDC_PROVIDERS, make=make)


def checked_thumbprints(thumbprints: Iterable[str]) -> tuple[str, ...]:
    """The thumbprints as stored: lower-case, in their order.

    Raises:
        InvalidInput: there are more than five.
    """
    checked = tuple(thumbprint.lower() for thumbprint in thumbprints)
    if len(checked) > _THUMBPRINTS_MAX:
        raise InvalidInput(
            f"Thumbprint list must contain fewer than {_THUMBPRINTS_MAX} entries."
        )
    return checked


def checked_issuer_url(url: str, account: AccountId, is_internal: IsInternal) -> str:
    """The issuer as stored and as tokens must name it.

    Plain http, and ports other than 443, are for internal issuers only. An explicit
    ``:443`` is dropped; a trailing slash is kept.

    Raises:
        ValidationError: that is not an issuer's URL.
        InvalidInput: it has a query or a fragment.
    """
    parts, port = _split(url)
    if "?" in url or "#" in url:
        raise InvalidInput("Unknown")
    host = parts.hostname or ""
    effective = port or (_HTTPS_PORT if parts.scheme == "https" else _HTTP_PORT)
    is_public_form = parts.scheme == "https" and effective == _HTTPS_PORT
    if not is_public_form and not is_internal(account, host, effective):
        raise _invalid_url(
            "Issuers with plain http or a port are for the operator to allow: set"
            f" BROKER_INTERNAL_ISSUERS={_written(host)}:{effective} (it takes a list) and"
            " restart the broker."
        )
    authority = parts.netloc
    if parts.scheme == "https" and port == _HTTPS_PORT:
        authority = authority.removesuffix(f":{_HTTPS_PORT}")
    return f"{parts.scheme}://{authority}{parts.path}"


def _split(url: str) -> tuple[SplitResult, int | None]:
    if not url.isascii() or not url.isprintable():
        raise _invalid_url()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _invalid_url() from error
    authority = parts.netloc if port is None else parts.netloc.rpartition(":")[0]
    if (
        parts.scheme not in {"https", "http"}
        or not url.startswith(f"{parts.scheme}://")
        or not _HOST.fullmatch(authority)
        or not _PATH.fullmatch(parts.path)
    ):
        raise _invalid_url()
    return parts, port


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _invalid_url(advice: str = _FORM) -> ValidationError:
    return ValidationError("Invalid Open ID Connect Provider URL", advice=advice)
