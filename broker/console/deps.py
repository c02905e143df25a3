"""The console's dependencies on the rest of the broker."""

from collections.abc import Callable

from msgspec import Struct

from broker.actions.registry import Registry
from broker.actions.signin.signin_tokens import SigninTokens
from broker.actions.sts.upstream_mint import UpstreamMinter
from broker.kinds.mfa_codes import MfaCodes
from broker.kinds.organisations import Organisations
from broker.kinds.passkeys import PasskeyProofs
from broker.kinds.passwords import Passwords
from broker.pipeline import Pipeline
from broker.proofs.attempts import Attempts
from broker.proofs.claimed_providers import ClaimedProviders
from broker.proofs.code_flow import CodeFlow
from broker.proofs.directory_passwords import DirectoryPasswords
from broker.proofs.endpoints import Endpoints
from broker.proofs.federated import SamlProver
from broker.proofs.federated_schemes import AssertionScheme
from broker.proofs.ldap.prover import LdapProver
from broker.proofs.saml_request_key import RequestKeys
from broker.proofs.web_identity import WebIdentityProver
from broker.runtime.clock import Clock
from broker.sessions.oauth import PortalLogins
from broker.sessions.portal import PortalSessions
from broker.sessions.resolve import Resolver
from broker.sessions.vault import Vault
from broker.sessions.watched import WatchedSignIns
from broker.stores.cache.port import Cache
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.readings import FreshDirectory
from broker.stores.handle_table import HandleTable
from broker.stores.uses import UseBuffer


class SignInLink(Struct, frozen=True):
    """A link on the sign-in page."""

    label: str
    url: str
    note: str = ""


class ConsoleDeps(Struct, frozen=True, kw_only=True):
    """The console's collaborators and settings.

    ``public_origin`` has no trailing slash; ``secure`` says that it is https.
    ``allowed_origins`` are further origins that ``Destination``, ``RelayState`` and
    ``Issuer`` may redirect to; ``host_aliases`` are further names of the broker.
    ``entity_id`` is our SAML service provider entity ID.
    ``documentation`` finds the path that pages link to, empty if there is none.
    """

    pipeline: Pipeline
    registry: Registry
    endpoints: Endpoints
    claimed_providers: ClaimedProviders
    assertion_scheme: AssertionScheme
    federated: SamlProver
    resolver: Resolver
    portal_sessions: PortalSessions
    portal_logins: PortalLogins
    organisations: Organisations
    fresh: FreshDirectory
    directory: DirectoryReader
    ldap: LdapProver
    directory_passwords: DirectoryPasswords
    cache: Cache
    handles: HandleTable
    vault: Vault
    tokens: SigninTokens
    clock: Clock
    request_keys: RequestKeys
    code_flow: CodeFlow
    watched: WatchedSignIns
    web_identity: WebIdentityProver
    passwords: Passwords
    mfa_codes: MfaCodes
    passkeys: PasskeyProofs
    attempts: Attempts
    uses: UseBuffer
    upstreams: UpstreamMinter
    entity_id: str
    public_origin: str
    secure: bool
    allowed_origins: tuple[str, ...] = ()
    host_aliases: tuple[str, ...] = ()
    sign_in_links: tuple[SignInLink, ...] = ()
    documentation: Callable[[], str] = str
