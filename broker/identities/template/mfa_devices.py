"""``VirtualMFADevices``: the properties of ``AWS::IAM::VirtualMFADevice``.

A device's seed is a secret that is shown once, so devices are created and assigned by
API calls. A template can change their tags and delete them.
"""

from dataclasses import replace

from broker.identities.mfa_devices import MFA_DEVICES
from broker.identities.tags import KeyCase
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import AccountReading
from broker.identities.template.owned import as_present
from broker.identities.template.properties import Properties
from broker.identities.template.section import Described, Members, Section
from broker.model.credentials import MfaDevice
from broker.stores.directory.kinds import USER
from broker.stores.directory.port import DirectoryReader

ROOT = "<root_account>"
"""How the account's root user is named, as in the credential report."""


def _parse(properties: Properties, _reading: AccountReading) -> Members:
    users = properties.texts("Users")
    if len(users) > 1:
        raise TemplateError(f"{properties.place}.Users", "must name one user at most")
    return {
        "VirtualMfaDeviceName": properties.text("VirtualMfaDeviceName"),
        "Path": properties.path_text(),
        "Users": users,
        "Tags": properties.tags(KeyCase.SENSITIVE),
    }


async def _shown(one: MfaDevice, directory: DirectoryReader) -> Members:
    path, _, name = f"/{one.serial.partition(':mfa/')[2]}".rpartition("/")
    return {
        "VirtualMfaDeviceName": name,
        "Path": f"{path}/",
        "Users": await _holders(directory, one),
        "Tags": dict(one.tags),
    }


async def _holders(directory: DirectoryReader, device: MfaDevice) -> tuple[str, ...]:
    if device.user_id is None:
        return ()
    if device.user_id == device.account:
        return (ROOT,)
    user = await directory.find(USER, device.account, device.user_id)
    return () if user is None else (user.name,)


def _require_calls(
    before: Described | None, after: Described
) -> tuple[Described | None, tuple[str, ...]]:
    device = f"virtual MFA device {after.properties['VirtualMfaDeviceName']}"
    if before is None:
        return None, (f"{device}: call CreateVirtualMFADevice and EnableMFADevice",)
    there = before.properties["Users"]
    # The user's name has no case.
    users = tuple(map(as_present(there), after.properties["Users"]))
    kept = replace(after, properties={**after.properties, "Users": there})
    if users == there:
        return kept, ()
    call = "EnableMFADevice" if users else "DeactivateMFADevice"
    whose = f" by {users[0]}" if users else ""
    return kept, (f"{device}: call {call}{whose}",)


VIRTUAL_MFA_DEVICES = Section(
    section="VirtualMFADevices",
    noun="virtual MFA device",
    of=MFA_DEVICES,
    name="VirtualMfaDeviceName",
    parse=_parse,
    shown=_shown,
    where={"is_virtual": 1},
).entity_kind(
    key=lambda spec: "{Path}{VirtualMfaDeviceName}".format(**spec.properties).lower(),
    create=None,
    require_calls=_require_calls,
)
