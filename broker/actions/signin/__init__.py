"""The actions behind the sign-in pages and the console.

The service ``signin`` has no Query API; its actions are called by the console.
"""

from broker.actions.action import Action
from broker.actions.signin.account_risks import RoleAssumers
from broker.actions.signin.console_login import (
    PasswordLogin,
    console_login,
    get_console_credentials,
    proof_check_actions,
)
from broker.actions.signin.logout import END_SIGN_INS, end_console_sessions
from broker.actions.signin.overviews import (
    LIST_ROLE_OVERVIEWS,
    LIST_SERVICE_OVERVIEWS,
    LIST_USER_OVERVIEWS,
)
from broker.actions.signin.own_access import OwnAccess
from broker.actions.signin.own_roles import OwnRoles
from broker.actions.signin.search_entities import SEARCH_ENTITIES
from broker.actions.signin.sessions import SignInSessions
from broker.actions.signin.signin_tokens import (
    SigninTokens,
    create_console_link,
    get_signin_token,
)
from broker.actions.sts.derived_mint import DerivedMinter
from broker.sessions.issue import SessionIssuer
from broker.stores.cache.port import Cache
from broker.stores.directory.readings import FreshDirectory
from broker.stores.ledger.port import Ledger


def signin_actions(
    fresh: FreshDirectory,
    issuer: SessionIssuer,
    tokens: SigninTokens,
    ledger: Ledger,
    *,
    minter: DerivedMinter,
    own: OwnAccess,
    roles: OwnRoles,
    sessions: SignInSessions,
    cache: Cache,
    assumers: RoleAssumers,
) -> tuple[Action, ...]:
    """All actions of the service ``signin``."""
    return (
        *proof_check_actions(),
        console_login(fresh, minter, PasswordLogin(issuer), ledger),
        *END_SIGN_INS,
        end_console_sessions(cache),
        create_console_link(minter, tokens),
        get_console_credentials(minter),
        get_signin_token(tokens),
        *own.actions(),
        roles.action(),
        *sessions.actions(),
        LIST_USER_OVERVIEWS,
        LIST_ROLE_OVERVIEWS,
        LIST_SERVICE_OVERVIEWS,
        SEARCH_ENTITIES,
        assumers.action(),
    )
