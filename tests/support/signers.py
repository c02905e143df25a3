"""AWS's signers and others', each making a request for a URL as its users do."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from requests_aws4auth import AWS4Auth

from tests.support.broker import Key

NODE = Path(__file__).parents[1] / "node"
REGION = "us-east-1"


@dataclass(frozen=True)
class SignedRequest:
    """What goes over the wire."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


def botocore(
    key: Key, url: str, method: str = "GET", body: bytes = b""
) -> SignedRequest:
    request = AWSRequest(method, url, data=body)
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


def javascript(key: Key, url: str) -> SignedRequest:
    parts = urlsplit(url)
    credentials = {
        "accessKeyId": key.access_key_id,
        "secretAccessKey": key.secret_access_key,
        "sessionToken": key.session_token,
    }
    wanted = {
        "credentials": {n: v for n, v in credentials.items() if v},
        "region": REGION,
        "service": "execute-api",
        "request": {
            "method": "GET",
            "hostname": parts.hostname,
            "path": parts.path,
            "headers": {"host": parts.netloc},
        },
    }
    node = shutil.which("node")
    if node is None or not (NODE / "node_modules" / "@smithy").is_dir():
        assert os.environ.get("CI") != "true"
        pytest.skip("AWS's JavaScript signer is not installed: .ci/setup test")
    done = subprocess.run(
        [node, str(NODE / "sign.mjs")],
        input=json.dumps(wanted).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    return SignedRequest("GET", url, json.loads(done.stdout))


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
SIGNERS: tuple[Signer, ...] = (botocore, presigned, aws4auth, javascript)


def _credentials(key: Key) -> Credentials:
    return Credentials(key.access_key_id, key.secret_access_key, key.session_token)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
