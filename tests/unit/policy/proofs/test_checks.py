"""The checks: acceptance cases as data, and what holds of each answer."""

import json
import random
from collections.abc import Sequence
from time import process_time
from typing import Any

import pytest

from broker.model.account import AccountId
from broker.model.principal import Principal
from broker.policy import (
    ApplicablePolicies,
    PolicyKind,
    PolicySet,
    authorize,
    compile_policies,
    matched_statements,
    parse_policy,
)
from broker.policy.catalogue import find_managed_policy_entry, managed_policy_arns
from broker.policy.document import Principals
from broker.policy.principal import PrincipalTest
from broker.policy.proofs import access_not_granted, no_new_access, no_public_access
from broker.policy.proofs.principals import list_classes
from broker.policy.proofs.work import STEPS_MAX, Undecided
from broker.runtime.offload import run_steps
from tests.support.policy_solvers import is_covered
from tests.support.random_policies import random_pair, random_requests
from tests.support.rows import rows

TYPICAL = (
    *("iam:CreateUser", "iam:PassRole", "iam:AttachRolePolicy", "iam:PutRolePolicy"),
    *("iam:CreateAccessKey", "sts:AssumeRole", "s3:GetObject", "s3:DeleteObject"),
    *("s3:PutBucketPolicy", "ec2:RunInstances", "ec2:TerminateInstances"),
    *("kms:Decrypt", "secretsmanager:GetSecretValue", "lambda:InvokeFunction"),
    *("lambda:CreateFunction", "dynamodb:Scan", "rds:DeleteDBInstance"),
    *("organizations:LeaveOrganization", "cloudtrail:StopLogging", "ssm:SendCommand"),
)


def policies(
    statements: Sequence[dict[str, Any]], kind: PolicyKind = PolicyKind.IDENTITY
) -> PolicySet:
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    return compile_policies([("policy", parse_policy(text, kind))])


def kind_of(statements: Sequence[dict[str, Any]]) -> PolicyKind:
    named = any("rincipal" in name for s in statements for name in s)
    return PolicyKind.RESOURCE if named else PolicyKind.IDENTITY


def answers(reasons: Sequence[Any]) -> list[str]:
    return [
        f"{reason.index} {'undecided' if reason.request is None else 'fail'}"
        for reason in reasons
    ]


@rows("new, old, expected")
def test_new_access(
    new: list[dict[str, Any]], old: list[dict[str, Any]], expected: list[str]
) -> None:
    kind = kind_of(new)
    reasons = run_steps(no_new_access(policies(new, kind), policies(old, kind)))
    assert answers(reasons) == expected


@rows("statements, actions, resources, expected")
def test_access(
    statements: list[dict[str, Any]],
    actions: list[str],
    resources: list[str],
    expected: list[str],
) -> None:
    of = policies(statements, kind_of(statements))
    assert (
        answers(run_steps(access_not_granted(of, [(actions, resources)]))) == expected
    )


@rows("statements, expected")
def test_public_access(statements: list[dict[str, Any]], expected: list[str]) -> None:
    assert (
        answers(run_steps(no_public_access(policies(statements, PolicyKind.RESOURCE))))
        == expected
    )


def compare(seed: int, *, variables: bool) -> str:
    """The answer about a pair; whatever contradicts it fails the test."""
    new, old = random_pair(seed, variables=variables)
    sides = compile_policies([("new", new)]), compile_policies([("old", old)])

    def allows(request: Any) -> list[bool]:
        return [
            authorize(request, ApplicablePolicies(identity=side)).allowed
            for side in sides
        ]

    reasons = run_steps(no_new_access(*sides))
    for reason in reasons:
        if reason.request is not None:
            assert allows(reason.request) == [True, False], seed
            refs = matched_statements(reason.request, sides[0], bounded=False)
            assert reason.index in {ref.index for ref in refs}, seed
    if reasons:
        return "fail" if any(reason.request for reason in reasons) else "undecided"
    for request in random_requests(seed, 100):
        assert allows(request) != [True, False], (seed, request)
    if not variables:
        assert is_covered(new, old) is not False, seed
    return "pass"


@pytest.mark.parametrize("variables", [False, True])
def test_random_pairs_agree_with_two_solvers_and_with_the_evaluator(
    *, variables: bool
) -> None:
    results = [compare(seed, variables=variables) for seed in range(300)]
    assert results.count("pass") > 20
    assert results.count("undecided") <= (12 if variables else 0)


@pytest.mark.long
@pytest.mark.parametrize("part", range(20))
def test_a_hundred_thousand_random_pairs_agree(part: int) -> None:
    seeds = range(1_000 + part * 5_000, 1_000 + (part + 1) * 5_000)
    results = [compare(seed, variables=seed % 2 == 1) for seed in seeds]
    assert results.count("undecided") <= len(seeds) * 0.02


def test_every_managed_policy_is_decided() -> None:
    failing = 0
    for arn in managed_policy_arns():
        entry = find_managed_policy_entry(arn)
        assert entry is not None
        document = parse_policy(entry.document, PolicyKind.IDENTITY)
        of = compile_policies([(arn, document)])
        reasons = run_steps(access_not_granted(of, [(TYPICAL, ())]))
        assert all(reason.request is not None for reason in reasons), arn
        failing += bool(reasons)
        if not reasons:
            continue
        request = reasons[0].request
        assert request is not None
        assert authorize(request, ApplicablePolicies(identity=of)).allowed
    assert 400 < failing < 700


def test_a_managed_policy_grants_nothing_new_compared_with_itself() -> None:
    for arn in random.Random(5).sample(managed_policy_arns(), 60):
        entry = find_managed_policy_entry(arn)
        assert entry is not None
        document = parse_policy(entry.document, PolicyKind.IDENTITY)
        of = compile_policies([(arn, document)])
        assert not run_steps(
            no_new_access(of, compile_policies([("same", document)]))
        ), arn


NAMES = (
    *("*", "111111111111", "arn:aws:iam::222222222222:root"),
    *("arn:aws:iam::111111111111:user/a", "arn:aws:iam::111111111111:role/p/r"),
    *("arn:aws:sts::111111111111:assumed-role/r/s", "AIDAAAAAAAAAAAAAAAAA"),
    *("AROAAAAAAAAAAAAAAAAA", "arn:aws:sts::111111111111:federated-user/f"),
)


def test_a_principal_has_a_class_that_is_named_as_it_is() -> None:
    chance = random.Random(6)
    accounts = [AccountId(digit * 12) for digit in "123"]
    for _ in range(150):
        elements = [
            Principals(
                aws=tuple(chance.sample(NAMES, chance.randint(0, 4))),
                federated=("www.amazon.com",) * chance.randint(0, 1),
                service=("ec2.amazonaws.com",) * chance.randint(0, 1),
            )
            for _ in range(2)
        ]
        tests = [
            PrincipalTest.compile(e, excludes=excludes, denies=denies)
            for e in elements
            for excludes in (False, True)
            for denies in (False, True)
        ]
        classes = {
            tuple(test.grant(entry.principal) for test in tests)
            for entry in list_classes(elements)
        }
        account = chance.choice(accounts)
        people = [
            Principal.root(account),
            Principal.user(
                account, user_id=chance.choice((NAMES[6], "AIDAX")), path="/", name="a"
            ),
            Principal.role_session(
                account,
                role_id=chance.choice((NAMES[7], "AROAX")),
                path=chance.choice(("/", "/p/")),
                role_name=chance.choice(("r", "q")),
                session_name=chance.choice("st"),
            ),
            Principal.federated_user(account, name=chance.choice("fg"), issuer=None),
        ]
        for person in people:
            grants = tuple(test.grant(person) for test in tests)
            assert grants in classes, (elements, person)


def test_too_many_principals_are_undecided() -> None:
    names = [f"arn:aws:iam::{n:012}:role/r" for n in range(200)]
    with pytest.raises(Undecided):
        list_classes([Principals(aws=tuple(names))])
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": names},
        "Action": "s3:*",
        "Resource": "*",
    }
    reasons = run_steps(
        access_not_granted(policies([statement], PolicyKind.RESOURCE), [((), ())])
    )
    assert answers(reasons) == ["0 undecided"]


S3 = "arn:aws:s3:::"


def allow(resource: Any, **conditions: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": resource}
    return {**statement, "Condition": conditions} if conditions else statement


def equal(**keys: Any) -> dict[str, Any]:
    return {"StringEquals": {f"k:{name}": value for name, value in keys.items()}}


def hard_pairs() -> dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    chance = random.Random(1)
    marks = ["".join(chance.choice("a?") for _ in range(40)) for _ in range(80)]
    stars = ["*".join(chance.choice("abc") for _ in range(30)) for _ in range(100)]
    late = [f"{S3}*{c}{'?' * 18}{d}" for c in "ab" for d in "ab"]
    holes = [str(n) for n in range(6)]
    pigeons = [f"p{n}" for n in range(7)]
    pairs = [(p, q) for p in pigeons for q in pigeons if p < q]
    return {
        "question marks": (
            [allow(f"{S3}*")],
            [allow([f"{S3}*{m}*" for m in marks])],
        ),
        "stars": ([allow(f"{S3}*")], [allow([f"{S3}*{s}*" for s in stars])]),
        "a choice late in a text": ([allow(f"{S3}*{'?' * 20}c")], [allow(late)]),
        "subsets": (
            [allow(f"{S3}*1{'?' * 30}")],
            [allow([f"{S3}{'?' * n}*0*" for n in range(200)])],
        ),
        "seven pigeons in six holes": (
            [allow("*", **equal(**dict.fromkeys(pigeons, holes)))],
            [allow("*", **equal(**{p: h, q: h})) for p, q in pairs for h in holes],
        ),
        "two long unions": (
            [allow([f"{S3}b{n}*x{n}*" for n in range(900)])],
            [allow([f"{S3}b{n}*x{n + 1}*" for n in range(900)])],
        ),
        "long texts": (
            [allow(f"{S3}{'a' * 1_900}*")],
            [
                allow(
                    [
                        f"{S3}{'a' * n}*{'a' * (1_900 - n)}b*"
                        for n in range(0, 1_800, 20)
                    ]
                )
            ],
        ),
        "three variables": (
            [allow(f"{S3}${{k:a}}/${{k:b}}/${{k:c}}/{n}") for n in range(20)],
            [allow(f"{S3}${{k:a}}/x${{k:b}}/${{k:c}}/{n}") for n in range(20)],
        ),
    }


def reference_seconds() -> float:
    """What as many simple operations take as a check may."""
    began, numbers, value = process_time(), {}, 1 << 2_000
    for step in range(STEPS_MAX):
        numbers[step & 0xFF] = (value >> (step & 7)) & value
    return process_time() - began


@pytest.mark.parametrize("name", hard_pairs())
def test_a_hard_pair_ends_within_the_work_that_is_allowed(name: str) -> None:
    sides = [policies(statements) for statements in hard_pairs()[name]]
    began = process_time()
    reasons = run_steps(no_new_access(sides[0], sides[1]))
    taken = process_time() - began
    assert reasons
    assert taken < 40 * reference_seconds()
