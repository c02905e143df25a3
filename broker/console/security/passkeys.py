"""Registering a passkey: the browser asks an authenticator and posts its response."""

from starlette.responses import Response

from broker.actions.signin.passkeys import NO_PARTY
from broker.console.security.own import HOME, OwnCredentials
from broker.console.visit import go
from broker.errors import AccessDenied, BrokerError, ServiceUnavailable
from broker.protocols.webauthn import find_relying_party

PASSKEY = "/console/security/mfa/passkey"

_NO_SCRIPT = "The browser sent no passkey response. Passkeys need JavaScript."


async def passkey(own: OwnCredentials) -> Response:
    """``/console/security/mfa/passkey``: GET starts a registration, POST ends it."""
    visit = own.visit
    if find_relying_party(visit.frame.context.deps.public_origin) is None:
        return await own.show("mfa_no_passkeys.html", NO_PARTY)
    problem, status = "", 200
    name = visit.text("name")
    if visit.posted:
        credential = visit.text("credential")
        try:
            if credential:
                await visit.perform(
                    "signin",
                    "RegisterPasskey",
                    DeviceName=name,
                    Ceremony=visit.text("ceremony"),
                    Credential=credential,
                )
                return go(HOME, done="device")
        except (AccessDenied, ServiceUnavailable):
            raise
        except BrokerError as error:
            problem, status = error.words, error.status
        else:
            problem, status = _NO_SCRIPT, 400
    # A challenge can be answered once, so every page gets a new one.
    created = await visit.perform("signin", "CreatePasskeyOptions")
    return await own.show(
        "mfa_passkey.html",
        problem,
        status,
        name=name[:64],
        options=created["Options"],
        ceremony=created["Ceremony"],
    )
