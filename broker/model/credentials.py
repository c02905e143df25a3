"""Credentials of users other than access keys and passwords.

``user_id`` is a user's unique id, or the account's number for its root user.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct, field

from broker.model.account import AccountId
from broker.model.arn import iam_arn
from broker.model.entities import Tags
from broker.model.secret import Confidential, Hidden

MFA_SEAL = ("mfa-device", "seed")
"""Purpose and column that a device's seed is sealed for; the entity is its serial."""

SERVICE_PASSWORD_SEAL = ("service-specific-credential", "password")
"""Purpose and column of a service password; the entity is the credential's id."""

SERVER_KEY_SEAL = ("server-certificate", "private-key")
"""Purpose and column of a private key; the entity is the certificate's id."""


class MfaState(Struct, frozen=True):
    """The verification state of a device.

    ``last_step`` is the time step of the last accepted code (none at or before it is
    accepted again), ``drift`` how many steps the device's clock is ahead, ``failures``
    the wrong codes since the last right one. No code counts before ``locked_until``.
    """

    last_step: int = -1
    drift: int = 0
    failures: int = 0
    locked_until: datetime | None = None


class MfaDevice(Confidential, frozen=True, kw_only=True):
    """A TOTP device (RFC 6238, SHA-1, six digits), virtual or a hardware token.

    ``serial`` is the ARN of a virtual device and the number printed on a token.
    ``user_id`` and ``enabled_at`` are None while it is unassigned.
    """

    account: AccountId
    serial: str
    virtual: bool
    sealed_seed: Hidden[bytes]
    created_at: datetime
    period_seconds: int = 30
    user_id: str | None = None
    enabled_at: datetime | None = None
    tags: Tags = field(default_factory=dict)
    state: MfaState = MfaState()

    @property
    def arn(self) -> str:
        """``arn:aws:iam::{account}:mfa{path}{name}``."""
        return (
            self.serial if self.virtual else iam_arn(self.account, f"mfa/{self.serial}")
        )


class Passkey(Struct, frozen=True, kw_only=True):
    """A FIDO passkey or security key, in use from the moment that it is registered.

    ``credential_id`` and ``public_key`` (a COSE key) are the authenticator's.
    ``sign_count`` is the highest that it has shown, 0 for one that does not count;
    ``transports`` are the ways to reach it that the browser named. ``synced`` says
    that it is copied to other devices.
    """

    account: AccountId
    serial: str
    user_id: str
    credential_id: bytes
    public_key: bytes
    enabled_at: datetime
    sign_count: int = 0
    transports: tuple[str, ...] = ()
    aaguid: str = ""
    synced: bool = False
    last_used_at: datetime | None = None

    @property
    def name(self) -> str:
        """The name that its owner gave it; see ``serial`` in `broker.kinds`."""
        return self.serial.rpartition("/")[2].rpartition("-")[0]


class CredentialKind(StrEnum):
    """Credentials that the broker only stores, for other services to look up."""

    SIGNING_CERTIFICATE = "signing certificate"
    SSH_PUBLIC_KEY = "SSH public key"
    SERVICE_SPECIFIC = "service-specific credential"


class CredentialStatus(StrEnum):
    """The states that such a credential is put into."""

    ACTIVE = "Active"
    INACTIVE = "Inactive"


class UserCredential(Confidential, frozen=True, kw_only=True):
    """A signing certificate, an SSH public key or a service-specific credential.

    ``body`` is the certificate or key as it was uploaded, ``fingerprint`` identifies
    it, ``sealed`` a service password. ``details`` holds the service's name and the
    service's user name.
    """

    account: AccountId
    credential_id: str
    kind: CredentialKind
    user_id: str
    status: CredentialStatus
    created_at: datetime
    fingerprint: str = ""
    body: str = ""
    sealed: Hidden[bytes] = b""
    expires_at: datetime | None = None
    details: Mapping[str, str] = field(default_factory=dict)


class ServerCertificate(Confidential, frozen=True, kw_only=True):
    """A TLS certificate with its chain and its sealed private key."""

    account: AccountId
    certificate_id: str
    name: str
    path: str
    body: str
    chain: str | None
    sealed_key: Hidden[bytes]
    uploaded_at: datetime
    expires_at: datetime
    tags: Tags = field(default_factory=dict)

    @property
    def arn(self) -> str:
        """``arn:aws:iam::{account}:server-certificate{path}{name}``."""
        return iam_arn(self.account, f"server-certificate{self.path}{self.name}")
