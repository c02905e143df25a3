"""The agent: its size, its start, its answers; and ten thousand instances that renew.

After an outage, all instances ask one worker for new credentials as fast as it answers;
the agents themselves come spread over half a minute.
"""

import os
import signal
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.load import Row, empty_rate, measure
from broker.agent.broker_api import BROKER_VERSION, new_nonce, signed_token
from tests.support.broker import ACCOUNT, REGION, RunningBroker, running_broker
from tests.support.machine_agent import (
    RunningAgent,
    add_profile,
    broker_client,
    joined,
)

INSTANCES = 10_000
_STARTS = 7
_ANSWERS = 10_000
_CONNECTIONS = 16


def run() -> Iterator[Row]:
    """The figures, as label and text."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        baseline = empty_rate(folder)
        with running_broker(
            folder / "broker", forked=False, rate_limit="0", log_format="json"
        ) as broker:
            root = broker.create_account()
            add_profile(broker.client("iam", root), "web")
            agent = joined(folder / "agent", broker, broker_client(broker, root))
            agent.start()
            try:
                yield from _alone(agent, folder)
            finally:
                agent.stop()
            starts = [_first_credentials(agent) * 1000 for _ in range(_STARTS)]
            text = f"{statistics.median(starts):.0f} ms, {min(starts):.0f} at best"
            yield "start of the process to first credentials", text
            keys = _add_instances(broker)
            for label, action in (
                (
                    f"{INSTANCES:,} instances renew, one worker",
                    "GetInstanceCredentials",
                ),
                ("each asks whether its profile changed", "GetInstanceAssociation"),
            ):
                rate = measure(broker.url, list(_requests(action, keys)), folder)
                texts = (
                    f"{rate.per_second:.0f}/s",
                    f"{rate.per_second / baseline:.0%} of the empty handler",
                    f"{INSTANCES / rate.per_second:.0f} s for all, no error",
                )
                yield label, ", ".join(texts)


def _alone(agent: RunningAgent, folder: Path) -> Iterator[Row]:
    path = "/latest/meta-data/iam/security-credentials/web"
    while agent.get(path)[0] != 200:
        time.sleep(0.05)
    token = f"X-aws-ec2-metadata-token: {agent.token(21_600)}"
    text = f"Authorization: {agent.token_file.read_text()}"
    for label, url, header in (
        ("metadata service", f"{agent.metadata_address}{path}", token),
        ("container endpoint", f"{agent.container_address}/", text),
    ):
        lines = [f"{header.strip()}\t"] * _ANSWERS
        rate = measure(f"http://{url}", lines, folder, connections=_CONNECTIONS)
        yield f"credentials from the {label}", f"{rate.per_second:.0f}/s"
    yield "memory of the agent afterwards", f"{agent.resident_mb:.0f} MB"


def _first_credentials(agent: RunningAgent) -> float:
    """Seconds from the start of a registered instance's agent to its first answer."""
    agent.stop()
    began = time.perf_counter()
    agent.launch()
    while True:
        try:
            status, _ = agent.get("/latest/meta-data/iam/security-credentials/web")
        except OSError:
            time.sleep(0.002)
            continue
        if status == 200:
            took = time.perf_counter() - began
            if agent.process is not None:
                os.kill(agent.process.pid, signal.SIGTERM)
                agent.process.wait()
            return took


def _add_instances(broker: RunningBroker) -> list[Ed25519PrivateKey]:
    """Put so many instances into the database; their keys."""
    broker.stop()
    database = sqlite3.connect(broker.folder / "data" / "broker.db")
    (profile_id,) = database.execute(
        "SELECT profile_id FROM instance_profiles"
    ).fetchone()
    seeds = [number.to_bytes(32, "big") for number in range(1, INSTANCES + 1)]
    keys = [Ed25519PrivateKey.from_private_bytes(seed) for seed in seeds]
    database.executemany(
        "INSERT INTO instances (account, instance_id, region, public_key,"
        " registered_at, registered_by, profile_id, provider_id, subject)"
        " VALUES (?, ?, ?, ?, 0, 'bench', ?, '', '')",
        [
            (
                ACCOUNT,
                f"i-{number:017x}",
                REGION,
                key.public_key().public_bytes_raw(),
                profile_id,
            )
            for number, key in enumerate(keys)
        ],
    )
    database.commit()
    database.close()
    broker.start()
    return keys


def _requests(action: str, keys: list[Ed25519PrivateKey]) -> Iterator[str]:
    """One request by each instance."""
    for number, key in enumerate(keys):
        arn = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-{number:017x}"
        claims = {
            "iss": arn,
            "sub": arn,
            "aud": f"broker:{action}",
            "iat": int(time.time()),
            "jti": new_nonce(),
        }
        yield urlencode(
            {
                "Action": action,
                "Version": BROKER_VERSION,
                "InstanceArn": arn,
                "InstanceProof": signed_token(claims, key.sign),
            }
        )
