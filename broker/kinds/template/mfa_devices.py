"""``VirtualMFADevices``: the properties of ``AWS::IAM::VirtualMFADevice``.

A device's seed is a secret that is shown once, so devices are created and assigned by
API calls. A template can change their tags and delete them.
"""

from collections.abc import Sequence

from broker.kinds.mfa_devices import MFA_DEVICES
from broker.kinds.template.owned import as_present
from broker.kinds.template.properties import Properties
from broker.kinds.template.section import Members, Section
from broker.model.credentials import MfaDevice
from broker.stores.directory.kinds import USER
from broker.stores.directory.port import DirectoryReader

ROOT = "<root_account>"
"""How the account's root user is named, as in the credential report."""


async def _further(
    page: Sequence[MfaDevice], directory: DirectoryReader
) -> list[Members]:
    return [{**_named(one), "Users": await _holders(directory, one)} for one in page]


def _named(device: MfaDevice) -> Members:
    path, _, name = f"/{device.serial.partition(':mfa/')[2]}".rpartition("/")
    return {"VirtualMfaDeviceName": name, "Path": f"{path}/"}


async def _holders(directory: DirectoryReader, device: MfaDevice) -> tuple[str, ...]:
    if device.user_id is None:
        return ()
    if device.user_id == device.account:
        return (ROOT,)
    user = await directory.find(USER, device.account, device.user_id)
    return () if user is None else (user.name,)


def _require_calls(
    before: Members | None, after: Members
) -> tuple[Members | None, tuple[str, ...]]:
    device = f"virtual MFA device {after['VirtualMfaDeviceName']}"
    if before is None:
        return None, (f"{device}: call CreateVirtualMFADevice and EnableMFADevice",)
    # The user's name has no case.
    users = tuple(map(as_present(before["Users"]), after["Users"]))
    kept = {**after, "Users": before["Users"]}
    if users == before["Users"]:
        return kept, ()
    call = "EnableMFADevice" if users else "DeactivateMFADevice"
    whose = f" by {users[0]}" if users else ""
    return kept, (f"{device}: call {call}{whose}",)


VIRTUAL_MFA_DEVICES = Section(
    section="VirtualMFADevices",
    noun="virtual MFA device",
    of=MFA_DEVICES,
    name="VirtualMfaDeviceName",
    reads={
        "VirtualMfaDeviceName": Properties.text,
        "Path": Properties.path,
        "Users": lambda properties, name: properties.one_at_most(name, "user"),
        "Tags": Properties.tags,
    },
    further=_further,
    where={"is_virtual": 1},
    keyed_by=lambda one: "{Path}{VirtualMfaDeviceName}".format(**one).lower(),
    require_calls=_require_calls,
)
