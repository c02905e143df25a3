"""AWS's signers and others', each making a request for a URL as its users do."""

import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest
import requests
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.crt.auth import CrtSigV4Auth
from requests_aws4auth import AWS4Auth

from tests.support.broker import Key
from tests.support.kept import UNTIL_THE_END

NODE = Path(__file__).parents[1] / "node"
PROGRAMS = Path(__file__).parents[1] / "signers"
REGION = "us-east-1"


@dataclass(frozen=True)
class SignedRequest:
    """What goes over the wire."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


def botocore(
    key: Key, url: str, method: str = "GET", body: bytes = b"", **headers: str
) -> SignedRequest:
    """Other ``headers`` are signed, too."""
    signed = {name.replace("_", "-"): value for name, value in headers.items()}
    request = AWSRequest(method, url, data=body, headers=signed)
    SigV4Auth(_credentials(key), "execute-api", REGION).add_auth(request)
    return SignedRequest(method, url, dict(request.headers.items()), body)


def presigned(key: Key, url: str) -> SignedRequest:
    request = AWSRequest("GET", url)
    SigV4QueryAuth(_credentials(key), "execute-api", REGION, 300).add_auth(request)
    return SignedRequest("GET", request.url, {})


def aws4auth(
    key: Key, url: str, method: str = "GET", body: bytes = b""
) -> SignedRequest:
    auth = AWS4Auth(
        key.access_key_id,
        key.secret_access_key,
        REGION,
        "execute-api",
        session_token=key.session_token,
    )
    made = requests.Request(method, url, data=body or None, auth=auth).prepare()
    kept = {n: v for n, v in made.headers.items() if n.lower() != "content-length"}
    return SignedRequest(method, url, {n: _text(v) for n, v in kept.items()}, body)


def crt(key: Key, url: str) -> SignedRequest:
    """AWS's C library, which its SDKs in several languages share."""
    request = AWSRequest("GET", url)
    CrtSigV4Auth(_credentials(key), "execute-api", REGION).add_auth(request)
    return SignedRequest("GET", request.url, dict(request.headers.items()))


def awscurl(key: Key, url: str) -> SignedRequest:
    if importlib.util.find_spec("awscurl") is None:
        assert os.environ.get("CI") != "true"
        pytest.skip("awscurl is not installed: .ci/setup test")
    from awscurl import awscurl as program

    made: list[SignedRequest] = []

    def send(uri: str, data: bytes, headers: Any, method: str, *_given: Any) -> None:
        made.append(SignedRequest(method, uri, dict(headers), data))

    with mock.patch.object(program, "__send_request", send):
        program.make_request(
            *("GET", "execute-api", REGION, url, {}, ""),
            *(key.access_key_id, key.secret_access_key, key.session_token, False),
        )
    return made[0]


def _sign(
    command: list[str], by: str, key: Key, service: str, request: dict[str, Any]
) -> Any:
    """What a program of another language answers."""
    credentials = {
        "accessKeyId": key.access_key_id,
        "secretAccessKey": key.secret_access_key,
        "sessionToken": key.session_token,
    }
    wanted = {
        "by": by,
        "credentials": {n: v for n, v in credentials.items() if v},
        "region": REGION,
        "service": service,
        "request": request,
    }
    done = subprocess.run(
        command,
        input=json.dumps(wanted).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def _signed_by(command: list[str], by: str, key: Key, url: str) -> SignedRequest:
    parts = urlsplit(url)
    request = {
        "method": "GET",
        "hostname": parts.hostname,
        "path": parts.path,
        "headers": {"host": parts.netloc},
    }
    return SignedRequest("GET", url, _sign(command, by, key, "execute-api", request))


def _node() -> list[str]:
    node = shutil.which("node")
    if node is None or not (NODE / "node_modules" / "aws4").is_dir():
        assert os.environ.get("CI") != "true"
        pytest.skip("the signers in JavaScript are not installed: .ci/setup test")
    return [node, str(NODE / "sign.mjs")]


@cache
def build_go(name: str) -> str:
    """A program with AWS's SDK for Go, whose modules are pinned, compiled once."""
    go = shutil.which("go")
    if go is None:
        assert os.environ.get("CI") != "true"
        pytest.skip("Go is not installed: .ci/setup long")
    folder = UNTIL_THE_END.enter_context(tempfile.TemporaryDirectory())
    subprocess.run(
        [go, "build", "-o", f"{folder}/{name}", f"{name}.go"],
        cwd=PROGRAMS,
        env={**os.environ, "CGO_ENABLED": "0"},
        check=True,
        timeout=600,
    )
    return f"{folder}/{name}"


def _go() -> list[str]:
    return [build_go("sign")]


def _ruby() -> list[str]:
    ruby = shutil.which("ruby")
    if ruby is None:
        assert os.environ.get("CI") != "true"
        pytest.skip("Ruby is not installed: .ci/setup long")
    return [ruby, str(PROGRAMS / "sign.rb")]


def javascript(key: Key, url: str) -> SignedRequest:
    """AWS's own."""
    return _signed_by(_node(), "smithy", key, url)


def aws4(key: Key, url: str) -> SignedRequest:
    return _signed_by(_node(), "aws4", key, url)


def aws4fetch(key: Key, url: str) -> SignedRequest:
    return _signed_by(_node(), "aws4fetch", key, url)


def go(key: Key, url: str) -> SignedRequest:
    return _signed_by(_go(), "request", key, url)


def ruby(key: Key, url: str) -> SignedRequest:
    return _signed_by(_ruby(), "request", key, url)


def rds_token(language: str, key: Key, host: str, port: int, user: str) -> str:
    """A token for a database, by AWS's SDK for JavaScript or Go."""
    request = {"hostname": host, "port": port, "username": user}
    command = {"javascript": _node, "go": _go}[language]()
    made: str = _sign(command, "rds", key, "rds-db", request)
    return made


def curl(key: Key, url: str, certificate: Path, *options: str) -> int:
    """The status that curl gets for its own request."""
    token = (
        ("--header", f"X-Amz-Security-Token: {key.session_token}")
        if key.session_token
        else ()
    )
    done = subprocess.run(
        [
            "curl",
            "--silent",
            "--aws-sigv4",
            f"aws:amz:{REGION}:execute-api",
            "--user",
            f"{key.access_key_id}:{key.secret_access_key}",
            "--cacert",
            str(certificate),
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
            *token,
            *options,
            url,
        ],
        capture_output=True,
        check=True,
        timeout=60,
    )
    return int(done.stdout)


Signer = Callable[[Key, str], SignedRequest]
SIGNERS: tuple[Signer, ...] = (
    botocore,
    presigned,
    crt,
    aws4auth,
    awscurl,
    javascript,
    aws4,
    aws4fetch,
)
OTHERS = [pytest.param(sign, marks=pytest.mark.long) for sign in (go, ruby)]
"""AWS's SDKs that only `make long` installs."""


def _credentials(key: Key) -> Credentials:
    return Credentials(key.access_key_id, key.secret_access_key, key.session_token)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
