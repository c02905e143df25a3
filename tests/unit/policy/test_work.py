"""What a decision can take is counted before it begins, and bounded."""

import json
import pickle
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from broker.model.account import AccountId
from broker.model.principal import Principal
from broker.policy import (
    VALUE_CHARACTERS_MAX,
    VALUES_MAX,
    AccessRequest,
    ApplicablePolicies,
    PolicyKind,
    PolicyRejected,
    PolicySet,
    TooMuchWork,
    authorize,
    compile_policies,
    join_policies,
    parse_policy,
)
from broker.policy.work import DECISION_WORK_MAX, SMALL_WORK, count_units

BOB = Principal.user(
    AccountId("111122223333"), user_id="AIDABOBBOBBOBBOBBOBBO", path="/", name="bob"
)
LONG = "a" * VALUE_CHARACTERS_MAX
SEARCHED = "*" + "a?" * 250 + "b*"


def policies(*statements: dict[str, Any], version: str = "2012-10-17") -> PolicySet:
    full = [
        {"Effect": "Allow", "Resource": "*"}
        | ({} if "NotAction" in statement else {"Action": "s3:Get"})
        | statement
        for statement in statements
    ]
    text = json.dumps({"Version": version, "Statement": full})
    return compile_policies([("p", parse_policy(text, PolicyKind.IDENTITY))])


def conditions(operator: str, *values: str, count: int = 1) -> list[dict[str, Any]]:
    condition = {operator: {"aws:UserAgent": list(values)}}
    return [{"Condition": condition}] * count


def asked(*user_agents: str, resource: str = "arn:aws:s3:::b/k") -> AccessRequest:
    return AccessRequest("s3:Get", resource, BOB, {"aws:useragent": user_agents})


def units(made: PolicySet, request: AccessRequest) -> int:
    candidates = made.candidates(request.action)
    works = [s.work for s in candidates.denies + candidates.allows]
    return count_units(works, request.resource, request.context)


def test_what_could_take_too_long_is_not_decided() -> None:
    """Not even where it would be an early Allow: the count comes first."""
    made = policies({}, *conditions("StringLike", SEARCHED, count=120))
    with pytest.raises(TooMuchWork) as caught:
        authorize(asked(LONG), ApplicablePolicies(identity=made))
    assert caught.value.units > caught.value.allowed == DECISION_WORK_MAX
    assert str(caught.value.units) in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).units == caught.value.units


def test_layers_count_together() -> None:
    made = policies({}, *conditions("StringLike", SEARCHED, count=50))
    request = asked("curl/8.0")
    half = ApplicablePolicies(identity=made)
    assert units(made, request) < DECISION_WORK_MAX
    assert authorize(request, half).allowed
    with pytest.raises(TooMuchWork):
        authorize(
            request, ApplicablePolicies(identity=made, boundary=made, session=(made,))
        )


def test_many_plain_conditions_cost_little_work() -> None:
    """Ten groups full of policies, as large as quotas let them be."""
    arns = [f"arn:aws:s3:::bucket-{n}-*/home/*" for n in range(100)]
    full = join_policies([policies(*[{"Resource": arns}] * 10)] * 12)
    decision = authorize(
        asked("curl/8.0", resource="arn:aws:s3:::x/y"),
        ApplicablePolicies(identity=full),
    )
    assert not decision.allowed


@pytest.mark.parametrize(
    ("statement", "least"),
    [
        ({"Resource": ["arn:aws:s3:::?x" for _ in range(30)]}, 30),
        ({"Condition": {"StringLike": {"aws:UserAgent": [SEARCHED] * 5}}}, 2500),
        ({"Condition": {"StringNotLike": {"aws:UserAgent": ["*a*"] * 50}}}, 100),
        ({"Condition": {"ArnLike": {"aws:UserAgent": ["arn:*:*:*:*:*"] * 9}}}, 50),
        ({"Condition": {"NumericEquals": {"aws:UserAgent": ["1"] * 80}}}, 80),
        (
            {"Condition": {"StringEquals": {"aws:UserAgent": ["${aws:userid}"] * 60}}},
            60,
        ),
    ],
)
def test_every_comparison_counts(statement: dict[str, Any], least: int) -> None:
    assert units(policies(statement), asked("x")) >= least


def test_equality_is_one_look_up_whatever_it_lists() -> None:
    equal = policies(*conditions("StringEquals", *[str(n) for n in range(900)]))
    assert units(equal, asked("x")) <= 4


def test_each_value_and_its_length_count() -> None:
    made = policies(*conditions("ForAnyValue:StringLike", "*a?b*"))
    entry = units(made, asked("x"))
    assert units(made, asked(*["x"] * 100)) >= 50 * entry
    assert units(made, asked(LONG)) >= 20 * entry


def test_what_is_below_the_threshold_is_small_for_any_request() -> None:
    """Nothing counts a request below it, so the worst one must be bounded there."""
    made = policies(*conditions("ForAnyValue:StringLike", SEARCHED[:120] + "*"))
    candidates = made.candidates("s3:Get")
    assert candidates.work <= SMALL_WORK
    assert units(made, asked(*[LONG] * 2)) < DECISION_WORK_MAX


def test_a_joined_set_has_the_work_and_the_statements_of_its_parts() -> None:
    allow, deny = policies({"Sid": "A"}), policies({"Sid": "D", "Effect": "Deny"})
    joined = join_policies([allow, deny])
    candidates = joined.candidates("s3:Get")
    assert candidates.work == sum(s.candidates("s3:Get").work for s in (allow, deny))
    assert [s.ref.sid for s in joined.statements()] == ["A", "D"]


def test_the_search_for_statements_is_counted() -> None:
    made = policies(
        {"Action": [f"s3:{n}?*" for n in range(40)]},
        {"NotAction": [f"s3:{n}?*" for n in range(30)]},
        {"Action": "ec2:*"},
    )
    assert made.candidates("s3:Get").search >= 70
    assert join_policies([made, made]).candidates("s3:Get").search >= 140


AXES = {
    "statements": 1_000,
    "patterns": 200,
    "question marks": 250,
    "values": VALUES_MAX,
    "characters": VALUE_CHARACTERS_MAX,
}
"""What makes a decision cost more, and the most that doors let through of it."""

MOST_CALLS = 4 * DECISION_WORK_MAX


def calls_of(work: Callable[[], object]) -> int:
    """How many functions are called, of Python's own and of ours."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def cost(operator: str, size: dict[str, int]) -> int | None:
    """The calls of one decision; None when it is refused."""
    if size["values"] * size["characters"] > 65_536:
        return None
    pattern = "*" + "a?" * size["question marks"] + "b*"
    many = [f"{pattern}{n}" for n in range(size["patterns"])]
    statements = conditions(operator, *many, count=size["statements"])
    try:
        applicable = ApplicablePolicies(identity=policies(*statements))
    except PolicyRejected:
        return None
    request = asked(*["a" * size["characters"]] * size["values"])
    try:
        authorize(request, applicable)  # compiled from here on
        return calls_of(lambda: authorize(request, applicable))
    except TooMuchWork:
        return None


@pytest.mark.parametrize("operator", ["ForAnyValue:StringLike", "StringNotLike"])
def test_a_search_for_the_costliest_decision_stays_within_the_bound(
    operator: str,
) -> None:
    """It enlarges whatever costs most, as long as anything may be larger."""
    size = dict.fromkeys(AXES, 1)
    match = cost(operator, size) or 0
    refused = False
    while True:
        costs: dict[str, int] = {}
        for axis, most in AXES.items():
            larger = {**size, axis: min(most, size[axis] * 6)}
            result = cost(operator, larger) if larger != size else 0
            refused = refused or result is None
            costs[axis] = result or 0
        worst = max(costs, key=lambda axis: costs[axis])
        if costs[worst] <= match:
            break
        match, size[worst] = costs[worst], min(AXES[worst], size[worst] * 6)
    assert match > DECISION_WORK_MAX // 50, "the search found nothing costly"
    assert refused, "the search met no bound"
    assert match < MOST_CALLS, size
