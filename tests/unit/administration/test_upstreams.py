"""The upstreams behind roles, as administrators see them."""

import json
from functools import partial

import pytest
from msgspec.structs import replace

from broker.errors import InvalidInput, LimitExceeded
from broker.kinds.accounts import require_account
from broker.kinds.upstreams import put_upstream
from broker.stores.directory.kinds import UPSTREAM
from tests.support.administrator import Administrator, enter, grant
from tests.support.signin import ACCOUNT, SignInWorld, text_of

LIST = "/console/upstreams"
THERE = "arn:aws:iam::999988887777:role/ReadOnly"


async def put(
    world: SignInWorld,
    name: str = "production",
    role: str = "Reader",
    arn: str = THERE,
    **members: object,
) -> None:
    definition = {"Endpoint": "https://sts.example", "Roles": {role: arn}, **members}
    directory = world.services.stores.directory
    async with directory.change(ACCOUNT) as change:
        await put_upstream(
            change,
            await require_account(change, ACCOUNT),
            name,
            json.dumps(definition),
            world.clock.now(),
        )


@pytest.fixture
async def admin(world: SignInWorld) -> Administrator:
    await grant(world, "*")
    return await enter(world)


async def test_a_list_says_what_comes_from_where(
    world: SignInWorld, admin: Administrator
) -> None:
    assert "from this broker" in text_of(await admin.see(LIST))
    await put(world)
    page = text_of(await admin.see(LIST))
    for text in ("production", "https://sts.example", "WebIdentity", THERE):
        assert text in page
    role = text_of(await admin.see("/console/roles/role", name="Reader"))
    assert "production" in role
    assert THERE in role
    assert "do not limit credentials from the upstream production" in role
    assert "has no permissions yet" not in role
    # Revoking its sessions and deleting it.
    assert role.count("stay valid there until they expire") == 2
    other = text_of(await admin.see("/console/roles/role", name="Admin"))
    assert "upstream" not in other


async def test_a_definition_that_cannot_be_read_is_shown_as_one(
    world: SignInWorld, admin: Administrator
) -> None:
    await put(world)
    await put(world, "newer", "Other")
    directory = world.services.stores.directory
    async with directory.change(ACCOUNT) as change:
        upstream = await change.find(UPSTREAM, ACCOUNT, "newer")
        assert upstream is not None
        await change.put(UPSTREAM, replace(upstream, definition='{"New": 1}'))
    page = text_of(await admin.see(LIST))
    assert "Its definition cannot be read." in page.partition("newer")[2]
    assert THERE in page
    role = text_of(await admin.see("/console/roles/role", name="Reader"))
    assert "do not limit credentials from the upstream production" in role


async def test_who_may_not_list_them_sees_roles_all_the_same(
    world: SignInWorld,
) -> None:
    await put(world)
    await grant(world, "iam:*")
    admin = await enter(world)
    assert (await admin.browser.get(LIST)).status_code == 403
    assert "production" not in text_of(
        await admin.see("/console/roles/role", name="Reader")
    )


async def test_a_role_belongs_to_one_upstream(world: SignInWorld) -> None:
    await put(world)
    with pytest.raises(InvalidInput, match="belongs to the upstream production"):
        await put(world, "second")
    await put(world, "second", "Other")


@pytest.mark.parametrize("last", ["ending", "others"])
async def test_no_upstream_gives_the_role_that_ends_sessions(
    world: SignInWorld, last: str
) -> None:
    """It may write any policy of the upstream roles."""
    revoker = THERE.replace("ReadOnly", "BrokerRevocation")
    ending = partial(put, world, "ending", Revocation={"Role": revoker})
    every = THERE.replace("ReadOnly", "{RoleName}")
    others = partial(put, world, "others", "*", every)
    first, second = (others, ending) if last == "ending" else (ending, others)
    await first()
    with pytest.raises(InvalidInput, match=r"entry \* of the upstream others"):
        await second()
    await put(world, "others", "*", every.replace("{", "team-{"))
    await ending()


async def test_an_account_has_twenty_at_most(world: SignInWorld) -> None:
    for number in range(20):
        await put(world, f"upstream-{number}", f"Role{number}")
    with pytest.raises(LimitExceeded):
        await put(world)
    await put(world, "upstream-0")
