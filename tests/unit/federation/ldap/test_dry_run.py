"""What an operator reads about a directory and a person."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from broker.federation.diagnosis import State
from broker.federation.ldap.directories import parse_directories
from broker.federation.ldap.dry_run import LdapDryRun
from broker.federation.ldap.people import LdapPeople
from broker.model.entities import LdapProvider
from tests.support.directory_world import describe
from tests.support.signin import ACCOUNT
from tests.support.slapd import Slapd, dn_of, group, person, start_slapd

NOW = datetime(2026, 1, 1, tzinfo=UTC)
pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "::1"])

TAGS = "Attributes can be session tags"


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with start_slapd(
        person("ann", departmentNumber="Büro 7"),
        person("bob", departmentNumber="R&D"),
        group("staff", dn_of("ann"), dn_of("bob")),
    ) as server:
        yield server


@pytest.mark.parametrize(
    ("name", "state", "found"),
    [("ann", State.HELD, ""), ("bob", State.FAILED, "Department = R&D")],
)
async def test_a_value_that_no_tag_can_have_is_named(
    slapd: Slapd, tmp_path: Path, name: str, state: State, found: str
) -> None:
    described = describe(slapd, tmp_path, Tags={"departmentNumber": "Department"})
    file = parse_directories({"Directories": {"corp": described}})
    people = LdapPeople("corp", file.directories["corp"])
    provider = LdapProvider(
        account=ACCOUNT,
        unique_id="LDAPPCORP",
        name="corp",
        directory="corp",
        created_at=NOW,
        options={},
    )
    dry_run = LdapDryRun(people)
    await dry_run.try_person(provider, name, None, NOW)
    await people.close()
    (check,) = [one for one in dry_run.checks if one.title == TAGS]
    assert (check.state, check.found) == (state, found)
