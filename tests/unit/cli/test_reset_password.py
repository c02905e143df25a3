"""A password that was lost gives way to a link."""

import re

import pytest

from broker.cli.operator import with_installation
from broker.compose.installation import Installation
from broker.errors import NoSuchEntity
from broker.model.entities import LoginProfile
from broker.stores.directory.kinds import LOGIN_PROFILE, USER
from tests.unit.cli.conftest import ACCOUNT, CommandLine

RESET = ("account", "reset-password", ACCOUNT, "admin")
LINK = re.compile(r"http://\S+/signin/123456789012/first-password\?token=([\w-]{43})$")


def give_password(name: str) -> None:
    async def give(installation: Installation) -> None:
        async with installation.stores.directory.change(ACCOUNT) as change:
            user = await change.named(USER, ACCOUNT, name)
            assert user is not None
            now = installation.clock.now()
            profile = LoginProfile(
                account=ACCOUNT,
                user_id=user.user_id,
                sealed=b"sealed",
                created_at=now,
                changed_at=now,
            )
            await change.insert(LOGIN_PROFILE, profile)

    with_installation(give)


def waiting(cli: CommandLine) -> list[str]:
    (listed,) = cli.lines("account", "list", "--json")
    names: list[str] = listed["WaitingForPassword"]
    return names


def test_a_lost_password_gives_way_to_a_link(cli: CommandLine) -> None:
    cli("init", "--account", ACCOUNT)
    give_password("admin")
    assert waiting(cli) == []
    printed = cli(*RESET)
    link = LINK.search(printed.strip())
    assert link is not None
    assert "no longer works" in printed
    assert waiting(cli) == ["admin"]
    (record,) = cli.audit("broker:ResetPassword")
    assert record["parameters"] == {"UserName": "admin"}
    assert record["resources"] == [f"arn:aws:iam::{ACCOUNT}:user/admin"]
    assert link[1] not in cli("audit", "--json")
    # The link of an administrator who has not used it gives way to a newer one.
    again = cli.json(*RESET, "--json")
    assert again["UserName"] == "admin"
    assert again["SignInLink"] != link[0]


def test_a_user_without_a_password_gets_none(cli: CommandLine) -> None:
    cli("init", "--account", ACCOUNT)
    cli(
        "apply",
        "-",
        stdin=f'{{"Accounts": {{"{ACCOUNT}": {{"Users": [{{"UserName": "job"}}]}}}}}}',
    )
    with pytest.raises(NoSuchEntity, match="Login Profile for User job"):
        cli(*RESET[:3], "job")
    with pytest.raises(NoSuchEntity, match="eve"):
        cli(*RESET[:3], "eve")
    with pytest.raises(NoSuchEntity, match="no account"):
        cli(*RESET[:2], "210987654321", "admin")
    assert waiting(cli) == ["admin"]
    assert cli.audit("broker:ResetPassword") == []
