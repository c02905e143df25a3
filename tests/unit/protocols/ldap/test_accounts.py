"""What binds and entries say of accounts, as servers put it."""

from datetime import UTC, datetime, timedelta

import pytest

from broker.protocols.ldap.accounts import (
    AccountState,
    Entry,
    is_refusal,
    state_of_bind,
    state_of_entry,
)
from tests.support.rows import of_file, rows

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
AD = (
    "80090308: LdapErr: DSID-0C09056B, comment: AcceptSecurityContext error, data {},"
    " v4f7c"
)
SAMBA = (
    "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {}"
)
EXPIRED = "2.16.840.1.113730.3.4.4"

# Answers of a bind: the code, the text, the controls.
BINDS = of_file(__file__, "BINDS", globals())


@rows("case", BINDS)
def test_a_bind_tells_the_state(case: str) -> None:
    code, text, controls, state = BINDS[case]
    assert state_of_bind(code, text, controls) is state
    assert is_refusal(code) or code == 0


@pytest.mark.parametrize("code", [1, 2, 8, 10, 11, 13, 51, 52, 80])
def test_what_is_the_servers_fault_is_no_refusal(code: int) -> None:
    assert not is_refusal(code)


def _filetime(at: datetime) -> str:
    return str(
        (at - datetime(1601, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 10
    )


SOON, JUST = NOW + timedelta(seconds=1), NOW - timedelta(seconds=1)
DAY = (NOW - datetime.fromtimestamp(0, UTC)).days

ENTRIES = of_file(__file__, "ENTRIES", globals())


@rows("case", ENTRIES)
def test_an_entry_tells_the_state(case: str) -> None:
    values, state = ENTRIES[case]
    entry = Entry.of(
        "uid=x", [(name, [text.encode()]) for name, text in values.items()]
    )
    assert state_of_entry(entry, NOW) is state


def test_who_left_is_told_from_who_has_to_change_a_password() -> None:
    over = {state for state in AccountState if state.is_over}
    assert over == {AccountState.DISABLED, AccountState.EXPIRED}
