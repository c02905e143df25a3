"""The engine agrees with iam-simulate, an independent program, over made-up cases.

``npm ci`` in ``tests/node`` installs it; without it these tests are skipped. Its code
and cases stay out of this repository. Where the two differ, the difference is listed
below with the source that we follow; the made-up cases keep clear of those.

The engine decides each case twice: by policies that were compiled once and have decided
others, and by each of their statements compiled alone.
"""

import functools
import json
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from broker.model.account import AccountId
from broker.model.principal import Principal, PrincipalType
from broker.policy import (
    AccessRequest,
    ApplicablePolicies,
    PolicyKind,
    PolicySet,
    authorize,
    authorize_trust,
    compile_policies,
    parse_policy,
)
from tests.support.effort import examples
from tests.support.policies import decided
from tests.support.rows import of_file

NODE = Path(__file__).parent.parent / "node"
PROGRAM = shutil.which("node")
INSTALLED = PROGRAM is not None and (NODE / "node_modules").is_dir()

HOME, ABROAD = AccountId("111122223333"), AccountId("999988887777")
BOB = Principal.user(HOME, user_id="AIDABOBBOBBOBBOBBOBBO", path="/", name="bob")
SESSION = Principal.role_session(
    HOME, role_id="AROAREADERREADERREADE", path="/", role_name="r", session_name="s"
)
FEDERATED = Principal.federated_user(HOME, name="ann", issuer=None)
FAR = Principal.user(ABROAD, user_id="AIDAFARFARFARFARFARFA", path="/", name="far")
ROLE = f"arn:aws:iam::{HOME}:role/r"
WEB = "sts:AssumeRoleWithWebIdentity"
PROVIDERS = [
    f"arn:aws:iam::{HOME}:oidc-provider/{name}"
    for name in ("cognito-identity.amazonaws.com", "idp.example")
]

Simulation = dict[str, Any]


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow"} | s for s in statements],
    }


def simulation(
    who: Principal = BOB,
    *,
    action: str = "s3:GetObject",
    resource: str = "arn:aws:s3:::b/k",
    owner: str = HOME,
    context: dict[str, Any] | None = None,
    identity: list[Any] | None = None,
    boundary: dict[str, Any] | None = None,
    session: dict[str, Any] | None = None,
    resource_policy: dict[str, Any] | None = None,
    scp: dict[str, Any] | None = None,
) -> Simulation:
    """A request in iam-simulate's terms; ``who`` stays beside it for ours."""
    results: Simulation = {
        "who": who,
        "request": {
            "principal": who.arn,
            "action": action,
            "resource": {"resource": resource, "accountId": owner},
            "contextVariables": context or {},
        },
        "identityPolicies": [
            {"name": f"p{number}", "policy": document}
            for number, document in enumerate(identity or [])
        ],
        "serviceControlPolicies": [],
        "resourceControlPolicies": [],
    }
    if boundary:
        results["permissionBoundaryPolicies"] = [{"name": "b", "policy": boundary}]
    if session:
        results["sessionPolicy"] = session
    if resource_policy:
        results["resourcePolicy"] = resource_policy
    if scp:
        results["serviceControlPolicies"] = [
            {"orgIdentifier": "r", "policies": [{"name": "s", "policy": scp}]}
        ]
    return results


def theirs(simulations: list[Simulation]) -> list[str]:
    if not INSTALLED:
        pytest.skip("run npm ci in tests/node")
    plain = [
        {name: value for name, value in entry.items() if name != "who"}
        for entry in simulations
    ]
    assert PROGRAM is not None
    done = subprocess.run(
        [PROGRAM, "iam_simulate.mjs"],
        input=json.dumps({"simulations": plain}),
        cwd=NODE,
        capture_output=True,
        text=True,
        check=True,
    )
    return [str(result) for result in json.loads(done.stdout)["results"]]


@functools.lru_cache(1_024)
def compiled_text(text: str, kind: PolicyKind) -> PolicySet:
    return compile_policies([("p", parse_policy(text, kind))])


def ours(item: Simulation) -> str:
    def compiled(document: Any, kind: PolicyKind) -> PolicySet:
        return compiled_text(json.dumps(document), kind)

    asked = item["request"]
    trust = asked["action"].startswith("sts:") and "resourcePolicy" in item
    boundaries = item.get("permissionBoundaryPolicies")
    request = AccessRequest(
        asked["action"],
        asked["resource"]["resource"],
        item["who"],
        {
            key.lower(): tuple(value) if isinstance(value, list) else (value,)
            for key, value in asked["contextVariables"].items()
        },
    )
    applicable = ApplicablePolicies(
        identity=compile_policies(
            (entry["name"], parse_policy(json.dumps(entry["policy"]), kind))
            for kind in (PolicyKind.IDENTITY,)
            for entry in item["identityPolicies"]
        ),
        boundary=compiled(boundaries[0]["policy"], PolicyKind.BOUNDARY)
        if boundaries
        else None,
        session=(compiled(item["sessionPolicy"], PolicyKind.SESSION),)
        if "sessionPolicy" in item
        else (),
        resource=compiled(
            item["resourcePolicy"], PolicyKind.TRUST if trust else PolicyKind.RESOURCE
        )
        if "resourcePolicy" in item
        else None,
        resource_account=asked["resource"]["accountId"],
        service_controls=tuple(
            compiled(level["policies"][0]["policy"], PolicyKind.CONTROL)
            for level in item["serviceControlPolicies"]
        ),
    )
    decide = authorize_trust if trust else authorize
    decision = decided(decide, request, applicable)
    if decision.allowed:
        return "Allowed"
    return "ExplicitlyDenied" if decision.explicit_deny else "ImplicitlyDenied"


OPERATORS = of_file(__file__, "OPERATORS")
CLAIMS = of_file(__file__, "CLAIMS")


def with_default(text: str) -> str:
    """Variables that always have a value: without one, negation is a listed difference."""
    return re.sub(r"\$\{([^,}]+)\}", r"${\1, 'none'}", text)


class Maker:
    """Makes cases from a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def some(self, values: list[Any], most: int = 2) -> list[Any]:
        return self.chance.sample(values, self.chance.randint(1, most))

    def condition(self) -> dict[str, Any]:
        results: dict[str, Any] = {}
        for _ in range(self.chance.choice([0, 0, 1, 1, 2])):
            key = self.chance.choice(list(OPERATORS))
            operators, written, _ = OPERATORS[key]
            operator = self.chance.choice(operators)
            values = self.some(written)
            negated = "Not" in operator
            if operator == "NotIpAddress":
                values = values[:1]  # several are a listed difference
            if negated:
                values = [with_default(value) for value in values]
            if not operator.startswith("For") and self.chance.random() < 0.3:
                operator += "IfExists"
            results.setdefault(operator, {})[key] = values
        if self.chance.random() < 0.1:
            key = self.chance.choice(list(OPERATORS))
            results["Null"] = {key: self.chance.choice(["true", "false"])}
        return results

    def statement(self, **elements: Any) -> dict[str, Any]:
        actions = [
            "s3:GetObject",
            "s3:*",
            "S3:get*",
            "*",
            "s3:Put*",
            "iam:*",
            "s3:G?tObject",
        ]
        resources = ["*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/k", "arn:aws:s3:::c/*"]
        resources += [
            "arn:aws:s3:*:*:b/?",
            "arn:aws:s3:*",
            "arn:aws:s3:::b/${aws:username}",
        ]
        results: dict[str, Any] = {
            "Effect": self.chance.choice(["Allow", "Allow", "Deny"]),
            self.chance.choice(["Action"] * 4 + ["NotAction"]): self.some(actions),
        }
        resource = self.some(resources, 1)
        if self.chance.random() < 0.2:
            results["NotResource"] = [with_default(arn) for arn in resource]
        else:
            results["Resource"] = resource
        condition = self.condition()
        if condition:
            results["Condition"] = condition
        return results | elements

    def document(self) -> dict[str, Any]:
        return policy(*(self.statement() for _ in range(self.chance.randint(1, 3))))

    def resource_policy(self) -> dict[str, Any]:
        names = ["*", HOME, ABROAD, BOB.arn, FAR.arn, ROLE, f"arn:aws:iam::{HOME}:root"]
        return policy(
            *(
                self.statement(Principal={"AWS": self.some(names)})
                for _ in range(self.chance.randint(1, 2))
            )
        )

    def context(self) -> dict[str, Any]:
        keys = self.chance.sample(list(OPERATORS), self.chance.randint(2, 7))
        return {key: self.chance.choice(OPERATORS[key][2]) for key in keys}

    def case(self) -> Simulation:
        who = self.chance.choice([BOB, BOB, SESSION, FAR])
        maybe = self.chance.random
        # A session policy beside a resource policy is a listed difference.
        resource_policy = self.resource_policy() if maybe() < 0.4 else None
        session = None
        if who is SESSION and resource_policy is None and maybe() < 0.5:
            session = self.document()
        return simulation(
            who,
            action=self.chance.choice(["s3:GetObject", "s3:GetObject", "s3:PutObject"]),
            resource=self.chance.choice(
                ["arn:aws:s3:::b/k", "arn:aws:s3:::b/bob", "arn:aws:s3:::c/k"]
            ),
            context=self.context(),
            identity=[self.document() for _ in range(self.chance.randint(0, 2))],
            boundary=self.document() if maybe() < 0.3 else None,
            session=session,
            resource_policy=resource_policy,
            scp=self.document() if maybe() < 0.2 else None,
        )

    def claims(self) -> dict[str, Any]:
        """The keys of a token that this program knows, too."""
        keys = self.chance.sample(list(CLAIMS), self.chance.randint(2, len(CLAIMS)))
        return {key: self.chance.choice(CLAIMS[key][2]) for key in keys}

    def trust_policy(self) -> dict[str, Any]:
        def condition() -> dict[str, Any]:
            operators: dict[str, Any] = {}
            for key in self.chance.choices(list(CLAIMS), k=self.chance.randint(0, 3)):
                operator = self.chance.choice(CLAIMS[key][0])
                operators.setdefault(operator, {})[key] = self.some(CLAIMS[key][1])
            return {"Condition": operators} if operators else {}

        return policy(
            *(
                {
                    "Effect": self.chance.choice(["Allow", "Allow", "Deny"]),
                    "Principal": {"Federated": self.chance.choice(PROVIDERS)},
                    "Action": self.chance.choice(["sts:AssumeRoleWith*", WEB, WEB]),
                    **condition(),
                }
                for _ in range(self.chance.randint(1, 3))
            )
        )


@pytest.mark.parametrize("seed", range(3))
def test_agrees_over_generated_policies_and_requests(seed: int) -> None:
    maker = Maker(seed)
    cases = [maker.case() for _ in range(400)]
    answers = theirs(cases)
    assert {"Allowed", "ImplicitlyDenied", "ExplicitlyDenied"} <= set(answers)
    # Which denial is told, when several apply, is a matter of order: not compared.
    different = [
        (answer, ours(case), case)
        for case, answer in zip(cases, answers, strict=True)
        if (ours(case) == "Allowed") is not (answer == "Allowed")
    ]
    assert different == []


@pytest.mark.deep
@pytest.mark.timeout(3_600)
def test_agrees_over_ten_thousand_pairs_of_token_and_trust_policy() -> None:
    who = Principal.from_provider(
        PrincipalType.WEB_IDENTITY, HOME, provider=PROVIDERS[0], subject="s"
    )
    for seed in range(examples(1)):
        maker = Maker(seed)
        policies = [maker.trust_policy() for _ in range(1_000)]
        cases = [
            simulation(
                who,
                action=WEB,
                resource=ROLE,
                context=maker.claims(),
                resource_policy=maker.chance.choice(policies),
            )
            for _ in range(10_000)
        ]
        answers = [*map(ours, cases)]
        compared = cases[:2_500]  # most of the time is theirs
        pairs = zip(theirs(compared), answers, compared, strict=False)
        assert [pair for pair in pairs if pair[0] != pair[1]] == [], seed


def conditional(condition: dict[str, Any], **context: Any) -> Simulation:
    return simulation(
        context={key.replace("_", ":"): value for key, value in context.items()},
        identity=[policy({"Action": "s3:*", "Resource": "*", "Condition": condition})],
    )


def granted_to(who: Principal, name: str, **more: Any) -> Simulation:
    return simulation(
        who,
        resource_policy=policy(
            {"Principal": {"AWS": name}, "Action": "s3:*", "Resource": "*"}
        ),
        **more,
    )


UNTAGGED = {"aws:PrincipalTag/team": "${aws:PrincipalTag/none}"}
NARROW = policy({"Action": "ec2:*", "Resource": "*"})
DISAGREEMENTS = [
    *(
        pytest.param(
            conditional({operator: UNTAGGED}, **{"aws_PrincipalTag/team": "red"}),
            "ImplicitlyDenied",
            "Allowed",
            id=f"{operator} matches a variable without a value "
            "(IAM User Guide, policy variables with no value; POL-05)",
        )
        for operator in (
            "StringNotEquals",
            "StringNotEqualsIgnoreCase",
            "StringNotLike",
        )
    ),
    pytest.param(
        simulation(
            context={"aws:PrincipalArn": BOB.arn},
            identity=[
                policy(
                    {
                        "Action": "s3:*",
                        "Resource": "*",
                        "Condition": {
                            "ArnNotLike": {
                                "aws:PrincipalArn": "arn:aws:iam::*:user/${aws:username}"
                            }
                        },
                    }
                )
            ],
        ),
        "ImplicitlyDenied",
        "Allowed",
        id="ArnNotLike matches a variable without a value (as above)",
    ),
    pytest.param(
        simulation(
            identity=[
                policy(
                    {"Action": "s3:*", "NotResource": "arn:aws:s3:::b/${aws:username}"}
                )
            ]
        ),
        "ImplicitlyDenied",
        "Allowed",
        id="NotResource leaves nothing out for a variable without a value (as above)",
    ),
    pytest.param(
        simulation(
            resource_policy=policy(
                {
                    "Principal": {"AWS": BOB.arn},
                    "Action": "s3:*",
                    "Resource": "arn:aws:s3",
                }
            )
        ),
        "ImplicitlyDenied",
        "Allowed",
        id="an incomplete ARN is filled with stars in resource policies too",
    ),
    pytest.param(
        conditional(
            {"NotIpAddress": {"aws:SourceIp": ["2001:db8::/32", "0.0.0.0/0"]}},
            aws_SourceIp="203.0.114.7",
        ),
        "Allowed",
        "ImplicitlyDenied",
        id="NotIpAddress is NOR over all ranges, /0 included (POL-08, POL-14)",
    ),
    pytest.param(
        granted_to(SESSION, SESSION.arn, session=NARROW),
        "ImplicitlyDenied",
        "Allowed",
        id="a grant to the session's ARN is not cut by session policies "
        "(STS AssumeRole, Policy; IAM User Guide, session policies)",
    ),
    pytest.param(
        granted_to(FEDERATED, FEDERATED.arn, session=NARROW),
        "ImplicitlyDenied",
        "Allowed",
        id="a grant to the federated user is not cut (STS GetFederationToken)",
    ),
    pytest.param(
        granted_to(SESSION, "*", session=NARROW),
        "ImplicitlyDenied",
        "Allowed",
        id="a grant to everybody is a grant to the session (IAM User Guide, Principal)",
    ),
    pytest.param(
        conditional({"ForAnyValue:StringEqualsIfExists": {"aws:CalledVia": ["a"]}}),
        "ImplicitlyDenied",
        "Allowed",
        id="IfExists is true for an absent key, with set operators too "
        "(IAM User Guide, IfExists; POL-06)",
    ),
    pytest.param(
        conditional({"StringEquals": {"aws:CalledVia": ["a"]}}, aws_CalledVia=["a"]),
        "ImplicitlyDenied",
        "Allowed",
        id="a multivalued key without a set operator: any value (undocumented)",
    ),
    pytest.param(
        conditional(
            {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
            aws_SourceIp="::ffff:10.1.1.1",
        ),
        "ImplicitlyDenied",
        "Allowed",
        id="an IPv4-mapped address is the IPv4 address (POL-14)",
    ),
    pytest.param(
        conditional(
            {"DateEquals": {"aws:CurrentTime": "1769860800"}},
            aws_CurrentTime="2026-01-31T12:00:00Z",
        ),
        "ImplicitlyDenied",
        "Allowed",
        id="epoch seconds and ISO 8601 are the same instant (POL-14)",
    ),
    pytest.param(
        conditional({"StringEquals": {"aws:username": "b${*}"}}, aws_username="b*"),
        "ImplicitlyDenied",
        "Allowed",
        id="${*} is a star in StringEquals too (IAM User Guide, variables)",
    ),
    pytest.param(
        simulation(
            identity=[policy({"Action": "*", "Resource": "*"})],
            resource_policy=policy(
                {
                    "Effect": "Deny",
                    "NotPrincipal": {"AWS": BOB.arn},
                    "Action": "s3:*",
                    "Resource": "*",
                }
            ),
        ),
        "Allowed",
        "ExplicitlyDenied",
        id="Deny NotPrincipal must list the account too (IAM User Guide, NotPrincipal)",
    ),
    pytest.param(
        granted_to(
            Principal.federated_user(HOME, name="bob", issuer=None),
            BOB.arn,
            session=None,
        ),
        "Allowed",
        "ImplicitlyDenied",
        id="a federated user is not the user of the same name",
    ),
]


def test_differs_where_it_is_listed_and_nowhere_else() -> None:
    listed = [(entry.id, *entry.values) for entry in DISAGREEMENTS]
    answers = theirs([case for _, case, _, _ in listed])
    results = {
        name: (answer, ours(case))
        for (name, case, _, _), answer in zip(listed, answers, strict=True)
    }
    assert results == {name: (their, our) for name, _, their, our in listed}


def test_agrees_on_trust_policies_of_the_same_account() -> None:
    names = ["*", HOME, ROLE, SESSION.arn, BOB.arn, f"arn:aws:iam::{HOME}:root", ABROAD]
    wide = policy({"Action": "*", "Resource": "*"})
    cases = [
        simulation(
            who,
            action="sts:AssumeRole",
            resource=f"arn:aws:iam::{HOME}:role/q",
            identity=identity,
            boundary=boundary,
            resource_policy=policy(
                {"Principal": {"AWS": name}, "Action": "sts:AssumeRole"}
            ),
        )
        for who in (BOB, SESSION, FAR)
        for name in names
        for identity in ([], [wide])
        for boundary in (None, NARROW)
    ]
    assert [ours(case) for case in cases] == theirs(cases)
