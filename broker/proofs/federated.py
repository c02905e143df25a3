"""A SAML assertion as the proof.

Only the keys and entity id of the named provider in the role's own account count. The
verified identity becomes the caller that the role's trust policy is evaluated for.
"""

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from msgspec import Struct

from broker.errors import BrokerError, InvalidIdentityToken, ValidationError
from broker.kinds.providers import SAML_KEY_SEAL
from broker.model.account import AccountId, parse_account_id
from broker.model.arn import Arn
from broker.model.document import UNREAD
from broker.model.entities import SamlPrivateKey, SamlProvider
from broker.model.federated import FederatedIdentity
from broker.model.sealing import Opener
from broker.model.session import Caller
from broker.proofs.admission import Admission
from broker.proofs.provider_options import ProviderOptions
from broker.proofs.saml import prove_saml, wire_error, with_group_pairs
from broker.proofs.saml_key_budget import SamlKeyBudget
from broker.protocols.saml.errors import MetadataRejected, SamlReason, SamlRejected
from broker.protocols.saml.keys import (
    DecryptionKey,
    encryption_certificate,
    parse_private_key,
)
from broker.protocols.saml.metadata import IdpMetadata, parse_metadata
from broker.runtime.batches import NEXT_TURN
from broker.runtime.bounded import remembered
from broker.runtime.offload import offload_long
from broker.sessions.vault import SealBrokenError
from broker.stores.directory.kinds import SAML_PROVIDER
from broker.stores.directory.readings import FreshDirectory

_log = structlog.get_logger(__name__)

_ARN_CHARACTERS_MAX = 2048
_parse_arn = remembered(_ARN_CHARACTERS_MAX)(Arn.parse)
_ROLLED_OVER = frozenset(
    {
        SamlReason.SIGNATURE_INVALID,
        SamlReason.METADATA_EXPIRED,
        SamlReason.METADATA_UNUSABLE,
    }
)
"""Refusals that newer metadata may reverse."""


class NewerMetadata(Protocol):
    """Fetches a provider's published metadata when the known metadata is not enough."""

    async def find_newer(self, provider: SamlProvider) -> SamlProvider | None:
        """The provider with newer metadata; None when there is none."""
        ...


class SamlExpectations(Struct, frozen=True, kw_only=True):
    """Who an assertion must be addressed to."""

    audiences: frozenset[str]
    recipients: frozenset[str]
    skew: timedelta


class _ProviderTerms(Struct, frozen=True):
    """A SAML provider's metadata, options and keys, parsed."""

    options: ProviderOptions
    metadata: IdpMetadata
    recipients: frozenset[str]
    decryption: tuple[DecryptionKey, ...]


class SamlProver:
    """Proves assertions, each with one provider's keys alone."""

    def __init__(
        self,
        fresh: FreshDirectory,
        expectations: SamlExpectations,
        opener: Opener,
        acs_of: Callable[[SamlProvider], str],
        *,
        newer_metadata: NewerMetadata | None = None,
    ) -> None:
        self._fresh = fresh
        self._expectations = expectations
        self._opener = opener
        self._acs_of = acs_of
        self._newer_metadata = newer_metadata
        self._admission = Admission(fresh)

    async def prove_for_provider(
        self,
        response_text: str,
        account: AccountId,
        provider_arn: str,
        now: datetime,
        in_response_to: AbstractSet[str] = frozenset(),
        *,
        key_budget: SamlKeyBudget | None = None,
        request_id: str = "",
        also_to: str = "",
    ) -> FederatedIdentity:
        """The identity that one provider's keys prove; roles are not looked at.

        ``in_response_to`` are the browser's open requests, and ``key_budget`` remembers
        which keys did not verify the response. With a ``request_id`` a refusal names
        the request, as AWS's API does. ``also_to`` is another provider's ARN, at whose
        address the response may have been sent to.

        Raises:
            InvalidIdentityToken, ExpiredFederationToken, IdpRejectedClaim: refused.
            StoreUnavailableError: the directory is away.
        """
        recipients = await self._recipients_of(also_to)
        name = _parse_arn(provider_arn).resource.removeprefix("saml-provider/")
        provider = await self._fresh.named(SAML_PROVIDER, account, name)
        if provider is None:
            raise InvalidIdentityToken(
                "Specified provider doesn't exist.",
                detail=f"there is no provider {provider_arn}",
            )
        try:
            return await self._prove(
                response_text,
                provider,
                now,
                in_response_to,
                key_budget=key_budget,
                request_id=request_id,
                recipients=recipients,
            )
        except BrokerError as error:
            newer = await self._find_newer(provider, error)
            if newer is None:
                raise
        return await self._prove(
            response_text,
            newer,
            now,
            in_response_to,
            key_budget=key_budget,
            request_id=request_id,
            recipients=recipients,
        )

    async def _recipients_of(self, provider_arn: str) -> frozenset[str]:
        """A provider's own address; none if there is no such provider."""
        if not provider_arn:
            return frozenset()
        arn = _parse_arn(provider_arn)
        name = arn.resource.removeprefix("saml-provider/")
        account = parse_account_id(arn.account)
        provider = await self._fresh.named(SAML_PROVIDER, account, name)
        return frozenset() if provider is None else frozenset({self._acs_of(provider)})

    async def _prove(
        self,
        response_text: str,
        provider: SamlProvider,
        now: datetime,
        in_response_to: AbstractSet[str],
        *,
        key_budget: SamlKeyBudget | None,
        request_id: str,
        recipients: AbstractSet[str],
    ) -> FederatedIdentity:
        expected = self._expectations
        terms = await self._terms(provider)
        _require_valid(provider, terms.metadata, now - expected.skew)
        if NEXT_TURN.calls > 1:
            await NEXT_TURN
        if key_budget is not None:
            key_budget.begin(terms.metadata)
        try:
            identity = prove_saml(
                response_text,
                provider=provider,
                options=terms.options,
                metadata=terms.metadata,
                decryption_keys=terms.decryption,
                audiences=expected.audiences,
                recipients=terms.recipients | recipients,
                now=now,
                skew=expected.skew,
                in_response_to=in_response_to,
                request_id=request_id,
            )
        except BrokerError as error:
            if key_budget is not None:
                key_budget.note(terms.metadata, error)
            raise
        if NEXT_TURN.calls > 1:
            await NEXT_TURN
        admitted = await self._admission.admit(identity, terms.options.scim, now)
        return with_group_pairs(admitted, terms.options.group_roles)

    async def _find_newer(
        self, provider: SamlProvider, error: BrokerError
    ) -> SamlProvider | None:
        """The provider with newer metadata, if that may change the outcome."""
        if self._newer_metadata is None or "MetadataUrl" not in provider.options:
            return None
        cause = error.__cause__
        if not isinstance(cause, SamlRejected) or cause.reason not in _ROLLED_OVER:
            return None
        return await self._newer_metadata.find_newer(provider)

    def expected_of(self, provider: SamlProvider) -> SamlExpectations:
        """Who an assertion of this provider must be addressed to.

        Raises:
            ValueError: the operator's options of the provider cannot be read.
        """
        options = ProviderOptions.parse(provider.options)
        expected = self._expectations
        return SamlExpectations(
            audiences=expected.audiences | options.audiences,
            recipients=(
                expected.recipients | options.recipients | {self._acs_of(provider)}
            ),
            skew=expected.skew,
        )

    async def encryption_certificates(
        self, provider: SamlProvider
    ) -> tuple[bytes, ...]:
        """What publishes the provider's decryption keys, newest first; no key is opened.

        Except one that was added before certificates were kept: once, to make it.
        """
        certificates = [
            key.certificate or await self._certificate_of(provider, key)
            for key in _newest_first(provider)
        ]
        return tuple(filter(None, certificates))

    async def _certificate_of(
        self, provider: SamlProvider, key: SamlPrivateKey
    ) -> bytes:
        """A key's certificate, made and remembered; empty if the key does not open."""

        async def make() -> bytes:
            opened = self._open(provider, key)
            if opened is None:
                return b""
            return encryption_certificate(
                opened, common_name=provider.uuid, not_before=key.created_at
            )

        place = ("saml-certificate", key.key_id)
        return await self._fresh.memo.get(provider.account, place, make)

    async def metadata_of(self, provider: SamlProvider) -> IdpMetadata:
        """The registered metadata of a provider, which may be one of a list.

        Raises:
            InvalidIdentityToken: it cannot be used, or the provider is gone.
        """
        if provider.metadata is not UNREAD:
            return (await self._terms(provider)).metadata
        place = (provider.account, provider.uuid)
        whole = await self._fresh.find(SAML_PROVIDER, *place)
        if whole is None:
            raise InvalidIdentityToken("Specified provider doesn't exist.")
        return (await self._terms(whole)).metadata

    def _open(
        self, provider: SamlProvider, key: SamlPrivateKey
    ) -> DecryptionKey | None:
        purpose, column = SAML_KEY_SEAL
        try:
            pem = self._opener.open_sealed(
                purpose, provider.account, key.key_id, column, key.sealed_pem
            )
        except SealBrokenError as error:
            # Unencrypted assertions must still pass; `broker doctor` warns about it.
            _log.error("decryption key does not open", reason=str(error))
            return None
        return parse_private_key(pem)

    def _open_keys(self, provider: SamlProvider) -> Iterator[DecryptionKey]:
        """The decryption keys that open, newest first."""
        opened = (self._open(provider, key) for key in _newest_first(provider))
        return (key for key in opened if key is not None)

    async def _terms(self, provider: SamlProvider) -> _ProviderTerms:
        async def load() -> _ProviderTerms:
            options = _read_options(provider)
            return _ProviderTerms(
                options=options,
                metadata=await offload_long(
                    len(provider.metadata), lambda: _read_metadata(provider, options)
                ),
                recipients=self._expectations.recipients | {self._acs_of(provider)},
                decryption=tuple(self._open_keys(provider)),
            )

        # Metadata and options are part of the key: another worker's change may be
        # known before the account's generation is.
        texts = (hash(provider.metadata), repr(provider.options))
        return await self._fresh.memo.get(
            provider.account, ("saml-terms", provider.uuid, *texts), load
        )


def _newest_first(provider: SamlProvider) -> list[SamlPrivateKey]:
    return sorted(provider.private_keys, key=lambda key: key.created_at, reverse=True)


def _read_options(provider: SamlProvider) -> ProviderOptions:
    """The operator's options.

    Raises:
        InvalidIdentityToken: this version cannot read them.
    """
    try:
        return ProviderOptions.parse(provider.options)
    except ValueError as error:
        rejected = SamlRejected(
            SamlReason.METADATA_UNUSABLE, f"options of {provider.arn}: {error}"
        )
        # Caused by the options: newer metadata would not help.
        raise wire_error(rejected) from error


def _read_metadata(provider: SamlProvider, options: ProviderOptions) -> IdpMetadata:
    """The registered metadata.

    Raises:
        InvalidIdentityToken: it was valid only with an option that has been removed.
    """
    try:
        return parse_metadata(
            provider.metadata, now=None, legacy_rsa=options.legacy_rsa
        )
    except MetadataRejected as error:
        rejected = SamlRejected(SamlReason.METADATA_UNUSABLE, error.message)
        raise wire_error(rejected) from rejected


def _require_valid(
    provider: SamlProvider, metadata: IdpMetadata, now: datetime
) -> None:
    """Refuse if metadata that is fetched from a URL has expired.

    Metadata that was registered by hand does not expire, as in AWS.

    Raises:
        InvalidIdentityToken: its validUntil has passed.
    """
    end = metadata.valid_until
    if end is not None and now >= end and provider.options.get("MetadataUrl"):
        rejected = SamlRejected(
            SamlReason.METADATA_EXPIRED,
            f"the metadata was valid until {end:%Y-%m-%dT%H:%M:%SZ}, and its"
            " MetadataUrl brought none that is valid",
        )
        raise wire_error(rejected) from rejected


def federated_caller(identity: FederatedIdentity) -> Caller:
    """The caller of an unsigned call, as the trust policy sees it."""
    return Caller(
        principal=identity.principal,
        principal_tags=identity.tags,
        context=identity.context,
        closed_roles=identity.closed_roles,
    )


@remembered(_ARN_CHARACTERS_MAX)
def account_of_arn(arn: str, kind: str) -> AccountId:
    """The account of an IAM ARN whose resource begins with ``kind``.

    Raises:
        ValidationError: it is no such ARN.
    """
    try:
        parsed = Arn.parse(arn)
        account = parse_account_id(parsed.account)
    except ValueError as error:
        raise ValidationError(f"{arn} is invalid") from error
    if parsed.service != "iam" or not parsed.resource.startswith(kind):
        raise ValidationError(f"{arn} is invalid")
    return account
