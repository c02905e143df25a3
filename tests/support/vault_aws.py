"""Vault's ``aws`` auth method, type ``iam``: the side of the server.

A client signs a ``GetCallerIdentity`` with a header that names the server, and hands it
over as data. The server sends it to its STS endpoint and believes the answer.

Written from the program's source, which cannot be run here.
Source: hashicorp/vault, builtin/credential/aws: path_login.go, path_config_client.go.
"""

import base64
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from lxml import etree

from tests.support.private_dns import PrivateDns

HEADER = "X-Vault-AWS-IAM-Server-ID"
_ALLOWED = {
    "X-Amz-Algorithm",
    "X-Amz-Content-Sha256",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-Signedheaders",
    "X-Amz-User-Agent",
}
_SIGNED = re.compile(r".*SignedHeaders=([^,]+)")
_RESULT = "{https://sts.amazonaws.com/doc/2011-06-15/}GetCallerIdentityResult"


class LoginRefusedError(Exception):
    """By Vault itself, or by STS."""


def login_data(
    method: str, url: str, headers: Mapping[str, str], body: str
) -> dict[str, str]:
    """What a client sends to ``auth/aws/login``."""
    listed = json.dumps({name: [value] for name, value in headers.items()})
    return {
        "iam_http_request_method": method,
        "iam_request_url": _encoded(url),
        "iam_request_headers": _encoded(listed),
        "iam_request_body": _encoded(body),
    }


@dataclass(frozen=True)
class VaultServer:
    """One server: the header value that it asks for, and who may log in."""

    server_id: str
    sts_host: str
    bound_arns: Collection[str]
    network: PrivateDns

    def log_in(self, data: Mapping[str, str]) -> str:
        """The canonical ARN of the caller who may log in.

        Raises:
            LoginRefusedError: nobody may.
        """
        method = data["iam_http_request_method"]
        if method != "POST":
            raise LoginRefusedError("only POST is supported")
        url = urlsplit(_decoded(data["iam_request_url"]))
        body = _decoded(data["iam_request_body"])
        query = parse_qs(url.query) or parse_qs(body)
        if query.get("Action") != ["GetCallerIdentity"]:
            raise LoginRefusedError("unexpected Action")
        listed = json.loads(_decoded(data["iam_request_headers"]))
        headers = {name: ",".join(values) for name, values in listed.items()}
        self._check(headers)
        # The endpoint is the server's own, the host what the client signed; the path
        # of the request follows a slash of the endpoint's.
        target = "/" + (url.path or "/") + (f"?{url.query}" if url.query else "")
        sent = {name: text for name, text in headers.items() if name != "Host"}
        sent |= {"Host": url.netloc, "Content-Length": str(len(body))}
        status, answer = self.network.send(self.sts_host, method, target, sent, body)
        if status != 200:
            raise LoginRefusedError(f"{status}: {answer}")
        result = etree.fromstring(answer.encode()).find(_RESULT)
        assert result is not None, answer
        results = {part.tag.rpartition("}")[2]: part.text or "" for part in result}
        arn = _canonical(results["Arn"])
        if arn not in self.bound_arns:
            raise LoginRefusedError(f"{results['Arn']} does not belong to the role")
        return arn

    def _check(self, headers: Mapping[str, str]) -> None:
        for name in headers:
            spelled = "-".join(part.capitalize() for part in name.split("-"))
            if spelled.startswith("X-Amz-") and spelled not in _ALLOWED:
                raise LoginRefusedError(f"invalid request header: {name}")
        params = {name.lower(): text for name, text in headers.items()}
        if params.get(HEADER.lower()) != self.server_id:
            raise LoginRefusedError(f"expected another {HEADER}")
        signed = _SIGNED.match(headers.get("Authorization", ""))
        if signed is None or HEADER.lower() not in signed[1].split(";"):
            raise LoginRefusedError("vault header wasn't signed")


def _canonical(arn: str) -> str:
    parts = arn.split(":")
    kind, *names = parts[5].split("/")
    if kind == "assumed-role":
        return f"arn:{parts[1]}:iam::{parts[4]}:role/{names[0]}"
    return arn


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()
