"""The second factor of a signed call: a code of a device that the caller owns."""

from datetime import datetime

from broker.errors import AccessDenied, ServiceUnavailable
from broker.kinds.mfa_codes import MfaCodes
from broker.model.principal import PrincipalType
from broker.model.session import Caller
from broker.proofs.attempts import Attempts, WrongFactorError, limit_of_factors
from broker.sessions.vault import SealBrokenError
from broker.stores.errors import StoreUnavailableError

_UNKNOWN = "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user."
_ALONE = "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code."
_WRONG = "MultiFactorAuthentication failed with invalid MFA one time pass code. "


class MfaVerifier:
    """Verifies ``SerialNumber`` and ``TokenCode``; each code counts once."""

    def __init__(self, devices: MfaCodes, attempts: Attempts) -> None:
        self._devices = devices
        self._attempts = attempts

    async def verify(
        self, caller: Caller, serial: str | None, code: str | None, now: datetime
    ) -> int | None:
        """When the factor was shown (seconds since 1970); None when none was sent.

        Raises:
            AccessDenied: one of the two came without the other, the caller has no such device, or the code is not valid now.
            Throttling: too many codes were wrong, at any entry point.
            ServiceUnavailable: the directory is away.
        """
        if serial is None and code is None:
            return None
        if serial is None or code is None:
            raise AccessDenied(_ALONE, detail="one of SerialNumber and TokenCode")
        try:
            await self._require(caller, serial, code, now)
        except (StoreUnavailableError, SealBrokenError) as error:
            raise ServiceUnavailable(
                detail=f"the code cannot be verified: {error}"
            ) from error
        return int(now.timestamp())

    async def _require(
        self, caller: Caller, serial: str, code: str, now: datetime
    ) -> None:
        account = caller.account
        holder = await self._devices.find_holder(account, serial)
        if holder is None or holder != _factor_owner(caller):
            raise AccessDenied(
                _UNKNOWN, detail=f"{serial} is not a device of the caller"
            )
        limits = [limit_of_factors(account, holder)]
        async with self._attempts.one(limits, wrong=WrongFactorError):
            if await self._devices.accept(account, serial, holder, code, now):
                return
            if await self._devices.is_used(account, (serial,), holder, code, now):
                raise AccessDenied(_WRONG, detail=f"a used code of {serial}")
            raise WrongFactorError(
                _WRONG, detail=f"no code of {serial}, or it is locked"
            )


def _factor_owner(caller: Caller) -> str | None:
    """Users and root show their factor with a long-term key, sessions never."""
    if caller.session is not None:
        return None
    principal = caller.principal
    if principal.type in {PrincipalType.ACCOUNT, PrincipalType.USER}:
        return principal.unique_id
    return None
