"""Every error a client can get, as classes: code, HTTP status, whose fault.

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

    def __init_subclass__(cls, *, code: str | None = "", status: int = 0) -> None:
        """The code is the class's name, unless it says another; elsewhere its base's."""
        if code is not None and (code or cls.__module__ == __name__):
            cls.code = code or cls.__name__
        if status:
            cls.status = status

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


class MalformedInput(BrokerError):
    """A parameter cannot be parsed as its type; often sent without a message."""


class InvalidAction(BrokerError):
    """The action or version does not exist."""


class MalformedQueryString(BrokerError, status=404):
    """The query or form cannot be parsed."""


class InvalidParameterValue(BrokerError):
    """A session tag breaks a rule."""


class UnsupportedOperation(BrokerError):
    """AWS has this operation or parameter; the broker does not."""


class RequestEntityTooLarge(BrokerError, status=413):
    """The body is larger than the endpoint accepts."""


class ProofError(BrokerError, code=None):
    """A proof is refused; the audit log counts each of these as a refused proof.

    ``access_key_id`` is that of a session which did sign, but has ended.
    """

    access_key_id = ""


class MissingAuthenticationToken(ProofError, status=403):
    """The request contains no proof of a caller."""


class IncompleteSignature(ProofError):
    """Parts of the signature are missing or malformed."""


class SignatureDoesNotMatch(ProofError, status=403):
    """The signature, its scope or its time is wrong."""


class InvalidClientTokenId(ProofError, status=403):
    """The access key or session token is unknown, inactive or mismatched."""

    default_message = "The security token included in the request is invalid."


class ExpiredToken(ProofError, status=403):
    """The credentials that signed the request have expired."""

    default_message = "The security token included in the request is expired"


class InvalidIdentityToken(ProofError):
    """The assertion or web identity token was not accepted as proof."""


class ProofUsed(InvalidIdentityToken, code=None):
    """An earlier call has already spent this one-time proof.

    ``used_by`` is the id of that call's record, where it is known.
    """

    default_message = (
        "The assertion or token in the request has been used before. If no answer to"
        " that use reached you, it may have taken effect all the same. Sign in at your"
        " identity provider again."
    )

    def __init__(self, *, used_by: str = "") -> None:
        super().__init__(detail="replay: another mint has spent this proof")
        self.used_by = used_by


class ExpiredFederationToken(ProofError, code="ExpiredTokenException"):
    """The assertion or web identity token in the request has expired."""


class IdpRejectedClaim(ProofError, code="IDPRejectedClaim", status=403):
    """The identity provider reported that authentication failed."""

    default_message = "The identity provider (IdP) reported that authentication failed."


class IdpCommunicationError(ProofError, code="IDPCommunicationError"):
    """The identity provider could not be reached; clients retry."""


class ExpiredTradeInToken(ProofError, code="ExpiredTradeInTokenException"):
    """The trade-in token has expired, or was never issued."""


class InvalidSubjectCredentials(ProofError):
    """Only temporary credentials can be narrowed."""


class InvalidAuthorizationMessage(
    BrokerError, code="InvalidAuthorizationMessageException"
):
    """The encoded message is not this account's, or has expired."""

    default_message = "Message is not valid"


class AccessDenied(BrokerError, status=403):
    """A policy or a role's trust policy refuses the call.

    ``encoded`` is the sealed account of the decision that
    ``DecodeAuthorizationMessage`` opens; empty when nothing was decided.
    """

    def __init__(
        self, message: str | None = None, *, detail: str = "", encoded: str = ""
    ) -> None:
        super().__init__(message, detail=detail)
        self.encoded = encoded


class RegionDisabled(BrokerError, code="RegionDisabledException", status=403):
    """STS is disabled in the region for this account."""


class SessionDurationEscalation(
    BrokerError, code="SessionDurationEscalationException", status=403
):
    """A token would outlive the session that requests it."""


class InsufficientSessionLifetime(BrokerError):
    """Narrowed credentials would outlive the session that requests them."""


class OutboundFederationDisabled(
    BrokerError, code="OutboundWebIdentityFederationDisabledException", status=403
):
    """The account does not issue web identity tokens."""


class JwtPayloadSizeExceeded(BrokerError, code="JWTPayloadSizeExceededException"):
    """The tags make the web identity token too large."""


class MalformedPolicyDocument(BrokerError):
    """A policy violates the grammar."""


class PackedPolicyTooLarge(BrokerError):
    """The session token would be larger than 4,096 bytes; the message has both sizes."""


class NoSuchEntity(BrokerError, status=404):
    """The named entity does not exist."""


class EntityAlreadyExists(BrokerError, status=409):
    """The name is taken."""


class DeleteConflict(BrokerError, status=409):
    """The entity still has subordinate entities."""


class LimitExceeded(BrokerError, status=409):
    """A quota of the account is reached."""


class InvalidInput(BrokerError):
    """An IAM parameter is well-formed but not acceptable."""


class PasswordPolicyViolation(BrokerError):
    """A new password violates the account's password policy."""


class InvalidUserType(BrokerError):
    """Only a user can do this, for themselves."""


class OrganizationNotFound(BrokerError, code="OrganizationNotFoundException"):
    """The account does not belong to an organization."""


class ReportNotPresent(BrokerError, status=410):
    """No credential report has been generated yet."""


class ReportExpired(BrokerError, status=410):
    """The credential report is older than four hours."""


class UnmodifiableEntity(BrokerError):
    """Only the service that owns the entity can change it."""


class PolicyNotAttachable(BrokerError):
    """Only service-linked roles can have this policy."""


class ConcurrentModification(BrokerError, status=409):
    """Another request changed the entity at the same time; retry."""


class InvalidAuthenticationCode(BrokerError, status=403):
    """The codes are not two consecutive codes of the device."""


class InvalidCertificate(BrokerError):
    """The certificate is expired or otherwise unusable."""


class MalformedCertificate(BrokerError):
    """The text is not a certificate."""


class DuplicateCertificate(BrokerError, status=409):
    """The same certificate already exists."""


class KeyPairMismatch(BrokerError):
    """Certificate and private key do not match."""


class InvalidPublicKey(BrokerError):
    """The text is not an acceptable public key."""


class DuplicateSshPublicKey(BrokerError, code="DuplicateSSHPublicKey"):
    """The user already has the same key."""


class UnrecognizedPublicKeyEncoding(BrokerError):
    """The encoding does not exist."""


class FeatureEnabled(BrokerError, status=409):
    """The account has already enabled the feature."""


class FeatureDisabled(BrokerError, status=404):
    """The account has not enabled the feature."""


class Throttling(BrokerError):
    """The account calls, or causes work, faster than its limit."""

    default_message = "Rate exceeded"


class ServiceUnavailable(BrokerError, status=503):
    """A store that the call needs is unavailable; retry shortly."""

    fault = Fault.RECEIVER
    default_message = "The request has failed due to a temporary failure of the server."


class UpstreamRefused(BrokerError):
    """The role's upstream refused; the broker's own rules had allowed it."""


class UpstreamUnavailable(BrokerError, status=503):
    """The role's upstream cannot be reached; no one-time proof is used up."""

    fault = Fault.RECEIVER


class UpstreamOutcomeUnknown(BrokerError, status=409):
    """The role's upstream was called, and may have issued credentials.

    Clients do not retry: a one-time proof stays used.
    """


class InternalFailure(BrokerError, status=500):
    """An error in the broker itself; the request ID finds it in the log."""

    fault = Fault.RECEIVER
    default_message = "The request processing has failed because of an unknown error, exception or failure."
