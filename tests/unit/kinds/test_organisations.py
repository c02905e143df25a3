"""The operator's file of organisations: what it may contain, and its limits."""

from pathlib import Path

import pytest

from broker.kinds.organisations import (
    OrganisationsFileError,
    parse_organisations,
    read_organisations,
)
from broker.kinds.yaml_text import TemplateError
from broker.model.account import AccountId
from tests.support.rows import rows

MINE, OTHERS = AccountId("011122223333"), AccountId("444455556666")
GOOD = """
Organisations:
  corp:
    DisplayName: Example Corp
    Accounts:
      "011122223333":
        DisplayName: Production
        Providers: [saml-provider/Corp, oidc-provider/127.0.0.1:8097/x, saml-provider/Corp]
      "444455556666":
        Providers: [saml-provider/Other]
        Passwords: true
      "777788889999":
  plain:
    Accounts: {"444455556666": {Passwords: true}}
"""


def test_what_a_file_says() -> None:
    organisations = parse_organisations(GOOD)
    corp, plain = organisations.find("corp"), organisations.find("plain")
    assert corp is not None
    assert plain is not None
    saml = f"arn:aws:iam::{MINE}:saml-provider/Corp"
    oidc = f"arn:aws:iam::{MINE}:oidc-provider/127.0.0.1:8097/x"
    assert corp.members[MINE].providers == (saml, oidc)
    assert list(corp.oidc_providers) == [(MINE, oidc)]
    assert [arn for _, arn in corp.saml_providers] == [
        saml,
        f"arn:aws:iam::{OTHERS}:saml-provider/Other",
    ]
    assert (corp.display_name, plain.display_name) == ("Example Corp", "plain")
    assert corp.admits(MINE, saml)
    assert corp.admits(AccountId("777788889999"))
    assert not corp.admits(OTHERS, saml)
    assert not plain.admits(MINE)
    assert corp.admits_users(OTHERS)
    assert not corp.admits_users(MINE)
    assert not corp.admits_users(AccountId("999999999999"))
    assert organisations.find("") is None
    assert read_organisations(None).find("corp") is None


ENTRY = '"011122223333": {Passwords: true}'


def corp(accounts: str = ENTRY, more: str = "", name: str = "corp") -> str:
    return f"Organisations: {{{name}: {{Accounts: {{{accounts}}}{more}}}}}"


MANY = ", ".join(f'"{100_000_000_000 + n}": {{Passwords: true}}' for n in range(101))
PROVIDERS = ", ".join(f"saml-provider/P{n}" for n in range(11))
WRONG = {
    "nothing": ("", "the file must have named entries"),
    "a list": ("[]", "the file must have named entries"),
    "something else": ("Organizations: {}", "there can be Organisations"),
    "none": ("Organisations: {}", "1 to 50"),
    "no yaml": ("Organisations: {", "line 1"),
    "twice": ("Organisations: {a: 1, a: 2}", "comes twice"),
    "deep": ("[" * 5000, "not YAML"),
    "too many": (
        f"Organisations: {{{', '.join(f'corp-{n}: {{}}' for n in range(51))}}}",
        "1 to 50",
    ),
    "an account's number": (corp(name='"011122223333"'), "is not a name"),
    "a short name": (corp(name="ab"), "is not a name"),
    "capitals": (corp(name="Corp"), "is not a name"),
    "a path": (corp(name="corp/x"), "is not a name"),
    "a page's name": (corp(name="device"), "is not a name"),
    "another page's name": (corp(name="authorize"), "is not a name"),
    "no accounts": (corp(""), "1 to 100"),
    "too many accounts": (corp(MANY), "1 to 100"),
    "a bare number": (corp("111122223333: {Passwords: true}"), "quotation marks"),
    "no number": (corp('"x": {Passwords: true}'), "is not an account"),
    "nobody": (corp('"011122223333": {}'), "no one can sign in"),
    "an unknown word": (corp(more=", Owner: me"), "has no 'Owner'"),
    "an unknown word below": (
        corp('"011122223333": {Password: true}'),
        "has no 'Password'",
    ),
    "no list": (corp('"011122223333": {Providers: saml-provider/Corp}'), "a list"),
    "too many providers": (
        corp(f'"011122223333": {{Providers: [{PROVIDERS}]}}'),
        "at most 10",
    ),
    "too many providers together": (
        corp(
            ", ".join(
                f'"{100_000_000_000 + n}": {{Providers: [{PROVIDERS[:178]}]}}'
                for n in range(21)
            )
        ),
        "together can have 200",
    ),
    "an ARN": (
        corp('"011122223333": {Providers: ["arn:aws:iam::1:saml-provider/C"]}'),
        "is not a provider",
    ),
    "another's ARN": (
        corp('"011122223333": {Providers: ["role/Admin"]}'),
        "is not a provider",
    ),
    "no truth": (corp('"011122223333": {Passwords: yes}'), "true or false"),
    "a long name": (corp(more=f", DisplayName: {'x' * 65}"), "at most 64"),
    "an invisible name": (corp(more=', DisplayName: "a\\u202eb"'), "printable"),
    "a number as a name": (corp(more=", DisplayName: 7"), "DisplayName"),
}


@rows(("text", "told"), WRONG.values(), ids=WRONG)
def test_what_a_file_cannot_say(text: str, told: str) -> None:
    with pytest.raises((OrganisationsFileError, TemplateError), match=told):
        parse_organisations(text)


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "organisations.yaml"
    with pytest.raises(OrganisationsFileError, match="cannot be read"):
        read_organisations(path)
    path.write_bytes(b"\xff")
    with pytest.raises(OrganisationsFileError, match="not UTF-8"):
        read_organisations(path)
    path.write_text("# " + "x" * 262_144)
    with pytest.raises(OrganisationsFileError, match="more than 262144 bytes"):
        read_organisations(path)
    path.write_text("Organisations: {a: 1, a: 2}")
    with pytest.raises(OrganisationsFileError, match=r"yaml: .*comes twice"):
        read_organisations(path)
