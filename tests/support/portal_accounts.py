"""Fifty accounts of twenty roles each, which one identity provider opens."""

import json
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from broker.model.account import Account, AccountId
from broker.model.arn import iam_arn
from broker.model.entities import Role
from broker.stores.directory import kinds
from broker.stores.directory.accounts import insert_account
from broker.stores.directory.kinds import ROLE, SAML_PROVIDER
from tests.support.signin import ACCOUNT, SignInWorld

ACCOUNTS, ROLES = 50, 20
GROUPS = "https://idp.example.com/groups"
_SESSION_NAME = "https://aws.amazon.com/SAML/Attributes/RoleSessionName"


def numbers(count: int = ACCOUNTS) -> list[AccountId]:
    """The accounts' numbers."""
    return [AccountId(f"{700_000_000_000 + n}") for n in range(count)]


def role_names(first: str = "Team-00") -> list[str]:
    """The names of every account's roles."""
    return [first, *(f"Team-{n:02}" for n in range(1, ROLES))]


def pairs(
    accounts: Sequence[AccountId], names: Sequence[str] = (), provider: str = "Corp"
) -> list[str]:
    """The values of an assertion's Role attribute for all of their roles."""
    return [
        f"{iam_arn(account, f'role/{name}')},"
        f"{iam_arn(account, f'saml-provider/{provider}')}"
        for account in accounts
        for name in names or role_names()
    ]


def of_groups(*names: str, who: str = "alice@example.com") -> dict[str, Any]:
    """What of an assertion names groups instead of roles."""
    return {"attributes": {_SESSION_NAME: (who,), GROUPS: names}}


def organisation(accounts: Sequence[AccountId], name: str = "corp") -> str:
    """The operator's file that makes one of these accounts."""
    members = {account: {"Providers": ["saml-provider/Corp"]} for account in accounts}
    params = {"DisplayName": "Example Corp", "Accounts": members}
    return json.dumps({"Organisations": {name: params}})


async def add_accounts(
    world: SignInWorld,
    accounts: Sequence[AccountId],
    *,
    names: Sequence[str] = (),
    description: str = "For reports",
    group: str = "",
) -> None:
    """Make them, each with a provider of its own for the same identity provider.

    A ``group`` is mapped to all roles.
    """
    directory = world.services.stores.directory
    home = await directory.find(kinds.ACCOUNT, ACCOUNT)
    provider = await directory.named(SAML_PROVIDER, ACCOUNT, "Corp")
    assert home is not None
    assert provider is not None
    for count, number in enumerate(accounts):
        roles = [iam_arn(number, f"role/{name}") for name in names or role_names()]
        options = {"GroupRoles": {group: roles}, "GroupAttribute": GROUPS}
        statement = {
            "Effect": "Allow",
            "Principal": {"Federated": iam_arn(number, "saml-provider/Corp")},
            "Action": ["sts:AssumeRoleWithSAML", "sts:TagSession"],
        }
        trust = json.dumps({"Version": "2012-10-17", "Statement": statement})
        async with directory.change(number) as change:
            await insert_account(
                change,
                Account(
                    account_id=number,
                    alias=f"product-{count:02}",
                    session_salt=home.session_salt,
                    created_at=home.created_at,
                ),
            )
            await change.insert(
                SAML_PROVIDER,
                replace(
                    provider,
                    account=number,
                    uuid=f"SAMLSP{number}{count:04}",
                    options=options if group else {},
                ),
            )
            for place, name in enumerate(names or role_names()):
                await change.insert(
                    ROLE,
                    Role(
                        account=number,
                        role_id=f"AROA{int(number) % 1000:03}{place:014}",
                        name=name,
                        path="/",
                        trust_policy=trust,
                        created_at=home.created_at,
                        description=description,
                    ),
                )
