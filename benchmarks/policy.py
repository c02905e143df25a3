"""Policy decisions: how long one takes, against cedarpy and iam-simulate.

``python -m benchmarks.policy`` prints the figures; ``run`` returns them.
"""

import json
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import cedarpy

from broker.model.account import AccountId
from broker.model.principal import Principal
from broker.policy import (
    AccessRequest,
    ApplicablePolicies,
    PolicyDocument,
    PolicyKind,
    authorize,
    compile_policies,
    parse_policy,
)

ACCOUNT = AccountId("111122223333")
BOB = Principal.user(ACCOUNT, user_id="AIDABOBBOBBOBBOBBOBBO", path="/", name="bob")
CONTEXT = {
    "aws:sourceip": ("203.0.113.77",),
    "aws:currenttime": ("2026-01-31T12:00:00Z",),
    "aws:principaltag/team": ("red",),
    "aws:securetransport": ("true",),
    "aws:username": ("bob",),
}
CONDITIONS = {
    "StringEquals": {"aws:PrincipalTag/team": ["red", "blue"]},
    "IpAddress": {"aws:SourceIp": "203.0.113.0/24"},
    "Bool": {"aws:SecureTransport": "true"},
}
NODE = Path(__file__).parent.parent / "tests" / "node"
BIG = 100_000


def documents(statements: int) -> list[PolicyDocument]:
    """Five policies or more; 25 services at the least, two actions a statement, and no
    action with more than three candidates."""
    return [parse_policy(text, PolicyKind.IDENTITY) for text in texts(statements)]


def texts(statements: int) -> list[str]:
    services = max(25, statements // 4)
    made = [
        {
            "Effect": "Deny" if number % 10 == 9 else "Allow",
            "Action": [
                f"service{number % services}:Get{number // services}",
                f"service{number % services}:Get{number // services + 1}*",
            ],
            "Resource": [
                f"arn:aws:service{number % services}:*:{ACCOUNT}:thing/{number}/*",
                f"arn:aws:service{number % services}:::thing/${{aws:username}}/*",
            ],
            "Condition": CONDITIONS,
        }
        for number in range(statements)
    ]
    count = max(5, statements // 100)
    size = statements // count
    return [
        json.dumps(
            {"Version": "2012-10-17", "Statement": made[n * size : (n + 1) * size]}
        )
        for n in range(count)
    ]


def requests(statements: int) -> list[AccessRequest]:
    """One for each statement: half of them granted, half refused by the resource."""
    services = max(25, statements // 4)
    return [
        AccessRequest(
            f"service{number % services}:Get{number // services}",
            f"arn:aws:service{number % services}:us-east-1:{ACCOUNT}"
            f":thing/{number + number % 2}/leaf",
            BOB,
            CONTEXT,
        )
        for number in range(statements)
    ]


def median_seconds(work: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def decision_seconds(statements: int) -> float:
    """The median over all decisions of several rounds, index warm."""
    policies = compile_policies(
        (f"p{n}", document) for n, document in enumerate(documents(statements))
    )
    applicable = ApplicablePolicies(identity=policies)
    asked = requests(statements)[:200]
    taken = []
    for _ in range(max(6, 4000 // len(asked))):
        for request in asked:
            start = time.perf_counter()
            authorize(request, applicable)
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def cedar_seconds() -> float:
    """cedarpy over an already parsed set of 50 policies of the same shape."""
    policies = "\n".join(
        f'{"forbid" if number % 10 == 9 else "permit"}(principal == User::"bob", '
        f'action in [Action::"service{number % 25}:Get{number // 25}"], resource) when '
        f'{{ resource.path like "thing/{number}/*" && '
        '["red", "blue"].contains(context.team) && '
        'context.ip.isInRange(ip("203.0.113.0/24")) && context.secure };'
        for number in range(50)
    )
    handle = cedarpy.PolicySet.from_str(policies)
    entities = cedarpy.Entities.from_json_str(
        json.dumps(
            [
                {
                    "uid": {"type": "Thing", "id": "t"},
                    "attrs": {"path": "thing/4/leaf"},
                    "parents": [],
                }
            ]
        )
    )
    request = {
        "principal": 'User::"bob"',
        "action": 'Action::"service4:Get0"',
        "resource": 'Thing::"t"',
        "context": {
            "team": "red",
            "secure": True,
            "ip": {"__extn": {"fn": "ip", "arg": "203.0.113.77"}},
        },
    }
    assert cedarpy.is_authorized(request, handle, entities).allowed
    return median_seconds(
        lambda: cedarpy.is_authorized(request, handle, entities), 2000
    )


def node_seconds() -> float | None:
    """iam-simulate on Node, if it is installed; None otherwise."""
    node = shutil.which("node")
    if node is None or not (NODE / "node_modules").is_dir():
        return None
    simulations = [
        {
            "request": {
                "principal": BOB.arn,
                "action": "s3:GetObject",
                "resource": {
                    "resource": "arn:aws:s3:::thing/leaf",
                    "accountId": ACCOUNT,
                },
                "contextVariables": {
                    "aws:PrincipalTag/team": "red",
                    "aws:SourceIp": "203.0.113.77",
                    "aws:SecureTransport": "true",
                },
            },
            "identityPolicies": [
                {"name": f"p{n}", "policy": json.loads(text)}
                for n, text in enumerate(texts(50))
            ],
            "serviceControlPolicies": [],
            "resourceControlPolicies": [],
        }
    ]
    done = subprocess.run(
        [node, "iam_simulate.mjs"],
        input=json.dumps({"simulations": simulations, "repeat": 100}),
        cwd=NODE,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(json.loads(done.stdout)["seconds"])


def compile_seconds(statements: int) -> float:
    parsed = documents(statements)
    return median_seconds(
        lambda: compile_policies((f"p{n}", d) for n, d in enumerate(parsed)), 10
    )


def parse_seconds(statements: int) -> float:
    written = texts(statements)
    return median_seconds(
        lambda: [parse_policy(text, PolicyKind.IDENTITY) for text in written], 5
    )


def adversarial() -> list[tuple[str, float]]:
    """The worst that 100 kB of request can do to a pattern of the longest kind."""
    cases = {
        "a*a*…b": ("a*" * 1000 + "b", "a" * BIG),
        "*a?a?…b": ("*" + "a?" * 240 + "b*", "a" * BIG + "b"),
        "*a?…b across two letters": ("*" + "a?b?" * 120 + "a*", "abbb" * (BIG // 4)),
        "?*?*…": ("?*" * 240 + "x", "y" * BIG),
        "*a?b*a?b…": ("*a?b" * 120, ("a" * 70 + "axb") * (BIG // 73)),
        "half a pattern": ("*" + "ab" * 1000 + "*", "ab" * 999 + "a" * BIG),
    }
    results = []
    for label, (pattern, text) in cases.items():
        results += [
            (f"{operator} {label}", _condition(operator, pattern, text))
            for operator in ("StringLike", "StringNotLike")
        ]
        results.append((f"Resource {label}", _resource(pattern, text)))
    results += [
        ("IpAddress 100 kB", _condition("IpAddress", "10.0.0.0/8", "1" * BIG)),
        ("NumericEquals 100 kB", _condition("NumericEquals", "1", "1" * BIG)),
        ("DateEquals 100 kB", _condition("DateEquals", "2026", "2" * BIG)),
        ("BinaryEquals 100 kB", _condition("BinaryEquals", "QUJD", "QUJD" * 25_000)),
        ("ArnLike 100 colons kB", _condition("ArnLike", "arn:*:*:*:*:*x", ":" * BIG)),
        (
            "StringEqualsIgnoreCase 100 kB",
            _condition("StringEqualsIgnoreCase", "x", "X" * BIG),
        ),
    ]
    return results


def _condition(operator: str, pattern: str, text: str) -> float:
    return _policy(
        {"Resource": "*", "Condition": {operator: {"aws:UserAgent": pattern}}},
        {"aws:useragent": (text,)},
        "*",
    )


def _resource(pattern: str, text: str) -> float:
    head = "arn:aws:s3:::"
    return _policy({"Resource": head + pattern}, {}, head + text)


def _policy(
    elements: dict[str, object], context: dict[str, tuple[str, ...]], resource: str
) -> float:
    policy = {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "s3:Get*", **elements},
    }
    document = parse_policy(json.dumps(policy), PolicyKind.IDENTITY)
    applicable = ApplicablePolicies(identity=compile_policies([("p", document)]))
    request = AccessRequest("s3:GetObject", resource, BOB, context)
    return median_seconds(lambda: authorize(request, applicable), 5)


def run() -> list[tuple[str, str]]:
    """All figures, as label and text."""
    small, large = decision_seconds(50), decision_seconds(2000)
    cedar, node = cedar_seconds(), node_seconds()
    worst, slowest = max((seconds, label) for label, seconds in adversarial())
    against_node = (
        "iam-simulate is not installed (npm ci in tests/node)"
        if node is None
        else f"{node * 1e3:.2f} ms, {node / small:.0f} times as long (goal: 200)"
    )
    return [
        ("policy: decision, 5 policies / 50 statements", _us(small, goal="10 µs")),
        (
            "policy: decision, 2,000 statements",
            f"{large * 1e6:.1f} µs, {large / small:.2f} times 50 (goal: 2)",
        ),
        (
            "policy: cedarpy, 50 parsed policies",
            f"{cedar * 1e6:.1f} µs, {cedar / small:.1f} times as long (goal: over 1)",
        ),
        ("policy: iam-simulate, same policies", against_node),
        (
            "policy: compile 1,000 statements",
            f"{compile_seconds(1000) * 1e3:.1f} ms (goal: 30 ms)",
        ),
        (
            "policy: parse 1,000 statements",
            f"{parse_seconds(1000) * 1e3:.1f} ms",
        ),
        (
            "policy: worst of the adversarial inputs, 100 kB",
            f"{worst * 1e3:.2f} ms (goal: 5 ms): {slowest}",
        ),
    ]


def _us(seconds: float, *, goal: str) -> str:
    return f"{seconds * 1e6:.1f} µs (goal: {goal})"


if __name__ == "__main__":
    for name, figure in run():
        print(f"{name:55} {figure}")
