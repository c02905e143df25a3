"""The access portal: a person signs in once and takes the roles that are open to them.

The service ``sso`` is AWS's; the action that only pages use is named as AWS's log of
calls names it. Its clients' tokens are in `broker.actions.signin.oauth`.
"""

from broker.actions.action import Action
from broker.actions.portal.assignments import Assignments
from broker.actions.portal.get_role_credentials import GetRoleCredentials
from broker.actions.portal.role_choices import AccountNames, RoleChoices
from broker.actions.portal.sign_ins import LOGOUT, authenticate
from broker.actions.sts.role_mint import RoleMinter
from broker.kinds.organisations import Organisations
from broker.permit.gather import PolicyLibrary
from broker.permit.guard import Guard
from broker.sessions.issue import SessionIssuer
from broker.stores.directory.readings import FreshDirectory


def portal_actions(
    fresh: FreshDirectory,
    issuer: SessionIssuer,
    minter: RoleMinter,
    *,
    library: PolicyLibrary,
    guard: Guard,
    organisations: Organisations,
) -> tuple[Action, ...]:
    """Every action of the portal."""
    choices = RoleChoices(fresh, library, guard, organisations)
    names = AccountNames(fresh, organisations)
    return (
        authenticate(fresh, issuer),
        *Assignments(choices, names).actions(),
        GetRoleCredentials(choices, minter, fresh).action(),
        LOGOUT,
    )
