"""``AssumeRoleWithLDAPIdentity`` as MinIO's clients send it, where it is switched on."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from lxml import etree

from broker.proofs.attempts import WINDOW
from tests.support.directory_world import PROVIDER, directory_world
from tests.support.rows import of_file
from tests.support.signin import ACCOUNT, SignInWorld, role_arn
from tests.support.slapd import PASSWORD, Slapd, dn_of, group, person, start_slapd

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "::1"])

GROUPS = {"staff": ["Staff"], "admins": ["Staff", "Boss"]}


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with start_slapd(
        person("ann"),
        person("bob"),
        person("cid"),
        person("dee"),
        group("staff", dn_of("ann"), dn_of("dee")),
        group("admins", dn_of("bob")),
    ) as server:
        yield server


@asynccontextmanager
async def world_of(
    slapd: Slapd, folder: Path, *, is_on: bool = True
) -> AsyncIterator[SignInWorld]:
    at_api = [PROVIDER] if is_on else []
    async with directory_world(folder, slapd, GROUPS, at_api=at_api) as world:
        yield world


async def call(world: SignInWorld, **text: str) -> httpx.Response:
    """What minio-go's ``LDAPIdentity`` sends: a form, unsigned."""
    return await world.browser().post(
        "/",
        data={
            "Action": "AssumeRoleWithLDAPIdentity",
            "Version": "2011-06-15",
            "LDAPUsername": "ann",
            "LDAPPassword": PASSWORD,
            **text,
        },
        headers={"accept": "*/*"},
    )


def read(answer: httpx.Response) -> Mapping[str, Any]:
    """The texts of an answer by their element's name, its namespace left out."""
    root = etree.fromstring(answer.content)
    return {etree.QName(element).localname: element.text for element in root.iter()}


async def test_credentials_come_in_minios_form(slapd: Slapd, tmp_path: Path) -> None:
    async with world_of(slapd, tmp_path) as world:
        answer = await call(world, DurationSeconds="900")
        assert answer.status_code == 200, answer.text
        results = read(answer)
        assert list(results)[:3] == [
            "AssumeRoleWithLDAPIdentityResponse",
            "AssumeRoleWithLDAPIdentityResult",
            "Credentials",
        ]
        resolved = await world.services.resolver.resolve(
            results["AccessKeyId"], results["SessionToken"], world.clock.now()
        )
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/Staff/ann"
        assert resolved.caller.principal.arn == arn
        assert resolved.session.identity_context["corp:username"] == ("ann",)
        record = await world.recorded("sts:AssumeRoleWithLDAPIdentity")
        assert PASSWORD not in repr(record)
        assert record.parameters == {"DurationSeconds": 900}


async def test_of_several_roles_one_must_be_named(slapd: Slapd, tmp_path: Path) -> None:
    async with world_of(slapd, tmp_path) as world:
        several = await call(world, LDAPUsername="bob")
        assert several.status_code == 403
        assert "name one as RoleArn" in several.text
        named = await call(world, LDAPUsername="bob", RoleArn=role_arn("Boss"))
        assert "assumed-role/Boss/bob" in named.text


REFUSED = of_file(__file__, "REFUSED")


@pytest.mark.parametrize("case", REFUSED)
async def test_what_proves_nothing_is_refused(
    slapd: Slapd, tmp_path: Path, case: str
) -> None:
    params, status, code = REFUSED[case]
    async with world_of(slapd, tmp_path) as world:
        answer = await call(world, **params)
        assert answer.status_code == status, answer.text
        assert read(answer)["Code"] == code


async def test_it_is_there_only_where_the_operator_switches_it_on(
    slapd: Slapd, tmp_path: Path
) -> None:
    async with world_of(slapd, tmp_path, is_on=False) as world:
        answer = await call(world)
        assert answer.status_code == 400
        assert read(answer)["Code"] == "InvalidAction"


async def test_guessing_ends_before_the_directory_locks_the_account(
    slapd: Slapd, tmp_path: Path
) -> None:
    async with world_of(slapd, tmp_path) as world:
        for _ in range(4):
            answer = await call(world, LDAPUsername="dee", LDAPPassword="x")
            assert answer.status_code == 403
        for entry in ({"LDAPUsername": "DEE"}, {"LDAPUsername": "dee"}):
            assert read(await call(world, **entry))["Code"] == "Throttling"
        assert (await call(world)).status_code == 200
        world.clock.move(WINDOW.total_seconds())
        assert (await call(world, LDAPUsername="dee")).status_code == 200


@pytest.mark.parametrize("name", ["ann", "nobody"])
async def test_how_often_a_password_may_be_wrong_is_a_setting(
    slapd: Slapd, tmp_path: Path, name: str
) -> None:
    async with directory_world(
        tmp_path, slapd, GROUPS, at_api=[PROVIDER], WrongPasswordsMax=1
    ) as world:
        params = {"LDAPUsername": name, "LDAPPassword": "x"}
        assert read(await call(world, **params))["Code"] == "IDPRejectedClaim"
        assert read(await call(world, **params))["Code"] == "Throttling"
