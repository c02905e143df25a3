"""*Accounts*: one's own, and roles elsewhere that one's policies name; no others."""

from tests.support.administrator import enter, grant
from tests.support.signin import ACCOUNT, OTHER, SignInWorld, role_arn, text_of

PAGE = "/console/accounts"


async def test_ones_own_account_is_there_for_everyone(world: SignInWorld) -> None:
    anybody = await enter(world, "Brief")
    page = await anybody.see(PAGE)
    text = text_of(page)
    assert ACCOUNT in text
    assert "example" in text
    assert "/signin/example" in text
    assert OTHER not in page.text


async def test_roles_that_ones_policies_name_can_be_switched_to(
    world: SignInWorld,
) -> None:
    await grant(world, "sts:AssumeRole", resource=role_arn("Reader", OTHER))
    admin = await enter(world)
    page = await admin.see(PAGE)
    assert OTHER in text_of(page)
    answer = await admin.send(page, "/console/switch", role=role_arn("Reader", OTHER))
    # The other account's trust has the last word, and says no.
    assert answer.status_code == 403
    assert "AccessDenied" in text_of(answer) or "not authorized" in text_of(answer)


async def test_what_is_denied_or_a_pattern_is_no_offer(world: SignInWorld) -> None:
    await grant(world, "sts:AssumeRole", resource=role_arn("Reader", OTHER))
    await grant(
        world, "sts:AssumeRole", effect="Deny", resource=role_arn("Reader", OTHER)
    )
    admin = await enter(world)
    assert OTHER not in (await admin.see(PAGE)).text
    await grant(world, "sts:*", resource="*")
    again = await enter(world)
    assert "Roles that you can switch to" not in text_of(await again.see(PAGE))
