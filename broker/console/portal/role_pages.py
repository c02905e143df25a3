"""A role of the portal: how a terminal gets it, its credentials, and its console."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from broker.console.client_settings import CredentialsView
from broker.console.console_session import ConsoleSession, EndedSession, SessionOrigin
from broker.console.context import HOME, ConsoleContext
from broker.console.end_session import end_session
from broker.console.login_method import LoginMethod
from broker.console.portal.places import PORTAL
from broker.console.portal.visits import PortalVisit, PortalVisits, RoleName, read_role
from broker.console.recent_roles import RecentRoles, name_of_person
from broker.console.rendering import see_other
from broker.console.request_info import unnoted
from broker.console.upstream_console import endpoint_of, find_upstream_console
from broker.errors import ServiceUnavailable
from broker.model.request import Door
from broker.proofs.portal import PortalScheme

ROLE = f"{PORTAL}/{{account}}/role"
CREDENTIALS = f"{PORTAL}/{{account}}/credentials"
CONSOLE = f"{PORTAL}/{{account}}/console"
_MILLISECONDS = 1000


class RolePages:
    """The pages of one role."""

    def __init__(self, context: ConsoleContext, visits: PortalVisits) -> None:
        self._context = context
        self._visits = visits
        self._recent = RecentRoles(context.deps)

    async def show(self, visit: PortalVisit) -> Response:
        """``GET /portal/{account}/role``: a profile, and a way to credentials."""
        return await self._show(visit, read_role(visit.form), None)

    async def show_credentials(self, visit: PortalVisit) -> Response:
        """``POST /portal/{account}/credentials``: the same page with new credentials."""
        role = read_role(visit.form)
        return await self._show(visit, role, await self._take(visit, role))

    async def open_console(self, visit: PortalVisit) -> Response:
        """``POST /portal/{account}/console``: the console, as the role.

        An IAM user's console session stays behind it, since the sign-in here ends with
        that; any other is replaced.
        """
        role = read_role(visit.form)
        taken = await self._take(visit, role)
        elsewhere = await find_upstream_console(
            self._context,
            visit.request,
            {
                "AccessKeyId": taken.access_key_id,
                "SecretAccessKey": taken.secret_access_key,
                "SessionToken": taken.session_token,
            },
        )
        if elsewhere is not None:
            return elsewhere
        sessions = self._context.sessions
        replaced = await self._context.find_session(visit.request)
        origin = SessionOrigin(door=LoginMethod.PORTAL, issuer=visit.start)
        original = await self._find_parent(visit, replaced)
        if original is not None:
            hidden = await sessions.renew(original)
            origin = replace(original.origin, door=LoginMethod.SWITCH_ROLE, back=hidden)
        cookie = await sessions.open(
            taken.access_key_id, taken.session_token, taken.expiration, origin
        )
        if original is None and isinstance(replaced, ConsoleSession):
            # The new session stands either way.
            with suppress(ServiceUnavailable), unnoted(visit.request):
                await end_session(self._context, visit.request, replaced)
        elif isinstance(replaced, ConsoleSession) and replaced is not original:
            await sessions.close(replaced.cookie)
        response = see_other(HOME)
        self._context.cookie.set(response, cookie)
        return response

    async def _find_parent(
        self, visit: PortalVisit, who: ConsoleSession | EndedSession | None
    ) -> ConsoleSession | None:
        """The console session that an IAM user's sign-in came from, if it is here."""
        parent = visit.portal.session.parent_key_id
        if not parent or not isinstance(who, ConsoleSession):
            return None
        if who.session.access_key_id == parent:
            return who
        original = await self._context.sessions.find_original(
            who, self._context.deps.clock.now()
        )
        if (
            isinstance(original, ConsoleSession)
            and original.session.access_key_id == parent
        ):
            return original
        return None

    async def _take(self, visit: PortalVisit, role: RoleName) -> CredentialsView:
        answer: Mapping[str, Any] = await self._context.perform(
            visit.request,
            Door.PORTAL,
            ("sso", "GetRoleCredentials"),
            PortalScheme(visit.find),
            lambda: {"roleName": role.name, "accountId": role.account},
        )
        person = name_of_person(visit.portal.session)
        await self._recent.remember(person, role.arn)
        found = answer["roleCredentials"]
        return CredentialsView(
            access_key_id=found["accessKeyId"],
            secret_access_key=found["secretAccessKey"],
            session_token=found["sessionToken"],
            expiration=datetime.fromtimestamp(found["expiration"] / _MILLISECONDS, UTC),
        )

    async def _show(
        self, visit: PortalVisit, role: RoleName, credentials: CredentialsView | None
    ) -> Response:
        endpoint = ""
        if credentials is not None:
            key_id = credentials.access_key_id
            endpoint = await endpoint_of(self._context.deps, key_id)
        return await self._visits.show(
            visit,
            "portal_role.html",
            role=role,
            account_name=await self._visits.name_of(visit.portal, role.account),
            credentials=credentials,
            endpoint=endpoint,
        )
