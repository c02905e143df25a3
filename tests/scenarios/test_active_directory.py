"""A real Active Directory domain controller: Samba. Only `make long` runs it."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from broker.proofs.ldap.people import LdapPeople, PersonRefusedError
from broker.protocols.ldap.accounts import AccountState
from tests.support.directory_world import people_of, prove
from tests.support.programs import program
from tests.support.samba import (
    DISABLED,
    LOCKS_AFTER,
    NEVER_EXPIRES,
    NORMAL,
    PASSWORD,
    SERVICE,
    SUFFIX,
    USERS,
    Samba,
    account,
    group,
    start_samba,
)

pytestmark = [
    pytest.mark.long,
    program("Samba", "samba-ad-dc"),
    pytest.mark.allow_hosts(["127.0.0.1", "::1"]),
    pytest.mark.timeout(600),
]

NEVER = NORMAL | NEVER_EXPIRES
CROWD = [f"crowd{number:04d}" for number in range(250)]


@pytest.fixture(scope="module")
def samba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    with start_samba(
        tmp_path_factory.mktemp("samba"),
        account("ann", department="Sales"),
        account("bob"),
        account("crowded"),
        account("closed", control=NEVER | DISABLED),
        account("expired", accountExpires="116444736000000000"),
        account("due", control=NORMAL, pwdLastSet="0"),
        account("guessed"),
        account("leaves"),
        account("o'(neil)"),
        group("staff", "ann"),
        group("all", "staff"),
        group("world", "all"),
        *(group(name, "crowded") for name in CROWD),
    ) as server:
        yield server


def directory_of(
    samba: Samba, folder: Path, **more: Any
) -> AbstractAsyncContextManager[LdapPeople, None]:
    (folder / "password").write_text(PASSWORD)
    params = {
        "Kind": "ActiveDirectory",
        "Servers": ["ldaps://localhost"],
        "CaFile": str(samba.ca_file),
        "BindDN": SERVICE,
        "BindPasswordFile": "password",
        "Base": SUFFIX,
        "GroupBase": USERS,
        "NestedGroups": True,
        "Tags": {"department": "Department"},
        "TimeoutSeconds": 20,
        **more,
    }
    return people_of(params, folder)


@pytest.mark.parametrize(
    "more", [{}, {"Servers": ["ldap://localhost"], "StartTLS": True}]
)
async def test_a_person_with_groups_in_groups(
    samba: Samba, tmp_path: Path, more: dict[str, Any]
) -> None:
    async with directory_of(samba, tmp_path, **more) as people:
        person = await prove(people, "ANN")
        assert person.username == "ann"
        assert person.groups == ("all", "staff", "world")
        assert person.attributes == {"Department": "Sales"}
        again = await people.get_current(person.subject, datetime.now(UTC))
        assert again == person
    async with directory_of(samba, tmp_path, NestedGroups=False, **more) as people:
        assert (await prove(people, "ann")).groups == ("staff",)


async def test_user_principal_names(samba: Samba, tmp_path: Path) -> None:
    more = {
        "Filter": "(&(objectClass=user)(userPrincipalName={username}))",
        "Username": "userPrincipalName",
    }
    async with directory_of(samba, tmp_path, **more) as people:
        person = await prove(people, "ann@corp.example.com")
        assert person.username == "ann@corp.example.com"


async def test_more_groups_than_a_page_has(samba: Samba, tmp_path: Path) -> None:
    async with directory_of(samba, tmp_path) as people:
        assert list((await prove(people, "crowded")).groups) == CROWD


STATES = {
    "closed": AccountState.DISABLED,
    "expired": AccountState.EXPIRED,
    "due": AccountState.PASSWORD_MUST_CHANGE,
}


@pytest.mark.parametrize("name", STATES)
async def test_the_controller_says_why(samba: Samba, tmp_path: Path, name: str) -> None:
    async with directory_of(samba, tmp_path) as people:
        with pytest.raises(PersonRefusedError) as refused:
            await prove(people, name)
        assert refused.value.state is STATES[name]


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("bob", "wrong"),
        ("bob", ""),
        ("nobody", PASSWORD),
        ("*", PASSWORD),
        ("bob)(sAMAccountName=ann", PASSWORD),
        ("CORP\\bob", PASSWORD),
    ],
)
async def test_what_is_wrong_is_refused(
    samba: Samba, tmp_path: Path, name: str, password: str
) -> None:
    async with directory_of(samba, tmp_path) as people:
        with pytest.raises(PersonRefusedError) as refused:
            await prove(people, name, password)
        assert refused.value.state is AccountState.WRONG


async def test_who_leaves_is_over_and_who_is_locked_is_not(
    samba: Samba, tmp_path: Path
) -> None:
    async with directory_of(samba, tmp_path) as people:
        subjects = {
            name: (await prove(people, name)).subject
            for name in ("guessed", "leaves", "ann", "o'(neil)")
        }
        for _ in range(LOCKS_AFTER):
            with pytest.raises(PersonRefusedError):
                await prove(people, "guessed", "wrong")
        with pytest.raises(PersonRefusedError) as refused:
            await prove(people, "guessed")
        assert refused.value.state is AccountState.LOCKED
        samba.delete(f"CN=leaves,{USERS}")
        over = await people.find_over(list(subjects.values()), datetime.now(UTC))
        why = "no longer in the directory, or not what its Filter looks for"
        assert over == {subjects["leaves"]: why}
        guessed = await people.get_current(subjects["guessed"], datetime.now(UTC))
        assert guessed.username == "guessed"
