"""AuthZEN's certification scenario as this broker's policies, and its questions.

The fixture of "AuthZEN Authorization API 1.0, Certification Scenario": alice reads and
writes active records, bob reads, who is an administrator writes archived ones, deletions
must be soft. Decisions are for a service ``records``.
"""

import json
from collections.abc import Mapping
from typing import Any

from tests.support.decisions import ACCOUNT, REGION
from tests.support.rows import of_file

RECORD = f"arn:aws:records:{REGION}:{ACCOUNT}:record/"
DEFINITION: Mapping[str, Any] = {
    "Hosts": ["records.example.com"],
    "ResourceTypes": {"record": "record/{id}"},
    "Actions": {
        name: {"AccessLevel": level, "ResourceTypes": ["record"]}
        for name, level in (("read", "Read"), ("write", "Write"), ("delete", "Write"))
    },
    "ConditionKeys": {"records:status": "String", "records:soft": "Bool"},
}


def _allow(action: str, **condition: Mapping[str, str]) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": f"records:{action}",
        "Resource": "arn:aws:records:*:*:record/*",
        **({"Condition": condition} if condition else {}),
    }


USERS: Mapping[str, list[dict[str, Any]]] = {
    "alice": [
        _allow("read"),
        _allow("write", StringNotEquals={"records:status": "archived"}),
        _allow("delete", Bool={"records:soft": "true"}),
    ],
    "bob": [
        _allow("read"),
        _allow(
            "write",
            StringEquals={
                "records:status": "archived",
                "aws:PrincipalTag/role": "admin",
            },
        ),
    ],
}
TAGS = {"alice": {}, "bob": {"role": "admin"}}


def policy(name: str) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": USERS[name]})


def evaluation(
    subject: str,
    action: str,
    record: str,
    *,
    who: Mapping[str, object] | None = None,
    how: Mapping[str, object] | None = None,
    what: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """One evaluation; the rest are the properties of the three."""
    return {
        "subject": {"type": "user", "id": subject, **_properties(who)},
        "action": {"name": action, **_properties(how)},
        "resource": {"type": "record", "id": record, **_properties(what)},
    }


def _properties(params: Mapping[str, object] | None) -> dict[str, object]:
    return {} if params is None else {"properties": dict(params)}


ARCHIVED = {"status": "archived"}
DECISIONS = of_file(__file__, "DECISIONS")
"""Evaluations of the scenario, in its order, with a few of our own."""

MALFORMED: list[object] = [
    {k: v for k, v in DECISIONS[0][0].items() if k != missing}
    for missing in ("subject", "action", "resource")
] + [
    {**DECISIONS[0][0], "subject": {"id": "alice"}},
    {**DECISIONS[0][0], "subject": {"type": "user"}},
    {**DECISIONS[0][0], "subject": "alice"},
    {**DECISIONS[0][0], "action": {}},
    {**DECISIONS[0][0], "action": {"name": 123}},
    {**DECISIONS[0][0], "resource": {"id": "record-1"}},
    {**DECISIONS[0][0], "resource": {"type": "record"}},
    {**DECISIONS[0][0], "context": "none"},
    [DECISIONS[0][0]],
]

_DECISION = {
    "type": "object",
    "required": ["decision"],
    "properties": {"decision": {"type": "boolean"}, "context": {"type": "object"}},
}
SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "evaluation": _DECISION,
    "evaluations": {
        "type": "object",
        "required": ["evaluations"],
        "properties": {"evaluations": {"type": "array", "items": _DECISION}},
    },
}
"""What the specification and its published schemas say of answers."""
