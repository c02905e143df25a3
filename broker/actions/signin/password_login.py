"""``ConsoleLogin`` with a password: a console session of a user or of root.

Everything that was proved during the sign-in is checked again against the current
state, so that no step can be skipped or be out of date.
"""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from broker.actions.action import Call
from broker.actions.sts.roles import credentials_shape
from broker.errors import AccessDenied
from broker.kinds.login_profiles import PasswordState, password_mark, password_state
from broker.kinds.second_factors import list_factors
from broker.model.principal import PrincipalType
from broker.model.session import Session, SessionKind
from broker.sessions.issue import MintOrder, SessionIssuer, new_access_key_id
from broker.sessions.limits import session_duration
from broker.sessions.lineage import lineage_from, new_mint_id
from broker.stores.directory.kinds import ACCOUNT, LOGIN_PROFILE

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

    async def mint(self, given: PasswordLoginRequest, call: Call) -> Mapping[str, Any]:
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
        if password_mark(profile) != given.get("PasswordMark"):
            raise AccessDenied(_OVERTAKEN, detail="the password was changed meanwhile")
        if not is_root and (
            password_state(account, profile, now=call.now) is not PasswordState.GOOD
        ):
            raise AccessDenied(_OVERTAKEN, detail="the password has to be changed")
        mfa_at = given.get("MFAAt")
        factors = await list_factors(directory, call.account, holder)
        if mfa_at is None and (factors or is_root):
            raise AccessDenied(_OVERTAKEN, detail="no second factor was shown")
        if mfa_at is not None and given.get("MFAIdentifier") not in factors:
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
