"""``broker sessions``: list, show and revoke sessions.

The list comes from the cache and may be incomplete. A session's details come from its
audit record, and revocations are stored in the database.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct, to_builtins

from broker.cli.operator import (
    AccountArgument,
    JsonOption,
    record_change,
    require_known,
    with_installation,
    with_services,
)
from broker.cli.terminal import format_duration, format_time, say, say_json, say_table
from broker.cli.upstream_texts import (
    UpstreamFailed,
    UpstreamRoleName,
    upstream_roles,
    words_on_upstreams,
)
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
from broker.model.upstream import UpstreamOrigin
from broker.proofs.provider_options import find_provider
from broker.sessions.lineage import (
    LineageSnapshot,
    find_end,
    source_identity_target,
    trace,
)
from broker.sessions.record import read_audited, show_lineage
from broker.sessions.revoke import (
    forget_session,
    revoke_issued_before,
    revoke_key_id,
    revoke_person,
    revoke_session,
)
from broker.stores.cache.port import SessionRecord
from broker.stores.directory.kinds import ACCOUNT, ROLE, TRUST_ANCHOR, USER
from broker.stores.directory.port import DirectoryReader
from broker.stores.errors import StoreUnavailableError

if TYPE_CHECKING:
    from broker.compose.installation import Installation
    from broker.compose.services import Services


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


app = typer.Typer(help="Live sessions.", no_args_is_help=True)

_PAGE = 500
_HEADINGS = (
    *("Access key", "Principal", "Kind", "Issued", "Left", "Provider"),
    "Source identity",
)
_ARN_FIELDS = 6
_PROVIDER_ARN = re.compile(
    r"arn:aws:iam::[0-9]{12}:(?:saml|oidc|ldap)-provider/.{1,400}", re.DOTALL
)

KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="The session's access key ID (ASIA…).")
]


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
    account_id: AccountArgument,
    principal: Annotated[
        str, typer.Option(help="Only this principal's ARN; * and ? are wildcards.")
    ] = "*",
    provider: Annotated[
        str, typer.Option(help="Only this provider's ARN; * and ? are wildcards.")
    ] = "*",
    source_identity: Annotated[
        str, typer.Option(help="Only this source identity; * and ? are wildcards.")
    ] = "*",
    as_json: JsonOption = False,
) -> None:
    """List an account's live sessions, as far as they are in the cache."""
    account = AccountId(account_id)
    filters = _SessionFilter(
        principal=principal, provider=provider, source_identity=source_identity
    )

    async def work(
        installation: "Installation",
    ) -> tuple[list[SessionRecord], bool, datetime]:
        live, is_whole = await _live_sessions(installation, account)
        return list(filter(filters.matches, live)), is_whole, installation.clock.now()

    records, is_whole, now = with_installation(work)
    records.sort(key=lambda record: record.issued_at_ms, reverse=True)
    if as_json:
        for record in records:
            say_json({**_described(record), "lineage": show_lineage(record.lineage)})
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


@app.command()
def show(key: KeyArgument) -> None:
    """Show a session's origin and state, as JSON."""

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
            help="A session's access key ID; or, to end all sessions of one, a long-term"
            " access key ID, the ARN of a role, user or provider, or an account number."
        ),
    ] = "",
    *,
    provider: Annotated[
        str,
        typer.Option(
            help="Instead of TARGET: all sessions from this provider, by its ARN, even"
            " if it was deleted."
        ),
    ] = "",
    source_identity: Annotated[
        str, typer.Option(help="Only this source identity, in the account TARGET.")
    ] = "",
    issuer: Annotated[
        str, typer.Option(help="With --subject: its issuer (entity ID or URL).")
    ] = "",
    subject: Annotated[
        str,
        typer.Option(help="Only this subject (NameID or sub), in the account TARGET."),
    ] = "",
    reason: Annotated[str, typer.Option(help="A reason for the audit record.")] = "",
    upstream: Annotated[
        bool,
        typer.Option(
            "--upstream",
            help="If an upstream issued the credentials, end all older sessions of its"
            " roles there, too.",
        ),
    ] = False,
) -> None:
    """Revoke one session, or all that were issued so far.

    Sessions that were made from them end too, in every account.
    """
    if bool(target) == bool(provider):
        raise typer.BadParameter("pass either TARGET or --provider")
    # The key ids that upstreams issue have any form, and do not say whose they are.
    is_key = bool(target) and ":" not in target and not target.isdecimal()
    account = None if is_key else _account_of(provider or target)
    about = {"SourceIdentity": source_identity, "Issuer": issuer, "Subject": subject}
    if any(about.values()) and target != account:
        raise typer.BadParameter(
            "--source-identity, --issuer and --subject need an account number as TARGET"
        )
    _check_combined(
        provider, source_identity=source_identity, issuer=issuer, subject=subject
    )
    mark = source_identity_target(source_identity) if source_identity else provider

    async def work(
        installation: "Installation",
    ) -> tuple[
        AccountId, UpstreamOrigin | None, tuple[UpstreamRoleName, ...], datetime
    ]:
        directory = installation.stores.directory
        now = installation.clock.now()
        session = await _find_session(installation, target) if is_key else None
        item = session is not None or target.startswith(TEMPORARY_KEY_PREFIX)
        owner = account or (session[0].account if session else _account_of(target))
        before = mark
        if not (item or subject or mark):
            before = await _mark_of(directory, owner, target)
        async with directory.change(owner) as change:
            if session is not None:
                await revoke_session(change, session[0], now=now, reason=reason)
            elif item:
                await revoke_key_id(
                    change, account=owner, access_key_id=target, now=now, reason=reason
                )
            elif subject:
                await revoke_person(
                    change,
                    account=owner,
                    issuers=(issuer,),
                    subject=subject,
                    now=now,
                    reason=reason,
                )
            else:
                await revoke_issued_before(
                    change, account=owner, target=before, now=now, reason=reason
                )
            await record_change(
                *(change, "RevokeSessions", owner),
                Target=target or provider,
                Reason=reason,
                **{name: value for name, value in about.items() if value},
            )
        if item:
            await forget_session(installation.stores.cache, target)
        role_id = session[0].principal_id if session else before
        roles = await upstream_roles(directory, owner, role_id)
        return owner, session[0].upstream if session else None, roles, now

    owner, origin, roles, now = with_installation(work)
    whose = next(filter(None, (source_identity, subject, target, provider)))
    say(f"Revoked: {whose}")
    _go_on(owner, origin, roles, now, ends=upstream)


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


def _check_combined(
    provider: str, *, source_identity: str, issuer: str, subject: str
) -> None:
    """Check what says whose sessions end."""
    if provider and not _PROVIDER_ARN.fullmatch(provider):
        raise typer.BadParameter(f"{provider!r} is not a provider's ARN")
    if bool(issuer) != bool(subject):
        raise typer.BadParameter("--issuer and --subject go together")
    if source_identity and subject:
        raise typer.BadParameter("pass either --source-identity or --subject")


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


async def _live_sessions(
    installation: "Installation", account: AccountId
) -> tuple[list[SessionRecord], bool]:
    """List the cache's live sessions, and whether the list is complete.

    Revoked sessions are left out, since a late write can put them back in the cache.
    """
    directory = LineageSnapshot(installation.stores.directory)
    records: list[SessionRecord] = []
    marker: str | None = None
    while True:
        try:
            page = await installation.stores.cache.list_sessions(
                account, PageRequest(marker, _PAGE)
            )
        except StoreUnavailableError:
            return records, False
        records += [
            record
            for record in page.items
            if not await find_end(trace(record), directory)
        ]
        marker = page.marker
        if marker is None:
            return records, True


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


async def _mark_of(directory: DirectoryReader, account: AccountId, target: str) -> str:
    """The not-before mark for a target."""
    if target == account or find_account_of_key_id(target) is not None:
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
