"""The costliest inputs that one account is known to have, and what they do to another.

`Culprit` is an account that sends one of them at full speed, from a process of its own;
`Bystander` is another account, whose calls are timed meanwhile. ``python -m
tests.support.worst`` prints the table of `docs/bounds.md`.
"""

import http.client
import json
import multiprocessing
import socket
import string
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support import decisions, versitygw
from tests.support.broker import (
    ACCOUNT,
    REGION,
    Key,
    RunningBroker,
    running_broker,
)
from tests.support.greedy import GreedyServer, greedy_server
from tests.support.machine_agent import broker_client
from tests.support.policies import allow, policy, statement
from tests.support.unix_http import UnixConnection

OTHER = "210987654321"
CONNECTIONS = 6
TURN_SECONDS = 0.25
_ORDERS = {
    "Hosts": ["a.example"],
    "ResourceTypes": {"order": "order/{a}"},
    "Actions": {"Get": {"AccessLevel": "Read", "ResourceTypes": ["order"]}},
}
_VERSIONS = {"iam": "2010-05-08", "sts": "2011-06-15", "broker": "2026-11-27"}

Headers = Mapping[str, str]


@dataclass
class Culprit:
    """An account whose user has the costliest of everything."""

    broker: RunningBroker
    account: str = ACCOUNT
    root: Key = field(init=False)
    user: Key = field(init=False)
    role: Key = field(init=False)
    gateway: Key = field(init=False)
    token: str = field(init=False)

    def __post_init__(self) -> None:
        self.root = self.broker.create_account(self.account)
        iam = self.broker.client("iam", self.root)
        self.own: Any = broker_client(self.broker, self.root)
        iam.create_user(UserName="u")
        self.user = Key.of(iam.create_access_key(UserName="u")["AccessKey"])
        iam.create_user(UserName="gateway")
        self.gateway = Key.of(iam.create_access_key(UserName="gateway")["AccessKey"])
        iam.put_user_policy(
            UserName="gateway", PolicyName="p", PolicyDocument=allow("broker:*")
        )
        for number in range(5):
            made = iam.create_policy(
                PolicyName=f"P{number}", PolicyDocument=costly_patterns(number)
            )
            iam.attach_user_policy(UserName="u", PolicyArn=made["Policy"]["Arn"])
        iam.create_role(
            RoleName="r",
            AssumeRolePolicyDocument=policy(
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": self.account},
                    "Action": "sts:AssumeRole",
                }
            ),
        )
        iam.put_user_policy(
            UserName="u",
            PolicyName="roles",
            PolicyDocument=allow(
                "sts:AssumeRole", f"arn:aws:iam::{self.account}:role/r"
            ),
        )
        iam.put_role_policy(
            RoleName="r", PolicyName="keys", PolicyDocument=allow("s3:*")
        )
        session = self.broker.client("sts", self.user).assume_role(
            RoleArn=f"arn:aws:iam::{self.account}:role/r",
            RoleSessionName="session",
            Policy=allow(
                "s3:*",
                [f"arn:aws:s3:::{'a' * 20}{n}/*b?{n}*" for n in range(30)],
            ),
        )
        self.role = Key.of(session["Credentials"])
        self.own.put_service(
            ServiceName="s3", Definition=json.dumps(versitygw.DEFINITION)
        )
        self.own.put_service(ServiceName="orders", Definition=json.dumps(_ORDERS))
        made = self.own.create_service_token(ServiceName="orders", Days=1)
        self.token = made["Token"]


def costly_patterns(number: int) -> str:
    """A managed policy of patterns that fail at each position of many `a`."""
    patterns = [f"*{'a' * 90}b{number}{n:02d}XYaa*" for n in range(50)]
    return allow("iam:*", Condition={"StringLike": {"aws:UserAgent": patterns}})


@dataclass(frozen=True)
class Sent:
    """One request as it is sent."""

    path: str
    body: bytes
    headers: Headers
    method: str = "POST"
    over: Path | None = None


def signed(  # as in a call's words
    broker: RunningBroker,
    key: Key,
    service: str,
    action: str,
    params: Mapping[str, str],
    *,
    user_agent: str = "tests",
) -> Sent:
    body = urlencode({"Action": action, "Version": _VERSIONS[service], **params})
    form = {
        "content-type": "application/x-www-form-urlencoded",
        "user-agent": user_agent,
    }
    unsent = AWSRequest("POST", f"{broker.url}/", form, body)
    credentials = Credentials(
        key.access_key_id, key.secret_access_key, key.session_token
    )
    SigV4Auth(credentials, service, REGION).add_auth(unsent)
    return Sent("/", body.encode(), dict(unsent.headers.items()))


Make = Callable[[Culprit, int], list[Sent]]
"""Requests of a number, sent in this order."""


def _patterns(culprit: Culprit, _: int) -> list[Sent]:
    params = culprit.broker, culprit.user, "iam", "ListUsers", {}
    return [signed(*params, user_agent="a" * 4096)]


def _asked(culprit: Culprit, **question: object) -> Sent:
    body = json.dumps(question).encode()
    headers = {
        "content-type": "application/json",
        "x-broker-service-token": culprit.token,
    }
    return Sent("/decisions", body, headers)


def _routes(culprit: Culprit, number: int) -> list[Sent]:
    names = "/".join(f"{{{letter}}}" for letter in string.ascii_letters)
    definition = {
        **_ORDERS,
        "Routes": [
            {"Path": f"/{number}/{n}/{names}", "Action": "Get"} for n in range(200)
        ],
    }
    text = json.dumps(definition, separators=(",", ":"))
    assert len(text) <= 65_536
    params = {"ServiceName": "orders", "Definition": text}
    return [
        signed(culprit.broker, culprit.root, "broker", "PutService", params),
        _of_user(culprit),
    ]


def _of_user(culprit: Culprit) -> Sent:
    return _asked(
        culprit,
        Principal=f"arn:aws:iam::{culprit.account}:user/u",
        Actions=["orders:Get"],
        Resources=[f"arn:aws:orders:us-east-1:{culprit.account}:order/7"],
    )


def _resource_policy(culprit: Culprit, number: int) -> list[Sent]:
    resource = f"arn:aws:orders:us-east-1:{culprit.account}:order/7"
    one = {
        "Effect": "Allow",
        "Principal": {"AWS": culprit.account},
        "Action": "orders:Get",
        "Resource": resource,
        "Condition": {"StringLike": {"aws:UserAgent": [f"?{number}*"]}},
    }
    document = policy(*[one] * (20_000 // (len(json.dumps(one)) + 2)))
    params = {"ResourceArn": resource, "PolicyDocument": document}
    return [
        signed(culprit.broker, culprit.root, "broker", "PutResourcePolicy", params),
        _of_user(culprit),
    ]


def _role_policy(culprit: Culprit, number: int) -> list[Sent]:
    values = [f"?{number}a{n}" for n in range(1_000)]
    document = allow("s3:*", Condition={"StringLike": {"aws:UserAgent": values}})
    params = {
        "RoleName": "r",
        "PolicyName": "large",
        "PolicyDocument": document.replace(" ", "")[:10_240],
    }
    while len(params["PolicyDocument"]) >= 10_000:
        values = values[:-50]
        document = allow("s3:*", Condition={"StringLike": {"aws:UserAgent": values}})
        params["PolicyDocument"] = document.replace(" ", "")
    return [
        signed(culprit.broker, culprit.root, "iam", "PutRolePolicy", params),
        signed(culprit.broker, culprit.role, "iam", "ListUsers", {}),
    ]


def _signed_headers(culprit: Culprit, number: int) -> list[Sent]:
    large = {f"X-H{n}": "a " * 32_000 for n in range(14)}
    request = decisions.sign(
        culprit.user, f"/orders/{number}", url="http://a.example", headers=large
    )
    return [
        _asked(
            culprit,
            Request={
                "Method": request.method,
                "Target": request.target,
                "Headers": list(request.headers.items()),
            },
        )
    ]


def _many_keys(culprit: Culprit, _: int) -> list[Sent]:
    body = json.dumps(
        {
            "accessKeyId": culprit.role.access_key_id,
            "sessionToken": culprit.role.session_token,
            "actions": ["s3:DeleteObject"],
            "resources": [f"arn:aws:s3:::bucket/key{n}" for n in range(1_000)],
        }
    ).encode()
    path = "/private/evaluate-policy"
    headers = versitygw.Gateway(culprit.gateway).sign(path, body)
    return [Sent(path, body, headers, over=culprit.broker.folder / "p.sock")]


def _simulation(
    size: int, actions: int, resources: int
) -> Callable[[Culprit, int], list[Sent]]:
    def make(culprit: Culprit, number: int) -> list[Sent]:
        one = statement(
            "s3:Get*",
            f"arn:aws:s3:::?{number}*",
            Condition={"StringLike": {"aws:UserAgent": ["*a?b*", "*c?d*"]}},
        )
        document = policy(*[one] * (size // (len(json.dumps(one)) + 2) - 1))
        params = {"PolicyInputList.member.1": document, "MaxItems": "1000"}
        for n in range(1, actions + 1):
            params[f"ActionNames.member.{n}"] = f"s3:GetA{n}"
        for n in range(1, resources + 1):
            params[f"ResourceArns.member.{n}"] = f"arn:aws:s3:::b{n}/{'k' * 600}"
        action = "SimulateCustomPolicy"
        return [signed(culprit.broker, culprit.root, "iam", action, params)]

    return make


INPUTS: Mapping[str, Make] = {
    "250 patterns on a user agent of 4,096 characters": _patterns,
    "200 routes of 52 variables, changed each time": _routes,
    "a resource policy of 20 kB, changed each time": _resource_policy,
    "a role's policy of 10 kB, changed each time": _role_policy,
    "a question with 14 signed headers of 64 kB": _signed_headers,
    "1,000 keys that a session policy refuses": _many_keys,
    "a simulation of 128 kB": _simulation(128_000, 1, 1),
    "a simulation of 769 kB": _simulation(100_000, 1, 900),
}


def connect(broker: RunningBroker, sent: Sent) -> http.client.HTTPConnection:
    if sent.over is not None:
        return UnixConnection(sent.over)
    connection = http.client.HTTPConnection("127.0.0.1", broker.port, timeout=60)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def ask(connection: http.client.HTTPConnection, sent: Sent) -> tuple[int, bytes]:
    connection.request(sent.method, sent.path, sent.body, dict(sent.headers))
    answer = connection.getresponse()
    return answer.status, answer.read()


def _attack(
    culprit: Culprit, make: Make, stop: Any, results: Any, connections: int
) -> None:
    counted: Counter[str] = Counter()
    numbers = count()
    lock = threading.Lock()

    def send() -> None:
        by_place: dict[Path | None, http.client.HTTPConnection] = {}
        while not stop.is_set():
            with lock:
                number = next(numbers)
            for sent in make(culprit, number):
                try:
                    if sent.over not in by_place:
                        by_place[sent.over] = connect(culprit.broker, sent)
                    status, body = ask(by_place[sent.over], sent)
                except (OSError, http.client.HTTPException) as error:
                    counted[type(error).__name__] += 1
                    by_place.pop(sent.over, None)
                    continue
                is_throttled = b"Throttling" in body or b"Rate exceeded" in body
                counted["Throttling" if is_throttled else str(status)] += 1

    threads = [threading.Thread(target=send) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(dict(counted))


@contextmanager
def attacking(
    culprit: Culprit, make: Make, connections: int = CONNECTIONS
) -> Iterator[Counter[str]]:
    """Full speed while the block runs; afterwards the statuses are counted."""
    forks = multiprocessing.get_context("fork")
    stop, results = forks.Event(), forks.Queue()
    params = culprit, make, stop, results, connections
    process = forks.Process(target=_attack, args=params)
    statuses: Counter[str] = Counter()
    process.start()
    try:
        yield statuses
    finally:
        stop.set()
        statuses.update(results.get(timeout=120))
        process.join()


@dataclass
class Bystander:
    """Another account, and what its calls take, beside what a greedy server's do."""

    broker: RunningBroker
    key: Key

    def time_calls(
        self, seconds: float, beside: GreedyServer
    ) -> tuple[list[float], ...]:
        """What each GetCallerIdentity took, look at ``/healthz``, and exchange beside."""
        identity = signed(self.broker, self.key, "sts", "GetCallerIdentity", {})
        healthy = Sent("/healthz", b"", {}, "GET")
        calls: list[float] = []
        probes: list[float] = []
        exchanges: list[float] = []
        with closing(connect(self.broker, identity)) as connection:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                turn_ends = time.monotonic() + TURN_SECONDS
                while time.monotonic() < turn_ends:
                    for sent, taken in (identity, calls), (healthy, probes):
                        began = time.perf_counter()
                        status, body = ask(connection, sent)
                        taken.append(time.perf_counter() - began)
                        assert status == 200, body
                        time.sleep(0.003)
                exchanges += beside.time_exchanges(TURN_SECONDS)
        return calls, probes, exchanges


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def print_rows(seconds: float) -> None:
    """Each input as a row: what it delays another's call, and a look at health."""
    with TemporaryDirectory() as folder:
        options = ("--private-socket", f"{folder}/p.sock")
        with (
            running_broker(Path(folder), options=options) as broker,
            greedy_server() as beside,
        ):
            bystander = Bystander(broker, broker.create_account(OTHER))
            _print_row("nothing", bystander.time_calls(seconds, beside), "")
            for number, (name, make) in enumerate(INPUTS.items()):
                culprit = Culprit(broker, f"11111111111{number}")
                with attacking(culprit, make) as statuses:
                    bystander.time_calls(1, beside)
                    taken = bystander.time_calls(seconds, beside)
                refused = statuses["Throttling"] / statuses.total()
                _print_row(name, taken, f"{refused:.0%}")


def _print_row(name: str, taken: tuple[list[float], ...], refused: str) -> None:
    calls, probes, _ = taken
    shares = (calls, 0.5), (calls, 0.99), (calls, 1.0), (probes, 0.99)
    cells = [f"{percentile(values, share) * 1e3:.1f}" for values, share in shares]
    print(f"| {name} | {' | '.join(cells)} | {refused} |", flush=True)  # noqa: T201  # the table


if __name__ == "__main__":
    print_rows(seconds=10)
