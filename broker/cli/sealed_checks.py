"""The check of ``broker doctor`` that every sealed secret's key is available."""

from collections.abc import Mapping

from broker.cli.findings import Finding, good, problem
from broker.compose.resealing import (
    ACCESS_KEY,
    CLIENT_SECRET,
    ISSUER_KEY,
    MFA_DEVICE,
    PASSWORD,
    SAML_PROVIDER,
    SealedValue,
    count_sealed,
    sealed_values,
)
from broker.compose.storage import Stores
from broker.errors import ServiceUnavailable
from broker.model.sealing import KeyKind
from broker.proofs.saml_request_key import find_sealed_request_key
from broker.runtime.clock import Clock
from broker.sessions.keyring import Keyring
from broker.sessions.vault import key_number

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
    keyring: Keyring, stores: Stores, clock: Clock
) -> list[Finding]:
    """Find secrets whose storage key is missing, and say how to replace them."""
    findings: list[Finding] = []
    counted = await count_sealed(stores.directory)
    count = sum(counted.values())
    missing = {number for number in counted if not _opens(keyring, number, clock)}
    if missing:
        # Two keys of a SAML provider sealed with the same key are equal: report one.
        broken = {
            value: _problem(str(value), value.number, _remedy(value))
            async for value in sealed_values(stores.directory)
            if value.number in missing
        }
        findings += broken.values()
    sealed = await find_sealed_request_key(stores.database, clock.now())
    if sealed is not None:
        count += 1
        number = key_number(sealed)
        if not _opens(keyring, number, clock):
            remedy = (
                f"broker keys revoke {number} replaces it; give the new metadata to"
                " identity providers that verify requests"
            )
            findings.append(_problem(_REQUEST_KEY, number, remedy))
    none = "none stored"
    return findings or [
        good("secrets", f"{count} stored, all can be opened" if count else none)
    ]


def _opens(keyring: Keyring, number: int, clock: Clock) -> bool:
    try:
        key = keyring.find_opening_key(KeyKind.STORAGE, number, clock.now())
    except ServiceUnavailable:
        return False
    return key is not None


def _problem(subject: str, number: int, remedy: str) -> Finding:
    return problem(
        subject, f"is sealed with storage key {number}, which is not available", remedy
    )


def _remedy(value: SealedValue) -> str:
    return _REMEDIES.get(value.kind, "create a new one and delete this one").format(
        account=value.account, entity=value.entity
    )
