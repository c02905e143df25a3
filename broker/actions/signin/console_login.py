"""``ConsoleLogin``: a proof becomes a console session, its own mint.

The proof is a redeemed sign-in token, or what a user showed at the sign-in page. If an
upstream minted the session behind a sign-in token, it is the upstream's console that
opens: nothing is minted here, and the token is used up with the record.

With a password, everything that was proved during the sign-in is checked again against
the current state, so that no step can be skipped or be out of date.

The other actions check a proof before the sign-in page mints a session with it, or set
the first password of the user whom a link proves. Using up the link and setting the
password are one transaction, so that of two forms sent at once one is refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from broker.actions.action import Action, Call, Handle, console_action, needs_nothing
from broker.actions.sts.derived_mint import DerivedMinter, require_session
from broker.actions.sts.roles import credentials_shape
from broker.errors import AccessDenied, InvalidClientTokenId
from broker.kinds.accounts import require_account
from broker.kinds.login_profiles import (
    PasswordState,
    PreparedPassword,
    create_login_profile,
    list_factors,
    password_mark,
    password_state,
    prepare_password,
)
from broker.kinds.passwords import Passwords
from broker.kinds.sign_in_links import require_linked_user
from broker.model.principal import PrincipalType
from broker.model.request import Door, Params
from broker.model.session import Session, SessionKind
from broker.sessions.issue import (
    MintOrder,
    SessionIssuer,
    commit_once,
    new_access_key_id,
)
from broker.sessions.limits import HOUR_SECONDS, session_duration
from broker.sessions.lineage import lineage_from, new_mint_id
from broker.stores.directory.kinds import ACCOUNT, LOGIN_PROFILE, ROLE
from broker.stores.directory.readings import FreshDirectory
from broker.stores.ledger.port import Ledger

_OVERTAKEN = "Something changed while you were signing in. Start again."
_ROOT_NAME = "root"


class PasswordLoginRequest(TypedDict):
    """What was proved at the sign-in page.

    ``PasswordMark`` says which password it was; ``MFAAt`` is when the second factor
    ``MFAIdentifier`` was verified (seconds since 1970).
    """

    PasswordMark: NotRequired[int]
    MFAUsed: NotRequired[str]
    MFAIdentifier: NotRequired[str]
    MFAAt: NotRequired[int]


class PasswordLogin:
    """Mints the session."""

    def __init__(self, issuer: SessionIssuer) -> None:
        self._issuer = issuer

    async def mint(self, params: PasswordLoginRequest, call: Call) -> Mapping[str, Any]:
        """Mint the console session of a caller who was proved by a password.

        Raises:
            AccessDenied: the password has been changed or must be; or a second factor
                exists now, and none that is valid was proved.
            ProofUsed: this sign-in was already used.
            ServiceUnavailable: the database is away; nothing was minted.
        """
        principal = call.caller.principal
        holder = principal.unique_id
        is_root = principal.type is PrincipalType.ACCOUNT
        directory = call.directory
        account = await directory.find(ACCOUNT, call.account)
        profile = await directory.find(LOGIN_PROFILE, call.account, holder)
        if account is None or profile is None:
            raise AccessDenied(_OVERTAKEN, detail="the password no longer exists")
        if password_mark(profile) != params.get("PasswordMark"):
            raise AccessDenied(_OVERTAKEN, detail="the password was changed meanwhile")
        if not is_root and (
            password_state(account, profile, now=call.now) is not PasswordState.GOOD
        ):
            raise AccessDenied(_OVERTAKEN, detail="the password has to be changed")
        mfa_at = params.get("MFAAt")
        factors = await list_factors(directory, call.account, holder)
        if mfa_at is None and (factors or is_root):
            raise AccessDenied(_OVERTAKEN, detail="no second factor was shown")
        if mfa_at is not None and params.get("MFAIdentifier") not in factors:
            raise AccessDenied(_OVERTAKEN, detail="the second factor no longer exists")
        minted = await self._issuer.issue(
            MintOrder(
                session=Session(
                    access_key_id=new_access_key_id(account.account_id),
                    mint_id=new_mint_id(),
                    issued_at_ms=int(call.now.timestamp() * 1000),
                    expires_at=int(call.now.timestamp())
                    + session_duration(
                        SessionKind.CONSOLE, None, now=call.now, is_root=is_root
                    ),
                    account=account.account_id,
                    kind=SessionKind.CONSOLE,
                    principal_id=holder,
                    name=principal.username or _ROOT_NAME,
                    mfa_at=mfa_at,
                    lineage=lineage_from(call.caller),
                ),
                account_salt=account.session_salt,
                principal_arn=principal.arn,
                now=call.now,
            ),
            call.record,
            call.mark,
            keep=call.keep,
        )
        return {"Credentials": credentials_shape(minted.credentials)}


class ConsoleLoginRequest(PasswordLoginRequest):
    """What the sign-in token was made for, or what a user proved with a password.

    ``Upstream`` is the name of the upstream whose console opens.
    """

    SessionDuration: NotRequired[int]
    Upstream: NotRequired[str]


def console_login(
    fresh: FreshDirectory,
    minter: DerivedMinter,
    password: PasswordLogin,
    ledger: Ledger,
) -> Action:
    """The action, given what it works with."""

    async def handle(params: ConsoleLoginRequest, call: Call) -> Mapping[str, Any]:
        if call.caller.session is None and call.request.door is Door.SIGN_IN:
            return await password.mint(params, call)
        if "Upstream" in params:
            await commit_once(ledger, call.record.complete(), call.mark)
            call.record.committed = True
            return {}
        session = require_session(call)
        duration = params.get("SessionDuration")
        ends_at = session.expires_at
        if duration is not None:
            ends_at = await requested_end(session, duration, call)
        minted = await minter.mint(call, ends_at=ends_at)
        return {"Credentials": credentials_shape(minted.credentials)}

    async def requested_end(session: Session, duration: int, call: Call) -> int:
        """The requested end: it may be after the credentials' own, within all limits."""
        role = await fresh.find(ROLE, session.account, session.principal_id)
        if role is None:
            raise InvalidClientTokenId(
                detail=f"role {session.principal_id} no longer exists"
            )
        seconds = min(duration, role.max_session_duration_seconds)
        ends_at = int(call.now.timestamp()) + seconds
        return ends_at if session.ends_by is None else min(ends_at, session.ends_by)

    return Action(
        service="signin",
        name="ConsoleLogin",
        needs=needs_nothing,
        handle=handle,
        audited=("SessionDuration", "MFAUsed", "MFAIdentifier", "Upstream"),
    )


class ProvedRolesRequest(TypedDict):
    """The ARNs of the roles that the proof allows."""

    RoleArns: Sequence[str]


def proof_check_actions() -> tuple[Action, ...]:
    """Listing roles after a federated proof; checking a password or factor."""
    return (
        _check("ListRolesWithSAML", _list_roles),
        _check("ListRolesWithWebIdentity", _list_roles),
        _check("ListRolesWithLDAPIdentity", _list_roles),
        _check("CheckPassword", _confirm, "UserName"),
        _check("CheckMfa", _confirm, "MFAIdentifier"),
    )


def _check(name: str, handle: Handle, *audited: str) -> Action:
    return Action(
        service="signin", name=name, needs=needs_nothing, handle=handle, audited=audited
    )


async def _list_roles(params: ProvedRolesRequest, call: Call) -> Mapping[str, Any]:
    """For a page that has refused those without a role, unless others may give some."""
    for arn in params["RoleArns"]:
        call.record.add_resource(arn)
    return {}


async def _confirm(_given: Params, _call: Call) -> Mapping[str, Any]:
    return {}


class FirstPasswordRequest(TypedDict):
    """The link's token, and the password to set."""

    Link: str
    NewPassword: str


def first_password(passwords: Passwords) -> Action:
    """The handler."""

    async def prepare(params: FirstPasswordRequest, call: Call) -> PreparedPassword:
        account = await require_account(call.directory, call.account)
        user = await require_linked_user(
            call.directory, account, params["Link"], now=call.now
        )
        return await prepare_password(
            passwords, call.directory, account, user, params["NewPassword"]
        )

    return Action(
        service="signin",
        name="SetFirstPassword",
        needs=needs_nothing,
        prepare=prepare,
        handle=_set,
        writes=True,
        calls=10,
    )


async def _set(params: FirstPasswordRequest, call: Call) -> None:
    prepared = call.prepared
    if not isinstance(prepared, PreparedPassword):
        raise TypeError("the password was not prepared")
    account = await require_account(call.change, call.account)
    user = await require_linked_user(call.change, account, params["Link"], now=call.now)
    if user.user_id != call.caller.principal.unique_id:
        raise AccessDenied(detail="the link is another user's")
    call.record.add_resource(user.arn)
    await create_login_profile(
        call.change, prepared, reset_required=False, now=call.now
    )


def get_console_credentials(minter: DerivedMinter) -> Action:
    """The action, given what it works with."""

    async def handle(_given: Params, call: Call) -> Mapping[str, Any]:
        # At most an hour, never beyond the console session, and counted as chained:
        # they must not open a longer console session.
        ends_at = min(
            require_session(call).expires_at, int(call.now.timestamp()) + HOUR_SECONDS
        )
        minted = await minter.mint(call, ends_at=ends_at, counts_as_chained=True)
        return {"Credentials": credentials_shape(minted.credentials)}

    return console_action("GetConsoleCredentials", needs_nothing, handle)
