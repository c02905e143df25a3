"""The credential report as a table: ages, warnings, and the file itself."""

import csv
import io
from datetime import UTC, datetime, timedelta

from lxml import html

from broker.administration.credential_report import CredentialReportRow, read_report
from broker.kinds.credential_report import COLUMNS
from tests.support.administrator import Administrator, enter
from tests.support.signin import ACCOUNT, text_of

REPORT = "/console/credential-report"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def days_ago(days: int) -> str:
    return (NOW - timedelta(days=days)).isoformat()


def read(**cells: str) -> CredentialReportRow:
    line = dict.fromkeys(COLUMNS, "N/A")
    line |= {column: "false" for column in COLUMNS if column.endswith("_active")}
    line |= {"user": "ann", "password_enabled": "false"}
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    writer.writerow({**line, **cells})
    (row,) = read_report(out.getvalue(), NOW)
    return row


def key(
    number: int, age: int, used: str = "N/A", active: str = "true"
) -> dict[str, str]:
    return {
        f"access_key_{number}_active": active,
        f"access_key_{number}_last_rotated": days_ago(age),
        f"access_key_{number}_last_used_date": used,
    }


def test_who_has_nothing_has_nothing_to_mend() -> None:
    assert read().warnings == ()


def test_old_and_unused_keys_are_told() -> None:
    assert read(**key(1, 89)).warnings == ()
    assert read(**key(1, 90, days_ago(1))).warnings == ("Key is 90 days old",)
    assert read(**key(2, 200)).warnings == ("Key is 200 days old", "Key was never used")
    assert read(**key(1, 200, days_ago(100))).warnings == (
        "Key is 200 days old",
        "Key not used for 100 days",
    )
    assert read(**key(1, 200, active="false")).warnings == ()


def test_passwords_want_mfa_and_use() -> None:
    password = {
        "password_enabled": "true",
        "password_last_used": "no_information",
        "password_last_changed": days_ago(1),
        "mfa_active": "false",
    }
    assert read(**password).warnings == ("Password without MFA",)
    password["mfa_active"] = "true"
    assert read(**password).warnings == ()
    password["password_last_changed"] = days_ago(91)
    assert read(**password).warnings == ("Password not used for 91 days",)
    password["password_last_used"] = days_ago(3)
    assert read(**password).warnings == ()


def test_root_s_key_is_told_and_its_password_is_not_supported() -> None:
    root = {"user": "<root_account>", "password_enabled": "not_supported"}
    row = read(**root, **key(1, 1))
    assert row.is_root
    assert row.warnings == ("The root user has an access key",)


async def test_the_report_is_made_shown_and_downloaded(admin: Administrator) -> None:
    new = "/console/users/new"
    for name in ("ann", "bob"):
        page = await admin.see(new)
        await admin.send(page, new, name=name, console="generate", key="yes")
    page = await admin.see(REPORT)
    assert "There is no report yet" in text_of(page)
    page = await admin.do(page, REPORT)
    rows = html.fromstring(page.text).xpath("//tbody/tr/th")
    assert [row.text_content() for row in rows] == ["Root user", "ann", "bob"]
    assert "With warnings: 2" in text_of(page)
    few = await admin.see(REPORT, q="AN", only="yes")
    rows = html.fromstring(few.text).xpath("//tbody/tr/th")
    assert [row.text_content() for row in rows] == ["ann"]
    file = await admin.see(f"{REPORT}/download")
    assert file.headers["content-type"] == "text/csv; charset=utf-8"
    assert file.headers["cache-control"] == "no-store"
    assert f"credential-report-{ACCOUNT}-" in file.headers["content-disposition"]
    assert file.text.splitlines()[0].split(",") == list(COLUMNS)
    admin.world.clock.move(timedelta(hours=5).total_seconds())
    later = await enter(admin.world)
    page = await later.see(REPORT)
    assert "more than 4 hours old" in text_of(page)
    missing = await later.browser.get(f"{REPORT}/download")
    assert missing.status_code == 410
