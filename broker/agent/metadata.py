"""EC2's instance metadata, version 2 of its protocol; version 1 on request.

Source: EC2 User Guide, "Use the Instance Metadata Service to access instance metadata",
"Instance metadata categories" and "Instance identity documents"; botocore's, the AWS CLI's
and the JavaScript SDK's clients of it.
"""

import hmac
import json
import os
import re
import secrets
import socket
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from typing import Final

from broker.agent.broker_api import count_seconds
from broker.agent.configuration import Address, MetadataSettings
from broker.agent.credentials import ISO, V1, V2, Credentials, Grant
from broker.agent.http_server import Answer, Request
from broker.agent.keeper import Keeper
from broker.agent.strangers import Doorkeeper

TOKEN_SECONDS_MAX = 21_600

_TOKEN_PATH = "/latest/api/token"  # noqa: S105  # a path
_TOKEN_HEADER = "x-aws-ec2-metadata-token"  # noqa: S105  # a header's name
_TTL_HEADER = "x-aws-ec2-metadata-token-ttl-seconds"  # likewise
_TTL_SHOWN = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
_SLASHES = re.compile("/+")
_DIGITS = re.compile(r"[0-9]{1,5}")
_VERSION = re.compile(r"/(latest|[0-9]{4}-[0-9]{2}-[0-9]{2})(?:/|$)")
_ROLES = "meta-data/iam/security-credentials"
_BODY_BYTES = 8 + 16
_ARCHITECTURES = {"aarch64": "arm64"}
_NAMES = ("instance-data", "instance-data.ec2.internal")
_ABSENT: Final = Answer.refusal(404)
_AWAY: Final = Answer.refusal(503)
_FORBIDDEN: Final = Answer.refusal(403)


class Metadata:
    """Answers what programs ask an instance's metadata service."""

    def __init__(
        self,
        settings: MetadataSettings,
        region: str,
        keeper: Keeper,
        *,
        further: tuple[Address, ...] = (),
        now: Callable[[], float] = count_seconds,
    ) -> None:
        self._settings = settings
        self._region = region
        self._keeper = keeper
        self._now = now
        self._secret = secrets.token_bytes(32)
        """Tokens end with the process: clients then ask for a new one."""

        names = (*_NAMES, *settings.host_names)
        self._door = Doorkeeper((*settings.listen, *further), names)

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """One request."""
        if not self._door.admits(request):
            return _FORBIDDEN
        # With a slash at the end of its endpoint, AWS's SDK for Java sends two.
        path = _SLASHES.sub("/", request.path)
        if request.method == "PUT" and path.rstrip("/") == _TOKEN_PATH:
            return self._make_token(request)
        if request.method not in {"GET", "HEAD"}:
            return Answer.refusal(405)
        delivery = self._find_delivery(request)
        if delivery is None:
            return Answer.refusal(401)
        version = _VERSION.match(path)
        if version is None:
            return Answer.text("latest") if path == "/" else _ABSENT
        return self._find(path[version.end() :].strip("/"), delivery)

    def _find_delivery(self, request: Request) -> str | None:
        token = request.headers.get(_TOKEN_HEADER)
        if token is None:
            return V1 if self._settings.allow_v1 else None
        return V2 if self._is_valid(token) else None

    def _make_token(self, request: Request) -> Answer:
        text = request.headers.get(_TTL_HEADER, "")
        seconds = int(text) if _DIGITS.fullmatch(text) else 0
        if not 1 <= seconds <= TOKEN_SECONDS_MAX:
            return Answer.refusal(400)
        body = int(self._now() + seconds).to_bytes(8, "big") + secrets.token_bytes(16)
        token = urlsafe_b64encode(body + self._seal(body))
        return Answer(body=token, headers=((_TTL_SHOWN, str(seconds)),))

    def _is_valid(self, token: str) -> bool:
        try:
            raw = b64decode(token, b"-_", validate=True)
        except ValueError:
            return False
        body, seal = raw[:_BODY_BYTES], raw[_BODY_BYTES:]
        return (
            hmac.compare_digest(seal, self._seal(body))
            and int.from_bytes(body[:8], "big") > self._now()
        )

    def _seal(self, body: bytes) -> bytes:
        return hmac.digest(self._secret, body, "sha256")

    def _find(self, path: str, delivery: str) -> Answer | Awaitable[Answer]:
        if path == _ROLES:
            return self._with_grant(_role_names)
        if path.startswith(f"{_ROLES}/"):
            return self._credentials(path.removeprefix(f"{_ROLES}/"), delivery)
        return self._with_grant(lambda grant: self._page(path, grant))

    def _with_grant(
        self, answer: Callable[[Grant], Answer]
    ) -> Answer | Awaitable[Answer]:
        grant = self._keeper.grant
        return answer(grant) if grant is not None else self._later(answer)

    async def _later(self, answer: Callable[[Grant], Answer]) -> Answer:
        grant = await self._keeper.wait_for_grant()
        return self._absence() if grant is None else answer(grant)

    def _credentials(self, name: str, delivery: str) -> Answer | Awaitable[Answer]:
        credentials, grant = self._keeper.find(delivery), self._keeper.grant
        if credentials is None or grant is None:
            return self._credentials_later(name, delivery)
        return _shown(credentials) if name == grant.role_name else _ABSENT

    async def _credentials_later(self, name: str, delivery: str) -> Answer:
        credentials = await self._keeper.wait_for(delivery)
        grant = self._keeper.grant
        if credentials is not None and grant is not None and name == grant.role_name:
            return _shown(credentials)
        if grant is not None and name != grant.role_name:
            return _ABSENT
        return self._absence()

    def _absence(self) -> Answer:
        """Absent for an instance that has ended; else clients try again."""
        return _ABSENT if self._keeper.has_ended else _AWAY

    def _page(self, path: str, grant: Grant) -> Answer:
        if path == "dynamic/instance-identity/document" and grant.instance_id:
            return Answer(body=self._document(grant), content_type="text/plain")
        if path == "meta-data/iam/info":
            return _info(grant, self._keeper.find())
        leaves = self._leaves(grant)
        if path in leaves:
            return Answer.text(leaves[path])
        below = f"{path}/" if path else ""
        names = dict.fromkeys(
            _first(leaf.removeprefix(below))
            for leaf in sorted(leaves)
            if leaf.startswith(below)
        )
        return Answer.text("\n".join(names)) if names else _ABSENT

    def _leaves(self, grant: Grant) -> dict[str, str]:
        settings, region = self._settings, grant.region or self._region
        zone = settings.availability_zone or f"{region}a"
        host = socket.gethostname()
        results = {
            "meta-data/ami-id": settings.image_id,
            "meta-data/hostname": host,
            "meta-data/instance-id": grant.instance_id,
            "meta-data/instance-type": settings.instance_type,
            "meta-data/local-hostname": host,
            "meta-data/placement/availability-zone": zone,
            "meta-data/placement/region": region,
            "meta-data/services/domain": "amazonaws.com",
            "meta-data/services/partition": "aws",
        }
        if grant.role_name:
            results["meta-data/iam/info"] = " "
            results[f"{_ROLES}/{grant.role_name}"] = " "
        if grant.instance_id:
            results["dynamic/instance-identity/document"] = " "
        return {path: value for path, value in results.items() if value}

    def _document(self, grant: Grant) -> bytes:
        settings, region = self._settings, grant.region
        machine = os.uname().machine
        document = {
            "accountId": grant.account,
            "architecture": _ARCHITECTURES.get(machine, machine),
            "availabilityZone": settings.availability_zone or f"{region}a",
            "imageId": settings.image_id or None,
            "instanceId": grant.instance_id,
            "instanceType": settings.instance_type or None,
            "region": region,
            "version": "2017-09-30",
        }
        return json.dumps(document, indent=2).encode()


def _first(path: str) -> str:
    name, slash, _ = path.partition("/")
    return name + slash


def _role_names(grant: Grant) -> Answer:
    return Answer.text(grant.role_name) if grant.role_name else _ABSENT


def _info(grant: Grant, held: Credentials | None) -> Answer:
    if not grant.profile_arn or held is None:
        return _ABSENT
    return Answer.json(
        {
            "Code": "Success",
            "LastUpdated": held.updated_at.strftime(ISO),
            "InstanceProfileArn": grant.profile_arn,
            "InstanceProfileId": grant.profile_id,
        }
    )


def _shown(credentials: Credentials) -> Answer:
    return Answer.json(
        {
            "Code": "Success",
            "LastUpdated": credentials.updated_at.strftime(ISO),
            "Type": "AWS-HMAC",
            "AccessKeyId": credentials.access_key_id,
            "SecretAccessKey": credentials.secret_access_key,
            "Token": credentials.session_token,
            "Expiration": credentials.expires_at.strftime(ISO),
        }
    )
