"""Whole exchanges over HTTP: the server's CPU for a request, beside that of baselines.

The sides take turns, with alternating order, and each turn's share is shown: what the
baseline costs, divided by what the call costs. The first turn, which warms code and
disk, is left out. ``python -m benchmarks http --before=FOLDER`` measures the broker of
another check-out as well; a share of it above 1 means that this one costs less.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import asyncpg
import httpx2
from lxml import html

from benchmarks import requests
from benchmarks.load import Row, Server, baseline, installed, running
from benchmarks.saml import python3_saml
from tests.scenarios.installation import Installation, policy, trust
from tests.support import saml_idp
from tests.support.broker import ACCOUNT, Key
from tests.support.certificates import Issued, issue
from tests.support.servers import find_free_port
from tests.support.signin import BROWSER
from tests.support.storage import STORAGES

_BEFORE = next((w[9:] for w in sys.argv if w.startswith("--before=")), "")
_CALLS = {1: 400, 16: 1_600, 64: 3_000}
"""Requests in a turn, by the callers that send them together."""

_TURNS = 5
_FEWER = {"AssumeRoleWithSAML": 3, "moto's AssumeRoleWithWebIdentity": 10}
"""Of what takes long to make or to answer."""

_WORKER = f"arn:aws:iam::{ACCOUNT}:role/BenchWorker"
_DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
Lines = Callable[[int], Iterable[str]]
Cost = Callable[[int, int], float]
"""Microseconds of CPU for one of so many requests by so many callers."""


def run() -> Iterator[Row]:
    """All figures, as label and text."""
    with tempfile.TemporaryDirectory() as name, baseline("raw") as raw:
        folder = Path(name)
        empty = {"empty raw": _cost(raw, _empty, folder)}
        yield from _others(empty, folder)
        for storage in STORAGES:
            yield from _flows(storage, folder / storage, empty)


def _others(empty: Mapping[str, Cost], folder: Path) -> Iterator[Row]:
    """Other servers, as lines to read the shares by."""
    port = find_free_port()
    command = ["moto_server", "-p", str(port), "-H", "127.0.0.1"]
    with (
        baseline("fastapi") as fastapi,
        running(command, f"http://127.0.0.1:{port}") as moto,
    ):
        exchange = partial(requests.signed, moto.url, Key("AKIAIOSFODNN7EXAMPLE", "x"))
        parameters = {
            "Action": "AssumeRoleWithWebIdentity",  # unsigned, it is an error there
            "RoleArn": _WORKER,
            "RoleSessionName": "s-{}",
            "WebIdentityToken": "abcd",
        }
        for label, cost in (
            ("FastAPI's empty handler", _cost(fastapi, _empty, folder)),
            (
                "moto's AssumeRoleWithWebIdentity",
                _cost(moto, lambda count: exchange(count, **parameters), folder),
            ),
        ):
            yield from _rows("", label, cost, empty)


def _flows(storage: str, folder: Path, empty: Mapping[str, Cost]) -> Iterator[Row]:
    with ExitStack() as stack:
        sides: dict[str, Mapping[str, Cost]] = {}
        for name, checkout in (("before", _BEFORE), ("now", "")):
            if checkout or name == "now":
                place = installed(folder / name, storage, checkout=checkout)
                installation, ready = stack.enter_context(place)
                yield f"{storage}: start to ready, {name}", f"{ready:.2f} s"
                sides[name] = _costs(installation)
        tokens = partial(requests.web_identity, installation.issuer.issuer)
        bare = _cost(stack.enter_context(_bare(installation)), tokens, folder)
        baselines: dict[str, Mapping[str, Cost]] = {
            "AssumeRoleWithWebIdentity": {"bare exchange": bare},
            "AssumeRoleWithSAML": {"is_valid()": _is_valid},
        }
        for flow, cost in sides.pop("now").items():
            before = {name: costs[flow] for name, costs in sides.items()}
            others = baselines.get(flow, empty)
            yield from _rows(f"{storage}: ", flow, cost, {**others, **before})


def _rows(
    prefix: str, label: str, cost: Cost, others: Mapping[str, Cost]
) -> Iterator[Row]:
    for callers, calls in _CALLS.items():
        turns = _take_turns(
            {"": cost, **others}, calls // _FEWER.get(label, 1), callers
        )
        own = turns.pop("")
        texts = [f"{statistics.median(own):.0f} us"]
        for name, theirs in turns.items():
            shares = [t / o for t, o in zip(theirs, own, strict=True)]
            each = " ".join(f"{share:.2f}" for share in shares)
            texts.append(
                f"{name} {statistics.median(theirs):.0f} us:"
                f" {statistics.median(shares):.2f} ({each})"
            )
        yield f"{prefix}{label}, {callers} at once", "; ".join(texts)


def _take_turns(
    sides: Mapping[str, Cost], calls: int, callers: int
) -> dict[str, list[float]]:
    turns: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(1 + _TURNS):
        for name in sorted(sides, reverse=bool(turn % 2)):
            turns[name].append(sides[name](calls, callers))
    return {name: costs[1:] for name, costs in turns.items()}


def _cost(server: Server, lines: Lines, folder: Path, path: str = "") -> Cost:
    def microseconds(calls: int, callers: int) -> float:
        return server.microseconds(lines(calls), folder, connections=callers, path=path)

    return microseconds


def _empty(count: int) -> list[str]:
    return ["Action=GetCallerIdentity"] * count


def _is_valid(_calls: int, _callers: int) -> float:
    """Stock python3-saml alone, in this process."""
    judge = python3_saml(saml_idp.build_response(now=datetime.now(UTC)))
    began = time.process_time()
    for _ in range(100):
        judge()
    return (time.process_time() - began) * 1e4


@contextmanager
def _bare(installation: Installation) -> Iterator[Server]:
    """The bare exchange on the installation's kind of storage, for its issuer."""
    folder = installation.broker.folder
    database = str(folder / "bare.db")
    url = installation.broker.environment.get("BROKER_DATABASE_URL", "")
    if url:
        asyncio.run(_make_database(url))
        database = f"{url.rpartition('/')[0]}/bare"
    jwks = folder / "jwks.json"
    jwks.write_bytes(installation.issuer.issuer.jwks_bytes())
    with baseline("bare", database, str(jwks)) as server:
        yield server


async def _make_database(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE DATABASE bare")
    await connection.close()


def _costs(installation: Installation) -> dict[str, Cost]:
    """Of each flow."""
    broker = installation.broker
    session = Key.of(installation.web_identity()["Credentials"])
    user, (machine, members) = _user(installation), _machine(installation)
    token = f"x-amz-sso_bearer_token: {_log_in(installation)}\t"
    assume = {"RoleArn": _WORKER, "RoleSessionName": "bench-{}"}
    durations = iter(range(900, 43_200))

    def sts(key: Key, action: str, **parameters: str) -> Lines:
        params = {"Action": action, **parameters}
        return lambda count: requests.signed(broker.url, key, count, **params)

    lines: dict[str, Lines] = {
        "AssumeRoleWithWebIdentity": partial(
            requests.web_identity, installation.issuer.issuer
        ),
        "AssumeRoleWithSAML": partial(requests.saml, installation),
        "GetCallerIdentity": sts(session, "GetCallerIdentity"),
        "GetSessionToken": sts(user, "GetSessionToken"),
        "AssumeRole": sts(user, "AssumeRole", **assume),
        "CreateSession": partial(
            requests.sessions, broker.url, machine, members, durations
        ),
        "GetRoleCredentials": lambda count: [token] * count,
    }
    paths = {
        "CreateSession": "/sessions",
        "GetRoleCredentials": "/sso/federation/credentials"
        f"?role_name=Reader&account_id={ACCOUNT}",
    }
    server = Server.of(broker)
    return {
        flow: _cost(server, made, broker.folder, paths.get(flow, ""))
        for flow, made in lines.items()
    }


def _machine(installation: Installation) -> tuple[Issued, dict[str, str]]:
    """A certificate, and what it asks ``CreateSession`` for."""
    root = issue("Bench Root", is_authority=True)
    api = installation.broker.client("rolesanywhere", installation.root)
    anchor = api.create_trust_anchor(
        name="bench",
        enabled=True,
        source={
            "sourceType": "CERTIFICATE_BUNDLE",
            "sourceData": {"x509CertificateData": root.pem},
        },
    )["trustAnchor"]["trustAnchorArn"]
    role = installation.iam.create_role(
        RoleName="BenchMachine",
        AssumeRolePolicyDocument=trust(
            (
                {"Service": "rolesanywhere.amazonaws.com"},
                ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
                None,
            )
        ),
    )["Role"]["Arn"]
    profile = api.create_profile(name="bench", roleArns=[role], enabled=True)
    return root.issue("bench"), {
        "trustAnchorArn": anchor,
        "profileArn": profile["profile"]["profileArn"],
        "roleArn": role,
    }


def _user(installation: Installation) -> Key:
    """A user's key, and a role that the user may assume."""
    iam = installation.iam
    iam.create_user(UserName="bench")
    iam.put_user_policy(
        UserName="bench", PolicyName="All", PolicyDocument=policy("sts:*")
    )
    iam.create_role(
        RoleName="BenchWorker",
        AssumeRolePolicyDocument=trust(
            ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "sts:AssumeRole", None)
        ),
    )
    return Key.of(iam.create_access_key(UserName="bench")["AccessKey"])


def _log_in(installation: Installation) -> str:
    """An access token, by the device flow."""
    url = installation.broker.url
    with httpx2.Client(base_url=url, headers=BROWSER, follow_redirects=True) as http:

        def ask(path: str, **params: object) -> dict[str, str]:
            answer: dict[str, str] = http.post(f"/sso-oidc/{path}", json=params).json()
            return answer

        registered = ask("client/register", clientName="bench", clientType="public")
        client = {name: registered[name] for name in ("clientId", "clientSecret")}
        start = f"{url}/portal/{ACCOUNT}"
        device = ask("device_authorization", **client, startUrl=start)
        http.post(
            "/saml",
            data={
                "SAMLResponse": installation.assertion(),
                "RelayState": f"/portal/{ACCOUNT}",
            },
        )
        page = http.get("/portal/device", params={"user_code": device["userCode"]})
        (form,) = html.fromstring(page.text).xpath("//form[@method='post']")
        fields = {
            entry.get("name"): entry.get("value") for entry in form.xpath(".//input")
        }
        http.post(
            "/portal/device",
            data={**fields, "answer": "allow"},
            headers={"origin": url},
        )
        tokens = ask(
            "token", **client, grantType=_DEVICE_CODE, deviceCode=device["deviceCode"]
        )
        return tokens["accessToken"]
