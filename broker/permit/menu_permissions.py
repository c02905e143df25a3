"""What a caller may be able to do, so that menus offer nothing sure to be refused.

It neither decides nor records; `Guard` does both when an action is performed.
"""

from collections.abc import Iterable
from datetime import datetime

from broker.errors import AccessDenied
from broker.model.request import RawRequest
from broker.model.session import Caller
from broker.permit.context import call_context
from broker.permit.gather import PolicyLibrary
from broker.policy import ApplicablePolicies, could_be_allowed


class MenuPermissions:
    """Asks the policies that apply, all from memory."""

    def __init__(self, library: PolicyLibrary) -> None:
        self._library = library

    async def find(
        self,
        caller: Caller,
        actions: Iterable[str],
        raw: RawRequest,
        *,
        region: str,
        now: datetime,
    ) -> frozenset[str]:
        """Those of ``actions`` that the caller may do to some resource.

        Raises:
            ServiceUnavailable: the policies cannot be read.
        """
        library = self._library
        try:
            applicable = ApplicablePolicies(
                identity=await library.identity(caller),
                boundary=await library.boundary(caller),
                session=await library.session(caller),
                service_controls=await library.service_controls(caller),
            )
        except AccessDenied:
            return frozenset()
        context = call_context(caller, raw, region=region, now=now)
        return frozenset(
            action
            for action in actions
            if could_be_allowed(action, context, applicable)
        )
