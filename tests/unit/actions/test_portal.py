"""The access portal's rules, through its pages and its services."""

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from msgspec import structs
from msgspec.structs import replace

from broker.actions.portal import role_choices
from broker.errors import (
    AccessDenied,
    ExpiredFederationToken,
    ExpiredToken,
    InvalidClientTokenId,
)
from broker.model.entities import Role
from broker.model.federated import FederatedIdentity
from broker.model.lineage import subject_digest
from broker.model.request import Door, RawRequest
from broker.model.session import Session, SessionKind, TemporaryCredentials
from broker.proofs.federated_schemes import proved_by
from broker.proofs.scheme import DoorProof, ProofResult
from broker.sessions.lineage import subject_target
from broker.sessions.oauth import read_user_code
from broker.sessions.revoke import revoke_issued_before
from broker.stores.directory.kinds import LOGIN_PROFILE, ROLE, SAML_PROVIDER
from tests.support import saml_idp
from tests.support.deleted_meanwhile import delete_account
from tests.support.passwords import (
    create_user,
    send_password,
    switch_root_on,
)
from tests.support.portal import Person, Terminal, logged_in
from tests.support.rows import rows
from tests.support.signin import (
    ACCOUNT,
    OTHER,
    SignInWorld,
    form_fields,
    open_world,
    pair,
    provider_arn,
    role_arn,
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SignInWorld]:
    async with open_world(tmp_path, rate_limit=0) as made:
        made.clock.stop()
        yield made


async def session_of(world: SignInWorld, credentials: dict[str, Any]) -> Session:
    resolved = await world.services.resolver.resolve(
        credentials["accessKeyId"], credentials["sessionToken"], world.clock.now()
    )
    return resolved.session


async def credentials_of(
    terminal: Terminal, tokens: dict[str, Any], *role: str
) -> dict[str, Any]:
    answer = await terminal.role(tokens["accessToken"], *role)
    assert answer.status_code == 200, answer.text
    credentials: dict[str, Any] = answer.json()["roleCredentials"]
    return credentials


async def add_role(world: SignInWorld, name: str, principal: object) -> None:
    trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await change.insert(
            ROLE,
            Role(
                account=ACCOUNT,
                role_id=f"AROA{name.upper():X<17}",
                name=name,
                path="/team/",
                trust_policy=json.dumps({"Version": "2012-10-17", "Statement": trust}),
                created_at=world.clock.now(),
                max_session_duration_seconds=3600,
            ),
        )


async def test_credentials_are_as_the_way_in_makes_them(world: SignInWorld) -> None:
    person, terminal = Person(world), await Terminal(world).register()
    await person.sign_in(aws={"tags": {"team": "red"}, "source_identity": "alice"})
    tokens = (await terminal.redeem(await person.code_for(terminal))).json()
    session = await session_of(world, await credentials_of(terminal, tokens))
    now = int(world.clock.now().timestamp())
    assert session.kind.value == "AssumeRoleWithSAML"
    assert session.name == "alice@example.com"
    assert session.tags == {"team": "red"}
    assert session.source_identity == "alice"
    assert session.chain_depth == 0
    assert session.expires_at == now + 7200
    assert session.ends_by == now + 8 * 3600
    assert session.identity_context["saml:sub"] == ("alice",)
    record = await world.recorded("sso:GetRoleCredentials")
    sign_in = await world.recorded("sso:Authenticate")
    assert record.access_key_id == sign_in.session["access_key_id"]
    for action in ("sso:Authenticate", "sso-oauth:Authorize", "sso-oauth:CreateToken"):
        told = (await world.recorded(action)).parameters
        assert told["SessionName"] == "alice@example.com"
    assert record.resources == (role_arn("Reader"),)
    assert record.session["access_key_id"] == session.access_key_id


@pytest.mark.parametrize(
    ("knobs", "seconds"),
    [
        ({"aws": {"duration": "900"}}, 900),
        ({"session_not_on_or_after": timedelta(seconds=600)}, 600),
    ],
)
async def test_nothing_outlasts_the_sign_in(
    world: SignInWorld, knobs: dict[str, Any], seconds: int
) -> None:
    if "session_not_on_or_after" in knobs:
        end = world.clock.now() + knobs["session_not_on_or_after"]
        knobs = {"session_not_on_or_after": end.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    person, terminal = Person(world), await Terminal(world).register()
    await person.sign_in(**knobs)
    answer = await terminal.redeem(await person.code_for(terminal))
    tokens = answer.json()
    assert tokens["expiresIn"] in {seconds, seconds - 1}
    ends_at = int(world.clock.now().timestamp()) + seconds
    credentials = await credentials_of(terminal, tokens)
    assert ends_at - 1 <= credentials["expiration"] / 1000 <= ends_at
    world.clock.move(seconds + 1)
    renewed = await terminal.token("refresh_token", refreshToken=tokens["refreshToken"])
    assert renewed.headers["x-amzn-errortype"] == "InvalidGrantException"
    assert (await person.browser.get(f"/portal/{ACCOUNT}")).status_code == 303


async def test_a_user_takes_the_roles_that_both_policies_open(
    world: SignInWorld,
) -> None:
    mine = f"arn:aws:iam::{ACCOUNT}:role/team/"
    statement = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Resource": [f"{mine}Mine", f"{mine}Untrusting"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
    user = await create_user(world, policy=policy)
    await add_role(world, "Mine", {"AWS": ACCOUNT})
    await add_role(world, "Untrusting", {"AWS": OTHER})
    await add_role(world, "Unmentioned", {"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
    await add_role(world, "Naming", {"AWS": user.arn})
    person, terminal = Person(world), await Terminal(world).register()
    sent = await send_password(person.browser, Destination=f"/portal/{ACCOUNT}")
    assert sent.headers["location"] == f"/portal/{ACCOUNT}"
    tokens = (await terminal.redeem(await person.code_for(terminal))).json()
    listed = await terminal.ask(
        "assignment/roles", tokens["accessToken"], account_id=ACCOUNT
    )
    names = [entry["roleName"] for entry in listed.json()["roleList"]]
    assert names == ["Mine", "Naming"]
    refused = await terminal.role(tokens["accessToken"], "Untrusting")
    assert refused.headers["x-amzn-errortype"] == "ForbiddenException"
    session = await session_of(world, await credentials_of(terminal, tokens, "Mine"))
    assert session.kind.value == "AssumeRole"
    assert (session.name, session.chain_depth) == ("ann", 0)
    record = await world.recorded("sso:GetRoleCredentials")
    assert record.caller_arn == user.arn
    credentials = await credentials_of(terminal, tokens, "Mine")
    async with world.services.stores.directory.change(ACCOUNT) as change:
        profile = await change.find(LOGIN_PROFILE, ACCOUNT, user.user_id)
        assert profile is not None
        await change.remove(LOGIN_PROFILE, profile)
    over = await terminal.role(tokens["accessToken"], "Mine")
    assert over.headers["x-amzn-errortype"] == "UnauthorizedException"
    assert await session_of(world, credentials)


async def test_the_root_has_no_portal(world: SignInWorld) -> None:
    person = Person(world)
    page = await person.browser.get(f"/portal/{ACCOUNT}")
    assert page.headers["location"].startswith(f"/signin/{ACCOUNT}?Destination=")


async def test_signing_out_ends_what_the_sign_in_made(world: SignInWorld) -> None:
    for way in ("browser", "terminal"):
        person, terminal, tokens = await logged_in(world)
        credentials = await credentials_of(terminal, tokens)
        assert await session_of(world, credentials)
        if way == "terminal":
            answer = await terminal.ask("logout", tokens["accessToken"])
            assert (answer.status_code, answer.content) == (200, b"")
        else:
            page = await person.browser.get(f"/portal/{ACCOUNT}")
            path = f"/portal/{ACCOUNT}/sign-out"
            token = page.text.partition('name="csrf" value="')[2].partition('"')[0]
            left = await person.browser.post(
                path, data={"csrf": token}, headers={"origin": terminal.origin}
            )
            assert left.status_code == 200
            assert "broker-portal" not in person.browser.cookies
        with pytest.raises(ExpiredToken):
            await session_of(world, credentials)
        answer = await terminal.token(
            "refresh_token", refreshToken=tokens["refreshToken"]
        )
        assert answer.headers["x-amzn-errortype"] == "InvalidGrantException"
        world.clock.move(2)


async def test_a_sign_in_reaches_every_account_that_its_providers_vouch_for(
    world: SignInWorld,
) -> None:
    directory = world.services.stores.directory
    async with directory.change(OTHER) as change:
        provider = await change.named(SAML_PROVIDER, OTHER, "Corp")
        assert provider is not None
        await change.update(
            SAML_PROVIDER, replace(provider, metadata=saml_idp.metadata_xml())
        )
    person, terminal, tokens = await logged_in(
        world, pair("Reader"), pair("Reader", OTHER), pair("Admin", OTHER)
    )
    listed = await terminal.ask("assignment/accounts", tokens["accessToken"])
    assert [entry["accountId"] for entry in listed.json()["accountList"]] == [
        ACCOUNT,
        OTHER,
    ]
    page = await terminal.ask(
        "assignment/roles", tokens["accessToken"], account_id=OTHER, max_result=1
    )
    assert [entry["roleName"] for entry in page.json()["roleList"]] == ["Admin"]
    rest = await terminal.ask(
        "assignment/roles",
        tokens["accessToken"],
        account_id=OTHER,
        next_token=page.json()["nextToken"],
    )
    assert [entry["roleName"] for entry in rest.json()["roleList"]] == ["Reader"]
    assert "nextToken" not in rest.json()
    here = await credentials_of(terminal, tokens)
    there = await credentials_of(terminal, tokens, "Reader", OTHER)
    assert (await session_of(world, there)).account == OTHER
    assert (await person.browser.get(f"/portal/{OTHER}")).status_code == 200
    # The other account lets this person go: what is theirs there ends.
    subject = subject_digest(saml_idp.ENTITY_ID, "alice")
    async with directory.change(OTHER) as change:
        await revoke_issued_before(
            change, account=OTHER, target=subject_target(subject), now=world.clock.now()
        )
    with pytest.raises(ExpiredToken):
        await session_of(world, there)
    assert await session_of(world, here)
    async with directory.change(OTHER) as change:
        await change.remove(SAML_PROVIDER, provider)
    listed = await terminal.ask("assignment/accounts", tokens["accessToken"])
    assert [entry["accountId"] for entry in listed.json()["accountList"]] == [ACCOUNT]
    refused = await terminal.role(tokens["accessToken"], "Reader", OTHER)
    assert refused.headers["x-amzn-errortype"] == "ForbiddenException"


async def elsewhere(world: SignInWorld, person: Person, **knobs: Any) -> None:
    """Sign the person's browser in to the other account's portal."""
    key = saml_idp.key_pair("elsewhere")
    directory = world.services.stores.directory
    async with directory.change(OTHER) as change:
        provider = await change.named(SAML_PROVIDER, OTHER, "Corp")
        assert provider is not None
        metadata = saml_idp.metadata_xml(key)
        await change.update(SAML_PROVIDER, replace(provider, metadata=metadata))
    await person.sign_in(pair("Reader", OTHER), place=OTHER, signing_key=key, **knobs)


async def sign_out(world: SignInWorld, person: Person, place: str) -> Any:
    page = await person.browser.get(f"/portal/{place}")
    assert page.status_code == 200
    path = f"/portal/{place}/sign-out"
    data = form_fields(page, path)
    headers = {"origin": world.services.settings.public_origin}
    return await person.browser.post(path, data=data, headers=headers)


async def test_the_newest_sign_in_is_the_browsers_and_terminals_keep_theirs(
    world: SignInWorld,
) -> None:
    person, terminal, tokens = await logged_in(world)
    await elsewhere(world, person)
    assert (await person.browser.get(f"/portal/{OTHER}")).status_code == 200
    assert (await person.browser.get(f"/portal/{ACCOUNT}")).status_code == 303
    begin = await person.browser.get("/portal")
    assert begin.headers["location"] == f"/portal/{OTHER}"
    assert (await sign_out(world, person, OTHER)).status_code == 200
    assert (await terminal.role(tokens["accessToken"])).status_code == 200
    outs = [r for r in await world.audit() if r.action == "sso:Logout"]
    assert [record.account for record in outs] == [OTHER]


async def test_the_same_person_again_keeps_what_terminals_use(
    world: SignInWorld,
) -> None:
    person, terminal, tokens = await logged_in(world)
    await person.sign_in()
    await sign_out(world, person, ACCOUNT)
    assert (await terminal.role(tokens["accessToken"])).status_code == 200
    assert (await person.browser.get(f"/portal/{ACCOUNT}")).status_code == 303


async def test_another_persons_sign_in_ends_the_session_before(
    world: SignInWorld,
) -> None:
    person, terminal, tokens = await logged_in(world)
    await person.sign_in(aws={"session_name": "bob@example.com"})
    answer = await terminal.role(tokens["accessToken"])
    assert answer.headers["x-amzn-errortype"] == "UnauthorizedException"
    page = await person.browser.get(f"/portal/{ACCOUNT}")
    assert "bob@example.com" in page.text


async def test_a_deleted_account_takes_its_sign_ins_along(world: SignInWorld) -> None:
    _, terminal, tokens = await logged_in(world)
    credentials = await credentials_of(terminal, tokens)
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await delete_account(change, ACCOUNT)
    answer = await terminal.role(tokens["accessToken"])
    assert answer.headers["x-amzn-errortype"] == "UnauthorizedException"
    with pytest.raises(InvalidClientTokenId):
        await session_of(world, credentials)


async def test_a_sign_in_that_starts_at_the_provider_finds_the_portal(
    world: SignInWorld,
) -> None:
    """The provider knows nothing of where the browser wanted to go."""
    person, terminal = Person(world), await Terminal(world).register()
    sent = await person.browser.get("/authorize", params=terminal.authorize_query())
    asked = await person.browser.get(sent.headers["location"])
    assert asked.headers["location"].startswith(f"/signin/{ACCOUNT}?")
    arrived = await world.sign_in(person.browser, pair("Reader"))
    assert arrived.headers["location"] == "/portal/authorize"
    page = await person.browser.get("/portal/authorize")
    assert (await person.press(page)).status_code == 303
    # Only the next sign-in, and only in this browser.
    again = await world.sign_in(person.browser, pair("Reader"))
    assert again.headers["location"] == "/console/"


async def test_a_session_that_is_over_at_the_provider_opens_nothing(
    world: SignInWorld,
) -> None:
    """Between the proof and the sign-in, too."""
    end = world.clock.now() + timedelta(seconds=10)
    response = world.response(
        session_not_on_or_after=end.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    )
    identity = await world.services.federated.prove_for_provider(
        response, ACCOUNT, provider_arn(), world.clock.now()
    )
    world.clock.move(9)
    session = await perform(world, proved_by(identity), identity)
    assert session.expires_at <= end.timestamp()
    world.clock.move(1)
    with pytest.raises(ExpiredFederationToken):
        await perform(world, proved_by(identity), identity)


async def perform(
    world: SignInWorld, proved: ProofResult, *identities: FederatedIdentity
) -> Session:
    """The sign-in of what was proved, past the pages' own checks."""
    services = world.services
    kept: list[TemporaryCredentials] = []

    async def keep(credentials: TemporaryCredentials) -> None:
        kept.append(credentials)

    async def prove(_now: datetime) -> ProofResult:
        return structs.replace(proved, keep=keep)

    raw = RawRequest(
        method="GET",
        raw_path=b"/portal",
        query=b"",
        headers=((b"host", b"127.0.0.1:8080"),),
        body=b"",
        source_ip="127.0.0.1",
        secure=False,
    )
    await services.pipeline.perform(
        services.pipeline.receive(raw, str(uuid4()), Door.PORTAL),
        services.registry.get("sso", "Authenticate"),
        lambda: {"Identities": identities, "SessionName": "x"},
        DoorProof(prove),
    )
    resolved = await services.resolver.resolve(
        kept[0].access_key_id, kept[0].session_token.reveal(), world.clock.now()
    )
    return resolved.session


async def authenticate(world: SignInWorld, kind: SessionKind, **order: Any) -> Session:
    """The sign-in of a session that asks directly."""
    minted = (await world.mint(kind, **order)).credentials
    resolved = await world.services.resolver.resolve(
        minted.access_key_id, minted.session_token.reveal(), world.clock.now()
    )
    return await perform(world, ProofResult(caller=resolved.caller))


async def test_the_root_signs_in_to_no_portal(world: SignInWorld) -> None:
    await switch_root_on(world)
    with pytest.raises(AccessDenied, match="Only IAM users"):
        await authenticate(world, SessionKind.CONSOLE)


@pytest.mark.parametrize("kind", [SessionKind.ASSUME_ROLE, SessionKind.SAML])
async def test_only_users_at_the_console_sign_in_without_a_provider(
    world: SignInWorld, kind: SessionKind
) -> None:
    with pytest.raises(AccessDenied):
        await authenticate(world, kind)


@pytest.mark.parametrize(
    ("kind", "is_let_in"),
    [(SessionKind.CONSOLE, True), (SessionKind.SESSION_TOKEN, False)],
)
@pytest.mark.parametrize(("seconds", "life"), [(3600, 3600), (12 * 3600, 8 * 3600)])
async def test_a_users_sign_in_ends_with_the_console_session(
    world: SignInWorld, kind: SessionKind, is_let_in: bool, seconds: int, life: int
) -> None:
    user = await create_user(world)
    order = {
        "principal_id": user.user_id,
        "principal_arn": user.arn,
        "name": user.name,
        "duration_seconds": seconds,
    }
    if not is_let_in:
        with pytest.raises(AccessDenied):
            await authenticate(world, kind, **order)
        return
    session = await authenticate(world, kind, **order)
    assert session.expires_at == int(world.clock.now().timestamp()) + life


async def test_a_users_credentials_end_with_the_sign_in(world: SignInWorld) -> None:
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
    await create_user(world, policy=policy)
    await add_role(world, "Mine", {"AWS": ACCOUNT})
    person, terminal = Person(world), await Terminal(world).register(device=True)
    await send_password(person.browser, Destination=f"/portal/{ACCOUNT}")
    device = await terminal.begin()
    await person.answer_device(device["userCode"])
    token = (await terminal.poll(device)).json()["accessToken"]
    portal = await world.services.portal_sessions.find_by_token(
        token, world.clock.now()
    )
    assert portal is not None
    left = (portal.ends_at - world.clock.now()).total_seconds()
    world.clock.move(left - 600)
    device = await terminal.begin()
    await person.answer_device(device["userCode"])
    token = (await terminal.poll(device)).json()["accessToken"]
    answer = await terminal.role(token, "Mine")
    expiration = answer.json()["roleCredentials"]["expiration"] / 1000
    assert expiration == portal.session.expires_at


async def test_roles_that_belong_to_aws_are_not_listed_or_given(
    world: SignInWorld,
) -> None:
    directory = world.services.stores.directory
    async with directory.change(ACCOUNT) as change:
        role = await change.named(ROLE, ACCOUNT, "Reader")
        assert role is not None
        name = "AWSReservedSSO_Reader"
        await change.insert(
            ROLE, replace(role, name=name, role_id="AROAAWSRESERVED00000")
        )
    _, terminal, tokens = await logged_in(world, pair("Reader"), pair(name))
    token = tokens["accessToken"]
    listed = await terminal.ask("assignment/roles", token, account_id=ACCOUNT)
    assert [entry["roleName"] for entry in listed.json()["roleList"]] == ["Reader"]
    refused = await terminal.role(token, name)
    assert refused.headers["x-amzn-errortype"] == "ForbiddenException"


@pytest.mark.parametrize(("bound", "value"), [("_LOOKED_MAX", 1), ("_SECONDS_MAX", -1)])
async def test_a_list_decides_about_so_many_roles_and_so_long(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    _, terminal, tokens = await logged_in(world, pair("Reader"), pair("Admin"))

    async def listed() -> list[str]:
        answer = await terminal.ask(
            "assignment/roles", tokens["accessToken"], account_id=ACCOUNT
        )
        return [entry["roleName"] for entry in answer.json()["roleList"]]

    assert await listed() == ["Admin", "Reader"]
    monkeypatch.setattr(role_choices, bound, value)
    assert await listed() == ["Admin"][:value]
    accounts = await terminal.ask("assignment/accounts", tokens["accessToken"])
    assert len(accounts.json()["accountList"]) == max(0, value)


@rows("typed, read")
def test_a_user_code_has_eight_letters_however_it_is_typed(
    typed: str, read: str
) -> None:
    assert read_user_code(typed) == read
