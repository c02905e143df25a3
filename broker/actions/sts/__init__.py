"""The operations of the Security Token Service."""

from broker.actions.action import Action
from broker.actions.signin.derived_mint import DerivedMinter
from broker.actions.sts.assume_role import AssumeRole
from broker.actions.sts.assume_role_with_ldap_identity import (
    AssumeRoleWithLdapIdentity,
)
from broker.actions.sts.assume_role_with_saml import AssumeRoleWithSaml
from broker.actions.sts.assume_role_with_web_identity import AssumeRoleWithWebIdentity
from broker.actions.sts.assume_root import AssumeRoot
from broker.actions.sts.decode_authorization_message import DecodeAuthorizationMessage
from broker.actions.sts.get_access_key_info import GET_ACCESS_KEY_INFO
from broker.actions.sts.get_caller_identity import GET_CALLER_IDENTITY
from broker.actions.sts.get_delegated_access_token import GET_DELEGATED_ACCESS_TOKEN
from broker.actions.sts.get_federation_token import GetFederationToken
from broker.actions.sts.get_scoped_credentials import GetScopedCredentials
from broker.actions.sts.get_session_token import GetSessionToken
from broker.actions.sts.get_web_identity_token import GetWebIdentityToken
from broker.actions.sts.own_tokens import OwnTokens
from broker.actions.sts.role_mint import RoleMinter
from broker.actions.sts.user_mint import UserMinter
from broker.authn.mfa import MfaVerifier
from broker.sessions.issue import SessionIssuer
from broker.sessions.messages import AuthorizationMessages
from broker.sessions.vault import Vault
from broker.stores.directory.fresh import FreshDirectory


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
        AssumeRole(fresh, minter, mfa).action(),
        AssumeRoleWithLdapIdentity(fresh, minter).action(),
        AssumeRoleWithSaml(fresh, minter).action(),
        AssumeRoleWithWebIdentity(fresh, minter, own).action(),
        AssumeRoot(fresh, issuer).action(),
        DecodeAuthorizationMessage(messages).action(),
        GET_ACCESS_KEY_INFO,
        GET_CALLER_IDENTITY,
        GET_DELEGATED_ACCESS_TOKEN,
        GetFederationToken(user_minter).action(),
        GetScopedCredentials(derived).action(),
        GetSessionToken(user_minter, mfa).action(),
        GetWebIdentityToken(fresh, vault, own, public_origin).action(),
    )
