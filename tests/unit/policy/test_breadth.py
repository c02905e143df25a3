from typing import Any

from broker.policy.breadth import Breadth, find_breadth
from tests.support.rows import rows


def allow(**members: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Resource": "*", **members}


@rows("statement, breadth")
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
