"""ARNs that requests name entities by."""

import pytest

from broker.errors import InvalidInput, ValidationError
from broker.kinds.names import (
    NamedResource,
    find_named_resource,
    parse_policy_arn,
    parse_provider_arn,
)
from tests.support.iam import ACCOUNT
from tests.support.rows import rows


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        (f"arn:aws:iam::{ACCOUNT}:role/R", NamedResource(ACCOUNT, "/", "R")),
        (f"arn:aws:iam::{ACCOUNT}:role/a/b/R", NamedResource(ACCOUNT, "/a/b/", "R")),
        (f"arn:aws:iam::{ACCOUNT}:user/R", None),
        (f"arn:aws:iam::{ACCOUNT}:role", None),
        (f"arn:aws:iam::{ACCOUNT}:role/", None),
        ("arn:aws:iam:::role/R", None),
        (f"arn:aws:sts::{ACCOUNT}:role/R", None),
        (f"arn:aws-cn:iam::{ACCOUNT}:role/R", None),
        (f"arn:aws:iam:eu-west-3:{ACCOUNT}:role/R", None),
        ("nonsense", None),
    ],
)
def test_a_resource_with_a_path_is_taken_apart(
    arn: str, expected: NamedResource | None
) -> None:
    assert find_named_resource(arn, "role") == expected


def test_a_malformed_policy_is_refused_with_the_callers_error() -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:role/R"
    with pytest.raises(ValidationError, match="is not valid"):
        parse_policy_arn(arn)
    with pytest.raises(InvalidInput, match="is not valid"):
        parse_policy_arn(arn, InvalidInput)


@rows("arn")
def test_a_provider_is_named_by_an_arn_of_its_account(arn: str) -> None:
    with pytest.raises(InvalidInput, match="Invalid ARN"):
        parse_provider_arn(arn, ACCOUNT, "saml-provider")
