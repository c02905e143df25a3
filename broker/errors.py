"""Every error a client can get, as classes: code, HTTP status, whose fault.

    BrokerError
    ├── request      ValidationError, MalformedInput, InvalidAction, MalformedQueryString,
    │                InvalidParameterValue, UnsupportedOperation,
    │                InvalidAuthorizationMessage, RequestEntityTooLarge
    ├── ProofError   MissingAuthenticationToken, IncompleteSignature,
    │                SignatureDoesNotMatch, InvalidClientTokenId, ExpiredToken,
    │                InvalidIdentityToken, ExpiredFederationToken, IdpRejectedClaim,
    │                IdpCommunicationError, ExpiredTradeInToken,
    │                InvalidSubjectCredentials
    ├── permission   AccessDenied, RegionDisabled, SessionDurationEscalation,
    │                InsufficientSessionLifetime, OutboundFederationDisabled,
    │                JwtPayloadSizeExceeded
    ├── policies     MalformedPolicyDocument, PackedPolicyTooLarge
    ├── entities     NoSuchEntity, EntityAlreadyExists, DeleteConflict, LimitExceeded,
    │                InvalidInput, UnmodifiableEntity, ConcurrentModification,
    │                FeatureEnabled, FeatureDisabled, PasswordPolicyViolation,
    │                InvalidUserType, ReportNotPresent, ReportExpired,
    │                OrganizationNotFound, InvalidAuthenticationCode, InvalidCertificate,
    │                MalformedCertificate, DuplicateCertificate,
    │                KeyPairMismatch, InvalidPublicKey, DuplicateSshPublicKey,
    │                UnrecognizedPublicKeyEncoding
    └── service      Throttling, ServiceUnavailable, UpstreamRefused,
                     UpstreamUnavailable, UpstreamOutcomeUnknown, InternalFailure

``message`` goes on the wire and gives an attacker nothing; it is AWS's sentence alone
where AWS's is known, because clients compare it. ``advice`` is what we have to say
beside it: an element of its own on the wire, and more words on pages, in templates'
errors and in the audit record. ``detail`` goes to the audit record only and gives the
operator everything. None is made from the other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import ClassVar


class Fault(StrEnum):
    """Whose fault an error is: the ``Type`` element of the error envelope."""

    SENDER = "Sender"
    RECEIVER = "Receiver"


class OperatorError(Exception):
    """An error that the operator can correct; the text says how and shows no secret."""

    @property
    def lines(self) -> list[str]:
        """The text as it is printed, a line each."""
        return [str(self)]


class BrokerError(Exception):
    """An error with a wire form.

    ``message`` is None for the few answers that AWS sends without one.
    """

    code: ClassVar[str]
    status: ClassVar[int] = 400
    fault: ClassVar[Fault] = Fault.SENDER
    default_message: ClassVar[str | None] = None

    def __init__(
        self, message: str | None = None, *, detail: str = "", advice: str = ""
    ) -> None:
        if message is None:
            message = self.default_message
        super().__init__(with_advice(message or self.code, advice))
        self.message = message
        self.detail = detail
        self.advice = advice
        self.member = ""
        """The member of the request that it is about, where the rules say so."""

    @property
    def words(self) -> str:
        """What people read: the message, or the code, and the advice."""
        return with_advice(self.message or self.code, self.advice)


@contextmanager
def about(member: str) -> Iterator[None]:
    """What is refused inside is about a member of the request."""
    try:
        yield
    except BrokerError as error:
        error.member = error.member or member
        raise


def with_advice(sentence: str, advice: str) -> str:
    """A sentence, not all of which end with a full stop, and the advice behind it."""
    if not advice:
        return sentence
    return f"{sentence} {advice}" if sentence.endswith(".") else f"{sentence}. {advice}"


class ValidationError(BrokerError):
    """A parameter does not satisfy its constraint."""

    code = "ValidationError"


class MalformedInput(BrokerError):
    """A parameter cannot be parsed as its type; often sent without a message."""

    code = "MalformedInput"


class InvalidAction(BrokerError):
    """The action or version does not exist."""

    code = "InvalidAction"


class MalformedQueryString(BrokerError):
    """The query or form cannot be parsed."""

    code = "MalformedQueryString"
    status = 404


class InvalidParameterValue(BrokerError):
    """A session tag breaks a rule."""

    code = "InvalidParameterValue"


class UnsupportedOperation(BrokerError):
    """AWS has this operation or parameter; the broker does not."""

    code = "UnsupportedOperation"


class RequestEntityTooLarge(BrokerError):
    """The body is larger than the endpoint accepts."""

    code = "RequestEntityTooLarge"
    status = 413


class ProofError(BrokerError):
    """A proof is refused; the audit log counts each of these as a refused proof.

    ``access_key_id`` is that of a session which did sign, but has ended.
    """

    access_key_id = ""


class MissingAuthenticationToken(ProofError):
    """The request contains no proof of a caller."""

    code = "MissingAuthenticationToken"
    status = 403


class IncompleteSignature(ProofError):
    """Parts of the signature are missing or malformed."""

    code = "IncompleteSignature"


class SignatureDoesNotMatch(ProofError):
    """The signature, its scope or its time is wrong."""

    code = "SignatureDoesNotMatch"
    status = 403


class InvalidClientTokenId(ProofError):
    """The access key or session token is unknown, inactive or mismatched."""

    code = "InvalidClientTokenId"
    status = 403
    default_message = "The security token included in the request is invalid."


class ExpiredToken(ProofError):
    """The credentials that signed the request have expired."""

    code = "ExpiredToken"
    status = 403
    default_message = "The security token included in the request is expired"


class InvalidIdentityToken(ProofError):
    """The assertion or web identity token was not accepted as proof."""

    code = "InvalidIdentityToken"


class ExpiredFederationToken(ProofError):
    """The assertion or web identity token in the request has expired."""

    code = "ExpiredTokenException"


class IdpRejectedClaim(ProofError):
    """The identity provider reported that authentication failed."""

    code = "IDPRejectedClaim"
    status = 403
    default_message = "The identity provider (IdP) reported that authentication failed."


class IdpCommunicationError(ProofError):
    """The identity provider could not be reached; clients retry."""

    code = "IDPCommunicationError"


class ExpiredTradeInToken(ProofError):
    """The trade-in token has expired, or was never issued."""

    code = "ExpiredTradeInTokenException"


class InvalidSubjectCredentials(ProofError):
    """Only temporary credentials can be narrowed."""

    code = "InvalidSubjectCredentials"


class InvalidAuthorizationMessage(BrokerError):
    """The encoded message is not this account's, or has expired."""

    code = "InvalidAuthorizationMessageException"
    default_message = "Message is not valid"


class AccessDenied(BrokerError):
    """A policy or a role's trust policy refuses the call.

    ``encoded`` is the sealed account of the decision that
    ``DecodeAuthorizationMessage`` opens; empty when nothing was decided.
    """

    code = "AccessDenied"
    status = 403

    def __init__(
        self, message: str | None = None, *, detail: str = "", encoded: str = ""
    ) -> None:
        super().__init__(message, detail=detail)
        self.encoded = encoded


class RegionDisabled(BrokerError):
    """STS is disabled in the region for this account."""

    code = "RegionDisabledException"
    status = 403


class SessionDurationEscalation(BrokerError):
    """A token would outlive the session that requests it."""

    code = "SessionDurationEscalationException"
    status = 403


class InsufficientSessionLifetime(BrokerError):
    """Narrowed credentials would outlive the session that requests them."""

    code = "InsufficientSessionLifetime"


class OutboundFederationDisabled(BrokerError):
    """The account does not issue web identity tokens."""

    code = "OutboundWebIdentityFederationDisabledException"
    status = 403


class JwtPayloadSizeExceeded(BrokerError):
    """The tags make the web identity token too large."""

    code = "JWTPayloadSizeExceededException"


class MalformedPolicyDocument(BrokerError):
    """A policy violates the grammar."""

    code = "MalformedPolicyDocument"


class PackedPolicyTooLarge(BrokerError):
    """Session policies and tags exceed the space allotted to them."""

    code = "PackedPolicyTooLarge"


class NoSuchEntity(BrokerError):
    """The named entity does not exist."""

    code = "NoSuchEntity"
    status = 404


class EntityAlreadyExists(BrokerError):
    """The name is taken."""

    code = "EntityAlreadyExists"
    status = 409


class DeleteConflict(BrokerError):
    """The entity still has subordinate entities."""

    code = "DeleteConflict"
    status = 409


class LimitExceeded(BrokerError):
    """A quota of the account is reached."""

    code = "LimitExceeded"
    status = 409


class InvalidInput(BrokerError):
    """An IAM parameter is well-formed but not acceptable."""

    code = "InvalidInput"


class PasswordPolicyViolation(BrokerError):
    """A new password violates the account's password policy."""

    code = "PasswordPolicyViolation"


class InvalidUserType(BrokerError):
    """Only a user can do this, for themselves."""

    code = "InvalidUserType"


class OrganizationNotFound(BrokerError):
    """The account does not belong to an organisation."""

    code = "OrganizationNotFoundException"


class ReportNotPresent(BrokerError):
    """No credential report has been generated yet."""

    code = "ReportNotPresent"
    status = 410


class ReportExpired(BrokerError):
    """The credential report is older than four hours."""

    code = "ReportExpired"
    status = 410


class UnmodifiableEntity(BrokerError):
    """Only the service that owns the entity can change it."""

    code = "UnmodifiableEntity"


class PolicyNotAttachable(BrokerError):
    """Only service-linked roles can have this policy."""

    code = "PolicyNotAttachable"


class ConcurrentModification(BrokerError):
    """Another request changed the entity at the same time; retry."""

    code = "ConcurrentModification"
    status = 409


class InvalidAuthenticationCode(BrokerError):
    """The codes are not two consecutive codes of the device."""

    code = "InvalidAuthenticationCode"
    status = 403


class InvalidCertificate(BrokerError):
    """The certificate is expired or otherwise unusable."""

    code = "InvalidCertificate"


class MalformedCertificate(BrokerError):
    """The text is not a certificate."""

    code = "MalformedCertificate"


class DuplicateCertificate(BrokerError):
    """The same certificate already exists."""

    code = "DuplicateCertificate"
    status = 409


class KeyPairMismatch(BrokerError):
    """Certificate and private key do not match."""

    code = "KeyPairMismatch"


class InvalidPublicKey(BrokerError):
    """The text is not an acceptable public key."""

    code = "InvalidPublicKey"


class DuplicateSshPublicKey(BrokerError):
    """The user already has the same key."""

    code = "DuplicateSSHPublicKey"


class UnrecognizedPublicKeyEncoding(BrokerError):
    """The encoding does not exist."""

    code = "UnrecognizedPublicKeyEncoding"


class FeatureEnabled(BrokerError):
    """The account has already enabled the feature."""

    code = "FeatureEnabled"
    status = 409


class FeatureDisabled(BrokerError):
    """The account has not enabled the feature."""

    code = "FeatureDisabled"
    status = 404


class Throttling(BrokerError):
    """The account calls, or causes work, faster than its limit."""

    code = "Throttling"
    default_message = "Rate exceeded"


class ServiceUnavailable(BrokerError):
    """A store that the call needs is unavailable; retry shortly."""

    code = "ServiceUnavailable"
    status = 503
    fault = Fault.RECEIVER
    default_message = "The request has failed due to a temporary failure of the server."


class UpstreamRefused(BrokerError):
    """The role's upstream refused; the broker's own rules had allowed it."""

    code = "UpstreamRefused"


class UpstreamUnavailable(BrokerError):
    """The role's upstream cannot be reached; no one-time proof is used up."""

    code = "UpstreamUnavailable"
    status = 503
    fault = Fault.RECEIVER


class UpstreamOutcomeUnknown(BrokerError):
    """The role's upstream was called, and may have issued credentials.

    Clients do not retry: a one-time proof stays used.
    """

    code = "UpstreamOutcomeUnknown"
    status = 409


class InternalFailure(BrokerError):
    """An error in the broker itself; the request ID finds it in the log."""

    code = "InternalFailure"
    status = 500
    fault = Fault.RECEIVER
    default_message = "The request processing has failed because of an unknown error, exception or failure."
