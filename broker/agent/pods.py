"""EKS Pod Identity on a node: a pod's token in, the credentials of its role out.

Pods ask as at EKS: ``GET`` with their token (``AWS_CONTAINER_CREDENTIALS_FULL_URI`` and
``AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE``). An agent of AWS's asks for them with
``AssumeRoleForPodIdentity``, whose signature is not looked at: the token is the proof.

The associations say which role a service account has. They only choose what to ask the
broker for: it verifies the token, and the role's trust policy decides.

Source: botocore's eks-auth model; Amazon EKS User Guide, "EKS Pod Identity".
"""

import asyncio
import base64
import hashlib
import json
import logging
import re
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from broker.agent.broker_api import (
    STS_VERSION,
    UNEXPECTED,
    BrokerApi,
    BrokerAwayError,
    BrokerRefusedError,
)
from broker.agent.configuration import Address, PodSettings
from broker.agent.container import shown_credentials
from broker.agent.credentials import Credentials, Grant
from broker.agent.http_server import Answer, Request
from broker.agent.identity import ROLE_SECONDS, grant_of_role
from broker.agent.strangers import Doorkeeper

TOKEN_BYTES_MAX = 12_000
BODY_BYTES_MAX = 16_384
_NAMES = ("169.254.170.23", "[fd00:ec2::23]")
_KEPT_MAX = 1024
_WAITING_MAX = 128
_WAITING_OF_ONE_MAX = 16
"""Of one address: a pod that sends forged tokens must not lock the others out."""

_CALLS = 4
_SERVER_ERROR = 500
_ASSUME = re.compile(r"/clusters/([A-Za-z0-9_-]{1,100})/assume-role-for-pod-identity")
_SUBJECT = re.compile(r"system:serviceaccount:([a-z0-9.-]{1,253}):([a-z0-9.-]{1,253})")
_NO_NAME = re.compile(r"[^A-Za-z0-9_=,.@-]")
_log = logging.getLogger(__name__)


class PodRefusedError(Exception):
    """The pod gets nothing: a status, an error's name, and what to say."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, kw_only=True)
class UnverifiedPod:
    """What a token says of its pod; the broker verifies it."""

    namespace: str
    service_account: str
    name: str
    audience: str
    expires_at: float


@dataclass(frozen=True, kw_only=True)
class PodSession:
    """A pod's credentials."""

    pod: UnverifiedPod
    credentials: Credentials
    grant: Grant
    session_arn: str
    session_id: str

    def is_fresh(self, now: datetime) -> bool:
        """Whether less than half of their time is over."""
        found = self.credentials
        return now < found.updated_at + (found.expires_at - found.updated_at) / 2


Shown = Callable[[PodSession, PodSettings], Answer]


class PodEndpoint:
    """Answers pods, and those who ask for pods."""

    def __init__(
        self,
        settings: PodSettings,
        api: BrokerApi,
        *,
        further: tuple[Address, ...] = (),
    ) -> None:
        self._settings = settings
        self._api = api
        self._door = Doorkeeper((*settings.listen, *further), _NAMES)
        self._kept: OrderedDict[bytes, PodSession] = OrderedDict()
        self._asking: dict[bytes, asyncio.Future[PodSession]] = {}
        self._asking_for: Counter[str] = Counter()
        """How many of them, by address."""

        self._threads = ThreadPoolExecutor(_CALLS, "pods")

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """One request."""
        if not self._door.admits(request):
            return _error(
                400, "AccessDeniedException", "This is not a request from a pod."
            )
        path = request.path.partition("?")[0]
        if request.method == "GET":
            token = request.headers.get("authorization", "")
            return self._answer(request.peer, token, _container)
        cluster = _ASSUME.fullmatch(path)
        if request.method != "POST" or cluster is None:
            return _error(404, "ResourceNotFoundException", "There is nothing here.")
        if cluster[1] != self._settings.cluster:
            return _error(
                404, "ResourceNotFoundException", "This is not that cluster's agent."
            )
        try:
            given = json.loads(request.body)["token"]
        except UNEXPECTED:
            given = None
        if not isinstance(given, str):
            return _error(400, "InvalidRequestException", "Give a token.")
        return self._answer(request.peer, given, _assumed)

    async def _answer(self, peer: str, token: str, shown: Shown) -> Answer:
        try:
            return shown(await self._session(peer, token), self._settings)
        except PodRefusedError as error:
            return _error(error.status, error.code, str(error))

    async def _session(self, peer: str, token: str) -> PodSession:
        """From memory while it is fresh; a token's first request asks the broker."""
        pod, now = read_unverified_pod(token), self._api.now()
        if pod.expires_at <= now.timestamp():
            raise PodRefusedError(
                400, "ExpiredTokenException", "The token has expired."
            )
        role = self._settings.find_role(pod.namespace, pod.service_account)
        if not role:
            raise PodRefusedError(
                404,
                "ResourceNotFoundException",
                f"There is no association for {pod.service_account} in"
                f" {pod.namespace}.",
            )
        key = hashlib.sha256(f"{role} {token}".encode("utf-8", "replace")).digest()
        kept = self._kept.get(key)
        if kept is not None and kept.is_fresh(now):
            return kept
        try:
            return await self._ask(peer, key, token, pod, role)
        except PodRefusedError as error:
            if (
                error.status >= _SERVER_ERROR
                and kept is not None
                and now < kept.credentials.expires_at
            ):
                return kept
            raise

    async def _ask(
        self, peer: str, key: bytes, token: str, pod: UnverifiedPod, role: str
    ) -> PodSession:
        waiting = self._asking.get(key)
        if waiting is None:
            if (
                len(self._asking) >= _WAITING_MAX
                or self._asking_for[peer] >= _WAITING_OF_ONE_MAX
            ):
                raise PodRefusedError(429, "ThrottlingException", "Try again.")
            loop = asyncio.get_running_loop()
            waiting = loop.run_in_executor(
                self._threads, self._assume, token, pod, role
            )
            self._asking[key] = waiting
            self._asking_for[peer] += 1
            waiting.add_done_callback(lambda done: self._done(peer, key, done))
        # One client that goes away must not cancel what others wait for.
        return await asyncio.shield(waiting)

    def _done(self, peer: str, key: bytes, done: "asyncio.Future[PodSession]") -> None:
        self._asking.pop(key, None)
        self._asking_for[peer] -= 1
        if not self._asking_for[peer]:
            del self._asking_for[peer]
        if done.cancelled() or done.exception() is not None:
            return
        self._kept[key] = done.result()
        self._kept.move_to_end(key)
        while len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)

    def _assume(self, token: str, pod: UnverifiedPod, role: str) -> PodSession:
        name = _NO_NAME.sub("-", f"eks-{self._settings.cluster}-{pod.name}")[:64]
        given = {
            "RoleArn": role,
            "RoleSessionName": name.rstrip("-"),
            "WebIdentityToken": token,
            "DurationSeconds": str(ROLE_SECONDS),
        }
        try:
            answer = self._api.call(
                "AssumeRoleWithWebIdentity", given, version=STS_VERSION
            )
            user = answer["AssumedRoleUser"]
            return PodSession(
                pod=pod,
                credentials=Credentials.of(answer["Credentials"], self._api.now()),
                grant=grant_of_role(role),
                session_arn=str(user["Arn"]),
                session_id=str(user["AssumedRoleId"]),
            )
        except BrokerRefusedError as error:
            _log.warning("%s/%s: %s", pod.namespace, pod.service_account, error)
            expired = error.code == "ExpiredTokenException"
            raise PodRefusedError(
                400,
                "ExpiredTokenException" if expired else "AccessDeniedException",
                "The broker refuses the token.",
            ) from error
        except (BrokerAwayError, KeyError, ValueError, TypeError) as error:
            _log.warning("%s/%s: %s", pod.namespace, pod.service_account, error)
            raise PodRefusedError(
                503, "ServiceUnavailableException", "The broker does not answer."
            ) from error

    def replace(self, settings: PodSettings, api: BrokerApi) -> None:
        """Go by other settings, from the next request on."""
        self._settings, self._api = settings, api

    def close(self) -> None:
        """End its threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def read_unverified_pod(token: str) -> UnverifiedPod:
    """The pod that a service account's token names.

    Raises:
        PodRefusedError: it is not such a token.
    """
    refused = PodRefusedError(
        400, "InvalidTokenException", "Send the token of a pod's service account."
    )
    if len(token) > TOKEN_BYTES_MAX:
        raise refused
    try:
        part = token.split(".")[1]
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        claims: Mapping[str, Any] = json.loads(raw)
        subject = _SUBJECT.fullmatch(claims["sub"])
        audience, expires_at = claims["aud"], float(claims["exp"])
        pod = claims.get("kubernetes.io", {}).get("pod", {}).get("name", "pod")
    except UNEXPECTED as error:
        raise refused from error
    if subject is None:
        raise refused
    first = audience[0] if isinstance(audience, list) and audience else audience
    return UnverifiedPod(
        namespace=subject[1],
        service_account=subject[2],
        name=str(pod)[:253],
        audience=str(first)[:255],
        expires_at=expires_at,
    )


def _container(found: PodSession, _settings: PodSettings) -> Answer:
    return shown_credentials(found.credentials, found.grant)


def _assumed(found: PodSession, settings: PodSettings) -> Answer:
    pod, held = found.pod, found.credentials
    named = f"{settings.cluster}/{pod.namespace}/{pod.service_account}".encode()
    number = hashlib.sha256(named).hexdigest()[:17]
    arn = (
        f"arn:aws:eks:{settings.region}:{found.grant.account}:podidentityassociation/"
        f"{settings.cluster}/a-{number}"
    )
    return Answer.json(
        {
            "subject": {
                "namespace": pod.namespace,
                "serviceAccount": pod.service_account,
            },
            "audience": pod.audience,
            "podIdentityAssociation": {
                "associationArn": arn,
                "associationId": arn.rpartition("/")[2],
            },
            "assumedRoleUser": {
                "arn": found.session_arn,
                "assumeRoleId": found.session_id,
            },
            "credentials": {
                "sessionToken": held.session_token,
                "secretAccessKey": held.secret_access_key,
                "accessKeyId": held.access_key_id,
                "expiration": int(held.expires_at.timestamp()),
            },
        }
    )


def _error(status: int, code: str, message: str) -> Answer:
    document = {"code": code, "message": message}
    answer = Answer.json(document, status)
    headers = (("X-Amzn-ErrorType", code),)
    return Answer(answer.status, answer.body, answer.content_type, headers)
