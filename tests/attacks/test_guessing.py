"""Passwords and codes cannot be guessed: one limit a user, whatever the door."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from broker.errors import AccessDenied, Throttling
from broker.proofs.attempts import PER_ADDRESS, PER_USER, WINDOW, Attempts, limit_of
from broker.stores.errors import StoreUnavailableError
from tests.support.broker import Key
from tests.support.in_process import InProcess, in_process
from tests.support.passwords import PASSWORD
from tests.support.signin import form_fields
from tests.support.totp import oath_code

ACCOUNT = "111122223333"
PAGE = f"/signin/{ACCOUNT}"
SAME = {"sec-fetch-site": "same-origin"}


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[InProcess]:
    async with in_process(tmp_path) as made:
        yield made


@pytest.fixture
async def root(broker: InProcess) -> Key:
    return await broker.create_account(ACCOUNT)


@pytest.fixture
async def ann(broker: InProcess, root: Key) -> Key:
    """A user with a password who may change it."""

    async def ask(operation: str, **params: Any) -> dict[str, Any]:
        return await broker.ask("iam", operation, root, UserName="ann", **params)

    await ask("CreateUser")
    await ask("CreateLoginProfile", Password=PASSWORD)
    await ask("AttachUserPolicy", PolicyArn="arn:aws:iam::aws:policy/IAMFullAccess")
    return Key.of((await ask("CreateAccessKey"))["AccessKey"])


async def change(broker: InProcess, ann: Key, old: str) -> str:
    """The error of a change of the password; empty when it was changed."""
    reply = await broker.call(
        "iam", "ChangePassword", ann, OldPassword=old, NewPassword=PASSWORD + "x"
    )
    return reply.code


async def sign_in(broker: InProcess, password: str) -> int:
    fields = form_fields(await broker.http.get(PAGE), PAGE)
    typed = {**fields, "username": "ANN", "password": password}
    return (await broker.http.post(PAGE, data=typed, headers=SAME)).status_code


async def test_old_passwords_are_guessed_no_faster_than_at_the_sign_in_page(
    broker: InProcess, ann: Key
) -> None:
    for number in range(PER_USER):
        assert await change(broker, ann, f"wrong-{number}") == "AccessDenied"
    assert await change(broker, ann, PASSWORD) == "Throttling"
    assert await sign_in(broker, PASSWORD) == 429


async def test_another_name_begins_no_new_count(
    broker: InProcess, root: Key, ann: Key
) -> None:
    for number in range(PER_USER):
        assert await change(broker, ann, f"wrong-{number}") == "AccessDenied"
    await broker.ask("iam", "UpdateUser", root, UserName="ann", NewUserName="anna")
    assert await change(broker, ann, PASSWORD) == "Throttling"


async def test_guesses_at_the_page_count_for_the_api(
    broker: InProcess, ann: Key
) -> None:
    for number in range(PER_USER):
        assert await sign_in(broker, f"wrong-{number}") == 403
    assert await change(broker, ann, PASSWORD) == "Throttling"


async def enable_device(broker: InProcess, root: Key) -> tuple[str, str]:
    made = await broker.ask(
        "iam", "CreateVirtualMFADevice", root, VirtualMFADeviceName="phone"
    )
    device = made["VirtualMFADevice"]
    seed = device["Base32StringSeed"].decode()
    now = int(broker.clock.now().timestamp())
    await broker.ask(
        "iam",
        "EnableMFADevice",
        root,
        UserName="ann",
        SerialNumber=device["SerialNumber"],
        AuthenticationCode1=oath_code(seed, now - 60),
        AuthenticationCode2=oath_code(seed, now - 30),
    )
    return device["SerialNumber"], seed


async def test_codes_have_one_limit_at_every_door(
    broker: InProcess, root: Key, ann: Key
) -> None:
    serial, seed = await enable_device(broker, root)

    async def session_token(code: str) -> str:
        reply = await broker.call(
            "sts", "GetSessionToken", ann, SerialNumber=serial, TokenCode=code
        )
        return reply.code

    async def resync() -> str:
        reply = await broker.call(
            "iam",
            "ResyncMFADevice",
            ann,
            UserName="ann",
            SerialNumber=serial,
            AuthenticationCode1="000000",
            AuthenticationCode2="000000",
        )
        return reply.code

    for _ in range(PER_USER // 2):
        assert await session_token("000000") == "AccessDenied"
        assert await resync() == "InvalidAuthenticationCode"
    assert await resync() == "Throttling"
    broker.clock.move(120)  # the device's own lock is over
    right = oath_code(seed, int(broker.clock.now().timestamp()))
    assert await session_token(right) == "Throttling"


@pytest.mark.parametrize("operation", ["EnableMFADevice", "ResyncMFADevice"])
async def test_wrong_codes_do_not_lock_out_a_devices_owner(
    broker: InProcess, root: Key, ann: Key, operation: str
) -> None:
    serial, seed = await enable_device(broker, root)
    await broker.ask("iam", "CreateUser", root, UserName="ben")
    await broker.ask(
        "iam",
        "AttachUserPolicy",
        root,
        UserName="ben",
        PolicyArn="arn:aws:iam::aws:policy/IAMFullAccess",
    )
    made = await broker.ask("iam", "CreateAccessKey", root, UserName="ben")
    ben = Key.of(made["AccessKey"])
    for _ in range(PER_USER + 1):
        reply = await broker.call(
            "iam",
            operation,
            ben,
            UserName="ben",
            SerialNumber=serial,
            AuthenticationCode1="000000",
            AuthenticationCode2="000000",
        )
        assert reply.code in {"EntityAlreadyExists", "NoSuchEntity"}
    broker.clock.move(30)
    code = oath_code(seed, int(broker.clock.now().timestamp()))
    await broker.ask("sts", "GetSessionToken", ann, SerialNumber=serial, TokenCode=code)


async def test_right_codes_are_not_counted(
    broker: InProcess, root: Key, ann: Key
) -> None:
    serial, seed = await enable_device(broker, root)
    params = {"SerialNumber": serial}
    for _ in range(PER_USER - 1):
        broker.clock.move(30)
        code = oath_code(seed, int(broker.clock.now().timestamp()))
        await broker.ask("sts", "GetSessionToken", ann, TokenCode=code, **params)
    for _ in range(2):
        wrong = await broker.call(
            "sts", "GetSessionToken", ann, TokenCode="000000", **params
        )
        assert wrong.code == "AccessDenied"


async def test_without_the_cache_a_worker_counts_by_itself(
    broker: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = broker.services.stores.cache

    async def refuse(*_: object, **__: object) -> int:
        raise StoreUnavailableError("away")

    monkeypatch.setattr(cache, "count", refuse)
    attempts = Attempts(cache, broker.clock)
    limit = [limit_of("user", "a")]

    async def attempt(*, right: bool) -> None:
        async with attempts.one(limit):
            if not right:
                raise AccessDenied

    for _ in range(3 * PER_USER):
        await attempt(right=True)
    for _ in range(PER_USER):
        with pytest.raises(AccessDenied):
            await attempt(right=False)
    with pytest.raises(Throttling):
        await attempt(right=True)
    broker.clock.move(WINDOW.total_seconds() + 1)
    await attempt(right=True)


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize(
    "link",
    ["/portal/device?user_code=BBBB-BBBB", f"{PAGE}/first-password?token=guessed"],
)
async def test_links_from_elsewhere_keep_nobody_from_signing_in(
    broker: InProcess, link: str
) -> None:
    """Any page can make a visitor's browser open them, as often as it likes."""
    answers = [await broker.http.get(link) for _ in range(PER_ADDRESS + 1)]
    assert answers[0].status_code != 429
    assert answers[-1].status_code in {400, 429}
    assert "too many attempts" in answers[-1].text
    assert await sign_in(broker, PASSWORD) == 303
