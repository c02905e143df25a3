"""Leavers who come back, and directories that try to change what is not theirs.

Source: RFC 7644 7; RFC 6750 5.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from msgspec.structs import replace

from broker.actions.scim import groups
from broker.errors import ExpiredToken
from broker.model.revocation import Revocations
from broker.sessions.revoke import SETTLING
from broker.stores.directory.kinds import SAML_PROVIDER, SCIM_TOKEN
from broker.stores.directory.provisioning import find_provisioned_user
from tests.support import saml_idp
from tests.support.portal import logged_in
from tests.support.scim import (
    ENTERPRISE,
    GROUP,
    PATCH_OP,
    USER,
    InProcess,
    open_directory,
    set_options,
)
from tests.support.signin import (
    ACCOUNT,
    OTHER,
    SignInWorld,
    open_world,
    pair,
    role_arn,
    text_of,
)

SETTLED = SETTLING.total_seconds() + 1


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SignInWorld]:
    async with open_world(tmp_path, rate_limit=0) as made:
        made.clock.stop()
        yield made


@pytest.fixture
async def corp(world: SignInWorld) -> InProcess:
    return await open_directory(world)


DOOR = f"/saml/acs/SAMLSP{ACCOUNT}AAAA"


async def enter(
    world: SignInWorld, *roles: str, **knobs: Any
) -> httpx.AsyncClient | None:
    """The browser that a posted response signs in to the console; None if refused."""
    browser = world.browser()
    data = {"SAMLResponse": world.response(*roles, **knobs)}
    posted = await browser.post(DOOR, data=data)
    if posted.status_code != 303:
        assert posted.status_code in {400, 403}, text_of(posted)
        return None
    await browser.get(posted.headers["location"])
    assert (await browser.get("/console/")).status_code == 200
    return browser


async def comes_in(world: SignInWorld, *roles: str, **knobs: Any) -> bool:
    """Whether a posted response opens the console."""
    world.clock.move(1)
    return await enter(world, *roles, **knobs) is not None


# ---- leavers


End = Callable[[InProcess, str], Awaitable[httpx.Response]]
ENDS: dict[str, End] = {
    "deactivated": lambda corp, user: corp.deactivate(user),
    "deleted": lambda corp, user: corp.send("DELETE", f"/Users/{user}"),
    "deactivated by PUT": lambda corp, user: corp.send(
        "PUT",
        f"/Users/{user}",
        json={"schemas": [USER], "userName": "alice", "active": "False"},
    ),
    "deactivated without a path": lambda corp, user: corp.patch(
        f"/Users/{user}", {"op": "replace", "value": {"active": False}}
    ),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_a_leaver_loses_everything_and_stays_out(
    world: SignInWorld, corp: InProcess, end: End
) -> None:
    user = await corp.user("alice")
    console = world.browser()
    await world.sign_in(console)
    _, terminal, tokens = await logged_in(world)
    access = tokens["accessToken"]
    role = (await terminal.role(access)).json()["roleCredentials"]
    key, token = role["accessKeyId"], role["sessionToken"]
    resolve = world.services.resolver.resolve
    assert await resolve(key, token, world.clock.now())
    assert (await console.get("/console/")).status_code == 200

    assert (await end(corp, user)).status_code in {200, 204}

    assert (await console.get("/console/")).status_code != 200
    assert (await terminal.role(access)).status_code == 401
    again = await terminal.token("refresh_token", refreshToken=tokens["refreshToken"])
    assert again.status_code == 400
    with pytest.raises(ExpiredToken):
        await resolve(key, token, world.clock.now())
    for seconds in (0, SETTLED):
        world.clock.move(seconds)
        assert not await comes_in(world)


async def test_a_deleted_person_is_out_whatever_the_clock_of_the_worker_that_let_them_in(
    world: SignInWorld,
) -> None:
    corp = await open_directory(world, ScimSubject="externalId", ScimClaim="oid")
    user = await corp.user("alice", externalId="o-7")
    world.clock.move(300)
    browser = await enter(world, attributes=_attributes("o-7"))
    assert browser is not None
    world.clock.move(-300)
    assert (await corp.send("DELETE", f"/Users/{user}")).status_code == 204
    assert (await browser.get("/console/")).status_code != 200


def _attributes(oid: str) -> dict[str, Any]:
    return {**saml_idp.aws_attributes(role=[pair("Reader")]), "oid": [oid]}


async def test_who_is_provisioned_as_inactive_has_left_already(
    world: SignInWorld,
) -> None:
    corp = await open_directory(world, ScimUnknown="allow")
    browser = await enter(world)
    assert browser is not None
    world.clock.move(1)
    await corp.user("alice", active=False)
    assert (await browser.get("/console/")).status_code != 200


async def test_a_leaver_is_told_and_recorded(
    world: SignInWorld, corp: InProcess
) -> None:
    await corp.user("alice", active=False)
    data = {"SAMLResponse": world.response()}
    page = await world.browser().post("/saml", data=data)
    assert page.status_code == 403
    assert "says that you are not active. Ask its administrator" in text_of(page)
    record = await world.recorded("signin:ListRolesWithSAML")
    assert record.error_code == "IDPRejectedClaim"
    assert "is inactive in the directory" in record.detail


async def test_who_is_active_again_comes_in_again_and_old_sessions_stay_ended(
    world: SignInWorld, corp: InProcess
) -> None:
    user = await corp.user("alice")
    old = world.browser()
    await world.sign_in(old)
    await corp.deactivate(user)
    await corp.activate(user)
    # Another worker may not know of the end yet: what it lets in is ended, too.
    assert not await comes_in(world)
    world.clock.move(SETTLED)
    assert await comes_in(world)
    assert (await old.get("/console/")).status_code != 200


async def test_a_sign_in_that_another_worker_lets_in_is_ended(
    world: SignInWorld, corp: InProcess
) -> None:
    """The other worker learns of the end up to a second later."""
    user = await corp.user("alice")
    await corp.deactivate(user)
    admission = world.services.federated._admission
    known = admission._fresh.provisioned_person

    async def stale(*asked: Any) -> Any:
        people, groups = await known(*asked)
        return [replace(user, active=True, not_before=None) for user in people], groups

    class Stale:
        provisioned_person = staticmethod(stale)

        async def revocations(self, _account: Any) -> Revocations:
            return Revocations()

    admission._fresh = Stale()
    try:
        world.clock.move(0.9)
        browser = world.browser()
        await world.sign_in(browser)
    finally:
        admission._fresh = world.services.fresh
    assert (await browser.get("/console/")).status_code != 200


async def test_a_deleted_person_stays_out_though_unknown_people_come_in(
    world: SignInWorld,
) -> None:
    corp = await open_directory(world, ScimUnknown="allow")
    assert await comes_in(world)
    user = await corp.user("alice")
    assert await comes_in(world)
    await corp.send("DELETE", f"/Users/{user}")
    world.clock.move(SETTLED)
    assert not await comes_in(world)
    again = await corp.user("alice")
    await corp.send("DELETE", f"/Users/{again}")
    await corp.user("alice")
    assert not await comes_in(world), "another worker may not know of the end yet"
    world.clock.move(SETTLED)
    assert await comes_in(world)


@pytest.mark.parametrize("subject", ["alice", "ALICE", "Alice"])
async def test_letters_case_is_no_way_round(
    world: SignInWorld, corp: InProcess, subject: str
) -> None:
    user = await corp.user("aLiCe")
    browser = world.browser()
    await world.sign_in(browser, subject=subject)
    assert (await browser.get("/console/")).status_code == 200
    await corp.deactivate(user)
    assert (await browser.get("/console/")).status_code != 200
    assert not await comes_in(world, subject=subject)


async def test_a_new_name_ends_what_the_old_one_had(
    world: SignInWorld, corp: InProcess
) -> None:
    """Even what began before the directory was connected, when only the name counted."""
    await set_options(world, ScimSubject=None)
    before = world.browser()
    await world.sign_in(before)
    await set_options(world, ScimSubject="userName")
    user = await corp.user("alice")
    assert (await before.get("/console/")).status_code == 200
    renamed = {"op": "replace", "path": "userName", "value": "alice.jones"}
    await corp.patch(f"/Users/{user}", renamed)
    assert (await before.get("/console/")).status_code != 200
    assert not await comes_in(world), "nobody has the old name now"
    assert not await comes_in(world, subject="alice.jones"), "not yet known everywhere"
    world.clock.move(SETTLED)
    assert await comes_in(world, subject="alice.jones")


async def test_another_attribute_and_another_claim(world: SignInWorld) -> None:
    corp = await open_directory(world, ScimSubject="externalId", ScimClaim="oid")
    user = await corp.user("whoever", externalId="o-7")

    def attributes(*values: str) -> dict[str, Any]:
        results = saml_idp.aws_attributes(role=[pair("Reader")])
        return {"attributes": {**results, **({"oid": list(values)} if values else {})}}

    assert await comes_in(world, **attributes("o-7"))
    for values in ((), ("o-8",), ("O-7",), ("o-7", "o-8")):
        assert not await comes_in(world, **attributes(*values))
    browser = await enter(world, **attributes("o-7"))
    assert browser is not None
    world.clock.move(1)
    renamed = {"op": "replace", "path": "externalId", "value": "o-9"}
    await corp.patch(f"/Users/{user}", renamed)
    assert (await browser.get("/console/")).status_code != 200
    world.clock.move(SETTLED)
    browser = await enter(world, **attributes("o-9"))
    assert browser is not None
    await corp.deactivate(user)
    assert (await browser.get("/console/")).status_code != 200


@pytest.mark.parametrize("name", ["alice", "ALICE"])
async def test_an_account_ends_its_part_of_a_sign_in_to_several(
    world: SignInWorld, name: str
) -> None:
    """By whatever name its own directory knows the person."""
    async with world.services.stores.directory.change(OTHER) as change:
        provider = await change.named(SAML_PROVIDER, OTHER, "Corp")
        assert provider is not None
        metadata = saml_idp.metadata_xml()
        await change.update(SAML_PROVIDER, replace(provider, metadata=metadata))
    other = await open_directory(world, OTHER)
    user = await other.user(name)
    _, terminal, tokens = await logged_in(world, pair("Reader"), pair("Reader", OTHER))
    access = tokens["accessToken"]
    theirs = (await terminal.role(access, account=OTHER)).json()["roleCredentials"]
    assert (await terminal.role(access)).status_code == 200
    await other.deactivate(user)
    assert (await terminal.role(access)).status_code == 200
    refused = await terminal.role(access, account=OTHER)
    assert refused.status_code != 200
    with pytest.raises(ExpiredToken):
        await world.services.resolver.resolve(
            theirs["accessKeyId"], theirs["sessionToken"], world.clock.now()
        )


# ---- groups


TABLE = {"Admins": [role_arn("Admin")], "Readers": [role_arn("Reader")]}


def grouped(*groups: str) -> dict[str, Any]:
    """A response without roles, whose groups the identity provider asserts."""
    return {"attributes": {"groups": list(groups)} if groups else {}}


async def roles_of(world: SignInWorld, **knobs: Any) -> str:
    world.clock.move(1)
    browser = world.browser()
    data = {"SAMLResponse": world.response(**knobs), "RelayState": f"/portal/{ACCOUNT}"}
    posted = await browser.post(DOOR, data=data)
    if posted.status_code != 303:
        return ""
    arrived = await browser.get(posted.headers["location"])
    if arrived.status_code == 303:
        arrived = await browser.get(arrived.headers["location"])
    return text_of(arrived)


async def test_the_directorys_groups_count_and_not_the_proofs(
    world: SignInWorld,
) -> None:
    corp = await open_directory(world, GroupRoles=TABLE)
    user = await corp.user("alice")
    assert "Admin" not in await roles_of(world, **grouped("Admins", "Readers"))
    await corp.group("Admins", user)
    text = await roles_of(world, **grouped("Readers"))
    assert "Admin" in text
    assert "Reader" not in text
    await set_options(world, ScimGroups="asserted")
    text = await roles_of(world, **grouped("Readers"))
    assert "Reader" in text
    assert "Admin" not in text


async def test_a_groups_name_is_no_id(world: SignInWorld) -> None:
    """Who may rename a group must not be able to give it another's roles."""
    corp = await open_directory(
        world, GroupRoles={"g-1": [role_arn("Admin")]}, ScimGroups="externalId"
    )
    user = await corp.user("alice")
    await corp.group("g-1", user, externalId="g-2")
    assert "Admin" not in await roles_of(world, **grouped())
    await corp.group("Admins", user, externalId="g-1")
    assert "Admin" in await roles_of(world, **grouped())


Leave = Callable[[InProcess, str, str], Awaitable[httpx.Response]]
LEAVES: dict[str, Leave] = {
    "removed": lambda corp, group, user: corp.patch(
        f"/Groups/{group}",
        {"op": "Remove", "path": "members", "value": [{"value": user}]},
    ),
    "removed by filter": lambda corp, group, user: corp.patch(
        f"/Groups/{group}", {"op": "remove", "path": f'members[value eq "{user}"]'}
    ),
    "all replaced": lambda corp, group, _user: corp.patch(
        f"/Groups/{group}", {"op": "replace", "path": "members", "value": []}
    ),
    "put": lambda corp, group, _user: corp.send(
        "PUT", f"/Groups/{group}", json={"schemas": [GROUP], "displayName": "Admins"}
    ),
    "group renamed": lambda corp, group, _user: corp.patch(
        f"/Groups/{group}", {"op": "replace", "path": "displayName", "value": "Old"}
    ),
    "group deleted": lambda corp, group, _user: corp.send("DELETE", f"/Groups/{group}"),
}


@pytest.mark.parametrize("leave", LEAVES.values(), ids=LEAVES)
async def test_who_leaves_a_group_with_roles_signs_in_again(
    world: SignInWorld, leave: Leave
) -> None:
    corp = await open_directory(world, GroupRoles=TABLE)
    user, other = await corp.user("alice"), await corp.user("bob")
    admins = await corp.group("Admins", user)
    await corp.group("Staff", user, other)
    await corp.group("Readers", other)
    browser = await enter(world, **grouped())
    bobs = await enter(world, subject="bob", **grouped())
    assert browser is not None
    assert bobs is not None
    staff = (await corp.send("GET", '/Groups?filter=displayName eq "Staff"')).json()
    await LEAVES["removed"](corp, staff["Resources"][0]["id"], user)
    assert (await browser.get("/console/")).status_code == 200, "it gives no role"
    assert (await leave(corp, admins, user)).status_code in {200, 204}
    assert (await browser.get("/console/")).status_code != 200
    assert (await bobs.get("/console/")).status_code == 200
    assert not await comes_in(world, **grouped())


CHANGES: Mapping[str, Leave] = {
    **LEAVES,
    "person renamed": lambda corp, _group, user: corp.patch(
        f"/Users/{user}", {"op": "replace", "path": "externalId", "value": "o-9"}
    ),
}


@pytest.mark.parametrize("most", [1, 1000])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_what_another_worker_gives_by_the_old_groups_is_ended(
    world: SignInWorld, change: Leave, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learns of the change up to a second later."""
    monkeypatch.setattr(groups, "MEMBERS_MAX", most)
    corp = await open_directory(
        world, GroupRoles=TABLE, ScimSubject="externalId", ScimClaim="oid"
    )
    user = await corp.user("alice", externalId="o-7")
    bob = await corp.user("bob", externalId="o-8")
    admins = await corp.group("Admins", user, bob)
    knobs = {"attributes": {"oid": ["o-7"]}}
    browser = await enter(world, **knobs)
    assert browser is not None
    admission = world.services.federated._admission
    stale = await admission._fresh.provisioned_person(
        ACCOUNT, f"SAMLSP{ACCOUNT}AAAA", "externalId", "o-7"
    )
    assert (await change(corp, admins, user)).status_code in {200, 204}

    class Stale:
        async def provisioned_person(self, *_asked: Any) -> Any:
            return stale

        async def revocations(self, _account: Any) -> Revocations:
            return Revocations()

    admission._fresh = Stale()
    try:
        world.clock.move(0.9)
        late = world.browser()
        posted = await late.post(DOOR, data={"SAMLResponse": world.response(**knobs)})
        assert posted.status_code == 303, text_of(posted)
        await late.get(posted.headers["location"])
    finally:
        admission._fresh = world.services.fresh
    assert (await late.get("/console/")).status_code != 200
    assert (await browser.get("/console/")).status_code != 200


async def test_when_too_many_leave_a_group_everyone_signs_in_again(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each person's end is a row: for thousands, the provider's is one."""
    monkeypatch.setattr(groups, "MEMBERS_MAX", 1)
    corp = await open_directory(world, GroupRoles=TABLE)
    users = [await corp.user(name) for name in ("alice", "bob", "carol")]
    admins = await corp.group("Admins", *users[:2])
    await corp.group("Readers", users[2])
    carol = await enter(world, subject="carol", **grouped())
    assert carol is not None
    world.clock.move(1)
    assert (await corp.send("DELETE", f"/Groups/{admins}")).status_code == 204
    assert (await carol.get("/console/")).status_code != 200
    world.clock.move(SETTLED)
    assert await comes_in(world, subject="carol", **grouped())


# ---- tokens


async def test_tokens_that_do_not_count(world: SignInWorld, corp: InProcess) -> None:
    other = await open_directory(world, OTHER)
    bound = await open_directory(world, addresses=("192.0.2.0/24",))
    short = await open_directory(world)
    mine = corp.http.headers["authorization"]
    world.clock.move(86_400 - 1)
    good = {"authorization": mine}
    assert (await corp.send("GET", "/Users", headers=good)).status_code == 200
    world.clock.move(-86_400 + 1)
    tries: list[tuple[InProcess, dict[str, str] | None]] = [
        (bound, None),
        (corp, {"authorization": other.http.headers["authorization"]}),
        (corp, {"authorization": ""}),
        (corp, {"authorization": corp.token}),
        (corp, {"authorization": f"Basic {corp.token}"}),
        (corp, {"authorization": f"Bearer {corp.token[:-1]}"}),
        (corp, {"authorization": f"Bearer {corp.token}x"}),
        (corp, {"authorization": f"Bearer bscim.{OTHER}.{corp.token[-43:]}"}),
        (corp, {"authorization": f"Bearer bst.{ACCOUNT}.{corp.token[-43:]}"}),
    ]
    details: set[str] = set()
    for directory, headers in tries:
        answer = await directory.send("GET", "/Users", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        details.add(answer.json()["detail"])
    assert len(details) == 1, "every fault of a token is told in the same words"
    elsewhere = await corp.http.get(f"/scim/v2/{OTHER}/Users")
    assert elsewhere.status_code == 401
    world.clock.move(86_400)
    assert (await short.send("GET", "/Users")).status_code == 401


async def test_a_token_of_a_deleted_provider_is_refused(
    world: SignInWorld, corp: InProcess
) -> None:
    await corp.user("alice")
    async with world.services.stores.directory.change(ACCOUNT) as change:
        provider = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
        assert provider is not None
        await change.remove(SAML_PROVIDER, provider)
        await change.insert(SAML_PROVIDER, replace(provider, uuid="SAMLSPNEW"))
    assert (await corp.send("GET", "/Users")).status_code == 401


async def test_a_token_of_an_earlier_provider_of_the_same_name_is_refused(
    world: SignInWorld, corp: InProcess
) -> None:
    (token,) = await world.services.stores.directory.all_of(SCIM_TOKEN, ACCOUNT)
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await change.remove(SCIM_TOKEN, token)
        await change.insert(SCIM_TOKEN, replace(token, owner_id="SAMLSPEARLIER"))
    assert (await corp.send("GET", "/Users")).status_code == 401


async def test_a_cookie_is_no_token_and_a_token_is_no_cookie(
    world: SignInWorld, corp: InProcess
) -> None:
    await corp.user("alice")
    browser = world.browser()
    await world.sign_in(browser)
    assert (await browser.get(f"/scim/v2/{ACCOUNT}/Users")).status_code == 401
    assert (await corp.http.get("/console/")).status_code != 200
    posted = await corp.http.post(
        "/", data={"Action": "ListUsers", "Version": "2010-05-08"}
    )
    assert posted.status_code == 403


# ---- what is another's


async def test_another_directorys_people_and_groups_are_out_of_reach(
    world: SignInWorld, corp: InProcess
) -> None:
    other = await open_directory(world, OTHER)
    user, group = await corp.user("alice"), await corp.group("Admins")
    mine = await other.user("alice")
    staff = await other.group("Admins", mine)
    for path in (f"/Users/{user}", f"/Groups/{group}"):
        assert (await other.send("GET", path)).status_code == 404
        assert (await other.send("DELETE", path)).status_code == 404
        body = {"schemas": [USER, GROUP], "userName": "x", "displayName": "x"}
        assert (await other.send("PUT", path, json=body)).status_code == 404
    for text in (f'id eq "{user}"', f'id eq "{group}"'):
        for kind in ("Users", "Groups"):
            response = await other.send("GET", f"/{kind}?filter={text}")
            assert response.json()["totalResults"] == 0
    joined = await other.patch(
        f"/Groups/{staff}", {"op": "add", "path": "members", "value": [{"value": user}]}
    )
    assert joined.status_code == 400
    assert (await corp.send("GET", f"/Users/{user}")).json().get("groups") is None
    # The namesake's end is not hers.
    browser = world.browser()
    await world.sign_in(browser)
    await other.deactivate(mine)
    assert (await browser.get("/console/")).status_code == 200


ASSIGNED: list[dict[str, Any]] = [
    {"id": "SCMUEVIL"},
    {"meta": {"version": 'W/"99"', "location": "https://evil.example"}},
    {"groups": [{"value": "GROUP"}]},
    {"account": OTHER, "provider_id": "SAMLSPEVIL", "user_id": "SCMUEVIL"},
    {"not_before": 0, "departed_at": None, "version": 99, "document": "{}"},
    {"schemas": [USER, ENTERPRISE], ENTERPRISE: {"account": OTHER}},
]


@pytest.mark.parametrize("more", ASSIGNED)
async def test_mass_assignment(
    world: SignInWorld, corp: InProcess, more: dict[str, Any]
) -> None:
    group = await corp.group("Admins")
    text = json.dumps({"schemas": [USER], "userName": "alice", **more})
    body = json.loads(text.replace("GROUP", group))
    made = (await corp.send("POST", "/Users", json=body)).json()
    user = made["id"]
    await corp.send("PUT", f"/Users/{user}", json=body)
    await corp.patch(f"/Users/{user}", {"op": "replace", "value": body})
    view = (await corp.send("GET", f"/Users/{user}")).json()
    assert view["id"] == user != "SCMUEVIL"
    assert "groups" not in view
    assert view["meta"]["location"].endswith(f"/scim/v2/{ACCOUNT}/Users/{user}")
    assert "evil" not in json.dumps(view)
    directory = world.services.stores.directory
    kept = await find_provisioned_user(directory, ACCOUNT, f"SAMLSP{ACCOUNT}AAAA", user)
    assert kept is not None
    assert kept.version < 99


# ---- what costs much


BOMBS: list[tuple[str, str, bytes]] = [
    ("GET", f"/Users?filter={'(' * 900}userName eq 1{')' * 900}", b""),
    ("GET", "/Users?filter=" + "not(" * 300 + 'userName eq "a"' + ")" * 300, b""),
    ("GET", "/Users?filter=" + 'userName eq "a" or ' * 90 + 'userName eq "a"', b""),
    ("GET", "/Users?filter=userName eq " + "\\" * 500, b""),
    ("GET", "/Users?attributes=" + "a.b," * 4000, b""),
    ("POST", "/Users", b"[" * 900_000),
    ("POST", "/Users", b'{"schemas":' * 80_000),
    ("POST", "/Users", b'{"userName":"' + b"a" * 990_000 + b'"}'),
    ("PATCH", "/Users/{user}", b'{"Operations":[' + b'{"op":"add"},' * 60_000),
    (
        "PATCH",
        "/Users/{user}",
        json.dumps(
            {
                "schemas": [PATCH_OP],
                "Operations": [
                    {
                        "op": "add",
                        "path": "emails",
                        "value": [{"value": f"{n}" + "a" * 900}] * 20,
                    }
                    for n in range(50)
                ],
            }
        ).encode(),
    ),
    (
        "PATCH",
        "/Users/{user}",
        json.dumps(
            {
                "schemas": [PATCH_OP],
                "Operations": [
                    {"op": "replace", "path": "a" + ".b" * 400_000, "value": 1}
                ],
            }
        ).encode(),
    ),
    (
        "PATCH",
        "/Users/{user}",
        json.dumps(
            {
                "schemas": [PATCH_OP],
                "Operations": [
                    {
                        "op": "replace",
                        "path": "emails[" + "not(" * 90_000 + "]",
                        "value": 1,
                    }
                ],
            }
        ).encode(),
    ),
]


@pytest.mark.parametrize(("method", "path", "body"), BOMBS)
async def test_bombs_are_refused_by_name(
    corp: InProcess, method: str, path: str, body: bytes
) -> None:
    user = await corp.user("alice")
    answer = await corp.send(method, path.replace("{user}", user), content=body)
    assert answer.status_code in {400, 413}, answer.text[:300]
    assert answer.json()["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert len(answer.text) < 2000
