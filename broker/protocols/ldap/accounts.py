"""The state of an account: what a refused bind says, and what an entry says.

Source: [MS-ADTS] 2.2.16 (userAccountControl), 3.1.1.4.5.17; Microsoft, "Common Active
Directory bind errors"; draft-behera-ldap-password-policy-10, 5.3.14 and 6.2; the
documentation of 389 Directory Server, "nsAccountLock".
"""

import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sansldap import LDAPResultCode
from sansldap.asn1 import ASN1Reader, ASN1Tag, NotEnougData, TagClass

from broker.model.secret import Confidential, Hidden

_BINARY_ID = "objectguid"
_ID_BYTES = 16


PASSWORD_POLICY = "1.3.6.1.4.1.42.2.27.8.5.1"  # noqa: S105  # a control's name
"""The control of draft-behera-ldap-password-policy, in requests and in answers."""

_EXPIRED_CONTROL = "2.16.840.1.113730.3.4.4"

STATE_ATTRIBUTES = (
    "userAccountControl",
    "accountExpires",
    "lockoutTime",
    "msDS-User-Account-Control-Computed",
    "pwdAccountLockedTime",
    "pwdEndTime",
    "nsAccountLock",
    "accountUnlockTime",
    "shadowExpire",
)
"""What an entry's state is read from; a server sends those that it has."""

_SUB_CODE = re.compile(r"\bdata ([0-9a-f]{1,4})\b")
_SUCCESS = LDAPResultCode.SUCCESS
_UNWILLING = LDAPResultCode.UNWILLING_TO_PERFORM
_REFUSALS = frozenset(
    {
        LDAPResultCode.CONSTRAINT_VIOLATION,
        LDAPResultCode.NO_SUCH_OBJECT,
        # Said of accounts that have no password.
        LDAPResultCode.INAPPROPRIATE_AUTHENTICATION,
        LDAPResultCode.INVALID_CREDENTIALS,
        LDAPResultCode.INSUFFICIENT_ACCESS_RIGHTS,
        _UNWILLING,
    }
)
_ACCOUNT_DISABLED = 0x2
_LOCKED_OUT = 0x10
_NEVER = frozenset({0, 0x7FFFFFFFFFFFFFFF})
_WINDOWS_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_LOCKED_BY_ADMINISTRATOR = "000001010000Z"
"""Source: draft-behera-ldap-password-policy-10, 5.3.3."""

_GENERALIZED_TIME = re.compile(r"([0-9]{14})(?:[.,][0-9]+)?Z")


class Entry(Confidential, frozen=True):
    """A name, and values by attribute; attributes are found without regard to case."""

    dn: str
    values: Hidden[Mapping[str, tuple[bytes, ...]]]

    @classmethod
    def of(cls, dn: str, attributes: Iterable[tuple[str, Iterable[bytes]]]) -> "Entry":
        """From what the server sent; options such as ``;binary`` are left out."""
        values: dict[str, tuple[bytes, ...]] = {}
        for name, match in attributes:
            key = name.partition(";")[0].lower()
            values[key] = (*values.get(key, ()), *match)
        return cls(dn, values)

    def texts(self, attribute: str) -> tuple[str, ...]:
        """The values that are UTF-8."""
        results = []
        for raw in self.values.get(attribute.lower(), ()):
            try:
                results.append(raw.decode())
            except UnicodeDecodeError:
                continue
        return tuple(results)

    def text(self, attribute: str) -> str:
        """The first of them; empty when there is none."""
        return next(iter(self.texts(attribute)), "")


def read_subject(entry: Entry, attribute: str) -> str:
    """What identifies the entry permanently; empty when it is absent.

    ``objectGUID`` is binary, its first three fields little-endian ([MS-DTYP] 2.3.4.2).
    """
    raw = next(iter(entry.values.get(attribute.lower(), ())), b"")
    if attribute.lower() == _BINARY_ID:
        return str(uuid.UUID(bytes_le=raw)) if len(raw) == _ID_BYTES else ""
    return entry.text(attribute).lower()


def subject_value(subject: str, attribute: str) -> bytes:
    """The value to search for by a subject.

    Raises:
        ValueError: the subject is not one of this attribute.
    """
    if attribute.lower() == _BINARY_ID:
        return uuid.UUID(subject).bytes_le
    return subject.encode()


class AccountState(StrEnum):
    """Whether a person may sign in, and if not, why."""

    GOOD = "good"
    WRONG = "wrong name or password"
    DISABLED = "account disabled"
    EXPIRED = "account expired"
    LOCKED = "account locked"
    PASSWORD_EXPIRED = "password expired"  # noqa: S105  # no secret
    PASSWORD_MUST_CHANGE = "password must be changed first"  # noqa: S105  # no secret
    HOURS = "not permitted at this time"
    PLACE = "not permitted from this place"

    @property
    def is_over(self) -> bool:
        """Whether what the person opened before must end, too.

        A lock is not: wrong passwords cause it, and anyone can type those.
        """
        return self in _OVER


_OVER = frozenset({AccountState.DISABLED, AccountState.EXPIRED})


_SUB_CODES = {
    "525": AccountState.WRONG,
    "52e": AccountState.WRONG,
    "530": AccountState.HOURS,
    "531": AccountState.PLACE,
    "532": AccountState.PASSWORD_EXPIRED,
    "533": AccountState.DISABLED,
    "701": AccountState.EXPIRED,
    "773": AccountState.PASSWORD_MUST_CHANGE,
    "775": AccountState.LOCKED,
}
_POLICY_ERRORS = {
    0: AccountState.PASSWORD_EXPIRED,
    1: AccountState.LOCKED,
    2: AccountState.PASSWORD_MUST_CHANGE,
}


def is_refusal(code: int) -> bool:
    """Whether a bind's result code is about the person, not about the server."""
    return code in _REFUSALS


def state_of_bind(
    code: int, diagnostic: str, controls: Iterable[tuple[str, bytes]]
) -> AccountState:
    """What the answer to a person's bind says."""
    said = _said_by_controls(controls)
    if code == _SUCCESS:
        # An expired password with grace left was accepted all the same.
        must_change = AccountState.PASSWORD_MUST_CHANGE
        return must_change if said is must_change else AccountState.GOOD
    text = diagnostic.lower()
    if code == _UNWILLING and "inactivated" in text:
        # 389 says so with the control of a locked account.
        return AccountState.DISABLED
    if said is not None:
        return said
    match = _SUB_CODE.search(text)
    if match is not None:
        return _SUB_CODES.get(match[1], AccountState.WRONG)
    if "retry limit" in text:
        return AccountState.LOCKED
    return AccountState.WRONG


def _said_by_controls(controls: Iterable[tuple[str, bytes]]) -> AccountState | None:
    for name, value in controls:
        if name == _EXPIRED_CONTROL:
            return AccountState.PASSWORD_EXPIRED
        if name == PASSWORD_POLICY:
            return _POLICY_ERRORS.get(_policy_error(value))
    return None


def _policy_error(value: bytes) -> int:
    """The error in a password policy response; -1 when there is none."""
    try:
        reader = ASN1Reader(value).read_sequence()
        while reader:
            header = reader.peek_header()
            if header.tag.tag_number == 1:
                raw = reader.read_octet_string(
                    tag=ASN1Tag(TagClass.CONTEXT_SPECIFIC, 1, is_constructed=False)
                )
                return int.from_bytes(raw, "big")
            reader.skip_value(header)
    except (ValueError, NotEnougData):
        return -1  # malformed: the bind's own result code decides
    return -1


def state_of_entry(entry: Entry, now: datetime) -> AccountState:
    """What an entry says of its account, passwords aside."""
    control = _number(entry, "userAccountControl")
    if control is not None and control & _ACCOUNT_DISABLED:
        return AccountState.DISABLED
    if entry.text("nsAccountLock").lower() == "true":
        return AccountState.DISABLED
    if entry.text("pwdAccountLockedTime") == _LOCKED_BY_ADMINISTRATOR:
        return AccountState.DISABLED
    if _has_expired(entry, now):
        return AccountState.EXPIRED
    if _is_locked(entry, now):
        return AccountState.LOCKED
    return AccountState.GOOD


def _has_expired(entry: Entry, now: datetime) -> bool:
    expires = _number(entry, "accountExpires")
    if expires is not None and expires not in _NEVER:
        # In steps of 100 nanoseconds.
        since_epoch = (now - _WINDOWS_EPOCH) // timedelta(microseconds=1)
        return expires <= since_epoch * 10
    days = _number(entry, "shadowExpire")
    if days is not None and days >= 0:
        return (now - _UNIX_EPOCH).days >= days
    ends = _time(entry, "pwdEndTime")
    return ends is not None and ends <= now


def _is_locked(entry: Entry, now: datetime) -> bool:
    computed = _number(entry, "msDS-User-Account-Control-Computed")
    if computed is not None:
        return bool(computed & _LOCKED_OUT)
    if _number(entry, "lockoutTime"):
        return True
    if entry.text("pwdAccountLockedTime"):
        return True
    until = _time(entry, "accountUnlockTime")
    # The year 1970 stands for an administrator who has to unlock it.
    return until is not None and (until > now or until.timestamp() == 0)


def _number(entry: Entry, attribute: str) -> int | None:
    try:
        return int(entry.text(attribute))
    except ValueError:
        return None


def _time(entry: Entry, attribute: str) -> datetime | None:
    match = _GENERALIZED_TIME.fullmatch(entry.text(attribute))
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
