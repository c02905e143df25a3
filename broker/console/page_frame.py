"""What signed-in pages share: the session, calls in its name, and the page frame."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from broker.console.console_session import ConsoleSession, EndedSession, SessionOrigin
from broker.console.context import SIGN_IN, ConsoleContext, Precondition
from broker.console.csrf import FIELD, csrf_token, is_own_form, require_same_origin
from broker.console.forms import (
    BODY_BYTES_MAX,
    FIELDS_MAX,
    LONG_BODY_BYTES_MAX,
    LONG_FIELDS_MAX,
    Form,
    keep_form,
    read_form,
)
from broker.console.navigation import ACTIONS, MenuSection, menu
from broker.console.rendering import page_status, see_other
from broker.console.request_info import note, raw_request
from broker.console.sign_in_options import SignInOptions
from broker.errors import AccessDenied, BrokerError, NoSuchEntity
from broker.model.principal import PrincipalType
from broker.model.request import Door
from broker.permit.gather import PolicyLibrary
from broker.permit.menu_permissions import MenuPermissions
from broker.stores.directory.kinds import ACCOUNT

_FORBIDDEN = 403
_KINDS = {PrincipalType.USER: "IAM user", PrincipalType.ACCOUNT: "Root user"}


class PageFrame:
    """The frame around every signed-in page."""

    def __init__(self, context: ConsoleContext) -> None:
        self.context = context
        deps = context.deps
        self._menu_permissions = MenuPermissions(PolicyLibrary(deps.fresh))
        self.options = SignInOptions(context)

    async def enter(
        self, request: Request, *, long: bool = False
    ) -> tuple[Form, ConsoleSession] | Response:
        """Return the request's form and session, checking a POST's CSRF token.

        ``long`` is for pages whose form may hold a whole policy. Without a session, or
        with a form of another session, the result is the response to send: a redirect
        to sign-in, or a page from which the form can be sent again.

        Raises:
            AccessDenied: Another site sent the form.
        """
        form = await read_form(
            request,
            body_max=LONG_BODY_BYTES_MAX if long else BODY_BYTES_MAX,
            fields_max=LONG_FIELDS_MAX if long else FIELDS_MAX,
        )
        who = await self.context.find_session(request)
        if request.method != "POST":
            return (
                (form, who)
                if isinstance(who, ConsoleSession)
                else self.show_signed_out(request, who)
            )
        require_same_origin(request, self.context.deps.public_origin)
        if isinstance(who, ConsoleSession) and is_own_form(
            form.find(FIELD), who.cookie
        ):
            return form, who
        return self._show_again(request, form, who)

    async def refuse(
        self, request: Request, who: ConsoleSession, error: BrokerError, here: str = ""
    ) -> Response:
        """Show why something was refused."""
        note(request, error_code=error.code)
        return await self.show(
            request,
            who,
            "admin/refused.html",
            here,
            page_status(error),
            denied=isinstance(error, AccessDenied),
            missing=isinstance(error, NoSuchEntity),
            code=error.code,
            message=error.words,
        )

    async def perform(
        self,
        request: Request,
        who: ConsoleSession,
        action: tuple[str, str],
        params: Mapping[str, Any],
        *,
        first: Precondition | None = None,
    ) -> Mapping[str, Any]:
        """Perform an action as the session; ``params`` is validated by its model.

        Members that are None are left out. ``first`` runs inside the action's
        transaction and stops the call by raising.

        Raises:
            BrokerError: The action failed; the failure is audited.
        """
        registry = self.context.deps.registry
        return await self.context.perform(
            request,
            Door.CONSOLE,
            action,
            who.caller,
            lambda: registry.read(*action, params),
            first=first,
        )

    async def show(
        self,
        request: Request,
        who: ConsoleSession,
        template: str,
        here: str,
        status: int = 200,
        **context: object,
    ) -> Response:
        """Show a page in the frame; ``here`` is the name of its menu entry."""
        deps = self.context.deps
        session = who.session
        account = await deps.fresh.find(ACCOUNT, session.account)
        now = deps.clock.now()
        flash = self.context.flash
        page = self.context.pages.show(
            request,
            template,
            status,
            here=here,
            sections=await self.menu(request, who),
            just_done=flash.find(request, who.cookie),
            principal=who.principal,
            session=session,
            role_name=role_name(who),
            acting_as=acting_as(who),
            own_name=own_name(who),
            alias=account.alias if account else None,
            session_origin=who.origin,
            provider_label=session.provider_arn
            and await self.options.label_of(session.provider_arn),
            renew_link=await self._renew_link(who),
            expires=datetime.fromtimestamp(session.expires_at, UTC),
            seconds_left=max(0, int(session.expires_at - now.timestamp())),
            csrf=csrf_token(who.cookie),
            **context,
        )
        flash.clear(request, page)
        return page

    async def _renew_link(self, who: ConsoleSession) -> str:
        """Where to sign in again: where the session came from, or the sign-in page."""
        link = self.issuer_link(who.origin)
        if link is None:
            provider_arn = who.session.provider_arn
            link = (
                await self.options.start_path(provider_arn)
                if provider_arn
                else f"{SIGN_IN}/{who.session.account}"
            )
        return link

    async def menu(
        self, request: Request, who: ConsoleSession
    ) -> tuple[MenuSection, ...]:
        """The pages that the session may see something on."""
        return menu(await self.possible(request, who, ACTIONS))

    async def possible(
        self, request: Request, who: ConsoleSession, actions: Iterable[str]
    ) -> frozenset[str]:
        """Those of these actions that the session may perform on some resource.

        Raises:
            ServiceUnavailable: The policies cannot be read.
        """
        raw = raw_request(request)
        return await self._menu_permissions.find(
            who.caller,
            actions,
            raw,
            region=self.context.deps.endpoints.find_region(raw),
            now=self.context.deps.clock.now(),
        )

    def show_signed_out(self, request: Request, who: EndedSession | None) -> Response:
        """Redirect to sign-in, or say that the session has ended."""
        if who is None:
            return see_other(SIGN_IN)
        return self.context.pages.show(
            request,
            "timed_out.html",
            _FORBIDDEN,
            session_origin=who.origin,
            issuer_link=self.issuer_link(who.origin),
        )

    def _show_again(
        self, request: Request, form: Form, who: ConsoleSession | EndedSession | None
    ) -> Response:
        """Offer to send a form again that was loaded in another session."""
        note(request, error_code=AccessDenied.code)
        return self.context.pages.show(
            request,
            "again.html",
            _FORBIDDEN,
            kept=keep_form(request, form),
            current=who.principal if isinstance(who, ConsoleSession) else None,
            csrf=csrf_token(who.cookie) if isinstance(who, ConsoleSession) else "",
            issuer_link=self.issuer_link(who.origin) if who else None,
        )

    def issuer_link(self, origin: SessionOrigin) -> str | None:
        """The login's Issuer, if it is a URL that we may link to."""
        return self.context.destinations.find_safe(origin.issuer, (SIGN_IN, "/portal"))


def acting_as(who: ConsoleSession) -> str:
    """The role's name, or the kind of principal."""
    return role_name(who) or _KINDS.get(who.principal.type, "Federated user")


def own_name(who: ConsoleSession) -> str:
    """The role's or user's name, or the kind of principal."""
    return role_name(who) or who.principal.username or acting_as(who)


def role_name(who: ConsoleSession) -> str | None:
    """The role's name; None when the session is not a role session."""
    if not who.session.kind.is_role:
        return None
    return who.principal.principal_arn.rpartition("/")[2]
