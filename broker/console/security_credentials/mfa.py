"""The user's own MFA devices: authenticator apps and hardware tokens."""

import base64
import re

from starlette.responses import Response

from broker.console.security_credentials.overview import device_kind
from broker.console.security_credentials.own import HOME, OwnCredentials
from broker.console.visit import Visit, go
from broker.errors import AccessDenied, EntityAlreadyExists
from broker.kinds.passkeys import is_passkey
from broker.model.arn import iam_arn
from broker.protocols.webauthn import find_relying_party

NEW = "/console/security/mfa/new"
APP = "/console/security/mfa/app"
TOKEN = "/console/security/mfa/token"  # noqa: S105  # an address
RESYNC = "/console/security/mfa/resync"
REMOVE = "/console/security/mfa/remove"

_SEED = re.compile(r"[A-Z2-7]{16,128}")
_PICTURE = re.compile(r"[A-Za-z0-9+/]{1,8000}={0,2}")
_PICTURES = "img-src 'self'"


async def choose(own: OwnCredentials) -> Response:
    """``GET /console/security/mfa/new``: choose the kind of device."""
    origin = own.visit.frame.context.deps.public_origin
    return await own.show(
        "mfa_new.html", passkeys=find_relying_party(origin) is not None
    )


async def app(own: OwnCredentials) -> Response:
    """``/console/security/mfa/app``: GET asks for a name, POST shows the seed."""
    visit = own.visit
    name = visit.text("name") or own.user_name or ""
    replace = visit.posted and visit.is_checked("replace")
    if visit.posted:
        with visit.attempt():
            if replace:
                serial = _serial(visit, name)
                await visit.iam("DeleteVirtualMFADevice", SerialNumber=serial)
            made = await visit.iam("CreateVirtualMFADevice", VirtualMFADeviceName=name)
            device = made["VirtualMFADevice"]
            return await _show_seed(
                own,
                serial=device["SerialNumber"],
                seed=device["Base32StringSeed"].decode("ascii"),
                picture=base64.b64encode(device["QRCodePNG"]).decode("ascii"),
            )
    return await own.show(
        "mfa_app.html",
        name=name[:128],
        taken=replace or isinstance(visit.refusal, EntityAlreadyExists),
    )


async def enable_app(own: OwnCredentials) -> Response:
    """``POST /console/security/mfa/app/enable``: two codes, or cancel."""
    visit = own.visit
    serial = visit.text("serial")
    if visit.is_checked("cancel"):
        await visit.iam("DeleteVirtualMFADevice", SerialNumber=serial)
        return go(HOME)
    with visit.attempt():
        await _prove(own, "EnableMFADevice", serial)
    if visit.refusal is None:
        return go(HOME, done="device")
    return await _show_seed(
        own,
        serial=serial[:256],
        seed=visit.text("secret"),
        picture=visit.text("secret_picture"),
    )


async def token(own: OwnCredentials) -> Response:
    """``/console/security/mfa/token``: a hardware token, by serial number and codes."""
    return await _with_codes(own, "mfa_token.html", "EnableMFADevice", "device")


async def resync(own: OwnCredentials) -> Response:
    """``/console/security/mfa/resync``: resync a device with two codes."""
    return await _with_codes(own, "mfa_resync.html", "ResyncMFADevice", "resynced")


async def remove(own: OwnCredentials) -> Response:
    """``/console/security/mfa/remove``: GET asks for confirmation, POST removes."""
    visit = own.visit
    serial = visit.text("serial")
    if not visit.posted:
        return await own.show(
            "mfa_remove.html", serial=serial[:256], kind=device_kind(serial)
        )
    await own.iam("DeactivateMFADevice", SerialNumber=serial)
    if serial.startswith("arn:") and not is_passkey(serial):
        try:
            await visit.iam("DeleteVirtualMFADevice", SerialNumber=serial)
        except AccessDenied:
            return go(HOME, done="device-kept")
    return go(HOME, done="device-gone")


async def _with_codes(
    own: OwnCredentials, template: str, action: str, done: str
) -> Response:
    serial = own.visit.text("serial")
    if own.visit.posted:
        with own.visit.attempt():
            await _prove(own, action, serial)
            return go(HOME, done=done)
    return await own.show(template, serial=serial[:256])


async def _prove(own: OwnCredentials, action: str, serial: str) -> None:
    # Apps show a code in two groups, and people type the space.
    first, second = (
        own.visit.text(f"{which}_code").replace(" ", "")
        for which in ("first", "second")
    )
    await own.iam(
        action,
        SerialNumber=serial,
        AuthenticationCode1=first,
        AuthenticationCode2=second,
    )


async def _show_seed(
    own: OwnCredentials, *, serial: str, seed: str, picture: str
) -> Response:
    """Show the seed; after a wrong code, again as the browser sent it back."""
    page = await own.show(
        "mfa_seed.html",
        serial=serial,
        seed=seed if _SEED.fullmatch(seed) else "",
        picture=picture if _PICTURE.fullmatch(picture) else "",
    )
    policy = page.headers["content-security-policy"]
    page.headers["content-security-policy"] = policy.replace(
        _PICTURES, f"{_PICTURES} data:"
    )
    return page


def _serial(visit: Visit, name: str) -> str:
    return iam_arn(visit.who.session.account, f"mfa/{name}")
