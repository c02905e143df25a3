import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from broker.cli.main import app
from broker.errors import OperatorError
from tests.unit.cli.conftest import ACCOUNT, CommandLine

SAMPLES = Path(__file__).parents[3] / "samples"
USERS = f'Accounts: {{"{ACCOUNT}": {{Users: [{{UserName: ana}}, {{UserName: ben}}]}}}}'
ONE_USER = f'Accounts: {{"{ACCOUNT}": {{Users: [{{UserName: ana}}]}}}}'


def test_the_sample_applies_once_and_then_changes_nothing(cli: CommandLine) -> None:
    sample = str(SAMPLES / "account.yaml")
    said = cli("apply", sample).splitlines()
    assert "+ 123456789012 role Deploy" in said
    # A change's details are lines of their own.
    assert "    Quotas.PoliciesPerRole: default -> 20" in said
    assert cli("apply", sample) == ""
    assert "No changes" in cli.stderr


def test_a_dry_run_prints_the_same_and_writes_nothing(cli: CommandLine) -> None:
    sample = str(SAMPLES / "account.yaml")
    planned = cli("apply", sample, "--dry-run")
    assert re.match(r"Dry run \(\d+\.\d s\): nothing was changed", cli.stderr)
    assert cli("apply", sample) == planned


def test_an_export_applied_again_changes_nothing(
    cli: CommandLine, applied: Callable[[str], str]
) -> None:
    cli("apply", str(SAMPLES / "account.yaml"))
    exported = cli("export", ACCOUNT)
    assert applied(exported) == ""


def test_profiles_of_one_name_are_listed_and_fit_no_template(
    cli: CommandLine, applied: Callable[[str], str]
) -> None:
    profiles = "Profiles: [{Name: a, RoleArns: []}, {Name: b, RoleArns: []}]"
    template = f'Accounts: {{"{ACCOUNT}": {{{profiles}}}}}'
    applied(template)
    with sqlite3.connect(cli.folder / "data" / "broker.db") as database:
        database.execute("UPDATE certificate_profiles SET name = 'a'")
    assert [profile["Name"] for profile in cli.lines("get", "Profiles", "--json")] == [
        "a",
        "a",
    ]
    with pytest.raises(OperatorError, match="several profiles have this name"):
        cli("export", ACCOUNT)
    cli("apply", "-", stdin=template, fails=True)
    assert "several profiles have this name" in cli.stderr


def test_only_prune_deletes(cli: CommandLine, applied: Callable[[str], str]) -> None:
    applied(USERS)
    assert "! 123456789012 user ben" in applied(ONE_USER)
    assert "- 123456789012 user ben" in cli("apply", "-", "--prune", stdin=ONE_USER)
    assert "ben" not in cli("export", ACCOUNT)


ANCHORS = """Accounts:
  "123456789012":
    TrustAnchors:
      - Name: corp
        Source:
          SourceType: CERTIFICATE_BUNDLE
          SourceData:
            X509CertificateData: none
"""
ROLE_OF_NOBODY = """Accounts:
  "123456789012":
    Roles:
      - RoleName: Deploy.All
        AssumeRolePolicyDocument:
          Version: "2012-10-17"
          Statement:
            - Effect: Allow
              Principal: {AWS: "arn:aws:iam::123456789012:user/nobody"}
              Action: "sts:AssumeRole"
"""


NO_POLICY = "arn:aws:iam::123456789012:policy/None"
BOUNDED = f"""Accounts:
  "123456789012":
    Users: [{{UserName: ana,
      PermissionsBoundary: "{NO_POLICY}"}}]
"""
ATTACHED = BOUNDED.replace("PermissionsBoundary", "ManagedPolicyArns").replace(
    f'"{NO_POLICY}"', f"['arn:aws:iam::aws:policy/ReadOnlyAccess',\n '{NO_POLICY}']"
)


@pytest.mark.parametrize(
    ("template", "line", "place"),
    [
        (USERS.replace(": ben", ": ben, Shoe: 43"), 1, "Users[1].Shoe"),
        (ANCHORS, 8, "TrustAnchors[0].Source.SourceData.X509CertificateData"),
        (ROLE_OF_NOBODY, 5, "Roles[0].AssumeRolePolicyDocument"),
        (BOUNDED, 4, "Users[0].PermissionsBoundary"),
        (ATTACHED, 5, f"Users[0].ManagedPolicyArns.{NO_POLICY}"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_place(
    cli: CommandLine, template: str, line: int, place: str
) -> None:
    file = cli.folder / "template.yaml"
    file.write_text(template)
    cli("apply", str(file), fails=True)
    assert f"template.yaml: line {line}: Accounts.{ACCOUNT}.{place}: " in cli.stderr


FAULTY = """Accounts:
  "123456789012":
    Alias: 7
    PasswordPolicy: {MaxPasswordAge: 0, HardExpiry: maybe}
    Users:
      - UserName: "a b"
        Shoe: 43
        Policies:
          - PolicyName: first
            PolicyDocument: {Version: "2012-10-17", Statement: [{Effect: Maybe}]}
          - PolicyName: "t w o"
            PolicyDocument: {}
      - UserName: ana
      - UserName: Ana
      - 7
    Roles: all
    Broker:
      Quotas: {RolesPerAccount: -1, UsersPerAccount: x}
      DisabledRegions: [nowhere, us-east-1]
      RootManagedBy: "12"
      Shoe: 43
  "12": {}
Shoes: 1
"""
FAULTS = {
    3: ["Alias"],
    4: ["PasswordPolicy.MaxPasswordAge", "PasswordPolicy.HardExpiry"],
    6: ["Users[0].UserName"],
    7: ["Users[0].Shoe"],
    10: ["Users[0].Policies[0].PolicyDocument"],
    11: ["Users[0].Policies[1].PolicyName"],
    14: ["Users[2]"],
    15: ["Users[3]"],
    16: ["Roles"],
    18: ["Broker.Quotas.RolesPerAccount", "Broker.Quotas.UsersPerAccount"],
    19: ["Broker.DisabledRegions", "Broker.DisabledRegions"],
    20: ["Broker.RootManagedBy"],
    21: ["Broker.Shoe"],
}


@pytest.mark.parametrize("option", ["--check", "--dry-run"])
def test_every_fault_of_a_file_is_told_in_one_run(
    cli: CommandLine, option: str
) -> None:
    file = cli.folder / "template.yaml"
    file.write_text(FAULTY)
    cli("apply", option, str(file), fails=True)
    expected = [
        *(
            f"line {line}: Accounts.{ACCOUNT}.{place}"
            for line, places in FAULTS.items()
            for place in places
        ),
        "line 22: Accounts.12",
        "line 23: Shoes",
    ]
    told = [line.removeprefix(f"broker: {file}: ") for line in cli.stderr.splitlines()]
    assert [": ".join(line.split(": ")[:2]) for line in told] == expected


def test_every_key_that_comes_twice_is_told(cli: CommandLine) -> None:
    text = "Accounts: {}\nAccounts: {}\nOther: {a: 1, a: 2}\n"
    cli("apply", "--check", "-", stdin=text, fails=True)
    assert "line 2: 'Accounts' comes twice" in cli.stderr
    assert "line 3: 'a' comes twice" in cli.stderr


def test_of_very_many_faults_the_rest_is_counted(cli: CommandLine) -> None:
    users = "".join("\n      - {Shoe: 43}" for _ in range(500))
    text = f'Accounts:\n  "{ACCOUNT}":\n    Users:{users}\n'
    cli("apply", "--check", "-", stdin=text, fails=True)
    lines = cli.stderr.splitlines()
    assert len(lines) == 101
    assert lines[-1] == "broker: -: and 900 more"


def test_a_file_is_checked_where_there_is_no_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BROKER_DATA_DIR", "data")
    result = CliRunner().invoke(
        app, ["apply", "--check", str(SAMPLES / "account.yaml")]
    )
    assert result.exit_code == 0
    assert "account.yaml is a template." in result.stderr
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("content", [b"\xff\xfe", b""])
def test_a_file_that_is_not_a_template_is_refused(
    cli: CommandLine, content: bytes
) -> None:
    file = cli.folder / "template.yaml"
    file.write_bytes(content)
    cli("apply", str(file), fails=True)


def test_a_missing_file_is_named(cli: CommandLine) -> None:
    cli("apply", str(cli.folder / "none.yaml"), fails=True)
    assert "none.yaml" in cli.stderr


@pytest.mark.parametrize(
    "name", [p.name for p in sorted((SAMPLES / "policies").iterdir())]
)
def test_the_sample_policies_are_policies(
    applied: Callable[[str], str], name: str
) -> None:
    document = (SAMPLES / "policies" / name).read_text()
    applied((SAMPLES / "account.yaml").read_text())
    if name.startswith("trust-"):
        what = f"Roles: [{{RoleName: New, AssumeRolePolicyDocument: {document}}}]"
    else:
        what = (
            f"ManagedPolicies: [{{ManagedPolicyName: New, PolicyDocument: {document}}}]"
        )
    assert "New" in applied(f'Accounts: {{"{ACCOUNT}": {{{what}}}}}')


NEW = """
Accounts:
  "123456789012":
    OIDCProviders:
      - {Url: "https://idp.invalid/x", ClientIdList: [a]}
      - {Url: "https://idp.invalid/x/", ClientIdList: [a]}
"""


def test_new_providers_are_looked_at_once(cli: CommandLine) -> None:
    cli("apply", "-", "--dry-run", stdin=NEW)
    assert "idp.invalid" not in cli.stderr
    cli("apply", "-", stdin=NEW)
    assert "Its keys cannot be read: https://idp.invalid/x/.well-known" in cli.stderr
    assert "https://idp.invalid/x/ is registered, too, and is almost the same" in (
        cli.stderr
    )
    cli("apply", "-", stdin=NEW)
    assert re.fullmatch(r"No changes \(\d+\.\d s\)\.\n", cli.stderr)


def test_yaml_of_a_kind_is_as_export_writes_it(
    cli: CommandLine, applied: Callable[[str], str]
) -> None:
    applied("Accounts: {'123456789012': {Users: [{UserName: ana}, {UserName: ben}]}}")
    printed = cli("get", "users", "--yaml")
    assert printed == cli("export", ACCOUNT)
    assert "ben" not in cli("get", "users", "ana", "--yaml")
    cli("get", "--yaml", fails=True)
    cli("get", "users", "--yaml", "--json", fails=True)
