"""Identity providers of an account: SAML, OpenID Connect, LDAP."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from msgspec.structs import replace

from broker import errors
from broker.kinds.accounts import require_account
from broker.kinds.limits import Quota, require_within
from broker.kinds.rules import Named, Rules, Work
from broker.kinds.tags import KeyCase, given_tags, tag_pairs
from broker.model.account import AccountId
from broker.model.entities import (
    EncryptionMode,
    LdapProvider,
    OidcProvider,
    SamlPrivateKey,
    SamlProvider,
)
from broker.model.sealing import Sealer
from broker.policy import CONTEXT_KEYS
from broker.policy.catalogue import find_service
from broker.protocols.saml.errors import (
    MetadataReason,
    MetadataRejected,
    PrivateKeyRejected,
)
from broker.protocols.saml.keys import encryption_certificate, parse_private_key
from broker.protocols.saml.metadata import parse_metadata
from broker.runtime.entropy import new_provider_id
from broker.stores.directory.kinds import LDAP_PROVIDER, OIDC_PROVIDER, SAML_PROVIDER

if TYPE_CHECKING:
    from broker.model.types import iam as types


SAML_KEY_SEAL = ("saml-private-key", "pem")
"""Purpose and column that a decryption key is sealed for; the entity is its id."""

_CHANGES = {
    "AddPrivateKey",
    "AssertionEncryptionMode",
    "RemovePrivateKey",
    "SAMLMetadataDocument",
}
_CERTIFICATES = ("-----BEGIN CERTIFICATE", "-----BEGIN TRUSTED CERTIFICATE", "MII")
_HTTP_PORT = 80
_LOOKED_AT = 4096
_GIVE_METADATA = (
    "give the identity provider's metadata, an XML document that begins with"
    " EntityDescriptor."
)
_KEYS_MAX = 2
_VALID_YEARS = 100


IsInternal = Callable[[AccountId, str, int], bool]
"""Whether the operator lists exactly this host and port for the account."""

_FORM = "Write the issuer as its tokens name it in iss, such as https://idp.example.com/realm."
_THUMBPRINTS_MAX = 5
_HTTPS_PORT = 443
_PLAIN_PORT = 80
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()+,;=:@%-]*)*")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}", re.ASCII)
_KEY_PREFIXES = frozenset(name.partition(":")[0] for name in CONTEXT_KEYS)


def _saml_view(provider: SamlProvider) -> types.GetSAMLProviderResponse:
    return {
        "SAMLProviderUUID": provider.uuid,
        "SAMLMetadataDocument": provider.metadata,
        "CreateDate": provider.created_at,
        "ValidUntil": provider.valid_until,
        "Tags": [{"Key": k, "Value": v} for k, v in tag_pairs(provider.tags)],
        "AssertionEncryptionMode": provider.encryption_mode.value,
        "PrivateKeyList": [
            {"KeyId": key.key_id, "Timestamp": key.created_at}
            for key in provider.private_keys
        ],
    }


def saml_providers(sealer: Sealer | None) -> Named[SamlProvider]:
    """The kind; metadata that is given has passed `check_metadata`.

    Without ``sealer``, which keeps decryption keys, none is added.
    """

    async def make(params: types.CreateSAMLProviderRequest, work: Work) -> SamlProvider:
        provider = SamlProvider(
            account=work.account,
            uuid=new_provider_id("SAMLSP"),
            name=params["Name"],
            metadata=params["SAMLMetadataDocument"],
            created_at=work.now,
            valid_until=_valid_until(work.now),
            tags=given_tags(params.get("Tags", ()), KeyCase.SENSITIVE),
        )
        if await work.change.named(SAML_PROVIDER, work.account, provider.name):
            raise errors.EntityAlreadyExists(SAML_PROVIDERS.taken.format(provider))
        await work.require_room(SAML_PROVIDER, Quota.SAML_PROVIDERS)
        return _changed(provider, params, sealer, work.now)

    async def change(
        provider: SamlProvider, params: types.UpdateSAMLProviderRequest, work: Work
    ) -> SamlProvider:
        if "AddPrivateKey" in params and "RemovePrivateKey" in params:
            raise errors.ValidationError(
                "Unable to add and remove private keys in the same request. Set a value"
                " for only one of the two parameters."
            )
        if not params.keys() & _CHANGES:
            raise errors.ValidationError(
                "Unable to update identity provider. No updates are defined for metadata"
                " or encryption assertion."
            )
        renewed = replace(provider, valid_until=_valid_until(work.now))
        return _changed(renewed, params, sealer, work.now)

    return Named(
        kind=SAML_PROVIDER,
        quota=None,
        make=make,
        change=change,
        view=_saml_view,
        missing="Manifest not found for arn {}",
        taken="Provider with name {0.name} already exists.",
        name="SAMLProviderArn",
        resource="saml-provider",
        one="",
        many="SAMLProviderList",
        by_arn=True,
    )


def _changed(
    provider: SamlProvider,
    params: Mapping[str, Any],
    sealer: Sealer | None,
    now: datetime,
) -> SamlProvider:
    mode = params.get("AssertionEncryptionMode", provider.encryption_mode)
    changed = replace(
        provider, metadata=params.get("SAMLMetadataDocument", provider.metadata)
    )
    if sealer is not None and "AddPrivateKey" in params:
        changed = _with_private_key(changed, params["AddPrivateKey"], sealer, now)
    if "RemovePrivateKey" in params:
        changed = _without_key(changed, params["RemovePrivateKey"])
    changed = replace(changed, encryption_mode=EncryptionMode(mode))
    _check_mode(changed)
    return changed


SAML_PROVIDERS = saml_providers(None)
require_saml_provider = SAML_PROVIDERS.require


def check_metadata(
    metadata: str,
    options: Mapping[str, object],
    http_hosts: Collection[str],
    now: datetime,
) -> None:
    """Judge a metadata document for registration.

    ``http_hosts`` are the ``host[:port]`` whose endpoints may be plain http.

    Raises:
        InvalidInput: it is refused.
    """
    try:
        parse_metadata(
            metadata,
            now=now,
            legacy_rsa=options.get("LegacyRsa") is True,
            http_hosts=http_hosts,
        )
    except MetadataRejected as error:
        raise errors.InvalidInput(
            error.message,
            detail=f"{error.reason}: {error.detail}",
            advice=_advice_on(error, metadata),
        ) from error


def _advice_on(error: MetadataRejected, metadata: str) -> str:
    if error.reason is not MetadataReason.ENDPOINT:
        return _what_it_is(metadata)
    try:
        parts = urlsplit(error.detail)
        place = f"{parts.hostname}:{parts.port or _HTTP_PORT}"
    except ValueError:
        return ""
    if parts.scheme != "http" or not parts.hostname:
        return ""
    return (
        "An identity provider with plain http is for the operator to allow: set"
        f" BROKER_INTERNAL_ISSUERS={place} (it takes a list) and restart the broker."
    )


def _what_it_is(text: str) -> str:
    """What was given in place of metadata, and what to give; empty for metadata."""
    start = text[:_LOOKED_AT].lstrip("\ufeff \t\r\n")
    if start.startswith(_CERTIFICATES):
        return f"This is a certificate; {_GIVE_METADATA} It has the certificate inside."
    if start.startswith("-----BEGIN"):
        return f"This is a key; {_GIVE_METADATA}"
    if start.lower().startswith(("http://", "https://")):
        return (
            f"This is a URL; {_GIVE_METADATA} The operator can have the broker fetch it:"
            " broker providers set ARN MetadataUrl=…"
        )
    if start.lower().startswith(("<!doctype html", "<html")):
        return f"This is a web page; {_GIVE_METADATA}"
    if not start.startswith("<"):
        return f"This is not XML; {_GIVE_METADATA}"
    return ""


def _with_private_key(
    provider: SamlProvider, pem: str, sealer: Sealer, now: datetime
) -> SamlProvider:
    """The provider with one more decryption key, the newest first."""
    if len(provider.private_keys) >= _KEYS_MAX:
        raise errors.LimitExceeded(f"Private key limit of {_KEYS_MAX} is reached.")
    try:
        private = parse_private_key(pem.encode("utf-8"))
    except PrivateKeyRejected as error:
        raise errors.InvalidInput(error.message, detail=error.detail) from error
    key_id = new_provider_id("SAMLPK")
    purpose, column = SAML_KEY_SEAL
    sealed = sealer.seal(purpose, provider.account, key_id, column, pem.encode("utf-8"))
    key = SamlPrivateKey(
        key_id=key_id,
        created_at=now,
        sealed_pem=sealed,
        certificate=encryption_certificate(
            private, common_name=provider.uuid, not_before=now
        ),
    )
    return replace(provider, private_keys=(key, *provider.private_keys))


def _without_key(provider: SamlProvider, key_id: str) -> SamlProvider:
    kept = tuple(key for key in provider.private_keys if key.key_id != key_id)
    if len(kept) == len(provider.private_keys):
        raise errors.InvalidInput("Failed to remove private key.")
    return replace(provider, private_keys=kept)


def _check_mode(provider: SamlProvider) -> None:
    """Refuse required encryption without a key."""
    if (
        provider.encryption_mode is EncryptionMode.REQUIRED
        and not provider.private_keys
    ):
        raise errors.InvalidInput(
            "Failed to set assertion encryption mode to Required because no private key "
            "is present."
        )


def _valid_until(now: datetime) -> datetime:
    try:
        return now.replace(year=now.year + _VALID_YEARS)
    except ValueError:
        # 29 February, where the year a century later is not a leap year.
        return now.replace(year=now.year + _VALID_YEARS, day=28)


async def _change_oidc(
    provider: OidcProvider, params: Mapping[str, Any], work: Work
) -> OidcProvider:
    """With other client ids (duplicates removed) and thumbprints, where given."""
    clients = tuple(dict.fromkeys(params.get("ClientIDList", provider.client_ids)))
    if len(clients) > len(provider.client_ids):
        account = await require_account(work.change, work.account)
        with errors.about("ClientIDList"):
            require_within(account, Quota.CLIENT_IDS, len(clients))
    thumbprints = checked_thumbprints(
        params.get("ThumbprintList", provider.thumbprints)
    )
    return replace(provider, client_ids=clients, thumbprints=thumbprints)


def _oidc_view(provider: OidcProvider) -> types.GetOpenIDConnectProviderResponse:
    return {
        "Url": provider.host_and_path,
        "ClientIDList": list(provider.client_ids),
        "ThumbprintList": list(provider.thumbprints),
        "CreateDate": provider.created_at,
        "Tags": [{"Key": k, "Value": v} for k, v in tag_pairs(provider.tags)],
    }


OIDC_PROVIDERS = Named(
    kind=OIDC_PROVIDER,
    quota=Quota.OIDC_PROVIDERS,
    change=_change_oidc,
    view=_oidc_view,
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
        params: types.CreateOpenIDConnectProviderRequest, work: Work
    ) -> OidcProvider:
        tags = given_tags(params.get("Tags", ()), KeyCase.SENSITIVE)
        url = params["Url"]
        plain = OidcProvider(
            account=work.account,
            unique_id=new_provider_id("OIDCP"),
            url=checked_issuer_url(url, work.account, is_internal),
            client_ids=(),
            thumbprints=(),
            created_at=work.now,
            tags=tags,
        )
        made = await _change_oidc(plain, params, work)
        # An issuer without a dot: its condition keys would be those of a directory.
        at = (work.account, made.host_and_path)
        if await work.change.named(OIDC_PROVIDER, *at) or await work.change.named(
            LDAP_PROVIDER, *at
        ):
            raise errors.EntityAlreadyExists(f"Provider with url {url} already exists.")
        return made

    return replace(OIDC_PROVIDERS, make=make)


def checked_thumbprints(thumbprints: Iterable[str]) -> tuple[str, ...]:
    """The thumbprints as stored: lower-case, in their order.

    Raises:
        InvalidInput: there are more than five.
    """
    checked = tuple(thumbprint.lower() for thumbprint in thumbprints)
    if len(checked) > _THUMBPRINTS_MAX:
        raise errors.InvalidInput(
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
        raise errors.InvalidInput("Unknown")
    host = parts.hostname or ""
    effective = port or (_HTTPS_PORT if parts.scheme == "https" else _PLAIN_PORT)
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


def _invalid_url(advice: str = _FORM) -> errors.ValidationError:
    return errors.ValidationError("Invalid Open ID Connect Provider URL", advice=advice)


def checked_name(name: str) -> str:
    """A name that condition keys can begin with.

    Not one that other keys begin with: ``aws:username`` must never be a directory's
    word. Issuers have a dot or a port, which no name has.

    Raises:
        InvalidInput: it is none.
    """
    if not _NAME.fullmatch(name):
        raise errors.InvalidInput(
            f"{name!r:.80} is not a name of an LDAP provider: lower-case letters, digits"
            " and hyphens, a letter first"
        )
    if name in _KEY_PREFIXES or find_service(name) is not None:
        raise errors.InvalidInput(
            f"{name!r} cannot name an LDAP provider: condition keys of AWS begin so"
        )
    return name


async def _make_ldap(params: Mapping[str, Any], work: Work) -> LdapProvider:
    provider = LdapProvider(
        account=work.account,
        unique_id=new_provider_id("LDAPP"),
        name=checked_name(params["Name"]),
        directory=params["Directory"],
        created_at=work.now,
    )
    at = (work.account, provider.name)
    # An issuer without a dot may have the name.
    if await work.change.named(LDAP_PROVIDER, *at) or await work.change.named(
        OIDC_PROVIDER, *at
    ):
        raise errors.EntityAlreadyExists(LDAP_PROVIDERS.taken.format(provider))
    return provider


def _ldap_view(provider: LdapProvider) -> dict[str, Any]:
    return {
        "Arn": provider.arn,
        "Name": provider.name,
        "ProviderId": provider.unique_id,
        "Directory": provider.directory,
        "CreateDate": provider.created_at,
    }


LDAP_PROVIDERS = Rules(
    kind=LDAP_PROVIDER,
    quota=Quota.LDAP_PROVIDERS,
    make=_make_ldap,
    view=_ldap_view,
    taken="Provider with name {0.name} already exists.",
)
