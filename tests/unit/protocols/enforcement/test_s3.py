"""Requests to S3 stores, held against botocore's own model of S3."""

from urllib.parse import urlsplit

import botocore.session
import pytest
import yaml

from broker.protocols.enforcement.s3 import _VERSIONED, read_s3_request
from tests.support.rows import of_file
from tests.support.versitygw import SAMPLE

_SAME = of_file(__file__, "_SAME")
_LEFT_OUT = set(of_file(__file__, "_LEFT_OUT"))
"""Refused: what the stores do not have, and what has its objects in the body."""


def _operations() -> list[tuple[str, str, str, str, str]]:
    """Each operation's name, method, bucket, key and query."""
    model = botocore.session.get_session().get_service_model("s3")
    results = []
    for name in model.operation_names:
        operation = model.operation_model(name)
        parts = urlsplit(operation.http["requestUri"])
        path = parts.path.replace("{Key+}", "k").replace("{Bucket}", "b")
        _, _, rest = path.partition("/")
        bucket, _, key = rest.partition("/")
        query = parts.query
        required = (
            operation.input_shape.required_members if operation.input_shape else []
        )
        for member in required:
            shape = operation.input_shape.members[member]
            if shape.serialization.get("location") == "querystring":
                named = f"{shape.serialization['name']}=1"
                query = f"{query}&{named}" if query else named
        results.append((name, operation.http["method"], bucket, key, query))
    return results


def test_every_operation_of_botocore_means_its_action_or_none() -> None:
    none: set[str] = set()
    for name, method, bucket, key, query in _operations():
        read = read_s3_request(method, bucket, key, query)
        if read is None:
            none.add(name)
            continue
        assert read[0].action == f"s3:{_SAME.get(name, name)}", name
        where = "*" if not bucket else f"arn:aws:s3:::b{'/k' if key else ''}"
        assert read[0].resource == where
    assert none == _LEFT_OUT


def test_an_action_of_one_version_is_another() -> None:
    for method, query, action in (
        ("GET", "versionId=7", "GetObjectVersion"),
        ("HEAD", "versionId=7", "GetObjectVersion"),
        ("DELETE", "versionId=7", "DeleteObjectVersion"),
        ("GET", "acl&versionId=7", "GetObjectVersionAcl"),
        ("PUT", "tagging&versionId=7", "PutObjectVersionTagging"),
        ("GET", "versionId=", "GetObject"),
    ):
        read = read_s3_request(method, "b", "k", query)
        assert read is not None
        assert read[0].action == f"s3:{action}"


def test_listings_bring_their_condition_keys() -> None:
    query = "list-type=2&prefix=a%2Fb&delimiter=%2F&max-keys=7&encoding-type=url"
    read = read_s3_request("GET", "b", "", query)
    assert read is not None
    assert read[1] == {
        "s3:prefix": ("a/b",),
        "s3:delimiter": ("/",),
        "s3:max-keys": ("7",),
    }


@pytest.mark.parametrize(
    "query",
    [
        "acl&policy",
        "acl&acl",
        "prefix=a&prefix=b",
        "unknown",
        "Acl",
        "uploadId=1&tagging",
        "select&select-type=2",
        "&".join(f"response-{number}=1" for number in range(101)),
    ],
)
def test_what_could_be_read_in_two_ways_means_nothing(query: str) -> None:
    assert read_s3_request("GET", "b", "k", query) is None
    assert read_s3_request("GET", "b", "", query) is None


def test_what_has_its_objects_in_the_body_means_nothing() -> None:
    for method, query in (("POST", "delete"), ("POST", ""), ("PATCH", ""), ("get", "")):
        assert read_s3_request(method, "b", "", query) is None
    for method in ("POST", "PUT", "HEAD"):
        assert read_s3_request(method, "", "", "") is None
    assert read_s3_request("GET", "", "k", "") is None


def test_the_sample_declares_every_action_of_the_stores() -> None:
    declared = set(yaml.safe_load(SAMPLE.read_text())["Actions"])
    meant = {
        read[0].action.removeprefix("s3:")
        for _, *request in _operations()
        if (read := read_s3_request(*request)) is not None
    }
    assert meant <= declared
    assert set(_VERSIONED.values()) <= declared
