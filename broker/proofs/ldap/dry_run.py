"""Tries a directory step by step, for operators: what works, what to change."""

from collections.abc import Iterator
from datetime import datetime

from broker.model.entities import LdapProvider
from broker.model.secret import Secret
from broker.model.tag_text import is_tag_value
from broker.proofs.diagnosis import Check, State
from broker.proofs.ldap.connection import BIND, CONNECT, SECURE, LdapUnavailableError
from broker.proofs.ldap.directories import LdapServer
from broker.proofs.ldap.people import LdapPeople, Person, PersonRefusedError
from broker.proofs.ldap.prover import LdapProof, proof_of
from broker.protocols.ldap.accounts import Entry

_STAGES = {
    CONNECT: (
        "can be reached",
        "check the name, the port and firewalls on the way (Servers)",
    ),
    SECURE: (
        "has a trusted certificate with its name",
        (
            "put the authority behind its certificate into CaFile, and write the name"
            " that is in the certificate (Servers); for StartTLS the server must offer"
            " it"
        ),
    ),
    BIND: (
        "accepts the service account",
        "check BindDN and the file of BindPasswordFile",
    ),
}
_SEARCHED = "People can be searched"
_FOUND = "Exactly one entry matches the name"
_PASSWORD = "The password is right"  # noqa: S105  # a check's title
_OPEN = "The account is active"
_GROUPS = "Groups are found"
_ROLES = "A group is mapped to a role"
_TAGS = "Attributes can be session tags"
_ADVICE = {
    _SEARCHED: "check Base and Filter, and that BindDN may read there",
    _FOUND: "check the name, Base and Filter",
    _PASSWORD: "type it again; the directory's own log may say more",
    _OPEN: "activate the account in the directory",
    _GROUPS: "check GroupBase and GroupFilter, and that BindDN may read groups",
    _ROLES: "map one of these groups with GroupRoles, or add the person to one",
    _TAGS: (
        "leave them out of Tags, or change them in the directory: tags have at most 256"
        " letters, digits, spaces and _.:/=+-@"
    ),
}
_SHOWN = 100
"""Characters of a value that is not a tag."""


class LdapDryRun:
    """The checks of one directory, as far as they go."""

    def __init__(self, people: LdapPeople) -> None:
        self._people = people
        self.checks: list[Check] = []
        self.proof: LdapProof | None = None

    async def try_servers(self) -> None:
        """Check that each can be asked."""
        for server in self._people.servers:
            await self._try_server(server)

    async def try_person(
        self,
        provider: LdapProvider,
        username: str,
        password: Secret | None,
        now: datetime,
    ) -> None:
        """Check what an account's provider gives a person, and the password if given."""
        wanted = [_SEARCHED, _FOUND, _PASSWORD, _OPEN, _GROUPS, _ROLES]
        if password is None:
            wanted.remove(_PASSWORD)
        entry = await self._find(username)
        if entry is not None and (
            password is None or await self._is_right(entry, password)
        ):
            await self._try_groups(provider, entry, now)
        done = {check.title for check in self.checks}
        self.checks += [
            Check(title, State.NOT_REACHED) for title in wanted if title not in done
        ]

    async def _try_server(self, server: LdapServer) -> None:
        failed = ""
        text = ""
        try:
            await self._people.try_server(server)
        except LdapUnavailableError as error:
            failed, text = error.stage, str(error)
        self.checks += _server_checks(server, failed, text)

    async def _find(self, username: str) -> Entry | None:
        try:
            entry = await self._people.find_entry(username)
        except LdapUnavailableError as error:
            self._fail(_SEARCHED, str(error))
            return None
        except PersonRefusedError as error:
            self._hold(_SEARCHED)
            self._fail(_FOUND, str(error))
            return None
        self._hold(_SEARCHED)
        if entry is None:
            self._fail(_FOUND, "no entry has it")
        else:
            self._hold(_FOUND)
        return entry

    async def _is_right(self, entry: Entry, password: Secret) -> bool:
        try:
            await self._people.try_password(entry, password)
        except (LdapUnavailableError, PersonRefusedError, ValueError) as error:
            self._fail(_PASSWORD, str(error))
            return False
        self._hold(_PASSWORD)
        return True

    async def _try_groups(
        self, provider: LdapProvider, entry: Entry, now: datetime
    ) -> None:
        try:
            subject = self._people.subject_of(entry)
            person = await self._people.get_current(subject, now, signs_in=True)
        except PersonRefusedError as error:
            self._fail(_OPEN, str(error))
            return
        except LdapUnavailableError as error:
            self._hold(_OPEN)
            self._fail(_GROUPS, str(error))
            return
        self._hold(_OPEN)
        self.proof = proof_of(provider, person)
        if not person.groups:
            self._fail(_GROUPS, "none")
            return
        self._hold(_GROUPS)
        if self.proof.roles:
            self._hold(_ROLES)
        else:
            self._fail(_ROLES, f"groups: {', '.join(person.groups)}")
        self._try_tags(person)

    def _try_tags(self, person: Person) -> None:
        wrong = [
            f"{tag} = {value[:_SHOWN]}"
            for tag, value in person.attributes.items()
            if not is_tag_value(value)
        ]
        if wrong:
            self._fail(_TAGS, ", ".join(wrong))
        elif person.attributes:
            self._hold(_TAGS)

    def _hold(self, title: str) -> None:
        self.checks.append(Check(title, State.HELD))

    def _fail(self, title: str, text: str) -> None:
        self.checks.append(Check(title, State.FAILED, text, _ADVICE[title]))


def _server_checks(server: LdapServer, failed: str, text: str) -> Iterator[Check]:
    is_over = False
    for stage, (words, advice) in _STAGES.items():
        title = f"{server} {words}"
        if is_over:
            yield Check(title, State.NOT_REACHED)
        elif stage == failed:
            is_over = True
            yield Check(title, State.FAILED, text, advice)
        else:
            yield Check(title, State.HELD)
