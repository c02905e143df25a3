"""The check of ``broker doctor`` that every sealed secret's key is available."""

from collections.abc import Mapping

from broker.cli.findings import Finding, good, problem
from broker.cli.resealing import (
    ACCESS_KEY,
    CLIENT_SECRET,
    ISSUER_KEY,
    PASSWORD,
    SAML_PROVIDER,
    SealedValue,
    sealed_values,
)
from broker.cli.resealing_credentials import MFA_DEVICE
from broker.clock import Clock
from broker.federation.saml_request_key import find_sealed_request_key
from broker.sessions.keyring import Keyring, load_keyring
from broker.sessions.keys import KeyKind, KeyringError
from broker.sessions.vault import key_number
from broker.settings import Settings
from broker.storage import Stores

_REQUEST_KEY = "the key that signs SAML requests"
_REMEDIES: Mapping[str, str] = {
    ACCESS_KEY: "iam create-access-key for a new one, delete-access-key for this one",
    CLIENT_SECRET: (
        "broker providers set arn:aws:iam::{account}:oidc-provider/{entity}"
        " ClientSecret=@FILE"
    ),
    ISSUER_KEY: "broker account rotate-issuer-keys {account}",
    MFA_DEVICE: "iam deactivate-mfa-device, delete-virtual-mfa-device; assign a new one",
    PASSWORD: "iam update-login-profile with a new password",
    SAML_PROVIDER: (
        "iam update-saml-provider --add-private-key with a new key and"
        " --remove-private-key for the old one; give the identity provider our new"
        " metadata"
    ),
}


async def check_sealed_values(
    settings: Settings, stores: Stores, clock: Clock
) -> list[Finding]:
    """Find secrets whose storage key is missing, and say how to replace them."""
    try:
        keyring = load_keyring(settings.keyring, clock, settings.skew)
    except KeyringError:
        return []  # check_keyring reports it
    found: list[Finding] = []
    count = 0
    # Two keys of a SAML provider sealed with the same key are equal: report one.
    seen: set[SealedValue] = set()
    async for value in sealed_values(stores.directory):
        count += 1
        if value not in seen and not _opens(keyring, value.number, clock):
            seen.add(value)
            found.append(_problem(str(value), value.number, _remedy(value)))
    sealed = await find_sealed_request_key(stores.database, clock.now())
    if sealed is not None:
        count += 1
        number = key_number(sealed)
        if not _opens(keyring, number, clock):
            remedy = (
                "broker keys reseal replaces it; give the new metadata to identity"
                " providers that verify requests"
            )
            found.append(_problem(_REQUEST_KEY, number, remedy))
    return found or [good("secrets", f"the keys of all {count} are available")]


def _opens(keyring: Keyring, number: int, clock: Clock) -> bool:
    return keyring.find_opening_key(KeyKind.STORAGE, number, clock.now()) is not None


def _problem(subject: str, number: int, remedy: str) -> Finding:
    return problem(
        subject, f"is sealed with storage key {number}, which is not available", remedy
    )


def _remedy(value: SealedValue) -> str:
    return _REMEDIES.get(value.kind, "create a new one and delete this one").format(
        account=value.account, entity=value.entity
    )
