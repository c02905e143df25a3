"""No text of a stranger's steers the operator's terminal, whatever command shows it."""

import io
import json
import logging
from datetime import UTC, datetime
from typing import NoReturn

import pytest
import structlog
import yaml

from broker.cli.logs import configure_logs
from broker.cli.operator import with_services
from broker.cli.terminal import Progress, plain
from broker.compose.services import Services
from broker.model.account import AccountId
from broker.model.audit import AuditRecord
from broker.settings import LogFormat
from broker.stores.cache.port import SessionRecord
from tests.support.rows import rows
from tests.unit.cli.conftest import ACCOUNT, CommandLine

HOSTILE = "a\x1b]0;t\x07\x9b2J\x7f\r\n\u202eb\u2028[red]c[/]"
SPELT = r"a\x1b]0;t\x07\x9b2J\x7f\r\n\u202eb\u2028[red]c[/]"


def is_harmless(printed: str) -> bool:
    return printed.replace("\n", "").isprintable()


def record(**more: object) -> AuditRecord:
    params = {
        "event_id": "hostile",
        "at": datetime.now(UTC),
        "account": AccountId(ACCOUNT),
        "action": f"sts:{HOSTILE}",
        "caller_arn": f"arn:{HOSTILE}",
        "resources": (f"arn:aws:{HOSTILE}",),
        "source_ip": HOSTILE,
        "user_agent": HOSTILE,
        "error_code": "InvalidIdentityToken",
        "detail": HOSTILE,
        "parameters": {HOSTILE: HOSTILE},
        **more,
    }
    return AuditRecord(**params)  # type: ignore[arg-type]


def stored(*records: AuditRecord) -> None:
    async def append(services: Services) -> None:
        for audit_record in records:
            await services.stores.ledger.append(audit_record)

    with_services(append)


@pytest.mark.usefixtures("account")
def test_what_audit_and_explain_show(cli: CommandLine) -> None:
    stored(record(), record(event_id="denied", error_code="AccessDenied"))
    for words in (
        ("audit",),
        ("audit", "--json"),
        ("explain", "hostile"),
        ("explain", "denied"),
        ("explain", "hostile", "--json"),
    ):
        printed = cli(*words)
        assert is_harmless(printed), words
        assert "[red]" in printed, words
    assert SPELT in cli("audit")
    lines = cli("explain", "hostile").splitlines()
    assert f"Why: {SPELT}" in lines
    (told,) = cli.lines("audit", "--json", "--request-id", "hostile")
    assert told["detail"] == HOSTILE


@pytest.mark.usefixtures("account")
def test_what_is_listed_of_sessions(cli: CommandLine) -> None:
    now = datetime.now(UTC).timestamp()

    async def put(services: Services) -> None:
        await services.stores.cache.put_session(
            SessionRecord(
                access_key_id="ASIAQNZGKIQY56JQ7WML",
                account=AccountId(ACCOUNT),
                principal_arn=f"arn:{HOSTILE}",
                principal_id="AROA",
                kind="assumed-role",
                issued_at_ms=int(now * 1000),
                expires_at=int(now) + 600,
                provider_arn=HOSTILE,
                source_identity=HOSTILE,
            )
        )

    with_services(put)
    printed = cli("sessions", "list", "--account", ACCOUNT)
    assert SPELT in printed
    assert is_harmless(printed)
    assert is_harmless(cli("sessions", "list", "--account", ACCOUNT, "--json"))


def test_what_is_exported_is_readable_and_the_same(cli: CommandLine) -> None:
    tag = "Zürich \u202e \x85"
    file = {"Accounts": {ACCOUNT: {"Roles": [_role(tag)]}}}
    cli("apply", "-", stdin=json.dumps(file))
    printed = cli("export", ACCOUNT)
    assert is_harmless(printed)
    (role,) = yaml.safe_load(printed)["Accounts"][ACCOUNT]["Roles"]
    assert role["Description"] == tag
    cli("apply", "-", stdin=printed)
    assert "No changes" in cli.stderr


def _fail() -> NoReturn:
    raise ValueError(HOSTILE)


def _role(description: str) -> dict[str, object]:
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": ACCOUNT},
            "Action": "sts:AssumeRole",
        },
    }
    return {
        "RoleName": "R",
        "Description": description,
        "AssumeRolePolicyDocument": trust,
    }


def test_what_is_logged_for_a_person() -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    try:
        configure_logs(LogFormat.CONSOLE, stream=stream)
        log = structlog.get_logger("terminal")
        log.warning(HOSTILE, path=HOSTILE)
        try:
            _fail()
        except ValueError:
            log.exception("failed")
    finally:
        root.handlers, root.level = handlers, level
        structlog.reset_defaults()
    assert is_harmless(stream.getvalue())
    assert stream.getvalue().count(SPELT) == 2


@rows("letter", [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0))])
def test_every_control_is_spelt_out(letter: str) -> None:
    assert plain(letter) == ascii(letter)[1:-1]


@pytest.mark.parametrize("text", ["Zürich", "日本", "a [b] \\x1b", "…"])
def test_letters_stay_as_they_are(text: str) -> None:
    assert plain(text) == text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_long_work_says_how_far_it_is_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter((0.0, 0.5, 2.0, 2.1, 30.0, 31.0, *map(float, range(9))))
    monkeypatch.setattr("time.monotonic", lambda: next(times))
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", screen := Terminal())
        work = Progress("Applying")
        for done in (1, 10, 11, 75):
            work.tell(done, 100)
        assert work.end() == 31
    assert screen.getvalue() == (
        "\rApplying: 10 of 100, about 18s left\x1b[K"
        "\rApplying: 75 of 100, about 10s left\x1b[K\r\x1b[K"
    )
    work = Progress("Applying")
    work.tell(50)
    work.end()
    assert capsys.readouterr().err == ""
