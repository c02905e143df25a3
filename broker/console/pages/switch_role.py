"""*Switch role*: ``AssumeRole`` from the original session, and switching back.

Switching again starts from the original session, so that roles do not chain. The
original session stays under a handle that only the switched session's record has;
each switch sets a new cookie.
"""

import re
from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response

from broker.console.console_session import SessionOrigin, SignedIn
from broker.console.context import HOME
from broker.console.login_method import LoginMethod
from broker.console.page_frame import PageFrame, Route
from broker.console.pages.switchable_roles import SwitchableRoles
from broker.console.rendering import see_other
from broker.errors import AccessDenied, ValidationError
from broker.federation.session_name import session_name
from broker.model.arn import iam_arn

SWITCH = "/console/switch"
BACK = "/console/switch/back"
_TYPED_MAX = 2048
_OK = 200
_ROLE_ARN = re.compile(
    r"arn:aws:iam::[0-9]{12}:role/(?:[!-~]{1,510}/)?[\w+=,.@-]{1,64}"
)
_ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)


class SwitchRole:
    """The page, the switch, and switching back."""

    def __init__(self, frame: PageFrame) -> None:
        self._frame = frame
        self._switchable = SwitchableRoles(frame)

    def routes(self) -> Iterable[Route]:
        """Their routes."""
        return ((SWITCH, ["GET", "POST"], self.page), (BACK, ["POST"], self.back))

    async def page(self, request: Request) -> Response:
        """``/console/switch``: the form; a POST switches."""
        entered = await self._frame.enter(request)
        if isinstance(entered, Response):
            return entered
        form, who = entered
        role = (form.find("role") or "").strip()
        problem, status = "", _OK
        if request.method == "POST":
            try:
                return await self._switch(request, who, role)
            except (AccessDenied, ValidationError) as error:
                problem, status = error.words, error.status
        return await self._frame.show(
            request,
            who,
            "switch_role.html",
            "switch",
            status,
            role=role[:_TYPED_MAX],
            problem=problem,
            offered=await self._switchable.offer(request, who),
            switched=bool(who.origin.back),
        )

    async def back(self, request: Request) -> Response:
        """``POST /console/switch/back``: return to the original session."""
        entered = await self._frame.enter(request)
        if isinstance(entered, Response):
            return entered
        _, who = entered
        sessions = self._frame.context.sessions
        original = await self._original(who)
        if original is who:
            return see_other(HOME)
        cookie = await sessions.renew(original)
        await sessions.close(who.cookie)
        return self._home(cookie)

    async def _switch(self, request: Request, who: SignedIn, role: str) -> Response:
        arn = _role_arn(who, role)
        original = await self._original(who)
        result = await self._frame.perform(
            request,
            original,
            ("sts", "AssumeRole"),
            {"RoleArn": arn, "RoleSessionName": _session_name(original)},
        )
        credentials = result["Credentials"]
        sessions = self._frame.context.sessions
        hidden = await sessions.renew(original)
        cookie = await sessions.open(
            credentials["AccessKeyId"],
            credentials["SessionToken"],
            credentials["Expiration"],
            SessionOrigin(
                door=LoginMethod.SWITCH_ROLE,
                issuer=original.origin.issuer,
                back=hidden,
                login=original.origin.login,
                ids=original.origin.ids,
            ),
        )
        if who is not original:
            await sessions.close(who.cookie)
        await self._switchable.remember(original, arn)
        return self._home(cookie)

    async def _original(self, who: SignedIn) -> SignedIn:
        """The original session.

        Raises:
            AccessDenied: It has ended.
        """
        original = await self._switchable.find_original(who)
        if original is None:
            raise AccessDenied("The session that you signed in with has ended.")
        return original

    def _home(self, cookie: str) -> Response:
        response = see_other(HOME)
        self._frame.context.cookie.set(response, cookie)
        return response


def _session_name(who: SignedIn) -> str:
    """The role session name; a user name can be too short for one (2 characters)."""
    session = who.session
    return session_name(
        session.name, issuer=session.account, subject=session.principal_id
    )


def _role_arn(who: SignedIn, role: str) -> str:
    if _ROLE_NAME.fullmatch(role):
        return iam_arn(who.session.account, f"role/{role}")
    if _ROLE_ARN.fullmatch(role):
        return role
    raise ValidationError("Enter the name of a role in this account, or a role's ARN.")
