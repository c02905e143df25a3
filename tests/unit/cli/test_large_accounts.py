"""What an operator asks of an account takes no query for each of its users."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from broker.cli.checks import check_sealed_values
from broker.cli.findings import Level
from broker.cli.terminal import say_table
from broker.compose.resealing import sealed_values
from broker.compose.services import Services
from broker.model.entities import PASSWORD_SEAL, LoginProfile, User
from broker.stores.directory import kinds
from broker.stores.directory.kinds import LOGIN_PROFILE, USER
from broker.template.reader import export_account
from tests.support.exported import exported_text
from tests.support.signin import ACCOUNT, open_world


async def hire(services: Services, first: int, last: int) -> None:
    now = services.clock.now()
    async with services.stores.directory.change(ACCOUNT) as change:
        for number in range(first, last):
            user = f"AIDA{number:017d}"
            await change.insert(
                USER,
                User(
                    account=ACCOUNT,
                    user_id=user,
                    name=f"person-{number}",
                    path="/",
                    created_at=now,
                ),
            )
            place = (PASSWORD_SEAL[0], ACCOUNT, user, PASSWORD_SEAL[1])
            await change.insert(
                LOGIN_PROFILE,
                LoginProfile(
                    account=ACCOUNT,
                    user_id=user,
                    sealed=services.vault.seal(*place, b"secret"),
                    created_at=now,
                    changed_at=now,
                ),
            )


def _one(_rows: Sequence[Any]) -> int:
    return 1


async def export(services: Services) -> None:
    account = await services.stores.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    assert "person-0" in await exported_text(services.stores.directory, account)


async def read_sealed(services: Services) -> None:
    async for _ in sealed_values(services.stores.directory):
        pass


async def check_sealed(services: Services) -> None:
    stores, clock = services.stores, services.clock
    (finding,) = await check_sealed_values(services.keyring, stores, clock)
    assert finding.level is Level.GOOD


@pytest.mark.parametrize(
    ("ask", "count"), [(export, _one), (read_sealed, _one), (check_sealed, len)]
)
async def test_more_users_take_no_more_queries(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[Services], Awaitable[None]],
    count: Callable[[Sequence[Any]], int],
) -> None:
    """Nor rows, where nothing is told of each of them."""
    async with open_world(tmp_path) as world:
        services = world.services
        await services.freshness.close()  # it asks on its own
        database: Any = services.stores.database
        asked = 0
        rows = database.rows

        async def counted(*params: Any, **more: Any) -> Any:
            nonlocal asked
            match = await rows(*params, **more)
            asked += count(match)
            return match

        monkeypatch.setattr(database, "rows", counted)
        await hire(services, 0, 2)
        await ask(services)
        few, asked = asked, 0
        await hire(services, 2, 80)
        await ask(services)
        assert asked == few


async def test_an_export_reads_and_tells_some_users_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        services = world.services
        await services.freshness.close()
        directory = services.stores.directory
        await hire(services, 0, 80)
        account = await directory.find(kinds.ACCOUNT, ACCOUNT)
        assert account is not None
        whole = await exported_text(directory, account)
        database: Any = services.stores.database
        rows, most = database.rows, 0

        async def counted(*params: Any, **more: Any) -> Any:
            nonlocal most
            match = await rows(*params, **more)
            most = max(most, len(match))
            return match

        monkeypatch.setattr(database, "rows", counted)
        monkeypatch.setattr("broker.template.section.PAGE", 10)
        parts = [part async for part in export_account(directory, account)]
        assert "".join(parts) == whole
        assert max(part.count("UserName: ") for part in parts) == 10
        assert most <= 11


def test_a_long_table_has_a_line_for_each_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [(f"name-{number}", "\x1b[31m", "x") for number in range(3000)]
    say_table(("Name", "Told", "Last"), rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["Name", "Told", "Last"]
    assert lines[1:] == [
        f"name-{number}".ljust(9) + "  \\x1b[31m  x" for number in range(3000)
    ]
