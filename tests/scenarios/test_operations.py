"""Every operation of AWS's models: how the broker answers, and which tests call it.

The lists are made from the models, so an operation that AWS adds turns this red until
it is built, or the table says how it is refused. What is said of the services besides
STS and IAM is asked of a running broker.
"""

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
import urllib3
from botocore import xform_name
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from broker.actions.models import RestName, load_service_model
from tests.kinds.table import REQUESTS
from tests.support.broker import REGION, Key, RunningBroker, running_broker
from tests.support.certificates import issue
from tests.support.rows import of_file

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "operations.md"
OPERATIONS = tuple(
    (service, name)
    for service in ("sts", "iam")
    for name in load_service_model(service)["operations"]
)
AWAITED = re.compile(r"await\s+[\w.]+")
REFUSED: Mapping[str, str] = {}
"""Operations of STS and IAM that are answered with ``UnsupportedOperation``, and why."""

OUTSIDE_ORGANIZATION = tuple(of_file(__file__, "OUTSIDE_ORGANIZATION"))
"""Operations that are answered with their documented error: nothing is there."""

BY_PROGRAM: Mapping[str, list[str]] = of_file(__file__, "BY_PROGRAM")
"""Tests that call an operation with another program of AWS's."""

OTHERS = ("signin", "sso", "sso-oidc", "rolesanywhere", "cloudtrail", "accessanalyzer")
"""The other services that AWS's clients ask here."""

SUPPORTED = "supported"
UNSUPPORTED = "refused: `UnsupportedOperation`"
NOT_SERVED = "not served"

Asked = Mapping[tuple[str, str], str]
"""The status of operations, as the broker answered."""


@cache
def model_of(service: str) -> dict[str, Any]:
    """AWS's model; with ``CreateSession``, which AWS documents elsewhere."""
    if service == "rolesanywhere":
        name: RestName = "rolesanywhere"
        return dict(load_service_model(name))
    (version,) = (files("botocore") / "data" / service).iterdir()
    return json.loads(gzip.decompress((version / "service-2.json.gz").read_bytes()))


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
    paths = [path for path, text in sources().items() if called.search(text)]
    return BY_PROGRAM.get(operation, paths)


def send(key: Key, service: str, request: AWSRequest) -> tuple[int, str]:
    """Status and text of the answer to a request, signed."""
    credentials = Credentials(key.access_key_id, key.secret_access_key)
    SigV4Auth(credentials, service, REGION).add_auth(request)
    prepared = request.prepare()
    answer = urllib3.request(
        prepared.method,
        prepared.url,
        body=prepared.body,
        headers=dict(prepared.headers),
        redirect=False,
    )
    return answer.status, answer.data.decode()


def answer_to(broker: RunningBroker, key: Key, service: str, operation: str) -> str:
    """What the broker says to a signed call without any parameter."""
    version = load_service_model(service)["metadata"]["apiVersion"]
    request = AWSRequest(
        "POST",
        f"{broker.url}/",
        data=urlencode({"Action": operation, "Version": version}),
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    return send(key, service, request)[1]


def status_of(broker: RunningBroker, key: Key, service: str, operation: str) -> str:
    """The table's word for how a call is answered whose parameters are all missing."""
    model = model_of(service)
    metadata, http = model["metadata"], model["operations"][operation]["http"]
    headers = {"content-type": "application/json"}
    if prefix := metadata.get("targetPrefix"):
        version = metadata["jsonVersion"]
        headers = {
            "content-type": f"application/x-amz-json-{version}",
            "x-amz-target": f"{prefix}.{operation}",
        }
    path = re.sub(r"\{\w+\+?\}", "none", http["requestUri"])
    request = AWSRequest(http["method"], broker.url + path, headers, b"{}")
    name = metadata.get("signingName") or metadata["endpointPrefix"]
    status, text = send(key, name, request)
    if f"The operation {operation} is not supported" in text:
        return UNSUPPORTED
    is_unknown = "UnknownOperationException" in text or "serves nothing else" in text
    return NOT_SERVED if is_unknown or status == 405 else SUPPORTED


def ask_all(broker: RunningBroker, key: Key) -> Asked:
    """The status of every operation of the other services."""
    anchors = broker.client("rolesanywhere", key)
    source = {"x509CertificateData": issue("Root", is_authority=True).pem}
    anchors.create_trust_anchor(
        name="opens-sessions",
        source={"sourceType": "CERTIFICATE_BUNDLE", "sourceData": source},
    )
    anchors.close()
    return {
        (service, name): status_of(broker, key, service, name)
        for service in OTHERS
        for name in sorted(model_of(service)["operations"])
    }


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with running_broker(tmp_path_factory.mktemp("operations")) as broker:
        yield ask_all(broker, broker.create_account())


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


def test_every_operation_is_driven_with_boto3(asked: Asked) -> None:
    supported = [name for (_, name), status in asked.items() if status == SUPPORTED]
    named = [name for _, name in OPERATIONS if name not in REFUSED]
    undriven = [name for name in (*named, *supported) if not drivers(name)]
    assert undriven == []


def test_the_table_names_every_operation_and_tests_that_call_it(asked: Asked) -> None:
    """Regenerate with ``python -m tests.scenarios.test_operations``."""
    text = PAGE.read_text("utf-8")
    states = {pair: state(pair[1]) for pair in OPERATIONS} | asked
    for (service, name), status in states.items():
        start = f"| `{service}:{name}` | {status} | "
        assert start in text, name
        named = text.partition(start)[2].partition("|\n")[0]
        tests = {f"tests/{path}" for path in re.findall("`(.+?)`", named)}
        assert tests or status != SUPPORTED, name
        assert tests <= set(drivers(name)), name


def test_all_of_sign_in_but_logins_and_sessions_is_refused_by_name(
    asked: Asked,
) -> None:
    statuses = {name: status for (of, name), status in asked.items() if of == "signin"}
    for name in (
        *("CreateOAuth2Token", "ListSessions", "GetSession", "BatchRevokeSessions"),
    ):
        assert statuses.pop(name) == SUPPORTED
    assert statuses == dict.fromkeys(statuses, UNSUPPORTED)
    assert len(statuses) == 12


def state(operation: str) -> str:
    """How an operation of STS or IAM is answered, in the table's words."""
    if operation in REFUSED:
        return f"refused: {REFUSED[operation]}"
    if operation in OUTSIDE_ORGANIZATION:
        return "answers as for an account outside an organization"
    return SUPPORTED


def table(asked: Asked) -> str:
    """The whole of ``docs/operations.md``."""
    lines = [
        "# Operations",
        "",
        "Every operation in AWS's models of the services that clients ask here, how the broker",
        "responds, and the tests that call it with boto3 or the AWS CLI.",
        "`tests/scenarios/test_operations.py` generates these tables and keeps them complete. What is",
        "*refused* is refused by its name, in the service's own protocol; what is *not served* is",
        "answered like any other service that is not here.",
    ]
    states = {pair: state(pair[1]) for pair in OPERATIONS} | asked
    for heading in ("sts", "iam", *OTHERS):
        lines += ["", f"## {heading}", ""]
        lines += ["| Operation | Status | Tested by |", "|---|---|---|"]
        for (service, name), status in states.items():
            if service == heading:
                tests = drivers(name) if status not in {UNSUPPORTED, NOT_SERVED} else ()
                named = ", ".join(f"`{path.removeprefix('tests/')}`" for path in tests)
                lines.append(f"| `{service}:{name}` | {status} | {named} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    with TemporaryDirectory() as folder, running_broker(Path(folder)) as running:
        PAGE.write_text(table(ask_all(running, running.create_account())), "utf-8")
