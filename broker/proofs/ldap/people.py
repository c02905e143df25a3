"""People in a directory: found by name or subject, authenticated by password.

Search, then bind: the name that a person types is only ever a value in a filter, and
the bind takes the entry's own name.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from datetime import datetime
from functools import partial

import structlog
from msgspec import Struct

from broker.model.secret import Secret
from broker.proofs.ldap.connection import (
    LdapConnection,
    LdapUnavailableError,
    UnusableEntriesError,
)
from broker.proofs.ldap.directories import LdapDirectory, LdapServer
from broker.proofs.ldap.servers import LdapServers
from broker.protocols.ldap.accounts import (
    STATE_ATTRIBUTES,
    AccountState,
    Entry,
    is_refusal,
    read_subject,
    state_of_bind,
    state_of_entry,
    subject_value,
)
from broker.protocols.ldap.filters import all_of, any_of, equals, fill_filter, match_any

NAME_MAX = 256
"""Of a person, typed or in the directory, and of a subject."""

_GROUP_MAX = 1024
"""Of a group's name, which may be a whole DN; groups with longer ones count for nothing."""

PASSWORD_MAX = 512
GROUPS_MAX = 1000
_LEVELS_MAX = 10
"""Groups in groups, where the broker follows them."""

_BATCH = 50
_DN = "dn"
_GONE = "no longer in the directory, or not what its Filter looks for"
_log = structlog.get_logger(__name__)

Attempt = Callable[[str], AbstractAsyncContextManager[object]]


class Person(Struct, frozen=True, kw_only=True):
    """An entry that may sign in.

    ``subject`` identifies it for good; ``attributes`` has the values for session tags.
    """

    subject: str
    dn: str
    username: str
    session_name: str
    groups: tuple[str, ...]
    attributes: Mapping[str, str]


class PersonRefusedError(Exception):
    """The person may not sign in; ``state`` is for operators only.

    ``is_gone`` says that the entry is no longer there, or that the filter for people no
    longer finds it.
    """

    def __init__(
        self, state: AccountState, message: str, *, is_gone: bool = False
    ) -> None:
        super().__init__(f"{state.value}: {message}")
        self.state = state
        self.is_gone = is_gone

    @property
    def is_over(self) -> bool:
        """Whether what the person opened before must end, too."""
        return self.is_gone or self.state.is_over


class LdapPeople:
    """The people of one directory."""

    def __init__(self, name: str, directory: LdapDirectory) -> None:
        self._directory = directory
        self._servers = LdapServers(name, directory)
        self._anyone = match_any(directory.filter)

    @property
    def wrong_passwords_max(self) -> int:
        """How often one person's password may be wrong in a quarter of an hour."""
        return self._directory.wrong_passwords_max

    async def authenticate(
        self,
        username: str,
        password: Secret,
        now: datetime,
        attempt: Attempt = nullcontext,
    ) -> Person:
        """The person of a name and a password.

        ``attempt`` is entered while the password is tried, with the person's subject;
        that is empty for a name that is nobody's.

        Raises:
            PersonRefusedError: one of them is wrong, or the account may not sign in.
            LdapUnavailableError: the directory could not be asked.
        """
        _require_plausible(username, password)
        entry = await self.find_entry(username)
        async with attempt(self.subject_of(entry) if entry is not None else ""):
            bound = await self.try_password(entry, password)
        # Read again, after the bind: it may have lifted a lock whose time was over.
        subject = self.subject_of(bound)
        return await self.get_current(subject, now, signs_in=True)

    async def try_password(self, entry: Entry | None, password: Secret) -> Entry:
        """The entry, once a bind as the person succeeded.

        Raises:
            PersonRefusedError: the directory refused.
            LdapUnavailableError: it could not be asked.
        """
        # A name that is nobody's costs a bind, too: it takes as long, and is answered
        # alike.
        dn = entry.dn if entry is not None else f"cn=no-one,{self._directory.base}"
        answer = await self._servers.try_password(dn, password)
        if not answer.succeeded and not is_refusal(answer.code):
            raise LdapUnavailableError(
                "bind", f"result {answer.code} {answer.diagnostic}".strip()
            )
        if entry is None:
            raise PersonRefusedError(AccountState.WRONG, "no entry has this name")
        state = state_of_bind(answer.code, answer.diagnostic, answer.controls)
        if state is not AccountState.GOOD or not answer.succeeded:
            raise PersonRefusedError(
                state, f"{entry.dn}: result {answer.code} {answer.diagnostic}".strip()
            )
        return entry

    async def find_entry(self, username: str) -> Entry | None:
        """The one entry of a name.

        Raises:
            PersonRefusedError: more than one has it.
            LdapUnavailableError: the directory could not be asked.
        """
        return await self._servers.work(
            lambda connection: self._find_by_name(connection, username)
        )

    async def get_current(
        self, subject: str, now: datetime, *, signs_in: bool = False
    ) -> Person:
        """The person of a subject as the directory has them now.

        A locked account keeps out who ``signs_in``, not who is in.

        Raises:
            PersonRefusedError: there is none any more, or the account is closed.
            LdapUnavailableError: the directory could not be asked.
        """
        return await self._servers.work(
            lambda connection: self._read(connection, subject, now, signs_in=signs_in)
        )

    async def find_over(
        self, subjects: Sequence[str], now: datetime
    ) -> Mapping[str, str]:
        """Those of the subjects whose sessions must end, with the reason.

        Raises:
            LdapUnavailableError: the directory could not be asked.
        """
        over: dict[str, str] = {}
        for start in range(0, len(subjects), _BATCH):
            some = subjects[start : start + _BATCH]
            over |= await self._servers.work(
                partial(self._find_over, subjects=some, now=now)
            )
        return over

    async def _find_over(
        self, connection: LdapConnection, *, subjects: Sequence[str], now: datetime
    ) -> Mapping[str, str]:
        attribute = self._directory.subject
        filters = []
        over = {}
        for subject in subjects:
            # Those that this search does not find are no longer there.
            over[subject] = _GONE
            with suppress(ValueError):
                filters.append(equals(attribute, subject_value(subject, attribute)))
        entries = (
            await connection.search(
                self._directory.base,
                all_of(any_of(filters), self._anyone),
                self._attributes,
                most=len(filters),
            )
            if filters
            else ()
        )
        if len(entries) > len(filters):
            # The rest was cut off, and who is in it has not left: ask about fewer, down
            # to the one of several entries, of whom nobody can tell.
            if len(subjects) == 1:
                _log.warning(
                    "more than one entry in a directory has the same subject",
                    attribute=attribute,
                    subject=subjects[0],
                )
                return {}
            half = len(subjects) // 2
            return {
                **await self._find_over(connection, subjects=subjects[:half], now=now),
                **await self._find_over(connection, subjects=subjects[half:], now=now),
            }
        for entry in entries:
            subject = read_subject(entry, attribute)
            state = state_of_entry(entry, now)
            if subject in over and not state.is_over:
                del over[subject]
            elif subject in over:
                over[subject] = state.value
        return over

    async def try_server(self, server: LdapServer) -> None:
        """Connect to one server, and bind as the service.

        Raises:
            LdapUnavailableError: that fails; its ``stage`` says how far it went.
        """
        await self._servers.try_server(server)

    @property
    def servers(self) -> tuple[LdapServer, ...]:
        """The directory's servers, as the file has them."""
        return self._directory.servers

    async def close(self) -> None:
        """Close the connections."""
        await self._servers.close()

    async def _find_by_name(
        self, connection: LdapConnection, username: str
    ) -> Entry | None:
        """The one entry of a name."""
        directory = self._directory
        entries = await connection.search(
            directory.base,
            fill_filter(directory.filter, {"username": username.encode()}),
            self._attributes,
            most=1,
        )
        if len(entries) > 1:
            raise PersonRefusedError(
                AccountState.WRONG, "more than one entry has this name"
            )
        return entries[0] if entries else None

    async def _get_entry(self, connection: LdapConnection, subject: str) -> Entry:
        attribute = self._directory.subject
        try:
            value = subject_value(subject, attribute)
        except ValueError:
            raise PersonRefusedError(
                AccountState.WRONG, f"{subject} is no {attribute}", is_gone=True
            ) from None
        entries = await connection.search(
            self._directory.base,
            all_of(equals(attribute, value), self._anyone),
            self._attributes,
            most=1,
        )
        if len(entries) != 1:
            raise PersonRefusedError(
                AccountState.WRONG,
                f"{len(entries) or 'no'} entries with {attribute} {subject} that"
                " Filter finds",
                is_gone=not entries,
            )
        return entries[0]

    async def _read(
        self, connection: LdapConnection, subject: str, now: datetime, *, signs_in: bool
    ) -> Person:
        directory = self._directory
        entry = await self._get_entry(connection, subject)
        state = state_of_entry(entry, now)
        if state.is_over or (signs_in and state is not AccountState.GOOD):
            raise PersonRefusedError(state, entry.dn)
        username = entry.text(directory.username)
        if not 0 < len(username) <= NAME_MAX:
            raise PersonRefusedError(
                AccountState.WRONG,
                f"{entry.dn} has no {directory.username}, or one of more than"
                f" {NAME_MAX} characters",
            )
        return Person(
            subject=subject,
            dn=entry.dn,
            username=username,
            session_name=entry.text(directory.session_name or directory.username),
            groups=await self._groups(connection, entry, username),
            attributes={
                # Any more could be no tag's value, which is found out later.
                tag: value[: NAME_MAX + 1]
                for name, tag in directory.tags.items()
                if (value := entry.text(name))
            },
        )

    def subject_of(self, entry: Entry) -> str:
        """What identifies the entry permanently.

        Raises:
            UnusableEntriesError: it has no such attribute, or none that can be used.
        """
        subject = read_subject(entry, self._directory.subject)
        if not subject:
            raise UnusableEntriesError(
                f"{entry.dn} has no {self._directory.subject}; may"
                f" {self._directory.bind_dn} read it?"
            )
        if len(subject) > NAME_MAX:
            raise UnusableEntriesError(
                f"{entry.dn} has a {self._directory.subject} of more than"
                f" {NAME_MAX} characters"
            )
        return subject

    async def _groups(
        self, connection: LdapConnection, person: Entry, username: str
    ) -> tuple[str, ...]:
        """The names of the person's groups, each once."""
        known: dict[str, str] = {}
        members = [person.dn]
        for _ in range(_LEVELS_MAX):
            new: list[str] = []
            for start in range(0, len(members), _BATCH):
                for group in await self._groups_with(
                    connection, members[start : start + _BATCH], username
                ):
                    if group.dn not in known:
                        known[group.dn] = self._name_of(group)
                        new.append(group.dn)
            if len(known) > GROUPS_MAX:
                raise UnusableEntriesError(
                    f"{person.dn} is in more than {GROUPS_MAX} groups"
                )
            if not new or not self._directory.follows_groups:
                return tuple(sorted({name for name in known.values() if name}))
            members = new
        raise UnusableEntriesError(
            f"the groups of {person.dn} nest more than {_LEVELS_MAX} deep"
        )

    async def _groups_with(
        self, connection: LdapConnection, members: list[str], username: str
    ) -> tuple[Entry, ...]:
        directory = self._directory
        name = directory.group_name
        return await connection.search(
            directory.groups_below,
            any_of(
                [
                    fill_filter(
                        directory.group_filter,
                        {"dn": dn.encode(), "username": username.encode()},
                    )
                    for dn in members
                ]
            ),
            ["1.1" if name == _DN else name],
            most=GROUPS_MAX,
            paged=True,
        )

    def _name_of(self, group: Entry) -> str:
        name = self._directory.group_name
        text = group.dn if name == _DN else group.text(name)
        return text if len(text) <= _GROUP_MAX else ""

    @property
    def _attributes(self) -> list[str]:
        directory = self._directory
        wanted = (
            directory.subject,
            directory.username,
            directory.session_name,
            *directory.tags,
            *STATE_ATTRIBUTES,
        )
        return [name for name in dict.fromkeys(wanted) if name]


def _require_plausible(username: str, password: Secret) -> None:
    """Refuse what cannot be right, before any server is asked.

    An empty password would be an unauthenticated bind, which succeeds (RFC 4513,
    5.1.2).
    """
    if not username or len(username) > NAME_MAX or not username.isprintable():
        raise PersonRefusedError(AccountState.WRONG, "no such name can be")
    if not password.reveal() or len(password.reveal()) > PASSWORD_MAX:
        raise PersonRefusedError(AccountState.WRONG, "an empty or endless password")
    if "\0" in password.reveal():
        raise PersonRefusedError(AccountState.WRONG, "a password with NUL")
