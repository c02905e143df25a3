"""The provider checks of ``broker doctor``: options, keys and dates."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from datetime import datetime, timedelta

from broker.cli.findings import Finding, good, problem, warning
from broker.compose.storage import Stores
from broker.kinds.bearer_tokens import SCIM_TOKENS, owning_provider
from broker.model.entities import OidcProvider, SamlProvider
from broker.proofs.addresses import AddressRules, was_refused
from broker.proofs.diagnosis import State
from broker.proofs.issuer_keys import IssuerKeys, IssuerUnreachableError
from broker.proofs.ldap.dry_run import LdapDryRun
from broker.proofs.ldap.people import LdapPeople
from broker.proofs.outbound import OutboundClient
from broker.proofs.provider_health import HealthFinding, HealthLevel, watch_findings
from broker.proofs.provider_options import OPTIONS, ProviderOptions, option_text
from broker.proofs.provider_probe import probe_oidc, probe_saml
from broker.proofs.refresh_state import INTERVAL_MAX, read_state
from broker.protocols.oidc.rejection import OidcRejected
from broker.protocols.saml.errors import MetadataRejected
from broker.protocols.saml.metadata import parse_metadata
from broker.runtime.clock import Clock
from broker.settings import Settings, SettingsError
from broker.stores.directory.accounts import (
    list_accounts,
    list_everywhere,
    read_everywhere,
)
from broker.stores.directory.kinds import LDAP_PROVIDER, OIDC_PROVIDER, SAML_PROVIDER
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.provisioning import provisioning_counts
from broker.stores.errors import StoreUnavailableError
from broker.stores.oidc_sign_ins import OidcSignIns

_CERTIFICATE_NOTICE = timedelta(days=30)
_STRICT = (None, False, "strict", "refuse")
_TOKEN_NOTICE = timedelta(days=14)

_DIRECTORY_SECONDS = 8


async def check_providers(
    settings: Settings, stores: Stores, clock: Clock
) -> AsyncIterator[Finding]:
    """Check each provider's keys and metadata, and report exceptions."""
    client = OutboundClient(
        AddressRules(settings.internal_issuers), ca_file=settings.ca_file
    )
    keys = IssuerKeys(client, clock)
    try:
        async for saml in read_everywhere(stores.directory, SAML_PROVIDER):
            for finding in (
                *_check_saml(saml, clock.now()),
                *await _check_published(saml, stores, clock.now()),
                *await _check_scim(saml, stores, clock.now()),
            ):
                yield finding
        for oidc in await list_everywhere(stores.directory, OIDC_PROVIDER):
            async for finding in _check_oidc(oidc, keys):
                yield finding
            for finding in await _check_watch(oidc, stores, clock.now()):
                yield finding
            for finding in await _check_scim(oidc, stores, clock.now()):
                yield finding
    finally:
        await keys.close()


async def probe_new_providers(
    settings: Settings, stores: Stores, clock: Clock, created_at: datetime
) -> list[Finding]:
    """Look at the providers that were created at a moment, all at once."""
    client = OutboundClient(
        AddressRules(settings.internal_issuers), ca_file=settings.ca_file
    )
    keys = IssuerKeys(client, clock)
    directory = stores.directory
    arns: list[str] = []
    probes: list[Awaitable[tuple[HealthFinding, ...]]] = []
    try:
        for account in await list_accounts(directory):
            issuers = await directory.all_of(OIDC_PROVIDER, account.account_id)
            entities = await directory.all_of(SAML_PROVIDER, account.account_id)
            for oidc in issuers:
                if oidc.created_at == created_at:
                    arns.append(oidc.arn)
                    probes.append(probe_oidc(oidc, issuers, keys))
            for saml in entities:
                if saml.created_at == created_at:
                    arns.append(saml.arn)
                    probes.append(_probe_saml(directory, saml, entities))
        health_findings, directories = await asyncio.gather(
            asyncio.gather(*probes), probe_new_directories(settings, stores, created_at)
        )
    finally:
        await keys.close()
    return directories + [
        good(arn, finding.text)
        if finding.level is HealthLevel.GOOD
        else warning(arn, finding.text, finding.advice)
        for arn, findings in zip(arns, health_findings, strict=True)
        for finding in findings
    ]


async def _probe_saml(
    directory: DirectoryReader, provider: SamlProvider, others: Iterable[SamlProvider]
) -> tuple[HealthFinding, ...]:
    async for whole in directory.with_documents(SAML_PROVIDER, [provider]):
        return await probe_saml(whole, directory.with_documents(SAML_PROVIDER, others))
    return ()


async def _check_scim(
    provider: SamlProvider | OidcProvider, stores: Stores, now: datetime
) -> list[Finding]:
    """Say who may sign in by the provider's directory, and which tokens it has."""
    arn, provider_id = provider.arn, provider.unique_id
    owner = owning_provider(provider)
    tokens = [
        token
        for token in await SCIM_TOKENS.tokens_of(stores.directory, owner)
        if token.expires_at > now
    ]
    try:
        options = ProviderOptions.parse(provider.options).scim
    except ValueError:
        return []  # reported with the other options
    if options is None:
        if not tokens:
            return []
        return [
            warning(
                arn,
                "its directory has a SCIM token, but SCIM is switched off",
                f"broker providers set {arn} ScimSubject=userName",
            )
        ]
    counts = await provisioning_counts(stores.directory, provider.account, provider_id)
    findings: list[Finding] = []
    if not tokens:
        findings.append(
            problem(
                arn,
                "SCIM is switched on, but no token is valid: leavers are not reported",
                f"broker providers scim-token {arn}",
            )
        )
    elif (end := max(token.expires_at for token in tokens)) - now < _TOKEN_NOTICE:
        findings.append(
            warning(
                arn,
                f"its last SCIM token expires {end:%Y-%m-%d}",
                f"broker providers scim-token {arn}",
            )
        )
    if not counts.users and not options.allows_unknown:
        findings.append(
            warning(
                arn,
                "SCIM is switched on, but its directory has provisioned no people, so no one"
                " can sign in",
                "provision people, or set ScimUnknown=allow until then",
            )
        )
    return findings or [
        good(
            arn,
            f"SCIM: people: {counts.users} ({counts.inactive} inactive),"
            f" groups: {counts.groups}",
        )
    ]


def _check_saml(provider: SamlProvider, now: datetime) -> list[Finding]:
    arn = provider.arn
    try:
        options = ProviderOptions.parse(provider.options)
        metadata = parse_metadata(
            provider.metadata, now=None, legacy_rsa=options.legacy_rsa
        )
    except (ValueError, MetadataRejected) as error:
        return [problem(arn, str(error), "broker providers set, or new metadata")]
    findings = _check_exceptions(arn, provider.options)
    for descriptor in metadata.descriptors:
        for key in descriptor.signing_keys:
            end = key.not_after
            if end - now < _CERTIFICATE_NOTICE:
                findings.append(
                    warning(
                        arn,
                        f"a signing certificate of {descriptor.entity_id} expires"
                        f" {end:%Y-%m-%d}",
                        "register the provider's new metadata",
                    )
                )
    if provider.valid_until < now:
        findings.append(
            problem(arn, "its registration has expired", "update its metadata")
        )
    return findings or [good(arn, "metadata is in order")]


async def _check_published(
    provider: SamlProvider, stores: Stores, now: datetime
) -> list[Finding]:
    url = provider.options.get("MetadataUrl")
    if not isinstance(url, str):
        return []
    arn = provider.arn
    try:
        state = await read_state(stores.cache, provider, url)
    except StoreUnavailableError as error:
        return [warning(arn, f"{url} cannot be checked: {error}", "check the cache")]
    if state is None:
        return [
            warning(
                arn,
                f"{url} has not been fetched yet",
                f"`broker serve` fetches it; or now: broker providers refresh {arn}",
            )
        ]
    if state.failures:
        since = f"since {state.good_at:%Y-%m-%d %H:%M} UTC" if state.good_at else "ever"
        return [
            problem(
                arn,
                f"no valid metadata from {url} {since}: {state.problem}",
                f"fix it there, then: broker providers refresh {arn}",
            )
        ]
    findings = [
        good(arn, f"{url} was fetched at {state.attempted_at:%Y-%m-%d %H:%M} UTC")
    ]
    if state.attempted_at + 2 * INTERVAL_MAX < now:
        findings = [
            warning(arn, f"{url} was not fetched recently", "is the broker running?")
        ]
    return findings


async def _check_oidc(
    provider: OidcProvider, keys: IssuerKeys
) -> AsyncIterator[Finding]:
    arn = provider.arn
    try:
        options = ProviderOptions.parse(provider.options)
    except ValueError as error:
        yield problem(arn, str(error), f"broker providers set {arn} …")
        return
    for finding in _check_exceptions(arn, provider.options):
        yield finding
    if not provider.client_ids:
        yield warning(
            arn,
            "no client ID is registered, so every token is refused",
            "iam add-client-id-to-open-id-connect-provider",
        )
    try:
        key_set = await keys.keys_of(provider, options)
    except (IssuerUnreachableError, OidcRejected) as error:
        remedy = "check DNS, network and certificate (BROKER_CA_FILE)"
        if was_refused(error):
            remedy = "an issuer on a private address needs BROKER_INTERNAL_ISSUERS"
        yield problem(arn, f"its keys cannot be read: {error}", remedy)
    else:
        if key_set.keys:
            yield good(arn, f"{len(key_set.keys)} keys available")
        else:
            yield problem(
                arn, "none of its keys can be used", "check StaticJwks and the issuer"
            )


async def _check_watch(
    provider: OidcProvider, stores: Stores, now: datetime
) -> list[Finding]:
    """Say whether it is noticed who leaves."""
    try:
        options = ProviderOptions.parse(provider.options)
    except ValueError:
        return []  # reported with the other options
    sign_ins = OidcSignIns(stores.database)
    state = await sign_ins.state_of(provider.unique_id, now)
    findings = [
        _of_health(provider.arn, finding) for finding in watch_findings(options, state)
    ]
    if options.watch and not findings:
        findings.append(
            good(
                provider.arn,
                f"asked every {options.watch_seconds} s about {state.asked} sign-ins",
            )
        )
    return findings


def _of_health(arn: str, finding: HealthFinding) -> Finding:
    tell = problem if finding.level is HealthLevel.PROBLEM else warning
    return tell(arn, finding.text, finding.advice)


def _check_exceptions(arn: str, options: Mapping[str, object]) -> list[Finding]:
    named = [option.name for option in OPTIONS if option.place.is_exception]
    made = {n: v for n in named if (v := options.get(n)) not in _STRICT}
    if not made:
        return []
    text = ", ".join(f"{name}={option_text(v)}"[:80] for name, v in made.items())
    without = " ".join(f"{name}=" for name in made)
    return [
        warning(
            arn,
            f"exceptions from the usual checks: {text}",
            f"broker providers set {arn} {without}, once the identity provider does not"
            " need them; see docs/operating/providers.md",
        )
    ]


async def check_directories(settings: Settings, stores: Stores) -> list[Finding]:
    """Try each server of each directory, and look for providers without one."""
    try:
        directories = settings.directories.directories
    except SettingsError as error:
        return [problem("directories", str(error), "fix it and run this again")]
    providers = await list_everywhere(stores.directory, LDAP_PROVIDER)
    results = [
        problem(
            provider.arn,
            f"BROKER_DIRECTORIES_FILE has no {provider.directory}",
            "describe it there, or delete the provider (apply --prune)",
        )
        for provider in providers
        if provider.directory not in directories
    ]
    results += [
        warning(f"directory {name}", *directory.warning.split(": run "))
        for name, directory in directories.items()
        if directory.warning
    ]
    for findings in await asyncio.gather(
        *(
            _try_directory(name, LdapPeople(name, directory))
            for name, directory in directories.items()
        )
    ):
        results += findings
    results += [
        warning(f"directory {name}", "no account has a provider for it", "broker apply")
        for name in sorted(
            directories.keys() - {provider.directory for provider in providers}
        )
    ]
    return results


async def probe_new_directories(
    settings: Settings, stores: Stores, created_at: datetime
) -> list[Finding]:
    """Try the directories of providers that were created at a moment."""
    names = {
        provider.directory
        for provider in await list_everywhere(stores.directory, LDAP_PROVIDER)
        if provider.created_at == created_at
    }
    known = settings.directories.directories
    results = await asyncio.gather(
        *(_try_directory(name, LdapPeople(name, known[name])) for name in sorted(names))
    )
    return [finding for findings in results for finding in findings]


async def _try_directory(name: str, people: LdapPeople) -> list[Finding]:
    dry_run = LdapDryRun(people)
    subject = f"directory {name}"
    try:
        async with asyncio.timeout(_DIRECTORY_SECONDS):
            await dry_run.try_servers()
    except TimeoutError:
        return [
            warning(subject, f"no answer within {_DIRECTORY_SECONDS} s", "try again")
        ]
    finally:
        await people.close()
    failed = [check for check in dry_run.checks if check.state is State.FAILED]
    if not failed:
        count = len(people.servers)
        words = "1 server" if count == 1 else f"{count} servers"
        return [good(subject, f"{words} can be queried")]
    # One that answers is enough to sign in with.
    tell = problem if len(failed) == len(people.servers) else warning
    return [tell(subject, check.found, check.advice) for check in failed]
