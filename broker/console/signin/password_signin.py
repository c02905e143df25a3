"""Password sign-in of IAM users and the root user.

    password   user name and password, on the account's page: here
    factor     one of the user's second factors, if there are any: `password_steps`
    change     a new password, if it must be changed: `password_steps`
    complete   as for every other sign-in: `login_completion`

Whether the account, the user or the password is wrong, the answer is the same and
takes the same time.

A sign-in link leads to the form of a first password. Opening it uses nothing up, so that
a mail program which looks at links does no harm. The form sets the password, ends the
link and goes on as after any right password.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from broker.console.context import ConsoleContext
from broker.console.deps import ConsoleDeps
from broker.console.forms import Form, read_form
from broker.console.password_progress import PasswordProgress, root_arn
from broker.console.rendering import status_of, words_of
from broker.console.request_info import require_place, source_address
from broker.console.signin.account_page import SignIn, SignInForm
from broker.console.signin.login_completion import pending_caller
from broker.console.signin.password_steps import PasswordSteps
from broker.errors import AccessDenied, PasswordPolicyViolation, Throttling
from broker.kinds import login_profiles, root_password
from broker.kinds.password_policy import LONGEST, requirements
from broker.kinds.sign_in_links import LINK_ENDED, require_linked_user
from broker.model.account import Account
from broker.model.entities import User
from broker.model.principal import Principal
from broker.model.request import Door, Params, RequestContext
from broker.model.session import Caller
from broker.proofs.attempts import (
    Limit,
    limit_of,
    limit_of_address,
    limit_of_password,
    limit_of_unknown_user,
)
from broker.proofs.scheme import DoorProof, ProofRefused, ProofResult, Read
from broker.stores.directory.kinds import USER

_ROOT = "root"
_NAME_MAX = 64
_FORBIDDEN = 403
_HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
"""What CloudTrail records for an unknown user name, which may be a mistyped password."""

_WRONG = (
    "Your authentication information is incorrect. Check the account, the user name and"
    " the password, and try again."
)
_EXPIRED = (
    "Your password has expired. Ask an administrator of the account to set a new one."
)

FIRST_PASSWORD = "/signin/{account}/first-password"  # noqa: S105  # a path
TOKEN = "token"  # noqa: S105  # a parameter's name
_TOKEN_MAX = 64
_DIFFER = "The two passwords do not match."


class PasswordSignIn:
    """Checks user name and password."""

    def __init__(
        self, context: ConsoleContext, sign_in: SignIn, steps: PasswordSteps
    ) -> None:
        self._context = context
        self._sign_in = sign_in
        self._steps = steps
        self._attempts = context.deps.attempts

    async def password(self, request: Request) -> Response:
        """``POST /signin/{account}``."""
        form = await read_form(request)
        fields = self._read(request, form)
        problem = self._context.find_stale_form(request, form)
        if problem:
            return await self._sign_in.show(
                request, fields, problem=problem, status=_FORBIDDEN
            )
        account = await self._sign_in.find_account(fields.place)

        def limits(user: User | None) -> list[Limit]:
            return self._limits(request, fields, account, user)

        check = _PasswordScheme(self._context.deps, fields, account, limits)
        try:
            await self._context.perform(
                request,
                Door.SIGN_IN,
                ("signin", "CheckPassword"),
                check,
                lambda: {"UserName": check.recorded_name},
            )
        except (AccessDenied, Throttling) as error:
            return await self._sign_in.show(
                request,
                fields,
                problem=words_of(error),
                status=status_of(error),
            )
        return await self._steps.next(request, check.pending)

    def _read(self, request: Request, form: Form) -> SignInForm:
        place = require_place(request)
        is_root = form.find("kind") == _ROOT
        name = "" if is_root else (form.find("username") or "").strip()
        return SignInForm(
            place=place,
            name=name[:_NAME_MAX],
            password=form.find("password") or "",
            is_root=is_root,
            remember=form.find("remember") == "yes",
            destination=self._context.destination_of(form),
        )

    def _limits(
        self,
        request: Request,
        fields: SignInForm,
        account: Account | None,
        user: User | None,
    ) -> list[Limit]:
        limits = [limit_of_address(source_address(request))]
        if account is None:
            return [*limits, limit_of_unknown_user(fields.place, fields.name)]
        number = account.account_id
        holder = number if fields.is_root else user.user_id if user else ""
        known = self._context.known.find(request)
        if (
            known is not None
            and known.id
            and holder
            # By id: another user may have the name by now.
            and (known.account, known.user_id) == (number, holder)
        ):
            # By what is sealed in the cookie: its text can be written in many ways,
            # and is new whenever another way in is chosen.
            return [*limits, limit_of("browser", number, holder, known.id)]
        if user is not None:
            return [*limits, limit_of_password(number, user.user_id)]
        if fields.is_root:
            return [*limits, limit_of_password(number, number)]
        return [*limits, limit_of_unknown_user(number, fields.name)]


class _PasswordScheme:
    def __init__(
        self,
        deps: ConsoleDeps,
        fields: SignInForm,
        account: Account | None,
        limits: Callable[[User | None], Sequence[Limit]],
    ) -> None:
        self._deps = deps
        self._fields = fields
        self._account = account
        self._limits = limits
        self.recorded_name = _ROOT

    async def prove(
        self, request: RequestContext, _service: str, _action: str, read: Read
    ) -> tuple[ProofResult, Params]:
        """Read, then prove, so that a refusal is recorded with the user's name.

        Raises:
            AccessDenied, ProofRefused: Anything is wrong, always with the same text;
                or the password is right but has expired for good.
            Throttling: There were too many wrong attempts.
        """
        fields, account = self._fields, self._account
        number = account.account_id if account else login_profiles.NO_ACCOUNT
        user: User | None = None
        if not fields.is_root:
            user = await self._deps.directory.named(USER, number, fields.name)
            self.recorded_name = user.name if user else _HIDDEN
        params = await read()
        try:
            async with self._deps.attempts.one(self._limits(user)):
                self.pending = await self._verify(request.now)
        except (AccessDenied, Throttling) as error:
            if account is None:
                raise
            raise ProofRefused(
                error, account=number, arn=user.arn if user else ""
            ) from error
        caller = await pending_caller(self._deps.directory, self.pending, request.now)
        return ProofResult(caller=caller), params

    async def _verify(self, now: datetime) -> PasswordProgress:
        deps, fields, account = self._deps, self._fields, self._account
        # One that is too long to be right costs no extra work.
        password = fields.password[: LONGEST + 1]
        user, state = None, login_profiles.PasswordState.GOOD
        if fields.is_root:
            profile = await root_password.verify_root_password(
                deps.passwords, deps.directory, account, password
            )
        else:
            verified_password = await login_profiles.verify_password(
                deps.passwords, deps.directory, account, fields.name, password, now=now
            )
            profile = verified_password.profile if verified_password else None
            if verified_password is not None:
                user, state = verified_password.user, verified_password.state
        if profile is None or account is None:
            detail = "no such user, or a wrong password"
            if account is None:
                detail = f"no account has the number or alias {fields.place}"
            raise AccessDenied(_WRONG, detail=detail)
        if state is login_profiles.PasswordState.HARD_EXPIRED:
            raise AccessDenied(_EXPIRED, detail="the password has expired for good")
        return PasswordProgress(
            place=fields.place,
            account=account.account_id,
            holder=profile.user_id,
            name=user.name if user else "",
            arn=user.arn if user else root_arn(profile.account),
            mark=login_profiles.password_mark(profile),
            began=int(now.timestamp()),
            destination=fields.destination,
            remember=fields.remember,
        )


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
        async with self._attempts.one(_limits(request)):
            account, user = await self._require(request, form)
        problem, status = self._context.find_stale_form(request, form), _FORBIDDEN
        if not problem:
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
        profile = await login_profiles.require_login_profile(deps.directory, user)
        pending = PasswordProgress(
            place=require_place(request),
            account=account.account_id,
            holder=user.user_id,
            name=user.name,
            arn=user.arn,
            mark=login_profiles.password_mark(profile),
            began=int(deps.clock.now().timestamp()),
        )
        return await self._steps.next(request, pending)

    async def _require(self, request: Request, form: Form) -> tuple[Account, User]:
        """The link's account and user, as they are now."""
        deps = self._context.deps
        account = await self._sign_in_page.find_account(require_place(request))
        if account is None:
            raise AccessDenied(LINK_ENDED, detail="no such account")
        user = await require_linked_user(
            deps.directory, account, _token(form), now=deps.clock.now()
        )
        return account, user

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
        return self._context.show_form(
            request,
            "signin_first.html",
            status,
            account=account.alias or account.account_id,
            name=user.name,
            problem=problem,
            requirements=requirements(account),
            action=FIRST_PASSWORD.format(account=require_place(request)),
            token=_token(form),
        )


def _limits(request: Request) -> list[Limit]:
    return [limit_of_address(source_address(request), "sign-in-link")]


def _token(form: Form) -> str:
    return (form.find(TOKEN) or "")[:_TOKEN_MAX]


def _caller(user: User) -> Caller:
    principal = Principal.user(
        user.account, user_id=user.user_id, path=user.path, name=user.name
    )
    return Caller(principal=principal, principal_tags=user.tags)
