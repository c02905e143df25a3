import pytest

from tests.unit.cli.conftest import ACCOUNT, CommandLine

OTHER = "222222222222"


@pytest.fixture(autouse=True)
def _two_accounts(cli: CommandLine) -> None:
    cli("account", "create", ACCOUNT)
    cli("account", "create", OTHER)
    cli("account", "root-key", OTHER, "--deactivate")


def actions(cli: CommandLine, *words: str) -> list[str]:
    return [
        f"{record['action']} {record['account']}"
        for record in cli.lines("audit", "--json", *words)
    ]


def test_records_come_newest_first_as_json_lines(cli: CommandLine) -> None:
    assert actions(cli) == [
        f"broker:DeactivateRootKey {OTHER}",
        f"broker:CreateAccount {OTHER}",
        f"broker:CreateAccount {ACCOUNT}",
    ]


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (("--account", OTHER), 2),
        (("--action", "broker:CreateAccount"), 2),
        (("--account", OTHER, "--action", "broker:CreateAccount"), 1),
        (("--decision", "allowed"), 3),
        (("--decision", "denied"), 0),
        (("--caller", "operator:nobody-of-this-name"), 0),
        (("--key", "AKIAIOSFODNN7EXAMPLE"), 0),
        (("--provider", "arn:aws:iam::123456789012:saml-provider/Corp"), 0),
        (("--since", "1h"), 3),
        (("--until", "1h"), 0),
        (("--limit", "2"), 2),
    ],
)
def test_every_filter_narrows(
    cli: CommandLine, words: tuple[str, ...], count: int
) -> None:
    assert len(actions(cli, *words)) == count


def test_one_event_is_found_by_its_id(cli: CommandLine) -> None:
    (event,) = [r["event_id"] for r in cli.lines("audit", "--json", "--limit", "1")]
    assert actions(cli, "--event", event) == [f"broker:DeactivateRootKey {OTHER}"]


def test_a_person_reads_a_table_with_one_record_a_line(cli: CommandLine) -> None:
    table = cli("audit").splitlines()
    assert len(table) == 4
    assert table[0].split() == [
        *("When", "Account", "Action", "Caller", "From", "Outcome", "Event")
    ]
    assert OTHER in table[1]
    assert "broker:DeactivateRootKey" in table[1]


def test_nothing_found_is_said_beside_the_answer(cli: CommandLine) -> None:
    assert cli("audit", "--event", "none") == ""
    assert "No matching records" in cli.stderr


@pytest.mark.parametrize(
    "words", [("--since", "yesterday"), ("--account", "1"), ("--limit", "0")]
)
def test_a_filter_that_makes_no_sense_is_refused(
    cli: CommandLine, words: tuple[str, ...]
) -> None:
    cli("audit", *words, fails=True)
