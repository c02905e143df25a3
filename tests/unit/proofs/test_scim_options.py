"""The options that connect a provider's proofs with its directory."""

from typing import Any

import pytest

from broker.proofs.provider_options import ProviderOptions, ScimOptions
from broker.proofs.scim import value_of
from tests.support.provisioned import person


def test_without_scim_subject_it_is_off() -> None:
    assert ProviderOptions.parse({}).scim is None
    assert ProviderOptions.parse({"GroupRoles": {}}).scim is None


def test_defaults_are_strict() -> None:
    assert ProviderOptions.parse({"ScimSubject": "userName"}).scim == ScimOptions(
        subject="userName", claim="", groups="displayName", allows_unknown=False
    )
    options = ProviderOptions.parse(
        {
            "ScimSubject": "emails",
            "ScimClaim": "email",
            "ScimGroups": "asserted",
            "ScimUnknown": "allow",
        }
    ).scim
    assert options is not None
    assert options.allows_unknown
    assert not options.gives_groups


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"ScimSubject": "mail"}, "userName, externalId, emails"),
        ({"ScimSubject": 5}, "userName, externalId, emails"),
        ({"ScimSubject": "userName", "ScimGroups": "cn"}, "displayName"),
        ({"ScimSubject": "userName", "ScimUnknown": True}, "refuse, allow"),
        ({"ScimSubject": "userName", "ScimClaim": ["oid"]}, "ScimClaim"),
        ({"ScimSubject": "userName", "ScimClaim": "a" * 2000}, "ScimClaim"),
        ({"ScimGroups": "asserted"}, "nothing without ScimSubject"),
        ({"ScimClaim": "oid"}, "nothing without ScimSubject"),
        ({"ScimUnknown": "allow"}, "nothing without ScimSubject"),
    ],
)
def test_what_is_malformed(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ProviderOptions.parse(given)


@pytest.mark.parametrize(
    ("claim", "said", "value"),
    [
        ("", None, "alice"),
        ("", "other", "alice"),
        ("oid", "o-7", "o-7"),
        ("oid", ["o-7"], "o-7"),
        ("oid", ("o-7",), "o-7"),
        ("oid", None, ""),
        ("oid", [], ""),
        ("oid", ["o-7", "o-8"], ""),
        ("oid", 7, ""),
        ("oid", {"o": "7"}, ""),
        ("oid", "a" * 2000, ""),
    ],
)
def test_what_a_proof_says_of_its_person(claim: str, said: Any, value: str) -> None:
    options = ScimOptions(subject="externalId", claim=claim)
    assert value_of(options, "alice", said) == value
    assert value_of(None, "alice", said) == ""


def test_what_a_directory_says_of_its_person() -> None:
    user = person("SCMU1", "alice", external_id="7", email="a@b.c")
    for subject, value in (
        ("userName", "alice"),
        ("externalId", "7"),
        ("emails", "a@b.c"),
    ):
        assert ScimOptions(subject=subject).subject_of(user) == value
