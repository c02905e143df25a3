"""A keyring is made once, for an empty database; an older one's keys move over.

A start may be killed between any two of its steps, and made again.
"""

import asyncio
import base64
import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from broker.compose.installation import open_installation
from broker.compose.services import open_services
from broker.model.sealing import KeyKind
from broker.runtime.clock import SystemClock
from broker.sessions.keys import KeyringError
from broker.settings import Settings
from broker.stores import installation
from broker.stores.change_queue import QueuedChange
from tests.support.forked import _forks as forks
from tests.support.tables import lay_tables

OLD_SECRETS = {
    1: ("session", "active", bytes(range(32))),
    2: ("storage", "active", bytes(range(1, 33))),
    3: ("session", "revoked", None),
    4: ("storage", "dropped", None),
    5: ("storage", "revoked", bytes(range(2, 34))),
    6: ("session", "active", bytes(range(3, 35))),
    7: ("storage", "active", bytes(range(4, 36))),
}

BORN = datetime(2026, 1, 1, tzinfo=UTC)


async def start(folder: Path) -> None:
    async with open_services(Settings(data_dir=folder)):
        pass


def keyrings(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("keyring*"))


def list_database(folder: Path) -> list[Path]:
    return list(folder.glob("broker.db*"))


def lose_database(folder: Path) -> None:
    for path in list_database(folder):
        path.unlink()


async def opened_by(folder: Path) -> dict[int, bytes | None]:
    """The secrets of the keys that open here, by number."""
    async with open_installation(Settings(data_dir=folder)) as opened:
        now = SystemClock().now()
        return {
            key.number: opened.keyring.find_opening_key(key.kind, key.number, now)
            for key in opened.keyring.keys
        }


def make_older(folder: Path) -> None:
    """An installation as version 1 of the file left it, with a rotation in its past."""
    asyncio.run(start(folder))
    keyring_id = bytes(range(16))
    content = {
        "format": 1,
        "id": keyring_id.hex(),
        "keys": [
            {
                "number": number,
                "kind": kind,
                "state": state,
                "created": BORN.isoformat(),
                "seals_from": (BORN + timedelta(days=number)).isoformat(),
                "secret": secret and base64.b64encode(secret).decode(),
            }
            for number, (kind, state, secret) in OLD_SECRETS.items()
        ],
    }
    (folder / "keyring.json").write_text(json.dumps(content))
    text = sha256(b"broker/1/keyring" + keyring_id).hexdigest()
    with closing(sqlite3.connect(folder / "broker.db")) as database:
        database.execute("DELETE FROM sealing_keys")
        database.execute("UPDATE installation SET keyring_fingerprint = ?", (text,))
        database.commit()


async def test_workers_that_start_together_have_one_keyring(tmp_path: Path) -> None:
    await asyncio.gather(*(start(tmp_path) for _ in range(3)))
    assert keyrings(tmp_path) == ["keyring.json"]
    await start(tmp_path)


async def test_a_keyring_without_its_database_stops_the_start(tmp_path: Path) -> None:
    await start(tmp_path)
    lose_database(tmp_path)
    for _ in range(2):
        with pytest.raises(KeyringError, match="restore the database"):
            await start(tmp_path)
    (tmp_path / "keyring.json").rename(tmp_path / "keyring.json.old")
    await start(tmp_path)
    assert keyrings(tmp_path) == ["keyring.json", "keyring.json.old"]


async def test_the_file_is_never_changed_and_may_be_read_only(tmp_path: Path) -> None:
    await start(tmp_path)
    path = tmp_path / "keyring.json"
    path.chmod(0o400)
    before = path.stat(), path.read_bytes()
    async with open_installation(Settings(data_dir=tmp_path)) as opened:
        for kind in KeyKind:
            await opened.keyring.rotate(opened.stores.database, kind)
        await opened.keyring.revoke(opened.stores.database, 1)
    await start(tmp_path)
    after = path.stat(), path.read_bytes()
    assert after[1] == before[1]
    assert after[0].st_mtime_ns == before[0].st_mtime_ns


async def test_neither_the_file_nor_a_dump_opens_anything_alone(tmp_path: Path) -> None:
    await start(tmp_path)
    secrets = await opened_by(tmp_path)
    dump = b"".join(map(Path.read_bytes, list_database(tmp_path)))
    text = (tmp_path / "keyring.json").read_bytes()
    masters = json.loads(text)["master_keys"]
    for secret in secrets.values():
        assert secret is not None
        for kept in (dump, text):
            assert secret not in kept
            assert secret.hex().encode() not in kept
            assert base64.b64encode(secret) not in kept
    assert base64.b64decode(masters[0]["secret"]) not in dump
    (tmp_path / "keyring.json").unlink()
    with pytest.raises(KeyringError, match="restore it from your backup"):
        await start(tmp_path)
    assert keyrings(tmp_path) == []


async def test_an_older_dump_opens_with_the_same_file(tmp_path: Path) -> None:
    await start(tmp_path)
    before = await opened_by(tmp_path)
    with closing(sqlite3.connect(tmp_path / "broker.db")) as database:
        database.execute("VACUUM INTO ?", (str(tmp_path / "dump"),))
    async with open_installation(Settings(data_dir=tmp_path)) as opened:
        for kind in KeyKind:
            await opened.keyring.rotate(opened.stores.database, kind)
        await opened.keyring.drop(opened.stores.database, 2)
    lose_database(tmp_path)
    (tmp_path / "dump").rename(tmp_path / "broker.db")
    assert await opened_by(tmp_path) == before


def test_an_older_files_keys_move_into_the_database(tmp_path: Path) -> None:
    make_older(tmp_path)
    older = (tmp_path / "keyring.json").read_bytes()
    results = asyncio.run(opened_by(tmp_path))
    assert results == {
        number: secret if state == "active" else None
        for number, (_, state, secret) in OLD_SECRETS.items()
        if state != "dropped" and number != 1  # over for long
    } | {1: None}
    assert keyrings(tmp_path) == ["keyring.json"]
    assert (tmp_path / "keyring.json").stat().st_mode & 0o777 == 0o600

    # The other node still has the older file, and one restored it.
    (tmp_path / "keyring.json").write_bytes(older)
    with pytest.raises(KeyringError, match="the node that was started first"):
        asyncio.run(start(tmp_path))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda c: c.update(id="00" * 16), "belongs to another database"),
        (lambda c: c.update(id="xx"), "content is none of a keyring"),
        (lambda c: c.update(format=2), "newer than the database"),
        (lambda c: c["keys"][0].update(secret="AAAA"), "content is none of a keyring"),
        (lambda c: c["keys"][0].update(kind="other"), "content is none of a keyring"),
        (lambda c: c["keys"][0].pop("created"), "content is none of a keyring"),
    ],
)
def test_an_older_file_that_cannot_be_used_stays(
    tmp_path: Path, spoil: Any, says: str
) -> None:
    make_older(tmp_path)
    path = tmp_path / "keyring.json"
    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))
    with pytest.raises(KeyringError, match=says):
        asyncio.run(start(tmp_path))
    assert json.loads(path.read_text()) == content
    assert keyrings(tmp_path) == ["keyring.json"]


def run_until(steps: int, folder: Path, kind: KeyKind | None) -> None:
    """Open the installation, and rotate; killed before a step. In a fork of its own."""
    left = steps

    def step(real: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*params: Any, **more: Any) -> Any:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return real(*params, **more)

        return stepped

    for where, name in (
        (os, "open"),
        (os, "fsync"),
        (Path, "replace"),
        (installation, "update"),
        (installation, "insert"),
        (QueuedChange, "commit"),
    ):
        setattr(where, name, step(getattr(where, name)))

    async def work() -> None:
        async with open_installation(Settings(data_dir=folder)) as opened:
            if kind is not None:
                await opened.keyring.rotate(opened.stores.database, kind)

    asyncio.run(work())


def is_killed(*params: object) -> bool:
    """Whether the process was killed, at that step, before it had done its work."""
    process = forks.Process(target=run_until, args=params)
    process.start()
    process.join(60)
    assert process.exitcode in {0, -signal.SIGKILL}
    return process.exitcode != 0


@pytest.mark.parametrize("kind", ["birth", "take-over", "rotation"])
def test_a_process_that_is_killed_at_any_step_loses_nothing(
    tmp_path: Path, kind: str
) -> None:
    first = tmp_path / "first"
    lay_tables(Settings(data_dir=first))
    if kind == "take-over":
        make_older(first)
    elif kind == "rotation":
        asyncio.run(start(first))
    before = asyncio.run(opened_by(first)) if kind == "rotation" else {}
    for steps in range(100):
        folder = tmp_path / str(steps)
        shutil.copytree(first, folder)
        rotated = KeyKind.STORAGE if kind == "rotation" else None
        was_killed = is_killed(steps, folder, rotated)
        results = asyncio.run(opened_by(folder))
        if kind == "take-over":
            assert results[7] == OLD_SECRETS[7][2]
            assert results[2] == OLD_SECRETS[2][2]
            assert results[6] == OLD_SECRETS[6][2]
        assert {**results, **before} == results
        assert "keyring.json" in keyrings(folder)
        shutil.rmtree(folder)
        if not was_killed:
            assert steps > 3
            return
    raise AssertionError("it never ended")
