"""What the pages of signing in leave on record, whatever became of it."""

from broker.model.audit import Outcome
from tests.support.passwords import (
    create_user,
    give_device,
    send_password,
    send_step,
)
from tests.support.signin import ACCOUNT, SignInWorld

REGION = "us-east-1"


async def test_an_assertion_that_opens_roles(world: SignInWorld) -> None:
    await world.sign_in(world.browser())
    listed = await world.recorded("signin:ListRolesWithSAML")
    assert (listed.door, listed.region, listed.account) == ("saml", REGION, ACCOUNT)
    assert listed.decision == "allowed"
    assert listed.caller_arn
    assert listed.resources == (f"arn:aws:iam::{ACCOUNT}:role/Reader",)


async def test_an_assertion_that_proves_nothing(world: SignInWorld) -> None:
    response = world.response(audience="urn:elsewhere")
    await world.browser().post("/saml", data={"SAMLResponse": response})
    refused = await world.recorded("signin:ListRolesWithSAML")
    assert (refused.door, refused.region, refused.account) == ("saml", REGION, ACCOUNT)
    assert refused.decision == Outcome.REFUSED
    assert refused.error_code == "InvalidIdentityToken"
    assert refused.resources == (f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp",)
    assert not refused.caller_arn


async def test_a_password_right_and_wrong(world: SignInWorld) -> None:
    user = await create_user(world)
    await send_password(world.browser(), password="wrong")
    refused = await world.recorded("signin:CheckPassword")
    assert (refused.door, refused.region) == ("signin", REGION)
    assert (refused.account, refused.resources) == (ACCOUNT, (user.arn,))
    assert refused.decision == Outcome.REFUSED
    assert refused.parameters == {"UserName": "ann"}
    world.clock.move(1)
    await send_password(world.browser())
    checked = await world.recorded("signin:CheckPassword")
    assert (checked.decision, checked.caller_arn) == ("allowed", user.arn)
    assert checked.region == REGION


async def test_a_second_factor_right_and_wrong(world: SignInWorld) -> None:
    user = await create_user(world)
    phone = await give_device(world, user.user_id)
    browser = world.browser()
    page = await send_password(browser)
    page = await send_step(browser, page, "factor", code="000000")
    refused = await world.recorded("signin:CheckMfa")
    assert (refused.region, refused.caller_arn) == (REGION, user.arn)
    assert refused.error_code == "AccessDenied"
    assert refused.decision == Outcome.REFUSED
    world.clock.move(1)
    await send_step(browser, page, "factor", code=phone.code(world))
    checked = await world.recorded("signin:CheckMfa")
    assert (checked.decision, checked.region) == ("allowed", REGION)
    assert checked.parameters == {"MFAIdentifier": phone.serial}
