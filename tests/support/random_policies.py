"""Pairs of random policies, and requests that suit them."""

import json
import random
from collections.abc import Iterator

from broker.model.account import AccountId
from broker.model.principal import Principal
from broker.policy import AccessRequest, PolicyDocument, PolicyKind, parse_policy

ACTIONS = (
    *("*", "s3:*", "s3:Get*", "s3:GetObject", "s3:PutObject", "s3:?etObject"),
    *("s3:*Object", "iam:PassRole", "iam:*", "s3:Get*Acl"),
)
RESOURCES = (
    *("*", "arn:aws:s3:::*", "arn:aws:s3:::b", "arn:aws:s3:::b/*", "arn:aws:s3:::b/a*"),
    *("arn:aws:s3:::b/?", "arn:aws:s3:::*/a", "arn:aws:s3:::b/*/x*", "arn:aws:s3"),
    *("arn:aws:iam::*:role/a*", "arn:aws:iam::1*2:role/a", "arn:*:iam::12:role/*"),
    *("arn:aws:iam::12:role/a", "arn:aws:iam::12:*", "arn:aws:iam::1?:role/ab"),
)
WITH_VARIABLES = (
    "arn:aws:s3:::b/${aws:username}",
    "arn:aws:s3:::b/${aws:username}/*",
    "arn:aws:s3:::b/x${aws:username}*",
    "arn:aws:iam::12:role/${aws:username}",
    "arn:aws:iam::${aws:RequestedRegion}:role/a",
    "arn:aws:s3:::b/${aws:username, 'a'}",
)
TEXTS = ("a", "ab", "abc", "b", "A", "x", "k")
PATTERNS = ("a*", "*b", "a?", "*", "abc", "?", "*a*")
ADDRESSES = ("10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "10.1.2.3", "0.0.0.0/0")
NUMBERS = ("1", "2", "2.5", "10")
ROLES = (
    *("arn:aws:iam::12:role/a", "arn:aws:iam::*:role/*", "arn:aws:iam::12:*"),
    *("arn:aws:iam::1?:role/a*", "arn:*:*:*:*:*"),
)
TEXT_KEYS = ("aws:username", "svc:name", "aws:TagKeys", "aws:RequestedRegion")
STRINGS = ("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase")
LIKES = ("StringLike", "StringNotLike")
NUMERICS = tuple(
    f"Numeric{name}"
    for name in ("Equals", "NotEquals", "LessThan", "GreaterThanEquals")
)


def random_pair(
    seed: int, *, variables: bool = False
) -> tuple[PolicyDocument, PolicyDocument]:
    """Two policies that share many elements."""
    chance = random.Random(seed)
    pool = [_statement(chance, variables=variables) for _ in range(3)]
    texts = []
    for _ in range(2):
        statements = [
            _changed(chance, chance.choice(pool), variables=variables)
            for _ in range(chance.randint(1, 3))
        ]
        statements[0]["Effect"] = "Allow"
        texts.append(json.dumps({"Version": "2012-10-17", "Statement": statements}))
    new, old = (parse_policy(text, PolicyKind.IDENTITY) for text in texts)
    return new, old


def _changed(
    chance: random.Random, statement: dict[str, object], *, variables: bool
) -> dict[str, object]:
    result = dict(statement)
    other = _statement(chance, variables=variables)
    for element in ("Effect", "Condition"):
        if chance.random() < 0.2:
            result.pop(element, None)
            result.update({k: v for k, v in other.items() if k == element})
    for pair in (("Action", "NotAction"), ("Resource", "NotResource")):
        if chance.random() < 0.3:
            for element in pair:
                result.pop(element, None)
            result.update({k: v for k, v in other.items() if k in pair})
    result.setdefault("Effect", "Allow")
    return result


def _some(chance: random.Random, values: tuple[str, ...]) -> list[str]:
    return chance.sample(values, chance.randint(1, min(3, len(values))))


def _statement(chance: random.Random, *, variables: bool) -> dict[str, object]:
    action = "NotAction" if chance.random() < 0.15 else "Action"
    resource = "NotResource" if chance.random() < 0.15 else "Resource"
    resources = RESOURCES
    if variables and chance.random() < 0.7:
        resources = WITH_VARIABLES
    result: dict[str, object] = {
        "Effect": "Deny" if chance.random() < 0.25 else "Allow",
        action: _some(chance, ACTIONS),
        resource: _some(chance, resources),
    }
    block: dict[str, dict[str, list[str]]] = {}
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        operator, key, values = _condition(chance, variables=variables)
        block.setdefault(operator, {})[key] = values
    if block:
        result["Condition"] = block
    return result


def _condition(chance: random.Random, *, variables: bool) -> tuple[str, str, list[str]]:
    kind = chance.randint(0, 7)
    if kind <= 2:
        key, texts = chance.choice(TEXT_KEYS), TEXTS
        name = chance.choice(STRINGS)
        if chance.random() < 0.4:
            name, texts = chance.choice(LIKES), PATTERNS
        if variables and chance.random() < 0.4:
            texts = (*texts[:3], "${aws:username}", "x${aws:username}")
    elif kind == 3:
        key, name, texts = "aws:SourceIp", "IpAddress", ADDRESSES
        name = chance.choice(("IpAddress", "NotIpAddress"))
    elif kind == 4:
        key, texts = chance.choice(("aws:EpochTime", "svc:size")), NUMBERS
        name = chance.choice(NUMERICS)
    elif kind == 5:
        key, texts, name = "aws:SecureTransport", ("true", "false"), "Bool"
    elif kind == 6:
        key, texts = "aws:PrincipalArn", ROLES
        name = chance.choice(("ArnLike", "ArnNotLike"))
    else:
        key, texts = chance.choice((*TEXT_KEYS, "aws:SourceIp")), ("true", "false")
        return "Null", key, [chance.choice(texts)]
    if chance.random() < 0.2:
        name += "IfExists"
    if chance.random() < 0.25:
        name = f"{chance.choice(('ForAnyValue', 'ForAllValues'))}:{name}"
    return name, key, _some(chance, texts)


def random_requests(seed: int, number: int) -> Iterator[AccessRequest]:
    """Requests with the values that the policies compare with, and their like."""
    chance = random.Random(seed)
    principal = Principal.user(
        AccountId("123456789012"), user_id="AIDAEXAMPLE", path="/", name="x"
    )
    values = {
        "aws:username": (*TEXTS, "b", "xa", "a/b"),
        "svc:name": TEXTS,
        "aws:tagkeys": TEXTS,
        "aws:requestedregion": (*TEXTS, "12"),
        "aws:sourceip": (
            "10.0.0.1",
            "10.200.0.1",
            "10.1.2.3",
            "9.9.9.9",
            "2001:db8::1",
        ),
        "aws:epochtime": ("0", "1", "1.5", "2", "2.5", "11"),
        "svc:size": ("0", "1", "1.5", "2", "2.5", "11"),
        "aws:securetransport": ("true", "false"),
        "aws:principalarn": ("arn:aws:iam::12:role/a", "arn:aws:iam::13:user/b"),
    }
    several = ("svc:name", "aws:tagkeys", "svc:size")
    names = ("", "a", "ab", "b", "x", "a/x", "xab", "a/a", "c/xa", "/a")
    resources = [f"arn:aws:s3:::b/{name}" for name in names]
    resources += [f"arn:aws:iam::12:role/{name}" for name in names]
    resources += ["arn:aws:s3:::b", "arn:aws:iam::132:role/a", "arn:aws:iam::a:role/a"]
    actions = ("s3:getobject", "s3:putobject", "iam:passrole", "s3:getobjectacl", "e:x")
    for _ in range(number):
        context = {}
        for key, pool in values.items():
            if chance.random() < 0.75:
                count = chance.randint(1, 2) if key in several else 1
                context[key] = tuple(chance.sample(pool, count))
        yield AccessRequest(
            chance.choice(actions), chance.choice(resources), principal, context
        )
