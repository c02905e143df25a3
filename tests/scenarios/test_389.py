"""A real 389 Directory Server. Only `make long` runs it."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from broker.proofs.ldap.people import LdapPeople, PersonRefusedError
from broker.protocols.ldap.accounts import AccountState
from tests.support.directory_world import people_of, prove
from tests.support.ds389 import Ds389, start_ds389
from tests.support.programs import program
from tests.support.slapd import (
    GROUPS,
    PASSWORD,
    PEOPLE,
    SERVICE,
    SERVICE_PASSWORD,
    dn_of,
    group,
    person,
)

pytestmark = [
    pytest.mark.long,
    program("389 Directory Server", "389-ds-base"),
    pytest.mark.allow_hosts(["127.0.0.1", "::1"]),
    pytest.mark.timeout(600),
]

CROWD = [f"crowd{number:04d}" for number in range(250)]


def entry(name: str) -> str:
    """A person; 389 has no shadow accounts in its core."""
    return person(name).replace("objectClass: shadowAccount\n", "")


def unique(name: str, *members: str) -> str:
    lines = [f"dn: cn={name},{GROUPS}", "objectClass: groupOfUniqueNames"]
    return "\n".join([*lines, f"cn: {name}", *(f"uniqueMember: {m}" for m in members)])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ds389]:
    names = ("ann", "bob", "crowded", "closed", "guessed", "leaves")
    with start_ds389(
        tmp_path_factory.mktemp("ds389"),
        *map(entry, names),
        group("staff", dn_of("ann")),
        unique("all", f"cn=staff,{GROUPS}", dn_of("bob")),
        *(group(name, dn_of("crowded")) for name in CROWD),
    ) as running:
        running.modify(
            "cn=config",
            "replace: passwordLockout",
            "passwordLockout: on",
            "-",
            "replace: passwordMaxFailure",
            "passwordMaxFailure: 3",
        )
        running.modify(dn_of("closed"), "add: nsAccountLock", "nsAccountLock: true")
        yield running


def directory_of(
    server: Ds389, folder: Path, **more: Any
) -> AbstractAsyncContextManager[LdapPeople, None]:
    (folder / "password").write_text(SERVICE_PASSWORD)
    params = {
        "Kind": "389",
        "Servers": [f"ldap://127.0.0.1:{server.port}"],
        "AllowPlaintext": True,
        "BindDN": SERVICE,
        "BindPasswordFile": "password",
        "Base": PEOPLE,
        "GroupBase": GROUPS,
        "NestedGroups": True,
        "TimeoutSeconds": 20,
        **more,
    }
    return people_of(params, folder)


async def test_a_person_with_groups_of_both_kinds(
    server: Ds389, tmp_path: Path
) -> None:
    async with directory_of(server, tmp_path) as people:
        stored_person = await prove(people, "Ann")
        assert (stored_person.username, stored_person.groups) == (
            "ann",
            ("all", "staff"),
        )
        assert (await prove(people, "bob")).groups == ("all",)
        assert list((await prove(people, "crowded")).groups) == CROWD
        again = await people.get_current(stored_person.subject, datetime.now(UTC))
        assert again == stored_person


@pytest.mark.parametrize(
    ("name", "password", "state"),
    [
        ("bob", "wrong", AccountState.WRONG),
        ("bob", "", AccountState.WRONG),
        ("nobody", PASSWORD, AccountState.WRONG),
        ("*", PASSWORD, AccountState.WRONG),
        ("bob)(uid=*", PASSWORD, AccountState.WRONG),
        ("closed", PASSWORD, AccountState.DISABLED),
    ],
)
async def test_what_is_wrong_is_refused(
    server: Ds389, tmp_path: Path, name: str, password: str, state: AccountState
) -> None:
    async with directory_of(server, tmp_path) as people:
        with pytest.raises(PersonRefusedError) as refused:
            await prove(people, name, password)
        assert refused.value.state is state


async def test_who_leaves_is_over_and_who_is_locked_is_not(
    server: Ds389, tmp_path: Path
) -> None:
    async with directory_of(server, tmp_path) as people:
        subjects = {
            name: (await prove(people, name)).subject
            for name in ("guessed", "leaves", "ann")
        }
        for _ in range(3):
            with pytest.raises(PersonRefusedError):
                await prove(people, "guessed", "wrong")
        with pytest.raises(PersonRefusedError) as refused:
            await prove(people, "guessed")
        assert refused.value.state is AccountState.LOCKED
        server.modify(dn_of("leaves"), "add: nsAccountLock", "nsAccountLock: true")
        over = await people.find_over(list(subjects.values()), datetime.now(UTC))
        assert over == {subjects["leaves"]: "account disabled"}
        guessed = await people.get_current(subjects["guessed"], datetime.now(UTC))
        assert guessed.username == "guessed"
