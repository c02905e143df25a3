"""Bounds how many providers' keys are tried for one posted response.

Anyone can post to the assertion consumer service, and each key tried means digesting
the whole document. The same keys are not tried twice for a document, and after enough
failures no further provider is tried.
"""

from typing import NoReturn

from broker.errors import BrokerError
from broker.proofs.saml import wire_error
from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.protocols.saml.metadata import IdpMetadata

FAILED_KEYS_MAX = 8
"""Honest responses fail this often with old keys of providers that were not updated."""


class SamlKeyBudget:
    """Remembers which keys failed for one response. ``issuer`` is unverified."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._failed: list[frozenset[tuple[str, bytes]]] = []
        self._spent = 0

    def begin(self, metadata: IdpMetadata) -> None:
        """Call before a provider's keys are tried.

        Raises:
            InvalidIdentityToken: these keys have failed before, or the budget is used
                up.
        """
        descriptor = metadata.find_descriptor(self._issuer)
        if self._issuer and descriptor is None:
            _refuse(
                SamlReason.ISSUER_UNKNOWN,
                f"Issuer is {self._issuer[:200]!r}, the metadata has "
                f"{[known.entity_id for known in metadata.descriptors]!r:.300}",
            )
        if self._spent >= FAILED_KEYS_MAX:
            _refuse(
                SamlReason.SIGNATURE_INVALID,
                f"{self._spent} keys of other providers have failed; no more are tried",
            )
        keys = _keys(metadata)
        if any(keys <= failed for failed in self._failed):
            _refuse(
                SamlReason.SIGNATURE_INVALID,
                "another provider with the same keys has failed",
            )

    def note(self, metadata: IdpMetadata, error: BrokerError) -> None:
        """Record that a provider's keys did not verify the response."""
        cause = error.__cause__
        if (
            isinstance(cause, SamlRejected)
            and cause.reason is SamlReason.SIGNATURE_INVALID
        ):
            self._failed.append(_keys(metadata))
            self._spent += max(len(d.signing_keys) for d in metadata.descriptors)


def _keys(metadata: IdpMetadata) -> frozenset[tuple[str, bytes]]:
    """The entity and key pairs; a subset cannot verify what the whole set did not."""
    return frozenset(
        (descriptor.entity_id, key.spki)
        for descriptor in metadata.descriptors
        for key in descriptor.signing_keys
    )


def _refuse(reason: SamlReason, detail: str) -> NoReturn:
    rejected = SamlRejected(reason, detail)
    raise wire_error(rejected) from rejected
