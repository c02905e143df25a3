"""Probes a provider that was just added: what works, and what is probably a mistake.

It fetches an issuer's keys as any token would have them fetched, under the same address
rules, and once more only after the usual cool-down. What it finds changes nothing.
"""

import asyncio
from collections.abc import AsyncIterable, Iterable, Iterator
from functools import partial
from urllib.parse import urlsplit

from broker.model.entities import OidcProvider, SamlProvider
from broker.proofs.addresses import was_refused
from broker.proofs.issuer_keys import IssuerKeys, IssuerUnreachableError
from broker.proofs.provider_health import HealthFinding, HealthLevel
from broker.proofs.provider_options import ProviderOptions
from broker.protocols.oidc.discovery import discovery_url
from broker.protocols.oidc.rejection import OidcRejected
from broker.protocols.saml.errors import MetadataRejected
from broker.protocols.saml.metadata import IdpMetadata, parse_metadata
from broker.runtime.offload import offload_long

PROBE_SECONDS = 8.0
_SHOWN_CHARACTERS = 200
_COMPARED_CHARACTERS = 2_000_000
"""The total size of other providers' metadata that is read."""


async def probe_oidc(
    provider: OidcProvider, others: Iterable[OidcProvider], keys: IssuerKeys
) -> tuple[HealthFinding, ...]:
    """Read an issuer's discovery document and keys, and compare it with others."""
    return (*await _probe_keys(provider, keys), *_similar_issuers(provider, others))


async def probe_saml(
    provider: SamlProvider, others: AsyncIterable[SamlProvider]
) -> tuple[HealthFinding, ...]:
    """Say what the metadata names, and compare it with others', one after the other."""
    metadata = await offload_long(len(provider.metadata), lambda: _read(provider))
    if metadata is None:
        return ()
    findings = [*_on_certificates(metadata)]
    left = _COMPARED_CHARACTERS
    async for other in others:
        if other.uuid == provider.uuid:
            continue
        left -= len(other.metadata)
        if left < 0:
            break
        findings += await offload_long(
            len(other.metadata), partial(_on_namesake, metadata, other)
        )
    return tuple(findings)


async def _probe_keys(
    provider: OidcProvider, keys: IssuerKeys
) -> tuple[HealthFinding, ...]:
    place = discovery_url(provider.url)
    advice = "Check the URL, name, network and certificate."
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            key_set = await keys.keys_of(
                provider, ProviderOptions.parse(provider.options)
            )
    except TimeoutError:
        text = f"{place} does not answer."
    except IssuerUnreachableError as error:
        text = f"Its keys cannot be read: {error}"
        if was_refused(error):
            advice = (
                "A private address needs the operator's"
                f" BROKER_INTERNAL_ISSUERS={_host_and_port(provider.url)}."
            )
    except (OidcRejected, ValueError) as error:
        text = f"{place}: {error}"
    else:
        if key_set.keys:
            names = ", ".join(key_set.keys)[:_SHOWN_CHARACTERS]
            text = f"Its keys were read as {place} says: {names}."
            return (HealthFinding(HealthLevel.GOOD, text),)
        text = "None of its keys can be used."
    return (
        HealthFinding(
            HealthLevel.PROBLEM, text, f"Tokens are refused until this works. {advice}"
        ),
    )


def _similar_issuers(
    provider: OidcProvider, others: Iterable[OidcProvider]
) -> Iterator[HealthFinding]:
    key = _issuer_key(provider.url)
    for other in others:
        if other.unique_id != provider.unique_id and _issuer_key(other.url) == key:
            yield HealthFinding(
                HealthLevel.WARNING,
                f"{other.url} is registered, too, and is almost the same.",
                "A token names one of them, exactly. Delete the other.",
            )


def _issuer_key(url: str) -> tuple[str, str]:
    """What is left without case, scheme, port and closing slashes."""
    parts = urlsplit(url)
    return (parts.hostname or "", parts.path.lower().rstrip("/"))


def _host_and_port(url: str) -> str:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = parts.hostname or ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _on_certificates(metadata: IdpMetadata) -> Iterator[HealthFinding]:
    for descriptor in metadata.descriptors:
        ends = [key.not_after for key in descriptor.signing_keys]
        until = f", valid until {min(ends):%Y-%m-%d}" if ends else ""
        yield HealthFinding(
            HealthLevel.GOOD,
            f"{descriptor.entity_id}: signing certificates {len(ends)}{until}.",
        )


def _on_namesake(metadata: IdpMetadata, other: SamlProvider) -> list[HealthFinding]:
    """What to say of another provider that names the same entities."""
    named = {each.entity_id for each in metadata.descriptors}
    theirs = _read(other)
    both = named & {each.entity_id for each in theirs.descriptors} if theirs else ()
    return [
        HealthFinding(
            HealthLevel.WARNING,
            f"{other.name} is registered with the same entity ID, {entity}.",
            "Responses name a provider by their role values, so both work. Delete"
            " one unless both are meant.",
        )
        for entity in sorted(both)
    ]


def _read(provider: SamlProvider) -> IdpMetadata | None:
    try:
        return parse_metadata(provider.metadata, now=None, legacy_rsa=True)
    except MetadataRejected:
        return None
