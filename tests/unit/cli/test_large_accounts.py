"""What an operator asks of an account takes no query for each of its users."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from broker.cli.terminal import say_table
from broker.identities.template.export import export_account
from broker.model.entities import User
from broker.resealing import sealed_values
from broker.services import Services
from tests.support.signin import ACCOUNT, open_world


async def hire(services: Services, first: int, last: int) -> None:
    async with services.stores.directory.change(ACCOUNT) as change:
        for number in range(first, last):
            await change.insert_user(
                User(
                    account=ACCOUNT,
                    user_id=f"AIDA{number:017d}",
                    name=f"person-{number}",
                    path="/",
                    created_at=services.clock.now(),
                )
            )


async def export(services: Services) -> None:
    account = await services.stores.directory.find_account(ACCOUNT)
    assert account is not None
    assert "person-0" in await export_account(services.stores.directory, account)


async def read_sealed(services: Services) -> None:
    async for _ in sealed_values(services.stores.directory):
        pass


@pytest.mark.parametrize("ask", [export, read_sealed])
async def test_more_users_take_no_more_queries(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[Services], Awaitable[None]],
) -> None:
    async with open_world(tmp_path) as world:
        services = world.services
        await services.freshness.close()  # it asks on its own
        database: Any = services.stores.database
        asked = 0
        rows = database.rows

        async def counted(*given: Any, **more: Any) -> Any:
            nonlocal asked
            asked += 1
            return await rows(*given, **more)

        monkeypatch.setattr(database, "rows", counted)
        await hire(services, 0, 2)
        await ask(services)
        few, asked = asked, 0
        await hire(services, 2, 80)
        await ask(services)
        assert asked == few


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
