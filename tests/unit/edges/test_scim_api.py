"""SCIM over HTTP: what a directory writes and reads, and the errors it gets."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from msgspec.structs import replace

from broker.actions.scim import declare
from broker.kinds.limits import Quota
from broker.protocols.scim.requests import BODY_BYTES_MAX
from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from tests.support.rows import cases
from tests.support.scim import (
    GROUP,
    PATCH_OP,
    USER,
    InProcess,
    open_directory,
    set_options,
)
from tests.support.signin import ACCOUNT, ORIGIN, SignInWorld, open_world

BASE = f"{ORIGIN}/scim/v2/{ACCOUNT}"
ALICE = {
    "schemas": [USER],
    "userName": "alice",
    "externalId": "7",
    "name": {"givenName": "Alice"},
    "emails": [{"type": "work", "value": "Alice@Example.com"}],
    "active": True,
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SignInWorld]:
    async with open_world(tmp_path, rate_limit=0) as made:
        made.clock.stop()
        yield made


@pytest.fixture
async def corp(world: SignInWorld) -> InProcess:
    return await open_directory(world)


async def set_quota(world: SignInWorld, name: Quota, most: int) -> None:
    async with world.services.stores.directory.change(ACCOUNT) as change:
        account = await change.find(kinds.ACCOUNT, ACCOUNT)
        assert account is not None
        quotas = {**account.quotas, name: most}
        await update_account(change, replace(account, quotas=quotas))


async def test_a_user_from_creation_to_deletion(
    world: SignInWorld, corp: InProcess
) -> None:
    made = await corp.send("POST", "/Users", json=ALICE)
    assert made.status_code == 201
    assert made.headers["content-type"] == "application/scim+json"
    view = made.json()
    here = f"{BASE}/Users/{view['id']}"
    assert made.headers["location"] == view["meta"]["location"] == here
    assert made.headers["etag"] == view["meta"]["version"] == 'W/"1"'
    assert {name: view[name] for name in ALICE} == ALICE
    path = f"/Users/{view['id']}"
    assert (await corp.send("GET", path)).json() == view
    tag = {"if-none-match": 'W/"1"'}
    assert (await corp.send("GET", path, headers=tag)).status_code == 304

    changed = {**ALICE, "userName": "Alice.Jones", "name": {"familyName": "Jones"}}
    del changed["emails"]
    put = await corp.send("PUT", path, json=changed)
    assert put.headers["etag"] == 'W/"2"'
    assert put.json()["name"] == {"familyName": "Jones"}
    assert "emails" not in put.json()
    same = await corp.send("PUT", path, json=changed)
    assert same.headers["etag"] == 'W/"2"', "nothing was changed"

    stale = {"if-match": 'W/"1"'}
    for method in ("PUT", "DELETE"):
        refused = await corp.send(method, path, json=changed, headers=stale)
        assert refused.status_code == 412
    record = await world.recorded("scim:DeleteUser")
    assert record.parameters == {"Id": view["id"]}
    assert record.resources == (f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp",)
    fresh = {"if-match": 'W/"2"'}
    assert (await corp.send("DELETE", path, headers=fresh)).status_code == 204
    for method in ("GET", "DELETE", "PUT"):
        gone = await corp.send(method, path, json=changed)
        assert gone.status_code == 404
        assert gone.json()["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    again = await corp.send("POST", "/Users", json=ALICE)
    assert again.json()["id"] != view["id"]


async def test_names_are_compared_by_their_normal_form(corp: InProcess) -> None:
    await corp.user("Élodie")
    decomposed = {**ALICE, "userName": "E\N{COMBINING ACUTE ACCENT}LODIE"}
    assert (await corp.send("POST", "/Users", json=decomposed)).status_code == 409


async def test_a_name_with_a_character_that_folds_into_ascii_is_refused(
    world: SignInWorld, corp: InProcess
) -> None:
    kelvin = "\N{KELVIN SIGN}ate"
    address = {"emails": [{"value": f"{kelvin}@example.com"}]}
    for more in ({"userName": kelvin}, address):
        refused = await corp.send("POST", "/Users", json={**ALICE, **more})
        assert refused.status_code == 400, more
        assert "compared as an ASCII letter" in refused.json()["detail"]
    # One that an older version took can still be deactivated, and renamed.
    user = await corp.user("kate")
    async with world.services.stores.directory.change(ACCOUNT) as change:
        (there,) = await change.all_of(kinds.PROVISIONED_USER, ACCOUNT)
        await change.update(kinds.PROVISIONED_USER, replace(there, user_name=kelvin))
    path = f"/Users/{user}"
    off = {"op": "replace", "path": "active", "value": False}
    assert (await corp.patch(path, off)).status_code < 300
    renamed = {"op": "replace", "path": "userName", "value": f"{kelvin}2"}
    assert (await corp.patch(path, renamed)).status_code == 400
    renamed["value"] = "kate"
    assert (await corp.patch(path, renamed)).status_code < 300


async def test_changes_are_on_record_without_what_they_say_of_people(
    world: SignInWorld, corp: InProcess
) -> None:
    await corp.send("POST", "/Users", json={**ALICE, "password": "hunter2"})
    record = await world.recorded("scim:CreateUser")
    assert record.door == "scim"
    assert record.caller_arn == f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp"
    assert record.principal_id.startswith("ASCT")
    assert record.parameters["UserName"] == "alice"
    assert record.parameters["Active"] is True
    assert "Alice" not in str(record)
    assert "hunter2" not in str(record)


async def test_what_is_left_out_does_not_activate_anyone(corp: InProcess) -> None:
    user = await corp.user("alice", active=False)
    body = {"schemas": [USER], "userName": "alice", "title": "Dr"}
    put = await corp.send("PUT", f"/Users/{user}", json=body)
    assert put.json()["active"] is False
    removed = await corp.patch(f"/Users/{user}", {"op": "remove", "path": "active"})
    assert removed.status_code == 400
    assert removed.json()["scimType"] == "mutability"


@cases("query, names")
async def test_lists_of_users(
    world: SignInWorld, corp: InProcess, query: str, names: list[str]
) -> None:
    for name in ("alice", "bob", "carol"):
        world.clock.move(1)
        await corp.user(
            name,
            externalId=f"e-{name}",
            active=name != "carol",
            emails=[{"type": "work", "value": f"{name}@b.c"}],
        )
    answer = await corp.send("GET", f"/Users{query}")
    assert answer.status_code == 200, answer.text
    listed = answer.json()
    assert sorted(resource["userName"] for resource in listed["Resources"]) == names
    assert listed["itemsPerPage"] == len(names)
    if "filter" in query:
        assert listed["totalResults"] == len(names)
    else:
        assert listed["totalResults"] == 3


async def test_groups_and_their_members(corp: InProcess) -> None:
    alice, bob = await corp.user("alice"), await corp.user("bob")
    admins = await corp.group("Admins", alice, externalId="g-1")
    path = f"/Groups/{admins}"

    async def members() -> list[str]:
        details = (await corp.send("GET", path)).json()
        return sorted(member["value"] for member in details.get("members", []))

    assert await members() == [alice]
    await corp.patch(path, {"op": "Add", "path": "members", "value": [{"value": bob}]})
    assert await members() == sorted([alice, bob])
    view = (await corp.send("GET", f"/Users/{bob}")).json()
    assert view["groups"] == [
        {"value": admins, "$ref": f"{BASE}{path}", "display": "Admins"}
    ]
    removed = [{"value": alice}]
    await corp.patch(path, {"op": "Remove", "path": "members", "value": removed})
    assert await members() == [bob]
    put = await corp.send(
        "PUT",
        path,
        json={"schemas": [GROUP], "displayName": "Root", "members": [{"value": alice}]},
    )
    assert put.json()["displayName"] == "Root"
    assert "externalId" not in put.json()
    assert await members() == [alice]
    await corp.patch(path, {"op": "remove", "path": f'members[value eq "{alice}"]'})
    assert await members() == []
    await corp.patch(path, {"op": "replace", "value": {"members": [{"value": bob}]}})
    assert await members() == [bob]
    response = await corp.send(
        "GET", f'/Groups?filter=id eq "{admins}" and members eq "{bob}"'
    )
    assert response.json()["totalResults"] == 1
    response = await corp.send("GET", "/Groups?excludedAttributes=members")
    assert "members" not in response.json()["Resources"][0]
    await corp.send("DELETE", f"/Users/{bob}")
    assert await members() == []
    assert (await corp.send("DELETE", path)).status_code == 204
    assert (await corp.send("GET", path)).status_code == 404


@pytest.mark.parametrize(
    ("path", "left_out"), [("/Groups", "members"), ("/Users", "groups")]
)
async def test_an_answer_has_a_bound_on_memberships(
    corp: InProcess, monkeypatch: pytest.MonkeyPatch, path: str, left_out: str
) -> None:
    people = [await corp.user("alice"), await corp.user("bob")]
    for name in ("Admins", "Staff"):
        await corp.group(name, *people)
    monkeypatch.setattr(declare, "_MEMBERSHIPS_MAX", 4)
    assert (await corp.send("GET", path)).status_code == 200
    monkeypatch.setattr(declare, "_MEMBERSHIPS_MAX", 3)
    refused = await corp.send("GET", path)
    assert (refused.status_code, refused.json()["scimType"]) == (400, "tooMany")
    advice = f"excludedAttributes={left_out}"
    assert advice in refused.json()["detail"]
    assert (await corp.send("GET", f"{path}?{advice}")).status_code == 200


async def test_what_is_taken(corp: InProcess) -> None:
    alice, _bob = await corp.user("alice"), await corp.user("bob")
    admins, staff = await corp.group("Admins"), await corp.group("Staff")
    assert admins
    for method, path, body in (
        ("POST", "/Users", {"schemas": [USER], "userName": "ALICE"}),
        ("PUT", f"/Users/{alice}", {"schemas": [USER], "userName": "Bob"}),
        ("POST", "/Groups", {"schemas": [GROUP], "displayName": "admins"}),
        ("PUT", f"/Groups/{staff}", {"schemas": [GROUP], "displayName": "ADMINS"}),
    ):
        answer = await corp.send(method, path, json=body)
        assert answer.status_code == 409
        assert answer.json()["scimType"] == "uniqueness"


async def test_the_attribute_of_proofs_is_one_persons(world: SignInWorld) -> None:
    corp = await open_directory(world, ScimSubject="externalId")
    await corp.user("alice", externalId="7")
    body = {"schemas": [USER], "userName": "bob", "externalId": "7"}
    assert (await corp.send("POST", "/Users", json=body)).status_code == 409
    bob = await corp.user("bob")
    assert (await corp.send("PUT", f"/Users/{bob}", json=body)).status_code == 409


@cases("name, path, body")
async def test_quotas(
    world: SignInWorld, corp: InProcess, name: Quota, path: str, body: dict[str, Any]
) -> None:
    users = [await corp.user("alice")]
    await corp.group("A")
    if "members" in body:
        users.append(await corp.user("zoe"))
        body = {**body, "members": [{"value": user} for user in users]}
    await set_quota(world, name, 1)
    answer = await corp.send("POST", path, json=body)
    assert answer.status_code == 403
    assert name in answer.json()["detail"]
    kind = path.removeprefix("/")
    total = (await corp.send("GET", f"/{kind}")).json()["totalResults"]
    assert total == len(users if kind == "Users" else [1]), "nothing is half-written"


@cases("method, path, status")
async def test_other_addresses(
    corp: InProcess, method: str, path: str, status: int
) -> None:
    answer = await corp.send(method, path)
    assert answer.status_code == status
    if status >= 400:
        assert answer.json()["status"] == str(status)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("kind", ["Users", "Groups"])
async def test_a_change_that_is_meant_for_another_version_is_refused(
    corp: InProcess, kind: str, method: str
) -> None:
    made = await (corp.user("alice") if kind == "Users" else corp.group("Staff"))
    path = f"/{kind}/{made}"
    name = "title" if kind == "Users" else "externalId"
    rename = {"op": "replace", "path": name, "value": "x"}
    body = {
        "PUT": {"userName": "bob", "displayName": "Bob"},
        "PATCH": {"schemas": [PATCH_OP], "Operations": [rename]},
        "DELETE": None,
    }[method]
    before = (await corp.send("GET", path)).json()
    stale = {"if-match": 'W/"7"'}
    refused = await corp.send(method, path, json=body, headers=stale)
    assert refused.status_code == 412
    assert (await corp.send("GET", path)).json() == before
    for tag in ('W/"7", W/"1"', "*"):
        done = await corp.send(method, path, json=body, headers={"if-match": tag})
        assert done.status_code in {200, 204}
        if method == "DELETE":
            return


@cases("path")
async def test_an_impossible_address_does_not_reach_the_database(
    corp: InProcess, path: str
) -> None:
    answer = await corp.http.get(path)
    assert (answer.status_code, answer.json()["detail"]) == (404, "Not served.")


async def test_bodies_have_a_bound(corp: InProcess) -> None:
    body = b" " * (BODY_BYTES_MAX + 1)
    assert (await corp.send("POST", "/Users", content=body)).status_code == 413
    large = {**ALICE, "emails": [{"value": "a" * 1000, "display": "b" * 1000}] * 18}
    answer = await corp.send("POST", "/Users", json=large)
    assert answer.status_code == 400


async def test_scim_that_is_switched_off(world: SignInWorld, corp: InProcess) -> None:
    await set_options(world, ScimSubject=None)
    for path in ("/Users", "/ServiceProviderConfig"):
        answer = await corp.send("GET", path)
        assert answer.status_code == 403
        assert "ScimSubject" in answer.json()["detail"]


async def test_a_user_has_only_so_many_characters(corp: InProcess) -> None:
    email = {"value": "v" * 1000, "display": "d" * 1000}
    long = {"schemas": [USER], "userName": "alice", "emails": [email] * 20}
    assert (await corp.send("POST", "/Users", json=long)).status_code == 400
    made = await corp.user("alice")
    assert (await corp.send("PUT", f"/Users/{made}", json=long)).status_code == 400


async def test_of_two_tokens_none_counts(corp: InProcess) -> None:
    request = corp.http.build_request("GET", f"{corp.at}/Users")
    token = ("authorization", f"Bearer {corp.token}")
    request.headers = httpx.Headers([("host", request.url.host), token, token])
    assert (await corp.http.send(request)).status_code == 401
