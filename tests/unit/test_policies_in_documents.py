"""Policies that the documents show are ones that the broker accepts."""

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.policy.document import PolicyKind
from broker.policy.new_policy import parse_new_policy

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(json|yaml)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def policies(value: Any) -> Iterator[dict[str, Any]]:
    """The policies anywhere in a document, those inside other policies left out."""
    if isinstance(value, dict) and "Statement" in value:
        yield value
    elif isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from policies(member)


def shown() -> Iterator[Any]:
    for page in sorted((ROOT / "docs").rglob("*.md")):
        name = str(page.relative_to(ROOT / "docs"))
        for number, (kind, text) in enumerate(BLOCK.findall(page.read_text("utf-8"))):
            # Everything is a string, as dates and account numbers are for `broker apply`.
            content = (
                json.loads(text)
                if kind == "json"
                else yaml.load(textwrap.dedent(text), Loader=yaml.BaseLoader)
            )
            for policy in policies(content):
                yield pytest.param(policy, id=f"{name}-{number}")


@pytest.mark.parametrize("policy", list(shown()))
def test_a_policy_is_accepted(policy: dict[str, Any]) -> None:
    statements = policy["Statement"]
    first = statements[0] if isinstance(statements, list) else statements
    kind = PolicyKind.IDENTITY
    if "Principal" in first:
        kind = PolicyKind.RESOURCE if "Resource" in first else PolicyKind.TRUST
    parse_new_policy(
        json.dumps(policy), kind, managed=False, knows_service=lambda _: True
    )


def test_there_are_some() -> None:
    assert len(list(shown())) > 15
