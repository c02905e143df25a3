"""Prepared requests: as many as a run sends, no token or assertion twice."""

import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from urllib.parse import urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.scenarios.installation import READER, SAML_PROVIDER, Installation
from tests.support.broker import REGION, Key
from tests.support.certificates import Issued
from tests.support.oidc_issuer import OidcIssuer
from tests.support.roles_anywhere import sign

_VERSION = "2011-06-15"
_VERSIONS = {"sts": _VERSION, "iam": "2010-05-08"}


def web_identity(issuer: OidcIssuer, count: int) -> Iterator[str]:
    for number in range(count):
        yield urlencode(
            {
                "Action": "AssumeRoleWithWebIdentity",
                "Version": _VERSION,
                "RoleArn": READER,
                "RoleSessionName": f"bench-{number}",
                "WebIdentityToken": issuer.token(jti=uuid.uuid4().hex),
            }
        )


def saml(installation: Installation, count: int) -> Iterator[str]:
    for _ in range(count):
        yield urlencode(
            {
                "Action": "AssumeRoleWithSAML",
                "Version": _VERSION,
                "RoleArn": READER,
                "PrincipalArn": SAML_PROVIDER,
                "SAMLAssertion": installation.assertion(now=datetime.now(UTC)),
            }
        )


def signed(
    url: str, key: Key, count: int, service: str = "sts", /, **parameters: str
) -> Iterator[str]:
    credentials = Credentials(
        key.access_key_id, key.secret_access_key, key.session_token
    )
    signer = SigV4Auth(credentials, service, REGION)
    for number in range(count):
        body = urlencode(
            {
                "Version": _VERSIONS[service],
                **{k: v.format(number) for k, v in parameters.items()},
            }
        )
        request = AWSRequest(
            "POST",
            f"{url}/",
            data=body,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        signer.add_auth(request)
        names = ("X-Amz-Date", "X-Amz-Security-Token", "Authorization")
        head = "|".join(
            f"{name}: {request.headers[name]}"
            for name in names
            if request.headers.get(name)
        )
        yield f"{head}\t{body}"


def sessions(
    url: str,
    machine: Issued,
    members: Mapping[str, str],
    durations: Iterator[int],
    count: int,
) -> Iterator[str]:
    """``CreateSession`` of IAM Roles Anywhere; the durations differ."""
    for duration in islice(durations, count):
        body = json.dumps({**members, "durationSeconds": duration}).encode()
        headers = sign(f"{url}/sessions", body, machine)
        del headers["Host"]
        head = "|".join(f"{name}: {value}" for name, value in headers.items())
        yield f"{head}\t{body.decode()}"
