"""Two nodes with a database in common: a key is rotated or revoked on one of them."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import ClientError
from typer.testing import CliRunner

from broker.cli.main import app
from broker.sessions.keys import KeyringError
from tests.support.broker import Key, RunningBroker, running_broker
from tests.support.servers import start_redis
from tests.support.tables import own_database

WITHIN = 1.0
"""Seconds in which every node follows."""


@dataclass
class Nodes:
    """Each has a folder, and so a keyring file, of its own."""

    one: RunningBroker
    other: RunningBroker
    root: Key

    def all(self) -> tuple[RunningBroker, RunningBroker]:
        return self.one, self.other


@contextmanager
def two_nodes(folder: Path) -> Iterator[Nodes]:
    for name in ("one", "other"):
        (folder / name).mkdir()
    with own_database() as url, start_redis() as redis:
        settings = {"database_url": url, "redis_url": redis.url}
        with running_broker(folder / "one", **settings) as broker:
            root = broker.create_account()
            copy_keyring(folder)
            with running_broker(folder / "other", **settings) as other:
                yield Nodes(broker, other, root)


def keyring(folder: Path, node: str) -> Path:
    return folder / node / "data" / "keyring.json"


def copy_keyring(folder: Path) -> None:
    to = keyring(folder, "other")
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copy2(keyring(folder, "one"), to)


def key_number(broker: RunningBroker, kind: str, use: str) -> str:
    lines = broker.command("keys", "list", "--json").splitlines()
    (number,) = [
        str(key["number"])
        for key in map(json.loads, lines)
        if (key["kind"], key["use"]) == (kind, use)
    ]
    return number


def code(broker: RunningBroker, key: Key) -> str:
    try:
        broker.client("sts", key).get_caller_identity()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def session(broker: RunningBroker, key: Key) -> Key:
    return Key.of(broker.client("sts", key).get_session_token()["Credentials"])


def user_key(nodes: Nodes) -> Key:
    iam = nodes.one.client("iam", nodes.root)
    iam.create_user(UserName="ana")
    return Key.of(iam.create_access_key(UserName="ana")["AccessKey"])


def seconds_until(holds: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < 20
        time.sleep(0.02)
    return time.monotonic() - began


def test_a_rotation_on_one_node_ends_nothing_on_the_other(tmp_path: Path) -> None:
    with two_nodes(tmp_path) as nodes:
        user = user_key(nodes)
        before = [session(node, user) for node in nodes.all()]
        files = [keyring(tmp_path, node).read_bytes() for node in ("one", "other")]
        nodes.one.command("keys", "rotate")
        seconds = 0.0
        began = time.monotonic()
        while seconds < 8:
            # Whatever the moment: what one seals, the other opens.
            made = [session(node, user) for node in nodes.all()]
            for node in nodes.all():
                assert [code(node, key) for key in (user, *before, *made)] == [""] * 5
            seconds = time.monotonic() - began
        assert key_number(nodes.other, "session", "seals and opens") == "3"
        fresh = nodes.other.client("iam", nodes.root).create_access_key(UserName="ana")
        assert code(nodes.one, Key.of(fresh["AccessKey"])) == ""
        assert files == [
            keyring(tmp_path, node).read_bytes() for node in ("one", "other")
        ]


def test_a_revocation_on_one_node_is_seen_on_the_other(tmp_path: Path) -> None:
    with two_nodes(tmp_path) as nodes:
        user = user_key(nodes)
        ended = session(nodes.other, user)
        assert code(nodes.other, ended) == ""
        printed = nodes.one.command("keys", "revoke", "1")
        assert ended.access_key_id in printed
        for node in nodes.all():
            waited = seconds_until(lambda n=node: code(n, ended) != "")
            assert waited < WITHIN
            assert code(node, ended) == "InvalidClientTokenId"
        assert code(nodes.one, session(nodes.other, user)) == ""

        printed = nodes.one.command("keys", "revoke", "2")
        assert user.access_key_id in printed
        for node in nodes.all():
            assert seconds_until(lambda n=node: code(n, user) != "") < WITHIN
            assert code(node, user) == "InvalidClientTokenId"


def test_a_node_without_the_master_key_says_what_to_copy(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    with own_database() as url:
        with running_broker(tmp_path / "one", start=False, database_url=url) as broker:
            broker.create_account()
        other = running_broker(tmp_path / "other", start=False, database_url=url)
        with other as node:
            for _ in range(2):
                result = CliRunner(env=node.environment).invoke(app, ["keys", "list"])
                assert isinstance(result.exception, KeyringError)
                assert "copy it from another node" in str(result.exception)
            copy_keyring(tmp_path)
            assert len(node.command("keys", "list", "--json").splitlines()) == 2


def test_a_node_that_cannot_read_a_key_answers_503(tmp_path: Path) -> None:
    """The master key was replaced, and one node's file was forgotten."""
    with two_nodes(tmp_path) as nodes:
        user = user_key(nodes)
        keyring(tmp_path, "one").write_text(
            nodes.one.command("keys", "rewrap", "--new")
        )
        nodes.one.command("keys", "rewrap")
        nodes.one.command("keys", "revoke", "1")
        time.sleep(1)  # until then the node may seal with the revoked key
        seconds_until(lambda: makes_sessions(nodes.one, user))
        sealed = session(nodes.one, user)
        seconds_until(lambda: not makes_sessions(nodes.other, user))
        time.sleep(1)
        assert code(nodes.one, sealed) == ""
        assert code(nodes.other, sealed) == "ServiceUnavailable"
        assert code(nodes.other, user) == ""
        copy_keyring(tmp_path)
        assert seconds_until(lambda: code(nodes.other, sealed) == "") < WITHIN
        assert makes_sessions(nodes.other, user)


def makes_sessions(broker: RunningBroker, key: Key) -> bool:
    try:
        session(broker, key)
    except ClientError as error:
        return error.response["Error"]["Code"] != "ServiceUnavailable"
    return True
