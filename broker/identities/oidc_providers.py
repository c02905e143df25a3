"""OpenID Connect providers: issuer URL, client ids and thumbprints.

Source: botocore's IAM model; IAM User Guide, id_roles_providers_create_oidc; recorded
answers (REC-S federation).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from urllib.parse import SplitResult, urlsplit

from broker.entropy import new_provider_id
from broker.errors import (
    EntityAlreadyExists,
    InvalidInput,
    NoSuchEntity,
    ValidationError,
)
from broker.identities.limits import Quota, require_within
from broker.identities.names import parse_provider_arn
from broker.model.account import Account, AccountId
from broker.model.entities import OidcProvider
from broker.stores.directory.kinds import OIDC_PROVIDER
from broker.stores.directory.port.providers import (
    OidcProviderChange,
    OidcProviderReader,
)
from broker.stores.errors import AlreadyExistsError

IsInternal = Callable[[AccountId, str, int], bool]
"""Whether the operator lists exactly this host and port for the account."""

_FORM = "Write the issuer as its tokens name it in iss, such as https://idp.example.com/realm."
_THUMBPRINTS_MAX = 5
_HTTPS_PORT = 443
_HTTP_PORT = 80
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()+,;=:@%-]*)*")


async def require_oidc_provider(
    directory: OidcProviderReader, account: AccountId, arn: str
) -> OidcProvider:
    """A provider by ARN.

    Raises:
        NoSuchEntity: there is none.
        InvalidInput: that is not an ARN of an OpenID Connect provider of the account.
    """
    provider = await _find(directory, account, arn)
    if provider is None:
        raise NoSuchEntity(f"OpenIDConnect Provider not found for arn {arn}")
    return provider


async def create_oidc_provider(
    change: OidcProviderChange,
    account: Account,
    *,
    url: str,
    client_ids: Iterable[str] = (),
    thumbprints: Iterable[str] = (),
    tags: Mapping[str, str],
    options: Mapping[str, object],
    is_internal: IsInternal,
    now: datetime,
) -> OidcProvider:
    """Register a provider; its unique id is new at every creation.

    Raises:
        ValidationError, InvalidInput: the URL or the thumbprints are refused.
        EntityAlreadyExists: there is one for that host and path.
        LimitExceeded: the account has too many, or there are too many client ids.
    """
    issuer = checked_issuer_url(url, account.account_id, is_internal)
    unique = tuple(dict.fromkeys(client_ids))
    require_within(account, Quota.CLIENT_IDS, len(unique))
    provider = OidcProvider(
        account=account.account_id,
        unique_id=new_provider_id("OIDCP"),
        url=issuer,
        client_ids=unique,
        thumbprints=checked_thumbprints(thumbprints),
        created_at=now,
        tags=tags,
        options=options,
    )
    taken = EntityAlreadyExists(f"Provider with url {url} already exists.")
    holder = await change.find_oidc_provider(account.account_id, provider.host_and_path)
    if holder is not None:
        raise taken
    # An issuer without a dot: its condition keys would be those of a directory.
    number, name = account.account_id, provider.host_and_path
    if await change.find_ldap_provider(number, name) is not None:
        raise taken
    count = await change.count(OIDC_PROVIDER, account.account_id)
    require_within(account, Quota.OIDC_PROVIDERS, count + 1)
    try:
        await change.insert_oidc_provider(provider)
    except AlreadyExistsError as error:
        raise taken from error
    return provider


async def delete_oidc_provider(
    change: OidcProviderChange, account: AccountId, arn: str
) -> None:
    """Remove a provider.

    Raises:
        NoSuchEntity: there is none.
        InvalidInput: that is not an ARN of an OpenID Connect provider of the account.
    """
    provider = await _find(change, account, arn)
    if provider is None:
        raise NoSuchEntity(f"OpenId connect Provider {arn} cannot be found.")
    await change.delete_oidc_provider(provider)


async def set_client_ids(
    change: OidcProviderChange,
    account: Account,
    provider: OidcProvider,
    client_ids: Iterable[str],
) -> None:
    """Replace the client ids, duplicates removed.

    Raises:
        LimitExceeded: there are too many.
    """
    unique = tuple(dict.fromkeys(client_ids))
    require_within(account, Quota.CLIENT_IDS, len(unique))
    if unique != provider.client_ids:
        await change.update_oidc_provider(replace(provider, client_ids=unique))


async def set_thumbprints(
    change: OidcProviderChange, provider: OidcProvider, thumbprints: Iterable[str]
) -> None:
    """Replace the thumbprints.

    Raises:
        InvalidInput: there are none, or more than five.
    """
    checked = checked_thumbprints(thumbprints)
    if not checked:
        raise InvalidInput("Thumbprint list must contain at least one entry.")
    await change.update_oidc_provider(replace(provider, thumbprints=checked))


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


async def _find(
    directory: OidcProviderReader, account: AccountId, arn: str
) -> OidcProvider | None:
    host_and_path = parse_provider_arn(arn, account, "oidc-provider")
    return await directory.find_oidc_provider(account, host_and_path)
