"""Passkeys as IAM's own actions see them, and what their use teaches."""

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from broker.errors import (
    AccessDenied,
    DeleteConflict,
    EntityAlreadyExists,
    LimitExceeded,
    NoSuchEntity,
    ServiceUnavailable,
    ValidationError,
)
from broker.kinds.passkeys import PasskeyProofs, passkey_handle, register_passkey
from broker.model.credentials import Passkey
from broker.model.principal import Principal
from broker.model.session import Caller, Session, SessionKind
from broker.protocols.webauthn import (
    Credential,
    RelyingParty,
    WebauthnReason,
    WebauthnRejected,
    authentication_options,
    registration_options,
    verify_registration,
)
from broker.stores.directory import kinds
from broker.stores.directory.kinds import PASSKEY, USER
from tests.support.authenticator import Authenticator
from tests.support.iam import ACCOUNT, OTHER, Iam, set_quotas
from tests.unit.actions.iam.test_mfa_devices import enable, make

ORIGIN = "https://broker.example"
PARTY = RelyingParty("broker.example", ORIGIN)
CHALLENGE = b"c" * 32


def made_by(authenticator: Authenticator, holder: str) -> Credential:
    options = registration_options(
        PARTY,
        user_handle=passkey_handle(holder),
        user_name="x",
        challenge=CHALLENGE,
        known=(),
    )
    answer = authenticator.create(options)
    return verify_registration(PARTY, answer, challenge=CHALLENGE)


async def give(
    iam: Iam,
    user: str | None,
    name: str = "key",
    authenticator: Authenticator | None = None,
) -> Passkey:
    account = await iam.directory.find(kinds.ACCOUNT, ACCOUNT)
    owner = None if user is None else await iam.directory.named(USER, ACCOUNT, user)
    assert account is not None
    holder = ACCOUNT if owner is None else owner.user_id
    credential = made_by(authenticator or Authenticator(ORIGIN), holder)
    async with iam.directory.change(ACCOUNT) as change:
        return await register_passkey(
            change, account, owner, name=name, credential=credential, now=iam.now
        )


def with_factor(iam: Iam) -> Iam:
    """The root in a session that showed the root's second factor."""
    session = Session(
        access_key_id="ASIA",
        account=ACCOUNT,
        kind=SessionKind.CONSOLE,
        principal_id=ACCOUNT,
        name="root",
        issued_at_ms=0,
        expires_at=1,
        mfa_at=1,
    )
    return iam.as_caller(Caller(principal=Principal.root(ACCOUNT), session=session))


async def test_a_passkey_is_listed_and_shown_by_its_serial(iam: Iam) -> None:
    await iam("CreateUser", UserName="ann")
    passkey = await give(iam, "ann", "my-key")
    prefix = f"arn:aws:iam::{ACCOUNT}:u2f/user/ann/my-key-"
    assert passkey.serial.startswith(prefix)
    assert passkey.name == "my-key"
    view = {"UserName": "ann", "SerialNumber": passkey.serial, "EnableDate": iam.now}
    listed = await iam("ListMFADevices", UserName="ann")
    assert listed["MFADevices"] == [view]
    for entry in ({}, {"UserName": "ann"}):
        details = await iam("GetMFADevice", SerialNumber=passkey.serial, **entry)
        assert details == view
    need = await iam.need("GetMFADevice", SerialNumber=passkey.serial)
    assert need.resource == f"arn:aws:iam::{ACCOUNT}:user/ann"
    virtual = await iam("ListVirtualMFADevices")
    assert virtual["VirtualMFADevices"] == []


async def test_roots_passkey_is_roots(iam: Iam) -> None:
    passkey = await give(iam, None)
    assert passkey.serial.startswith(f"arn:aws:iam::{ACCOUNT}:u2f/root/key-")
    (listed,) = (await iam("ListMFADevices"))["MFADevices"]
    assert listed["SerialNumber"] == passkey.serial
    summary = (await iam("GetAccountSummary"))["SummaryMap"]
    assert summary["AccountMFAEnabled"] == 1
    assert (summary["MFADevices"], summary["MFADevicesInUse"]) == (1, 1)
    with pytest.raises(AccessDenied, match="authenticated with an MFA device"):
        await iam("DeactivateMFADevice", SerialNumber=passkey.serial)
    await with_factor(iam)("DeactivateMFADevice", SerialNumber=passkey.serial)
    assert (await iam("ListMFADevices"))["MFADevices"] == []


async def test_a_passkey_that_is_deactivated_is_gone(iam: Iam) -> None:
    await iam("CreateUser", UserName="ann")
    await iam("CreateUser", UserName="bob")
    passkey = await give(iam, "ann")
    serial = passkey.serial
    with pytest.raises(NoSuchEntity, match="invalid for user"):
        await iam("DeactivateMFADevice", UserName="bob", SerialNumber=serial)
    with pytest.raises(NoSuchEntity, match="invalid for user"):
        await iam("GetMFADevice", UserName="bob", SerialNumber=serial)
    await iam("DeactivateMFADevice", UserName="ann", SerialNumber=serial)
    with pytest.raises(NoSuchEntity, match="does not exist"):
        await iam("DeactivateMFADevice", UserName="ann", SerialNumber=serial)
    with pytest.raises(NoSuchEntity):
        await iam("GetMFADevice", UserName="ann", SerialNumber=serial)


async def test_no_api_enables_resyncs_or_deletes_a_passkey(iam: Iam) -> None:
    await iam("CreateUser", UserName="ann")
    serial = (await give(iam, "ann")).serial
    codes = {"AuthenticationCode1": "123456", "AuthenticationCode2": "234567"}
    for name in ("EnableMFADevice", "ResyncMFADevice"):
        with pytest.raises(NoSuchEntity):
            await iam(name, UserName="ann", SerialNumber=serial, **codes)
    with pytest.raises(NoSuchEntity):
        await iam("DeleteVirtualMFADevice", SerialNumber=serial)
    assert len((await iam("ListMFADevices", UserName="ann"))["MFADevices"]) == 1


async def test_a_user_goes_only_without_passkeys(iam: Iam) -> None:
    await iam("CreateUser", UserName="ann")
    serial = (await give(iam, "ann")).serial
    with pytest.raises(DeleteConflict, match="MFA device"):
        await iam("DeleteUser", UserName="ann")
    await iam("DeactivateMFADevice", UserName="ann", SerialNumber=serial)
    await iam("DeleteUser", UserName="ann")


async def test_devices_of_all_kinds_share_the_quota(iam: Iam) -> None:
    await set_quotas(iam, MFADevicesPerUser=2)
    await iam("CreateUser", UserName="ann")
    await give(iam, "ann", "one")
    await enable(iam, "ann", *await make(iam, "two"))
    with pytest.raises(LimitExceeded):
        await give(iam, "ann", "three")
    with pytest.raises(LimitExceeded):
        await enable(iam, "ann", *await make(iam, "four"))


async def test_the_credential_report_knows_who_has_a_passkey(iam: Iam) -> None:
    await iam("CreateUser", UserName="ann")
    await give(iam, "ann")
    await iam("GenerateCredentialReport")
    report = (await iam("GetCredentialReport"))["Content"].decode()
    columns, *lines = [line.split(",") for line in report.splitlines()]
    active = columns.index("mfa_active")
    assert {line[0]: line[active] for line in lines} == {
        "<root_account>": "false",
        "ann": "true",
    }


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ü", "a/b", "a\n"])
async def test_a_name_is_one_that_devices_may_have(iam: Iam, name: str) -> None:
    with pytest.raises(ValidationError):
        await give(iam, None, name)


async def test_one_credential_is_registered_once_in_an_account(iam: Iam) -> None:
    account = await iam.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    credential = made_by(Authenticator(ORIGIN), ACCOUNT)
    for expected in (None, EntityAlreadyExists):
        async with iam.directory.change(ACCOUNT) as change:
            params: dict[str, Any] = {"name": "k", "credential": credential}
            registering = register_passkey(change, account, None, now=iam.now, **params)
            if expected is None:
                await registering
            else:
                with pytest.raises(expected):
                    await registering


async def answer_of(
    iam: Iam, authenticator: Authenticator, holder: str, **knobs: Any
) -> str:
    known = await PasskeyProofs(iam.directory).list_credentials(ACCOUNT, holder)
    options = authentication_options(PARTY, challenge=CHALLENGE, known=known)
    return authenticator.get(options, **knobs)


async def accept(iam: Iam, holder: str, answer: str, account: Any = ACCOUNT) -> Passkey:
    return await PasskeyProofs(iam.directory).accept(
        account, holder, PARTY, answer, challenge=CHALLENGE, now=iam.now
    )


async def test_a_use_is_written_down_and_no_older_count_is_taken(iam: Iam) -> None:
    authenticator = Authenticator(ORIGIN)
    passkey = await give(iam, None, "key", authenticator)
    answer = await answer_of(iam, authenticator, ACCOUNT)
    used = await accept(iam, ACCOUNT, answer)
    assert used == replace(passkey, sign_count=1, last_used_at=iam.now)
    assert await iam.directory.named(PASSKEY, ACCOUNT, passkey.serial) == used
    with pytest.raises(WebauthnRejected) as caught:
        await accept(iam, ACCOUNT, answer)
    assert caught.value.reason is WebauthnReason.COUNT_WENT_BACK


async def test_of_many_at_once_with_one_answer_one_counts(iam: Iam) -> None:
    authenticator = Authenticator(ORIGIN)
    await give(iam, None, "key", authenticator)
    answer = await answer_of(iam, authenticator, ACCOUNT)
    results = await asyncio.gather(
        *(accept(iam, ACCOUNT, answer) for _ in range(6)), return_exceptions=True
    )
    assert sum(isinstance(result, Passkey) for result in results) == 1


async def test_a_passkey_proves_its_own_user_in_its_own_account(iam: Iam) -> None:
    await iam("CreateUser", UserName="ann")
    bob = (await iam("CreateUser", UserName="bob"))["User"]["UserId"]
    authenticator = Authenticator(ORIGIN)
    passkey = await give(iam, "ann", "key", authenticator)
    ann = passkey.user_id
    await give(iam, "bob")
    for account, holder in ((ACCOUNT, bob), (ACCOUNT, ACCOUNT), (OTHER, ann)):
        answer = await answer_of(iam, authenticator, ann)
        with pytest.raises(WebauthnRejected) as caught:
            await accept(iam, holder, answer, account)
        assert caught.value.reason is WebauthnReason.OTHER_CREDENTIAL
    answer = await answer_of(iam, authenticator, ann, user_handle=bob.encode())
    with pytest.raises(WebauthnRejected) as caught:
        await accept(iam, ann, answer)
    assert caught.value.reason is WebauthnReason.OTHER_USER
    assert await accept(iam, ann, await answer_of(iam, authenticator, ann))


async def test_a_count_that_keeps_changing_is_not_waited_for(iam: Iam) -> None:
    authenticator = Authenticator(ORIGIN)
    await give(iam, None, "key", authenticator)

    class Busy:
        all_of = iam.directory.all_of

        async def replace_passkey_use(self, *_: Passkey) -> bool:
            return False

    answer = await answer_of(iam, authenticator, ACCOUNT)
    with pytest.raises(ServiceUnavailable):
        await PasskeyProofs(Busy()).accept(
            ACCOUNT, ACCOUNT, PARTY, answer, challenge=CHALLENGE, now=iam.now
        )


async def test_a_deactivated_passkey_proves_nothing(iam: Iam) -> None:
    authenticator = Authenticator(ORIGIN)
    passkey = await give(iam, None, "key", authenticator)
    answer = await answer_of(iam, authenticator, ACCOUNT)
    assert json.loads(answer)["type"] == "public-key"
    await with_factor(iam)("DeactivateMFADevice", SerialNumber=passkey.serial)
    with pytest.raises(WebauthnRejected):
        await accept(iam, ACCOUNT, answer)
