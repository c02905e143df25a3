"""What there is: the page itself, and the one of other services' credentials."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from broker.console.security.own import OwnCredentials
from broker.errors import AccessDenied
from broker.identities.passkeys import is_passkey

_DONE = {
    "password": "Your password was changed.",
    "device": "The MFA device is yours. You will be asked for it when you sign in.",
    "resynced": "The device and the broker agree on the time again.",
    "device-gone": "The MFA device is not yours any more.",
    "device-kept": "The MFA device is not yours any more. It is still there, because you"
    " may not delete it (iam:DeleteVirtualMFADevice).",
    "key-gone": "The access key was deleted.",
    "status": "The credential's status was changed.",
    "gone": "The credential was deleted.",
    "uploaded": "It was uploaded.",
}


async def overview(own: OwnCredentials) -> Response:
    """``GET /console/security``: password, MFA devices, access keys, certificates."""
    devices = await own.listed("ListMFADevices", "MFADevices")
    keys = await own.listed("ListAccessKeys", "AccessKeyMetadata")
    return await own.show(
        "overview.html",
        done=_DONE.get(own.visit.text("done"), ""),
        with_mfa=own.visit.who.session.mfa_at is not None,
        devices=devices,
        kind_of=device_kind,
        keys=keys,
        uses=[await _last_use(own, key) for key in keys.rows],
        certificates=await own.listed("ListSigningCertificates", "Certificates"),
    )


async def services(own: OwnCredentials) -> Response:
    """``GET /console/security/services``: SSH keys, service-specific credentials."""
    return await own.show(
        "services.html",
        done=_DONE.get(own.visit.text("done"), ""),
        ssh_keys=await own.listed("ListSSHPublicKeys", "SSHPublicKeys"),
        credentials=await own.listed(
            "ListServiceSpecificCredentials", "ServiceSpecificCredentials"
        ),
    )


def device_kind(serial: str) -> str:
    """What an MFA device is, in words."""
    if is_passkey(serial):
        return "Passkey or security key"
    return "Authenticator app" if serial.startswith("arn:") else "Hardware token"


async def _last_use(
    own: OwnCredentials, key: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """When a key was used last; None when that may not be seen."""
    try:
        found = await own.visit.iam(
            "GetAccessKeyLastUsed", AccessKeyId=key["AccessKeyId"]
        )
    except AccessDenied:
        return None
    used: Mapping[str, Any] = found["AccessKeyLastUsed"]
    return used
