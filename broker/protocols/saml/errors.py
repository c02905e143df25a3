"""Why a Response or a metadata document is refused."""

from enum import StrEnum


class SamlReason(StrEnum):
    """One member per check, in the order the checks are made."""

    TOO_LARGE = "too-large"
    NOT_BASE64 = "not-base64"
    NOT_UTF8 = "not-utf8"
    DOCTYPE = "doctype"
    MALFORMED_XML = "malformed-xml"
    TOO_COMPLEX = "too-complex"
    NAMESPACE = "namespace"
    SPLIT_TEXT = "split-text"
    IDS = "ids"
    NOT_A_RESPONSE = "not-a-response"
    STATUS_NOT_SUCCESS = "status-not-success"
    ASSERTION_COUNT = "assertion-count"
    ENCRYPTION_REQUIRED = "encryption-required"
    METADATA_UNUSABLE = "metadata-unusable"
    METADATA_EXPIRED = "metadata-expired"
    ISSUER_UNKNOWN = "issuer-unknown"
    UNSIGNED = "unsigned"
    SIGNATURE_STRUCTURE = "signature-structure"
    ALGORITHM_NOT_ALLOWED = "algorithm-not-allowed"
    SIGNATURE_INVALID = "signature-invalid"
    DECRYPTION_FAILED = "decryption-failed"
    STRUCTURE = "structure"
    ISSUER_MISMATCH = "issuer-mismatch"
    DESTINATION_WRONG = "destination-wrong"
    IN_RESPONSE_TO = "in-response-to"
    SUBJECT = "subject"
    CONFIRMATION = "confirmation"
    RECIPIENT_WRONG = "recipient-wrong"
    AUDIENCE_WRONG = "audience-wrong"
    CONDITION_UNKNOWN = "condition-unknown"
    TIMESTAMP = "timestamp"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRED = "expired"
    ISSUED_TOO_LONG_AGO = "issued-too-long-ago"
    LIFETIME_TOO_LONG = "lifetime-too-long"
    AUTHN_STATEMENT = "authn-statement"
    ATTRIBUTES = "attributes"


class SamlRejected(Exception):
    """The Response is not accepted.

    ``detail`` says in words what was found and what was expected. It is for the
    operator: an attacker must not learn which cryptographic step failed.
    """

    def __init__(self, reason: SamlReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class MetadataReason(StrEnum):
    """Why a metadata document cannot be registered."""

    UNPARSABLE = "unparsable"
    NO_IDENTITY_PROVIDER = "no-identity-provider"
    NO_SIGNING_KEY = "no-signing-key"
    CERTIFICATE_BROKEN = "certificate-broken"
    CERTIFICATE_EXPIRED = "certificate-expired"
    WEAK_KEY = "weak-key"
    KEY_TYPE = "key-type"
    ENDPOINT = "endpoint"
    NOT_VALID_NOW = "not-valid-now"
    OLDER = "older"
    TOO_MANY = "too-many"
    NOT_SIGNED = "not-signed"
    OTHER_ENTITY = "other-entity"


class MetadataRejected(Exception):
    """The metadata is refused.

    ``message`` may be shown to the administrator who registers it: AWS's recorded
    text where there is one, else a sentence that says what to change. ``detail``
    holds more for the audit record.
    """

    def __init__(
        self, reason: MetadataReason, message: str, *, detail: str = ""
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.detail = detail


class PrivateKeyRejected(Exception):
    """A decryption key cannot be used; ``message`` is AWS's text."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.message = "Invalid private key."
        self.detail = detail
