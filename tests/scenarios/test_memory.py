"""Whatever callers send, a worker keeps no more than it may, and gives it to the next.

The figures are anonymous memory of the process, above what it has at rest; under
``--long`` they are kept for `docs/bounds.md`.
"""

import http.client
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support import evidence, saml_idp
from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker

MORE_MB = 64
"""`BROKER_CACHE_MB`, and what a worker may have more than at rest."""

SECONDS_TOGETHER = 300
OTHER = "444455556666"
METADATA_CHARACTERS = 930_000
PROVIDERS = 25
POLICY_VALUES, SESSION_POLICY_VALUES = 2_000, 330
"""Of two characters each: as many as a role's policies, or a session's, may have."""

_ANONYMOUS = re.compile(r"RssAnon:\s+(\d+) kB")
_CACHED = re.compile(r"^broker_memory_cache_bytes (\S+)$", re.MULTILINE)


def policy(number: int, values: int) -> str:
    """A policy with so many values, another for each number."""
    texts = [f"{n % 100:02}" for n in range(values)]
    allow = {"Effect": "Allow", "Action": "iam:*", "Resource": "*"}
    deny = {
        "Effect": "Deny",
        "Action": "iam:*",
        "Resource": "*",
        "Condition": {"StringLike": {"aws:UserAgent": [f"x{number}", *texts]}},
    }
    document = {"Version": "2012-10-17", "Statement": [allow, deny]}
    return json.dumps(document, separators=(",", ":"))


def trust(account: str) -> str:
    principals = {
        "AWS": f"arn:aws:iam::{account}:root",
        "Federated": [provider_arn(account, n) for n in range(PROVIDERS)],
    }
    allow = {
        "Effect": "Allow",
        "Principal": principals,
        "Action": ["sts:AssumeRole", "sts:AssumeRoleWithSAML"],
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [allow]})


def provider_arn(account: str, number: int) -> str:
    return f"arn:aws:iam::{account}:saml-provider/idp{number}"


class Loads:
    """What was seen to fill a worker's memory; each call does one step of it."""

    def __init__(self, broker: RunningBroker, account: str) -> None:
        self.broker = broker
        self.account = account
        self.role = f"arn:aws:iam::{account}:role/worker"
        self.iam = broker.client("iam", broker.create_account(account))
        self.numbers = count()
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        self.iam.create_user(UserName="maker")
        self.iam.put_user_policy(
            UserName="maker",
            PolicyName="all",
            PolicyDocument=json.dumps(
                {"Version": "2012-10-17", "Statement": [everything]}
            ),
        )
        made = self.iam.create_access_key(UserName="maker")["AccessKey"]
        self.sts = broker.client("sts", Key.of(made))
        metadata = saml_idp.metadata_xml()
        metadata += f"<!--{'x' * (METADATA_CHARACTERS - len(metadata) - 7)}-->"
        for number in range(PROVIDERS):
            self.iam.create_saml_provider(
                Name=f"idp{number}", SAMLMetadataDocument=metadata
            )
        self.iam.create_role(RoleName="worker", AssumeRolePolicyDocument=trust(account))
        self.role_policies(1)
        self.session = broker.client("iam", self.assume())

    def assume(self, **options: str) -> Key:
        answer = self.sts.assume_role(
            RoleArn=self.role, RoleSessionName="worker", **options
        )
        return Key.of(answer["Credentials"])

    def role_policies(self, values: int = POLICY_VALUES) -> None:
        """One role's policy of 10 kB, put again and again, and used."""
        self.iam.put_role_policy(
            RoleName="worker",
            PolicyName="use",
            PolicyDocument=policy(next(self.numbers), values),
        )
        if values > 1:
            self.session.list_account_aliases()

    def session_policies(self) -> None:
        key = self.assume(Policy=policy(next(self.numbers), SESSION_POLICY_VALUES))
        self.broker.client("iam", key).list_account_aliases()

    def hosts(self) -> None:
        name = f"{next(self.numbers)}.{'x' * 62_000}"
        connection = http.client.HTTPConnection("127.0.0.1", self.broker.port)
        connection.request("GET", "/decisions/forward/x", headers={"Host": name})
        with connection.getresponse() as answer:
            answer.read()
            assert answer.status in {404, 421}
        connection.close()

    def saml(self) -> None:
        provider = provider_arn(self.account, next(self.numbers) % PROVIDERS)
        acs = f"{self.broker.url}/saml"
        assertion = saml_idp.build_response(
            now=datetime.now(UTC),
            assertion_id=f"_{uuid.uuid4().hex}",
            recipient=acs,
            response={"destination": acs},
            attributes=saml_idp.aws_attributes(role=f"{self.role},{provider}"),
        )
        self.sts.assume_role_with_saml(
            RoleArn=self.role, PrincipalArn=provider, SAMLAssertion=assertion
        )


LOADS: dict[str, tuple[Callable[[Loads], None], str, int, int]] = {
    "role": (Loads.role_policies, "a role's policy of 10 kB put and used", 300, 4),
    "session": (Loads.session_policies, "a session with another policy", 300, 4),
    "hosts": (
        Loads.hosts,
        "a Host header of 62 kB at `/decisions/forward/x`",
        1100,
        32,
    ),
    "saml": (Loads.saml, "`AssumeRoleWithSAML` with metadata of 0.93 MB", 100, 4),
}
"""What a step does, in code and in words, the steps, and how many at a time."""


class Memory:
    """Of a worker, in megabytes."""

    def __init__(self, broker: RunningBroker) -> None:
        self.broker = broker
        self.at_rest = self.anonymous()
        self.rows: list[tuple[str, int, float, float]] = []

    def anonymous(self) -> float:
        assert self.broker.process is not None
        status = Path(f"/proc/{self.broker.process.pid}/status").read_text()
        match = _ANONYMOUS.search(status)
        assert match is not None
        return int(match[1]) / 1024

    def remembered(self) -> float:
        connection = http.client.HTTPConnection("127.0.0.1", self.broker.port)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        match = _CACHED.search(text)
        assert match is not None
        return float(match[1]) / 1024**2

    def require_bounded(self, load: str, times: int, highest: float = 0) -> None:
        more = max(highest, self.anonymous()) - self.at_rest
        remembered = self.remembered()
        assert 0 < remembered <= MORE_MB
        assert more <= MORE_MB, f"{load}: {more:.0f} MB more than {self.at_rest:.0f}"
        self.rows.append((load, times, round(more), round(remembered)))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    folder = tmp_path_factory.mktemp("broker")
    with running_broker(folder, rate_limit="0") as made:
        yield made


@pytest.fixture(scope="module")
def loads(broker: RunningBroker) -> Loads:
    return Loads(broker, ACCOUNT)


@pytest.fixture(scope="module")
def memory(broker: RunningBroker, loads: Loads) -> Memory:
    """Of a worker that has served each kind of call, with all it imports."""
    for load, *_ in LOADS.values():
        load(loads)
    return Memory(broker)


def run(step: Callable[[], Any], steps: int, threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda _: step(), range(steps)):
            pass


@pytest.mark.parametrize("name", LOADS)
def test_a_worker_keeps_no_more_than_it_may(
    loads: Loads, memory: Memory, name: str
) -> None:
    load, words, steps, threads = LOADS[name]
    run(lambda: load(loads), steps, threads)
    memory.require_bounded(words, steps)


@pytest.mark.long
def test_all_of_it_together_for_five_minutes(
    broker: RunningBroker, loads: Loads, memory: Memory
) -> None:
    """And the next account gets what it needs of it."""
    memory.rows.clear()
    for load, words, number, threads in LOADS.values():
        run(lambda load=load: load(loads), number, threads)
        memory.require_bounded(words, number)
    highest, steps = 0.0, 0
    ends_at = time.monotonic() + SECONDS_TOGETHER
    while time.monotonic() < ends_at:
        with ThreadPoolExecutor(len(LOADS)) as pool:
            parts = [
                pool.submit(run, lambda load=load: load(loads), number // 4, 1)
                for load, _, number, _ in LOADS.values()
            ]
            for part in parts:
                part.result()
        steps += sum(number // 4 for _, _, number, _ in LOADS.values())
        highest = max(highest, memory.anonymous())
    memory.require_bounded("all of these at once for five minutes", steps, highest)
    other = Loads(broker, OTHER)
    for load, words, number, threads in LOADS.values():
        run(lambda load=load: load(other), number, threads)
        memory.require_bounded(f"then in another account: {words}", number)
    evidence.keep("memory", at_rest=round(memory.at_rest), rows=memory.rows)
