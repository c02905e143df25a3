"""IAM Roles Anywhere: roles for machines with a certificate.

The operations are AWS's, by its model. ``CreateSession`` is a mint like those of STS;
its proof is a certificate of one of the account's trust anchors.
"""

from broker.actions.action import Action
from broker.actions.roles_anywhere.create_session import CreateSession
from broker.actions.roles_anywhere.lists import LISTS
from broker.actions.roles_anywhere.profiles import PROFILES
from broker.actions.roles_anywhere.tags import TAGS
from broker.actions.roles_anywhere.trust_anchors import TRUST_ANCHORS
from broker.actions.sts.role_mint import RoleMinter
from broker.stores.directory.fresh import FreshDirectory


def roles_anywhere_actions(
    fresh: FreshDirectory, minter: RoleMinter
) -> tuple[Action, ...]:
    """Every action of the service."""
    return (
        CreateSession(fresh, minter).action(),
        *TRUST_ANCHORS,
        *PROFILES,
        *LISTS,
        *TAGS,
    )
