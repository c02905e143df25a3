"""The verifier of aws-iam-authenticator, which Kubernetes asks about bearer tokens.

A token is a presigned ``GetCallerIdentity`` that names the cluster in a signed header.
The verifier sends it to STS with its own cluster's name; it trusts the answer because
it trusts the host.

Written from the program's source, which cannot be run here.
Source: kubernetes-sigs/aws-iam-authenticator, pkg/token/token.go, pkg/arn/arn.go.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from tests.support.private_dns import PrivateDns
from tests.support.rows import of_file

PREFIX = "k8s-aws-v1."
HEADER = "x-k8s-aws-id"
_LONGEST = 4096
_EXPIRATION = timedelta(minutes=15)
_HOSTS = re.compile(r"sts(?:-fips)?(?:\.[a-z]{2}(?:-[a-z]+)+-[0-9])?\.amazonaws\.com")
_PARAMETERS = frozenset(of_file(__file__, "_PARAMETERS"))
_ROLE_SESSION = re.compile(r"arn:aws:sts::([0-9]{12}):assumed-role/([^/]+)/.+")


class TokenRefusedError(Exception):
    """By the verifier itself, or by STS."""


@dataclass(frozen=True)
class Identity:
    """Who signed a token; ``canonical_arn`` is what a mapping names."""

    canonical_arn: str
    account: str
    user_id: str
    session_name: str


def token_for(url: str) -> str:
    """A presigned URL as a bearer token."""
    return PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def url_in(token: str) -> str:
    """The presigned URL of a token.

    Raises:
        TokenRefusedError: it is none.
    """
    text = token.removeprefix(PREFIX)
    if len(token) > _LONGEST or text == token:
        raise TokenRefusedError("too long, or without its prefix")
    try:
        padded = text + "=" * (-len(text) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise TokenRefusedError(str(error)) from error


@dataclass(frozen=True)
class Authenticator:
    """One cluster's."""

    cluster: str
    network: PrivateDns

    def verify(self, token: str) -> Identity:
        """Who made a token for this cluster.

        Raises:
            TokenRefusedError: it proves nobody.
        """
        url = urlsplit(url_in(token))
        if url.scheme != "https" or not _HOSTS.fullmatch(url.netloc):
            raise TokenRefusedError(f"unexpected host {url.netloc!r}")
        if url.path != "/":
            raise TokenRefusedError(f"unexpected path {url.path!r}")
        _check_parameters(parse_qs(url.query, keep_blank_values=True))
        status, body = self.network.send(
            url.netloc,
            "GET",
            f"{url.path}?{url.query}",
            {HEADER: self.cluster, "Accept": "application/json"},
        )
        if status != 200:
            raise TokenRefusedError(f"{status}: {body}")
        said = json.loads(body)["GetCallerIdentityResponse"]["GetCallerIdentityResult"]
        user_id, _, session = said["UserId"].partition(":")
        role = _ROLE_SESSION.fullmatch(said["Arn"])
        arn = f"arn:aws:iam::{role[1]}:role/{role[2]}" if role else said["Arn"]
        return Identity(arn, said["Account"], user_id, session)


def _check_parameters(params: dict[str, list[str]]) -> None:
    results: dict[str, str] = {}
    for name, values in params.items():
        if name.lower() not in _PARAMETERS or len(values) != 1:
            raise TokenRefusedError(f"unexpected query parameter {name!r}")
        results[name.lower()] = values[0]
    if results.get("action") != "GetCallerIdentity":
        raise TokenRefusedError("unexpected action")
    if HEADER not in results.get("x-amz-signedheaders", "").lower().split(";"):
        raise TokenRefusedError(f"client did not sign {HEADER}")
    expires = results.get("x-amz-expires", "")
    if not expires.isdecimal() or int(expires) > _EXPIRATION.total_seconds():
        raise TokenRefusedError("invalid X-Amz-Expires")
    try:
        made = datetime.strptime(f"{results['x-amz-date']}+0000", "%Y%m%dT%H%M%SZ%z")
    except (KeyError, ValueError) as error:
        raise TokenRefusedError("invalid X-Amz-Date") from error
    if datetime.now(UTC) > made + _EXPIRATION:
        raise TokenRefusedError("X-Amz-Date is expired")
