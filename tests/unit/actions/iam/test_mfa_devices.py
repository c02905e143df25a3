"""Limits and faults of MFA devices that no client can bring about by itself."""

import base64
from typing import Any

import pytest
from msgspec.structs import replace

from broker.errors import (
    AccessDenied,
    ConcurrentModification,
    LimitExceeded,
    NoSuchEntity,
    ServiceUnavailable,
)
from broker.kinds.mfa_codes import MfaCodes
from broker.kinds.mfa_devices import enable_device
from broker.model.credentials import MfaState
from broker.model.principal import Principal
from broker.model.session import Caller, Session, SessionKind
from broker.protocols.totp import totp_code
from broker.stores.directory import kinds
from broker.stores.directory.kinds import MFA_DEVICE, USER
from tests.support.iam import ACCOUNT, Iam


async def make(iam: Iam, name: str) -> tuple[str, bytes]:
    made = await iam("CreateVirtualMFADevice", VirtualMFADeviceName=name)
    view = made["VirtualMFADevice"]
    return view["SerialNumber"], base64.b32decode(view["Base32StringSeed"])


def pair(iam: Iam, seed: bytes) -> dict[str, str]:
    step = int(iam.now.timestamp()) // 30
    return {
        "AuthenticationCode1": totp_code(seed, step - 1),
        "AuthenticationCode2": totp_code(seed, step),
    }


async def enable(iam: Iam, user: str, serial: str, seed: bytes) -> Any:
    return await iam(
        "EnableMFADevice", UserName=user, SerialNumber=serial, **pair(iam, seed)
    )


async def test_a_user_has_eight_devices_at_most(iam: Iam) -> None:
    await iam("CreateUser", UserName="ann")
    for number in range(8):
        await enable(iam, "ann", *await make(iam, f"d{number}"))
    with pytest.raises(LimitExceeded, match="MFADevicesPerUser: 8"):
        await enable(iam, "ann", *await make(iam, "d8"))
    first = await iam("ListMFADevices", UserName="ann", MaxItems=5)
    rest = await iam("ListMFADevices", UserName="ann", Marker=first["Marker"])
    assert len(first["MFADevices"]) == 5
    assert len(rest["MFADevices"]) == 3


async def test_a_seed_moved_to_another_device_proves_nothing(iam: Iam) -> None:
    await iam("CreateUser", UserName="ann")
    mine, seed = await make(iam, "mine")
    theirs, _ = await make(iam, "theirs")
    moved = await iam.directory.named(MFA_DEVICE, ACCOUNT, mine)
    target = await iam.directory.named(MFA_DEVICE, ACCOUNT, theirs)
    assert moved is not None
    assert target is not None
    async with iam.directory.change(ACCOUNT) as change:
        await change.update(MFA_DEVICE, replace(target, sealed_seed=moved.sealed_seed))
    with pytest.raises(ServiceUnavailable):
        await enable(iam, "ann", theirs, seed)


async def test_a_code_spent_meanwhile_is_not_forgotten(iam: Iam) -> None:
    """Whoever writes the device keeps what a call that runs beside it has spent."""
    user = (await iam("CreateUser", UserName="ann"))["User"]
    serial, seed = await make(iam, "mine")
    await enable(iam, "ann", serial, seed)
    before = await iam.directory.named(MFA_DEVICE, ACCOUNT, serial)
    assert before is not None
    codes = MfaCodes(iam.directory, iam.vault)
    code = totp_code(seed, int(iam.now.timestamp()) // 30 + 1)
    values = (ACCOUNT, serial, user["UserId"], code, iam.now)
    assert await codes.accept(*values)
    async with iam.directory.change(ACCOUNT) as change:
        await change.update(MFA_DEVICE, replace(before, tags={"k": "v"}))
    assert not await codes.accept(*values)
    # Nor does a device that was read before take a state of then.
    account = await iam.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    stale = replace(before, user_id=None, state=MfaState())
    codes_of_then = tuple(pair(iam, seed).values())
    with pytest.raises(ConcurrentModification):
        async with iam.directory.change(ACCOUNT) as change:
            await enable_device(
                change,
                account,
                stale,
                user["UserId"],
                (codes_of_then[0], codes_of_then[1]),
                opener=iam.vault,
                now=iam.now,
            )


async def test_devices_of_no_one_and_of_others_are_told_apart(iam: Iam) -> None:
    await iam("CreateUser", UserName="ann")
    serial, _ = await make(iam, "free")
    assert await iam("GetMFADevice", SerialNumber=serial) == {"SerialNumber": serial}
    with pytest.raises(NoSuchEntity, match="invalid for user"):
        await iam("GetMFADevice", SerialNumber=serial, UserName="ann")
    with pytest.raises(NoSuchEntity, match="MFA Device with serial number 123456789"):
        await iam("GetMFADevice", SerialNumber="123456789")


async def test_a_key_alone_manages_no_devices_beside_the_first(iam: Iam) -> None:
    """As recorded: before the serial number is looked at, and for oneself only."""
    await iam("CreateUser", UserName="ann")
    await iam("CreateUser", UserName="bob")
    user = await iam.directory.named(USER, ACCOUNT, "ann")
    assert user is not None
    principal = Principal.user(ACCOUNT, user_id=user.user_id, path="/", name="ann")
    ann = iam.as_caller(Caller(principal=principal))
    first, second, third = [await make(iam, f"d{number}") for number in range(3)]
    await enable(ann, "ann", *first)
    for serial in (second[0], first[0], first[0].replace("d0", "none")):
        with pytest.raises(AccessDenied, match="authenticated with an MFA device"):
            await enable(ann, "ann", serial, second[1])
        with pytest.raises(AccessDenied, match="authenticated with an MFA device"):
            await ann("DeactivateMFADevice", UserName="ann", SerialNumber=serial)
    await enable(ann, "bob", *third)
    ann.tick(seconds=90)
    codes = pair(ann, first[1])
    await ann("ResyncMFADevice", UserName="ann", SerialNumber=first[0], **codes)
    with_mfa = ann.as_caller(
        Caller(
            principal=principal,
            session=Session(
                access_key_id="ASIA",
                account=ACCOUNT,
                kind=SessionKind.SESSION_TOKEN,
                principal_id=user.user_id,
                name="ann",
                issued_at_ms=0,
                expires_at=1,
                mfa_at=1,
            ),
        )
    )
    await enable(with_mfa, "ann", *second)
    for serial, _ in (first, second):
        await with_mfa("DeactivateMFADevice", UserName="ann", SerialNumber=serial)
    ann.tick(seconds=90)
    await enable(ann, "ann", *first)
