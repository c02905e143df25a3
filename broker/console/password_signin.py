"""Sign-in of IAM users, and of an account's root, with a password.

    password   user name and password, at the account's page
    factor     one of the user's second factors, if there are any
    change     a new password, if the old one is due
    arrival    as from every other door: is somebody else here, the mint, the cookie

Whatever was wrong with account, user or password, the answer is one and takes the same
time. Each step uses its handle up and leaves a record.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from broker.actions.action import Door
from broker.audit.entry import AuditEntry
from broker.console.arrival import Arrival, Arrivals
from broker.console.attempts import Attempts, Limit, limit_of, limit_of_address
from broker.console.csrf import FIELD, csrf_token, require_csrf
from broker.console.desk import SIGN_IN, Desk
from broker.console.facts import note, raw_request, request_id
from broker.console.forms import Form, read_form
from broker.console.known_browsers import counted_name
from broker.console.login_requests import source_address
from broker.console.pages import see_other
from broker.console.password_arrival import DOOR, pending_caller
from broker.console.pending import Pending, root_arn
from broker.console.second_factor import Offer, Refused, Shown, second_factors
from broker.console.signin import SignIn, Wanted, require_place
from broker.errors import (
    AccessDenied,
    BrokerError,
    PasswordPolicyViolation,
    Throttling,
    ValidationError,
)
from broker.identities.login_profiles import (
    NO_ACCOUNT,
    PasswordState,
    password_mark,
    password_state,
    verify_password,
)
from broker.identities.password_policy import LONGEST, requirements
from broker.identities.root_password import verify_root_password
from broker.identities.second_factors import list_factors
from broker.model.account import Account
from broker.model.caller import Caller
from broker.model.entities import LoginProfile

FACTOR = "/signin/{account}/factor"
CHANGE = "/signin/{account}/new-password"
_ROOT = "root"
_LONGEST_NAME = 64
_WRONG_MAX = 5
_FORBIDDEN = 403
_TOO_MANY = 429
_HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
"""As AWS records what was typed as a name that no user has: it may be a password."""

_WRONG = "Your authentication information is incorrect. Please try again."
_EXPIRED = (
    "Your password has expired. Only an administrator of the account can set a new one."
)
_NO_KIND = "There is no such second factor."
_START_AGAIN = "There were too many wrong answers. Start again."
_DIFFER = "The two new passwords are not the same."
_NOT_ALLOWED = (
    "Your password has to be changed, and you have no permission for it"
    " (iam:ChangePassword). Ask an administrator of the account."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What somebody typed at the account's page."""

    place: str
    name: str
    password: str = field(repr=False)
    is_root: bool
    remember: bool
    destination: str


Verified = tuple[str, str, LoginProfile, PasswordState]
"""Name (empty for root) and ARN of who it is, the password, and what that is good for."""


class PasswordSignIn:
    """The steps."""

    def __init__(self, desk: Desk, arrivals: Arrivals, sign_in: SignIn) -> None:
        self._desk = desk
        self._arrivals = arrivals
        self._sign_in = sign_in
        self._pending = desk.pending
        self._attempts = Attempts(desk.deps)
        self._factors = {kind.name: kind for kind in second_factors(desk.deps)}

    async def password(self, request: Request) -> Response:
        """``POST /signin/{account}``: who, and the password."""
        form = await read_form(request)
        typed = self._read(request, form)
        self._require_own(request, form)
        account = await self._sign_in.find_account(typed.place)
        limits = self._limits(request, typed, account)
        try:
            async with self._step(request, "CheckPassword", account) as entry:
                await self._attempts.count(limits)
                pending = await self._verify(typed, account, entry)
                await self._attempts.take_back(limits)
        except (AccessDenied, Throttling) as error:
            return await self._sign_in.show(
                request,
                Wanted(
                    place=typed.place,
                    destination=typed.destination,
                    is_root=typed.is_root,
                    name=typed.name,
                    remember=typed.remember,
                ),
                problem=error.message or _WRONG,
                status=_status(error),
            )
        return await self._next(request, pending)

    async def factor(self, request: Request) -> Response:
        """``POST /signin/{account}/factor``: a second factor."""
        form, pending = await self._resume(request)
        kind = self._factors.get(form.require("factor"))
        if kind is None:
            raise ValidationError(_NO_KIND)
        now = self._desk.deps.clock.now()
        limits = [limit_of("factor", pending.account, pending.holder)]
        try:
            async with self._step(request, "CheckMfa", pending) as entry:
                await self._attempts.count(limits)
                outcome = await kind.check(pending, form, now)
                if isinstance(outcome, Refused):
                    pending = pending.keeping(kind.name, outcome.kept)
                serial = _require_shown(outcome)
                entry.parameters = {"MFAIdentifier": serial}
                await self._attempts.take_back(limits)
        except (AccessDenied, Throttling) as error:
            return await self._factor_page(
                request, _once_more(pending), str(error.message), _status(error)
            )
        return await self._next(
            request,
            replace(pending, mfa_at=int(now.timestamp()), factor=serial, kept={}),
        )

    async def change(self, request: Request) -> Response:
        """``POST /signin/{account}/new-password``: the old one and a new one."""
        form, pending = await self._resume(request)
        new = form.find("new") or ""
        problem = ""
        if new != (form.find("again") or ""):
            problem = _DIFFER
        else:
            try:
                return await self._change(
                    request, pending, form.find("password") or "", new
                )
            except PasswordPolicyViolation as error:
                problem = str(error.message)
            except ValidationError:
                problem = f"A password has 1 to {LONGEST} characters."
            except AccessDenied as error:
                pending = _once_more(pending)
                problem = str(error.message or "")
                if "iam:ChangePassword" in problem:
                    problem = _NOT_ALLOWED
            except Throttling as error:
                problem = str(error.message)
        return await self._change_page(request, pending, problem, _FORBIDDEN)

    async def again(self, request: Request) -> Response:
        """For whoever reloads the address of a step: from the beginning."""
        return see_other(f"{SIGN_IN}/{require_place(request)}")

    async def _verify(
        self, typed: Typed, account: Account | None, entry: AuditEntry
    ) -> Pending:
        """The sign-in that a right password begins.

        Raises:
            AccessDenied: anything is wrong, in one text for all of it; or, for whoever
                knows the password, it has expired for good.
        """
        now = self._desk.deps.clock.now()
        verify = self._verify_root if typed.is_root else self._verify_user
        found = await verify(typed, account, entry, now)
        if found is None or account is None:
            raise AccessDenied(_WRONG, detail="no such user, or a wrong password")
        name, arn, profile, state = found
        entry.caller_arn, entry.principal_id = arn, profile.user_id
        if state is PasswordState.HARD_EXPIRED:
            raise AccessDenied(_EXPIRED, detail="the password has expired for good")
        return Pending(
            place=typed.place,
            account=account.account_id,
            holder=profile.user_id,
            name=name,
            arn=arn,
            mark=password_mark(profile),
            began=int(now.timestamp()),
            destination=typed.destination,
            remember=typed.remember,
        )

    async def _verify_user(
        self, typed: Typed, account: Account | None, entry: AuditEntry, now: datetime
    ) -> Verified | None:
        deps = self._desk.deps
        found = await verify_password(
            deps.passwords,
            deps.directory,
            account,
            typed.name,
            _bounded(typed.password),
            now=now,
        )
        number = account.account_id if account else NO_ACCOUNT
        user = await deps.directory.find_user(number, typed.name)
        entry.parameters = {"UserName": user.name if user else _HIDDEN}
        entry.resources = (user.arn,) if user else ()
        if found is None:
            return None
        return found.user.name, found.user.arn, found.profile, found.state

    async def _verify_root(
        self, typed: Typed, account: Account | None, entry: AuditEntry, _now: datetime
    ) -> Verified | None:
        deps = self._desk.deps
        profile = await verify_root_password(
            deps.passwords, deps.directory, account, _bounded(typed.password)
        )
        entry.parameters = {"UserName": _ROOT}
        if profile is None:
            return None
        return "", root_arn(profile.account), profile, PasswordState.GOOD

    async def _next(self, request: Request, pending: Pending) -> Response:
        """The next step that is still to be done."""
        directory = self._desk.deps.directory
        if pending.mfa_at is None and await list_factors(
            directory, pending.account, pending.holder
        ):
            return await self._factor_page(request, pending)
        if not pending.is_root and await self._is_due(pending):
            return await self._change_page(request, pending)
        arrival = Arrival(
            door=DOOR,
            destination=pending.destination,
            session_arn=pending.arn,
            issuer=f"{SIGN_IN}/{pending.place}",
            begun=await self._pending.put(request, pending),
        )
        return await self._arrivals.enter(request, arrival)

    async def _is_due(self, pending: Pending) -> bool:
        directory = self._desk.deps.directory
        account = await directory.find_account(pending.account)
        profile = await directory.find_login_profile(pending.account, pending.holder)
        if account is None or profile is None:
            return False  # the mint refuses
        state = password_state(account, profile, now=self._desk.deps.clock.now())
        return state is PasswordState.MUST_CHANGE

    async def _change(
        self, request: Request, pending: Pending, old: str, new: str
    ) -> Response:
        deps = self._desk.deps
        given = {"OldPassword": old, "NewPassword": new}

        async def prove(now: datetime) -> Caller:
            return await pending_caller(deps.directory, pending, now)

        await self._desk.perform(
            request,
            Door.SIGN_IN,
            ("iam", "ChangePassword"),
            prove,
            lambda: deps.pipeline.read("iam", "ChangePassword", given),
        )
        profile = await deps.directory.find_login_profile(
            pending.account, pending.holder
        )
        if profile is not None:
            pending = replace(pending, mark=password_mark(profile))
        return await self._next(request, pending)

    async def _factor_page(
        self, request: Request, pending: Pending, problem: str = "", status: int = 200
    ) -> Response:
        offers: list[tuple[str, Offer]] = []
        for name, kind in self._factors.items():
            offer = await kind.offer(pending)
            if offer is not None:
                offers.append((name, offer))
                pending = pending.keeping(name, offer.kept)
        return self._desk.pages.show(
            request,
            "signin_factor.html",
            status,
            offers=offers,
            action=FACTOR.format(account=pending.place),
            **await self._shown(request, pending, problem),
        )

    async def _change_page(
        self, request: Request, pending: Pending, problem: str = "", status: int = 200
    ) -> Response:
        account = await self._desk.deps.directory.find_account(pending.account)
        return self._desk.pages.show(
            request,
            "signin_change.html",
            status,
            requirements=requirements(account) if account else (),
            action=CHANGE.format(account=pending.place),
            **await self._shown(request, pending, problem),
        )

    async def _shown(
        self, request: Request, pending: Pending, problem: str
    ) -> dict[str, object]:
        """What the pages of both steps have in common."""
        return {
            "account": pending.place,
            "name": pending.name,
            "problem": problem,
            "handle": await self._pending.put(request, pending),
            "csrf": csrf_token(self._desk.starts.browser_of(request)),
        }

    async def _resume(self, request: Request) -> tuple[Form, Pending]:
        """A step's form, and the sign-in that it goes on with.

        Raises:
            AccessDenied: the form came from elsewhere.
            ValidationError: its handle was used, or is not this browser's or account's.
        """
        form = await read_form(request)
        place = require_place(request)
        self._require_own(request, form)
        pending = await self._pending.finish(request, form.require("handle"))
        if pending.place != place:
            raise ValidationError("This sign-in is to another account. Start again.")
        return form, pending

    def _require_own(self, request: Request, form: Form) -> None:
        """Hold a form to the page of this origin that this browser loaded."""
        browser = self._desk.starts.browser_of(request)
        require_csrf(request, form.find(FIELD), browser, self._desk.deps.public_origin)

    def _read(self, request: Request, form: Form) -> Typed:
        place = require_place(request)
        wanted = form.find("Destination") or ""
        is_root = form.find("kind") == _ROOT
        name = "" if is_root else (form.find("username") or "").strip()
        return Typed(
            place=place,
            name=name[:_LONGEST_NAME],
            password=form.find("password") or "",
            is_root=is_root,
            remember=form.find("remember") == "yes",
            destination=self._desk.destinations.find_safe(wanted) or "",
        )

    def _limits(
        self, request: Request, typed: Typed, account: Account | None
    ) -> list[Limit]:
        where = account.account_id if account else typed.place
        who = counted_name(typed.name, is_root=typed.is_root)
        known = self._desk.known.find(request)
        limits = [limit_of_address(source_address(request))]
        if (
            known is not None
            and account is not None
            and (known.account, known.who) == (account.account_id, who)
        ):
            mark = self._desk.known.mark(request)
            return [*limits, limit_of("browser", where, who, mark)]
        return [*limits, limit_of("user", where, who)]

    @asynccontextmanager
    async def _step(
        self, request: Request, name: str, whose: Account | Pending | None
    ) -> AsyncIterator[AuditEntry]:
        """Run a step with its record."""
        note(request, action=name)
        raw = raw_request(request)
        deps = self._desk.deps
        entry = AuditEntry(
            event_id=request_id(request),
            at=deps.clock.now(),
            door=Door.SIGN_IN.value,
            action=f"signin:{name}",
            source_ip=raw.source_ip,
            user_agent=raw.find_header(b"user-agent") or "",
            region=deps.pipeline.find_region(raw),
        )
        if isinstance(whose, Pending):
            entry.account, entry.caller_arn = whose.account, whose.arn
            entry.principal_id = whose.holder
        elif whose is not None:
            entry.account = whose.account_id
        async with deps.auditor.opened(entry):
            yield entry


def _require_shown(outcome: Shown | Refused) -> str:
    """The serial number of the factor that was shown.

    Raises:
        AccessDenied: it was not.
    """
    if isinstance(outcome, Refused):
        raise AccessDenied(outcome.text, detail=outcome.detail)
    return outcome.serial


def _bounded(password: str) -> str:
    """Longer ones than can be set are wrong, and cost no more than others."""
    return password[: LONGEST + 1]


def _once_more(pending: Pending) -> Pending:
    """After a wrong answer.

    Raises:
        AccessDenied: it was one too many; the sign-in is over.
    """
    if pending.wrong + 1 >= _WRONG_MAX:
        raise AccessDenied(_START_AGAIN)
    return replace(pending, wrong=pending.wrong + 1)


def _status(error: BrokerError) -> int:
    return _TOO_MANY if isinstance(error, Throttling) else _FORBIDDEN
