"""``VirtualMFADevices``: the properties of ``AWS::IAM::VirtualMFADevice``.

A device's seed is a secret that is shown once, so devices are created and assigned by
API calls. A template can change their tags and delete them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from broker.identities.mfa_devices import require_mfa_device
from broker.identities.tags import KeyCase
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import (
    AccountReading,
    AccountWork,
    EntityKind,
    shown_tags,
)
from broker.identities.template.owned import as_present
from broker.identities.template.properties import Properties
from broker.model.account import AccountId
from broker.model.arn import iam_arn
from broker.model.credentials import MfaDevice
from broker.model.page import read_pages
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.port.users import UserReader

ROOT = "<root_account>"
"""How the account's root user is named, as in the credential report."""

_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """A virtual device, and the name of the user it is assigned to, if any."""

    name: str
    path: str
    user: str = field(metadata={"property": "Users"})
    tags: Mapping[str, str] = field(metadata={"property": "Tags"})


def _parse(properties: Properties, _reading: AccountReading) -> DeviceSpec:
    users = properties.texts("Users")
    if len(users) > 1:
        raise TemplateError(f"{properties.place}.Users", "must name one user at most")
    return DeviceSpec(
        name=properties.text("VirtualMfaDeviceName"),
        path=properties.path_text(),
        user="".join(users),
        tags=properties.tags(KeyCase.SENSITIVE),
    )


async def _load(directory: DirectoryReader, account: AccountId) -> list[DeviceSpec]:
    specs: list[DeviceSpec] = []
    listed = partial(directory.list_virtual_mfa_devices, account)
    async for devices in read_pages(listed, _PAGE):
        for device in devices:
            name = device.serial.partition(":mfa/")[2]
            path, _, last = f"/{name}".rpartition("/")
            specs.append(
                DeviceSpec(
                    name=last,
                    path=f"{path}/",
                    user=await _holder(directory, device),
                    tags=dict(device.tags),
                )
            )
    return specs


def _adopt(before: DeviceSpec, after: DeviceSpec) -> DeviceSpec:
    """The user's name has no case."""
    return replace(after, user=as_present((before.user,))(after.user))


async def _holder(directory: UserReader, device: MfaDevice) -> str:
    if device.user_id is None:
        return ""
    if device.user_id == device.account:
        return ROOT
    user = await directory.find_user_by_id(device.account, device.user_id)
    return "" if user is None else user.name


def _require_calls(
    before: DeviceSpec | None, after: DeviceSpec
) -> tuple[DeviceSpec | None, tuple[str, ...]]:
    device = f"virtual MFA device {after.name}"
    if before is None:
        return None, (f"{device}: call CreateVirtualMFADevice and EnableMFADevice",)
    if before.user.lower() == after.user.lower():
        return replace(after, user=before.user), ()
    call = "EnableMFADevice" if after.user else "DeactivateMFADevice"
    whose = f" by {after.user}" if after.user else ""
    return replace(after, user=before.user), (f"{device}: call {call}{whose}",)


async def _update(work: AccountWork, before: DeviceSpec, after: DeviceSpec) -> None:
    device = await _require(work, before)
    await work.change.update_mfa_device(replace(device, tags=after.tags))


async def _delete(work: AccountWork, spec: DeviceSpec) -> None:
    await work.change.delete_mfa_device(await _require(work, spec))


async def _require(work: AccountWork, spec: DeviceSpec) -> MfaDevice:
    account = work.account.account_id
    serial = iam_arn(account, f"mfa{spec.path}{spec.name}")
    return await require_mfa_device(work.change, account, serial)


def _show(spec: DeviceSpec) -> dict[str, object]:
    return {
        "VirtualMfaDeviceName": spec.name,
        "Path": spec.path,
        "Users": [spec.user] if spec.user else [],
        "Tags": shown_tags(spec.tags),
    }


VIRTUAL_MFA_DEVICES: EntityKind[DeviceSpec] = EntityKind(
    section="VirtualMFADevices",
    noun="virtual MFA device",
    key=lambda spec: f"{spec.path}{spec.name}".lower(),
    parse=_parse,
    load=_load,
    create=None,
    update=_update,
    adopt=_adopt,
    delete=_delete,
    show=_show,
    require_calls=_require_calls,
)
