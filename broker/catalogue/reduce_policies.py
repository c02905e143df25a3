"""Makes the packed managed policies from moto's data: ``make catalogue``.

moto is a development dependency. Its data lacks ids and descriptions: known ones are in
``managed_policy_facts.json``; any other policy gets an id of the same form, made from
its ARN, and no description.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.resources import files
from typing import Any

from broker.catalogue.managed_policies import AWS_MANAGED_PREFIX, made_policy_id

POLICIES_SOURCE = "moto"
_FACTS = "managed_policy_facts.json"
_ORDER = (
    "Version",
    "Id",
    "Statement",
    "Sid",
    "Effect",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
)
"""How people write a policy; moto's data sorts its keys."""


def packed_policies() -> bytes:
    """The data file's bytes; the same for the same release of moto."""
    source = import_module(f"{POLICIES_SOURCE}.iam.aws_managed_policies")
    policies = json.loads(source.aws_managed_policies_data)
    facts = json.loads((files("broker.catalogue") / _FACTS).read_text("utf-8"))
    lines = "\n".join(_lines(policies, facts))
    return gzip.compress(lines.encode(), compresslevel=9, mtime=0)


def _lines(
    policies: Mapping[str, Mapping[str, Any]], facts: Mapping[str, tuple[str, str]]
) -> Iterator[str]:
    for name in sorted(policies, key=lambda one: (policies[one]["CreateDate"], one)):
        policy = policies[name]
        arn = f"{AWS_MANAGED_PREFIX}{policy['Path'][1:]}{name}"
        known_id, description = facts.get(name, (made_policy_id(arn), ""))
        yield "\t".join(
            (
                policy["Path"],
                name,
                known_id,
                policy["DefaultVersionId"].removeprefix("v"),
                policy["CreateDate"],
                policy["UpdateDate"],
                description,
                _document(policy["Document"]),
            )
        )


def _document(document: Mapping[str, Any]) -> str:
    statements = document["Statement"]
    ordered = _ordered(document)
    if isinstance(statements, list):
        ordered["Statement"] = [_ordered(statement) for statement in statements]
    else:
        ordered["Statement"] = _ordered(statements)
    return json.dumps(ordered, separators=(",", ":"))


def _ordered(element: Mapping[str, Any]) -> dict[str, Any]:
    return {key: element[key] for key in sorted(element, key=_ORDER.index)}
