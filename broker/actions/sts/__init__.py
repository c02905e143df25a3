"""The operations of the Security Token Service."""

from broker.actions.action import Action
from broker.actions.sts.assume_role import assume_role
from broker.actions.sts.assume_root import assume_root
from broker.actions.sts.callers import caller_actions
from broker.actions.sts.derived_mint import DerivedMinter
from broker.actions.sts.federated_roles import (
    assume_role_with_ldap_identity,
    assume_role_with_saml,
    assume_role_with_web_identity,
)
from broker.actions.sts.get_scoped_credentials import get_scoped_credentials
from broker.actions.sts.get_web_identity_token import get_web_identity_token
from broker.actions.sts.own_tokens import OwnTokens
from broker.actions.sts.role_mint import RoleMinter
from broker.actions.sts.user_sessions import (
    UserMinter,
    get_federation_token,
    get_session_token,
)
from broker.proofs.mfa import MfaVerifier
from broker.sessions.issue import SessionIssuer
from broker.sessions.messages import AuthorizationMessages
from broker.sessions.vault import Vault
from broker.stores.directory.readings import FreshDirectory


def sts_actions(
    fresh: FreshDirectory,
    issuer: SessionIssuer,
    minter: RoleMinter,
    *,
    mfa: MfaVerifier,
    messages: AuthorizationMessages,
    vault: Vault,
    public_origin: str,
    derived: DerivedMinter,
) -> tuple[Action, ...]:
    """Every STS operation."""
    user_minter = UserMinter(fresh, issuer)
    own = OwnTokens(vault, fresh, public_origin)
    return (
        assume_role(fresh, minter, mfa),
        assume_role_with_ldap_identity(fresh, minter),
        assume_role_with_saml(fresh, minter),
        assume_role_with_web_identity(fresh, minter, own),
        assume_root(fresh, issuer),
        *caller_actions(messages),
        get_federation_token(user_minter),
        get_scoped_credentials(derived),
        get_session_token(user_minter, mfa),
        get_web_identity_token(fresh, vault, own, public_origin),
    )
