"""SAML providers: metadata, encryption mode and decryption keys.

Source: botocore's IAM model; IAM User Guide, id_roles_providers_create_saml; recorded
answers (REC-S saml, saml-validation, federation).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from broker.errors import (
    EntityAlreadyExists,
    InvalidInput,
    LimitExceeded,
    ValidationError,
)
from broker.kinds.kind import Named, Work
from broker.kinds.limits import Quota
from broker.kinds.tags import KeyCase, given_tags, tag_pairs
from broker.model.entities import EncryptionMode, SamlPrivateKey, SamlProvider
from broker.model.sealing import Sealer
from broker.protocols.saml.errors import (
    MetadataReason,
    MetadataRejected,
    PrivateKeyRejected,
)
from broker.protocols.saml.keys import parse_private_key
from broker.protocols.saml.metadata import parse_metadata
from broker.runtime.entropy import new_provider_id
from broker.stores.directory.kinds import SAML_PROVIDER

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


def _view(found: SamlProvider) -> types.GetSAMLProviderResponse:
    return {
        "SAMLProviderUUID": found.uuid,
        "SAMLMetadataDocument": found.metadata,
        "CreateDate": found.created_at,
        "ValidUntil": found.valid_until,
        "Tags": [{"Key": k, "Value": v} for k, v in tag_pairs(found.tags)],
        "AssertionEncryptionMode": found.encryption_mode.value,
        "PrivateKeyList": [
            {"KeyId": key.key_id, "Timestamp": key.created_at}
            for key in found.private_keys
        ],
    }


def saml_providers(sealer: Sealer | None) -> Named[SamlProvider]:
    """The kind; metadata that is given has passed `check_metadata`.

    Without ``sealer``, which keeps decryption keys, none is added.
    """

    async def make(given: types.CreateSAMLProviderRequest, work: Work) -> SamlProvider:
        provider = SamlProvider(
            account=work.account,
            uuid=new_provider_id("SAMLSP"),
            name=given["Name"],
            metadata=given["SAMLMetadataDocument"],
            created_at=work.now,
            valid_until=_valid_until(work.now),
            tags=given_tags(given.get("Tags", ()), KeyCase.SENSITIVE),
        )
        if await work.change.named(SAML_PROVIDER, work.account, provider.name):
            raise EntityAlreadyExists(SAML_PROVIDERS.taken.format(provider))
        await work.require_room(SAML_PROVIDER, Quota.SAML_PROVIDERS)
        return _changed(provider, given, sealer, work.now)

    async def change(
        found: SamlProvider, given: types.UpdateSAMLProviderRequest, work: Work
    ) -> SamlProvider:
        if "AddPrivateKey" in given and "RemovePrivateKey" in given:
            raise ValidationError(
                "Unable to add and remove private keys in the same request. Set a value"
                " for only one of the two parameters."
            )
        if not given.keys() & _CHANGES:
            raise ValidationError(
                "Unable to update identity provider. No updates are defined for metadata"
                " or encryption assertion."
            )
        renewed = replace(found, valid_until=_valid_until(work.now))
        return _changed(renewed, given, sealer, work.now)

    return Named(
        kind=SAML_PROVIDER,
        quota=None,
        make=make,
        change=change,
        view=_view,
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
    given: Mapping[str, Any],
    sealer: Sealer | None,
    now: datetime,
) -> SamlProvider:
    mode = given.get("AssertionEncryptionMode", provider.encryption_mode)
    changed = replace(
        provider, metadata=given.get("SAMLMetadataDocument", provider.metadata)
    )
    if sealer is not None and "AddPrivateKey" in given:
        changed = _with_private_key(changed, given["AddPrivateKey"], sealer, now)
    if "RemovePrivateKey" in given:
        changed = _without_key(changed, given["RemovePrivateKey"])
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
        raise InvalidInput(
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
    """The provider with one more decryption key, the newest first.

    Raises:
        InvalidInput: that is not a usable key.
        LimitExceeded: there are two already.
    """
    if len(provider.private_keys) >= _KEYS_MAX:
        raise LimitExceeded(f"Private key limit of {_KEYS_MAX} is reached.")
    try:
        parse_private_key(pem.encode("utf-8"))
    except PrivateKeyRejected as error:
        raise InvalidInput(error.message, detail=error.detail) from error
    key_id = new_provider_id("SAMLPK")
    purpose, column = SAML_KEY_SEAL
    sealed = sealer.seal(purpose, provider.account, key_id, column, pem.encode("utf-8"))
    key = SamlPrivateKey(key_id=key_id, created_at=now, sealed_pem=sealed)
    return replace(provider, private_keys=(key, *provider.private_keys))


def _without_key(provider: SamlProvider, key_id: str) -> SamlProvider:
    kept = tuple(key for key in provider.private_keys if key.key_id != key_id)
    if len(kept) == len(provider.private_keys):
        raise InvalidInput("Failed to remove private key.")
    return replace(provider, private_keys=kept)


def _check_mode(provider: SamlProvider) -> None:
    """Refuse required encryption without a key.

    Raises:
        InvalidInput: nothing could ever be decrypted.
    """
    if (
        provider.encryption_mode is EncryptionMode.REQUIRED
        and not provider.private_keys
    ):
        raise InvalidInput(
            "Failed to set assertion encryption mode to Required because no private key "
            "is present."
        )


def _valid_until(now: datetime) -> datetime:
    try:
        return now.replace(year=now.year + _VALID_YEARS)
    except ValueError:
        # 29 February, where the year a century later is not a leap year.
        return now.replace(year=now.year + _VALID_YEARS, day=28)
