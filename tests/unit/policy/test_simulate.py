"""A simulation says what was decided, and what each type of policy says by itself."""

import json
from typing import Any

import pytest
from msgspec import structs

from broker.model.account import AccountId
from broker.model.principal import Principal
from broker.policy import (
    AccessRequest,
    ApplicablePolicies,
    PolicyKind,
    PolicySet,
    PolicyType,
    compile_policies,
    parse_policy,
)
from broker.policy.simulate import SimulatedOutcome, Simulation, simulate

ACCOUNT = AccountId("123456789012")
USER = Principal.user(ACCOUNT, user_id="AIDAX", path="/", name="ann")
KEY = "arn:aws:s3:::b/k"


def policies(
    *statements: dict[str, Any],
    label: str = "p",
    kind: PolicyKind = PolicyKind.IDENTITY,
    version: str = "2012-10-17",
) -> PolicySet:
    text = json.dumps({"Version": version, "Statement": list(statements)})
    return compile_policies([(label, parse_policy(text, kind))])


def allow(action: str = "s3:*", resource: str = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: str = "s3:*", **more: Any) -> dict[str, Any]:
    return allow(action, Effect="Deny", **more)


def run(
    applicable: ApplicablePolicies,
    *,
    resource: str = KEY,
    trust: bool = False,
    **context: tuple[str, ...],
) -> Simulation:
    request = AccessRequest("s3:GetObject", resource, USER, context)
    return simulate(request, applicable, trust=trust)


def shown(simulation: Simulation) -> list[str]:
    return [f"{ref.policy}.{ref.index}" for ref in simulation.matched]


def test_what_allows_is_shown_for_an_allowed_request() -> None:
    simulation = run(
        ApplicablePolicies(identity=policies(allow("iam:*"), allow(), allow("s3:Get*")))
    )
    assert simulation.outcome is SimulatedOutcome.ALLOWED
    assert shown(simulation) == ["p.1", "p.2"]
    assert simulation.verdicts == {PolicyType.IDENTITY: SimulatedOutcome.ALLOWED}


def test_only_what_denies_is_shown_for_an_explicit_denial() -> None:
    simulation = run(
        ApplicablePolicies(identity=policies(allow(), deny(), deny("s3:Get*")))
    )
    assert simulation.outcome is SimulatedOutcome.EXPLICIT_DENY
    assert shown(simulation) == ["p.1", "p.2"]
    assert simulation.verdicts == {PolicyType.IDENTITY: SimulatedOutcome.EXPLICIT_DENY}


def test_a_boundary_ends_the_exemption_from_a_deny_in_what_is_shown_too() -> None:
    spared = {"AWS": [USER.arn, USER.account]}
    resource = policies(deny(NotPrincipal=spared), label="r", kind=PolicyKind.RESOURCE)
    free = ApplicablePolicies(identity=policies(allow()), resource=resource)
    assert run(free).outcome is SimulatedOutcome.ALLOWED
    simulation = run(structs.replace(free, boundary=policies(allow())))
    assert simulation.outcome is SimulatedOutcome.EXPLICIT_DENY
    assert shown(simulation) == ["r.0"]


def test_each_type_of_policy_has_a_verdict_of_its_own() -> None:
    simulation = run(
        ApplicablePolicies(
            identity=policies(allow()),
            boundary=policies(allow("iam:*")),
            resource=policies(
                allow(Principal="*"), label="r", kind=PolicyKind.RESOURCE
            ),
            session=(policies(allow()), policies(deny("s3:Put*"))),
            service_controls=(policies(allow()), policies(allow("iam:*"))),
            resource_controls=(policies(deny()),),
            resource_account="444455556666",
        )
    )
    assert simulation.outcome is SimulatedOutcome.EXPLICIT_DENY
    assert simulation.verdicts == {
        PolicyType.IDENTITY: SimulatedOutcome.ALLOWED,
        PolicyType.BOUNDARY: SimulatedOutcome.IMPLICIT_DENY,
        PolicyType.RESOURCE: SimulatedOutcome.ALLOWED,
        PolicyType.SESSION: SimulatedOutcome.IMPLICIT_DENY,
        PolicyType.SERVICE_CONTROL: SimulatedOutcome.IMPLICIT_DENY,
        PolicyType.RESOURCE_CONTROL: SimulatedOutcome.EXPLICIT_DENY,
    }
    # The Deny stands in a control policy, whose statements are not shown.
    assert shown(simulation) == []


def test_the_resource_policy_s_statements_come_first() -> None:
    resource = policies(allow(Principal="*"), label="r", kind=PolicyKind.RESOURCE)
    simulation = run(ApplicablePolicies(identity=policies(allow()), resource=resource))
    assert shown(simulation) == ["r.0", "p.0"]


def test_a_trust_policy_is_never_bypassed() -> None:
    trust = policies(
        {"Effect": "Allow", "Principal": "*", "Action": "s3:PutObject"},
        kind=PolicyKind.RESOURCE,
    )
    applicable = ApplicablePolicies(identity=policies(allow()), resource=trust)
    assert run(applicable).outcome is SimulatedOutcome.ALLOWED
    assert run(applicable, trust=True).outcome is SimulatedOutcome.IMPLICIT_DENY


@pytest.mark.parametrize(
    ("statement", "missing"),
    [
        (
            allow(Condition={"Bool": {"aws:SecureTransport": "true"}}),
            {"aws:SecureTransport"},
        ),
        (allow(resource="arn:aws:s3:::b/${aws:username}"), {"aws:username"}),
        (allow(resource="arn:aws:s3:::b/${aws:username, 'k'}"), set()),
        (allow(resource="arn:aws:s3:::other/${aws:username}"), {"aws:username"}),
        (
            allow(resource="arn:aws:s3:::other/*", Condition={"Null": {"a:b": "true"}}),
            set(),
        ),
        (allow("iam:*", Condition={"Null": {"a:b": "true"}}), set()),
        (deny(Condition={"StringEquals": {"a:b": "${c:d}"}}), {"a:b", "c:d"}),
        (allow(Condition={"StringEquals": {"here:key": "${HERE:KEY}"}}), set()),
    ],
)
def test_missing_keys_are_those_that_could_still_decide(
    statement: dict[str, Any], missing: set[str]
) -> None:
    params = {"here:key": ("x",)}
    simulation = run(ApplicablePolicies(identity=policies(statement)), **params)
    assert set(simulation.missing) == missing


def test_variables_of_the_old_version_are_not_missing() -> None:
    statement = allow(resource="arn:aws:s3:::b/${aws:username}")
    simulation = run(
        ApplicablePolicies(identity=policies(statement, version="2008-10-17"))
    )
    assert simulation.missing == ()


def test_boundaries_and_controls_are_not_asked_for_their_keys() -> None:
    strict = policies(allow(Condition={"Null": {"a:b": "false"}}))
    simulation = run(
        ApplicablePolicies(
            identity=policies(allow()), boundary=strict, service_controls=(strict,)
        )
    )
    assert simulation.outcome is SimulatedOutcome.IMPLICIT_DENY
    assert simulation.missing == ()
