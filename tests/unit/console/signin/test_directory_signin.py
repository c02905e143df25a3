"""People of a real slapd sign in to the console."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.directory_world import (
    PROVIDER,
    START,
    directory_world,
    sign_in,
)
from tests.support.signin import ACCOUNT
from tests.support.slapd import GROUPS, Slapd, dn_of, group, person, start_slapd

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "::1"])


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with start_slapd(
        person("ann"),
        person("bob"),
        person("cid"),
        group("staff", dn_of("ann"), dn_of("bob")),
        group("admins", dn_of("bob")),
        group("all", f"cn=staff,{GROUPS}"),
    ) as server:
        yield server


async def test_a_person_signs_in_to_the_console(slapd: Slapd, tmp_path: Path) -> None:
    async with directory_world(tmp_path, slapd, {"staff": ["Staff"]}) as world:
        browser = world.browser()
        page = await browser.get(f"/signin/{ACCOUNT}")
        assert START in page.text
        home = await sign_in(browser, "ann")
        assert "Staff" in home
        assert "ann" in home
        record = await world.recorded("sts:AssumeRoleWithLDAPIdentity")
        assert record.session["provider_arn"] == PROVIDER
        assert record.session["kind"] == "AssumeRoleWithLDAPIdentity"
