import json
from pathlib import Path

import pytest
import yaml

from broker.errors import NoSuchEntity
from tests.support.oidc_issuer import OidcIssuer
from tests.unit.cli.conftest import CommandLine

SAMPLES = Path(__file__).parents[3] / "samples"
SAML = "arn:aws:iam::123456789012:saml-provider/Corp"
ACCOUNT = "123456789012"
KEYS = json.dumps(OidcIssuer("https://idp.invalid").jwks())
OIDC = "arn:aws:iam::123456789012:oidc-provider/idp.invalid"


@pytest.fixture(autouse=True)
def _set_up(cli: CommandLine) -> None:
    template = (SAMPLES / "account.yaml").read_text()
    # A name that never resolves: nothing is fetched.
    template = template.replace("token.actions.githubusercontent.com", "idp.invalid")
    cli("apply", "-", stdin=template)


def test_all_providers_are_listed_with_their_options(cli: CommandLine) -> None:
    saml, oidc = cli.lines("providers", "list", "--json")
    assert saml == {"Arn": SAML, "Issuer": "", "Options": {"Profile": "strict"}}
    assert oidc["Arn"] == OIDC
    assert oidc["Issuer"] == "https://idp.invalid"
    table = cli("providers", "list")
    assert SAML in table
    assert "Profile=strict" in table


def test_options_are_listed_as_they_are_set(cli: CommandLine) -> None:
    roles = '{"staff": ["arn:aws:iam::123456789012:role/R"]}'
    cli("providers", "set", SAML, "AllowSha1=true", f"GroupRoles={roles}")
    (row,) = [row for row in cli("providers", "list").splitlines() if SAML in row]
    assert "AllowSha1=true" in row
    assert f"GroupRoles={roles}" in row


@pytest.mark.parametrize(
    ("arn", "setting", "option", "value"),
    [
        (SAML, "Profile=aws", "Profile", "aws"),
        (SAML, "AllowSha1=true", "AllowSha1", True),
        (SAML, "Audiences=urn:a, urn:b", "Audiences", ["urn:a", "urn:b"]),
        (OIDC, "OneTimeUse=TRUE", "OneTimeUse", True),
        (OIDC, "Algorithms=ES256", "Algorithms", ["ES256"]),
        (OIDC, "ClaimKeys=a, b/c", "ClaimKeys", ["a", "b/c"]),
        (OIDC, f"StaticJwks={KEYS}", "StaticJwks", KEYS),
    ],
)
def test_an_option_is_set_audited_and_taken_away(
    cli: CommandLine, arn: str, setting: str, option: str, value: object
) -> None:
    assert cli.json("providers", "set", arn, setting)[option] == value
    (record,) = cli.audit("broker:SetProviderOptions")
    assert record["parameters"]["Options"] == {option: value}
    assert record["resources"] == [arn]
    assert option not in cli.json("providers", "set", arn, f"{option}=")


@pytest.mark.parametrize(
    ("arn", "setting", "says"),
    [
        (SAML, "Profile=lax", "strict or aws"),
        (SAML, "AllowSha1=maybe", "true or false"),
        (SAML, f"MetadataUrl=https://a.invalid/{65_536 * 'x'}", "longer than 65536"),
        (SAML, "OneTimeUse=true", "is not an option"),
        (SAML, "Profile", "is not an option"),
        (OIDC, "AllowSha1=true", "is not an option"),
        (OIDC, "ClaimKeys=sub", "a key without it"),
        (OIDC, "Algorithms=none", "known are"),
        (OIDC, "StaticJwks=nonsense", "not JSON"),
        (OIDC, "StaticJwks=[]", "not a JWK set"),
        (OIDC, "StaticJwks=@/nonexistent", "cannot be read"),
        (OIDC, 'StaticJwks={"keys": []}', "it is empty"),
        (OIDC, 'StaticJwks={"keys": [{"kty": "oct", "k": "x"}]}', "private key"),
        (OIDC, "GroupRoles=@/nonexistent", "cannot be read"),
        ("Corp", "Profile=aws", "not a provider's ARN"),
    ],
)
def test_invalid_settings_are_refused_and_change_nothing(
    cli: CommandLine, arn: str, setting: str, says: str
) -> None:
    before = cli("providers", "list", "--json")
    cli("providers", "set", arn, setting, fails=True)
    assert says in " ".join(cli.stderr.replace("│", " ").split())
    assert cli("providers", "list", "--json") == before
    assert cli.audit("broker:SetProviderOptions") == []


@pytest.mark.parametrize(
    ("providers", "says"),
    [
        ({"SAMLProviders": {"AllowSHA1": True}}, "AllowSHA1 is not an option"),
        ({"SAMLProviders": {"OneTimeUse": True}}, "OneTimeUse is not an option"),
        ({"OIDCProviders": {"AllowSha1": True}}, "AllowSha1 is not an option"),
        ({"OIDCProviders": {"StaticJwks": {"keys": []}}}, "it is empty"),
        ({"OIDCProviders": {"ClientSecret": "s3cret"}}, "cannot be in a template"),
    ],
)
def test_a_template_is_held_to_the_same_options(
    cli: CommandLine, providers: dict[str, dict[str, object]], says: str
) -> None:
    before = cli("export", ACCOUNT)
    template = yaml.safe_load(before)
    for kind, options in providers.items():
        (account,) = template["Accounts"].values()
        account[kind][0]["Broker"] = options
    cli("apply", "-", stdin=yaml.safe_dump(template), fails=True)
    assert says in cli.stderr
    assert "s3cret" not in cli.stderr
    assert cli("export", ACCOUNT) == before


def test_a_strangers_text_does_not_steer_the_terminal(
    cli: CommandLine, tmp_path: Path
) -> None:
    issuer = OidcIssuer("https://idp.invalid", audience="sts.amazonaws.com")
    cli("providers", "set", OIDC, f"StaticJwks={KEYS}")
    token = tmp_path / "token"
    token.write_text(issuer.token(email="a\x1b[2J\x9bb[/]"))
    text = cli("providers", "test", OIDC, "--token", str(token))
    assert r"email = a\x1b[2J\x9bb[/]" in text
    assert not set("\x1b\x9b") & set(text)


def test_an_unknown_provider_is_named(cli: CommandLine) -> None:
    with pytest.raises(NoSuchEntity, match="Other"):
        cli("providers", "set", SAML.replace("Corp", "Other"), "Profile=aws")


def test_what_an_identity_provider_must_be_told_is_shown(cli: CommandLine) -> None:
    text = cli("get", "provider", SAML)
    told = cli.json("get", "provider", SAML, "--json")
    identifier = told["AcsUrl"][0].rpartition("/")[2]
    for wanted in (
        f"http://127.0.0.1:8080/static/saml/{identifier}/saml-metadata.xml",
        f"http://127.0.0.1:8080/saml/acs/{identifier}",
        f"http://127.0.0.1:8080/saml/slo/{identifier}",
        "EntityId         http://127.0.0.1:8080/saml\n",
        "https://aws.amazon.com/SAML/Attributes/Role = ",
        f"{SAML}",
        "Lasso",
        "any, with a Format",
    ):
        assert wanted in text, wanted
    assert told["EntityId"] == "http://127.0.0.1:8080/saml"


def test_the_keys_of_an_issuers_claims_are_shown(cli: CommandLine) -> None:
    cli("providers", "set", OIDC, "ClaimKeys=project_path,ci/tier", "ClientId=app")
    told = cli.json("get", "provider", OIDC, "--json")
    assert told["Issuer"] == "https://idp.invalid"
    assert "idp.invalid:sub" in told["ConditionKeys"]
    assert "idp.invalid:ci/tier" in told["ConditionKeys"]
    assert told["BackChannelLogoutUri"].endswith("/backchannel-logout")
    assert "ClaimKeys=['project_path', 'ci/tier']" in cli("get", "provider", OIDC)


def test_what_is_there_is_a_table_or_json(cli: CommandLine) -> None:
    listed = cli("get", "samlproviders").splitlines()
    assert [line.split() for line in listed] == [["Account", "Name"], [ACCOUNT, "Corp"]]
    (told,) = cli.lines("get", "SAMLProviders", "--json", "--account", ACCOUNT)
    assert (told["Account"], told["Name"]) == (ACCOUNT, "Corp")
    assert "EntityDescriptor" in told["SamlMetadataDocument"]
    assert "EntityDescriptor" in cli("get", "SAMLProvider", "corp")
    assert cli("get", "groups").split() == ["Account", "Name"]
    with pytest.raises(NoSuchEntity, match="no role Other"):
        cli("get", "role", "Other")
    cli("get", "rolls", fails=True)
    assert "Roles" in cli.stderr
