"""Names, paths and the ARNs that requests name entities by.

Tags of IAM entities.

Keys of users and roles are unique without regard to case (the case they were first
written in is kept until they are written again); those of all others with it.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from msgspec import Struct

from broker.errors import BrokerError, InvalidInput, LimitExceeded, ValidationError
from broker.model.account import AccountId
from broker.model.arn import Arn
from broker.model.entities import Tags
from broker.model.tag_text import KEY_LENGTH_MAX, is_tag_key, is_tag_value

if TYPE_CHECKING:
    from broker.model.types import iam as types


AWS_MANAGED = AccountId("aws")
"""What stands for the account in the ARN of a policy that AWS manages."""


def require_path(path: str) -> str:
    """The path, which must not have an empty part.

    Its alphabet is the model's business.

    Raises:
        ValidationError: two slashes follow each other.
    """
    if "//" in path:
        raise ValidationError(
            "The specified value for path is invalid. It must begin and end with / "
            "and contain only alphanumeric characters and/or / characters."
        )
    return path


class NamedResource(Struct, frozen=True):
    """What an IAM ARN with a path names; ``path`` begins and ends with a slash."""

    account: AccountId
    path: str
    name: str


def find_named_resource(arn_text: str, kind: str) -> NamedResource | None:
    """Read the ARN of a ``role``, ``user`` or ``policy``; None for anything else."""
    try:
        arn = Arn.parse(arn_text)
    except ValueError:
        return None
    if (arn.partition, arn.service, arn.region) != ("aws", "iam", ""):
        return None
    first, slash, rest = arn.resource.partition("/")
    if first != kind or not slash or not rest or not arn.account:
        return None
    path, _, name = rest.rpartition("/")
    return NamedResource(AccountId(arn.account), f"/{path}/" if path else "/", name)


def parse_policy_arn(
    arn_text: str, error: type[BrokerError] = ValidationError
) -> NamedResource:
    """What a managed policy's ARN names.

    Raises:
        error: it is not the ARN of a managed policy.
    """
    resource = find_named_resource(arn_text, "policy")
    if resource is None:
        raise error(f"ARN {arn_text} is not valid.")
    return resource


def parse_provider_arn(arn_text: str, account: AccountId, kind: str) -> str:
    """What follows ``saml-provider/`` or ``oidc-provider/`` in a provider's ARN.

    Raises:
        InvalidInput: it is not such an ARN of the account.
    """
    prefix = f"arn:aws:iam::{account}:{kind}/"
    if not arn_text.startswith(prefix) or arn_text == prefix:
        raise InvalidInput(f"Invalid ARN: {arn_text}")
    return arn_text.removeprefix(prefix)


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
