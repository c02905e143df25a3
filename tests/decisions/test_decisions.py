"""Every case in this folder is decided as its source says."""

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.model.account import AccountId
from broker.model.arn import iam_arn
from broker.model.principal import Principal, PrincipalType
from broker.policy import (
    ALLOW_ALL,
    AccessRequest,
    ApplicablePolicies,
    PolicyKind,
    PolicySet,
    PolicyType,
    authorize,
    authorize_trust,
    compile_policies,
    explain,
    parse_policy,
)
from tests.support.policies import decided
from tests.support.rows import rows

FOLDER = Path(__file__).parent
HOME = "111122223333"
BY = {
    "identity": PolicyType.IDENTITY,
    "resource": PolicyType.RESOURCE,
    "trust": PolicyType.TRUST,
    "session": PolicyType.SESSION,
    "boundary": PolicyType.BOUNDARY,
    "scp": PolicyType.SERVICE_CONTROL,
    "rcp": PolicyType.RESOURCE_CONTROL,
}


@functools.cache
def load(name: str) -> Any:
    return yaml.load((FOLDER / f"{name}.yaml").read_text(), yaml.CSafeLoader)


def topics() -> dict[str, Any]:
    return {
        path.stem: load(path.stem)
        for path in sorted(FOLDER.glob("*.yaml"))
        if path.stem not in {"who", "grammar", "new-policies", "test_differential"}
    }


def principal(name: str) -> Principal:  # noqa: PLR0911  # one a kind
    params = load("who")[name]
    account = AccountId(params.get("account", HOME))
    match params["type"]:
        case "user":
            return Principal.user(
                account, user_id=params["id"], path=params["path"], name=params["name"]
            )
        case "role":
            return Principal.role_session(
                account,
                role_id=params["id"],
                path=params["path"],
                role_name=params["name"],
                session_name=params["session"],
            )
        case "root":
            return Principal.root(account)
        case "federated":
            issuer = principal(params["issuer"]) if "issuer" in params else None
            return Principal.federated_user(account, name=params["name"], issuer=issuer)
        case "anonymous":
            return Principal(
                type=PrincipalType.ANONYMOUS,
                account=AccountId(""),
                arn="",
                principal_arn="",
                userid="",
                unique_id="",
            )
        case "service":
            return Principal(
                type=PrincipalType.SERVICE,
                account=AccountId(""),
                arn="",
                principal_arn="",
                userid="",
                unique_id="",
                service=params["service"],
            )
        case kind:
            return Principal.from_provider(
                PrincipalType(kind), account, provider=params["provider"], subject="ann"
            )


def policy_set(
    statements: list[Any] | None, kind: PolicyKind, version: str = "2012-10-17"
) -> PolicySet | None:
    if statements is None:
        return None
    if not statements:
        return compile_policies([])
    document = {
        "Version": version,
        "Statement": [{"Effect": "Allow"} | statement for statement in statements],
    }
    if version == "absent":
        del document["Version"]
    return compiled(json.dumps(document), kind)


@functools.cache
def compiled(text: str, kind: PolicyKind) -> PolicySet:
    """One that decides all cases that have it."""
    return compile_policies([("p", parse_policy(text, kind))])


def layers(params: list[Any] | None, kind: PolicyKind) -> tuple[PolicySet, ...]:
    sets = [policy_set(layer, kind) for layer in params or []]
    return tuple(layer for layer in sets if layer is not None)


def as_values(value: Any) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, list) else (value,)


def as_context(*params: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return {
        key.lower(): as_values(value)
        for context in params
        for key, value in context.items()
    }


def whole_cases() -> list[Any]:
    return [
        pytest.param(topic, case, id=f"{name}: {case['name']}")
        for name, topic in topics().items()
        for case in topic.get("cases", [])
    ]


def condition_rows() -> list[Any]:
    return [
        pytest.param(topic, row, id=f"{name}: {row}")
        for name, topic in topics().items()
        for row in topic.get("conditions", [])
    ]


@rows(("topic", "case"), whole_cases)
def test_a_request_is_decided_as_documented(
    topic: dict[str, Any], case: dict[str, Any]
) -> None:
    who = principal(case.get("who", "bob"))
    params = topic | case
    trust = case.get("trust")
    identity = case.get("identity")
    has_identity = who.type not in {
        PrincipalType.ANONYMOUS,
        PrincipalType.SERVICE,
        PrincipalType.SAML,
        PrincipalType.WEB_IDENTITY,
    }
    if identity is None and has_identity:
        identity = []
    elif identity == "missing":
        identity = None
    resource = policy_set(
        trust if trust is not None else case.get("resource"),
        PolicyKind.TRUST if trust is not None else PolicyKind.RESOURCE,
    )
    applicable = ApplicablePolicies(
        identity=ALLOW_ALL
        if identity == "root"
        else policy_set(
            identity, PolicyKind.IDENTITY, case.get("version", "2012-10-17")
        ),
        boundary=policy_set(case.get("boundary"), PolicyKind.BOUNDARY),
        session=layers(case.get("session"), PolicyKind.SESSION),
        resource=resource,
        resource_account=case.get("owner", HOME),
        service_controls=layers(case.get("scp"), PolicyKind.CONTROL),
        resource_controls=layers(case.get("rcp"), PolicyKind.CONTROL),
    )
    request = AccessRequest(
        params.get("action", "s3:GetObject"),
        params.get("resource_arn", "arn:aws:s3:::b/k"),
        who,
        as_context(topic.get("base", {}), case.get("context", {})),
    )
    decide = authorize if trust is None else authorize_trust
    decision = decided(decide, request, applicable)
    text = "allow" if decision.allowed else "deny" if decision.explicit_deny else "no"
    assert text == case["expect"]
    if "by" in case:
        assert decision.policy_type is BY[case["by"]]
    assert decision.explicit_deny is (case["expect"] == "deny")
    assert bool(decision.statements) is (text != "no")
    assert explain(request, applicable, decision).sentence().endswith(".")


@rows(("topic", "row"), condition_rows)
def test_a_condition_holds_as_documented(topic: dict[str, Any], row: list[Any]) -> None:
    operator, key, values, match, holds = row
    context = as_context(topic.get("base", {}))
    if match != "absent":
        context[key.lower()] = as_values(match)
    condition = {"Condition": {operator: {key: values}}}
    everything = {"Action": "*", "Resource": "*"}
    bob = principal("bob")
    request = AccessRequest("s3:GetObject", "arn:aws:s3:::b/k", bob, context)
    allow = policy_set([everything | condition], PolicyKind.IDENTITY)
    assert (
        decided(authorize, request, ApplicablePolicies(identity=allow)).allowed is holds
    )
    deny = policy_set(
        [everything, everything | condition | {"Effect": "Deny"}], PolicyKind.IDENTITY
    )
    assert (
        decided(authorize, request, ApplicablePolicies(identity=deny)).explicit_deny
        is holds
    )


def test_every_topic_names_its_source() -> None:
    for name, topic in topics().items():
        assert topic["source"], name


def test_names_of_cases_are_used_once() -> None:
    for name, topic in topics().items():
        names = [case["name"] for case in topic.get("cases", [])]
        assert len(names) == len(set(names)), name


def test_principals_are_those_of_the_account() -> None:
    assert principal("bob").arn == iam_arn(HOME, "user/bob")
