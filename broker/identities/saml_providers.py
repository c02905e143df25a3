"""SAML providers: metadata, encryption mode and decryption keys.

Source: botocore's IAM model; IAM User Guide, id_roles_providers_create_saml; recorded
answers (REC-S saml, saml-validation, federation).
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

from broker.entropy import new_provider_id
from broker.errors import (
    EntityAlreadyExists,
    InvalidInput,
    LimitExceeded,
    NoSuchEntity,
    ValidationError,
)
from broker.identities.limits import Quota, require_within
from broker.identities.names import parse_provider_arn
from broker.model.account import Account, AccountId
from broker.model.entities import EncryptionMode, SamlPrivateKey, SamlProvider
from broker.model.sealing import Sealer
from broker.protocols.saml.errors import (
    MetadataReason,
    MetadataRejected,
    PrivateKeyRejected,
)
from broker.protocols.saml.keys import parse_private_key
from broker.protocols.saml.metadata import parse_metadata
from broker.stores.directory.kinds import SAML_PROVIDER
from broker.stores.directory.port.providers import (
    SamlProviderChange,
    SamlProviderReader,
)
from broker.stores.errors import AlreadyExistsError

SAML_KEY_SEAL = ("saml-private-key", "pem")
"""Purpose and column that a decryption key is sealed for; the entity is its id."""

_CERTIFICATES = ("-----BEGIN CERTIFICATE", "-----BEGIN TRUSTED CERTIFICATE", "MII")
_HTTP_PORT = 80
_LOOKED_AT = 4096
_GIVE_METADATA = (
    "give the identity provider's metadata, an XML document that begins with"
    " EntityDescriptor."
)
_KEYS_MAX = 2
_VALID_YEARS = 100


async def require_saml_provider(
    directory: SamlProviderReader, account: AccountId, arn: str
) -> SamlProvider:
    """A provider by ARN.

    Raises:
        NoSuchEntity: there is none.
        InvalidInput: that is not an ARN of a SAML provider of the account.
    """
    name = parse_provider_arn(arn, account, "saml-provider")
    provider = await directory.find_saml_provider(account, name)
    if provider is None:
        raise NoSuchEntity(f"Manifest not found for arn {arn}")
    return provider


async def create_saml_provider(
    change: SamlProviderChange,
    account: Account,
    *,
    name: str,
    metadata: str,
    encryption_mode: EncryptionMode = EncryptionMode.ALLOWED,
    private_key: str | None = None,
    sealer: Sealer | None = None,
    tags: Mapping[str, str],
    options: Mapping[str, object],
    now: datetime,
) -> SamlProvider:
    """Register a provider; its unique id is new at every creation.

    ``metadata`` has passed `check_metadata`, which takes too long for a transaction.
    A ``private_key`` needs a ``sealer``.

    Raises:
        InvalidInput: the key is refused, or encryption is required without a key.
        EntityAlreadyExists: the name is taken.
        LimitExceeded: the account has too many.
    """
    taken = EntityAlreadyExists(f"Provider with name {name} already exists.")
    if await change.find_saml_provider(account.account_id, name) is not None:
        raise taken
    count = await change.count(SAML_PROVIDER, account.account_id)
    require_within(account, Quota.SAML_PROVIDERS, count + 1)
    provider = SamlProvider(
        account=account.account_id,
        uuid=new_provider_id("SAMLSP"),
        name=name,
        metadata=metadata,
        created_at=now,
        valid_until=_valid_until(now),
        encryption_mode=encryption_mode,
        tags=tags,
        options=options,
    )
    if private_key is not None and sealer is not None:
        provider = with_private_key(provider, private_key, sealer, now)
    check_mode(provider)
    try:
        await change.insert_saml_provider(provider)
    except AlreadyExistsError as error:
        raise taken from error
    return provider


async def update_saml_provider(
    change: SamlProviderChange,
    provider: SamlProvider,
    *,
    metadata: str | None = None,
    encryption_mode: EncryptionMode | None = None,
    add_private_key: str | None = None,
    remove_private_key: str | None = None,
    sealer: Sealer,
    now: datetime,
) -> SamlProvider:
    """Change a provider; all of it must be accepted for anything to change.

    ``metadata`` has passed `check_metadata`.

    Raises:
        ValidationError: nothing is given, or a key is both added and removed.
        InvalidInput: a key is refused, or encryption is required without a key.
        LimitExceeded: there are two keys already.
    """
    if add_private_key is not None and remove_private_key is not None:
        raise ValidationError(
            "Unable to add and remove private keys in the same request. Set a value for "
            "only one of the two parameters."
        )
    given = (metadata, encryption_mode, add_private_key, remove_private_key)
    if all(value is None for value in given):
        raise ValidationError(
            "Unable to update identity provider. No updates are defined for metadata or "
            "encryption assertion."
        )
    updated = replace(provider, valid_until=_valid_until(now))
    if metadata is not None:
        updated = replace(updated, metadata=metadata)
    if add_private_key is not None:
        updated = with_private_key(updated, add_private_key, sealer, now)
    if remove_private_key is not None:
        updated = _without_key(updated, remove_private_key)
    if encryption_mode is not None:
        updated = replace(updated, encryption_mode=encryption_mode)
    check_mode(updated)
    await change.update_saml_provider(updated)
    return updated


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


def with_private_key(
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


def check_mode(provider: SamlProvider) -> None:
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
