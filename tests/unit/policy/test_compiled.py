"""A set of policies is indexed by action, and stays small whatever is asked."""

import json

from broker.model.account import AccountId
from broker.model.principal import Principal
from broker.policy import (
    ALLOW_ALL,
    AccessRequest,
    ApplicablePolicies,
    PolicyKind,
    authorize,
    compile_policies,
    matched_statements,
    parse_policy,
)

BOB = Principal.user(
    AccountId("111122223333"), user_id="AIDABOBBOBBOBBOBBOBBO", path="/", name="bob"
)
TEXT = json.dumps(
    {
        "Statement": [
            {"Effect": "Allow", "Action": ["s3:Get*", "s3:GetObject"], "Resource": "*"},
            {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"},
            {"Effect": "Deny", "Action": "s3:Put*", "Resource": "*"},
            {"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::b/*"},
            {"Effect": "Allow", "Action": "ec2:*", "Resource": "*"},
        ]
    }
)
POLICIES = compile_policies([("p", parse_policy(TEXT, PolicyKind.IDENTITY))])


def test_candidates_are_those_of_the_action_once_and_in_order() -> None:
    candidates = POLICIES.candidates("S3:GetObject")
    assert [s.ref.index for s in candidates.allows] == [0, 1, 3]
    assert candidates.denies == ()
    candidates = POLICIES.candidates("s3:PutObject")
    assert [s.ref.index for s in candidates.denies] == [2]
    assert [s.ref.index for s in POLICIES.candidates("iam:GetUser").allows] == [3]


def test_all_matching_statements_can_be_listed() -> None:
    request = AccessRequest("s3:PutObject", "arn:aws:s3:::c/k", BOB)
    assert [
        ref.index for ref in matched_statements(request, POLICIES, bounded=False)
    ] == [2, 1]
    request = AccessRequest("s3:GetObject", "arn:aws:s3:::b/k", BOB)
    assert [
        ref.index for ref in matched_statements(request, POLICIES, bounded=False)
    ] == [0, 1, 3]


def test_the_memo_of_actions_is_bounded() -> None:
    policies = compile_policies([("p", parse_policy(TEXT, PolicyKind.IDENTITY))])
    sizes = []
    for number in range(2500):
        policies.candidates(f"s3:Get{number}")
        sizes.append(len(policies._memo))
    assert max(sizes) == 1024


def test_candidates_are_looked_for_once() -> None:
    first = POLICIES.candidates("s3:GetObject")
    POLICIES.candidates("s3:PutObject")
    assert POLICIES.candidates("s3:GetObject") is first


def test_a_statement_is_compiled_once() -> None:
    first = POLICIES.candidates("s3:GetObject").allows[0]
    assert POLICIES.candidates("s3:GetObjectAcl").allows[0] is first
    assert next(iter(POLICIES.statements())) is first


def test_the_root_may_everything() -> None:
    request = AccessRequest("x:Y", "*", BOB)
    allowed = authorize(request, ApplicablePolicies(identity=ALLOW_ALL))
    assert allowed.allowed
    assert [str(ref) for ref in allowed.statements] == ["statement 1 of root"]


def test_a_set_shows_its_labels() -> None:
    assert repr(POLICIES) == "PolicySet(p)"
    assert str(POLICIES.candidates("ec2:Run").allows[0].ref) == "statement 2 of p"
