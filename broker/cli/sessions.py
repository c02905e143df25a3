"""``broker sessions``: who is in, and how to end it.

What is listed comes from the cache and may be incomplete; what is shown of one
session comes from its audit record, and what is revoked is in the database.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Annotated

import typer

from broker.cli.operator import AccountArgument, operator_entry, with_services
from broker.cli.terminal import say, say_json, say_table
from broker.cli.times import show_moment, show_span
from broker.errors import NoSuchEntity
from broker.model.account import AccountId, find_account_of_key_id, parse_account_id
from broker.model.audit import AuditFilter
from broker.model.page import PageRequest
from broker.services import Services
from broker.sessions.keys import LONGEST_SESSION
from broker.sessions.revoke import forget_session, revoke_issued_before, revoke_session
from broker.stores.cache.port import SessionRecord
from broker.stores.directory.port import DirectoryReader
from broker.stores.errors import StoreUnavailableError

app = typer.Typer(help="Live sessions.", no_args_is_help=True)

_PAGE = 500
_HEADINGS = (
    *("Access key", "Principal", "Kind", "Issued", "Left", "Provider"),
    "Source identity",
)
_ARN_FIELDS = 6

KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="The session's access key id (ASIA…).")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What a listing is narrowed to: whole texts in which * and ? are wildcards."""

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
        str, typer.Option(help="Only of these principals: an ARN; * and ? match.")
    ] = "*",
    provider: Annotated[
        str, typer.Option(help="Only through these providers: an ARN; * and ? match.")
    ] = "*",
    source_identity: Annotated[
        str, typer.Option(help="Only of these source identities; * and ? match.")
    ] = "*",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line.")
    ] = False,
) -> None:
    """List an account's live sessions, as far as the cache knows them."""
    account = AccountId(account_id)
    wanted = _Wanted(
        principal=principal, provider=provider, source_identity=source_identity
    )

    async def work(services: Services) -> tuple[list[SessionRecord], bool, datetime]:
        live, is_whole = await _live_sessions(services, account)
        return list(filter(wanted.matches, live)), is_whole, services.clock.now()

    records, is_whole, now = with_services(work)
    records.sort(key=lambda record: record.issued_at_ms, reverse=True)
    if as_json:
        for record in records:
            say_json({**asdict(record), "tags": dict(record.tags)})
    else:
        _print_table(records, now)
    if not is_whole:
        say("The list is incomplete: the cache does not answer.", err=True)
        raise typer.Exit(1)


def _print_table(records: list[SessionRecord], now: datetime) -> None:
    say_table(
        _HEADINGS,
        (
            (
                record.access_key_id,
                record.principal_arn,
                record.kind,
                show_moment(datetime.fromtimestamp(record.issued_at_ms / 1000, UTC)),
                show_span(record.expires_at - now.timestamp()),
                record.provider_arn,
                record.source_identity or "",
            )
            for record in records
        ),
    )


@app.command()
def show(key: KeyArgument) -> None:
    """Show where a session came from, and whether it still counts, as JSON."""
    account = _account_of(key)

    async def work(services: Services) -> dict[str, object]:
        page = await services.stores.ledger.search(
            AuditFilter(access_key_id=key), PageRequest(None, _PAGE)
        )
        minted = [
            r for r in page.items if (r.session or {}).get("access_key_id") == key
        ]
        record = None
        if not minted:
            record = await services.stores.cache.find_session(key)
        if not minted and record is None:
            raise NoSuchEntity(f"There is no record of a session {key}.")
        described: dict[str, object] = {"access_key_id": key}
        if minted and minted[0].session is not None:
            described.update(minted[0].session)
            described["minted_by"] = minted[0].event_id
            described["source_ip"] = minted[0].source_ip
        elif record is not None:
            described.update({**asdict(record), "tags": dict(record.tags)})
        described["state"] = await _state(services, account, described)
        return described

    say_json(with_services(work), indent=2)


@app.command()
def revoke(
    target: Annotated[
        str,
        typer.Argument(
            help="An access key id, or whose sessions shall all end: the ARN of a"
            " role, user or provider, or an account id."
        ),
    ],
    source_identity: Annotated[
        str,
        typer.Option(help="Of the account TARGET, only this source identity's."),
    ] = "",
    reason: Annotated[str, typer.Option(help="For the record.")] = "",
) -> None:
    """End one session, or all that were issued up to now; durable at once."""
    account = _account_of(target)
    if source_identity:
        if target != account:
            raise typer.BadParameter("--source-identity goes with an account id")
        _revoke_source_identity(account, source_identity, reason)
        return

    async def work(services: Services) -> None:
        directory = services.stores.directory
        now = services.clock.now()
        one = find_account_of_key_id(target) is not None
        unique_id = "" if one else await _unique_id(directory, account, target)
        async with directory.change(account) as change:
            if one:
                await revoke_session(
                    change,
                    account=account,
                    access_key_id=target,
                    now=now,
                    reason=reason,
                )
            else:
                await revoke_issued_before(
                    change, account=account, target=unique_id, now=now, reason=reason
                )
            entry = operator_entry(
                "RevokeSessions", account, Target=target, Reason=reason
            )
            await change.record(entry.complete())
        if one:
            await forget_session(services.stores.cache, target)

    with_services(work)
    say(f"Revoked: {target}")


def _revoke_source_identity(
    account: AccountId, source_identity: str, reason: str
) -> None:
    """End each session that the audit trail says was minted for it."""

    async def work(services: Services) -> int:
        now = services.clock.now()
        minted = await _minted_for(services, account, source_identity, now)
        async with services.stores.directory.change(account) as change:
            for key, expires_at in minted.items():
                await revoke_session(
                    change,
                    account=account,
                    access_key_id=key,
                    now=now,
                    expires_at=expires_at,
                    reason=reason,
                )
            entry = operator_entry(
                "RevokeSessions",
                account,
                Target=account,
                SourceIdentity=source_identity,
                AccessKeyIds=sorted(minted),
                Reason=reason,
            )
            await change.record(entry.complete())
        for key in minted:
            await forget_session(services.stores.cache, key)
        return len(minted)

    count = with_services(work)
    say(f"Revoked: {count} session(s) of {source_identity}")


async def _minted_for(
    services: Services, account: AccountId, source_identity: str, now: datetime
) -> dict[str, int]:
    """The access key ids and expiries of what was minted and has not expired."""
    wanted = AuditFilter(account=account, since=now - LONGEST_SESSION)
    found: dict[str, int] = {}
    marker: str | None = None
    while True:
        page = await services.stores.ledger.search(wanted, PageRequest(marker, _PAGE))
        for record in page.items:
            session = record.session or {}
            expires_at = session.get("expires_at")
            if (
                session.get("source_identity") == source_identity
                and isinstance(expires_at, int)
                and expires_at > now.timestamp()
            ):
                found[str(session["access_key_id"])] = expires_at
        marker = page.marker
        if marker is None:
            return found


async def _live_sessions(
    services: Services, account: AccountId
) -> tuple[list[SessionRecord], bool]:
    """What the cache knows, and whether it answered to the end.

    Without what is revoked: a late write may bring it back.
    """
    directory = services.stores.directory
    revocations = await directory.revocations(account)
    saml = await directory.list_saml_providers(account)
    oidc = await directory.list_oidc_providers(account)
    provider_ids = {
        **{provider.arn: provider.uuid for provider in saml},
        **{provider.arn: provider.unique_id for provider in oidc},
    }
    records: list[SessionRecord] = []
    marker: str | None = None
    while True:
        try:
            page = await services.stores.cache.list_sessions(
                account, PageRequest(marker, _PAGE)
            )
        except StoreUnavailableError:
            return records, False
        for record in page.items:
            provider_id = provider_ids.get(record.provider_arn, "")
            targets = (account, record.principal_id, provider_id)
            if not revocations.cover(
                record.access_key_id, record.issued_at_ms, targets
            ):
                records.append(record)
        marker = page.marker
        if marker is None:
            return records, True


async def _state(
    services: Services, account: AccountId, described: dict[str, object]
) -> str:
    expires_at = described["expires_at"]
    now = services.clock.now().timestamp()
    if isinstance(expires_at, int) and expires_at <= now:
        return "expired"
    if await services.stores.directory.find_account(account) is None:
        return "its account is gone"
    revocations = await services.stores.directory.revocations(account)
    issued = described["issued_at_ms"]
    targets = (
        account,
        *(str(described.get(name, "")) for name in ("principal_id", "provider_id")),
    )
    if revocations.cover(
        str(described["access_key_id"]),
        issued if isinstance(issued, int) else 0,
        targets,
    ):
        return "revoked"
    return "live"


async def _unique_id(
    directory: DirectoryReader, account: AccountId, target: str
) -> str:
    if target == account:
        return account
    kind, _, path = target.split(":", _ARN_FIELDS - 1)[-1].partition("/")
    name = path.rpartition("/")[2]
    found: tuple[str, str] | None = None
    if kind == "role" and (role := await directory.find_role(account, name)):
        found = role.arn, role.role_id
    elif kind == "user" and (user := await directory.find_user(account, name)):
        found = user.arn, user.user_id
    elif kind == "saml-provider" and (
        saml := await directory.find_saml_provider(account, name)
    ):
        found = saml.arn, saml.uuid
    elif kind == "oidc-provider" and (
        oidc := await directory.find_oidc_provider(account, path)
    ):
        found = oidc.arn, oidc.unique_id
    if found is None or found[0] != target:
        raise NoSuchEntity(f"There is no {target}.")
    return found[1]


def _account_of(target: str) -> AccountId:
    """The account that a key id, an ARN or an account id names."""
    found = find_account_of_key_id(target)
    if found is not None:
        return found
    fields = target.split(":")
    text = fields[4] if len(fields) >= _ARN_FIELDS else target
    try:
        return parse_account_id(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{target!r} is no access key id, ARN or account id"
        ) from error
