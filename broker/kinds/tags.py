"""Tags of IAM entities.

Keys of users and roles are unique without regard to case (the case they were first
written in is kept until they are written again); those of all others with it.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from broker.errors import InvalidInput, LimitExceeded
from broker.model.entities import Tags
from broker.model.tag_text import KEY_LENGTH_MAX, is_tag_key, is_tag_value

if TYPE_CHECKING:
    from broker.model.types import iam as types


TAGS_MAX = 50
"""Tags of one entity. Source: IAM User Guide, "Rules for tagging"."""

_RESERVED = "aws:"


class KeyCase(Enum):
    """Whether two tag keys that differ only in case are one."""

    SENSITIVE = "sensitive"
    INSENSITIVE = "insensitive"

    def same(self, key: str) -> str:
        """The form in which equal keys are identical."""
        return key.lower() if self is KeyCase.INSENSITIVE else key


def checked_tags(pairs: Iterable[tuple[str, str]], case: KeyCase) -> dict[str, str]:
    """The tags of a request.

    Raises:
        InvalidInput: a key comes twice or begins with the reserved ``aws:``, or a tag
            has characters or a length that tags cannot have. (The service model
            refuses those in requests, but not in templates.)
    """
    tags: dict[str, str] = {}
    seen: set[str] = set()
    for key, value in pairs:
        if not (is_tag_key(key) and is_tag_value(value)):
            raise InvalidInput(
                f"The tag {key[:KEY_LENGTH_MAX]} has characters or a length that tags"
                " cannot have."
            )
        if key.lower().startswith(_RESERVED):
            raise InvalidInput(
                f"Tag keys beginning with {_RESERVED} are reserved for system use."
            )
        if case.same(key) in seen:
            raise InvalidInput(_DUPLICATE[case])
        seen.add(case.same(key))
        tags[key] = value
    return tags


def given_tags(tags: "Sequence[types.Tag]", case: KeyCase) -> dict[str, str]:
    """The tags of a request to IAM.

    Raises:
        InvalidInput: see `checked_tags`.
    """
    return checked_tags([(tag["Key"], tag["Value"]) for tag in tags], case)


def with_tags(present: Tags, new: Mapping[str, str], case: KeyCase) -> dict[str, str]:
    """The tags after adding ``new`` ones or overwriting with them.

    Raises:
        LimitExceeded: that would be more than an entity can have.
    """
    replaced = {case.same(key) for key in new}
    merged = {k: v for k, v in present.items() if case.same(k) not in replaced}
    merged.update(new)
    if len(merged) > TAGS_MAX:
        raise LimitExceeded("The number of tags has reached the maximum limit.")
    return merged


def without_tags(present: Tags, keys: Iterable[str], case: KeyCase) -> dict[str, str]:
    """The tags without those keys; absent keys are ignored."""
    removed = {case.same(key) for key in keys}
    return {k: v for k, v in present.items() if case.same(k) not in removed}


def tag_pairs(tags: Tags) -> list[tuple[str, str]]:
    """The tags in the order that AWS reads them out: by key, capitals first."""
    return sorted(tags.items())


_DUPLICATE = {
    KeyCase.SENSITIVE: "Duplicate tag keys found.",
    KeyCase.INSENSITIVE: "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
}
