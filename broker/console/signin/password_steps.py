"""The steps of a sign-in after the password: second factor, then new password.

Each step uses up its handle and is audited; none can be skipped or taken early.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from enum import Enum

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from broker.console.context import SIGN_IN, ConsoleContext
from broker.console.forms import Form, read_form
from broker.console.parked import NOT_OPEN
from broker.console.password_progress import PASSWORD_LIFE, PasswordProgress
from broker.console.pending_login import LoginMethod, PendingLogin
from broker.console.rendering import see_other, status_of, words_of
from broker.console.request_info import require_place
from broker.console.signin.login_completion import LoginCompletion, pending_caller
from broker.console.signin.second_factor import (
    FactorOffer,
    RefusedFactor,
    second_factors,
)
from broker.errors import (
    AccessDenied,
    PasswordPolicyViolation,
    ServiceUnavailable,
    Throttling,
    ValidationError,
)
from broker.kinds.login_profiles import (
    PasswordState,
    list_factors,
    password_mark,
    password_state,
)
from broker.kinds.password_policy import LONGEST, requirements
from broker.model.request import Door
from broker.model.session import Caller
from broker.proofs.attempts import WrongFactorError, limit_of_factors
from broker.proofs.scheme import DoorProof, ProofRefused, ProofResult
from broker.stores.directory.kinds import ACCOUNT, LOGIN_PROFILE
from broker.stores.errors import StoreUnavailableError

FACTOR = "/signin/{account}/factor"
CHANGE = "/signin/{account}/new-password"
_WRONG_MAX = 5
_FORBIDDEN = 403
_TOO_MANY = 429
_NO_KIND = "There is no such second factor."
_START_AGAIN = "Too many wrong answers. Start again."

_DIFFER = "The two new passwords do not match."
_NOT_ALLOWED = (
    "Your password must be changed, but you do not have permission to change it"
    " (iam:ChangePassword). Ask an administrator of the account."
)


class PasswordStep(Enum):
    """The next step of a sign-in."""

    FACTOR = "factor"
    CHANGE = "change"
    ARRIVE = "arrive"


class PasswordSteps:
    """Runs the steps after the password."""

    def __init__(self, context: ConsoleContext, completion: LoginCompletion) -> None:
        self._context = context
        self._completion = completion
        self._states = context.login_states
        self._attempts = context.deps.attempts
        self._factors = {kind.name: kind for kind in second_factors(context.deps)}

    async def next(self, request: Request, pending: PasswordProgress) -> Response:
        """Show the next step's page; after the last step, sign in."""
        match await self._due(pending):
            case PasswordStep.FACTOR:
                return await self._factor_page(request, pending)
            case PasswordStep.CHANGE:
                return await self._change_page(request, pending)
            case PasswordStep.ARRIVE:
                login = PendingLogin(
                    door=LoginMethod.PASSWORD,
                    destination=pending.destination,
                    session_arn=pending.arn,
                    issuer=f"{SIGN_IN}/{pending.place}",
                    begun=await self._put(request, pending),
                )
                return await self._completion.confirm_or_sign_in(request, login)

    async def factor(self, request: Request) -> Response:
        """``POST /signin/{account}/factor``."""
        async with self._resume(request, PasswordStep.FACTOR) as (form, pending):
            return await self._factor(request, form, pending)

    async def _factor(
        self, request: Request, form: Form, pending: PasswordProgress
    ) -> Response:
        kind = self._factors.get(form.require("factor"))
        if kind is None:
            raise ValidationError(_NO_KIND)
        now = self._context.deps.clock.now()
        limits = [limit_of_factors(pending.account, pending.holder)]
        accepted: list[str] = []
        kept = pending

        async def check(now: datetime) -> str:
            nonlocal kept
            outcome = await kind.check(pending, form, now)
            if isinstance(outcome, RefusedFactor):
                kept = pending.keeping(kind.name, outcome.kept)
                refused = AccessDenied if outcome.was_used else WrongFactorError
                raise refused(outcome.text, detail=outcome.detail)
            return outcome

        async def prove(now: datetime) -> ProofResult:
            caller = await pending_caller(self._context.deps.directory, pending, now)
            try:
                async with self._attempts.one(limits, wrong=WrongFactorError):
                    accepted.append(await check(now))
            except (AccessDenied, Throttling) as error:
                raise ProofRefused(
                    error, account=caller.account, caller=caller
                ) from error
            return ProofResult(caller=caller)

        try:
            await self._context.perform(
                request,
                Door.SIGN_IN,
                ("signin", "CheckMfa"),
                DoorProof(prove),
                lambda: {"MFAIdentifier": accepted[0]},
            )
        except (AccessDenied, Throttling) as error:
            if isinstance(error, WrongFactorError):
                kept = _count_wrong(kept)
            return await self._factor_page(
                request, kept, words_of(error), status_of(error)
            )
        return await self.next(
            request,
            replace(
                pending,
                mfa_at=int(now.timestamp()),
                factor=accepted[0],
                kept={},
            ),
        )

    async def change(self, request: Request) -> Response:
        """``POST /signin/{account}/new-password``."""
        async with self._resume(request, PasswordStep.CHANGE) as (form, pending):
            return await self._change_password(request, form, pending)

    async def _change_password(
        self, request: Request, form: Form, pending: PasswordProgress
    ) -> Response:
        new = form.find("new") or ""
        problem = "" if new == (form.find("again") or "") else _DIFFER
        if not problem:
            try:
                pending = await self._change(
                    request, pending, form.find("password") or "", new
                )
            except (PasswordPolicyViolation, Throttling) as error:
                problem = words_of(error)
            except ValidationError:
                problem = f"A password has 1 to {LONGEST} characters."
            except AccessDenied as error:
                pending = _count_wrong(pending)
                problem = str(error.message or "")
                if "iam:ChangePassword" in problem:
                    problem = _NOT_ALLOWED
        if problem:
            return await self._change_page(request, pending, problem, _FORBIDDEN)
        return await self.next(request, pending)

    async def again(self, request: Request) -> Response:
        """``GET`` of a step's URL, after a reload: start again."""
        return see_other(f"{SIGN_IN}/{require_place(request)}")

    async def _due(self, pending: PasswordProgress) -> PasswordStep:
        deps = self._context.deps
        directory = deps.directory
        account, holder = pending.account, pending.holder
        if pending.mfa_at is None and await list_factors(directory, account, holder):
            return PasswordStep.FACTOR
        owner = await directory.find(ACCOUNT, account)
        profile = await directory.find(LOGIN_PROFILE, account, holder)
        # A user who was deleted in the meantime is refused at the mint.
        if not pending.is_root and owner is not None and profile is not None:
            state = password_state(owner, profile, now=deps.clock.now())
            if state is PasswordState.MUST_CHANGE:
                return PasswordStep.CHANGE
        return PasswordStep.ARRIVE

    async def _change(
        self, request: Request, pending: PasswordProgress, old: str, new: str
    ) -> PasswordProgress:
        """Change the password as the user, subject to their policies."""
        deps = self._context.deps
        params = {"OldPassword": old, "NewPassword": new}

        async def prove(now: datetime) -> Caller:
            return await pending_caller(deps.directory, pending, now)

        await self._context.perform(
            request,
            Door.SIGN_IN,
            ("iam", "ChangePassword"),
            prove,
            lambda: deps.registry.read("iam", "ChangePassword", params),
        )
        profile = await deps.directory.find(
            LOGIN_PROFILE, pending.account, pending.holder
        )
        if profile is None:
            return pending
        return replace(pending, mark=password_mark(profile))

    async def _factor_page(
        self,
        request: Request,
        pending: PasswordProgress,
        problem: str = "",
        status: int = 200,
    ) -> Response:
        offers: list[tuple[str, FactorOffer]] = []
        for name, kind in self._factors.items():
            offer = await kind.offer(pending)
            if offer is not None:
                offers.append((name, offer))
                pending = pending.keeping(name, offer.kept)
        return self._context.show_form(
            request,
            "signin_factor.html",
            status,
            offers=offers,
            action=FACTOR.format(account=pending.place),
            **await self._page_context(request, pending, problem),
        )

    async def _change_page(
        self,
        request: Request,
        pending: PasswordProgress,
        problem: str = "",
        status: int = 200,
    ) -> Response:
        account = await self._context.deps.directory.find(ACCOUNT, pending.account)
        return self._context.show_form(
            request,
            "signin_change.html",
            status,
            requirements=requirements(account) if account else (),
            action=CHANGE.format(account=pending.place),
            **await self._page_context(request, pending, problem),
        )

    async def _put(self, request: Request, pending: PasswordProgress) -> str:
        """Keep the progress; a handle that this browser can use once."""
        browser = self._context.browsers.of(request)
        return await self._states.put(browser, pending.state, PASSWORD_LIFE)

    async def _page_context(
        self, request: Request, pending: PasswordProgress, problem: str
    ) -> dict[str, object]:
        return {
            "account": pending.place,
            "name": pending.name,
            "problem": problem,
            "handle": await self._put(request, pending),
        }

    @asynccontextmanager
    async def _resume(
        self, request: Request, step: PasswordStep
    ) -> AsyncIterator[tuple[Form, PasswordProgress]]:
        """Read a step's form and the sign-in that it continues.

        The handle is used up, unless the step fails because a store is unavailable.

        Raises:
            AccessDenied: The form was sent from another site.
            ValidationError: The handle was used, or belongs to another browser,
                account or step.
        """
        form = await read_form(request)
        place = require_place(request)
        self._context.require_own_form(request, form)
        handle, now = form.require("handle"), self._context.deps.clock.now()
        pending = PasswordProgress.read(await self._states.take(request, handle), now)
        if pending.place != place:
            raise ValidationError("This sign-in is to another account. Start again.")
        try:
            if await self._due(pending) is not step:
                raise ValidationError(NOT_OPEN, detail=f"{step.value} is not due")
            yield form, pending
        except (ServiceUnavailable, StoreUnavailableError):
            with suppress(ServiceUnavailable):
                browser = self._context.browsers.of(request)
                await self._states.put_back(
                    browser, handle, pending.state, PASSWORD_LIFE
                )
            raise


def _count_wrong(pending: PasswordProgress) -> PasswordProgress:
    """Count a wrong answer; after too many the sign-in is over."""
    if pending.wrong + 1 >= _WRONG_MAX:
        raise AccessDenied(_START_AGAIN)
    return replace(pending, wrong=pending.wrong + 1)
