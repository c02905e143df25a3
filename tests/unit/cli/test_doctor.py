import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from broker.cli.findings import Finding, problem, warning
from tests.support.certificates import Issued, issue
from tests.support.oidc_issuer import OidcIssuer
from tests.support.rows import cases
from tests.support.saml_idp import metadata_xml
from tests.unit.cli.conftest import ACCOUNT, CommandLine

SAMPLES = Path(__file__).parents[3] / "samples"
RECIPES = SAMPLES.parent / "docs" / "recipes"


def findings(cli: CommandLine, *, fails: bool = False) -> dict[str, list[str]]:
    """The texts of the findings, by level."""
    results: dict[str, list[str]] = {"ok": [], "warning": [], "problem": []}
    text = cli("doctor", "--json", fails=fails)
    for line in cli.parse(text):
        results[line["level"]].append(f"{line['subject']}: {line['text']}")
        assert bool(line["remedy"]) is (line["level"] != "ok")
    return results


def test_a_fresh_installation_has_no_problem(
    cli: CommandLine, account: dict[str, str]
) -> None:
    results = findings(cli)
    assert results["problem"] == []
    assert any(account["AccessKeyId"] in text for text in results["warning"])
    assert any("share a folder" in text for text in results["warning"])
    assert "clock: in sync" in results["ok"]


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("is_served", [True, False])
def test_a_remedy_leads_to_the_page_where_the_broker_serves_it(
    cli: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    is_served: bool,
) -> None:
    if is_served:
        (tmp_path / "index.html").touch()
    monkeypatch.setattr("broker.cli.doctor.SITE", tmp_path)
    monkeypatch.setenv("BROKER_PUBLIC_URL", "https://broker.example.com")
    monkeypatch.setenv("BROKER_NO_SUCH_SETTING", "1")
    (remedy,) = (
        line["remedy"]
        for line in cli.parse(cli("doctor", "--json"))
        if "BROKER_NO_SUCH_SETTING" in line["text"]
    )
    address = "https://broker.example.com/docs/operating/settings.html"
    assert remedy.endswith(address if is_served else "see docs/operating/settings.md")


@pytest.mark.usefixtures("account")
def test_a_keyring_elsewhere_and_no_root_key_leave_nothing_to_warn_of(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("account", "root-key", ACCOUNT, "--deactivate")
    elsewhere = cli.folder / "elsewhere.json"
    (cli.folder / "data" / "keyring.json").rename(elsewhere)
    monkeypatch.setenv("BROKER_KEYRING_FILE", str(elsewhere))
    monkeypatch.setenv("BROKER_PUBLIC_URL", "https://broker.example.com")
    monkeypatch.setenv("BROKER_TRUSTED_PROXIES", "10.0.0.0/8")
    assert findings(cli)["warning"] == []


@pytest.mark.usefixtures("account")
def test_aliases_are_told_with_what_they_are_good_for(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = "sts.amazonaws.com, sts.eu-west-1.amazonaws.com, signin.aws.amazon.com, b"
    monkeypatch.setenv("BROKER_HOST_ALIASES", names)
    monkeypatch.setenv("BROKER_REGIONS", "us-east-1, eu-west-3")
    results = findings(cli)
    assert [text for text in results["ok"] if "also answers" in text] == [
        "settings: also answers as sts.amazonaws.com, only for signatures for us-east-1",
        (
            "settings: also answers as sts.eu-west-1.amazonaws.com, only for"
            " signatures for eu-west-1"
        ),
        (
            "settings: also answers as signin.aws.amazon.com; assertions made for"
            " https://signin.aws.amazon.com/saml are refused, except from providers whose"
            " Recipients name it"
        ),
        "settings: also answers as b",
    ]
    (told,) = (text for text in results["warning"] if "BROKER_REGIONS" in text)
    assert "sts.eu-west-1.amazonaws.com" in told
    monkeypatch.setenv("BROKER_REGIONS", "*")
    recipient = "https://signin.aws.amazon.com/saml"
    monkeypatch.setenv("BROKER_SAML_RECIPIENTS", recipient)
    results = findings(cli)
    assert "settings: also answers as signin.aws.amazon.com" in results["ok"]
    assert not any("BROKER_REGIONS" in text for text in results["warning"])


ISSUER = f"""
Accounts:
  "{ACCOUNT}":
    Broker: {{OutboundWebIdentityFederation: true}}
"""


@pytest.mark.usefixtures("account")
def test_an_issuers_keys_from_before_certificates_are_told_of_until_they_are_over(
    cli: CommandLine, applied: Callable[[str], str]
) -> None:
    applied(ISSUER)
    assert not any("certificates" in text for text in findings(cli)["warning"])
    with closing(sqlite3.connect(cli.folder / "data" / "broker.db")) as connection:
        ((text,),) = connection.execute("SELECT options FROM accounts")
        options = json.loads(text)
        for key in options["OutboundWebIdentityFederation"]["keys"]:
            del key["certificate"]
        connection.execute("UPDATE accounts SET options = ?", (json.dumps(options),))
        connection.commit()
    (told,) = (t for t in findings(cli)["warning"] if "without certificates" in t)
    assert ACCOUNT in told
    cli("account", "rotate-issuer-keys", ACCOUNT)
    with closing(sqlite3.connect(cli.folder / "data" / "broker.db")) as connection:
        ((text,),) = connection.execute("SELECT options FROM accounts")
    keys = json.loads(text)["OutboundWebIdentityFederation"]["keys"]
    assert {key["kid"] for key in keys if key["certificate"]} == {"RSA_1", "EC384_1"}


@pytest.mark.usefixtures("account")
def test_organisations_that_name_what_is_not_there(
    cli: CommandLine, applied: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cli.folder / "organisations.yaml"
    monkeypatch.setenv("BROKER_ORGANISATIONS_FILE", str(path))

    def told(accounts: str, name: str = "corp", *, fails: bool = False) -> list[str]:
        path.write_text(f"Organisations: {{{name}: {{Accounts: {{{accounts}}}}}}}")
        return [
            text.removeprefix("organisations: ")
            for texts in findings(cli, fails=fails).values()
            for text in texts
            if text.startswith("organisations:")
        ]

    users = f'"{ACCOUNT}": {{Passwords: true}}'
    corp = "{Providers: [saml-provider/Corp]}"
    own, arn = f'"{ACCOUNT}": {corp}', f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp"
    assert told(users) == ["corp has 1 account"]
    assert told(own, fails=True) == [
        "no sign-in to corp can begin here",
        f"corp names {arn}, which does not exist",
    ]
    assert told(f'"999999999999": {corp}, {users}', fails=True) == [
        "corp names the account 999999999999, which does not exist"
    ]
    applied(
        f'Accounts: {{"{ACCOUNT}": {{SAMLProviders: [{{Name: Corp,'
        f" SamlMetadataDocument: {json.dumps(metadata_xml())}}}]}}}}"
    )
    assert told(own) == ["no sign-in to corp can begin here"]
    cli("providers", "set", arn, "SignIn=true")
    assert told(own) == ["corp has 1 account"]
    directory = f'"{ACCOUNT}": {{Providers: [ldap-provider/people]}}'
    assert told(directory, fails=True)[1].endswith("people, which does not exist")
    _describe_directory(cli.folder, monkeypatch)
    applied(
        f'Accounts: {{"{ACCOUNT}": {{LDAPProviders: [{{Name: people, Directory: people,'
        " Broker: {SignIn: true}}]}}"
    )
    # Nothing serves the directory.
    assert told(directory, fails=True) == ["corp has 1 account"]
    (hidden,) = told(own, "example", fails=True)
    assert hidden.startswith(f"example is also the alias of {ACCOUNT}")


def _describe_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "bind-password").write_text("secret")
    directory = {
        "Kind": "OpenLDAP",
        "Servers": ["ldaps://localhost:1"],
        "BindDN": "cn=broker",
        "BindPasswordFile": "bind-password",
        "Base": "dc=example",
    }
    path = folder / "directories.yaml"
    path.write_text(json.dumps({"Directories": {"people": directory}}))
    monkeypatch.setenv("BROKER_DIRECTORIES_FILE", str(path))


def test_an_empty_place_is_told_to_start_the_service(cli: CommandLine) -> None:
    (cli.folder / "data" / "broker.db").unlink()
    assert "is empty" in " ".join(findings(cli, fails=True)["problem"])
    assert not (cli.folder / "data" / "broker.db").exists()


@pytest.mark.usefixtures("account")
def test_a_missing_keyring_is_a_problem(cli: CommandLine) -> None:
    (cli.folder / "data" / "keyring.json").unlink()
    assert "is missing" in " ".join(findings(cli, fails=True)["problem"])


@pytest.mark.usefixtures("account")
def test_another_databases_keyring_is_a_problem(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_DATA_DIR", str(cli.folder / "other"))
    cli("account", "create", ACCOUNT)
    keyring = cli.folder / "other" / "keyring.json"
    monkeypatch.setenv("BROKER_DATA_DIR", str(cli.folder / "data"))
    monkeypatch.setenv("BROKER_KEYRING_FILE", str(keyring))
    assert "keyring does not have" in " ".join(findings(cli, fails=True)["problem"])


@pytest.mark.usefixtures("account")
def test_an_open_keyring_and_folder_are_told(cli: CommandLine) -> None:
    data = cli.folder / "data"
    data.chmod(0o755)
    (data / "keyring.json").chmod(0o644)
    results = findings(cli, fails=True)
    assert "mode 0644" in " ".join(results["problem"])
    assert "other users can read" in " ".join(results["warning"])


@pytest.mark.usefixtures("account")
def test_a_directorys_password_that_others_can_read_is_told(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _describe_directory(cli.folder, monkeypatch)
    for mode in (0o644, 0o600):
        (cli.folder / "bind-password").chmod(mode)
        told = " ".join(findings(cli, fails=True)["warning"])
        assert ("others can read" in told) is (mode == 0o644)


def test_every_wrong_setting_is_named(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_STALE_SECONDS", "soon")
    monkeypatch.setenv("BROKER_AUDIT_DAYS", "-1")
    text = " ".join(findings(cli, fails=True)["problem"])
    assert "BROKER_STALE_SECONDS" in text
    assert "BROKER_AUDIT_DAYS" in text


def test_an_unknown_variable_is_reported(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BROKER_THING", "BROKER_PORT_80_TCP", "BROKER_SERVICE_HOST"):
        monkeypatch.setenv(name, "1")
    told = [text for text in findings(cli)["warning"] if "not a" in text]
    assert told == ["settings: BROKER_THING is not a setting and has no effect"]


def test_addresses_are_shown_without_their_secrets(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:1/b")
    monkeypatch.setenv("BROKER_REDIS_URL", "redis://:hunter3@redis.example.com")
    text = cli("doctor", fails=True)
    assert "hunter" not in text + cli.stderr
    assert "127.0.0.1:1" in text
    assert "not encrypted" in text


def test_providers_are_looked_at(cli: CommandLine) -> None:
    template = (SAMPLES / "account.yaml").read_text()
    template = template.replace("token.actions.githubusercontent.com", "idp.invalid")
    cli("apply", "-", stdin=template.replace("Profile: strict", "AllowSha1: true"))
    results = findings(cli, fails=True)
    assert any("AllowSha1=true" in text for text in results["warning"])
    assert any("its keys cannot be read" in text for text in results["problem"])


@cases("settings")
def test_exceptions_are_told_with_how_to_remove_them_and_nothing_else(
    cli: CommandLine, settings: list[str]
) -> None:
    cli("apply", "-", stdin=(SAMPLES / "account.yaml").read_text())
    arn = f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp"
    cli(
        "providers",
        "set",
        arn,
        *settings,
        "SignIn=true",
        "MetadataUrl=https://a.invalid",
    )

    def told() -> list[Any]:
        results = cli.parse(cli("doctor", "--json", fails=True))
        return [f for f in results if f["subject"] == arn and "exception" in f["text"]]

    (entry,) = told()
    for setting in settings[settings[0].startswith("Scim") :]:
        assert setting.lower() in entry["text"].lower()
    command = entry["remedy"].partition(", once")[0].removeprefix("broker ")
    left = cli.json(*command.split())
    assert left.items() >= {"SignIn": True, "MetadataUrl": "https://a.invalid"}.items()
    assert told() == []


def test_what_is_switched_off_is_no_exception(cli: CommandLine) -> None:
    cli("apply", "-", stdin=(SAMPLES / "account.yaml").read_text())
    arn = f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp"
    off = ["AllowSha1=false", "ScimSubject=userName", "ScimUnknown=refuse"]
    cli("providers", "set", arn, *off)
    assert "exception" not in cli("doctor", fails=True)


@pytest.mark.parametrize(
    ("others", "lines"),
    [
        ((problem("key 2", "is lost", "replace 2"),), ["✗ key 1, key 2: is lost"]),
        ((problem("key 1", "is lost", "replace 1"),), ["✗ key 1: is lost"]),
        (
            (problem("key 2", "is lost", "forget it"),),
            ["✗ key 1: is lost", "✗ key 2: is lost"],
        ),
        (
            (warning("key 2", "is lost", "replace 2"),),
            ["✗ key 1: is lost", "! key 2: is lost"],
        ),
    ],
)
def test_findings_are_of_a_kind_by_level_text_and_remedy(
    cli: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    others: tuple[Finding, ...],
    lines: list[str],
) -> None:
    async def examine() -> list[Finding]:
        return [problem("key 1", "is lost", "replace 1"), *others]

    monkeypatch.setattr("broker.cli.doctor._examine", examine)
    printed = cli("doctor", fails=True).splitlines()
    assert [line for line in printed if "→" not in line] == lines
    merged = len(lines) == 1 and "key 2" in lines[0]
    assert ("  → for the first: replace 1" in printed) is merged


def test_a_set_up_by_the_recipe_for_keycloak_is_fine(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_INTERNAL_ISSUERS", "127.0.0.1:1")
    page = (
        (RECIPES / "keycloak.md").read_text().replace("127.0.0.1:8180", "127.0.0.1:1")
    )
    oidc = page.partition("`keycloak.yaml`:\n\n```yaml\n")[2].partition("```")[0]
    saml = page.partition("## With SAML")[2].partition("```yaml\n")[2]
    saml = saml.partition("```")[0].replace(
        "|\n          the text of https://keycloak.example.com/realms/example"
        "/protocol/saml/descriptor",
        json.dumps(metadata_xml()),
    )
    cli("apply", "-", stdin=oidc.replace("    Roles:", f"{saml}    Roles:"))
    arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/127.0.0.1:1/realms/example"
    (cli.folder / "secret").write_text("hunter2")
    cli("providers", "set", arn, f"ClientSecret=@{cli.folder}/secret")
    with closing(sqlite3.connect(cli.folder / "data" / "broker.db")) as connection:
        ((options,),) = connection.execute("SELECT options FROM oidc_providers")
    printed = cli("doctor", "--json", fails=True)
    assert json.loads(options)["ClientSecret"] not in printed
    told = {
        f["text"]
        for f in cli.parse(printed)
        if "provider/" in f["subject"] and f["level"] != "ok"
    }
    # Neither of the two is there.
    assert {text.partition(":")[0] for text in told} == {
        "its keys cannot be read",
        "https",
    }


def test_findings_of_a_kind_are_a_line_with_their_number(cli: CommandLine) -> None:
    numbers = [f"{count:012}" for count in range(1, 6)]
    keys = {}
    for number in numbers:
        keys[number] = cli.json("account", "create", number)["AccessKeyId"]
        saml = f"{{Name: Corp, SamlMetadataDocument: {json.dumps(metadata_xml())}}}"
        text = f'Accounts: {{"{number}": {{SAMLProviders: [{saml}]}}}}'
        cli("apply", "-", stdin=text)
    lines = cli("doctor").splitlines()
    at = [lines.index(line) for line in lines if "root key" in line]
    assert lines[at[0]] == "! " + (
        ", ".join(f"root key {keys[number]} of {number}" for number in numbers[:3])
        + " and 2 more: is active"
    )
    assert lines[at[0] + 1] == (
        f"  → for the first: broker account root-key {numbers[0]} --deactivate, once"
        " roles replace it"
    )
    (told,) = [line for line in lines if "metadata is in order" in line]
    assert told.endswith(
        "000000000003:saml-provider/Corp and 2 more: metadata is in order"
    )
    # Programs get each of them.
    results = cli.parse(cli("doctor", "--json"))
    assert sum(entry["text"] == "is active" for entry in results) == len(numbers)


TRUST = """
Accounts:
  "123456789012":
    SAMLProviders:
      - Name: Corp
        SamlMetadataDocument: {metadata}
    Roles:
      - RoleName: Reader
        AssumeRolePolicyDocument:
          Version: 2012-10-17
          Statement:
            Effect: Allow
            Principal: {{Federated: "arn:aws:iam::123456789012:saml-provider/Corp"}}
            Action: sts:AssumeRoleWithSAML
            Condition: {{{operator}: {{"SAML:aud": "{value}"}}}}
"""
AWS = "https://signin.aws.amazon.com/saml"


@cases("operator, value, fits")
def test_a_trust_policy_that_no_response_here_matches_is_told(
    cli: CommandLine, operator: str, value: str, fits: bool
) -> None:
    metadata = json.dumps(metadata_xml())
    text = TRUST.format(metadata=metadata, operator=operator, value=value)
    cli("apply", "-", stdin=text)
    told = [text for text in findings(cli)["warning"] if "SAML:aud" in text]
    assert bool(told) is not fits
    assert all(value in text for text in told)


def test_a_recipient_that_is_accepted_may_be_asked_for(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = json.dumps(metadata_xml())
    text = TRUST.format(metadata=metadata, operator="StringEquals", value=AWS)
    cli("apply", "-", stdin=text)
    monkeypatch.setenv("BROKER_SAML_RECIPIENTS", AWS)
    assert not any("SAML:aud" in text for text in findings(cli)["warning"])


MAPPED = """
Accounts:
  "123456789012":
    OIDCProviders:
      - Url: https://IdP.example/realm
        ClientIdList: [broker, app]
        Broker:
          StaticJwks: {keys}
          ClaimKeys: [groups]
          GroupRoles:
            /operators: [arn:aws:iam::123456789012:role/team/Operator]
            /others: [arn:aws:iam::123456789012:role/Elsewhere]
    Roles:
      - RoleName: Operator
        Path: /team/
        AssumeRolePolicyDocument:
          Version: 2012-10-17
          Statement:
            Effect: Allow
            Principal: {{Federated: "arn:aws:iam::123456789012:oidc-provider/IdP.example/realm"}}
            Action: sts:AssumeRoleWithWebIdentity
            Condition: {condition}
"""
OPEN = "only GroupRoles keeps arn:aws:iam::123456789012:role/team/Operator"


@cases("condition, is_open")
def test_a_mapped_role_that_its_trust_policy_leaves_open_is_told(
    cli: CommandLine, condition: dict[str, Any], *, is_open: bool
) -> None:
    keys = OidcIssuer("https://idp.example/realm").jwks()
    text = MAPPED.format(condition=json.dumps(condition), keys=json.dumps(keys))
    cli("apply", "-", "--dry-run", stdin=text)
    assert (OPEN in cli.stderr) is is_open
    cli("apply", "-", stdin=text)
    told = [text for text in findings(cli)["warning"] if OPEN in text]
    assert bool(told) is is_open


def test_groups_of_a_directory_are_for_no_trust_policy(cli: CommandLine) -> None:
    keys = OidcIssuer("https://idp.example/realm").jwks()
    text = MAPPED.format(condition="{}", keys=json.dumps(keys))
    text = text.replace("ClaimKeys: [groups]", "ScimSubject: userName")
    cli("apply", "-", stdin=text)
    assert OPEN not in cli.stderr
    told = findings(cli, fails=True)["warning"]
    assert not any(OPEN in text for text in told)


@pytest.mark.usefixtures("account")
def test_trust_anchors_and_lists_that_end_are_told(cli: CommandLine) -> None:
    soon = issue("Soon", is_authority=True, days=10)
    late = issue("Late", is_authority=True, days=400)
    past = issue("Past", is_authority=True, days=1, starts=-3)

    def anchor(name: str, by: Issued, *, enabled: bool = True) -> dict[str, object]:
        data = {"X509CertificateData": by.pem}
        source = {"SourceType": "CERTIFICATE_BUNDLE", "SourceData": data}
        return {"Name": name, "Enabled": enabled, "Source": source}

    def revoking(name: str, days: float) -> dict[str, object]:
        data = late.revoke(days=days).decode()
        more = {"TrustAnchorName": "late", "CrlData": data}
        return {"Name": name, "Enabled": True, **more}

    described = {
        "TrustAnchors": [
            anchor("soon", soon),
            anchor("late", late),
            anchor("past", past, enabled=False),
        ],
        "Crls": [revoking("due", 0.5), revoking("fresh", 7)],
    }
    path = cli.folder / "anchors.json"
    path.write_text(json.dumps({"Accounts": {ACCOUNT: described}}))
    cli("apply", str(path))
    results = findings(cli)
    assert "roles anywhere: 3 trust anchors" in results["ok"]
    ends, due = sorted(text for text in results["warning"] if "anywhere" in text)
    assert "CN=Soon" in ends
    assert "the revocation list due" in due


def test_invariants_are_judged_anew(cli: CommandLine, tmp_path: Path) -> None:
    """What broke one before it could be refused is told of, with the request."""
    reading = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    trust = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:*"}
    file = tmp_path / "account.json"

    def apply(denied: str) -> None:
        stated = {"Effect": "Deny", "Action": denied, "Resource": "*"}
        roles = {
            "RoleName": "ci",
            "AssumeRolePolicyDocument": document({**trust, "Action": "sts:AssumeRole"}),
            "Policies": [{"PolicyName": "p", "PolicyDocument": document(reading)}],
        }
        invariants = [{"PolicyName": "none", "PolicyDocument": document(stated)}]
        whole = {"Roles": [roles], "Broker": {"Invariants": invariants}}
        file.write_text(json.dumps({"Accounts": {ACCOUNT: whole}}))
        cli("apply", str(file))

    apply("sqs:*")
    assert f"invariants: {ACCOUNT} keeps its 1 invariant" in findings(cli)["ok"]
    with closing(sqlite3.connect(cli.folder / "data" / "broker.db")) as database:
        database.execute("UPDATE accounts SET options = replace(options, 'sqs', 's3')")
        database.commit()
    (told,) = (
        text
        for text in findings(cli, fails=True)["problem"]
        if text.startswith("invariants: ")
    )
    assert told.startswith(
        f"invariants: {ACCOUNT}: The invariant none is broken: "
        f"arn:aws:iam::{ACCOUNT}:role/ci could s3:"
    )


def document(statement: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": statement}
