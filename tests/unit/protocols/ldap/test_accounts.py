"""What binds and entries say of accounts, as servers put it."""

from datetime import UTC, datetime, timedelta

import pytest

from broker.protocols.ldap.accounts import (
    PASSWORD_POLICY,
    AccountState,
    Entry,
    is_refusal,
    state_of_bind,
    state_of_entry,
)

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
BINDS = {
    "success": (0, "", (), AccountState.GOOD),
    "AD, no such user": (49, AD.format("525"), (), AccountState.WRONG),
    "AD, wrong password": (49, AD.format("52e"), (), AccountState.WRONG),
    "AD, hours": (49, AD.format("530"), (), AccountState.HOURS),
    "AD, workstation": (49, AD.format("531"), (), AccountState.PLACE),
    "AD, password expired": (49, AD.format("532"), (), AccountState.PASSWORD_EXPIRED),
    "AD, disabled": (49, AD.format("533"), (), AccountState.DISABLED),
    "AD, expired": (49, AD.format("701"), (), AccountState.EXPIRED),
    "AD, must change": (49, AD.format("773"), (), AccountState.PASSWORD_MUST_CHANGE),
    "AD, locked": (49, AD.format("775"), (), AccountState.LOCKED),
    "AD, a code of tomorrow": (49, AD.format("9999"), (), AccountState.WRONG),
    "Samba, disabled": (49, SAMBA.format("533"), (), AccountState.DISABLED),
    "slapd": (49, "", (), AccountState.WRONG),
    "ppolicy, expired": (
        49,
        "",
        ((PASSWORD_POLICY, bytes.fromhex("3003810100")),),
        AccountState.PASSWORD_EXPIRED,
    ),
    "ppolicy, locked": (
        49,
        "",
        ((PASSWORD_POLICY, bytes.fromhex("3003810101")),),
        AccountState.LOCKED,
    ),
    "ppolicy, must change though bound": (
        0,
        "",
        ((PASSWORD_POLICY, bytes.fromhex("3003810102")),),
        AccountState.PASSWORD_MUST_CHANGE,
    ),
    "ppolicy, expired with grace": (
        0,
        "",
        ((PASSWORD_POLICY, bytes.fromhex("3008a003810105810100")),),
        AccountState.GOOD,
    ),
    "ppolicy, a warning only": (
        0,
        "",
        ((PASSWORD_POLICY, bytes.fromhex("3005a003800164")),),
        AccountState.GOOD,
    ),
    "ppolicy, nothing": (
        49,
        "",
        ((PASSWORD_POLICY, bytes.fromhex("3000")),),
        AccountState.WRONG,
    ),
    "ppolicy, cut off": (
        49,
        "",
        ((PASSWORD_POLICY, bytes.fromhex("300581")),),
        AccountState.WRONG,
    ),
    "ppolicy, empty": (49, "", ((PASSWORD_POLICY, b""),), AccountState.WRONG),
    "389, expired": (
        49,
        "password expired!",
        ((EXPIRED, b"0"),),
        AccountState.PASSWORD_EXPIRED,
    ),
    "389, inactivated": (
        53,
        "Account inactivated. Contact system administrator.",
        ((PASSWORD_POLICY, bytes.fromhex("3003810101")),),
        AccountState.DISABLED,
    ),
    "389, too many attempts": (
        19,
        "Exceed password retry limit. Please try later.",
        (),
        AccountState.LOCKED,
    ),
    "no password": (48, "", (), AccountState.WRONG),
    "unwilling": (
        53,
        "unauthenticated bind (DN with no password)",
        (),
        AccountState.WRONG,
    ),
}


@pytest.mark.parametrize("case", BINDS)
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

ENTRIES = {
    "nothing said": ({}, AccountState.GOOD),
    "AD, normal": ({"userAccountControl": "512"}, AccountState.GOOD),
    "AD, disabled": ({"userAccountControl": "514"}, AccountState.DISABLED),
    "AD, in other case": ({"USERACCOUNTCONTROL": "66050"}, AccountState.DISABLED),
    "AD, never expires": ({"accountExpires": "0"}, AccountState.GOOD),
    "AD, never expires either": (
        {"accountExpires": "9223372036854775807"},
        AccountState.GOOD,
    ),
    "AD, expired": ({"accountExpires": _filetime(JUST)}, AccountState.EXPIRED),
    "AD, expires now": ({"accountExpires": _filetime(NOW)}, AccountState.EXPIRED),
    "AD, expires soon": ({"accountExpires": _filetime(SOON)}, AccountState.GOOD),
    "AD, locked": ({"lockoutTime": _filetime(JUST)}, AccountState.LOCKED),
    "AD, unlocked": ({"lockoutTime": "0"}, AccountState.GOOD),
    "AD, its lock is over": (
        {"lockoutTime": "1", "msDS-User-Account-Control-Computed": "0"},
        AccountState.GOOD,
    ),
    "AD, computed": ({"msDS-User-Account-Control-Computed": "16"}, AccountState.LOCKED),
    "slapd, locked": ({"pwdAccountLockedTime": "20261127110000Z"}, AccountState.LOCKED),
    "slapd, locked by an administrator": (
        {"pwdAccountLockedTime": "000001010000Z"},
        AccountState.DISABLED,
    ),
    "slapd, ended": ({"pwdEndTime": "20261127115959Z"}, AccountState.EXPIRED),
    "slapd, ends": ({"pwdEndTime": "20261127120001.5Z"}, AccountState.GOOD),
    "slapd, ends, unreadable": ({"pwdEndTime": "20269927120001Z"}, AccountState.GOOD),
    "shadow, expired": ({"shadowExpire": str(DAY)}, AccountState.EXPIRED),
    "shadow, tomorrow": ({"shadowExpire": str(DAY + 1)}, AccountState.GOOD),
    "shadow, beyond all years": ({"shadowExpire": "9999999"}, AccountState.GOOD),
    "shadow, beyond a number": ({"shadowExpire": "9" * 20}, AccountState.GOOD),
    "shadow, beyond Python": ({"shadowExpire": "1" * 5000}, AccountState.GOOD),
    "shadow, never": ({"shadowExpire": "-1"}, AccountState.GOOD),
    "shadow, no number": ({"shadowExpire": "x" * 30}, AccountState.GOOD),
    "shadow, a word": ({"shadowExpire": "soon"}, AccountState.GOOD),
    "389, inactive": ({"nsAccountLock": "TRUE"}, AccountState.DISABLED),
    "389, active": ({"nsAccountLock": "false"}, AccountState.GOOD),
    "389, locked": ({"accountUnlockTime": "20261127130000Z"}, AccountState.LOCKED),
    "389, for good": ({"accountUnlockTime": "19700101000000Z"}, AccountState.LOCKED),
    "389, over": ({"accountUnlockTime": "20261127110000Z"}, AccountState.GOOD),
    "disabled before locked": (
        {"userAccountControl": "2", "lockoutTime": "1"},
        AccountState.DISABLED,
    ),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_an_entry_tells_the_state(case: str) -> None:
    values, state = ENTRIES[case]
    entry = Entry.of(
        "uid=x", [(name, [text.encode()]) for name, text in values.items()]
    )
    assert state_of_entry(entry, NOW) is state


def test_who_left_is_told_from_who_has_to_change_a_password() -> None:
    over = {state for state in AccountState if state.is_over}
    assert over == {AccountState.DISABLED, AccountState.EXPIRED}
