"""People of a real slapd: found, proved, refused; and what a hostile name can do."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sansldap import LDAPResultCode

from broker.model.secret import Secret
from broker.proofs.ldap.connection import BindAnswer, LdapUnavailableError
from broker.proofs.ldap.people import (
    NAME_MAX,
    PASSWORD_MAX,
    LdapPeople,
    PersonRefusedError,
)
from broker.proofs.ldap.servers import LdapServers
from broker.protocols.ldap.accounts import AccountState
from tests.support.directory_world import describe, people_of, prove
from tests.support.rows import of_file
from tests.support.slapd import (
    GROUPS,
    PASSWORD,
    PEOPLE,
    Slapd,
    dn_of,
    group,
    person,
    start_slapd,
)

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "::1"])

TODAY = (datetime.now(UTC) - datetime.fromtimestamp(0, UTC)).days
CROWD = [f"crowd{number:03d}" for number in range(250)]
OTHERS = f"ou=others,{PEOPLE}"


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with start_slapd(
        person("ann"),
        person("bob"),
        person("cid", shadowExpire=str(TODAY - 1)),
        person("dee", shadowExpire=str(TODAY + 30)),
        person("eve"),
        person("fay"),
        person("gus"),
        person("hal"),
        person("joe", employeeNumber="7"),
        person("jan", employeeNumber="7"),
        *(person(f"five{number}", employeeNumber="5") for number in range(5)),
        *(person(f"guess{number}") for number in range(4)),
        person("max", description="d" * 5000),
        f"{group('bounded', dn_of('max'))}\ndescription: {'g' * 1024}",
        f"{group('endless', dn_of('max'))}\ndescription: {'g' * 1025}",
        person("twin"),
        f"dn: {OTHERS}\nobjectClass: organizationalUnit\nou: others",
        person("twin", below=OTHERS),
        person("ü,+\\22#", mail="strange@example.com"),
        person("star", cn="*"),
        "\n".join(
            [
                f"dn: uid=away,{PEOPLE}",
                "objectClass: referral",
                "objectClass: extensibleObject",
                "uid: away",
                f"ref: ldap://127.0.0.1:1/uid=away,{PEOPLE}",
            ]
        ),
        group("staff", dn_of("ann"), dn_of("bob")),
        group("admins", dn_of("bob")),
        group("all", f"cn=staff,{GROUPS}"),
        group("world", f"cn=all,{GROUPS}"),
        group("circle", f"cn=world,{GROUPS}", f"cn=circle,{GROUPS}", dn_of("gus")),
        group("strange", dn_of("ü,+\\22#")),
        group("level0", dn_of("hal")),
        *(group(f"level{n + 1}", f"cn=level{n},{GROUPS}") for n in range(10)),
        *(group(name, dn_of("fay")) for name in CROWD),
    ) as server:
        server.modify(dn_of("eve"), "add: pwdReset", "pwdReset: TRUE")
        yield server


def directory_of(
    slapd: Slapd, folder: Path, **more: Any
) -> AbstractAsyncContextManager[LdapPeople, None]:
    return people_of(describe(slapd, folder, **more), folder)


TRANSPORTS: dict[str, dict[str, Any]] = {
    "LDAPS": {},
    "StartTLS": {"Servers": "ldap", "StartTLS": True},
    "plain on this computer": {"Servers": "ldap", "AllowPlaintext": True},
}


@pytest.mark.parametrize("name", TRANSPORTS)
async def test_a_person_is_found_and_proved(
    slapd: Slapd, tmp_path: Path, name: str
) -> None:
    more = dict(TRANSPORTS[name])
    if more.get("Servers"):
        more["Servers"] = [f"ldap://127.0.0.1:{slapd.port}"]
    tags = {"mail": "Email", "telephoneNumber": "Phone"}
    async with directory_of(slapd, tmp_path, Tags=tags, **more) as people:
        stored_person = await prove(people, "ANN")
        assert stored_person.username == "ann"
        assert stored_person.dn == dn_of("ann")
        assert stored_person.groups == ("all", "circle", "staff", "world")
        assert stored_person.attributes == {"Email": "ann@example.com"}
        again = await people.get_current(stored_person.subject, datetime.now(UTC))
        assert again == stored_person


async def test_a_server_that_is_busy_says_nothing_of_the_password(
    slapd: Slapd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(_self: LdapServers, _dn: str, _password: Secret) -> BindAnswer:
        return BindAnswer(LDAPResultCode.BUSY, "later", ())

    monkeypatch.setattr(LdapServers, "try_password", busy)
    async with directory_of(slapd, tmp_path) as people:
        with pytest.raises(LdapUnavailableError, match="later"):
            await prove(people, "ann")


INJECTIONS = (
    *("*", "a*", "ann)(uid=*", "ann)(|(uid=*))", "*)(objectClass=*", "(", ")", "\\"),
    *("ann\\", "\\61nn", "ann)(&)", "ann\\29(uid=bob", "uid=ann", "ann,ou=people"),
    *("ann\x00", "ann\n", "", " ", "x" * (NAME_MAX + 1), "ann;bob"),
    *("cn=broker,dc=example,dc=com", dn_of("ann"), "nobody", "twin", "away"),
    # Two people's addresses at once, and names of operators in filters.
    *("ann)(mail=bob@example.com", "!(uid=x)", "&", "|", "uid:dn:=ann", "ann*"),
)


@pytest.mark.parametrize("username", INJECTIONS)
async def test_a_name_is_only_ever_a_value(
    slapd: Slapd, tmp_path: Path, username: str
) -> None:
    async with directory_of(slapd, tmp_path) as people:
        with pytest.raises(PersonRefusedError) as refused:
            await prove(people, username)
        assert refused.value.state is AccountState.WRONG


async def test_strange_names_are_people_all_the_same(
    slapd: Slapd, tmp_path: Path
) -> None:
    async with directory_of(slapd, tmp_path) as people:
        stored_person = await prove(people, "ü,+\\22#")
        assert stored_person.groups == ("strange",)


PASSWORDS = (
    *("", "\0", PASSWORD.lower(), f"{PASSWORD}\0", f"{PASSWORD} ", PASSWORD[:-1]),
    *("*", "{SSHA}", "x" * (PASSWORD_MAX + 1), PASSWORD + "x" * 400),
)


@pytest.mark.parametrize("number", range(len(PASSWORDS)))
async def test_only_the_password_proves(
    slapd: Slapd, tmp_path: Path, number: int
) -> None:
    """An empty one would be an unauthenticated bind, which succeeds."""
    async with directory_of(slapd, tmp_path) as people:
        with pytest.raises(PersonRefusedError) as refused:
            await prove(people, f"guess{number % 4}", PASSWORDS[number])
        assert refused.value.state is AccountState.WRONG


STATES: dict[str, tuple[str, str, AccountState]] = {
    "expired": ("cid", PASSWORD, AccountState.EXPIRED),
    "must change": ("eve", PASSWORD, AccountState.PASSWORD_MUST_CHANGE),
    "expires later": ("dee", PASSWORD, AccountState.GOOD),
}


@pytest.mark.parametrize("case", STATES)
async def test_the_accounts_state_decides(
    slapd: Slapd, tmp_path: Path, case: str
) -> None:
    username, password, state = STATES[case]
    async with directory_of(slapd, tmp_path) as people:
        if state is AccountState.GOOD:
            assert (await prove(people, username, password)).username == username
            return
        with pytest.raises(PersonRefusedError) as refused:
            await prove(people, username, password)
        assert refused.value.state is state


@pytest.mark.parametrize("username", ["ann", "Ann", "\uff41\uff4e\uff4e"])
async def test_names_that_the_directory_takes_for_one_are_one_person(
    slapd: Slapd, tmp_path: Path, username: str
) -> None:
    """Limits are counted by subject, so spelling a name in other ways gains nothing."""
    async with directory_of(slapd, tmp_path) as people:
        stored_person = await prove(people, username)
        assert (stored_person.username, stored_person.dn) == ("ann", dn_of("ann"))


UNFIT = of_file(__file__, "UNFIT", globals())


@pytest.mark.parametrize("case", UNFIT)
async def test_an_entry_that_does_not_fit_is_nobodys(
    slapd: Slapd, tmp_path: Path, case: str
) -> None:
    username, more, error, words = UNFIT[case]
    async with directory_of(slapd, tmp_path, **more) as people:
        with pytest.raises(error, match=words):
            await prove(people, username)


async def test_what_a_directory_says_of_a_person_is_bounded(
    slapd: Slapd, tmp_path: Path
) -> None:
    """What is kept of it fits into a session; a value of 257 characters is no tag's."""
    more: dict[str, Any] = {"GroupName": "description", "Tags": {"description": "Note"}}
    async with directory_of(slapd, tmp_path, **more) as people:
        stored_person = await prove(people, "max")
    assert stored_person.groups == ("g" * 1024,)
    assert stored_person.attributes == {"Note": "d" * 257}


async def test_one_persons_groups_do_not_block_other_people(
    slapd: Slapd, tmp_path: Path
) -> None:
    """The servers answered: they are not avoided, and nobody else is refused."""
    async with directory_of(slapd, tmp_path) as people:
        with pytest.raises(LdapUnavailableError):
            await prove(people, "hal")
        with pytest.raises(PersonRefusedError):
            await prove(people, "joe", "wrong")


async def test_nobody_is_over_whose_entry_may_have_been_cut_off(
    slapd: Slapd, tmp_path: Path
) -> None:
    """Two entries of one subject leave no room for the other person's.

    Nor do they keep anybody who left from being noticed.
    """
    async with directory_of(slapd, tmp_path, Subject="employeeNumber") as people:
        now = datetime.now(UTC)
        assert await people.find_over(["7"], now) == {}
        for asked in (["5", "8", "9"], ["8", "5", "9"], ["8", "9", "5"]):
            assert sorted(await people.find_over(asked, now)) == ["8", "9"]
