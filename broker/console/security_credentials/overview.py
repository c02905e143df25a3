"""The overview of the user's credentials, and the page of service credentials."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from broker.console.security_credentials.own import OwnCredentials
from broker.errors import AccessDenied
from broker.kinds.passkeys import is_passkey

_DONE = {
    "password": "Your password was changed.",
    "device": "The MFA device was assigned. You will be asked for it when you sign in.",
    "resynced": "The device was resynced.",
    "device-gone": "The MFA device was removed.",
    "device-kept": "The MFA device was unassigned. It still exists, because you are not"
    " allowed to delete it (iam:DeleteVirtualMFADevice).",
    "key-gone": "The access key was deleted.",
    "status": "The credential's status was changed.",
    "gone": "The credential was deleted.",
    "uploaded": "The upload succeeded.",
}


async def overview(own: OwnCredentials) -> Response:
    """``GET /console/security``: password, MFA devices, access keys, certificates."""
    devices = await own.list_own("ListMFADevices", "MFADevices")
    keys = await own.list_own("ListAccessKeys", "AccessKeyMetadata")
    return await own.show(
        "overview.html",
        done=_DONE.get(own.visit.text("done"), ""),
        with_mfa=own.visit.who.session.mfa_at is not None,
        devices=devices,
        kind_of=device_kind,
        keys=keys,
        uses=[await _last_use(own, key) for key in keys.rows],
        certificates=await own.list_own("ListSigningCertificates", "Certificates"),
    )


async def services(own: OwnCredentials) -> Response:
    """``GET /console/security/services``: SSH keys, service-specific credentials."""
    return await own.show(
        "services.html",
        done=_DONE.get(own.visit.text("done"), ""),
        ssh_keys=await own.list_own("ListSSHPublicKeys", "SSHPublicKeys"),
        credentials=await own.list_own(
            "ListServiceSpecificCredentials", "ServiceSpecificCredentials"
        ),
    )


def device_kind(serial: str) -> str:
    """The kind of an MFA device, for display."""
    if is_passkey(serial):
        return "Passkey or security key"
    return "Authenticator app" if serial.startswith("arn:") else "Hardware token"


async def _last_use(
    own: OwnCredentials, key: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """When a key was last used; None when the user may not see it."""
    try:
        found = await own.visit.iam(
            "GetAccessKeyLastUsed", AccessKeyId=key["AccessKeyId"]
        )
    except AccessDenied:
        return None
    used: Mapping[str, Any] = found["AccessKeyLastUsed"]
    return used
