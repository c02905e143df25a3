from pathlib import Path

import pytest

from broker.errors import NoSuchEntity
from tests.unit.cli.conftest import CommandLine

SAMPLES = Path(__file__).parents[3] / "samples"
SAML = "arn:aws:iam::123456789012:saml-provider/Corp"
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


@pytest.mark.parametrize(
    ("arn", "setting", "option", "value"),
    [
        (SAML, "Profile=aws", "Profile", "aws"),
        (SAML, "AllowSha1=true", "AllowSha1", True),
        (SAML, "Audiences=urn:a, urn:b", "Audiences", ["urn:a", "urn:b"]),
        (OIDC, "OneTimeUse=TRUE", "OneTimeUse", True),
        (OIDC, "Algorithms=ES256", "Algorithms", ["ES256"]),
        (OIDC, 'StaticJwks={"keys":[]}', "StaticJwks", '{"keys":[]}'),
    ],
)
def test_an_option_is_set_audited_shown_by_doctor_and_taken_away(
    cli: CommandLine, arn: str, setting: str, option: str, value: object
) -> None:
    assert cli.json("providers", "set", arn, setting)[option] == value
    (record,) = cli.audit("broker:SetProviderOptions")
    assert record["parameters"]["Options"] == {option: value}
    assert record["resources"] == [arn]
    (found,) = [
        f
        for f in cli("doctor", fails=True).splitlines()
        if arn in f and option in f and "apart" in f
    ]
    assert found
    assert option not in cli.json("providers", "set", arn, f"{option}=")


@pytest.mark.parametrize(
    ("arn", "setting", "says"),
    [
        (SAML, "Profile=lax", "strict or aws"),
        (SAML, "AllowSha1=maybe", "true or false"),
        (SAML, "OneTimeUse=true", "sets nothing"),
        (SAML, "Profile", "sets nothing"),
        (OIDC, "AllowSha1=true", "sets nothing"),
        (OIDC, "Algorithms=none", "known are"),
        (OIDC, "StaticJwks=nonsense", "no JSON"),
        (OIDC, "StaticJwks=[]", "no JWK set"),
        (OIDC, "StaticJwks=@/nonexistent", "cannot be read"),
        ("Corp", "Profile=aws", "no ARN"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    cli: CommandLine, arn: str, setting: str, says: str
) -> None:
    before = cli("providers", "list", "--json")
    cli("providers", "set", arn, setting, fails=True)
    assert says in " ".join(cli.stderr.replace("│", " ").split())
    assert cli("providers", "list", "--json") == before
    assert cli.audit("broker:SetProviderOptions") == []


def test_an_unknown_provider_is_named(cli: CommandLine) -> None:
    with pytest.raises(NoSuchEntity, match="Other"):
        cli("providers", "set", SAML.replace("Corp", "Other"), "Profile=aws")
