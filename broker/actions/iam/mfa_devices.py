"""MFA devices: ``CreateVirtualMFADevice``, ``EnableMFADevice`` and what follows."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote

from msgspec.structs import replace

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import ActionTarget, change, read
from broker.actions.iam.holders import get_holder, read_holder
from broker.actions.iam.paging import listed, page_request, truncation
from broker.actions.iam.plain import Plain
from broker.actions.iam.targets import require_shown_factor
from broker.errors import InvalidAuthenticationCode, ServiceUnavailable
from broker.kinds import mfa_devices
from broker.kinds.accounts import require_account
from broker.kinds.passkeys import is_passkey, require_passkey_of
from broker.kinds.tags import KeyCase, given_tags
from broker.model.account import Account
from broker.model.arn import iam_arn
from broker.model.credentials import MfaDevice, Passkey
from broker.model.request import Params
from broker.model.sealing import SealerOpener
from broker.proofs.attempts import Attempts, limit_of_factors
from broker.sessions.vault import SealBrokenError
from broker.stores.directory.identities import list_virtual_mfa_devices
from broker.stores.directory.kinds import MFA_DEVICE, PASSKEY

_PIXELS = 4
_ASSIGNED = {"Assigned": True, "Unassigned": False, "Any": None}


def mfa_device_actions(sealer: SealerOpener, attempts: Attempts) -> tuple[Action, ...]:
    """The actions on MFA devices; ``sealer`` keeps their seeds.

    Wrong codes count with those of every other door.
    """

    async def count_guess(params: Params, call: Call) -> None:
        # Count before the transaction, since the cache may share the database's one
        # writer. Other errors come first; the transaction then reports wrong codes.
        serial = params["SerialNumber"]
        device = await call.directory.named(MFA_DEVICE, call.account, serial)
        named = await get_holder(params, call, call.directory)
        if device is None or device.user_id not in {None, named.holder_id}:
            # The call will be refused; its codes must not lock out the device's owner.
            return
        holder = device.user_id or call.caller.principal.unique_id or ""
        limits = [limit_of_factors(call.account, holder)]
        with suppress(InvalidAuthenticationCode), _seeds():
            async with attempts.one(limits, wrong=InvalidAuthenticationCode):
                mfa_devices.require_codes(
                    device, _codes(params), opener=sealer, now=call.now
                )

    async def create(params: Params, call: Call) -> dict[str, Any]:
        account = await require_account(call.change, call.account)
        name = params["VirtualMFADeviceName"]
        tags = given_tags(params.get("Tags", ()), KeyCase.SENSITIVE)
        device, seed = await mfa_devices.create_virtual_device(
            call.change,
            account,
            name=name,
            path=params.get("Path", "/"),
            tags=tags,
            sealer=sealer,
            now=call.now,
        )
        view: dict[str, Any] = {
            "SerialNumber": device.serial,
            "Base32StringSeed": seed.encode("ascii"),
            "QRCodePNG": _qr_png(_key_uri(account, name, seed)),
        }
        if tags:
            view["Tags"] = views.tag_list(tags)
        return {"VirtualMFADevice": view}

    async def enable(params: Params, call: Call) -> None:
        holder = await get_holder(params, call, call.change)
        await require_shown_factor(holder.holder_id, call)
        device = await _require(params, call)
        with _seeds():
            await mfa_devices.enable_device(
                call.change,
                await require_account(call.change, call.account),
                device,
                holder.holder_id,
                _codes(params),
                opener=sealer,
                now=call.now,
            )

    async def resync(params: Params, call: Call) -> None:
        device = await _require_own(params, call)
        with _seeds():
            await mfa_devices.resync_device(
                call.change, device, _codes(params), opener=sealer, now=call.now
            )

    return (
        change("CreateVirtualMFADevice", create, on.new("mfa", "VirtualMFADeviceName")),
        change("EnableMFADevice", enable, on.user, prepare=count_guess),
        change("ResyncMFADevice", resync, on.user, prepare=count_guess),
        change("DeactivateMFADevice", _deactivate, on.user_or_self),
        change("DeleteVirtualMFADevice", _delete, mfa_device),
        read("GetMFADevice", _get, _user_or_holder),
        read("ListMFADevices", _list_devices, on.user_or_self),
        read("ListVirtualMFADevices", _list_virtual, on.account),
        *Plain(mfa_devices.MFA_DEVICES, target=mfa_device).operations(
            "TagMFADevice", "UntagMFADevice", "ListMFADeviceTags"
        ),
    )


async def mfa_device(params: Params, call: Call) -> ActionTarget:
    """The device ``SerialNumber``."""
    serial = params["SerialNumber"]
    device = await call.directory.named(MFA_DEVICE, call.account, serial)
    if device is not None:
        return ActionTarget(device.arn, on.resource_tags(device.tags))
    arn = serial if serial.startswith("arn:") else f"mfa/{serial}"
    return ActionTarget(arn if arn == serial else iam_arn(call.account, arn))


async def _user_or_holder(params: Params, call: Call) -> ActionTarget:
    """The user named in the request, or the one the device belongs to."""
    if "UserName" in params:
        return await on.user(params, call)
    serial = params["SerialNumber"]
    device: MfaDevice | Passkey | None = await call.directory.named(
        MFA_DEVICE, call.account, serial
    ) or await call.directory.named(PASSKEY, call.account, serial)
    if device is not None and device.user_id is not None:
        holder = await read_holder(call.directory, call.account, device.user_id)
        if holder.user is not None:
            target = await on.user({"UserName": holder.user.name}, call)
            return replace(target, shown=serial)
    return await on.user_or_self(params, call)


async def _require(params: Params, call: Call) -> MfaDevice:
    return await mfa_devices.require_mfa_device(
        call.directory, call.account, params["SerialNumber"]
    )


async def _require_own(params: Params, call: Call) -> MfaDevice:
    holder = await get_holder(params, call, call.directory)
    return await mfa_devices.require_mfa_device_of(
        call.directory, call.account, params["SerialNumber"], holder.holder_id
    )


async def _require_passkey(params: Params, call: Call) -> Passkey:
    serial = params["SerialNumber"]
    passkey = await call.directory.named(PASSKEY, call.account, serial)
    if "UserName" in params or passkey is None:
        holder = await get_holder(params, call, call.directory)
        return await require_passkey_of(
            call.directory, call.account, serial, holder.holder_id
        )
    return passkey


async def _deactivate(params: Params, call: Call) -> None:
    holder = await get_holder(params, call, call.change)
    await require_shown_factor(holder.holder_id, call)
    if is_passkey(params["SerialNumber"]):
        await call.change.remove(
            PASSKEY,
            await require_passkey_of(
                call.change, call.account, params["SerialNumber"], holder.holder_id
            ),
        )
        return
    await mfa_devices.deactivate_device(call.change, await _require_own(params, call))


async def _delete(params: Params, call: Call) -> None:
    await mfa_devices.delete_virtual_device(call.change, await _require(params, call))


async def _get(params: Params, call: Call) -> dict[str, Any]:
    device: MfaDevice | Passkey
    if is_passkey(params["SerialNumber"]):
        device = await _require_passkey(params, call)
    elif "UserName" in params:
        device = await _require_own(params, call)
    else:
        device = await _require(params, call)
    view: dict[str, Any] = {"SerialNumber": device.serial}
    if device.user_id is not None:
        holder = await read_holder(call.directory, call.account, device.user_id)
        view |= {**holder.named, "EnableDate": device.enabled_at}
    return view


async def _list_devices(params: Params, call: Call) -> dict[str, Any]:
    holder = await get_holder(params, call, call.directory)
    devices: list[MfaDevice | Passkey] = [
        *await call.directory.all_of(
            MFA_DEVICE, call.account, user_id=holder.holder_id
        ),
        *await call.directory.all_of(PASSKEY, call.account, user_id=holder.holder_id),
    ]
    # Root's devices are listed with the account's number, which names it everywhere.
    named = holder.named or {"UserName": call.account}
    return listed(
        "MFADevices",
        devices,
        lambda device: device.serial.lower(),
        params,
        lambda d: {**named, "SerialNumber": d.serial, "EnableDate": d.enabled_at},
    )


async def _list_virtual(params: Params, call: Call) -> dict[str, Any]:
    page = await list_virtual_mfa_devices(
        call.directory,
        call.account,
        page_request(params),
        assigned=_ASSIGNED[params.get("AssignmentStatus", "Any")],
    )
    return {
        "VirtualMFADevices": [await _listed(device, call) for device in page.items],
        **truncation(page),
    }


async def _listed(device: MfaDevice, call: Call) -> dict[str, Any]:
    view: dict[str, Any] = {"SerialNumber": device.serial}
    if device.user_id is None:
        return view
    view["EnableDate"] = device.enabled_at
    holder = await read_holder(call.directory, call.account, device.user_id)
    if holder.user is not None:
        view["User"] = views.listed_user(holder.user)
        return view
    account = await require_account(call.directory, call.account)
    view["User"] = {
        "UserId": call.account,
        "Arn": iam_arn(call.account, "root"),
        "CreateDate": account.created_at,
    }
    return view


def _codes(params: Params) -> tuple[str, str]:
    return params["AuthenticationCode1"], params["AuthenticationCode2"]


def _key_uri(account: Account, name: str, seed: str) -> str:
    """What the QR code says. Source: API Reference, ``VirtualMFADevice``."""
    label = quote(f"{name}@{account.alias or account.account_id}", safe="@")
    return f"otpauth://totp/{label}?secret={seed}"


def _qr_png(text: str) -> bytes:
    import segno  # noqa: PLC0415  # a virtual device is made rarely

    image = io.BytesIO()
    segno.make_qr(text, error="m").save(image, kind="png", scale=_PIXELS)
    return image.getvalue()


@contextmanager
def _seeds() -> Iterator[None]:
    """A seed that does not open is the operator's trouble, not the caller's."""
    try:
        yield
    except SealBrokenError as error:
        raise ServiceUnavailable(detail=str(error)) from error
