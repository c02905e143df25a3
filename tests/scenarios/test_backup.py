"""The drill of docs/running/backup.md: what it says is run, word by word."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.support.broker import ACCOUNT, Key, RunningBroker
from tests.support.servers import find_postgresql
from tests.support.storage import STORAGES, broker_on
from tests.support.walk import Walk, read_steps, walking

PAGE = Path(__file__).parents[2] / "docs" / "running" / "backup.md"


@pytest.mark.parametrize(
    "storage", [STORAGES[0], pytest.param(STORAGES[1], marks=pytest.mark.long)]
)
def test_a_backup_brings_everything_back(tmp_path: Path, storage: str) -> None:
    name = "SQLite" if storage == "embedded" else "PostgreSQL"
    with (
        broker_on(storage, tmp_path) as broker,
        walking(walk(broker, tmp_path), shares_network=True) as here,
    ):
        root = broker.create_account()
        key = make_user(broker, root)
        session = session_of(broker, key)

        here.do(read_steps(PAGE, f"{name}: back up"))
        iam = broker.client("iam", root)
        iam.create_user(UserName="later")
        lose(broker, storage)

        (stop, *put_back, start) = read_steps(PAGE, f"{name}: restore")
        assert (stop.command, start.command) == (
            "systemctl stop broker",
            "systemctl start broker",
        )
        broker.stop()
        here.do(put_back)
        broker.start()
        here.do(read_steps(PAGE, "After a restore"))

        caller = broker.client("sts", session).get_caller_identity()
        assert caller["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/ana"
        assert [user["UserName"] for user in iam.list_users()["Users"]] == ["ana"]
        session_of(broker, key)
        end_all_sessions(broker)
        assert is_refused_soon(broker, session)


def walk(broker: RunningBroker, folder: Path) -> Walk:
    programs = find_postgresql()
    path = f"{Path(sys.executable).parent}:{programs}:{os.environ['PATH']}"
    return Walk(
        folder,
        {**broker.environment, "PATH": path},
        instead={
            "/var/backups/": f"{folder}/backups/",
            "/var/lib/broker": str(folder / "data"),
            "/opt/broker/bin/python": sys.executable,
            " -o broker -g broker": "",
        },
    )


def make_user(broker: RunningBroker, root: Key) -> Key:
    iam = broker.client("iam", root)
    iam.create_user(UserName="ana")
    return Key.of(iam.create_access_key(UserName="ana")["AccessKey"])


def session_of(broker: RunningBroker, key: Key) -> Key:
    return Key.of(broker.client("sts", key).get_session_token()["Credentials"])


def lose(broker: RunningBroker, storage: str) -> None:
    """What a backup is for: files that are damaged, tables that are gone."""
    data = Path(broker.environment["BROKER_DATA_DIR"])
    (data / "keyring.json").unlink()
    broker.kill()
    if storage == "embedded":
        database = data / "broker.db"
        database.write_bytes(b"damaged" + database.read_bytes()[7:])
    else:
        url = broker.environment["BROKER_DATABASE_URL"]
        drop = ["psql", "-q", "-c", "DROP TABLE users CASCADE", url]
        subprocess.run(drop, check=True, capture_output=True)


def end_all_sessions(broker: RunningBroker) -> None:
    lines = broker.command("keys", "list", "--json").splitlines()
    keys = [json.loads(line) for line in lines]
    (number,) = [key["number"] for key in keys if key["kind"] == "session"]
    broker.command("keys", "revoke", str(number))


def is_refused_soon(broker: RunningBroker, session: Key) -> bool:
    """Every node follows within a second."""
    sts = broker.client("sts", session)
    for _ in range(300):
        try:
            sts.get_caller_identity()
        except ClientError:
            return True
        time.sleep(0.1)
    return False
