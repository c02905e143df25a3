"""A keyring is made once, for an empty database, and no database is lost unnoticed."""

import asyncio
from pathlib import Path

import pytest

from broker import installation
from broker.services import open_services
from broker.sessions.keys import KeyringError, KeyringReason
from broker.settings import Settings
from broker.stores.installation import claim_keyring


async def start(folder: Path) -> None:
    async with open_services(Settings(data_dir=folder)):
        pass


def keyrings(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("keyring*"))


def lose_database(folder: Path) -> None:
    for path in folder.glob("broker.db*"):
        path.unlink()


async def test_workers_that_start_together_have_one_keyring(tmp_path: Path) -> None:
    await asyncio.gather(*(start(tmp_path) for _ in range(3)))
    assert keyrings(tmp_path) == ["keyring.json"]
    await start(tmp_path)


async def test_a_keyring_without_its_database_stops_the_start(tmp_path: Path) -> None:
    await start(tmp_path)
    lose_database(tmp_path)
    for _ in range(2):
        with pytest.raises(KeyringError, match="restore the database") as refused:
            await start(tmp_path)
        assert refused.value.reason is KeyringReason.EXISTS
    (tmp_path / "keyring.json").rename(tmp_path / "keyring.json.old")
    await start(tmp_path)
    assert keyrings(tmp_path) == ["keyring.json", "keyring.json.old"]


class KilledError(BaseException):
    """In the place of a kill: nothing catches it."""


@pytest.mark.parametrize("is_after", [False, True])
async def test_a_start_that_is_killed_half_way_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_after: bool
) -> None:
    async def die(*given: object, **more: object) -> str:
        if is_after:
            await claim_keyring(*given, **more)  # type: ignore[arg-type]  # passed on
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(installation, "claim_keyring", die)
        with pytest.raises(KilledError):
            await start(tmp_path)
    assert "keyring.json" not in keyrings(tmp_path)
    await start(tmp_path)
    assert "keyring.json" in keyrings(tmp_path)
    await start(tmp_path)
