"""IAM Roles Anywhere: roles for machines with a certificate.

The operations are AWS's, by its model. ``CreateSession`` is a mint like those of STS;
its proof is a certificate of an authority that the account trusts.
"""

from broker.actions.action import Action
from broker.actions.roles_anywhere.create_session import create_session
from broker.actions.roles_anywhere.plain import PLAIN
from broker.actions.sts.role_mint import RoleMinter
from broker.stores.directory.readings import FreshDirectory


def roles_anywhere_actions(
    fresh: FreshDirectory, minter: RoleMinter
) -> tuple[Action, ...]:
    """Every action of the service."""
    return (create_session(fresh, minter), *PLAIN)
