"""The AWS attributes of an assertion: roles, session name, tags, duration.

Source: IAM User Guide, "Configure SAML assertions for the authentication response",
"Pass session tags in AWS STS" and troubleshoot_saml.
"""

import re
import unicodedata
from collections.abc import Mapping

from msgspec import Struct

from broker.errors import InvalidIdentityToken
from broker.model.federated import RolePair
from broker.protocols.saml.attributes import (
    PRINCIPAL_TAG,
    ROLE,
    ROLE_SESSION_NAME,
    SESSION_DURATION,
    SOURCE_IDENTITY,
    TRANSITIVE_TAG_KEYS,
    parse_role_pair,
)

TAGS_MAX = 50
TAG_KEY_LENGTH_MAX = 128
TAG_VALUE_LENGTH_MAX = 256
DURATION_SECONDS_MIN = 900
DURATION_SECONDS_MAX = 43_200

_NAME = re.compile(r"[a-zA-Z_0-9+=,.@-]{2,64}", re.ASCII)
_DURATION = re.compile(r"[0-9]{1,6}", re.ASCII)
_PLAIN_TAG = re.compile(r"[A-Za-z0-9 _.:/=+@-]*", re.ASCII)
_TAG_PUNCTUATION = frozenset("_.:/=+-@")
_RESERVED = "aws:"


class SamlClaims(Struct, frozen=True, kw_only=True):
    """The AWS attributes, read and checked. ``role_pairs`` may be empty."""

    role_pairs: tuple[RolePair, ...]
    session_name: str
    session_duration_seconds: int | None
    source_identity: str | None
    tags: Mapping[str, str]
    transitive_keys: frozenset[str]


def read_claims(
    attributes: Mapping[str, tuple[str, ...]],
    *,
    fallback_name: str | None = None,
    skips_others: bool = False,
) -> SamlClaims:
    """Read the AWS attributes of a verified assertion.

    ``fallback_name`` is the session's name when the attribute is missing.
    ``skips_others`` leaves out values of the Role attribute that are no pair.

    Raises:
        InvalidIdentityToken: an attribute is invalid, with AWS's text where it is
            known.
    """
    tags = _read_tags(attributes)
    return SamlClaims(
        role_pairs=_read_role_pairs(attributes.get(ROLE, ()), skips=skips_others),
        session_name=_read_session_name(
            attributes.get(ROLE_SESSION_NAME, (fallback_name or "",))
        ),
        session_duration_seconds=_read_duration(attributes.get(SESSION_DURATION)),
        source_identity=_read_source_identity(attributes.get(SOURCE_IDENTITY)),
        tags=tags,
        transitive_keys=_read_transitive_keys(
            attributes.get(TRANSITIVE_TAG_KEYS, ()), tags
        ),
    )


def _read_role_pairs(values: tuple[str, ...], *, skips: bool) -> tuple[RolePair, ...]:
    # A value that is almost a pair was meant to be one, so the strict profile refuses
    # the response. AWS takes the pairs.
    pairs: dict[RolePair, None] = {}
    for value in values:
        try:
            pairs[parse_role_pair(value)] = None
        except ValueError as error:
            if not skips:
                raise InvalidIdentityToken(
                    "Role in AuthnResponse must be a role ARN and a SAML provider ARN",
                    detail=str(error),
                ) from error
    return tuple(pairs)


def _read_session_name(values: tuple[str, ...]) -> str:
    if not values or values == ("",):
        raise InvalidIdentityToken("RoleSessionName is required in AuthnResponse")
    if len(values) != 1 or not _NAME.fullmatch(values[0]):
        raise InvalidIdentityToken(
            "RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}",
            detail=f"{len(values)} values, the first is {values[0][:100]!r}",
        )
    return values[0]


def _read_duration(values: tuple[str, ...] | None) -> int | None:
    if values is None:
        return None
    if len(values) == 1 and _DURATION.fullmatch(values[0]):
        seconds = int(values[0])
        if DURATION_SECONDS_MIN <= seconds <= DURATION_SECONDS_MAX:
            return seconds
    raise InvalidIdentityToken(
        "SessionDuration in AuthnResponse must be one number of seconds between "
        f"{DURATION_SECONDS_MIN} and {DURATION_SECONDS_MAX}",
        detail=f"SessionDuration is {values!r:.200}",
    )


def _read_source_identity(values: tuple[str, ...] | None) -> str | None:
    if values is None:
        return None
    if (
        len(values) == 1
        and _NAME.fullmatch(values[0])
        and not values[0].lower().startswith(_RESERVED)
    ):
        return values[0]
    raise InvalidIdentityToken(
        'Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"',
        detail=f"SourceIdentity is {values!r:.200}",
    )


def _read_tags(attributes: Mapping[str, tuple[str, ...]]) -> Mapping[str, str]:
    tags: dict[str, str] = {}
    folded: set[str] = set()
    for name, values in attributes.items():
        if not name.startswith(PRINCIPAL_TAG):
            continue
        key = name[len(PRINCIPAL_TAG) :]
        if len(values) != 1:
            raise _bad_tag(f"tag {key[:200]!r} has {len(values)} values, not one")
        if not 1 <= len(key) <= TAG_KEY_LENGTH_MAX or not _is_tag_text(key):
            raise _bad_tag(f"tag key {key[:200]!r} is empty, too long or malformed")
        if len(values[0]) > TAG_VALUE_LENGTH_MAX or not _is_tag_text(values[0]):
            raise _bad_tag(f"the value of tag {key!r} is too long or malformed")
        if key.lower().startswith(_RESERVED):
            raise _bad_tag(f"tag key {key!r} is reserved")
        if key.lower() in folded:
            raise _bad_tag(f"tag key {key!r} comes twice, case aside")
        folded.add(key.lower())
        tags[key] = values[0]
    if len(tags) > TAGS_MAX:
        raise _bad_tag(f"{len(tags)} tags, at most {TAGS_MAX} are taken")
    return tags


def _read_transitive_keys(
    values: tuple[str, ...], tags: Mapping[str, str]
) -> frozenset[str]:
    by_folded = {key.lower(): key for key in tags}
    try:
        return frozenset(by_folded[value.lower()] for value in values)
    except KeyError as error:
        raise _bad_tag(f"transitive key {error.args[0]!r:.200} is not a tag") from error


def _is_tag_text(text: str) -> bool:
    return _PLAIN_TAG.fullmatch(text) is not None or all(
        character in _TAG_PUNCTUATION or unicodedata.category(character)[0] in "LZN"
        for character in text
    )


def _bad_tag(detail: str) -> InvalidIdentityToken:
    return InvalidIdentityToken(
        "PrincipalTag or TransitiveTagKeys in AuthnResponse is not valid", detail=detail
    )
