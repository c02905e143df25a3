"""Asks another STS for credentials, and its federation endpoint for console links.

Requests are made within the operator's address rules, each upstream with connections
of its own, so that a slow one holds up nobody else. Nothing is tried again once it was
sent: a second request might mint a second time.

On a connection that is kept, a confused server or proxy can answer one request with what
belongs to another. An answer counts only if it names the role and the session that were
asked for, or, where an upstream's never do, if the connection was this call's alone.

Source: AWS STS API reference; IAM User Guide, "Enable custom identity broker access to
the AWS console".
"""

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Final
from urllib.parse import urlencode, urlsplit
from xml.parsers.expat import ParserCreate

import httpx2
from msgspec import Struct
from msgspec.structs import replace

from broker.model.account import AccountId
from broker.model.revocation import OLDER_SESSIONS
from broker.model.secret import Secret
from broker.proofs.outbound import OutboundClient

UPSTREAM_SECONDS = 10.0
"""From the first byte to the last of one request."""

IN_FLIGHT_MAX = 64
"""Requests to one upstream at a time; more are refused at once."""

SKEW_SECONDS = 60
"""From here on, a difference between two clocks is worth a word."""

ANSWER_BYTES_MAX = 65_536
VERSION: Final = "2011-06-15"
IAM_VERSION: Final = "2010-05-08"

_UPSTREAMS_MAX = 256
_OK = 200
_FAULT = 500
_UNAVAILABLE = 503
_LIFE_MAX = timedelta(hours=37)
"""AWS's longest sessions are 36 hours, and clocks differ."""

_HEADERS = {"user-agent": "federation-broker", "accept": "*/*"}
_ONCE = {"connection": "close"}
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_SECRET = re.compile(r"[A-Za-z0-9+/=._-]+")
"""People paste them into shells, and agents write them to configuration files."""

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9._:-]{0,127}")
_IN_HEADERS = re.compile(r"[!-~]+")
_IN_ADDRESSES = re.compile(r"[!-~]{1,8192}")
_UNNAMED = (
    "a session that it does not name; if it names none (`broker upstreams test` finds"
    ' out), write "NamesSessions": false into its definition'
)
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol)


class UpstreamRefusedError(Exception):
    """The upstream answered that it does not mint.

    ``code`` is its error; the text is its message, for operators.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class UpstreamUnreachableError(Exception):
    """The request did not get to the upstream, which minted nothing."""


class UpstreamUnclearError(Exception):
    """The request was sent; whether the upstream minted is unknown."""


class UpstreamCredentials(Struct, frozen=True, kw_only=True):
    """What an upstream minted; ``arn`` is the principal there.

    ``seconds_ahead`` is how far its clock is ahead of the broker's, if that is known.
    ``is_named`` unless the answer named no session, and ``arn`` is what was asked for.
    """

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret
    expiration: datetime
    arn: str
    user_id: str = ""
    packed_policy_size: int = 0
    seconds_ahead: float = 0
    is_named: bool = True


class KeyPair(Struct, frozen=True, kw_only=True):
    """What requests to an upstream are signed with."""

    __repr__ = object.__repr__

    access_key_id: str
    secret_access_key: Secret
    session_token: str = ""


class UpstreamClient:
    """One client for all upstreams, with a pool for each."""

    def __init__(self, outbound: OutboundClient) -> None:
        self._outbound = outbound
        self._pools: dict[tuple[AccountId, str, bool], _Pool] = {}

    async def assume(
        self,
        account: AccountId,
        endpoint: str,
        parameters: Mapping[str, str],
        *,
        region: str,
        keys: KeyPair | None,
        names_sessions: bool | None = True,
    ) -> UpstreamCredentials:
        """Call an operation of the upstream's STS that mints.

        ``parameters`` are those of the Query API; without ``keys`` the call is not
        signed. ``names_sessions`` says whether answers name their session; None to
        find that out. Where they do not, each call has a connection of its own.

        Raises:
            UpstreamRefusedError: it answered with an error.
            UpstreamUnreachableError: it could not be asked.
            UpstreamUnclearError: it was asked, and did not answer in time or not
                readably.
        """
        asked = {**parameters, "Version": VERSION}
        scope = ("sts", region)
        keeps = names_sessions is True
        answer = await self._call(account, endpoint, asked, scope, keys, keeps=keeps)
        credentials = _read(parameters["Action"], answer)
        if not credentials.arn and not keeps and "RoleArn" in asked:
            named = _arn_asked_for(parameters)
            return replace(credentials, arn=named, is_named=False)
        if not _is_asked_for(credentials.arn, parameters):
            whose = f"{credentials.arn:.300}" or _UNNAMED
            raise UpstreamUnclearError(f"it gave credentials of {whose}")
        return credentials

    async def deny_older(
        self,
        account: AccountId,
        endpoint: str,
        role: str,
        policy: str,
        *,
        region: str,
        keys: KeyPair,
    ) -> None:
        """Give a role of the upstream the inline policy `OLDER_SESSIONS`.

        Raises:
            UpstreamRefusedError, UpstreamUnreachableError, UpstreamUnclearError: as
                `assume` does.
        """
        asked = {
            "Action": "PutRolePolicy",
            "RoleName": role,
            "PolicyName": OLDER_SESSIONS,
            "PolicyDocument": policy,
            "Version": IAM_VERSION,
        }
        answer = await self._call(account, endpoint, asked, ("iam", region), keys)
        _parse(answer)
        if b"<PutRolePolicyResponse" not in answer.content:
            raise UpstreamUnclearError("the answer is another's")

    async def signin_token(
        self,
        account: AccountId,
        sign_in: str,
        keys: KeyPair,
        duration_seconds: int | None = None,
    ) -> str:
        """A token of the upstream's federation endpoint, good once.

        Raises:
            UpstreamRefusedError, UpstreamUnreachableError, UpstreamUnclearError: there
                is none.
        """
        session = json.dumps(
            {
                "sessionId": keys.access_key_id,
                "sessionKey": keys.secret_access_key.reveal(),
                "sessionToken": keys.session_token,
            }
        )
        asked = {"Action": "getSigninToken", "Session": session}
        if duration_seconds is not None:
            asked["SessionDuration"] = str(duration_seconds)
        # In the body: addresses end up in logs.
        body = urlencode(asked).encode()
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "host": urlsplit(sign_in).netloc,
        }
        answer = await self._send(account, "POST", sign_in, headers, body)
        if answer.status_code != _OK:
            raise UpstreamRefusedError(
                "getSigninToken", f"it answered {answer.status_code}"
            )
        try:
            token = answer.json()["SigninToken"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UpstreamUnclearError("the answer has no SigninToken") from error
        if not isinstance(token, str) or not _IN_ADDRESSES.fullmatch(token):
            raise UpstreamUnclearError("the SigninToken cannot be one")
        return token

    async def seconds_ahead(self, account: AccountId, url: str) -> float | None:
        """How far an upstream's clock is ahead of the broker's; None if it has none.

        Any answer will do, and nothing is minted.

        Raises:
            UpstreamUnreachableError, UpstreamUnclearError: there was no answer.
        """
        headers = {"host": urlsplit(url).netloc}
        return _seconds_ahead(await self._send(account, "GET", url, headers, b""))

    async def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.close()
        self._pools.clear()

    async def _call(
        self,
        account: AccountId,
        endpoint: str,
        parameters: Mapping[str, str],
        scope: tuple[str, str],
        keys: KeyPair | None,
        *,
        keeps: bool = False,
    ) -> httpx2.Response:
        """Call an operation of the Query API; ``scope`` is service and region.

        ``keeps`` says whether the connection is one that is kept.
        """
        body = urlencode(parameters).encode()
        headers = {
            "content-type": "application/x-www-form-urlencoded; charset=utf-8",
            "host": urlsplit(endpoint).netloc,
        }
        if keys is not None:
            if not _IN_HEADERS.fullmatch(f"{keys.access_key_id}{keys.session_token}"):
                raise UpstreamUnreachableError(
                    "the broker's credentials have characters that none can have"
                )
            headers = await asyncio.to_thread(
                _signed, endpoint, body, headers, scope, keys
            )
        else:
            await asyncio.to_thread(_parser)  # imported there at its first use
        return await self._send(account, "POST", endpoint, headers, body, keeps=keeps)

    async def _send(
        self,
        account: AccountId,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        keeps: bool = False,
    ) -> httpx2.Response:
        pool = await self._pool(account, url, keeps=keeps)
        if pool.in_flight >= IN_FLIGHT_MAX:
            raise UpstreamUnreachableError(
                f"{IN_FLIGHT_MAX} requests to it are under way already"
            )
        pool.in_flight += 1
        headers = {**_HEADERS, **headers, **({} if keeps else _ONCE)}
        try:
            return await pool.ask(
                httpx2.Request(method, url, headers=headers, content=body)
            )
        except _NOT_SENT as error:
            raise UpstreamUnreachableError(str(error) or "no connection") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise UpstreamUnclearError(str(error) or type(error).__name__) from error
        finally:
            pool.in_flight -= 1

    async def _pool(self, account: AccountId, url: str, *, keeps: bool) -> "_Pool":
        parts = urlsplit(url)
        key = (account, f"{parts.scheme}://{parts.netloc}", keeps)
        pool = self._pools.get(key)
        if pool is None:
            idle = (entry for entry, its in self._pools.items() if not its.in_flight)
            if len(self._pools) >= _UPSTREAMS_MAX and (oldest := next(idle, None)):
                await self._pools.pop(oldest).close()
            pool = self._pools[key] = _Pool(self._outbound, account)
        return pool


def login_url(sign_in: str, token: str, destination: str, issuer: str) -> str:
    """The link that opens an upstream's console with a sign-in token of its."""
    query = {
        "Action": "login",
        "Issuer": issuer,
        "Destination": destination,
        "SigninToken": token,
    }
    return f"{sign_in}?{urlencode(query)}"


class _Pool:
    """The connections to one upstream."""

    def __init__(self, outbound: OutboundClient, account: AccountId) -> None:
        self.in_flight = 0
        self._connections = outbound.pool(account=account, max_bytes=ANSWER_BYTES_MAX)

    async def ask(self, request: httpx2.Request) -> httpx2.Response:
        """The whole answer; no HTTP client keeps cookies or follows redirects."""
        answer = await self._connections.handle_async_request(request)
        try:
            await answer.aread()
        finally:
            await answer.aclose()
        return answer

    async def close(self) -> None:
        """Close them."""
        await self._connections.aclose()


def _signed(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    scope: tuple[str, str],
    keys: KeyPair,
) -> dict[str, str]:
    from botocore.auth import SigV4Auth  # noqa: PLC0415  # only where it is needed
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415  # above
    from botocore.credentials import Credentials  # noqa: PLC0415  # above

    request = AWSRequest("POST", url, headers=dict(headers), data=body)
    SigV4Auth(
        Credentials(
            keys.access_key_id,
            keys.secret_access_key.reveal(),
            keys.session_token or None,
        ),
        *scope,
    ).add_auth(request)
    return dict(request.headers.items())


@cache
def _parser() -> tuple[Any, Any]:
    """Botocore's reader of Query answers, and its model of STS."""
    from botocore.loaders import Loader  # noqa: PLC0415  # only where it is needed
    from botocore.model import ServiceModel  # noqa: PLC0415  # above
    from botocore.parsers import create_parser  # noqa: PLC0415  # above

    model = Loader().load_service_model("sts", "service-2", VERSION)
    return create_parser("query"), ServiceModel(model, "sts")


def _parse(answer: httpx2.Response, operation: str = "") -> dict[str, Any]:
    """What an operation of STS answers; without one, only whether it is an error."""
    parser, model = _parser()
    shape = model.operation_model(operation).output_shape if operation else None
    parts = {
        "status_code": answer.status_code,
        "headers": dict(answer.headers),
        "body": answer.content,
    }
    try:
        _refuse_doctype(answer.content)
        results: dict[str, Any] = parser.parse(parts, shape)
    except Exception as error:  # each fault has an error of its own
        raise UpstreamUnclearError(
            f"it answered {answer.status_code}, which cannot be read"
        ) from error
    if answer.status_code != _OK:
        code, message = _fault(results)
        if not code:
            raise UpstreamUnclearError(f"it answered {answer.status_code}")
        if answer.status_code == _UNAVAILABLE:
            raise UpstreamUnreachableError(f"it answered {code}")
        if answer.status_code >= _FAULT:
            raise UpstreamUnclearError(f"it answered {answer.status_code} {code}")
        raise UpstreamRefusedError(code, f"{message}{_skew(answer)}")
    return results


def _refuse_doctype(content: bytes) -> None:
    """Refuse entities, in whatever encoding; the reader of answers would expand them."""

    def refuse(*_declared: object) -> None:
        raise ValueError("the answer has a DOCTYPE")

    reader = ParserCreate()
    reader.StartDoctypeDeclHandler = refuse
    reader.Parse(content, True)  # noqa: FBT003  # it has no keyword


def _arn_asked_for(asked: Mapping[str, str], *, with_path: bool = False) -> str:
    if "RoleArn" not in asked:
        return f"federated-user/{asked['Name']}"
    head, _, role = asked["RoleArn"].partition(":role/")
    role = role if with_path else role.rpartition("/")[2]
    session = f"assumed-role/{role}/{asked['RoleSessionName']}"
    return f"{head.replace(':iam:', ':sts:', 1)}:{session}"


def _is_asked_for(arn: str, asked: Mapping[str, str]) -> bool:
    """Whether a session's ARN is that of the role and the name that were asked for."""
    if "RoleArn" not in asked:
        return arn.endswith(f":{_arn_asked_for(asked)}")
    there, _, name = arn.rpartition("/")
    # AWS leaves the role's path out, Ceph does not. Names of roles have no case.
    roles = {
        _arn_asked_for(asked, with_path=with_path).rpartition("/")[0].lower()
        for with_path in (False, True)
    }
    return name == asked["RoleSessionName"] and there.lower() in roles


def _fault(results: Mapping[str, Any]) -> tuple[str, str]:
    """The code and message of an error; no code if no operation sent it.

    A gateway's page has an element of any name anywhere, even inside of these.
    """
    fault = results.get("Error") or results  # Ceph answers in the form of S3
    code, message = (
        fault.get(name) if isinstance(fault, Mapping) else None
        for name in ("Code", "Message")
    )
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        return "", ""
    return code, message if isinstance(message, str) else ""


def _read(operation: str, answer: httpx2.Response) -> UpstreamCredentials:
    result = _parse(answer, operation)
    try:
        credentials = result["Credentials"]
        expiration = credentials["Expiration"]
        # AWS's times are in UTC, whether they say so or not.
        expiration = expiration.replace(tzinfo=expiration.tzinfo or UTC).astimezone(UTC)
        user = result.get("AssumedRoleUser") or result.get("FederatedUser") or {}
        made = UpstreamCredentials(
            access_key_id=credentials["AccessKeyId"],
            secret_access_key=Secret(credentials["SecretAccessKey"]),
            session_token=Secret(credentials["SessionToken"]),
            expiration=expiration,
            arn=user.get("Arn", ""),
            user_id=user.get("AssumedRoleId") or user.get("FederatedUserId") or "",
            packed_policy_size=result.get("PackedPolicySize", 0),
            seconds_ahead=_seconds_ahead(answer) or 0,
        )
    except (KeyError, AttributeError, OverflowError) as error:
        raise UpstreamUnclearError("the answer has no credentials") from error
    if not _KEY_ID.fullmatch(made.access_key_id):
        raise UpstreamUnclearError("the answer has no access key id")
    for secret in (made.secret_access_key, made.session_token):
        if not _SECRET.fullmatch(secret.reveal()):
            raise UpstreamUnclearError("the answer has a secret that cannot be one")
    now = datetime.now(UTC)
    if not now < made.expiration < now + _LIFE_MAX:
        raise UpstreamUnclearError(
            f"it gave credentials until {made.expiration.isoformat()}: its clock or the"
            " broker's is wrong"
        )
    return made


def _skew(answer: httpx2.Response) -> str:
    """What to say of the clocks, with any code: STS has many for what is too old."""
    seconds = _seconds_ahead(answer)
    if seconds is None or abs(seconds) < SKEW_SECONDS:
        return ""
    return f" (its clock and the broker's differ by {abs(seconds):.0f} seconds)"


def _seconds_ahead(answer: httpx2.Response) -> float | None:
    try:
        theirs = parsedate_to_datetime(answer.headers["date"])
        return (theirs - datetime.now(UTC)).total_seconds()
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
