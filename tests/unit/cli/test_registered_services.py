import json
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.errors import BrokerError, InvalidInput, NoSuchEntity
from broker.kinds import registered_services as rules
from broker.protocols.enforcement import parse_definition as parse
from tests.unit.cli.conftest import ACCOUNT, CommandLine

ARN = f"arn:aws:broker::{ACCOUNT}:service/orders"
HOST = ("--host", "orders.example.com")
DEFINITION = """\
Hosts: [orders.example.com]
ResourceTypes: {order: "order/{id}"}
Actions:
  GetOrder: {AccessLevel: Read, ResourceTypes: [order]}
Routes:
  - {Methods: [GET], Path: "/orders/{id}", Action: GetOrder}
"""
TEMPLATE = f"""\
Accounts:
  '{ACCOUNT}':
    Services:
      - ServiceName: orders
        Definition:
          Hosts: [orders.example.com]
          Scopes: [orders]
    ResourcePolicies:
      - ResourceArn: arn:aws:execute-api:us-east-1:{ACCOUNT}:orders/$default
        PolicyDocument:
          Version: '2012-10-17'
          Statement:
            - Effect: Allow
              Principal: {{AWS: arn:aws:iam::{ACCOUNT}:root}}
              Action: execute-api:Invoke
              Resource: '*'
"""


@pytest.fixture(autouse=True)
def _account(account: object) -> None:
    pass


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "orders.yaml"
    path.write_text(DEFINITION)
    return str(path)


def test_a_service_is_registered_shown_changed_and_deleted(
    cli: CommandLine, file: str
) -> None:
    assert cli("services", "set", "orders", "--account", ACCOUNT, *HOST).strip() == ARN
    (listed,) = cli.lines("services", "list", "--json")
    assert listed == {
        "Arn": ARN,
        "ServiceName": "orders",
        "Definition": {"Hosts": ["orders.example.com"]},
        "Tokens": 0,
    }
    assert "execute-api" in cli("services", "list")
    cli("services", "set", "orders", file, "--account", ACCOUNT)
    view = cli.json("services", "show", "orders", "--account", ACCOUNT)
    assert view["Definition"]["Routes"][0]["Action"] == "GetOrder"
    (second, first) = cli.audit("broker:PutService")
    assert first["resources"] == second["resources"] == [ARN]
    cli("services", "delete", "orders", "--account", ACCOUNT)
    assert cli.lines("services", "list", "--json") == []
    with pytest.raises(NoSuchEntity):
        cli("services", "show", "orders", "--account", ACCOUNT)


@pytest.mark.parametrize(
    "name", ["sts", "broker", "execute-api", "Orders", "or ders", "-x"]
)
def test_a_name_that_cannot_be_a_prefix_is_refused(cli: CommandLine, name: str) -> None:
    with pytest.raises(BrokerError):
        cli("services", "set", "--account", ACCOUNT, "--", name)


def test_a_token_is_printed_once_and_kept_as_a_hash(cli: CommandLine) -> None:
    cli("services", "set", "orders", "--account", ACCOUNT, *HOST)
    words = ("services", "token", "orders", "--account", ACCOUNT)
    made = cli.json(*words, "--days", "3", "--address", "10.0.0.0/8")
    assert made["Token"].startswith(f"bst.{ACCOUNT}.")
    text = cli("services", "show", "orders", "--account", ACCOUNT)
    assert json.loads(text)["Tokens"] == [
        {
            "TokenId": made["TokenId"],
            "Expires": made["Expires"],
            "Addresses": ["10.0.0.0/8"],
        }
    ]
    secret = made["Token"].rpartition(".")[2]
    assert secret not in text + cli("audit", "--json")
    stored = b"".join(p.read_bytes() for p in cli.folder.rglob("broker.db*"))
    assert secret.encode() not in stored
    revoke = ("services", "revoke-token", "orders", made["TokenId"])
    assert cli.json(*revoke, "--account", ACCOUNT) == {"Revoked": made["TokenId"]}
    after = cli.json("services", "show", "orders", "--account", ACCOUNT)
    assert after["Tokens"] == []
    with pytest.raises(NoSuchEntity):
        cli(*revoke, "--account", ACCOUNT)
    for bad in (("--days", "0"), ("--days", "367"), ("--address", "10.0.0.1/8")):
        with pytest.raises(BrokerError):
            cli(*words, *bad)


def test_apply_and_export_agree(
    cli: CommandLine, applied: Callable[[str], str]
) -> None:
    first = applied(TEMPLATE)
    assert "service orders" in first
    assert "resource policy arn:aws:execute-api" in first
    assert applied(TEMPLATE) == ""
    exported = cli("export", ACCOUNT)
    assert "Scopes" in exported
    assert applied(exported) == ""
    without = TEMPLATE.partition("    Services:")[0]
    pruned = without + "    Services: []\n    ResourcePolicies: []\n"
    cli("apply", "-", "--prune", stdin=pruned)
    assert "orders" not in cli("export", ACCOUNT)


def test_a_policy_of_no_registered_service_is_refused(cli: CommandLine) -> None:
    wrong = TEMPLATE.replace(":orders/$default", ":stock/$default")
    cli("apply", "-", stdin=wrong, fails=True)
    assert "no registered service" in cli.stderr


def test_doctor_names_services_that_any_host_may_reach(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were registered before hosts were required."""
    cli("services", "set", "orders", "--account", ACCOUNT, *HOST)
    assert "any host" not in cli("doctor")
    chunks = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    path = cli.folder / "stock.yaml"
    path.write_text(f"Signature: {{Payloads: [{chunks}]}}")
    with monkeypatch.context() as before:
        before.setattr(
            rules, "parse_new_definition", lambda text, name, **_: parse(text, name)
        )
        cli("services", "set", "stock", str(path), "--account", ACCOUNT)
    printed = cli("doctor")
    arn = f"arn:aws:broker::{ACCOUNT}:service/stock"
    assert f"{arn} accepts requests that are signed for any host" in printed
    assert f"{arn} lists {chunks}, which is refused" in printed
    assert f"{ARN} accepts" not in printed


def test_doctor_names_policies_on_keys_that_nothing_brings(
    cli: CommandLine, file: str
) -> None:
    cli("services", "set", "orders", file, "--account", ACCOUNT)
    template = f"""\
Accounts:
  '{ACCOUNT}':
    ManagedPolicies:
      - ManagedPolicyName: Sizes
        PolicyDocument: &sizes
          Version: '2012-10-17'
          Statement:
            Effect: Deny
            Action: orders:GetOrder
            Resource: '*'
            Condition: {{StringEquals: {{'orders:Size': big, 'aws:username': ann}}}}
"""
    cli("apply", "-", stdin=template.replace("&sizes", ""))
    printed = cli("doctor")
    assert (
        "Statement 1: orders:Size is not a condition key that orders declares"
        in printed
    )
    assert "aws:username" not in printed


def test_a_definition_is_a_file_or_hosts(cli: CommandLine, file: str) -> None:
    words = ("services", "set", "orders", "--account", ACCOUNT)
    for both in ((file, *HOST), (file, "--delete"), (*HOST, "--delete")):
        cli(*words, *both, fails=True)
    with pytest.raises(InvalidInput, match="Hosts: is required"):
        cli(*words)
    cli(*words, *HOST, "--host", "b.example.com:8443")
    view = cli.json("services", "show", "orders", "--account", ACCOUNT)
    assert view["Definition"]["Hosts"] == ["orders.example.com", "b.example.com:8443"]


def test_doctor_tells_of_tokens_that_expire_soon(cli: CommandLine) -> None:
    cli("services", "set", "orders", "--account", ACCOUNT, *HOST)
    words = ("services", "token", "orders", "--account", ACCOUNT, "--days")
    soon, later = cli.json(*words, "3"), cli.json(*words, "30")
    printed = cli("doctor")
    assert "services: 1 registered" in printed
    assert f"the token {soon['TokenId']} of {ARN} expires at" in printed
    assert later["TokenId"] not in printed
