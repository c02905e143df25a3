"""``VirtualMFADevices`` and ``ServerCertificates``: what has a secret, so a call makes it.

The properties are those of ``AWS::IAM::VirtualMFADevice`` and ``::ServerCertificate``. A
device's seed is shown once, and a private key comes with its certificate. A template can
change tags and a certificate's path, and delete.
"""

from collections.abc import Sequence

from broker.kinds.mfa_devices import MFA_DEVICES
from broker.kinds.user_credentials import SERVER_CERTIFICATES as CERTIFICATES
from broker.kinds.user_credentials import parse_certificate, parse_chain
from broker.kinds.yaml_text import TemplateError, at_place
from broker.model.credentials import MfaDevice, ServerCertificate
from broker.model.names import fold_name
from broker.stores.directory.kinds import USER
from broker.stores.directory.port import DirectoryReader
from broker.template.owned import as_present
from broker.template.properties import Properties
from broker.template.section import AccountReading, AccountWork, Members, Section

ROOT = "<root_account>"
"""How the account's root user is named, as in the credential report."""

_BODY, _CHAIN = "CertificateBody", "CertificateChain"


async def _further_mfa(
    page: Sequence[MfaDevice], directory: DirectoryReader
) -> list[Members]:
    return [
        {**_named(device), "Users": await _holders(directory, device)}
        for device in page
    ]


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


def _require_calls_mfa(
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
    further=_further_mfa,
    where={"is_virtual": 1},
    keyed_by=lambda entry: fold_name("{Path}{VirtualMfaDeviceName}".format(**entry)),
    require_calls=_require_calls_mfa,
)


def _settle_certificate(
    members: Members, properties: Properties, _reading: AccountReading
) -> Members:
    with at_place(properties.place):
        parse_certificate(members[_BODY])
        if members[_CHAIN]:
            parse_chain(members[_CHAIN])
    return members


def _require_calls_certificate(
    before: Members | None, after: Members
) -> tuple[Members | None, tuple[str, ...]]:
    if before is not None:
        return after, ()
    name = after["ServerCertificateName"]
    return None, (f"server certificate {name}: call UploadServerCertificate",)


async def _check_certificate(
    before: ServerCertificate, wanted: Members, _work: AccountWork
) -> None:
    there = (before.body.strip(), (before.chain or "").strip())
    if there != (wanted[_BODY], wanted[_CHAIN]):
        raise TemplateError(
            _BODY, "another certificate is uploaded by a call, with its private key"
        )


SERVER_CERTIFICATES = Section(
    section="ServerCertificates",
    of=CERTIFICATES,
    name="ServerCertificateName",
    reads={
        "ServerCertificateName": Properties.name,
        "Path": Properties.path,
        _BODY: lambda properties, name: properties.text(name).strip(),
        _CHAIN: lambda properties, name: (properties.optional_text(name) or "").strip(),
        "Tags": Properties.tags,
    },
    settle=_settle_certificate,
    view=lambda certificate: {
        **CERTIFICATES.view(certificate),
        _BODY: certificate.body.strip(),
        _CHAIN: (certificate.chain or "").strip(),
    },
    renamed={"ServerCertificateName": "NewServerCertificateName", "Path": "NewPath"},
    check=_check_certificate,
    require_calls=_require_calls_certificate,
)
