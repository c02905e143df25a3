"""An administrator in the console, by HTTP: pages, and forms as a browser sends them."""

import json
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx
from lxml import html

from broker.model.account import AccountId
from broker.model.entities import InlinePolicy
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.policies import put_inline_policy
from tests.support.signin import ACCOUNT, SignInWorld, pair, text_of

SAME = {"sec-fetch-site": "same-origin"}


async def grant(
    world: SignInWorld,
    *actions: str,
    effect: str = "Allow",
    resource: str | list[str] = "*",
    role: str = "Admin",
    account: AccountId = ACCOUNT,
) -> None:
    """Give a role an inline policy; another effect has another name."""
    stored_role = await world.services.fresh.named(ROLE, account, role)
    assert stored_role is not None
    statement = {"Effect": effect, "Action": list(actions), "Resource": resource}
    document = {"Version": "2012-10-17", "Statement": statement}
    async with world.services.stores.directory.change(account) as change:
        await put_inline_policy(
            change,
            InlinePolicy(
                account=account,
                owner_id=stored_role.role_id,
                name=f"Given{effect}",
                document=json.dumps(document),
            ),
        )


@dataclass
class Administrator:
    """Somebody signed in as a role."""

    world: SignInWorld
    browser: httpx.AsyncClient

    async def see(self, path: str, /, **query: str) -> httpx.Response:
        """A page that is there."""
        page = await self.browser.get(path, params=query or None)
        assert page.status_code == 200, text_of(page)
        return page

    async def send(
        self, page: httpx.Response, action: str, **typed: Any
    ) -> httpx.Response:
        """Fill in the form with this action (and these hidden fields) and send it.

        Hidden fields are kept as they are; ``typed`` replaces and adds. Of several
        forms the one whose hidden fields agree with ``typed`` is meant.
        """
        forms = html.fromstring(page.text).xpath(
            f"//form[@method='post'][@action='{action}']"
        )
        for form in forms:
            hidden = {
                field.get("name"): field.get("value")
                for field in form.xpath(".//input[@type='hidden']")
            }
            if all(hidden[name] == typed[name] for name in hidden.keys() & typed):
                data = {**hidden, **typed}
                return await self.browser.post(action, data=data, headers=SAME)
        raise AssertionError(f"no such form on the page: {action} {typed}")

    async def post(
        self, page: httpx.Response, path: str, **data: str
    ) -> httpx.Response:
        """Send what no form of the page sends, with the page's token."""
        token = html.fromstring(page.text).xpath("//input[@name='csrf']/@value")[0]
        return await self.browser.post(path, data={"csrf": token, **data}, headers=SAME)

    async def do(
        self, page: httpx.Response, action: str, **typed: Any
    ) -> httpx.Response:
        """Send a form that leads to another page, and go there."""
        answer = await self.send(page, action, **typed)
        assert answer.status_code == 303, text_of(answer)
        return await self.see(answer.headers["location"])


async def enter(world: SignInWorld, role: str = "Admin") -> Administrator:
    """Sign in as a role."""
    browser = world.browser()
    await world.sign_in(browser, pair(role))
    return Administrator(world, browser)
