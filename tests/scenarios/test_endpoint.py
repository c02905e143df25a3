"""Who comes to the wrong place is told so, in words that the client can read."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.support.broker import Key, RunningBroker, running_broker
from tests.support.rows import cases

ALIAS = "sts.amazonaws.com"
SERVED = (
    "It serves AWS STS (2011-06-15), IAM (2010-05-08), IAM Roles Anywhere (2018-05-10),"
    " sign-in with the access portal (sso and sso-oidc), CloudTrail's LookupEvents, and"
    " decisions for registered services"
)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    folder: Path = tmp_path_factory.mktemp("broker")
    names = (
        f"{ALIAS}, sts.eu-west-3.amazonaws.com signin.aws.amazon.com iam.amazonaws.com"
    )
    with running_broker(folder, host_aliases=names) as made:
        yield made


def ask(
    broker: RunningBroker, path: str = "/", body: bytes | None = None, **headers: str
) -> tuple[int, str, Message]:
    """An answer of whatever status; never redirected."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{broker.url}{path}", body, fields)
    opener = urllib.request.build_opener(_Stays)
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


def line_of(broker: RunningBroker, request_id: str) -> dict[str, Any]:
    """The log line of a request, which is written behind its answer."""
    for _ in range(500):
        for text in broker.log.splitlines():
            if request_id in text:
                results: dict[str, Any] = json.loads(text)
                return results
        time.sleep(0.01)
    pytest.fail(f"there is no line of {request_id!r}")


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


@pytest.mark.parametrize(
    ("service", "call", "given", "code"),
    [
        ("s3", "list_buckets", {}, "AccessDenied"),
        ("s3", "get_object", {"Bucket": "b", "Key": "k"}, "AccessDenied"),
        ("s3", "list_objects_v2", {"Bucket": "signin"}, "AccessDenied"),
        (
            "s3",
            "put_object",
            {"Bucket": "console", "Key": "k", "Body": b"x" * 300_000},
            "AccessDenied",
        ),
        ("kms", "list_keys", {}, "AccessDeniedException"),
        ("dynamodb", "list_tables", {}, "AccessDeniedException"),
        ("sqs", "list_queues", {}, "AccessDeniedException"),
        ("lambda", "list_functions", {}, "AccessDeniedException"),
        ("kafka", "list_clusters", {}, "AccessDeniedException"),
        ("route53", "list_hosted_zones", {}, "AccessDenied"),
        ("cloudwatch", "list_metrics", {}, "AccessDeniedException"),
        ("codebuild", "list_projects", {}, "AccessDeniedException"),
        ("ec2", "describe_instances", {}, "UnauthorizedOperation"),
        ("sns", "list_topics", {}, "AccessDenied"),
        ("cloudformation", "list_stacks", {}, "AccessDenied"),
    ],
)
def test_clients_of_other_services_are_told_what_is_here(
    broker: RunningBroker, service: str, call: str, given: dict[str, Any], code: str
) -> None:
    client = broker.client(service, Key("AKIAEXAMPLE", "secret"))
    with pytest.raises(ClientError) as refused:
        getattr(client, call)(**given)
    error = refused.value.response["Error"]
    assert error["Code"] == code
    assert SERVED in error["Message"]
    assert "check the client's endpoint URL" in error["Message"]
    request_id = refused.value.response["ResponseMetadata"]["RequestId"]
    assert line_of(broker, request_id)["error_code"] == code
    client.close()


def test_an_answer_without_a_body_has_a_code_all_the_same(
    broker: RunningBroker,
) -> None:
    client = broker.client("s3", Key("AKIAEXAMPLE", "secret"))
    with pytest.raises(ClientError) as refused:
        client.head_bucket(Bucket="b")
    assert refused.value.response["Error"]["Code"] == "403"
    client.close()


def elsewhere(request: Any, **_: Any) -> None:
    request.headers["Host"] = "evil.example"


@pytest.mark.parametrize("service", ["sts", "dynamodb", "s3", "lambda"])
def test_an_unknown_host_is_told_in_the_clients_form(
    broker: RunningBroker, service: str
) -> None:
    client = broker.client(service, Key("AKIAEXAMPLE", "secret"))
    client.meta.events.register("before-send", elsewhere)
    call = {
        "sts": "get_caller_identity",
        "dynamodb": "list_tables",
        "s3": "list_buckets",
        "lambda": "list_functions",
    }[service]
    try:
        with pytest.raises(ClientError) as refused:
            getattr(client, call)()
    finally:
        client.close()
    answer = refused.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 421
    assert answer["Error"]["Code"] == "MisdirectedRequest"
    assert broker.url in answer["Error"]["Message"]
    assert "BROKER_HOST_ALIASES" in answer["Error"]["Message"]


def test_a_browser_at_an_unknown_host_gets_a_page(broker: RunningBroker) -> None:
    status, page, headers = ask(
        broker, "/signin", Host="evil.example<script>", Accept="text/html,*/*;q=0.8"
    )
    assert status == 421
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert f"Its address is {broker.url};" in page
    assert headers["x-amzn-requestid"] in page
    assert "evil" not in page
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")


def names(port: int) -> dict[str, int]:
    return {
        f"127.0.0.1:{port}": 200,
        f"localhost:{port}": 200,
        f"[::1]:{port}": 200,
        f"LOCALHOST:{port}": 200,
        ALIAS: 200,
        f"{ALIAS.upper()}:443": 200,
        "signin.aws.amazon.com": 200,
        "sts.127.0.0.1": 200,
        "iam.127.0.0.1": 200,
        "eu-west-3.signin.127.0.0.1": 200,
        "bucket.127.0.0.1": 421,
        "iam.amazonaws.com": 200,
        "iam.us-gov.amazonaws.com": 421,
        f"x.{ALIAS}": 421,
        f"sts.{ALIAS}": 421,
        "127.0.0.2": 421,
        "sts.localhost": 421,
    }


def test_aliases_and_loopback_names_are_the_broker(broker: RunningBroker) -> None:
    told = {
        host: ask(broker, "/static/nothing", Host=host)[0]
        for host in names(broker.port)
    }
    assert told == {
        host: 404 if status == 200 else status
        for host, status in names(broker.port).items()
    }


@cases("host, path, to")
def test_pages_are_shown_at_the_public_address_alone(
    broker: RunningBroker, host: str, path: str, *, to: bool
) -> None:
    """Where their cookies, and the origin that forms are held to, belong."""
    status, _, headers = ask(broker, path, Host=f"{host}:{broker.port}")
    assert (headers.get("Location") == f"{broker.url}{path}") is to
    assert (status == 307) is to


@pytest.fixture(scope="module")
def root(broker: RunningBroker) -> Key:
    return broker.create_account()


def signed(
    broker: RunningBroker,
    key: Key,
    host: str,
    region: str,
    query: str = "",
    *,
    path: str = "/",
    service: str = "sts",
) -> tuple[int, str]:
    """A POST without a content type, as plain signers send it; signed for ``/``."""
    request = AWSRequest("POST", f"http://{host}/{query}", data=b"")
    SigV4Auth(
        Credentials(key.access_key_id, key.secret_access_key), service, region
    ).add_auth(request)
    asked = urllib.request.Request(
        f"{broker.url}{path}{query}",
        headers=dict(request.headers.items()),
        method="POST",
    )
    asked.add_header("Host", host)
    try:
        with urllib.request.build_opener(_Stays).open(asked, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


CALLER = "?Action=GetCallerIdentity&Version=2011-06-15"


def test_a_post_without_content_type_is_read_by_its_query(
    broker: RunningBroker, root: Key
) -> None:
    host = f"127.0.0.1:{broker.port}"
    status, text = signed(broker, root, host, "us-east-1", CALLER)
    assert (status, "<GetCallerIdentityResult>" in text) == (200, True)
    assert signed(broker, root, host, "us-east-1") == (302, "")


@cases("host, region, status")
def test_aws_names_have_their_regions(
    broker: RunningBroker, root: Key, host: str, region: str, status: int
) -> None:
    told, text = signed(broker, root, host, region, CALLER)
    assert told == status, text
    assert ("Credential should be scoped to a valid region" in text) is (status == 403)


@pytest.mark.parametrize(("region", "status"), [("us-east-1", 200), ("eu-west-3", 403)])
def test_iam_is_signed_for_at_its_own_name_as_at_aws(
    broker: RunningBroker, root: Key, region: str, status: int
) -> None:
    query = "?Action=ListUsers&Version=2010-05-08"
    told, text = signed(broker, root, "iam.amazonaws.com", region, query, service="iam")
    assert told == status, text


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("//", 200), ("///", 404), ("//signin", 404), ("/./", 404)],
)
def test_a_doubled_slash_is_the_api_as_vault_relays_it(
    broker: RunningBroker, root: Key, path: str, status: int
) -> None:
    told, text = signed(broker, root, ALIAS, "us-east-1", CALLER, path=path)
    assert told == status, text
    assert ("<GetCallerIdentityResult>" in text) is (status == 200)


def test_every_answer_has_a_request_id_and_a_line(broker: RunningBroker) -> None:
    for path in (
        "/",
        "/signin",
        "/console/",
        "/healthz",
        "/none",
        "/static/x",
        "/v1/x",
    ):
        _, _, headers = ask(broker, path)
        request_id = headers["x-amzn-requestid"]
        assert headers["x-content-type-options"] == "nosniff"
        assert line_of(broker, request_id)["event"] == "request"
