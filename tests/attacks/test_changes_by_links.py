"""Links that would change something: another site can make a browser follow any.

A GET carries the session's cookie and no token, so nothing may come of it.
"""

import json

import pytest

from broker.console.visit import Visit
from tests.support.administrator import Administrator, enter, grant
from tests.support.signin import ACCOUNT, OTHER, SignInWorld, provider_arn

EVERYTHING = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
    }
)
STRANGERS = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"},
        },
    }
)
SAVED = {"do": "save", "view": "json"}
LINKS: tuple[tuple[str, dict[str, str]], ...] = (
    ("/console/roles/new", {"for": "account", "account": OTHER, "name": "Evil"}),
    ("/console/roles/new", {"for": "custom", "name": "Evil", "text": STRANGERS}),
    ("/console/policies/new", {"name": "Evil", "text": EVERYTHING}),
    ("/console/policies/edit", {"text": EVERYTHING, "default": "yes", "base": "v1"}),
    ("/console/roles/trust", {"name": "Reader", "text": STRANGERS}),
    (
        "/console/inline",
        {"kind": "role", "name": "Reader", "policy": "Evil", "text": EVERYTHING},
    ),
)


@pytest.fixture
async def admin(world: SignInWorld) -> Administrator:
    await grant(world, "iam:*")
    return await enter(world)


async def changes(world: SignInWorld) -> list[str]:
    """What was tried to be changed, whether that worked or not."""
    return [
        record.action
        for record in await world.audit()
        if record.door == "console"
        and not record.action.partition(":")[2].startswith(("Get", "List"))
    ]


@pytest.mark.parametrize(("page", "typed"), LINKS)
async def test_no_link_saves_what_is_in_it(
    world: SignInWorld, admin: Administrator, page: str, typed: dict[str, str]
) -> None:
    made = await admin.post(
        await admin.see("/console/policies/new"),
        "/console/policies/new",
        **{**SAVED, "name": "Mine", "text": EVERYTHING},
    )
    assert made.status_code == 303
    before = await changes(world)
    assert before == ["iam:CreatePolicy"]
    arn = f"arn:aws:iam::{ACCOUNT}:policy/Mine"
    link = await admin.browser.get(page, params={"arn": arn, **SAVED, **typed})
    assert link.status_code in {200, 404}
    assert await changes(world) == before
    # Nor is it in the editor, one click away from being saved.
    assert f"arn:aws:iam::{OTHER}:" not in link.text
    assert "Action&#34;: &#34;*" not in link.text or page == "/console/policies/edit"


async def test_no_link_fills_in_whom_a_role_trusts(admin: Administrator) -> None:
    typed = {"for": "account", "account": OTHER, "name": "Evil"}
    gives = {"policies": "arn:aws:iam::aws:policy/AdministratorAccess"}
    response = await admin.see("/console/roles/new", **typed, **gives)
    for text in (OTHER, "Evil", f">{gives['policies']}<"):
        assert text not in response.text


async def test_no_link_speaks_for_the_console(admin: Administrator) -> None:
    words = "Call 555 0100 at once"
    page = "/console/providers/provider"
    response = await admin.see(page, arn=provider_arn(), done=words)
    assert words not in response.text


async def test_a_page_that_forgets_to_ask_changes_nothing_for_a_link(
    world: SignInWorld, admin: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line of defence, whatever the page itself makes of a GET."""
    monkeypatch.setattr(Visit, "posted", True)
    for page, typed in LINKS[:3]:
        link = await admin.browser.get(page, params={**SAVED, **typed})
        assert "A link cannot change anything" in link.text
    assert await changes(world) == []
