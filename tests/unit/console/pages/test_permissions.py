"""My permissions, and Try it: own policies, and no more than a try would tell."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from broker.model.entities import InlinePolicy
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.policies import put_inline_policy
from tests.support.signin import (
    ACCOUNT,
    OTHER,
    SignInWorld,
    form_fields,
    role_arn,
    text_of,
)

SAME = {"sec-fetch-site": "same-origin"}
PAGE_BYTES_MAX = 60_000


async def grant(world: SignInWorld, *statements: dict[str, Any]) -> None:
    """Give the reader's role one policy with these statements."""
    role = await world.services.fresh.named(ROLE, ACCOUNT, "Reader")
    assert role is not None
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await put_inline_policy(
            change,
            InlinePolicy(
                account=ACCOUNT,
                owner_id=role.role_id,
                name="Given",
                document=json.dumps(document),
            ),
        )


def allow(action: str, resource: str = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


async def ask(browser: Any, action: str, resource: str = "*") -> Any:
    page = await browser.get("/console/try")
    fields = form_fields(page, "/console/try")
    return await browser.post(
        "/console/try",
        data={**fields, "action": action, "resource": resource},
        headers=SAME,
    )


async def test_the_summary_shows_each_service_with_its_statements(
    world: SignInWorld,
) -> None:
    await grant(
        world,
        allow("s3:GetObject", "arn:aws:s3:::files/*"),
        {"Effect": "Deny", "Action": "sqs:*", "Resource": "*"},
    )
    browser = world.browser()
    await world.sign_in(browser)
    page = await browser.get("/console/permissions")
    assert page.status_code == 200
    label = text_of(page)
    for text in ("Limited: Read", "arn:aws:s3:::files/*", "Denied", "s3:GetObject"):
        assert text in label
    assert (await world.recorded("signin:GetOwnPermissions")).decision == "allowed"


async def test_a_role_without_policies_may_do_nothing(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    assert "there is no policy yet" in text_of(
        await browser.get("/console/permissions")
    )


async def test_the_page_stays_small_whatever_the_policies_are(
    world: SignInWorld,
) -> None:
    long = [f"arn:aws:s3:::{n:03d}{'x' * 40}" for n in range(40)]
    await grant(
        world,
        {"Effect": "Allow", "NotAction": "iam:GetRole", "Resource": "*"},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": long},
        *(allow(f"sqs:Get{n}", f"arn:aws:sqs:::{n}") for n in range(25)),
    )
    browser = world.browser()
    await world.sign_in(browser)
    page = await browser.get("/console/permissions")
    assert "more services are not shown" in page.text
    assert "more statements are not shown" in page.text
    assert len(page.content) < PAGE_BYTES_MAX


@pytest.mark.parametrize(
    ("action", "resource", "headline", "why"),
    [
        ("s3:GetObject", "arn:aws:s3:::files/a", "Allowed", "allows s3:GetObject"),
        ("s3:GetObject", "arn:aws:s3:::else/a", "Not allowed", "comes closest"),
        ("sqs:SendMessage", "*", "Denied by a statement", "denies sqs:SendMessage"),
        ("s3:GetObjetc", "*", "Not allowed", "Check the spelling."),
    ],
)
async def test_trying_answers_with_the_reason(
    world: SignInWorld, action: str, resource: str, headline: str, why: str
) -> None:
    await grant(
        world,
        allow("s3:GetObject", "arn:aws:s3:::files/*"),
        {"Effect": "Deny", "Action": "sqs:*", "Resource": "*"},
    )
    browser = world.browser()
    await world.sign_in(browser)
    page = await ask(browser, action, resource)
    assert page.status_code == 200
    assert headline in text_of(page)
    assert why in text_of(page)
    record = await world.recorded("signin:SimulateOwnAccess")
    assert record.parameters == {"ActionName": action, "ResourceArn": resource}


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("", "*"),
        ("s3", "*"),
        ("s3:*", "*"),
        ("s3:Get:Object", "*"),
        ("é:GetObject", "*"),
        ("s3:" + "a" * 200, "*"),
        ("s3:GetObject", "files"),
        ("s3:GetObject", "arn:" + "a" * 3000),
    ],
)
async def test_what_cannot_be_asked_is_said_and_nothing_typed_is_lost(
    world: SignInWorld, action: str, resource: str
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    page = await ask(browser, action, resource)
    assert page.status_code == 400
    assert 'role="alert"' in page.text
    assert f'value="{action[:2048]}"' in page.text


async def test_trying_a_role_tells_nothing_of_its_trust(world: SignInWorld) -> None:
    """Nor whether there is such a role at all."""
    await grant(world, allow("sts:AssumeRole"))
    browser = world.browser()
    await world.sign_in(browser)
    there, missing = [
        text_of(await ask(browser, "sts:AssumeRole", role_arn(name, OTHER)))
        for name in ("Reader", "Missing")
    ]
    assert "The role trust policy does not allow it." in there
    assert "saml-provider" not in there
    answers = [text.partition("Request ID")[0] for text in (there, missing)]
    assert answers[0].split("Not allowed")[1].count("Missing") == 0
    assert answers[0].replace("role/Reader", "X") == answers[1].replace(
        "role/Missing", "X"
    )


async def test_trying_tells_no_tag_of_a_resource(world: SignInWorld) -> None:
    condition = {"StringEquals": {"aws:ResourceTag/team": "red"}}
    await grant(world, allow("iam:GetRole", Condition=condition))
    role = await world.services.fresh.named(ROLE, ACCOUNT, "Admin")
    assert role is not None
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await change.update(ROLE, replace(role, tags={"team": "hidden-value"}))
    browser = world.browser()
    await world.sign_in(browser)
    text = text_of(await ask(browser, "iam:GetRole", role_arn("Admin")))
    assert "other tags on the resource" in text
    assert "hidden-value" not in text
