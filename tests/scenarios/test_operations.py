"""Every operation of both services is built, and some test drives it with boto3.

The list is made from AWS's models, so an operation that AWS adds turns this red until
it is built, or listed below with the reason why it is refused.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import urlencode

import boto3
import urllib3
from botocore import xform_name
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from broker.actions.models import load_service_model
from tests.kinds.table import REQUESTS
from tests.support.broker import REGION, Key, RunningBroker
from tests.support.rows import of_file

TESTS = Path(__file__).parents[1]
OPERATIONS = tuple(
    (service, name)
    for service in ("sts", "iam")
    for name in load_service_model(service)["operations"]
)
AWAITED = re.compile(r"await\s+[\w.]+")
REFUSED: Mapping[str, str] = {}
"""Operations that are answered with ``UnsupportedOperation``, and why."""

OUTSIDE_ORGANIZATION = tuple(of_file(__file__, "OUTSIDE_ORGANIZATION"))
"""Operations that are answered with their documented error: nothing is there."""


@cache
def sources() -> Mapping[str, str]:
    """The tests' texts by path, without what is awaited: those are not a client's calls."""
    return {"tests/kinds/requests.yaml": REQUESTS.read_text("utf-8")} | {
        str(path.relative_to(TESTS.parent)): AWAITED.sub("", path.read_text("utf-8"))
        for folder in ("scenarios", "browser", "attacks", "support")
        for path in sorted((TESTS / folder).rglob("*.py"))
        if path != Path(__file__)
    }


def drivers(operation: str) -> list[str]:
    """The tests that call an operation with boto3 or the AWS CLI."""
    method, command = xform_name(operation), xform_name(operation, "-")
    names = rf"\.{method}\b|[\"']({method}|{command})[\"']|^- {operation}:"
    called = re.compile(names, re.MULTILINE)
    return [path for path, text in sources().items() if called.search(text)]


def answer_to(broker: RunningBroker, key: Key, service: str, operation: str) -> str:
    """What the broker says to a signed call without any parameter."""
    version = load_service_model(service)["metadata"]["apiVersion"]
    request = AWSRequest(
        "POST",
        f"{broker.url}/",
        data=urlencode({"Action": operation, "Version": version}),
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    credentials = Credentials(key.access_key_id, key.secret_access_key)
    SigV4Auth(credentials, service, REGION).add_auth(request)
    prepared = request.prepare()
    answer = urllib3.request(
        "POST", prepared.url, body=prepared.body, headers=dict(prepared.headers)
    )
    return answer.data.decode()


def test_the_models_are_those_of_boto3() -> None:
    assert len(OPERATIONS) == 193
    for service in ("sts", "iam"):
        client = boto3.client(
            service,
            region_name=REGION,
            aws_access_key_id="none",
            aws_secret_access_key="none",
        )
        named = {name for text, name in OPERATIONS if text == service}
        assert set(client.meta.service_model.operation_names) <= named


def test_every_operation_is_built_or_refused_for_a_reason(
    broker: RunningBroker, root: Key
) -> None:
    unbuilt = {
        name
        for service, name in OPERATIONS
        if f"The operation {name} is not supported"
        in answer_to(broker, root, service, name)
    }
    assert unbuilt == set(REFUSED)


def test_every_operation_is_driven_with_boto3() -> None:
    undriven = [
        name for _, name in OPERATIONS if name not in REFUSED and not drivers(name)
    ]
    assert undriven == []


def test_the_table_names_every_operation_and_tests_that_call_it() -> None:
    """Regenerate with ``python -m tests.scenarios.test_operations``."""
    text = (TESTS.parent / "docs" / "operations.md").read_text("utf-8")
    for service, name in OPERATIONS:
        start = f"| `{service}:{name}` | {state(name)} | "
        assert start in text, name
        named = text.partition(start)[2].partition(" |\n")[0]
        tests = {f"tests/{path}" for path in re.findall("`(.+?)`", named)}
        assert tests, name
        assert tests <= set(drivers(name)), name


def state(operation: str) -> str:
    """How an operation is answered, in the table's words."""
    if operation in REFUSED:
        return f"refused: {REFUSED[operation]}"
    if operation in OUTSIDE_ORGANIZATION:
        return "answers as for an account outside an organisation"
    return "supported"


def table() -> str:
    """The whole of ``docs/operations.md``."""
    lines = [
        "# Operations",
        "",
        "Every STS and IAM operation in AWS's models, how the broker responds, and the tests",
        "that call it with boto3 or the AWS CLI. `tests/scenarios/test_operations.py` generates",
        "this table and keeps it complete.",
        "",
        "| Operation | Status | Tested by |",
        "|---|---|---|",
    ]
    for service, name in OPERATIONS:
        tests = ", ".join(f"`{path.removeprefix('tests/')}`" for path in drivers(name))
        lines.append(f"| `{service}:{name}` | {state(name)} | {tests} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (TESTS.parent / "docs" / "operations.md").write_text(table(), "utf-8")
