"""The composition root: settings become stores and services.

The only module that knows every concrete class below the edges. A worker closes at its
end what it opened at its start, in reverse order.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

from msgspec.structs import replace

from broker.actions.access_analyzer import ACCESS_ANALYZER
from broker.actions.action import Proof
from broker.actions.decisions import MANAGEMENT
from broker.actions.decisions.authorize import Authorizer
from broker.actions.decisions.gateway import GatewayActions
from broker.actions.iam import iam_actions
from broker.actions.iam.outbound_federation import outbound_federation_actions
from broker.actions.instances import instance_actions
from broker.actions.invariants import INVARIANTS
from broker.actions.models import (
    ServiceName,
    load_rest_service,
    load_service,
    load_sts_for_directories,
)
from broker.actions.operator_listings import OPERATOR_LISTINGS
from broker.actions.portal import portal_actions
from broker.actions.registry import Registry
from broker.actions.roles_anywhere import roles_anywhere_actions
from broker.actions.scim.administration import SCIM_ADMINISTRATION
from broker.actions.signin import signin_actions
from broker.actions.signin.account_risks import AccountRisks, RoleAssumers
from broker.actions.signin.console_login import first_password
from broker.actions.signin.identity_providers import IdentityProviders
from broker.actions.signin.leavers import Leavers
from broker.actions.signin.lookup_events import get_activity, lookup_events
from broker.actions.signin.oauth import oauth_actions
from broker.actions.signin.own_access import OwnAccess
from broker.actions.signin.own_roles import OwnRoles
from broker.actions.signin.passkeys import PasskeyCeremonies, Passkeys
from broker.actions.signin.sessions import SignInSessions
from broker.actions.signin.signin_tokens import SigninTokens
from broker.actions.signin.token_watch import TokenWatch
from broker.actions.sts import sts_actions
from broker.actions.sts.derived_mint import DerivedMinter
from broker.actions.sts.role_mint import RoleMinter
from broker.actions.sts.upstream_mint import UpstreamMinter
from broker.audit.decisions import DecisionLog
from broker.audit.writer import Auditor
from broker.compose.installation import Installation, open_installation
from broker.edges.metrics import Metrics, shared_folder
from broker.errors import ServiceUnavailable
from broker.kinds.mfa_codes import MfaCodes
from broker.kinds.organisations import Organisations, read_organisations
from broker.kinds.passwords import Passwords
from broker.model.entities import SamlProvider
from broker.permit.gather import PolicyLibrary
from broker.permit.guard import Guard
from broker.permit.hypothetical import Hypotheses
from broker.permit.rates import RateLimits
from broker.pipeline import Pipeline
from broker.proofs.addresses import AddressRules
from broker.proofs.admission import Admission
from broker.proofs.ambient import AmbientCredentials
from broker.proofs.attempts import Attempts
from broker.proofs.bearer_tokens import JoinTokenScheme, ServiceScheme
from broker.proofs.certificates import CertificateScheme
from broker.proofs.claimed_providers import ClaimedProviders
from broker.proofs.code_flow import CodeFlow
from broker.proofs.directory_passwords import DirectoryPasswords, LdapScheme
from broker.proofs.endpoints import Endpoints
from broker.proofs.federated import SamlExpectations, SamlProver
from broker.proofs.federated_schemes import AssertionScheme, TokenScheme
from broker.proofs.instances import InstanceScheme, MachineTokenScheme
from broker.proofs.issuer_keys import IssuerKeys
from broker.proofs.ldap.people import LdapPeople
from broker.proofs.ldap.prover import LdapProver
from broker.proofs.long_term import LongTermKeys
from broker.proofs.metadata_refresh import MetadataRefresher
from broker.proofs.mfa import MfaVerifier
from broker.proofs.outbound import OutboundClient
from broker.proofs.proof_dry_run import ProofDryRun
from broker.proofs.renewal import Renewal
from broker.proofs.saml_request_key import RequestKeys
from broker.proofs.scheme import Scheme
from broker.proofs.sigv4 import SignatureScheme, SignedFor, SignedForScheme
from broker.proofs.upstream_client import UPSTREAM_SECONDS, UpstreamClient
from broker.proofs.web_identity import WebIdentityProver
from broker.protocols.sigv4 import SignatureRules
from broker.protocols.webauthn import find_relying_party
from broker.runtime.bounded import CACHES
from broker.runtime.clock import Clock
from broker.sessions.issue import SessionIssuer
from broker.sessions.issue_upstream import UpstreamIssuer
from broker.sessions.messages import AuthorizationMessages
from broker.sessions.oauth import (
    Clients,
    DeviceRequests,
    Grants,
    LoginFamilies,
    PortalLogins,
)
from broker.sessions.portal import PortalSessions
from broker.sessions.record import SessionIndex
from broker.sessions.resolve import Resolver
from broker.sessions.seal import SessionSealer
from broker.sessions.vault import SealBrokenError, Vault
from broker.sessions.watched import WatchedSignIns
from broker.settings import Settings
from broker.stores.directory.freshness import Freshness, telling_siblings
from broker.stores.directory.readings import FreshDirectory
from broker.stores.handle_table import HandleTable
from broker.stores.ldap_sign_ins import LdapSignIns
from broker.stores.ledger.port import ObservedLedger
from broker.stores.oidc_sign_ins import OidcSignIns
from broker.stores.uses import UseBuffer

PAGES = (
    "/saml",
    "/federation",
    "/oauth",
    "/signin",
    "/console",
    "/docs",
    "/issuer",
    "/portal",
    "/authorize",
    "/static",
    "/v1",
)
"""How the paths of pages begin; metrics know them by it."""

_CACHED_BYTES_OF_MIB = 768 * 1024
"""The rest are holes between entries, which the allocator cannot return."""


class Services(Installation, frozen=True, kw_only=True):
    """Everything a worker built, for the edges and the command line."""

    freshness: Freshness
    fresh: FreshDirectory
    handles: HandleTable
    index: SessionIndex
    issuer: SessionIssuer
    resolver: Resolver
    portal_sessions: PortalSessions
    portal_logins: PortalLogins
    login_grants: Grants
    login_families: LoginFamilies
    organisations: Organisations
    federated: SamlProver
    issuer_keys: IssuerKeys
    metadata_refresher: MetadataRefresher
    web_identity: WebIdentityProver
    code_flow: CodeFlow
    ldap: LdapProver
    directory_passwords: DirectoryPasswords
    leavers: Leavers
    watched: WatchedSignIns
    oidc_sign_ins: OidcSignIns
    token_watch: TokenWatch
    request_keys: RequestKeys
    auditor: Auditor
    pipeline: Pipeline
    registry: Registry
    endpoints: Endpoints
    claimed_providers: ClaimedProviders
    assertion_scheme: AssertionScheme
    metrics: Metrics
    uses: UseBuffer
    attempts: Attempts
    decisions: DecisionLog
    upstreams: UpstreamMinter
    service_scheme: Scheme
    """Proves registered services by token or signature; proxies by token alone."""

    proxy_scheme: Scheme
    store_scheme: Scheme
    """As ``proxy_scheme``, and takes the token where Ceph and MinIO put it."""

    gateway_scheme: Scheme
    """Proves versitygw, which signs as for IAM, but by rules of its own."""

    bearer_scheme: Scheme
    """As ``proxy_scheme``, and takes the token in ``Authorization`` too."""


@contextlib.asynccontextmanager
async def open_services(
    settings: Settings, clock: Clock | None = None, *, may_make: bool = True
) -> AsyncIterator[Services]:
    """Build a worker's services, and take them down at the end.

    Where there is no installation yet, ``may_make`` decides if one is made.

    Raises:
        NoInstallationError: there is none, and none was made.
        SettingsError: there is no data folder.
        StoreUnavailableError, SchemaRevisionError: the stores.
        KeyringError: the keyring is missing, unsafe or another database's.
    """
    async with contextlib.AsyncExitStack() as stack:
        opened = await stack.enter_async_context(
            open_installation(settings, clock, may_make=may_make)
        )
        CACHES.limit(settings.cache_mb * _CACHED_BYTES_OF_MIB)
        metrics = Metrics(PAGES, CACHES)
        if shared_folder():
            await stack.enter_async_context(metrics.flushing())
        ledger = ObservedLedger(opened.stores.ledger, metrics.observe_ledger)
        stores = replace(opened.stores, ledger=ledger)
        freshness = Freshness(
            stores.directory, opened.clock, stale_seconds=settings.stale_seconds
        )
        stores.directory.on_commit(freshness.observed)
        stores.directory.require(freshness.last_known)
        freshness.on_timeline(metrics.observe_timeline)
        await freshness.start()
        stack.push_async_callback(freshness.close)
        if folder := shared_folder():
            siblings = telling_siblings(Path(folder), freshness)
            await stack.enter_async_context(siblings)
        uses = UseBuffer(stores.database)
        services = _build(
            replace(opened, stores=stores), freshness, metrics=metrics, uses=uses
        )
        for forget in (
            opened.stores.ledger.forget_settled,
            uses.forget_written,
            services.decisions.forget_first_uses,
            services.request_keys.forget,
        ):
            freshness.on_timeline(forget)
        await stack.enter_async_context(opened.keyring.following(stores.database))
        await stack.enter_async_context(uses.flushing())
        stack.push_async_callback(services.issuer_keys.close)
        stack.push_async_callback(services.metadata_refresher.close)
        stack.push_async_callback(services.ldap.close)
        stack.push_async_callback(services.index.settle)
        stack.push_async_callback(services.auditor.close)
        stack.push_async_callback(services.decisions.close)
        stack.push_async_callback(services.upstreams.close)
        yield services


def _build(
    opened: Installation, freshness: Freshness, *, metrics: Metrics, uses: UseBuffer
) -> Services:
    settings, clock, stores = opened.settings, opened.clock, opened.stores
    keyring, vault = opened.keyring, opened.vault
    fresh = FreshDirectory(freshness)
    handles = HandleTable(stores.database, clock)
    sealer = SessionSealer(keyring)
    index = SessionIndex(stores.cache)
    issuer = SessionIssuer(sealer, stores.ledger, index)
    resolver = Resolver(sealer, fresh, index)
    rules = AddressRules(settings.internal_issuers)
    outbound = OutboundClient(rules, ca_file=settings.ca_file)
    issuer_keys = IssuerKeys(
        outbound, clock, cache=stores.cache, seal=_KeySetSeal(vault)
    )
    http_hosts = [
        f"{entry.host}:{entry.port}"
        for entry in settings.internal_issuers
        if entry.network is None
    ]
    metadata_refresher = MetadataRefresher(
        outbound, stores.directory, stores.cache, clock, http_hosts=http_hosts
    )
    web_identity = WebIdentityProver(
        fresh, issuer_keys, Admission(fresh), skew=settings.skew
    )
    federated = SamlProver(
        fresh,
        SamlExpectations(
            audiences=settings.audiences,
            recipients=settings.recipients,
            skew=settings.skew,
        ),
        vault,
        acs_of=lambda provider: acs_url(settings, provider),
        newer_metadata=metadata_refresher,
    )
    directories = settings.directories
    sign_ins = LdapSignIns(stores.database)
    oidc_sign_ins = OidcSignIns(stores.database)
    watched = WatchedSignIns(oidc_sign_ins, vault, clock)
    code_flow = CodeFlow(outbound, vault, clock)
    ldap = LdapProver(
        fresh,
        {
            name: LdapPeople(name, directory)
            for name, directory in directories.directories.items()
        },
        sign_ins,
    )
    directory_passwords = DirectoryPasswords(
        ldap, lambda: Attempts(stores.cache, clock)
    )
    auditor = Auditor(stores.ledger, clock)
    messages = AuthorizationMessages(keyring)
    library = PolicyLibrary(fresh)
    organisations = read_organisations(settings.organisations_file)
    guard = Guard(library, messages)
    rates = RateLimits(stores.cache, clock, calls_per_second=settings.rate_limit)
    attempts = Attempts(stores.cache, clock)
    regions = None if "*" in settings.regions else frozenset(settings.regions)
    endpoints = Endpoints(settings.public_host, settings.home_region, regions)
    signatures = SignatureScheme(LongTermKeys(fresh, vault), resolver, endpoints)
    decisions = DecisionLog(auditor, clock, metrics.observe_decision)
    authorizer = Authorizer(
        fresh,
        guard,
        Hypotheses(fresh, guard),
        signatures,
        uses=uses,
        log=decisions,
        home_region=settings.home_region,
    )
    upstreams = UpstreamMinter(
        fresh,
        UpstreamClient(
            OutboundClient(
                rules, ca_file=settings.ca_file, deadline_seconds=UPSTREAM_SECONDS
            )
        ),
        vault,
        AmbientCredentials(),
        settings.public_origin,
    )
    upstream_issuer = UpstreamIssuer(fresh, stores.ledger, index)
    minter = RoleMinter(fresh, issuer, upstream_issuer, upstreams)
    derived = DerivedMinter(fresh, issuer, ldap)
    login_grants = Grants(handles, vault, "login")
    login_families = LoginFamilies(handles, vault, resolver, fresh)
    registry = Registry(
        [
            *sts_actions(
                fresh,
                issuer,
                minter,
                mfa=MfaVerifier(MfaCodes(stores.directory, vault), attempts),
                messages=messages,
                vault=vault,
                public_origin=settings.public_origin,
                derived=derived,
            ),
            *iam_actions(vault, rules.names, attempts, metadata_http_hosts=http_hosts),
            *outbound_federation_actions(vault, settings.public_origin),
            *MANAGEMENT,
            *INVARIANTS,
            *OPERATOR_LISTINGS,
            *instance_actions(fresh, minter),
            *SCIM_ADMINISTRATION,
            authorizer.action(),
            *GatewayActions(
                authorizer, signatures, fresh, stores.cache, decisions
            ).actions(),
            *oauth_actions(derived, login_grants, login_families, stores.ledger, index),
            *signin_actions(
                fresh,
                issuer,
                SigninTokens(stores.cache, vault),
                stores.ledger,
                minter=derived,
                own=OwnAccess(library, guard, stores.directory),
                roles=OwnRoles(fresh, library, guard),
                sessions=SignInSessions(stores.cache, stores.ledger),
                cache=stores.cache,
                assumers=RoleAssumers(stores.directory, guard),
            ),
            first_password(Passwords(vault)),
            *portal_actions(
                fresh,
                issuer,
                minter,
                library=library,
                guard=guard,
                organisations=organisations,
            ),
            *roles_anywhere_actions(fresh, minter),
            *ACCESS_ANALYZER,
            lookup_events(stores.ledger),
            get_activity(stores.ledger),
            *AccountRisks().actions(),
            *IdentityProviders(
                ProofDryRun(federated, web_identity),
                issuer_keys,
                metadata_refresher,
                vault,
                oidc_sign_ins,
            ).actions(),
            *Passkeys(
                PasskeyCeremonies(stores.cache, vault),
                find_relying_party(settings.public_origin),
            ).actions(),
        ],
        services=[
            load_sts_for_directories()
            if name == "sts" and directories.at_api
            else load_service(name)
            for name in get_args(ServiceName)
        ],
        rest_services=[load_rest_service("rolesanywhere")],
    )
    claimed_providers = ClaimedProviders(fresh, stores.directory, clock)
    assertion_scheme = AssertionScheme(federated, claimed_providers)
    pipeline = Pipeline(
        schemes={
            Proof.SIGNATURE: signatures,
            Proof.SAML: assertion_scheme,
            Proof.WEB_IDENTITY: TokenScheme(web_identity, claimed_providers),
            Proof.LDAP: LdapScheme(directory_passwords, ldap, directories.at_api),
            Proof.CERTIFICATE: CertificateScheme(fresh, endpoints),
            Proof.JOIN_TOKEN: JoinTokenScheme(stores.directory, fresh),
            Proof.MACHINE_TOKEN: MachineTokenScheme(web_identity),
            Proof.INSTANCE: InstanceScheme(fresh),
        },
        rates=rates,
        guard=guard,
        auditor=auditor,
        uses=uses,
        directory=stores.directory,
        endpoints=endpoints,
        clock=clock,
    )
    return Services(
        settings=settings,
        clock=clock,
        stores=stores,
        freshness=freshness,
        fresh=fresh,
        keyring=keyring,
        vault=vault,
        is_new=opened.is_new,
        handles=handles,
        index=index,
        issuer=issuer,
        resolver=resolver,
        portal_sessions=PortalSessions(
            handles,
            vault,
            resolver,
            fresh,
            renew=Renewal(ldap, watched).renew,
            watched=watched,
        ),
        portal_logins=PortalLogins(
            Clients(vault),
            Grants(handles, vault, "portal-login"),
            DeviceRequests(stores.cache, handles, vault),
        ),
        login_grants=login_grants,
        login_families=login_families,
        organisations=organisations,
        federated=federated,
        issuer_keys=issuer_keys,
        metadata_refresher=metadata_refresher,
        web_identity=web_identity,
        code_flow=code_flow,
        watched=watched,
        oidc_sign_ins=oidc_sign_ins,
        token_watch=TokenWatch(
            stores.directory,
            fresh,
            code_flow,
            web_identity,
            oidc_sign_ins,
            watched=watched,
            clock=clock,
        ),
        ldap=ldap,
        leavers=Leavers(stores.directory, ldap, sign_ins, clock),
        directory_passwords=directory_passwords,
        request_keys=RequestKeys(stores.database, vault, clock),
        auditor=auditor,
        pipeline=pipeline,
        registry=registry,
        endpoints=endpoints,
        claimed_providers=claimed_providers,
        assertion_scheme=assertion_scheme,
        metrics=metrics,
        uses=uses,
        attempts=attempts,
        decisions=decisions,
        upstreams=upstreams,
        service_scheme=ServiceScheme(fresh, signatures),
        proxy_scheme=ServiceScheme(fresh),
        bearer_scheme=ServiceScheme(fresh, bearers=(b"authorization",)),
        # MinIO sends its token in the first, Ceph in the second.
        store_scheme=ServiceScheme(fresh, bearers=(b"authorization", b"x-auth-token")),
        gateway_scheme=SignedForScheme(
            signatures,
            SignedFor(service="iam", rules=SignatureRules(path_as_sent=True)),
        ),
    )


def acs_url(settings: Settings, provider: SamlProvider) -> str:
    """A SAML provider's own assertion consumer service."""
    return f"{settings.public_origin}/saml/acs/{provider.uuid}"


class _KeySetSeal:
    """Seals shared key sets: a cache may speed up, never grant."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def seal(self, slot: str, plain: bytes) -> bytes:
        """Seal a key set for one slot."""
        return self._vault.seal("jwks", "", slot, "keys", plain)

    def find_opened(self, slot: str, sealed: bytes) -> bytes | None:
        """The key set; None when it was not sealed by us for this slot."""
        try:
            return self._vault.open_sealed("jwks", "", slot, "keys", sealed)
        except (SealBrokenError, ServiceUnavailable):
            return None
