"""The operations of the Security Token Service."""

from broker.actions.action import Action
from broker.actions.sts.assume_role import AssumeRole
from broker.actions.sts.assume_role_with_saml import AssumeRoleWithSaml
from broker.actions.sts.assume_role_with_web_identity import (
    AssumeRoleWithWebIdentity,
)
from broker.actions.sts.get_access_key_info import GET_ACCESS_KEY_INFO
from broker.actions.sts.get_caller_identity import GET_CALLER_IDENTITY
from broker.actions.sts.role_mint import RoleMinter
from broker.sessions.issue import SessionIssuer
from broker.stores.directory.fresh import FreshDirectory


def sts_actions(fresh: FreshDirectory, issuer: SessionIssuer) -> tuple[Action, ...]:
    """Every STS operation that is built."""
    minter = RoleMinter(fresh, issuer)
    return (
        AssumeRole(fresh, minter).action(),
        AssumeRoleWithSaml(fresh, minter).action(),
        AssumeRoleWithWebIdentity(fresh, minter).action(),
        GET_ACCESS_KEY_INFO,
        GET_CALLER_IDENTITY,
    )
