"""Session tags: what may be passed, what a chain inherits, what policies see.

Keys compare without regard to case and keep the case they were given in.

Source: IAM User Guide, id_session-tags; botocore's STS model; recorded texts (REC-A).
"""

from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

from broker.errors import InvalidParameterValue, ValidationError
from broker.model.session import Session
from broker.model.tag_text import KEY_LENGTH_MAX, VALUE_LENGTH_MAX, has_tag_alphabet

SESSION_TAGS_MAX = 50
_PATTERN = r"[\p{L}\p{Z}\p{N}_.:/=+\-@]"


class SessionTags(Struct, frozen=True):
    """Tags of a session; ``transitive_keys`` are spelled as in ``tags``."""

    tags: Mapping[str, str] = {}
    transitive_keys: frozenset[str] = frozenset()


NO_TAGS = SessionTags()


def require_session_tags(
    pairs: Iterable[tuple[str, str]],
    transitive_keys: Collection[str] = (),
    *,
    calling: Session | None = None,
) -> SessionTags:
    """The tags that a call or an identity provider passes, if they keep the rules.

    These are what the trust policy sees; ``inherit_tags`` adds the rest afterwards.
    ``calling`` is the session that assumes the role: what it passes on cannot be set
    again.

    Raises:
        ValidationError: more than 50, or a key or value of a bad length or alphabet.
        InvalidParameterValue: a reserved or repeated key, a key that the calling
            session passes on, or a transitive key that is not among the tags.
    """
    values = tuple(pairs)
    if not values and not transitive_keys:
        return NO_TAGS
    _require_count(len(values), "tags")
    _require_count(len(transitive_keys), "transitiveTagKeys")
    for position, (key, value) in enumerate(values, 1):
        place = f"tags.{position}.member"
        _require_text(key, f"{place}.key", "+", 1, KEY_LENGTH_MAX)
        _require_text(value, f"{place}.value", "*", 0, VALUE_LENGTH_MAX)
        if key.lower().startswith("aws:"):
            raise InvalidParameterValue(
                "Tag keys that begin with aws: are reserved for system use."
            )
    spelled = {key.lower(): key for key, _ in values}
    if len(spelled) < len(values):
        raise InvalidParameterValue(
            "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        )
    transitive = {key.lower() for key in transitive_keys}
    inherited = {key.lower() for key in calling.transitive_keys} if calling else set()
    if not inherited.isdisjoint(spelled) or not inherited.isdisjoint(transitive):
        raise InvalidParameterValue(
            "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session."
        )
    if not transitive <= spelled.keys():
        raise InvalidParameterValue(
            "The specified transitive tag key must be included in the requested tags."
        )
    return SessionTags(dict(values), frozenset(spelled[key] for key in transitive))


def inherit_tags(passed: SessionTags, calling: Session | None) -> SessionTags:
    """The new session's tags: those passed, and the calling session's transitive ones.

    ``passed`` came through ``require_session_tags`` with the same ``calling``.
    """
    if calling is None or not calling.transitive_keys:
        return passed
    handed_on = {
        key: value
        for key, value in calling.tags.items()
        if key in calling.transitive_keys
    }
    return SessionTags(
        {**passed.tags, **handed_on}, passed.transitive_keys | calling.transitive_keys
    )


def principal_tags(
    entity_tags: Mapping[str, str], session_tags: Mapping[str, str]
) -> Mapping[str, str]:
    """What ``aws:PrincipalTag`` reads: a session's tag replaces the entity's."""
    if not session_tags:
        return entity_tags
    if not entity_tags:
        return session_tags
    replaced = {key.lower() for key in session_tags}
    kept = {k: v for k, v in entity_tags.items() if k.lower() not in replaced}
    return {**kept, **session_tags}


def _require_count(count: int, member: str) -> None:
    if count > SESSION_TAGS_MAX:
        raise ValidationError(
            f"1 validation error detected: Value at '{member}' failed to satisfy"
            " constraint: Member must have length less than or equal to"
            f" {SESSION_TAGS_MAX}"
        )


def _require_text(
    text: str, member: str, repeats: str, shortest: int, longest: int
) -> None:
    if len(text) < shortest:
        broken = f"Member must have length greater than or equal to {shortest}"
    elif len(text) > longest:
        broken = f"Member must have length less than or equal to {longest}"
    elif not has_tag_alphabet(text):
        broken = f"Member must satisfy regular expression pattern: {_PATTERN}{repeats}"
    else:
        return
    raise ValidationError(
        f"1 validation error detected: Value '{text[:longest]}' at '{member}' failed"
        f" to satisfy constraint: {broken}"
    )
