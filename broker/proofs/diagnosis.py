"""Explains a refused proof check by check, for the provider's administrator.

The code that verifies proofs reports one reason. From it this derives which checks
passed, which one failed and what to change at the identity provider, and which were not
reached.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct

from broker.errors import BrokerError
from broker.proofs.admission import REVOKED
from broker.proofs.issuer_keys import IssuerUnreachableError
from broker.proofs.scim import NotAdmitted
from broker.protocols.oidc.rejection import IssuerRejected, OidcReason, OidcRejected
from broker.protocols.saml.errors import SamlReason, SamlRejected

_S, _O = SamlReason, OidcReason
LASSO_ADVICE = (
    "Identity providers that use Lasso, such as LemonLDAP::NG, encrypt with AES-128-CBC"
    " although the SP metadata offers AES-GCM only. Have an operator set AllowCbc=true"
    " and have the whole Response signed, or have assertions sent unencrypted (TLS"
    " protects them on their way)."
)
_CANONICALISATION_ADVICE = (
    "Have it signed with exclusive canonicalisation (in Keycloak, Canonicalization method"
    " EXCLUSIVE): what surrounds the signed element would change an inclusive form."
)

_KNOWN_CASES: tuple[tuple[StrEnum, str, str], ...] = (
    (_S.ALGORITHM_NOT_ALLOWED, "canonicalisation '", _CANONICALISATION_ADVICE),
    (_S.ALGORITHM_NOT_ALLOWED, "second transform '", _CANONICALISATION_ADVICE),
    (_S.ALGORITHM_NOT_ALLOWED, "aes128-cbc", LASSO_ADVICE),
    (
        _S.ALGORITHM_NOT_ALLOWED,
        "AES-CBC without a signature",
        (
            "Have the whole Response signed, not its assertion alone: AllowCbc takes AES-CBC"
            " only under such a signature. AES-GCM needs none."
        ),
    ),
    (
        _O.MISSING_CLAIM,
        "required claim: iat",
        (
            "Have the identity provider put the time of issue into the token (iat, a number"
            " of seconds): an ID token always has it. Access tokens and tokens of one's own"
            " making may want a mapper for it. AWS refuses such tokens, too; no option"
            " stands in for it."
        ),
    ),
    (
        _O.UNKNOWN_KEY,
        ": no kid",
        (
            "A published key has no name. Have it published with a kid that the token's"
            " header names, too; or set StaticJwks to the same key with a kid that you"
            " choose: a token without a kid is then checked with that only key."
        ),
    ),
    (
        _O.UNKNOWN_KEY,
        "kid is None",
        (
            "The token's header names no key, and the issuer publishes several. Have a kid"
            " put into the header, or set StaticJwks to the one key that signs."
        ),
    ),
    (
        _O.WRONG_AUDIENCE,
        "'account'",
        (
            "This looks like an access token of Keycloak's, made for its own account"
            " service. Send the ID token; or give the client (or its scope) a mapper of type"
            " Audience that adds a client id registered here. With Profile=aws a registered"
            " azp is enough, as in AWS."
        ),
    ),
    (
        _O.WRONG_AUDIENCE,
        ", which is registered",
        (
            "Have a registered client id put into aud as well (at Keycloak by a mapper of"
            " type Audience), register one of those that aud has, or set Profile=aws: then"
            " azp alone is compared, as in AWS."
        ),
    ),
)
"""Mistakes of real identity providers: a reason, a word in what was found, and advice.
The first match counts.
"""

_ODD_XML = (
    "The XML is of a kind that SAML does not need: this needs a change of the identity"
    " provider's software, or of what rewrites the XML on its way."
)
_BEFORE_READING = frozenset({_S.METADATA_UNUSABLE, _S.METADATA_EXPIRED})
CLAIMS = "The attributes that the broker uses hold"
CLAIMS_ADVICE = "Correct the attribute or claim that the message names."
ADMITTED = "The provider's directory allows the person"
ADMITTED_ADVICE = (
    "Activate the person in the identity provider's directory, or have it provision"
    " them; the provider's SCIM page shows whom it reported."
)
NOT_REVOKED = "The person was not revoked since it was issued"
NOT_REVOKED_ADVICE = (
    "Sign in again, for a newer one. A person who is barred stays so until an operator"
    " says broker sessions revoke ACCOUNT --issuer ISSUER --subject SUBJECT --lift."
)
REGISTERED = "The provider is registered, and its keys can be fetched"
REACH_ADVICE = (
    "Register the issuer exactly as the token spells it. Check its name, the network"
    " and what it answers; its certificate, or the provider's thumbprint or"
    " BROKER_CA_FILE for one that is not publicly trusted; and BROKER_INTERNAL_ISSUERS"
    " for a private address."
)


class State(StrEnum):
    """The outcome of a check."""

    HELD = "held"
    FAILED = "failed"
    UNFINISHED = "so far"
    NOT_REACHED = "not reached"


class Check(Struct, frozen=True):
    """One line of a diagnosis; ``found`` and ``advice`` are there when it failed."""

    title: str
    state: State
    found: str = ""
    advice: str = ""


class _Stage(Struct, frozen=True):
    """Checks that are made together.

    ``advices`` are for reasons that need more specific advice. With ``spread``, parts
    of the checks are made later.
    """

    title: str
    reasons: frozenset[StrEnum]
    advice: str
    advices: Mapping[StrEnum, str] = {}
    spread: bool = False

    def advice_for(self, reason: StrEnum, text: str) -> str:
        """What to change, given what was ``text``."""
        for known, word, advice in _KNOWN_CASES:
            if known is reason and word in text:
                return advice
        return self.advices.get(reason, self.advice)


def _stage(
    title: str,
    *reasons: StrEnum,
    advice: str,
    advices: Mapping[StrEnum, str] | None = None,
    spread: bool = False,
) -> _Stage:
    return _Stage(title, frozenset(reasons), advice, advices or {}, spread)


SAML_STAGES = (
    _stage(
        "The response can be read",
        *(_S.TOO_LARGE, _S.NOT_BASE64, _S.NOT_UTF8, _S.DOCTYPE, _S.MALFORMED_XML),
        *(_S.TOO_COMPLEX, _S.NAMESPACE, _S.SPLIT_TEXT, _S.IDS, _S.NOT_A_RESPONSE),
        advice="Send the SAMLResponse form field as the browser posts it: base64 of"
        " one samlp:Response without a DOCTYPE.",
        advices={
            _S.TOO_LARGE: "Have fewer roles and attributes sent.",
            _S.TOO_COMPLEX: "Have fewer roles and attributes sent, and fewer keys"
            " published.",
            _S.NAMESPACE: _ODD_XML,
            _S.SPLIT_TEXT: _ODD_XML,
            _S.IDS: _ODD_XML,
        },
    ),
    _stage(
        "The identity provider reports success",
        _S.STATUS_NOT_SUCCESS,
        advice="Look at the identity provider's own log: it refused the sign-in.",
    ),
    _stage(
        "There is exactly one assertion, encrypted where that is required",
        *(_S.ASSERTION_COUNT, _S.ENCRYPTION_REQUIRED),
        advice="Have one assertion sent.",
        advices={
            _S.ENCRYPTION_REQUIRED: "Have assertions encrypted for the key in the"
            " provider's SP metadata, or let it accept plain ones, too"
            " (update-saml-provider --assertion-encryption-mode Allowed)."
        },
    ),
    _stage(
        "The issuer is an entity of the registered metadata, which is valid",
        *(_S.METADATA_UNUSABLE, _S.METADATA_EXPIRED, _S.ISSUER_UNKNOWN),
        advice="Register the metadata of the identity provider that sent this"
        " (update-saml-provider), or test the provider it belongs to.",
        advices={
            _S.METADATA_UNUSABLE: "Have a stronger key used and register the new"
            " metadata (update-saml-provider); the LegacyRsa option takes RSA keys of"
            " 1024 bits.",
            _S.METADATA_EXPIRED: "Have the metadata published again where MetadataUrl"
            " points.",
        },
    ),
    _stage(
        "A signature covers the assertion and verifies with a registered key",
        *(_S.UNSIGNED, _S.SIGNATURE_STRUCTURE, _S.ALGORITHM_NOT_ALLOWED),
        *(_S.SIGNATURE_INVALID, _S.DECRYPTION_FAILED),
        advice="Have the assertion or the response signed as SAML prescribes: one"
        " enveloped signature of the whole element, exclusive canonicalisation.",
        advices={
            _S.UNSIGNED: "Switch on the signing of assertions or of responses.",
            _S.SIGNATURE_INVALID: "After a change of keys register the new metadata"
            " (update-saml-provider). Anything that rewrites the XML on its way breaks"
            " the signature.",
            _S.ALGORITHM_NOT_ALLOWED: "Have it signed with RSA or ECDSA and SHA-256 or"
            " better, and encrypted with AES-GCM of 128 or 256 bits and RSA-OAEP. The"
            " options AllowSha1 and AllowCbc take older ones; AES-CBC only in a signed"
            " response.",
            _S.DECRYPTION_FAILED: "Import the provider's SP metadata again: it has the"
            " key to encrypt for. The assertion inside, or the response, must be signed"
            " with a registered key.",
        },
    ),
    _stage(
        "The signed content has the form that SAML prescribes",
        *(_S.STRUCTURE, _S.ISSUER_MISMATCH),
        advice="The assertion breaks the SAML schema; this needs a change of the"
        " identity provider's software or configuration.",
        advices={
            _S.ISSUER_MISMATCH: "Have response and assertion sent with the same Issuer,"
            " the entity ID of the registered metadata."
        },
    ),
    _stage(
        "The Destination is the broker's",
        _S.DESTINATION_WRONG,
        advice="Set the assertion consumer service (ACS) URL at the identity provider"
        " to the one expected, or add the other one with the Recipients option.",
    ),
    _stage(
        "It answers an open request, or none",
        _S.IN_RESPONSE_TO,
        advice="Start again in the same browser; a response is used once.",
        spread=True,
    ),
    _stage(
        "The times hold",
        *(_S.TIMESTAMP, _S.NOT_YET_VALID, _S.EXPIRED, _S.ISSUED_TOO_LONG_AGO),
        _S.LIFETIME_TOO_LONG,
        advice="A response is good for five minutes. For an old one give the time it"
        " was made; for a new one compare both clocks (NTP).",
        advices={
            _S.TIMESTAMP: "Have times sent in UTC, such as 2026-01-31T12:00:00Z.",
            _S.NOT_YET_VALID: "Compare both clocks (NTP).",
            _S.LIFETIME_TOO_LONG: "Set the lifetime of assertions to a day or less;"
            " five minutes are usual.",
        },
        spread=True,
    ),
    _stage(
        "There is one subject with a NameID and a Format",
        _S.SUBJECT,
        advice="Have a NameID sent, with a Format such as persistent or emailAddress.",
    ),
    _stage(
        "A bearer confirmation names the broker as Recipient",
        *(_S.CONFIRMATION, _S.RECIPIENT_WRONG),
        advice="Set the recipient (often the same field as the ACS URL) to the one"
        " expected, or add the other one with the Recipients option.",
        advices={
            _S.CONFIRMATION: "Have one SubjectConfirmation sent, of method bearer, with"
            " a Recipient and a NotOnOrAfter."
        },
    ),
    _stage(
        "The audience is the broker's, and no condition is unknown",
        *(_S.AUDIENCE_WRONG, _S.CONDITION_UNKNOWN),
        advice="Set the audience (SP entity ID) to one of those expected, or add the"
        " other one with the Audiences option.",
        advices={
            _S.CONDITION_UNKNOWN: "Have no other condition sent than"
            " AudienceRestriction, OneTimeUse and ProxyRestriction."
        },
    ),
    _stage(
        "There is an authentication statement",
        _S.AUTHN_STATEMENT,
        advice="Have an AuthnStatement sent.",
    ),
    _stage(
        "The attributes can be read",
        _S.ATTRIBUTES,
        advice="Send every attribute once, with plain text values.",
    ),
)

OIDC_STAGES = (
    _stage(
        "The token is a JWT",
        _O.NOT_A_JWT,
        advice="Send the ID token, not the access token, and nothing around it.",
    ),
    _stage(
        "The algorithm is one that the provider may use",
        _O.ALGORITHM_NOT_ALLOWED,
        advice="Have tokens signed with RS256, PS256, ES256 or stronger; see the"
        " provider's Algorithms option.",
    ),
    _stage(
        "The issuer's keys are at hand",
        *(_O.BAD_DISCOVERY, _O.BAD_KEY_SET, _O.UNKNOWN_KEY, _O.KEY_DOES_NOT_FIT),
        advice="The issuer's key set must hold the key that signs, under the token's"
        " kid; with the StaticJwks option, that must. Within seconds of a rotation, try"
        " again.",
        advices={
            _O.BAD_DISCOVERY: "The discovery document must be JSON, name this very"
            " issuer and the address of its key set (jwks_uri).",
            _O.BAD_KEY_SET: "Have a JSON Web Key Set published at the jwks_uri of the"
            " discovery document.",
            _O.KEY_DOES_NOT_FIT: "Have tokens signed with the algorithm that the key is"
            " published for (kty, crv and alg).",
        },
    ),
    _stage(
        "The signature verifies",
        _O.BAD_SIGNATURE,
        advice="The token was changed on its way, or another key made it.",
    ),
    _stage(
        "The claims are there and well formed",
        *(_O.MISSING_CLAIM, _O.EMPTY_CLAIM, _O.BAD_CLAIM, _O.WRONG_ISSUER),
        advice="Correct the claim that is named: iss, sub, aud, iat and exp as OpenID"
        " Connect has them, and jti where the OneTimeUse option is set.",
        spread=True,
    ),
    _stage(
        "The times hold",
        *(_O.BAD_TIMESTAMP, _O.EXPIRED, _O.ISSUED_IN_FUTURE, _O.NOT_YET_VALID),
        advice="For an old token give the time it was made; for a new one compare both"
        " clocks (NTP).",
        advices={
            _O.BAD_TIMESTAMP: "Have times sent as numbers, in seconds since 1970."
        },
    ),
    _stage(
        "The audience is a registered client id",
        *(_O.WRONG_AUDIENCE, _O.NO_AUTHORIZED_PARTY),
        advice="Register the token's audience (add-client-id-to-open-id-connect"
        "-provider), or ask the identity provider for a token for a registered one.",
        advices={
            _O.NO_AUTHORIZED_PARTY: "Have a token made for one audience, or azp sent."
        },
    ),
    _stage(
        "The session tags can be read",
        _O.BAD_TAGS,
        advice="See the claim https://aws.amazon.com/tags: one text per tag.",
    ),
)


def diagnose(
    stages: tuple[_Stage, ...], refusal: BrokerError | None
) -> tuple[Check, ...]:
    """The checks in order, when this was the outcome; None for a proof that passed."""
    if refusal is None:
        return (*_all(stages, State.HELD), Check(CLAIMS, State.HELD))
    cause = refusal.__cause__
    if isinstance(cause, SamlRejected | OidcRejected):
        return tuple(_until(stages, cause))
    words = refusal.words + (f" ({refusal.detail})" if refusal.detail else "")
    advice: tuple[str, str] | None = None
    if isinstance(refusal, NotAdmitted):
        advice = ADMITTED, ADMITTED_ADVICE
    elif refusal.detail.startswith(REVOKED):
        advice = NOT_REVOKED, NOT_REVOKED_ADVICE
    if advice is not None:
        failed = Check(advice[0], State.FAILED, words, advice[1])
        return (*_all(stages, State.HELD), Check(CLAIMS, State.HELD), failed)
    if stages is OIDC_STAGES or isinstance(cause, IssuerUnreachableError):
        failed = Check(REGISTERED, State.FAILED, words, REACH_ADVICE)
        return (failed, *_all(stages, State.NOT_REACHED))
    failed = Check(CLAIMS, State.FAILED, words, CLAIMS_ADVICE)
    return (*_all(stages, State.HELD), failed)


def is_good(checks: Iterable[Check]) -> bool:
    """Whether every check held."""
    return all(check.state is State.HELD for check in checks)


def _all(stages: tuple[_Stage, ...], state: State) -> list[Check]:
    return [Check(stage.title, state) for stage in stages]


def _until(
    stages: tuple[_Stage, ...], cause: SamlRejected | OidcRejected
) -> Iterable[Check]:
    reason, words = cause.reason, _describe(cause)
    failed = next(n for n, stage in enumerate(stages) if reason in stage.reasons)
    reached = failed
    if isinstance(cause, IssuerRejected):
        reached = 1  # the token was read, and no key was fetched
    elif reason in _BEFORE_READING:
        reached = 0
    for number, stage in enumerate(stages):
        if number == failed:
            yield Check(
                stage.title, State.FAILED, words, stage.advice_for(reason, words)
            )
        elif number >= reached:
            yield Check(stage.title, State.NOT_REACHED)
        else:
            state = State.UNFINISHED if stage.spread else State.HELD
            yield Check(stage.title, state)
    yield Check(CLAIMS, State.NOT_REACHED)


def _describe(rejected: SamlRejected | OidcRejected) -> str:
    return rejected.detail or str(rejected)
