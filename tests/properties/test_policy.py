"""What holds for every policy and every request."""

import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.model.account import AccountId
from broker.model.principal import Principal, PrincipalType
from broker.policy import (
    AccessRequest,
    ApplicablePolicies,
    Decision,
    PolicyKind,
    PolicyRejected,
    PolicySet,
    authorize,
    authorize_trust,
    check_shared_issuers,
    compile_policies,
    context_keys,
    explain,
    parse_policy,
    print_policy,
)
from tests.support.effort import examples

HOME, ABROAD = AccountId("111122223333"), AccountId("999988887777")
PROVIDER = f"arn:aws:iam::{HOME}:saml-provider/corp"
BOB = Principal.user(HOME, user_id="AIDABOBBOBBOBBOBBOBBO", path="/", name="bob")
SESSION = Principal.role_session(
    HOME, role_id="AROAREADERREADERREADE", path="/", role_name="r", session_name="s"
)
CALLERS = st.sampled_from(
    [
        BOB,
        SESSION,
        Principal.root(HOME),
        Principal.federated_user(HOME, name="ann", issuer=None),
        Principal.from_provider(
            PrincipalType.SAML, HOME, provider=PROVIDER, subject="ann"
        ),
    ]
)

ACTIONS = ["s3:GetObject", "s3:PutObject", "iam:GetUser", "sts:AssumeRole"]
RESOURCES = ["arn:aws:s3:::b/k", "arn:aws:s3:::b/bob/x", "arn:aws:sqs:eu:1:q", "*"]
KEYS = ["aws:username", "aws:SourceIp", "aws:TagKeys", "aws:CurrentTime", "aws:Age"]
VALUES = [
    "bob",
    "eve",
    "*",
    "10.0.0.1",
    "2026-01-31",
    "5",
    "true",
    "arn:aws:a:b:c:d",
    "",
]


def some(values: list[str], **size: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), **({"max_size": 3} | size))


CONTEXTS = st.dictionaries(
    st.sampled_from([key.lower() for key in KEYS]),
    some(VALUES, min_size=1).map(tuple),
    max_size=4,
)
PREFIXES = st.sampled_from(["", "ForAnyValue:", "ForAllValues:"])
SUFFIXES = st.sampled_from(["", "IfExists"])
OPERATORS = {
    "String": ["StringEquals", "StringNotEquals", "StringLike", "StringNotLike"],
    "Ip": ["IpAddress", "NotIpAddress"],
    "Date": ["DateEquals", "DateNotEquals", "DateLessThan", "DateGreaterThanEquals"],
    "Numeric": ["NumericEquals", "NumericNotEquals", "NumericLessThan"],
    "Bool": ["Bool"],
    "Arn": ["ArnLike", "ArnNotLike"],
}
WRITTEN = {
    "String": ["bob", "b*", "?ob", "${aws:username}", "${aws:x, 'bob'}", "${*}", "*"],
    "Ip": ["10.0.0.0/8", "0.0.0.0/0", "10.0.0.1"],
    "Date": ["2026", "2026-01-31", "1769860800"],
    "Numeric": ["5", "-1", "5.0"],
    "Bool": ["true", "false"],
    "Arn": ["arn:aws:*:*:*:*", "arn:aws:a:b:c:d", "arn:*", "${aws:username}"],
}


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for _ in range(draw(st.integers(0, 2))):
        family = draw(st.sampled_from(sorted(OPERATORS)))
        operator = (
            draw(PREFIXES) + draw(st.sampled_from(OPERATORS[family])) + draw(SUFFIXES)
        )
        key = draw(st.sampled_from(KEYS))
        results.setdefault(operator, {})[key] = draw(some(WRITTEN[family]))
    if draw(st.booleans()):
        results["Null"] = {
            draw(st.sampled_from(KEYS)): draw(st.sampled_from(["true", "false"]))
        }
    return results


@st.composite
def statements(
    draw: st.DrawFn, *, principals: bool = False, trust: bool = False
) -> dict[str, Any]:
    actions = (
        ["sts:AssumeRole", "sts:*", "sts:TagSession"]
        if trust
        else ["*", "s3:*", "s3:Get*", "S3:getobject", "iam:GetUser", "sts:AssumeRole"]
    )
    resources = [*RESOURCES, "arn:aws:s3:::b/*", "arn:aws:s3:::b/${aws:username}/*"]
    names = [
        "*",
        HOME,
        ABROAD,
        BOB.arn,
        "AIDABOBBOBBOBBOBBOBBO",
        SESSION.arn,
        SESSION.principal_arn,
    ]
    results: dict[str, Any] = {
        "Effect": draw(st.sampled_from(["Allow", "Allow", "Deny"])),
        draw(st.sampled_from(["Action", "Action", "NotAction"])): draw(
            some(actions, min_size=1)
        ),
        "Condition": draw(conditions()),
    }
    if not trust:
        name = draw(st.sampled_from(["Resource", "Resource", "NotResource"]))
        results[name] = draw(some(resources, min_size=1))
    if principals:
        name = (
            "Principal"
            if trust
            else draw(st.sampled_from(["Principal", "Principal", "NotPrincipal"]))
        )
        results[name] = {"AWS": draw(some(names, min_size=1)), "Federated": PROVIDER}
    return results


def parsed(results: list[dict[str, Any]], kind: PolicyKind) -> PolicySet:
    if not results:
        return compile_policies([])
    text = json.dumps({"Version": "2012-10-17", "Statement": results})
    return compile_policies([("p", parse_policy(text, kind))])


IDENTITY = st.lists(statements(), max_size=4)
RESOURCE = st.lists(statements(principals=True), max_size=3)
TRUST = st.lists(statements(principals=True, trust=True), max_size=3)
REQUESTS = st.builds(
    AccessRequest,
    st.sampled_from(ACTIONS),
    st.sampled_from(RESOURCES),
    CALLERS,
    CONTEXTS,
)


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, Any]:
    """Every part of `ApplicablePolicies`, as statements."""
    return {
        "identity": draw(IDENTITY),
        "boundary": draw(st.none() | IDENTITY),
        "session": draw(st.lists(IDENTITY, max_size=2)),
        "resource": draw(st.none() | RESOURCE),
        "owner": draw(st.sampled_from([None, HOME, ABROAD])),
        "scp": draw(st.lists(IDENTITY, max_size=1)),
    }


def applicable(world: dict[str, Any]) -> ApplicablePolicies:
    boundary, resource = world["boundary"], world["resource"]
    return ApplicablePolicies(
        identity=parsed(world["identity"], PolicyKind.IDENTITY),
        boundary=None if boundary is None else parsed(boundary, PolicyKind.BOUNDARY),
        session=tuple(parsed(s, PolicyKind.SESSION) for s in world["session"]),
        resource=None if resource is None else parsed(resource, PolicyKind.RESOURCE),
        resource_account=world["owner"],
        service_controls=tuple(parsed(s, PolicyKind.CONTROL) for s in world["scp"]),
    )


def decide(request: AccessRequest, world: dict[str, Any]) -> Decision:
    return authorize(request, applicable(world))


@given(
    REQUESTS, worlds(), statements(), st.sampled_from(["identity", "session", "scp"])
)
def test_adding_a_deny_never_allows(
    request: AccessRequest, world: dict[str, Any], deny: dict[str, Any], where: str
) -> None:
    before = decide(request, world)
    deny = deny | {"Effect": "Deny"}
    if where == "identity":
        world = world | {"identity": [*world["identity"], deny]}
    else:
        world = world | {where: [[*layer, deny] for layer in world[where]]}
    after = decide(request, world)
    assert before.allowed or not after.allowed
    assert after.explicit_deny or not before.explicit_deny


@settings(max_examples=examples(30))
@given(REQUESTS, worlds(), statements())
def test_adding_an_allow_never_overturns_an_explicit_deny(
    request: AccessRequest, world: dict[str, Any], allow: dict[str, Any]
) -> None:
    before = decide(request, world)
    allow = allow | {"Effect": "Allow"}
    after = decide(request, world | {"identity": [*world["identity"], allow]})
    assert not before.explicit_deny or after.explicit_deny
    assert not before.allowed or after.allowed


@settings(max_examples=examples(30))
@given(REQUESTS, worlds(), st.randoms(use_true_random=False))
def test_order_never_matters(
    request: AccessRequest, world: dict[str, Any], chance: random.Random
) -> None:
    shuffled = {
        name: chance.sample(part, len(part))
        if name in {"identity", "boundary", "resource"} and part
        else part[::-1]
        if name in {"session", "scp"}
        else part
        for name, part in world.items()
    }
    first, second = decide(request, world), decide(request, shuffled)
    assert (first.allowed, first.explicit_deny, first.policy_type) == (
        second.allowed,
        second.explicit_deny,
        second.policy_type,
    )


@settings(max_examples=examples(30))
@given(REQUESTS, worlds(), IDENTITY)
def test_session_policies_and_boundaries_never_add(
    request: AccessRequest, world: dict[str, Any], more: list[dict[str, Any]]
) -> None:
    without = decide(request, world)
    assert without.allowed or not (
        decide(request, world | {"session": [*world["session"], more]}).allowed
    )
    if world["boundary"] is None:
        bounded = decide(request, world | {"boundary": more})
        assert without.allowed or not bounded.allowed


@settings(max_examples=examples(30))
@given(REQUESTS, worlds(), IDENTITY)
def test_without_a_grant_of_the_resource_every_layer_must_allow(
    request: AccessRequest, world: dict[str, Any], more: list[dict[str, Any]]
) -> None:
    world = world | {"resource": None, "owner": None}
    together = decide(request, world | {"session": [*world["session"], more]})
    alone = authorize(
        request, ApplicablePolicies(identity=parsed(more, PolicyKind.IDENTITY))
    )
    if request.principal.type is PrincipalType.SAML:
        return
    expected = decide(request, world).allowed and alone.allowed
    assert together.allowed is expected


@given(REQUESTS, IDENTITY, TRUST)
def test_identity_policies_alone_never_open_a_role(
    request: AccessRequest, identity: list[dict[str, Any]], trust: list[dict[str, Any]]
) -> None:
    denies = [statement | {"Effect": "Deny"} for statement in trust]
    decision = authorize_trust(
        request,
        ApplicablePolicies(
            identity=parsed(identity, PolicyKind.IDENTITY),
            resource=parsed(denies, PolicyKind.TRUST),
            resource_account=HOME,
        ),
    )
    assert not decision.allowed


@given(IDENTITY.filter(bool), st.sampled_from(["2008-10-17", "2012-10-17"]))
def test_parse_then_print_then_parse_is_the_identity(
    found: list[dict[str, Any]], version: str
) -> None:
    text = json.dumps({"Version": version, "Statement": found})
    document = parse_policy(text, PolicyKind.IDENTITY)
    assert parse_policy(print_policy(document), PolicyKind.IDENTITY) == document


@given(TRUST.filter(bool))
def test_trust_policies_print_and_parse_too(found: list[dict[str, Any]]) -> None:
    text = json.dumps({"Version": "2012-10-17", "Statement": found})
    document = parse_policy(text, PolicyKind.TRUST)
    assert parse_policy(print_policy(document), PolicyKind.TRUST) == document


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "Version",
                    "Statement",
                    "Effect",
                    "Action",
                    "Resource",
                    "Principal",
                    "Condition",
                    "Sid",
                    "AWS",
                    "StringEquals",
                    "aws:x",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
WHOLE = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*",'
    '"Resource":"arn:aws:s3:::${aws:username, \'x\'}/*","Condition":'
    '{"ForAnyValue:StringLike":{"aws:TagKeys":["a*","${*}"]},'
    '"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]}'
)
TRUSTING = (
    '{"Statement":{"Effect":"Allow","Principal":{"AWS":["111122223333"]},'
    '"Action":"sts:AssumeRole"}}'
)
MUTANTS = st.builds(
    lambda text, cut, put: text[: cut % len(text)] + put + text[cut % len(text) + 1 :],
    st.sampled_from([WHOLE, TRUSTING]),
    st.integers(0, 400),
    st.text(max_size=2),
)


@settings(max_examples=examples(150))
@given(
    st.text(max_size=40)
    | JSON.map(json.dumps)
    | JSON.map(lambda value: json.dumps({"Statement": value}))
    | MUTANTS,
    st.sampled_from(PolicyKind),
    REQUESTS,
)
def test_no_text_raises_anything_but_the_parsers_own_error(
    text: str, kind: PolicyKind, request: AccessRequest
) -> None:
    try:
        document = parse_policy(text, kind)
        check_shared_issuers(document)
    except PolicyRejected as rejected:
        rejected.message.encode()
        return
    policies = compile_policies([("p", document)])
    assert list(policies.statements())
    context_keys([document])
    everything = ApplicablePolicies(identity=policies, resource=policies)
    decision = authorize(request, everything)
    assert explain(request, everything, decision).sentence()


@settings(max_examples=examples(30))
@given(REQUESTS, worlds())
def test_every_decision_can_be_explained(
    request: AccessRequest, world: dict[str, Any]
) -> None:
    given_policies = applicable(world)
    decision = authorize(request, given_policies)
    assert explain(request, given_policies, decision).sentence().endswith(".")
    assert bool(decision.statements) is (decision.allowed or decision.explicit_deny)
