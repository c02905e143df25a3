"""The health of identity providers: their keys and expiry, and the last fetch.

It reports what the broker already knows and fetches nothing.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from broker.model.entities import OidcProvider, SamlProvider
from broker.model.uses import ACCEPTED, PROOFS, REFUSED, Use
from broker.proofs.issuer_keys import IssuerKeys, KnownKeys
from broker.proofs.metadata_refresh import MetadataRefresher
from broker.proofs.provider_options import ProviderOptions
from broker.proofs.refresh_state import RefreshState
from broker.protocols.oidc.rejection import OidcRejected
from broker.protocols.saml.errors import MetadataRejected
from broker.protocols.saml.metadata import IdpMetadata, parse_metadata
from broker.runtime.bounded import SHARED, BoundedCache
from broker.runtime.offload import offload_long
from broker.stores.oidc_sign_ins import OidcSignIns, WatchState

CERTIFICATE_NOTICE = timedelta(days=30)
"""How long before a certificate's expiry to warn."""

_DIGEST_CHARACTERS = 16


_certificate_ends = BoundedCache[bytes, tuple[datetime, ...]]()
"""By the digest of the metadata, which may have ten megabytes."""


class HealthLevel(StrEnum):
    """How severe it is, in this order."""

    GOOD = "good"
    UNKNOWN = "unknown"
    WARNING = "warning"
    PROBLEM = "problem"


_ORDER = tuple(HealthLevel)


class HealthFinding(Struct, frozen=True):
    """A finding, and what to do about it."""

    level: HealthLevel
    text: str
    advice: str = ""


class KeyFact(Struct, frozen=True):
    """A key that proofs may be signed with. ``owner`` is a SAML entity."""

    key_id: str
    kind: str
    ends_at: datetime | None = None
    owner: str = ""


class FetchFact(Struct, frozen=True):
    """The last fetch of published keys or metadata."""

    url: str
    attempted_at: datetime | None = None
    good_at: datetime | None = None
    next_at: datetime | None = None
    problem: str = ""


class ProviderHealth(Struct, frozen=True, kw_only=True):
    """A provider's health; ``metadata`` is set if it is SAML and can be parsed."""

    arn: str
    findings: tuple[HealthFinding, ...] = ()
    keys: tuple[KeyFact, ...] = ()
    metadata: IdpMetadata | None = None
    fetch: FetchFact | None = None
    accepted_at: datetime | None = None
    refused_at: datetime | None = None

    @property
    def level(self) -> HealthLevel:
        """The most severe level of the findings."""
        levels = (finding.level for finding in self.findings)
        return max(levels, key=_ORDER.index, default=HealthLevel.GOOD)

    @property
    def first_end(self) -> datetime | None:
        """When the first of the certificates expires."""
        return min((key.ends_at for key in self.keys if key.ends_at), default=None)


class HealthWatch:
    """Reports the health of providers."""

    def __init__(
        self, keys: IssuerKeys, refresher: MetadataRefresher, sign_ins: OidcSignIns
    ) -> None:
        self._keys = keys
        self._refresher = refresher
        self._sign_ins = sign_ins

    async def of_saml(
        self, provider: SamlProvider, uses: Iterable[Use], now: datetime
    ) -> ProviderHealth:
        """The health of a SAML provider; ``uses`` are the account's."""
        accepted_at, refused_at = _last(provider.uuid, uses)
        try:
            options = ProviderOptions.parse(provider.options)
            metadata = await offload_long(
                len(provider.metadata),
                lambda: parse_metadata(
                    provider.metadata, now=None, legacy_rsa=options.legacy_rsa
                ),
            )
        except (ValueError, MetadataRejected) as error:
            broken = HealthFinding(
                HealthLevel.PROBLEM, str(error), "Register its metadata again."
            )
            return ProviderHealth(arn=provider.arn, findings=(broken,))
        state = await self._refresher.state_of(provider)
        return ProviderHealth(
            arn=provider.arn,
            findings=(
                *_certificate_findings(metadata, now),
                *_published_findings(options.metadata_url, metadata, state, now),
            ),
            keys=tuple(
                KeyFact(
                    hashlib.sha256(key.spki).hexdigest()[:_DIGEST_CHARACTERS],
                    f"{key.family} {key.bits}",
                    key.not_after,
                    descriptor.entity_id,
                )
                for descriptor in metadata.descriptors
                for key in descriptor.signing_keys
            ),
            metadata=metadata,
            fetch=_saml_fetch(options.metadata_url, state),
            accepted_at=accepted_at,
            refused_at=refused_at,
        )

    async def of_oidc(
        self, provider: OidcProvider, uses: Iterable[Use], now: datetime
    ) -> ProviderHealth:
        """The health of an OpenID Connect provider; ``uses`` are the account's."""
        accepted_at, refused_at = _last(provider.unique_id, uses)
        try:
            options = ProviderOptions.parse(provider.options)
            known = await self._keys.known_of(provider, options)
            state = await self._sign_ins.state_of(provider.unique_id, now)
        except (ValueError, OidcRejected) as error:
            broken = HealthFinding(
                HealthLevel.PROBLEM, str(error), "See its broker options."
            )
            return ProviderHealth(arn=provider.arn, findings=(broken,))
        keys = [] if known.keys is None else known.keys.keys.values()
        return ProviderHealth(
            arn=provider.arn,
            findings=(
                *_oidc_findings(provider, known),
                *watch_findings(options, state),
            ),
            keys=tuple(
                KeyFact(key.kid, ", ".join(sorted(key.algorithms))) for key in keys
            ),
            fetch=None
            if known.is_static
            else FetchFact(
                provider.url,
                attempted_at=known.attempted_at,
                good_at=known.fetched_at,
                problem=known.problem,
            ),
            accepted_at=accepted_at,
            refused_at=refused_at,
        )


async def certificate_ends(metadata: str) -> tuple[datetime, ...]:
    """When the signing certificates in a provider's metadata end; none if it is broken."""
    digest = hashlib.sha256(metadata.encode("utf-8", "surrogatepass")).digest()
    datetimes = _certificate_ends.get(SHARED, digest)
    if datetimes is None:
        datetimes = await offload_long(len(metadata), lambda: _read_ends(metadata))
        _certificate_ends.put(SHARED, digest, datetimes)
    return datetimes


def _read_ends(metadata: str) -> tuple[datetime, ...]:
    try:
        idp_metadata = parse_metadata(metadata, now=None, legacy_rsa=True)
    except (ValueError, MetadataRejected):
        return ()
    return tuple(
        key.not_after
        for descriptor in idp_metadata.descriptors
        for key in descriptor.signing_keys
    )


def _last(subject: str, uses: Iterable[Use]) -> tuple[datetime | None, datetime | None]:
    """When a proof was last accepted, and last refused."""
    at = {
        use.action: use.at
        for use in uses
        if use.subject == subject and use.service == PROOFS
    }
    return at.get(ACCEPTED), at.get(REFUSED)


def _certificate_findings(
    metadata: IdpMetadata, now: datetime
) -> Iterable[HealthFinding]:
    for descriptor in metadata.descriptors:
        for key in descriptor.signing_keys:
            left = key.not_after - now
            if left >= CERTIFICATE_NOTICE:
                continue
            verb = "ended" if left < timedelta(0) else "ends"
            yield HealthFinding(
                HealthLevel.WARNING,
                f"A signing certificate of {descriptor.entity_id} {verb} on"
                f" {key.not_after:%Y-%m-%d}.",
                "Register the identity provider's new metadata before it changes keys.",
            )


def _published_findings(
    url: str, metadata: IdpMetadata, state: RefreshState | None, now: datetime
) -> Iterable[HealthFinding]:
    if not url:
        return
    end = metadata.valid_until
    if end is not None and now >= end:
        yield HealthFinding(
            HealthLevel.PROBLEM,
            f"Its metadata was valid until {end:%Y-%m-%d %H:%M} UTC: every sign-in fails.",
            "Have it published again.",
        )
    if state is None:
        yield HealthFinding(HealthLevel.UNKNOWN, "Its metadata URL was not read yet.")
    elif state.failures:
        yield HealthFinding(
            HealthLevel.PROBLEM,
            f"Its metadata URL returns no valid metadata: {state.problem}",
            "Correct what is published there; the last valid document stays in use.",
        )


def _oidc_findings(provider: OidcProvider, known: KnownKeys) -> Iterable[HealthFinding]:
    if not provider.client_ids:
        yield HealthFinding(
            HealthLevel.WARNING,
            "It has no client id, so no token's audience is accepted.",
            "Add the audience of its tokens as a client id.",
        )
    if known.problem:
        yield HealthFinding(
            HealthLevel.PROBLEM,
            f"Its keys cannot be read: {known.problem}",
            "An issuer on a private address needs the operator's BROKER_INTERNAL_ISSUERS."
            if known.was_refused
            else "Check name, network and certificate.",
        )
    elif known.keys is None:
        yield HealthFinding(HealthLevel.UNKNOWN, "Its keys were not asked for lately.")
    elif not known.keys.keys:
        yield HealthFinding(
            HealthLevel.PROBLEM,
            "None of its keys can be used.",
            "It must publish RSA keys of 2048 bits or more, or EC keys, with a kid.",
        )


def watch_findings(
    options: ProviderOptions, state: WatchState
) -> Iterable[HealthFinding]:
    """Whether it is noticed who leaves a provider that people sign in with."""
    if not options.client_id:
        return
    if not options.watch:
        if options.scim is None:
            yield HealthFinding(
                HealthLevel.WARNING,
                "Who leaves it is noticed only if it tells the broker of a logout.",
                "Set Watch=RefreshToken, so that it is asked, or provision its people by"
                " SCIM.",
            )
        return
    if state.failing_since is not None:
        yield HealthFinding(
            HealthLevel.PROBLEM,
            "It cannot be asked who has left since"
            f" {state.failing_since:%Y-%m-%d %H:%M} UTC: {state.problem}",
            "Check its network, and the client ID and secret. Nothing ends until it"
            " answers.",
        )
    if state.unasked:
        yield HealthFinding(
            HealthLevel.WARNING,
            f"For {state.unasked} of {state.asked + state.unasked} sign-ins there is no"
            " refresh token: it cannot be asked whether these people have left.",
            "Let its client have refresh tokens and the scope offline_access. A token is"
            " also lost with an answer, or when the client ID changes.",
        )


def _saml_fetch(url: str, state: RefreshState | None) -> FetchFact | None:
    if not url:
        return None
    if state is None:
        return FetchFact(url)
    return FetchFact(
        url,
        attempted_at=state.attempted_at,
        good_at=state.good_at,
        next_at=state.next_at,
        problem=state.problem,
    )
