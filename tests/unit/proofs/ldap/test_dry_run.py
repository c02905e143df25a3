"""What an operator reads about a directory and a person."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from broker.model.entities import LdapProvider
from broker.model.secret import Secret
from broker.proofs.diagnosis import Check, State
from broker.proofs.ldap.directories import parse_directories
from broker.proofs.ldap.dry_run import LdapDryRun
from broker.proofs.ldap.people import LdapPeople
from tests.support.directory_world import describe
from tests.support.signin import ACCOUNT
from tests.support.slapd import Slapd, dn_of, group, person, start_slapd

NOW = datetime(2026, 1, 1, tzinfo=UTC)
pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "::1"])

TAGS = "Attributes can be session tags"
PASSWORD = "The password is right"


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
    checks = await tried(slapd, tmp_path, name, Tags={"departmentNumber": "Department"})
    assert (checks[TAGS].state, checks[TAGS].found) == (state, found)


async def test_an_empty_password_is_not_sent(slapd: Slapd, tmp_path: Path) -> None:
    """A directory takes it for an anonymous bind, and says yes."""
    checks = await tried(slapd, tmp_path, "ann", Secret(""))
    assert checks[PASSWORD].state is State.FAILED
    assert "RFC 4513" in checks[PASSWORD].found


async def tried(
    slapd: Slapd,
    folder: Path,
    name: str,
    password: Secret | None = None,
    **directory: Any,
) -> Mapping[str, Check]:
    """The checks of a person, by title."""
    described = describe(slapd, folder, **directory)
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
    await dry_run.try_person(provider, name, password, NOW)
    await people.close()
    return {check.title: check for check in dry_run.checks}
