"""Registering a passkey: the browser asks an authenticator and posts its response."""

from starlette.responses import Response

from broker.actions.signin.passkeys import NO_PARTY
from broker.console.security_credentials.own import HOME, OwnCredentials
from broker.console.visit import go
from broker.errors import ValidationError
from broker.protocols.webauthn import find_relying_party

PASSKEY = "/console/security/mfa/passkey"

_NO_SCRIPT = "The browser sent no passkey response. Passkeys need JavaScript."


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
            return go(HOME, done="device")
    # A challenge can be answered once, so every page gets a new one.
    created = await visit.perform("signin", "CreatePasskeyOptions")
    return await own.show(
        "mfa_passkey.html",
        name=name[:64],
        options=created["Options"],
        ceremony=created["Ceremony"],
    )
