"""The user's own MFA devices: authenticator apps, hardware tokens and passkeys."""

import base64
import re

from starlette.responses import Response

from broker.actions.signin.passkeys import NO_PARTY
from broker.console.pages.own_credentials import (
    HOME,
    OwnCredentials,
    device_kind,
    routes,
)
from broker.console.visit import BOTH, GET, POST, go
from broker.errors import AccessDenied, EntityAlreadyExists, ValidationError
from broker.kinds.passkeys import is_passkey
from broker.model.arn import iam_arn
from broker.protocols.webauthn import find_relying_party

NEW = "/console/security/mfa/new"
APP = "/console/security/mfa/app"
TOKEN = "/console/security/mfa/token"  # noqa: S105  # an address
RESYNC = "/console/security/mfa/resync"
REMOVE = "/console/security/mfa/remove"
PASSKEY = "/console/security/mfa/passkey"

_SEED = re.compile(r"[A-Z2-7]{16,128}")
_PICTURE = re.compile(r"[A-Za-z0-9+/]{1,8000}={0,2}")
_ASSIGNED = "The MFA device was assigned. You will be asked for it when you sign in."
_UNASSIGNED = (
    "The MFA device was unassigned. It still exists, because you are not"
    " allowed to delete it (iam:DeleteVirtualMFADevice)."
)
_PICTURES = "img-src 'self'"
_NO_SCRIPT = "The browser sent no passkey response. Passkeys need JavaScript."


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
                serial = iam_arn(visit.who.session.account, f"mfa/{name}")
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
        return own.visit.done(_ASSIGNED, HOME)
    return await _show_seed(
        own,
        serial=serial[:256],
        seed=visit.text("secret"),
        picture=visit.text("secret_picture"),
    )


async def token(own: OwnCredentials) -> Response:
    """``/console/security/mfa/token``: a hardware token, by serial number and codes."""
    return await _with_codes(own, "mfa_token.html", "EnableMFADevice", _ASSIGNED)


async def resync(own: OwnCredentials) -> Response:
    """``/console/security/mfa/resync``: resync a device with two codes."""
    return await _with_codes(
        own, "mfa_resync.html", "ResyncMFADevice", "The device was resynced."
    )


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
            return visit.done(_UNASSIGNED, HOME)
    return visit.done("The MFA device was removed.", HOME)


async def _with_codes(
    own: OwnCredentials, template: str, action: str, done: str
) -> Response:
    serial = own.visit.text("serial")
    if own.visit.posted:
        with own.visit.attempt():
            await _prove(own, action, serial)
            return own.visit.done(done, HOME)
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


async def passkey(own: OwnCredentials) -> Response:
    """``/console/security/mfa/passkey``: GET starts a registration, POST ends it."""
    visit = own.visit
    if find_relying_party(visit.frame.context.deps.public_origin) is None:
        return await own.show("mfa_no_passkeys.html", problem=NO_PARTY)
    name = visit.text("name")
    if visit.posted:
        with visit.attempt():
            credential = visit.text("credential")
            if not credential:
                raise ValidationError(_NO_SCRIPT)
            await visit.perform(
                "signin",
                "RegisterPasskey",
                DeviceName=name,
                Ceremony=visit.text("ceremony"),
                Credential=credential,
            )
            return own.visit.done(_ASSIGNED, HOME)
    # A challenge can be answered once, so every page gets a new one.
    created = await visit.perform("signin", "CreatePasskeyOptions")
    return await own.show(
        "mfa_passkey.html",
        name=name[:64],
        options=created["Options"],
        ceremony=created["Ceremony"],
    )


PAGES = routes(
    (
        (NEW, GET, choose),
        (APP, BOTH, app),
        (f"{APP}/enable", POST, enable_app),
        (TOKEN, BOTH, token),
        (RESYNC, BOTH, resync),
        (REMOVE, BOTH, remove),
        (PASSKEY, BOTH, passkey),
    )
)
