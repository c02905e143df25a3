"""Sign-in links as an account keeps them."""

import pytest

from broker.errors import AccessDenied
from broker.kinds.accounts import require_account
from broker.kinds.sign_in_links import OPTION, issue_link, require_linked_user
from broker.model.account import Account
from broker.model.entities import User
from broker.stores.directory.kinds import USER
from tests.support.iam import ACCOUNT, NOW, Iam
from tests.support.passwords import PASSWORD


async def user_named(iam: Iam, name: str) -> User:
    await iam("CreateUser", UserName=name)
    user = await iam.directory.named(USER, ACCOUNT, name)
    assert user is not None
    return user


async def test_an_account_keeps_the_newest_links(iam: Iam) -> None:
    account = await require_account(iam.directory, ACCOUNT)
    tokens = []
    for number in range(21):
        user = await user_named(iam, f"user-{number}")
        account, token = issue_link(account, user, now=NOW)
        tokens.append(token.reveal())
    links = account.options[OPTION]
    assert isinstance(links, list)
    assert len(links) == 20

    async def linked(account: Account, token: str) -> User:
        return await require_linked_user(iam.directory, account, token, now=NOW)

    assert (await linked(account, tokens[1])).name == "user-1"
    with pytest.raises(AccessDenied):
        await linked(account, tokens[0])


async def test_a_password_set_in_another_way_ends_the_link(iam: Iam) -> None:
    account = await require_account(iam.directory, ACCOUNT)
    account, token = issue_link(account, await user_named(iam, "eve"), now=NOW)
    await iam("CreateLoginProfile", UserName="eve", Password=PASSWORD)
    with pytest.raises(AccessDenied, match="has been used"):
        await require_linked_user(iam.directory, account, token.reveal(), now=NOW)
