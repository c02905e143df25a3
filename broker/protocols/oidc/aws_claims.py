"""The claims with which an identity provider speaks to AWS.

Session tags, source identity and the list of roles that a token may open.

Source: IAM User Guide, "Pass session tags in AWS STS"; recorded answers (REC-S
aws-roles).
"""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from broker.model.tag_text import is_tag_key, is_tag_value
from broker.protocols.oidc.rejection import OidcReason, OidcRejected

TAGS_CLAIM = "https://aws.amazon.com/tags"
PRINCIPAL_TAG_PREFIX = f"{TAGS_CLAIM}/principal_tags/"
TRANSITIVE_KEYS_CLAIM = f"{TAGS_CLAIM}/transitive_tag_keys"
SOURCE_IDENTITY_CLAIM = "https://aws.amazon.com/source_identity"
ROLES_CLAIM = "https://aws.amazon.com/roles"

TAGS_MAX = 50

_SOURCE_IDENTITY = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_ROLE_ARN = re.compile(r"arn:[a-z-]+:iam::[0-9]{12}:role/[\x21-\x7e]{1,640}")
_RESERVED = "aws:"

VALUES_MAX = 100
CHARACTERS_MAX = 1024


class ClaimedTags(Struct, frozen=True):
    """The tags that a token asks for; transitive keys are spelled as the tags are."""

    tags: Mapping[str, str]
    transitive_keys: frozenset[str]


_NO_TAGS = ClaimedTags({}, frozenset())


def read_tags(claims: Mapping[str, Any]) -> ClaimedTags:
    """The session tags, in the nested or in the flat form; both at once are refused.

    Raises:
        OidcRejected: BAD_TAGS.
    """
    if TAGS_CLAIM not in " ".join(claims):  # as in most tokens: one look for all names
        return _NO_TAGS
    flat = {
        name.removeprefix(PRINCIPAL_TAG_PREFIX): value
        for name, value in claims.items()
        if name.startswith(PRINCIPAL_TAG_PREFIX)
    }
    if TAGS_CLAIM in claims:
        if flat or TRANSITIVE_KEYS_CLAIM in claims:
            raise _bad_tags("tags are there in the nested and in the flat form")
        nested = claims[TAGS_CLAIM]
        if not isinstance(nested, dict):
            raise _bad_tags("the claim is not an object")
        return _require_tags(
            _read_nested(nested.get("principal_tags", {})),
            nested.get("transitive_tag_keys", []),
        )
    if flat or TRANSITIVE_KEYS_CLAIM in claims:
        return _require_tags(flat, claims.get(TRANSITIVE_KEYS_CLAIM, []))
    return _NO_TAGS


def read_source_identity(claims: Mapping[str, Any]) -> str | None:
    """The source identity; None when the token does not set one.

    Raises:
        OidcRejected: BAD_CLAIM.
    """
    if SOURCE_IDENTITY_CLAIM not in claims:
        return None
    value = claims[SOURCE_IDENTITY_CLAIM]
    # No colon in the alphabet, so the reserved prefix "aws:" cannot be there.
    if not isinstance(value, str) or not _SOURCE_IDENTITY.fullmatch(value):
        raise OidcRejected(
            OidcReason.BAD_CLAIM,
            f"bad claim: {SOURCE_IDENTITY_CLAIM}",
            f"source identity is {value!r:.80}, not 2 to 64 of [A-Za-z0-9_+=,.@-]",
        )
    return value


def read_allowed_roles(claims: Mapping[str, Any]) -> frozenset[str] | None:
    """The role ARNs that the token may open; None when it does not say.

    One ARN, several between semicolons, or an array; what is not a role's ARN is
    ignored, so that a list of nothing but mistakes opens nothing.
    """
    value = claims.get(ROLES_CLAIM)
    if value is None:
        return None
    entries = value.split(";") if isinstance(value, str) else value
    if not isinstance(entries, list):
        return frozenset()
    arns = (entry.strip() for entry in entries if isinstance(entry, str))
    return frozenset(arn for arn in arns if _ROLE_ARN.fullmatch(arn))


def _read_nested(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _bad_tags("principal_tags is not an object")
    tags: dict[str, object] = {}
    for key, values in value.items():
        if not isinstance(values, list) or len(values) != 1:
            raise _bad_tags(f"tag {key!r:.80} is not an array of exactly one string")
        tags[key] = values[0]
    return tags


def _require_tags(raw: Mapping[str, object], transitive: object) -> ClaimedTags:
    if len(raw) > TAGS_MAX:
        raise _bad_tags(f"{len(raw)} tags, at most {TAGS_MAX} are accepted")
    tags: dict[str, str] = {}
    spelling: dict[str, str] = {}
    for key, value in raw.items():
        if not is_tag_key(key) or key.lower().startswith(_RESERVED):
            raise _bad_tags(f"tag key {key!r:.140} is not accepted")
        if not isinstance(value, str) or not is_tag_value(value):
            raise _bad_tags(f"the value of tag {key!r} is not accepted")
        if spelling.setdefault(key.lower(), key) != key:
            raise _bad_tags(f"tag {key!r} is there twice, in different case")
        tags[key] = value
    if not isinstance(transitive, list):
        raise _bad_tags("transitive_tag_keys is not an array")
    keys = set()
    for key in transitive:
        known = spelling.get(key.lower()) if isinstance(key, str) else None
        if known is None:
            raise _bad_tags(f"transitive key {key!r:.140} is not among the tags")
        keys.add(known)
    return ClaimedTags(tags, frozenset(keys))


def _bad_tags(detail: str) -> OidcRejected:
    return OidcRejected(
        OidcReason.BAD_TAGS,
        "principal_tags passed in claim is not in correct format.",
        detail,
    )
