"""Sign-in with a password: the steps, over HTTP."""

import json
from dataclasses import replace

from tests.support.passwords import (
    create_user,
    send_password,
)
from tests.support.signin import (
    ACCOUNT,
    SignInWorld,
    text_of,
)

WRONG = "Your authentication information is incorrect. Please try again."
NEW = "Another-horse-8"
MAY_CHANGE = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": "iam:ChangePassword",
            "Resource": "arn:aws:iam::*:user/staff/${aws:username}",
        },
    }
)


async def set_policy(world: SignInWorld, **policy: int | bool) -> None:
    async with world.services.stores.directory.change(ACCOUNT) as change:
        account = await change.find_account(ACCOUNT)
        assert account is not None
        await change.update_account(replace(account, password_policy=policy))


async def test_a_user_signs_in_with_a_password(world: SignInWorld) -> None:
    user = await create_user(world)
    browser = world.browser()
    entered = await send_password(browser)
    assert (entered.status_code, entered.headers["location"]) == (303, "/console/")
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    home = await browser.get("/console/")
    assert home.status_code == 200
    assert "ann" in text_of(home)
    record = await world.recorded("signin:ConsoleLogin")
    assert record.caller_arn == user.arn
    assert record.door == "signin"
    assert record.parameters == {"MFAUsed": "No"}
    assert record.session["kind"] == "ConsoleLogin"
    step = await world.recorded("signin:CheckPassword")
    assert (step.caller_arn, step.error_code) == (user.arn, "")
    assert step.parameters == {"UserName": "ann"}
