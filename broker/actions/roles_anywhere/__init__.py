"""IAM Roles Anywhere: roles for machines with a certificate.

The operations are AWS's, by its model. ``CreateSession`` is a mint like those of STS;
its proof is a certificate of one of the account's trust anchors.
"""

from broker.actions.action import Action
from broker.actions.roles_anywhere.create_session import create_session
from broker.actions.roles_anywhere.plain import TAGS, plain
from broker.actions.roles_anywhere.profiles import PROFILES
from broker.actions.sts.role_mint import RoleMinter
from broker.kinds.roles_anywhere import REVOCATION_LISTS, TRUST_ANCHORS
from broker.stores.directory.fresh import FreshDirectory


def roles_anywhere_actions(
    fresh: FreshDirectory, minter: RoleMinter
) -> tuple[Action, ...]:
    """Every action of the service."""
    return (
        create_session(fresh, minter),
        *plain(TRUST_ANCHORS),
        *PROFILES,
        *plain(REVOCATION_LISTS),
        *TAGS,
    )
