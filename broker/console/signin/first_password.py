"""``/signin/{account}/first-password``: where a sign-in link leads.

Opening the link shows a form and uses nothing up, so that a mail program which looks at
links does no harm. The form sets the password, ends the link and goes on as after any
right password.
"""

from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from broker.console.context import ConsoleContext
from broker.console.csrf import csrf_token
from broker.console.forms import Form, read_form
from broker.console.password_progress import PasswordProgress
from broker.console.rendering import status_of, words_of
from broker.console.request_info import require_place, source_address
from broker.console.signin.account_page import SignIn
from broker.console.signin.password_steps import PasswordSteps, require_own_form
from broker.errors import AccessDenied, PasswordPolicyViolation, Throttling
from broker.kinds.login_profiles import password_mark, require_login_profile
from broker.kinds.password_policy import LONGEST, requirements
from broker.kinds.sign_in_links import LINK_ENDED, require_linked_user
from broker.model.account import Account
from broker.model.caller import Caller
from broker.model.entities import User
from broker.model.principal import Principal
from broker.model.request import Door
from broker.proofs.attempts import Limit, limit_of_address
from broker.proofs.scheme import DoorProof, ProofRefused, ProofResult

PATH = "/signin/{account}/first-password"
TOKEN = "token"  # noqa: S105  # a parameter's name
_TOKEN_MAX = 64
_FORBIDDEN = 403
_DIFFER = "The two passwords do not match."


class FirstPasswordPage:
    """Shows the form and takes it."""

    def __init__(
        self, context: ConsoleContext, sign_in: SignIn, steps: PasswordSteps
    ) -> None:
        self._context = context
        self._sign_in_page = sign_in
        self._steps = steps
        self._attempts = context.deps.attempts

    async def page(self, request: Request) -> Response:
        """``GET``: the form, for the user of the link."""
        form = await read_form(request)
        async with self._attempts.one(_limits(request)):
            account, user = await self._require(request, form)
        return self._show(request, form, account, user)

    async def choose(self, request: Request) -> Response:
        """``POST``: set the password and go on to sign in."""
        form = await read_form(request)
        require_own_form(self._context, request, form)
        async with self._attempts.one(_limits(request)):
            account, user = await self._require(request, form)
        problem, status = await self._set(request, form, account)
        if problem:
            return self._show(
                request, form, account, user, problem=problem, status=status
            )
        return await self._go_on(request, account, user)

    async def _set(
        self, request: Request, form: Form, account: Account
    ) -> tuple[str, int]:
        """Set the password; a problem with it and its status, or an empty text.

        Raises:
            AccessDenied: the link has ended meanwhile.
        """
        new = form.find("new") or ""
        if new != (form.find("again") or ""):
            return _DIFFER, _FORBIDDEN
        if not 0 < len(new) <= LONGEST:
            return f"A password has 1 to {LONGEST} characters.", _FORBIDDEN

        async def prove(_now: datetime) -> ProofResult:
            try:
                _, user = await self._require(request, form)
            except AccessDenied as error:
                raise ProofRefused(error, account=account.account_id) from error
            return ProofResult(caller=_caller(user))

        try:
            await self._context.perform(
                request,
                Door.SIGN_IN,
                ("signin", "SetFirstPassword"),
                DoorProof(prove),
                lambda: {"Link": _token(form), "NewPassword": new},
            )
        except (PasswordPolicyViolation, Throttling) as error:
            return words_of(error), status_of(error)
        return "", 200

    async def _go_on(self, request: Request, account: Account, user: User) -> Response:
        deps = self._context.deps
        profile = await require_login_profile(deps.directory, user)
        pending = PasswordProgress(
            place=require_place(request),
            account=account.account_id,
            holder=user.user_id,
            name=user.name,
            arn=user.arn,
            mark=password_mark(profile),
            began=int(deps.clock.now().timestamp()),
        )
        return await self._steps.next(request, pending)

    async def _require(self, request: Request, form: Form) -> tuple[Account, User]:
        """The link's account and user, as they are now.

        Raises:
            AccessDenied: there is no such link, or it has ended.
        """
        deps = self._context.deps
        found = await self._sign_in_page.find_account(require_place(request))
        if found is None:
            raise AccessDenied(LINK_ENDED, detail="no such account")
        user = await require_linked_user(
            deps.directory, found, _token(form), now=deps.clock.now()
        )
        return found, user

    def _show(
        self,
        request: Request,
        form: Form,
        account: Account,
        user: User,
        *,
        problem: str = "",
        status: int = 200,
    ) -> Response:
        browser = self._context.login_states.browser_of(request)
        page = self._context.pages.show(
            request,
            "signin_first.html",
            status,
            account=account.alias or account.account_id,
            name=user.name,
            problem=problem,
            requirements=requirements(account),
            action=PATH.format(account=require_place(request)),
            token=_token(form),
            csrf=csrf_token(browser),
        )
        self._context.login_states.remember(page, browser)
        return page


def _limits(request: Request) -> list[Limit]:
    return [limit_of_address(source_address(request), "sign-in-link")]


def _token(form: Form) -> str:
    return (form.find(TOKEN) or "")[:_TOKEN_MAX]


def _caller(user: User) -> Caller:
    principal = Principal.user(
        user.account, user_id=user.user_id, path=user.path, name=user.name
    )
    return Caller(principal=principal, principal_tags=user.tags)
