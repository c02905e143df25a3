"""``broker sessions``: list, show and revoke sessions.

The list comes from the cache and may be incomplete. A session's details come from its
audit record, and revocations are stored in the database.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct, to_builtins

from broker.cli.commands import CommandApp
from broker.cli.ended import EndedByRevocation, list_by_status
from broker.cli.operator import (
    AlwaysJsonOption,
    JsonOption,
    OneJsonOption,
    OwnerOption,
    YesOption,
    record_change,
    require_consent,
    require_known,
    with_installation,
    with_services,
)
from broker.cli.terminal import (
    format_duration,
    format_time,
    say,
    say_json,
    say_json_lines,
    say_result,
    say_table,
)
from broker.cli.upstream_roles import UpstreamRoleName, upstream_roles
from broker.cli.upstream_texts import UpstreamFailed, words_on_upstreams
from broker.errors import BrokerError, NoSuchEntity
from broker.kinds.upstreams import require_upstream
from broker.model.account import (
    TEMPORARY_KEY_PREFIX,
    AccountId,
    find_account_of_key_id,
    parse_account_id,
)
from broker.model.audit import AuditFilter, AuditRecord
from broker.model.page import PageRequest
from broker.model.revocation import PROOFS_LIFE, REVOCATION_LIFE, Bar
from broker.model.session_arn import find_key_of_arn
from broker.model.upstream import UpstreamOrigin
from broker.proofs.provider_options import find_provider
from broker.sessions.lineage import (
    find_end,
    source_identity_target,
    trace,
)
from broker.sessions.listing import SessionStatus
from broker.sessions.record import read_audited, show_lineage
from broker.sessions.revoke import (
    bar_person,
    lift_bar,
    revoke_issued_before,
    revoke_person,
    revoke_session,
)
from broker.stores.cache.port import SessionRecord
from broker.stores.directory.identities import find_access_key
from broker.stores.directory.kinds import (
    ACCOUNT,
    LDAP_PROVIDER,
    OIDC_PROVIDER,
    ROLE,
    SAML_PROVIDER,
    TRUST_ANCHOR,
    USER,
)
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.directory.stored import Kind
from broker.stores.errors import StoreUnavailableError

if TYPE_CHECKING:
    from broker.compose.installation import Installation
    from broker.compose.services import Services

app = CommandApp(help="Live sessions.", no_args_is_help=True)
_HEADINGS = (
    *("Access key", "Principal", "Kind", "Issued", "Left", "Provider"),
    "Source identity",
)
_ARN_FIELDS = 6
_PROVIDER_ARN = re.compile(
    r"arn:aws:iam::[0-9]{12}:(?:saml|oidc|ldap)-provider/.{1,400}", re.DOTALL
)
KeyArgument = Annotated[
    str,
    typer.Argument(metavar="KEY", help="The session's access key ID (ASIA…) or ARN."),
]


def end_older_sessions(
    account: AccountId, roles: Sequence[UpstreamRoleName], now: datetime
) -> None:
    """Have the upstream roles deny everything to sessions from before now.

    Raises:
        UpstreamFailed: some do not; the others do.
    """

    async def work(services: "Services") -> None:
        directory = services.stores.directory
        known = await require_known(directory, account)
        left, failed = set(roles), list[BrokerError]()
        for name, group in groupby(sorted(roles), key=lambda role: role.name):
            upstream = await require_upstream(directory, account, name)
            arns = [role.role_arn for role in group]
            try:
                async for arn, error in services.upstreams.end_older_sessions(
                    upstream, known, arns, now
                ):
                    if error is not None:
                        failed.append(error)
                        continue
                    async with directory.change(account) as change:
                        await record_change(
                            *(change, "EndUpstreamSessions", account),
                            Upstream=name,
                            RoleArn=arn,
                        )
                    left.discard(UpstreamRoleName(name, arn))
                    say(f"Ended in {name}: older sessions of {arn}")
            except BrokerError as refused:
                failed.append(refused)
        if left:
            say(*words_on_upstreams(sorted(left), now))
            raise UpstreamFailed(*failed)

    with_services(work)


class _SessionFilter(Struct, frozen=True, kw_only=True):
    """Patterns to match against whole values, with the wildcards * and ?."""

    principal: str
    provider: str
    source_identity: str

    def matches(self, record: SessionRecord) -> bool:
        return all(
            fnmatchcase(text, pattern)
            for text, pattern in (
                (record.principal_arn, self.principal),
                (record.provider_arn, self.provider),
                (record.source_identity or "", self.source_identity),
            )
        )


@app.command("list")
def list_sessions(
    *,
    account: OwnerOption,
    principal: Annotated[
        str,
        typer.Option(
            metavar="ARN", help="Only this principal's ARN; * and ? are wildcards."
        ),
    ] = "*",
    provider: Annotated[
        str,
        typer.Option(
            metavar="ARN", help="Only this provider's ARN; * and ? are wildcards."
        ),
    ] = "*",
    source_identity: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="Only this source identity; * and ? are wildcards."
        ),
    ] = "*",
    barred: Annotated[
        bool, typer.Option("--barred", help="The people who are barred, instead.")
    ] = False,
    revoked: Annotated[
        bool,
        typer.Option("--revoked", help="Those that were revoked, until they expire."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List an account's live sessions, as far as they are in the cache."""
    if barred:
        _list_barred(account, as_json=as_json)
        return
    filters = _SessionFilter(
        principal=principal, provider=provider, source_identity=source_identity
    )

    async def work(
        installation: "Installation",
    ) -> tuple[list[SessionRecord], bool, datetime]:
        live, is_whole = await list_by_status(
            installation.stores.cache,
            installation.stores.directory,
            account,
            SessionStatus.REVOKED if revoked else SessionStatus.ACTIVE,
        )
        return list(filter(filters.matches, live)), is_whole, installation.clock.now()

    records, is_whole, now = with_installation(work)
    records.sort(key=lambda record: record.issued_at_ms, reverse=True)
    if as_json:
        say_json_lines(
            {**_described(record), "lineage": show_lineage(record.lineage)}
            for record in records
        )
    else:
        _print_table(records, now)
    if not is_whole:
        say("The list is incomplete: the cache is unavailable.", err=True)
        raise typer.Exit(1)


def _print_table(records: list[SessionRecord], now: datetime) -> None:
    say_table(
        _HEADINGS,
        (
            (
                record.access_key_id,
                record.principal_arn,
                record.kind,
                format_time(datetime.fromtimestamp(record.issued_at_ms / 1000, UTC)),
                format_duration(record.expires_at - now.timestamp()),
                record.provider_arn,
                record.source_identity or "",
            )
            for record in records
        ),
    )


def _list_barred(account: AccountId, *, as_json: bool) -> None:
    async def work(installation: "Installation") -> tuple[Bar, ...]:
        directory = installation.stores.directory
        await require_known(directory, account)
        return await directory.list_bars(account)

    bars = with_installation(work)
    if as_json:
        say_json_lines(map(to_builtins, bars))
        return
    headings = ("Issuer", "Subject", "Reason")
    say_table(headings, ((bar.issuer, bar.subject, bar.reason) for bar in bars))


@app.command()
def show(key: KeyArgument, _as_json: AlwaysJsonOption = False) -> None:
    """Show a session's origin and state, as JSON."""
    key = _key_of(key)

    async def work(installation: "Installation") -> dict[str, object]:
        session = await _find_session(installation, key)
        if session is None:
            raise NoSuchEntity(f"There is no record of a session {key}.")
        record, minted = session
        described: dict[str, object] = {"access_key_id": key}
        if minted is not None and minted.session is not None:
            described.update(minted.session)
            described["minted_by"] = minted.event_id
            described["source_ip"] = minted.source_ip
        else:
            described.update(_described(record))
        described.update(_upstream_of(record))
        described["lineage"] = show_lineage(record.lineage)
        described["state"] = await _state(installation, record.account, record)
        return described

    say_json(with_installation(work), indent=2)


@app.command()
def revoke(
    target: Annotated[
        str,
        typer.Argument(
            metavar="[TARGET]",
            help="A session's access key ID or ARN; or, to end all sessions of one, a"
            " long-term access key ID, the ARN of a role, user or provider, or an account number.",
        ),
    ] = "",
    *,
    provider: Annotated[
        str,
        typer.Option(
            metavar="ARN",
            help="Instead of TARGET: all sessions from this provider, by its ARN, even"
            " if it was deleted.",
        ),
    ] = "",
    source_identity: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="Only this source identity, in the account TARGET."
        ),
    ] = "",
    issuer: Annotated[
        str,
        typer.Option(
            metavar="ISSUER", help="With --subject: its issuer (entity ID or URL)."
        ),
    ] = "",
    subject: Annotated[
        str,
        typer.Option(
            metavar="SUBJECT",
            help="Only this subject (NameID or sub), in the account TARGET.",
        ),
    ] = "",
    bar: Annotated[
        bool,
        typer.Option("--bar", help="With --subject: also refuse new sign-ins."),
    ] = False,
    lift: Annotated[
        bool,
        typer.Option("--lift", help="With --subject: no longer refuse new sign-ins."),
    ] = False,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="A reason for the audit record.")
    ] = "",
    upstream: Annotated[
        bool,
        typer.Option(
            "--upstream",
            help="If an upstream issued the credentials, end all older sessions of its"
            " roles there, too.",
        ),
    ] = False,
    yes: YesOption = False,
    as_json: OneJsonOption = False,
) -> None:
    """Revoke one session, or all that were issued so far.

    Sessions that were made from them end too, in every account. What a person's identity
    provider issued before opens nothing more; a new sign-in does, unless they are barred.
    """
    order = _Order(
        target=_key_of(target),
        provider=provider,
        source_identity=source_identity,
        issuer=issuer,
        subject=subject,
        reason=reason,
        bars=bar,
        lifts=lift,
    )
    order.check()
    if not lift:
        require_consent(f"{order.ending} will end.", yes=yes)
    done = with_installation(lambda installation: _revoke(installation, order))
    if lift:
        say_result(
            {"Admitted": subject, "AccountId": done.account},
            f"No longer barred: {subject}. What was issued before now opens nothing.",
            as_json=as_json,
        )
        return
    say_result(
        {"Revoked": order.whose, "AccountId": done.account, "Ended": list(done.ended)},
        *(f"Revoked: {order.whose}", *done.ended),
        as_json=as_json,
    )
    if bar:
        say(f"{subject} is barred, until you say the same with --lift.", err=as_json)
    elif subject or source_identity:
        say(
            "What identity providers issued before now opens nothing more.",
            err=as_json,
        )
    _go_on(done.account, done.upstream, done.roles, done.at, ends=upstream)


class _Order(Struct, frozen=True, kw_only=True):
    """What a revocation was asked to end."""

    target: str
    provider: str
    source_identity: str
    issuer: str
    subject: str
    reason: str
    bars: bool
    lifts: bool

    @property
    def is_key(self) -> bool:
        """Whether the target is a key id; those that upstreams issue have any form."""
        return (
            bool(self.target) and ":" not in self.target and not self.target.isdecimal()
        )

    @property
    def account(self) -> AccountId | None:
        """The account that was named; key ids do not say whose they are."""
        return None if self.is_key else _account_of(self.provider or self.target)

    @property
    def about(self) -> dict[str, str]:
        """What narrows it down, as the audit record has it."""
        about = {
            "SourceIdentity": self.source_identity,
            "Issuer": self.issuer,
            "Subject": self.subject,
        }
        return {name: value for name, value in about.items() if value}

    @property
    def whose(self) -> str:
        """What it ends, for the operator."""
        texts = (self.source_identity, self.subject, self.target, self.provider)
        return next(filter(None, texts))

    @property
    def ending(self) -> str:
        """What will end, for the operator."""
        if self.is_key:
            return f"Session {self.target}"
        return f"All sessions of {self.whose} until now, and what came from them,"

    @property
    def action(self) -> str:
        """What the audit record calls it."""
        if self.lifts:
            return "LiftBar"
        return "BarPerson" if self.bars else "RevokeSessions"

    def check(self) -> None:
        """Check what was named together.

        Raises:
            typer.BadParameter: It makes no sense.
        """
        if bool(self.target) == bool(self.provider):
            raise typer.BadParameter("pass either TARGET or --provider")
        if self.about and self.target != self.account:
            raise typer.BadParameter(
                "--source-identity, --issuer and --subject need an account number as"
                " TARGET"
            )
        if self.provider and not _PROVIDER_ARN.fullmatch(self.provider):
            raise typer.BadParameter(f"{self.provider!r} is not a provider's ARN")
        if bool(self.issuer) != bool(self.subject):
            raise typer.BadParameter("--issuer and --subject go together")
        if self.source_identity and self.subject:
            raise typer.BadParameter("pass either --source-identity or --subject")
        if (self.bars or self.lifts) and not self.subject:
            raise typer.BadParameter("--bar and --lift need --issuer and --subject")
        if self.bars and self.lifts:
            raise typer.BadParameter("pass either --bar or --lift")


class _Done(Struct, frozen=True, kw_only=True):
    """What a revocation did, and what it leaves open at upstreams."""

    account: AccountId
    at: datetime
    ended: tuple[str, ...]
    upstream: UpstreamOrigin | None
    roles: tuple[UpstreamRoleName, ...]


async def _revoke(installation: "Installation", order: _Order) -> _Done:
    """Revoke.

    Raises:
        NoSuchEntity: What was named does not exist here; nothing is written.
    """
    directory = installation.stores.directory
    now = installation.clock.now()
    session = None
    if order.is_key:
        match = await _find_session(installation, order.target)
        session = match[0] if match else None
    account = order.account or (
        session.account if session else _account_of(order.target)
    )
    await require_known(directory, account)
    mark = ""
    if session is None:
        mark = await _find_mark(installation, account, order)
    ended = EndedByRevocation(installation)
    await ended.look()
    async with directory.change(account) as change:
        if session is not None:
            await revoke_session(change, session, now=now, reason=order.reason)
        elif order.subject:
            await _end_person(change, account, order, now)
        else:
            await revoke_issued_before(
                change,
                account=account,
                target=mark,
                now=now,
                life=PROOFS_LIFE if order.source_identity else REVOCATION_LIFE,
                reason=order.reason,
            )
        await record_change(
            *(change, order.action, account),
            Target=order.target or order.provider,
            Reason=order.reason,
            **order.about,
        )
    lines = await ended.describe()
    role_id = session.principal_id if session else mark
    return _Done(
        account=account,
        at=now,
        ended=lines,
        upstream=session.upstream if session else None,
        roles=await upstream_roles(directory, account, role_id),
    )


async def _end_person(
    change: DirectoryChange, account: AccountId, order: _Order, now: datetime
) -> None:
    """End, bar or admit a provider's person.

    Raises:
        NoSuchEntity: They are to be admitted, and are not barred.
    """
    issuer, subject = order.issuer, order.subject
    if order.lifts:
        if not await lift_bar(
            change, account=account, issuer=issuer, subject=subject, now=now
        ):
            raise NoSuchEntity(f"{subject} of {issuer} is not barred.")
    elif order.bars:
        await bar_person(
            change,
            account=account,
            issuer=issuer,
            subject=subject,
            now=now,
            reason=order.reason,
        )
    else:
        await revoke_person(
            change,
            account=account,
            issuers=(issuer,),
            subject=subject,
            now=now,
            reason=order.reason,
        )


async def _find_mark(
    installation: "Installation", account: AccountId, order: _Order
) -> str:
    """The target of the not-before mark; empty for a person, who has several.

    Raises:
        NoSuchEntity: What was named does not exist here.
    """
    if order.target.startswith(TEMPORARY_KEY_PREFIX):
        raise NoSuchEntity(f"There is no record of a session {order.target}.")
    if order.subject:
        await _require_issuer(installation.stores.directory, account, order.issuer)
        return ""
    if order.source_identity:
        return source_identity_target(order.source_identity)
    return order.provider or await _mark_of(installation, account, order.target)


def _go_on(
    account: AccountId,
    origin: UpstreamOrigin | None,
    roles: tuple[UpstreamRoleName, ...],
    now: datetime,
    *,
    ends: bool,
) -> None:
    """Say what a revocation leaves open at upstreams, or end it there."""
    if origin is not None and origin.name not in {role.name for role in roles}:
        say(
            f"Its credentials are from the upstream {origin.name} ({origin.endpoint}),"
            " which the role no longer has. They stay valid there until they expire."
        )
    if not roles:
        return
    if not ends:
        say(*words_on_upstreams(roles, now))
        return
    end_older_sessions(account, roles, now)


async def _find_session(
    installation: "Installation", key: str
) -> tuple[SessionRecord, AuditRecord | None] | None:
    """Find a session by its audit record, or else in the cache."""
    filters = AuditFilter(minted_key_id=key)
    page = await installation.stores.ledger.search(filters, PageRequest())
    # Sessions in use come before those that an upstream issued in vain.
    for minted in sorted(page.items, key=lambda record: bool(record.error_code)):
        if minted.session is not None:
            return read_audited(minted.session), minted
    try:
        record = await installation.stores.cache.find_session(key)
    except StoreUnavailableError:
        record = None
    return None if record is None else (record, None)


def _described(record: SessionRecord) -> dict[str, object]:
    described = to_builtins(record)
    del described["upstream"]
    return {**described, **_upstream_of(record)}


def _upstream_of(record: SessionRecord) -> dict[str, object]:
    origin = record.upstream
    if origin is None:
        return {}
    return {"upstream": origin.name, "upstream_endpoint": origin.endpoint}


async def _state(
    installation: "Installation", account: AccountId, record: SessionRecord
) -> str:
    if record.expires_at <= installation.clock.now().timestamp():
        return "expired"
    directory = installation.stores.directory
    if await directory.find(ACCOUNT, account) is None:
        return "its account was deleted"
    return "revoked" if await find_end(trace(record), directory) else "live"


async def _require_issuer(
    directory: DirectoryReader, account: AccountId, issuer: str
) -> None:
    """Find the issuer among those of the account's providers and trust anchors.

    Raises:
        NoSuchEntity: It is none.
    """
    # Imported here: it brings all that reads metadata.
    from broker.proofs.scim import issuers_of  # noqa: PLC0415

    kinds: tuple[Kind[Any], ...] = (OIDC_PROVIDER, SAML_PROVIDER, LDAP_PROVIDER)
    for kind in kinds:
        listed = await directory.all_of(kind, account)
        async for provider in directory.with_documents(kind, listed):
            if issuer in issuers_of(provider):
                return
    # Certificates name their own issuer, and any authority below an anchor may be that.
    if await directory.count(TRUST_ANCHOR, account):
        return
    raise NoSuchEntity(f"No provider of the account {account} has the issuer {issuer}.")


async def _mark_of(
    installation: "Installation", account: AccountId, target: str
) -> str:
    """The not-before mark for a target.

    Raises:
        NoSuchEntity: There is no such target, and none was used.
    """
    directory = installation.stores.directory
    if target == account:
        return target
    if find_account_of_key_id(target) is not None:
        if await find_access_key(directory, target) is None:
            # What was made with a key outlives it.
            used = await installation.stores.ledger.search(
                AuditFilter(access_key_id=target), PageRequest(limit=1)
            )
            if not used.items:
                raise NoSuchEntity(f"There is no access key {target}.")
        return target
    kind, _, path = target.split(":", _ARN_FIELDS - 1)[-1].partition("/")
    name = path.rpartition("/")[2]
    results: tuple[str, str] | None = None
    if kind == "role" and (role := await directory.named(ROLE, account, name)):
        results = role.arn, role.role_id
    elif kind == "user" and (user := await directory.named(USER, account, name)):
        results = user.arn, user.user_id
    elif kind == "trust-anchor" and (
        anchor := await directory.find(TRUST_ANCHOR, account, name)
    ):
        results = anchor.arn, anchor.arn
    elif provider := await find_provider(directory, account, target):
        results = provider.arn, provider.arn
    if results is None or results[0] != target:
        raise NoSuchEntity(f"There is no {target}.")
    return results[1]


def _key_of(target: str) -> str:
    """The access key ID in a session's ARN; other targets are what they are."""
    named = find_key_of_arn(target)
    return target if named is None else named[1]


def _account_of(target: str) -> AccountId:
    """Parse the account in an access key ID, an ARN or an account number."""
    account_id = find_account_of_key_id(target)
    if account_id is not None:
        return account_id
    fields = target.split(":")
    text = fields[4] if len(fields) >= _ARN_FIELDS else target
    try:
        return parse_account_id(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{target!r} is not an access key ID, ARN or account number"
        ) from error
