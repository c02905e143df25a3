"""What a call costs in Python: byte codes and frames, stage by stage, and its time.

Counted on a warm broker in this process, on the thread of its event loop (uvloop, as
where it serves), from the ASGI application's call to its answer, libraries included;
what other threads and timers do is left out. Times differ from machine to machine,
counts do not: `benchmarks/budget.toml` bounds them, on both storages, and the check
counts again.

What counts do not show (code that leaves the processor's caches) is in the time of the
same thread, in multiples of the bare exchange's: groups of both take turns, and the
median of their ratios counts. It stays within a few percent on a busy machine, but other
processors divide work differently, so that its bounds are compared here, not in the check.

``python -m benchmarks budget`` prints the table, ``python -m benchmarks.budget`` the
totals as JSON.
"""

import asyncio
import io
import json
import statistics
import sys
import tempfile
import time
import tomllib
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from urllib.parse import parse_qsl, urlencode

import uvloop
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from benchmarks.baselines import Bare
from broker.cli.logs import configure_logs
from broker.cli.worker import tune_interpreter
from broker.compose import app as composition
from broker.edges.asgi import App
from broker.pipeline import Pipeline
from broker.runtime import shares
from broker.settings import LogFormat
from tests.scenarios.installation import policy, trust
from tests.support import decisions, saml_idp
from tests.support.broker import REGION, Key
from tests.support.certificates import issue
from tests.support.clocks import MovableClock
from tests.support.decisions import ACCOUNT, READER, AskingService
from tests.support.in_process import FORM, ORIGIN, InProcess, in_process
from tests.support.oidc_issuer import OidcIssuer, serving
from tests.support.roles_anywhere import sign
from tests.support.servers import start_redis
from tests.support.storage import STORAGES
from tests.support.tables import own_database

_ARN = f"arn:aws:iam::{ACCOUNT}"
_ROLE = f"{_ARN}:role/R"
_SAML = f"{_ARN}:saml-provider/Corp"
_OURS = tuple(
    f"{Path(__file__).parents[1] / entry}/" for entry in ("benchmarks", "tests")
)
"""What is not counted: these programs, and the clock of tests."""

_WARM, _TIMES = 5, 8
_TURNS, _TOGETHER = 120, 16
_MORE = 0.05
_BOUNDS = Path(__file__).with_name("budget.toml")
_SUFFIXES = dict(zip(STORAGES, ("", "_servers"), strict=True))
Row = tuple[str, str]
Request = tuple[str, Mapping[str, str], bytes]
Send = Callable[[Request], Awaitable[None]]
Make = Callable[[], Request]
"""Another request of the same kind: no token or assertion is sent twice."""


@dataclass(frozen=True)
class Cost:
    """Of one call."""

    codes: int
    frames: int
    stages: Mapping[str, int]
    """Byte codes by stage."""


def run() -> Iterator[Row]:
    """All figures, as label and text."""
    bounds = tomllib.loads(_BOUNDS.read_text("utf-8"))
    for storage in STORAGES:
        for flow, (cost, percent) in uvloop.run(measure(storage)).items():
            yield (
                f"{storage}: {flow}",
                f"{cost.codes} byte codes, {cost.frames} frames",
            )
            yield from ((f"  {stage}", f"{n}") for stage, n in cost.stages.items())
            bound = bounds.get(f"{flow}{_SUFFIXES[storage]}_time", 0)
            known = f"{percent / bound - 1:+.0%}, {_MORE:.0%} allowed" if bound else ""
            yield "  time, of the bare exchange's", f"{percent:.0f} % {known}"


async def measure(storage: str, *, timed: bool = True) -> dict[str, tuple[Cost, float]]:
    """Each flow's cost, and its time in percent of the bare exchange's."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        configure_logs(LogFormat.JSON, stream=io.StringIO())
        issuer = stack.enter_context(serving("/idp"))
        settings = {"internal_issuers": f"127.0.0.1:{issuer.port}"}
        bare_database = str(folder / "bare.db")
        if storage != "embedded":
            settings["redis_url"] = stack.enter_context(start_redis()).url
            settings["database_url"] = stack.enter_context(own_database())
            bare_database = stack.enter_context(own_database())
        broker = await stack.enter_async_context(in_process(folder, **settings))
        app = composition.compose(broker.services, ())
        flows = await _flows(broker, issuer.issuer)
        with _time_held(broker.clock):
            costs = {name: await _count(app, make) for name, make in flows.items()}
        if not timed:
            return {name: (cost, 0.0) for name, cost in costs.items()}
        bare = Bare(bare_database, issuer.issuer.jwks_bytes())
        await bare.start()
        stack.push_async_callback(bare.close)
        tune_interpreter()
        exchange = partial(_send, bare), flows["AssumeRoleWithWebIdentity"]
        return {
            name: (costs[name], await _compare((partial(_send, app), make), exchange))
            for name, make in flows.items()
        }
    raise AssertionError  # the stack swallows nothing


@contextmanager
def _time_held(clock: MovableClock) -> Iterator[None]:
    """No timer is due, and nothing becomes outdated."""
    held = ((clock, "now"), (clock, "monotonic"), (asyncio.get_running_loop(), "time"))
    measured = vars(shares)["perf_counter"]
    for owner, name in held:
        vars(owner)[name] = repeat(getattr(owner, name)()).__next__
    # Counting makes steps long: they would give way as on a busy machine.
    vars(shares)["perf_counter"] = repeat(measured()).__next__
    yield
    vars(shares)["perf_counter"] = measured
    for owner, name in held:
        del vars(owner)[name]


async def _compare(*sides: tuple[Send, Make]) -> float:
    """The time of the first side's calls in percent of the second's."""
    ratios = []
    for turn in range(_TURNS):
        times = {}
        for place in (0, 1) if turn % 2 else (1, 0):
            send, make = sides[place]
            requests = [make() for _ in range(_TOGETHER)]
            began = time.thread_time_ns()
            await asyncio.gather(*map(send, requests))
            times[place] = time.thread_time_ns() - began
        ratios.append(times[0] / times[1])
    return 100 * statistics.median(ratios)


async def _flows(broker: InProcess, issuer: OidcIssuer) -> dict[str, Make]:
    root = await broker.create_account(ACCOUNT)
    service = AskingService(broker, root)
    await service.register()
    await service.make_token()
    alice = await service.make_user("alice", {**READER})
    await _set_up(broker, root, issuer)

    def web_identity() -> Request:
        params = {"RoleArn": _ROLE, "RoleSessionName": "session"}
        token = issuer.token(jti=uuid.uuid4().hex)
        return _query(
            "AssumeRoleWithWebIdentity", None, **params, WebIdentityToken=token
        )

    def saml() -> Request:
        acs = f"{ORIGIN}/saml"
        assertion = saml_idp.build_response(
            now=broker.clock.now(),
            assertion_id=f"_{uuid.uuid4().hex}",
            recipient=acs,
            response={"destination": acs},
            attributes=saml_idp.aws_attributes(role=[f"{_ROLE},{_SAML}"]),
        )
        params = {"RoleArn": _ROLE, "PrincipalArn": _SAML}
        return _query("AssumeRoleWithSAML", None, **params, SAMLAssertion=assertion)

    answer = await broker.ask(
        "sts", "AssumeRoleWithWebIdentity", None, **_parameters(web_identity())
    )
    session = Key.of(answer["Credentials"])
    told = json.dumps({"Request": decisions.sign(alice).described(Body="")}).encode()
    token = {"X-Broker-Service-Token": service.token}
    assume = {"RoleArn": _ROLE, "RoleSessionName": "session"}
    return {
        "AssumeRoleWithWebIdentity": web_identity,
        "AssumeRoleWithSAML": saml,
        "GetCallerIdentity": lambda: _query("GetCallerIdentity", session),
        "GetSessionToken": lambda: _query("GetSessionToken", alice),
        "AssumeRole": lambda: _query("AssumeRole", alice, **assume),
        "CreateSession": await _machine(broker, root),
        "Decisions": lambda: ("/decisions", token, told),
    }


async def _set_up(broker: InProcess, root: Key, issuer: OidcIssuer) -> None:
    """Two providers, a role for all, and a user's right to assume it."""

    async def iam(operation: str, **params: Any) -> dict[str, Any]:
        return await broker.ask("iam", operation, root, **params)

    oidc = await iam(
        "CreateOpenIDConnectProvider", Url=issuer.url, ClientIDList=["client-1"]
    )
    metadata = saml_idp.metadata_xml()
    await iam("CreateSAMLProvider", Name="Corp", SAMLMetadataDocument=metadata)
    audience = {"StringEquals": {f"{issuer.url.split('//')[1]}:aud": "client-1"}}
    machine = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
    document = trust(
        (
            {"Federated": oidc["OpenIDConnectProviderArn"]},
            "sts:AssumeRoleWithWebIdentity",
            audience,
        ),
        ({"Federated": _SAML}, "sts:AssumeRoleWithSAML", None),
        ({"AWS": f"{_ARN}:root"}, "sts:AssumeRole", None),
        ({"Service": "rolesanywhere.amazonaws.com"}, machine, None),
    )
    await iam("CreateRole", RoleName="R", AssumeRolePolicyDocument=document)
    sts = policy("sts:*")
    await iam("PutUserPolicy", UserName="alice", PolicyName="S", PolicyDocument=sts)


async def _machine(broker: InProcess, root: Key) -> Make:
    async def make(path: str, params: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps(params).encode()
        _, headers, _ = _signed(path, body, root, "rolesanywhere", "application/json")
        answer = await broker.http.post(path, content=body, headers=headers)
        made: dict[str, Any] = answer.json()
        return made

    authority = issue("Root", is_authority=True)
    source = {
        "sourceType": "CERTIFICATE_BUNDLE",
        "sourceData": {"x509CertificateData": authority.pem},
    }
    anchor = await make(
        "/trustanchors", {"name": "a", "enabled": True, "source": source}
    )
    profile = await make(
        "/profiles", {"name": "p", "roleArns": [_ROLE], "enabled": True}
    )
    members = {
        "trustAnchorArn": anchor["trustAnchor"]["trustAnchorArn"],
        "profileArn": profile["profile"]["profileArn"],
        "roleArn": _ROLE,
    }
    machine = authority.issue("machine")
    seconds = iter(range(900, 3_600))

    def create_session() -> Request:
        body = json.dumps({**members, "durationSeconds": next(seconds)}).encode()
        return "/sessions", sign(f"{ORIGIN}/sessions", body, machine), body

    return create_session


def _query(action: str, key: Key | None, /, **text: str) -> Request:
    body = urlencode({"Action": action, "Version": "2011-06-15", **text}).encode()
    if key is None:
        return "/", FORM, body
    return _signed("/", body, key, "sts", FORM["content-type"])


def _parameters(request: Request) -> dict[str, str]:
    named = dict(parse_qsl(request[2].decode()))
    return {name: named[name] for name in named.keys() - {"Action", "Version"}}


def _signed(path: str, body: bytes, key: Key, service: str, media: str) -> Request:
    request = AWSRequest("POST", f"{ORIGIN}{path}", {"content-type": media}, body)
    credentials = Credentials(
        key.access_key_id, key.secret_access_key, key.session_token
    )
    SigV4Auth(credentials, service, REGION).add_auth(request)
    return path, dict(request.headers.items()), body


async def _count(app: App, make: Make) -> Cost:
    for _ in range(_WARM):
        await _send(app, make())
    costs = []
    for _ in range(_TIMES):
        request, counter = make(), _Counter()
        sys.settrace(counter.enter)
        try:
            await _send(app, request)
        finally:
            sys.settrace(None)
        stages = dict(counter.codes.most_common())
        costs.append(Cost(sum(stages.values()), counter.frames, stages))
    return min(costs, key=lambda cost: cost.codes)


async def _send(app: App, request: Request) -> None:
    path, headers, body = request
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8080),
        "headers": list(_raw({"host": "127.0.0.1:8080", **headers})),
    }
    status = 0
    answer = b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status, answer
        status = message.get("status", status)
        answer += message.get("body", b"")

    await app(scope, receive, send)
    if status not in {200, 201}:
        raise RuntimeError(f"{path} answered {status}: {answer!r}")


def _raw(headers: Mapping[str, str]) -> Iterable[tuple[bytes, bytes]]:
    named = {name.lower(): value for name, value in headers.items()}
    return ((name.encode(), value.encode()) for name, value in named.items())


class _Counter:
    """A trace function that counts, and knows which stage a frame belongs to."""

    def __init__(self) -> None:
        self.frames = 0
        self.codes: Counter[str] = Counter()

    def enter(self, frame: FrameType, _event: str, _argument: object) -> Any:
        of_ours = frame.f_code.co_filename.startswith(_OURS)
        stage = "" if of_ours else _stage(frame)
        if not stage:
            return None
        self.frames += 1
        frame.f_trace_opcodes, frame.f_trace_lines = True, False

        def count(_frame: FrameType, event: str, _argument: object) -> Any:
            if event == "opcode":
                self.codes[stage] += 1
            return count

        return count


def _stage(frame: FrameType | None) -> str:
    """That of the nearest marked function that it runs in; empty outside of a call."""
    marked = ""
    while frame is not None and frame.f_code is not _SEND:
        marked = marked or _MARKS.get(frame.f_code, "")
        frame = frame.f_back
    return "" if frame is None else marked or "edge"


def _code(function: Callable[..., Any]) -> CodeType:
    return function.__code__


_SEND = _code(_send)
_MARKS = {
    _code(Pipeline.receive): "receive",
    _code(Pipeline._prove): "prove",  # noqa: SLF001  # a stage of the path
    _code(Pipeline._permit): "permit",  # noqa: SLF001
    _code(Pipeline._do): "do",  # noqa: SLF001
}


def _totals() -> dict[str, int]:
    """All that the check compares, by the names of the bounds."""
    return {
        f"{flow}{suffix}_{unit}": getattr(cost, unit)
        for storage, suffix in _SUFFIXES.items()
        for flow, (cost, _) in uvloop.run(measure(storage, timed=False)).items()
        for unit in ("codes", "frames")
    }


if __name__ == "__main__":
    print(json.dumps(_totals()))
