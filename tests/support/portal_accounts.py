"""Fifty accounts of twenty roles each, which one identity provider opens."""

import json
from collections.abc import Sequence
from dataclasses import replace

from broker.model.account import Account, AccountId
from broker.model.arn import iam_arn
from broker.model.entities import Role
from tests.support.signin import ACCOUNT, SignInWorld

ACCOUNTS, ROLES = 50, 20


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


async def add_accounts(
    world: SignInWorld,
    accounts: Sequence[AccountId],
    *,
    names: Sequence[str] = (),
    description: str = "For reports",
) -> None:
    """Make them, each with a provider of its own for the same identity provider."""
    directory = world.services.stores.directory
    home = await directory.find_account(ACCOUNT)
    provider = await directory.find_saml_provider(ACCOUNT, "Corp")
    assert home is not None
    assert provider is not None
    for count, number in enumerate(accounts):
        statement = {
            "Effect": "Allow",
            "Principal": {"Federated": iam_arn(number, "saml-provider/Corp")},
            "Action": ["sts:AssumeRoleWithSAML", "sts:TagSession"],
        }
        trust = json.dumps({"Version": "2012-10-17", "Statement": statement})
        async with directory.change(number) as change:
            await change.insert_account(
                Account(
                    account_id=number,
                    alias=f"product-{count:02}",
                    session_salt=home.session_salt,
                    created_at=home.created_at,
                )
            )
            await change.insert_saml_provider(
                replace(provider, account=number, uuid=f"SAMLSP{number}{count:04}")
            )
            for place, name in enumerate(names or role_names()):
                await change.insert_role(
                    Role(
                        account=number,
                        role_id=f"AROA{int(number) % 1000:03}{place:014}",
                        name=name,
                        path="/",
                        trust_policy=trust,
                        created_at=home.created_at,
                        description=description,
                    )
                )
