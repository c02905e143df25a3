"""People of a real slapd sign in to the console."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from broker.model.revocation import BARRED_MS, PROOFS_LIFE, Revocation
from broker.proofs.ldap.prover import WRONG
from broker.proofs.refusals import explain_refusal
from broker.sessions.lineage import subject_target
from broker.sessions.record import read_audited
from broker.stores.directory.kinds import LDAP_PROVIDER
from tests.support.directory_world import (
    PROVIDER,
    START,
    directory_world,
    send_password,
    sign_in,
    trust_directory,
)
from tests.support.portal import Person, Terminal
from tests.support.signin import (
    ACCOUNT,
    ORIGIN,
    OTHER,
    SignInWorld,
    form_fields,
    role_arn,
    text_of,
)
from tests.support.slapd import (
    GROUPS,
    PASSWORD,
    Slapd,
    dn_of,
    group,
    person,
    start_slapd,
)

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "::1"])


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with start_slapd(
        person("ann"),
        person("bob"),
        person("cid"),
        person("dan"),
        person("old", shadowExpire="1"),
        group("staff", dn_of("ann"), dn_of("bob"), dn_of("old")),
        group("admins", dn_of("bob"), dn_of("dan")),
        group("all", f"cn=staff,{GROUPS}"),
    ) as server:
        yield server


async def test_a_person_signs_in_to_the_console(slapd: Slapd, tmp_path: Path) -> None:
    async with directory_world(tmp_path, slapd, {"staff": ["Staff"]}) as world:
        browser = world.browser()
        page = await browser.get(f"/signin/{ACCOUNT}")
        assert START in page.text
        assert "Account example" in text_of(await browser.get(START))
        home = await sign_in(browser, "ann")
        assert "Staff" in home
        assert "ann" in home
        record = await world.recorded("sts:AssumeRoleWithLDAPIdentity")
        assert record.session["provider_arn"] == PROVIDER
        assert record.session["kind"] == "AssumeRoleWithLDAPIdentity"


async def test_several_roles_are_a_choice(slapd: Slapd, tmp_path: Path) -> None:
    groups = {"staff": ["Staff"], "admins": ["Staff", "Boss"]}
    async with directory_world(tmp_path, slapd, groups) as world:
        browser = world.browser()
        page = await send_password(browser, "bob")
        assert page.status_code == 200
        assert "You are bob" in text_of(page)
        fields = form_fields(page, "/signin/oidc/role")
        for role, status in ((role_arn("Reader"), 403), (role_arn("Boss"), 303)):
            chosen = await browser.post(
                "/signin/oidc/role",
                data={**fields, "roleIndex": role},
                headers={"sec-fetch-site": "same-origin"},
            )
            assert chosen.status_code == status, text_of(chosen)
        assert "Boss" in text_of(await browser.get("/console/"))


REFUSED = {
    "a wrong password": ("ann", "wrong", 403),
    "nobody": ("nobody", "wrong", 403),
    "an empty password": ("ann", "", 403),
    "everybody": ("*", PASSWORD, 403),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_whatever_is_wrong_a_person_reads_the_same(
    slapd: Slapd, tmp_path: Path, case: str
) -> None:
    username, password, status = REFUSED[case]
    async with directory_world(tmp_path, slapd, {"staff": ["Staff"]}) as world:
        page = await send_password(world.browser(), username, password)
        assert page.status_code == status
        assert WRONG in text_of(page)
        record = await world.recorded("signin:ListRolesWithLDAPIdentity")
        assert record.error_code == "IDPRejectedClaim"
        assert record.resources == (PROVIDER,)
        assert record.detail.startswith("wrong name or password")
        whole = f"{record!r}"
        assert PASSWORD not in whole


async def test_states_are_told_to_operators_only(slapd: Slapd, tmp_path: Path) -> None:
    async with directory_world(tmp_path, slapd, {"staff": ["Staff"]}) as world:
        page = await send_password(world.browser(), "old")
        assert WRONG in text_of(page)
        assert "expired" not in text_of(page)
        record = await world.recorded("signin:ListRolesWithLDAPIdentity")
        assert record.detail == f"account expired: {dn_of('old')}"
        check = explain_refusal(record)
        assert check is not None
        assert check.title == "The directory accepts the person"
        assert "expired" in check.found


async def test_who_is_barred_is_refused_with_the_right_password(
    slapd: Slapd, tmp_path: Path
) -> None:
    async with directory_world(tmp_path, slapd, {"staff": ["Staff"]}) as world:
        assert "Staff" in await sign_in(world.browser(), "ann")
        record = await world.recorded("sts:AssumeRoleWithLDAPIdentity")
        subject = read_audited(record.session).lineage.origin.subject
        now = world.clock.now()
        async with world.services.stores.directory.change(ACCOUNT) as change:
            await change.revoke(
                Revocation(
                    account=ACCOUNT,
                    target=subject_target(subject),
                    not_before_ms=BARRED_MS,
                    expires_at=now + PROOFS_LIFE,
                )
            )
        page = await send_password(world.browser(), "ann")
        assert page.status_code == 403
        assert "You are barred" in text_of(page)


async def test_without_a_group_there_is_no_role(slapd: Slapd, tmp_path: Path) -> None:
    async with directory_world(tmp_path, slapd, {"staff": ["Staff"]}) as world:
        page = await send_password(world.browser(), " CID")
        assert page.status_code == 403
        assert "none of your groups" in text_of(page)
        record = await world.recorded("signin:ListRolesWithLDAPIdentity")
        assert (record.account, record.error_code) == (ACCOUNT, "AccessDenied")
        assert record.resources == (PROVIDER,)
        assert record.parameters["UserName"] == "CID"


async def test_four_wrong_passwords_and_then_none(slapd: Slapd, tmp_path: Path) -> None:
    """However the name is written; a password that is right counts for nothing then."""
    async with directory_world(tmp_path, slapd, {"staff": ["Staff"]}) as world:
        browser = world.browser()
        for number in range(4):
            name = ("Nobody", "NOBODY")[number % 2]
            assert (await send_password(browser, name, "x")).status_code == 403
        assert (await send_password(browser, "nobody", "x")).status_code == 429
        assert (await send_password(browser, "ann")).status_code == 303


async def test_a_form_from_elsewhere_is_refused(slapd: Slapd, tmp_path: Path) -> None:
    async with directory_world(tmp_path, slapd, {"staff": ["Staff"]}) as world:
        browser = world.browser()
        data = {"username": "ann", "password": PASSWORD}
        assert (await browser.post(START, data=data)).status_code == 403
        page = await browser.get(START)
        data |= form_fields(page, START)
        headers = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
        sent = await browser.post(START, data=data, headers=headers)
        assert sent.status_code == 403
        other = await world.browser().post(START, data=data)
        assert other.status_code == 403


async def test_a_sign_in_is_good_once(slapd: Slapd, tmp_path: Path) -> None:
    async with directory_world(tmp_path, slapd, {"staff": ["Staff"]}) as world:
        browser = world.browser()
        sent = await send_password(browser, "ann")
        location = sent.headers["location"]
        assert (await browser.get(location)).status_code == 303
        again = await world.browser().get(location)
        assert again.status_code == 400


async def test_without_sign_in_there_is_no_page(slapd: Slapd, tmp_path: Path) -> None:
    async with directory_world(tmp_path, slapd, {"staff": ["Staff"]}) as world:
        directory = world.services.stores.directory
        provider = await directory.named(LDAP_PROVIDER, ACCOUNT, "corp")
        assert provider is not None
        async with directory.change(ACCOUNT) as change:
            await change.update(
                LDAP_PROVIDER,
                replace(provider, options={**provider.options, "SignIn": False}),
            )
        browser = world.browser()
        assert (await browser.get(START)).status_code == 404
        assert START not in (await browser.get(f"/signin/{ACCOUNT}")).text


async def test_deleting_the_provider_ends_what_it_opened(
    slapd: Slapd, tmp_path: Path
) -> None:
    async with directory_world(tmp_path, slapd, {"staff": ["Staff"]}) as world:
        browser = world.browser()
        await sign_in(browser, "ann")
        directory = world.services.stores.directory
        provider = await directory.named(LDAP_PROVIDER, ACCOUNT, "corp")
        assert provider is not None
        async with directory.change(ACCOUNT) as change:
            await change.remove(LDAP_PROVIDER, provider)
        assert (await browser.get("/console/")).status_code != 200
        world.clock.move(60)
        await world.services.leavers.ask()


async def test_a_sign_in_is_with_the_provider_that_it_began_with(
    slapd: Slapd, tmp_path: Path
) -> None:
    async with directory_world(tmp_path, slapd, {"staff": ["Staff"]}) as world:
        browser = world.browser()
        sent = await send_password(browser, "ann")
        directory = world.services.stores.directory
        provider = await directory.named(LDAP_PROVIDER, ACCOUNT, "corp")
        assert provider is not None
        async with directory.change(ACCOUNT) as change:
            await change.remove(LDAP_PROVIDER, provider)
            await change.insert(LDAP_PROVIDER, replace(provider, unique_id="LDAPPNEW"))
        refused = await browser.get(sent.headers["location"])
        assert refused.status_code == 403
        record = await world.recorded("sts:AssumeRoleWithLDAPIdentity")
        assert record.error_code == "IDPRejectedClaim"


async def test_a_directory_that_is_away_says_so(slapd: Slapd, tmp_path: Path) -> None:
    nowhere = ["ldaps://localhost:1"]
    async with directory_world(
        tmp_path, slapd, {"staff": ["Staff"]}, Servers=nowhere
    ) as world:
        page = await send_password(world.browser(), "ann")
        assert page.status_code == 503
        assert "cannot be reached right now" in text_of(page)
        record = await world.recorded("signin:ListRolesWithLDAPIdentity")
        assert record.error_code == "IDPCommunicationError"
        assert record.detail.startswith("connect: ldaps://localhost:1")


async def test_a_directory_that_hangs_keeps_no_other_sign_in_waiting(
    tmp_path: Path,
) -> None:
    """Others sign in, from the same address, while a crowd waits for it."""
    with start_slapd(person("ann"), group("staff", dn_of("ann"))) as own:
        async with directory_world(
            tmp_path, own, {"staff": ["Staff"]}, TimeoutSeconds=30
        ) as world:
            browsers = [world.browser() for _ in range(30)]
            own.freeze()
            waiting = [
                asyncio.create_task(send_password(browser, "ann"))
                for browser in browsers
            ]
            await asyncio.sleep(0.1)
            for _ in range(5):
                assert (await world.sign_in(world.browser())).status_code == 303
                page = await world.browser().get(f"/signin/{ACCOUNT}")
                data = form_fields(page, f"/signin/{ACCOUNT}")
                wrong = await world.browser().post(
                    f"/signin/{ACCOUNT}",
                    data={**data, "username": "nobody", "password": "x"},
                    headers={"sec-fetch-site": "same-origin"},
                )
                assert wrong.status_code == 403
            assert not any(task.done() for task in waiting)
            own.thaw()
            answers = await asyncio.gather(*waiting)
            assert {answer.status_code for answer in answers} == {303}


@asynccontextmanager
async def organised(slapd: Slapd, folder: Path) -> AsyncIterator[SignInWorld]:
    """The organisation ``acme``: two accounts that trust the directory."""
    described = {
        account: {"Providers": ["ldap-provider/corp"]} for account in (ACCOUNT, OTHER)
    }
    path = folder / "organisations.yaml"
    whole = {"Organisations": {"acme": {"Accounts": described}}}
    path.write_text(yaml.safe_dump(whole))
    async with directory_world(
        folder, slapd, {"staff": ["Staff"]}, settings={"organisations_file": path}
    ) as world:
        await trust_directory(world, OTHER, {"admins": ["Boss"]})
        yield world


async def test_a_role_of_any_member_lets_a_person_in(
    slapd: Slapd, tmp_path: Path
) -> None:
    """Who has none is on record with the provider that the password was for."""
    async with organised(slapd, tmp_path) as world:
        for name, status in (("dan", 303), ("cid", 403)):
            browser = world.browser()
            sent = await send_password(browser, name, destination="/portal/acme")
            assert sent.status_code == 303, text_of(sent)
            entered = await browser.get(sent.headers["location"])
            assert entered.status_code == status, text_of(entered)
        record = await world.recorded("sso:Authenticate")
        assert (record.account, record.resources) == (ACCOUNT, (PROVIDER,))
        assert record.parameters["UserName"] == "cid"


async def test_a_member_without_its_provider_ends_no_sign_in(
    slapd: Slapd, tmp_path: Path
) -> None:
    async with organised(slapd, tmp_path) as world:
        someone = Person(world)
        sent = await send_password(someone.browser, "bob", destination="/portal/acme")
        await someone.browser.get(sent.headers["location"])
        start = f"{ORIGIN}/portal/acme"
        terminal = await Terminal(world).register(issuerUrl=start)
        code = await someone.code_for(terminal)
        tokens = (await terminal.redeem(code)).json()
        access = tokens["accessToken"]
        assert (await terminal.role(access, "Boss", OTHER)).status_code == 200
        async with world.services.stores.directory.change(OTHER) as change:
            provider = await change.named(LDAP_PROVIDER, OTHER, "corp")
            assert provider is not None
            await change.remove(LDAP_PROVIDER, provider)
        world.clock.move(2)
        assert (await terminal.role(access, "Boss", OTHER)).status_code in {401, 403}
        renewed = await terminal.token(
            "refresh_token", refreshToken=tokens["refreshToken"]
        )
        assert renewed.status_code == 200, renewed.text
        access = renewed.json()["accessToken"]
        assert (await terminal.role(access, "Staff", ACCOUNT)).status_code == 200


async def test_a_directory_vouches_at_no_provider_of_another(
    slapd: Slapd, tmp_path: Path
) -> None:
    """Groups of the same name there are other people's."""
    async with organised(slapd, tmp_path) as world:
        async with world.services.stores.directory.change(OTHER) as change:
            provider = await change.named(LDAP_PROVIDER, OTHER, "corp")
            assert provider is not None
            await change.update(LDAP_PROVIDER, replace(provider, directory="elsewhere"))
        browser = world.browser()
        sent = await send_password(browser, "bob", destination="/portal/acme")
        await browser.get(sent.headers["location"])
        text = text_of(await browser.get("/portal/acme"))
        assert "Staff" in text
        assert "Boss" not in text


async def test_in_an_organisation_one_password_opens_several_accounts(
    slapd: Slapd, tmp_path: Path
) -> None:
    async with organised(slapd, tmp_path) as world:
        browser = world.browser()
        page = await browser.get("/signin/acme")
        assert page.text.count("/with/LDAPP") == 1
        page = await browser.get(START, params={"Destination": "/portal/acme"})
        assert "acme, with your user name" in text_of(page)
        assert 'href="/signin/acme?Destination=' in page.text
        sent = await send_password(browser, "bob", destination="/portal/acme")
        assert sent.status_code == 303, text_of(sent)
        arrived = await browser.get(sent.headers["location"])
        assert arrived.headers["location"] == "/portal/acme"
        text = text_of(await browser.get("/portal/acme"))
        assert ACCOUNT in text or "example" in text
        assert "Staff" in text
        assert "Boss" in text
        assert OTHER in text


async def test_a_role_that_went_meanwhile_is_not_opened(tmp_path: Path) -> None:
    staff = f"cn=staff,{GROUPS}"
    with start_slapd(
        person("ann"), person("bob"), group("staff", dn_of("ann"), dn_of("bob"))
    ) as own:
        async with directory_world(tmp_path, own, {"staff": ["Staff"]}) as world:
            browser = world.browser()
            sent = await send_password(browser, "ann")
            own.modify(staff, "delete: member", f"member: {dn_of('ann')}")
            refused = await browser.get(sent.headers["location"])
            assert refused.status_code == 403
            assert "no longer have this role" in text_of(refused)
