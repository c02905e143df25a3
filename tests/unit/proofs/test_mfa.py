"""Whose code counts as a second factor, and how often one may guess."""

from datetime import UTC, datetime
from typing import cast

import pytest

from broker.errors import AccessDenied, ServiceUnavailable
from broker.model.account import AccountId
from broker.model.principal import Principal
from broker.model.session import Caller, Session, SessionKind
from broker.proofs.attempts import Attempts
from broker.proofs.mfa import MfaVerifier
from broker.runtime.clock import SystemClock
from broker.stores.cache.port import Cache
from broker.stores.errors import StoreUnavailableError
from tests.support.iam import NoCache

ACCOUNT = AccountId("123456789012")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ROOT = Caller(principal=Principal.root(ACCOUNT))
ANN = Caller(principal=Principal.user(ACCOUNT, user_id="AIDA1", path="/", name="ann"))
SESSION = Session(
    access_key_id="ASIA",
    account=ACCOUNT,
    kind=SessionKind.SESSION_TOKEN,
    principal_id="AIDA1",
    name="",
    issued_at_ms=0,
    expires_at=1,
)


class Devices:
    """Ann's and root's device; ``123456`` is the code of both."""

    async def find_holder(self, account: AccountId, serial: str) -> str | None:
        if serial == "broken":
            raise StoreUnavailableError("away")
        return {"ann-device": "AIDA1", "root-device": str(account)}.get(serial)

    async def accept(
        self, account: AccountId, serial: str, holder: str, code: str, now: datetime
    ) -> bool:
        del account, serial, holder, now
        return code == "123456"

    async def is_used(self, *_given: object) -> bool:
        return False


async def verify(caller: Caller, serial: str | None, code: str | None) -> int | None:
    return await MfaVerifier(
        Devices(), Attempts(cast("Cache", NoCache()), SystemClock())
    ).verify(caller, serial, code, NOW)


async def test_a_code_of_ones_own_device_proves_the_factor_now() -> None:
    assert await verify(ANN, "ann-device", "123456") == int(NOW.timestamp())
    assert await verify(ROOT, "root-device", "123456") == int(NOW.timestamp())
    assert await verify(ANN, None, None) is None


@pytest.mark.parametrize(
    ("caller", "serial"),
    [
        (ANN, "root-device"),
        (ROOT, "ann-device"),
        (ANN, "none"),
        (Caller(principal=ANN.principal, session=SESSION), "ann-device"),
    ],
)
async def test_no_one_elses_device_will_do(caller: Caller, serial: str) -> None:
    with pytest.raises(AccessDenied, match="unable to validate MFA code"):
        await verify(caller, serial, "123456")


async def test_a_wrong_code_is_refused() -> None:
    with pytest.raises(AccessDenied, match="invalid MFA one time pass code"):
        await verify(ANN, "ann-device", "000000")


async def test_one_of_the_two_parameters_alone_is_an_error() -> None:
    with pytest.raises(AccessDenied, match="must provide both"):
        await verify(ANN, "ann-device", None)
    with pytest.raises(AccessDenied, match="must provide both"):
        await verify(ANN, None, "123456")


async def test_what_cannot_be_told_is_not_guessed() -> None:
    with pytest.raises(ServiceUnavailable):
        await verify(ANN, "broken", "123456")
