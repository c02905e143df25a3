"""Authenticates calls of the access portal by an access token, or by a page's cookie.

The caller of a call about a role is what opens that role: the identity that the
provider proved at the sign-in, or the IAM user.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

from broker.errors import InvalidClientTokenId
from broker.model.request import Params, RequestContext
from broker.model.session import Caller
from broker.proofs.federated import federated_caller
from broker.proofs.scheme import ProofResult, Read
from broker.sessions.portal import OpenPortal

SIGN_IN = "SignIn"
"""The member of an action's input that holds the `OpenPortal`."""

FindPortal = Callable[[datetime], Awaitable[OpenPortal | None]]


class PortalScheme:
    """Authenticates by anything that names a live sign-in to the portal."""

    def __init__(self, find: FindPortal | OpenPortal) -> None:
        self._find = find

    async def prove(
        self, request: RequestContext, _service: str, _action: str, read: Read
    ) -> tuple[ProofResult, Params]:
        """Prove, then read; the sign-in is added to what was read.

        Raises:
            ExpiredToken, InvalidClientTokenId: there is no such sign-in, or it is over.
            ServiceUnavailable: the person's directory could not be asked.
        """
        find = self._find
        portal = find if isinstance(find, OpenPortal) else await find(request.now)
        if portal is None:
            raise InvalidClientTokenId(detail="no such access token or sign-in")
        params = await read()
        if "roleName" in params:
            portal = await portal.renewed(
                params["accountId"], params["roleName"], request.now
            )
        caller = portal_caller(portal, params)
        return ProofResult(caller=caller), {**params, SIGN_IN: portal}


def portal_caller(portal: OpenPortal, params: Params) -> Caller:
    """The person who signed in, as what opens the role that is asked for."""
    if not portal.roles:
        return portal.resolved.caller
    named = portal.roles.find(params.get("accountId", ""), params.get("roleName", ""))
    if named is not None:
        return federated_caller(named[1])
    return Caller(
        principal=portal.resolved.caller.principal,
        access_key_id=portal.session.access_key_id,
        session=portal.session,
    )
