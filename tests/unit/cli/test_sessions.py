import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from broker.compose.services import open_services
from broker.errors import NoSuchEntity
from broker.model.account import AccountId, find_account_of_key_id
from broker.model.audit import AuditRecord
from broker.runtime.entropy import new_request_id
from broker.settings import load_settings
from broker.stores.cache.port import SessionRecord
from broker.stores.directory import kinds
from broker.stores.schema import REVOCATIONS
from tests.support.rows import cases
from tests.support.servers import find_free_port
from tests.unit.cli.conftest import ACCOUNT, CommandLine

SAMPLES = Path(__file__).parents[3] / "samples"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Deploy"
SAML = f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp"
KEY = "ASIARZPUZDIKONH2TRVP"
OTHER_KEY = "ASIARZPUZDIKPH7CKV25"


@pytest.fixture(autouse=True)
def _set_up(cli: CommandLine) -> None:
    cli("apply", str(SAMPLES / "account.yaml"))


def role_id() -> str:
    async def find() -> str:
        async with open_services(load_settings()) as services:
            role = await services.stores.directory.named(
                kinds.ROLE, AccountId(ACCOUNT), "Deploy"
            )
            assert role is not None
            return role.role_id

    return asyncio.run(find())


def minted(
    key: str, source_identity: str, *, seconds_left: int = 600, error_code: str = ""
) -> None:
    """An audit record as a mint writes it."""
    now = datetime.now(UTC)
    record = AuditRecord(
        event_id=new_request_id(),
        at=now,
        account=AccountId(ACCOUNT),
        door="api",
        action="sts:AssumeRoleWithSAML",
        decision="error" if error_code else "allowed",
        error_code=error_code,
        session={
            "access_key_id": key,
            "account": ACCOUNT,
            "issued_at_ms": int(now.timestamp() * 1000),
            "expires_at": int(now.timestamp()) + seconds_left,
            "source_identity": source_identity,
        },
    )

    async def append() -> None:
        async with open_services(load_settings()) as services:
            await services.stores.ledger.append(record)

    asyncio.run(append())


def cached(
    key: str,
    principal_id: str,
    source_identity: str | None = None,
    kind: str = "AssumeRoleWithSAML",
) -> SessionRecord:
    """A record as a mint writes it, or a worker later that missed a revocation."""
    now = time.time()
    record = SessionRecord(
        access_key_id=key,
        account=AccountId(ACCOUNT),
        kind=kind,
        principal_arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/Deploy/{key}",
        principal_id=principal_id,
        issued_at_ms=int(now * 1000) - 60_000,
        expires_at=int(now) + 600,
        provider_arn=SAML,
        source_identity=source_identity,
        tags={"team": "data"},
    )

    async def put() -> None:
        async with open_services(load_settings()) as services:
            await services.stores.cache.put_session(record)

    asyncio.run(put())
    return record


def listed(cli: CommandLine) -> list[Any]:
    return [
        s["access_key_id"]
        for s in cli.lines("sessions", "list", "--account", ACCOUNT, "--json")
    ]


def test_live_sessions_are_listed_with_where_they_came_from(cli: CommandLine) -> None:
    record = cached(KEY, "AROAEXAMPLE")
    (line,) = cli.lines("sessions", "list", "--account", ACCOUNT, "--json")
    assert line["tags"] == {"team": "data"}
    assert line["provider_arn"] == SAML
    table = cli("sessions", "list", "--account", ACCOUNT)
    assert record.principal_arn in table
    assert "9m" in table


@cases("option, value")
def test_a_listing_is_narrowed(cli: CommandLine, option: str, value: str) -> None:
    cached(KEY, "AROAEXAMPLE", "ana")
    cached(OTHER_KEY, "AROAEXAMPLE", "ben")
    (line,) = cli.lines(
        "sessions", "list", "--account", ACCOUNT, "--json", option, value
    )
    assert line["access_key_id"] == KEY
    assert "ana" in cli("sessions", "list", "--account", ACCOUNT, option, value)
    assert (
        cli("sessions", "list", "--account", ACCOUNT, "--json", "--provider", "arn:x")
        == ""
    )
    assert (
        len(
            cli.lines(
                "sessions", "list", "--account", ACCOUNT, "--json", "--provider", SAML
            )
        )
        > 1
    )


def test_a_source_identitys_sessions_end(cli: CommandLine) -> None:
    minted(KEY, "ana")
    minted(OTHER_KEY, "ben")
    said = cli("sessions", "revoke", ACCOUNT, "--source-identity", "ana")
    assert "ana" in said
    assert cli.json("sessions", "show", KEY)["state"] == "revoked"
    assert cli.json("sessions", "show", OTHER_KEY)["state"] == "live"
    (record,) = cli.audit("broker:RevokeSessions")
    assert record["parameters"]["SourceIdentity"] == "ana"


def test_a_source_identity_is_one_of_an_account(cli: CommandLine) -> None:
    cli("sessions", "revoke", ROLE, "--source-identity", "ana", fails=True)
    assert "account number" in cli.stderr


def test_without_the_cache_a_listing_says_that_it_is_incomplete(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    minted(KEY, "ana")
    monkeypatch.setenv("BROKER_REDIS_URL", f"redis://127.0.0.1:{find_free_port()}")
    assert cli("sessions", "list", "--account", ACCOUNT, "--json", fails=True) == ""
    assert "incomplete" in cli.stderr
    assert cli.json("sessions", "show", KEY)["state"] == "live"
    cli("sessions", "revoke", KEY)
    assert cli.json("sessions", "show", KEY)["state"] == "revoked"


@pytest.mark.parametrize("target", [KEY, ROLE, SAML, ACCOUNT])
def test_what_is_revoked_is_off_the_list_even_if_it_is_written_again(
    cli: CommandLine, target: str
) -> None:
    principal_id = role_id()
    cached(KEY, principal_id)
    cli("sessions", "revoke", target)
    cached(KEY, principal_id)
    assert listed(cli) == []
    assert cli.json("sessions", "show", KEY)["state"] == "revoked" or target == SAML
    (record,) = cli.audit("broker:RevokeSessions")
    assert record["parameters"]["Target"] == target


def test_a_session_of_an_upstream_is_known_by_its_record(cli: CommandLine) -> None:
    """Key ids of Ceph's have no prefix, and carry another account by chance."""
    foreign = "K7XQWEBAEAQEAQEAQEAQ"
    assert find_account_of_key_id(foreign) not in {None, ACCOUNT}
    minted(foreign, "alice")
    cli("sessions", "revoke", foreign)
    assert cli.json("sessions", "show", foreign)["state"] == "revoked"


def test_a_session_is_found_before_one_that_nobody_got(cli: CommandLine) -> None:
    minted(KEY, "alice")
    minted(KEY, "bob", error_code="UpstreamOutcomeUnknown")
    assert cli.json("sessions", "show", KEY)["source_identity"] == "alice"


def test_one_revoked_session_leaves_the_others(cli: CommandLine) -> None:
    cached(KEY, "AROAEXAMPLE")
    cached(OTHER_KEY, "AROAEXAMPLE")
    cli("sessions", "revoke", KEY)
    assert listed(cli) == [OTHER_KEY]
    assert cli.json("sessions", "show", OTHER_KEY)["state"] == "live"


@cases("target")
def test_anyone_who_is_not_there_has_no_sessions_to_end(
    cli: CommandLine, target: str
) -> None:
    with pytest.raises(NoSuchEntity):
        cli("sessions", "revoke", *target.split())
    for action in ("RevokeSessions", "BarPerson", "LiftBar"):
        assert cli.audit(f"broker:{action}") == []
    assert revocations() == []


def revocations() -> list[str]:
    """The targets of all that is revoked."""

    async def read() -> list[str]:
        async with open_services(load_settings()) as services:
            rows = await services.stores.directory.rows(select(REVOCATIONS.c.target))
            return [row.target for row in rows]

    return asyncio.run(read())


def test_what_ended_is_told_by_kind(cli: CommandLine) -> None:
    role = role_id()
    for key, kind in (
        (KEY, "AssumeRoleWithSAML"),
        (OTHER_KEY, "AssumeRoleWithSAML"),
        ("ASIARZPUZDIKAAAAAAA2", "Authenticate"),
        ("ASIARZPUZDIKAAAAAAA3", "ConsoleLogin"),
    ):
        cached(key, role, kind=kind)
    cached("ASIARZPUZDIKAAAAAAA4", "AROAANOTHER")
    told = cli("sessions", "revoke", ROLE)
    assert told.splitlines() == [
        f"Revoked: {ROLE}",
        "Ended: 2 AssumeRoleWithSAML sessions, 1 console sign-in, 1 portal sign-in.",
    ]
    assert "There was nothing to end." in cli("sessions", "revoke", ROLE)


def test_who_has_no_session_gets_a_mark(cli: CommandLine) -> None:
    who = ("--issuer", "https://idp.example.com/metadata", "--subject", "ana")
    told = cli("sessions", "revoke", ACCOUNT, *who)
    assert told.splitlines() == [
        "Revoked: ana",
        "There was nothing to end.",
        "What identity providers issued before now opens nothing more.",
    ]
    assert len(revocations()) == 1


def used(key: str) -> None:
    """An audit record of a call that the key signed."""
    record = AuditRecord(
        event_id=new_request_id(),
        at=datetime.now(UTC),
        account=AccountId(ACCOUNT),
        door="api",
        action="sts:AssumeRole",
        decision="allowed",
        access_key_id=key,
    )

    async def append() -> None:
        async with open_services(load_settings()) as services:
            await services.stores.ledger.append(record)

    asyncio.run(append())


def test_a_deleted_key_ends_what_was_made_with_it(cli: CommandLine) -> None:
    """Roles that were assumed with it outlive it."""
    key = "AKIARZPUZDIKONH2TRVP"
    used(key)
    assert f"Revoked: {key}" in cli("sessions", "revoke", key)
    assert revocations() == [key]


def test_a_session_of_which_only_its_use_is_known_cannot_be_ended(
    cli: CommandLine,
) -> None:
    """Its end would need what the record of its mint says."""
    used(KEY)
    with pytest.raises(NoSuchEntity):
        cli("sessions", "revoke", KEY)
    assert revocations() == []


@pytest.mark.parametrize(
    "words",
    [
        "--bar",
        "--lift",
        "--issuer x --subject y --bar --lift",
        "--subject y",
        "--issuer x --subject y --source-identity z",
        "--provider arn:aws:iam::123456789012:saml-provider/Corp",
    ],
)
def test_what_makes_no_sense_together_is_refused(cli: CommandLine, words: str) -> None:
    cli("sessions", "revoke", ACCOUNT, *words.split(), fails=True)
    assert "Usage: " in cli.stderr
    assert revocations() == []


def test_an_unknown_session_is_told(cli: CommandLine) -> None:
    with pytest.raises(NoSuchEntity, match=KEY):
        cli("sessions", "show", KEY)


@pytest.mark.parametrize("target", ["", "me", "arn:aws:iam::role/x", "1234"])
def test_a_target_is_a_key_an_arn_or_an_account(cli: CommandLine, target: str) -> None:
    cli("sessions", "revoke", target, fails=True)
    assert "Usage: " in cli.stderr


def test_an_account_without_sessions_lists_none(cli: CommandLine) -> None:
    assert cli("sessions", "list", "--account", ACCOUNT, "--json") == ""
    assert json.dumps(listed(cli)) == "[]"
