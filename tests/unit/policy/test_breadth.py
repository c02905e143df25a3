from typing import Any

import pytest

from broker.policy.breadth import Breadth, find_breadth


def allow(**members: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Resource": "*", **members}


@pytest.mark.parametrize(
    ("statement", "breadth"),
    [
        (allow(Action="*"), Breadth.EVERYTHING),
        (allow(Action=["s3:Get*", "*:*"]), Breadth.EVERYTHING),
        (allow(NotAction="iam:*"), Breadth.ALL_BUT),
        (allow(Action="IAM:*"), Breadth.IDENTITIES),
        (allow(Action=["sts:*"], Resource=["x", "*"]), Breadth.IDENTITIES),
        (allow(Action="s3:*"), None),
        (allow(Action="*", Resource="arn:aws:s3:::x"), None),
        (allow(Action="*", Condition={"Bool": {"a:b": "true"}}), None),
        ({"Effect": "Deny", "Action": "*", "Resource": "*"}, None),
        ("odd", None),
    ],
)
def test_a_grant_of_everything_is_told(
    statement: object, breadth: Breadth | None
) -> None:
    assert find_breadth({"Statement": statement}) is breadth
    assert find_breadth({"Statement": [allow(Action="s3:*"), statement]}) is breadth


def test_the_widest_grant_counts() -> None:
    wide = [allow(Action="iam:*"), allow(NotAction="x:Y"), allow(Action="*")]
    assert find_breadth({"Statement": wide}) is Breadth.EVERYTHING
    assert find_breadth({"Statement": wide[:2]}) is Breadth.ALL_BUT
    assert find_breadth({}) is None
