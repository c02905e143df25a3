"""Names, paths and the ARNs that requests name entities by."""

from msgspec import Struct

from broker.errors import BrokerError, InvalidInput, ValidationError
from broker.model.account import AccountId
from broker.model.arn import Arn

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
