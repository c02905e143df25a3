"""Which of a provider's people its directory admits."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from broker.errors import IdpRejectedClaim
from broker.model.audit import AuditRecord
from broker.model.entities import LdapProvider, OidcProvider, SamlProvider
from broker.model.federated import FederatedIdentity
from broker.model.principal import Principal, PrincipalType
from broker.model.provisioned import Membership, ProvisionedUser
from broker.proofs.admission import Admission
from broker.proofs.diagnosis import OIDC_STAGES, SAML_STAGES, State, diagnose
from broker.proofs.provider_options import ScimOptions
from broker.proofs.refusals import explain_refusal
from broker.proofs.scim import is_unverified, issuers_of
from tests.support import saml_idp
from tests.support.provisioned import ACCOUNT, AT, PROVIDER, People, person

ALICE = person("SCMU1", "alice")
GONE = person("SCMU9", "alice", active=False, departed_at=AT)
ON = ScimOptions(subject="userName")
MEMBERSHIPS = [
    Membership(
        group_id=f"SCMG{number}",
        group_name=name,
        group_external_id=external,
        user_id="SCMU1",
    )
    for number, (name, external) in enumerate((("Admins", "g-1"), ("Staff", "")))
]


def identity(value: str = "alice") -> FederatedIdentity:
    arn = f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp"
    return FederatedIdentity(
        principal=Principal.from_provider(
            PrincipalType.SAML, ACCOUNT, provider=arn, subject="alice"
        ),
        account=ACCOUNT,
        provider_arn=arn,
        provider_id=PROVIDER,
        issuer="https://idp.example.com",
        subject="alice",
        directory_value=value,
        groups=("Asserted",),
    )


async def admit(
    options: ScimOptions | None = ON,
    *people: ProvisionedUser,
    value: str = "alice",
    after: float = 0,
) -> FederatedIdentity:
    admission = Admission(People(people, MEMBERSHIPS))
    now = AT + timedelta(seconds=after)
    return await admission.admit(identity(value), options, now)


async def refusal(*params: Any, **more: Any) -> str:
    with pytest.raises(IdpRejectedClaim) as refused:
        await admit(*params, **more)
    return refused.value.detail


async def test_without_scim_no_directory_is_asked() -> None:
    people = People()
    admission = Admission(people)
    assert await admission.admit(identity(), None, AT) == identity()
    assert not people.asked


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        ("displayName", ("Admins", "Staff")),
        ("externalId", ("g-1",)),
        ("asserted", ("Asserted",)),
    ],
)
async def test_who_is_active_comes_in(groups: str, found: tuple[str, ...]) -> None:
    admitted = await admit(replace(ON, groups=groups), ALICE, GONE)
    assert admitted.person == "SCMU1"
    assert admitted.groups == found


async def test_who_is_not_is_refused() -> None:
    assert "is inactive" in await refusal(ON, replace(ALICE, active=False))
    assert "was deleted" in await refusal(ON, GONE)
    assert "unknown" in await refusal(ON)
    twice = (ALICE, replace(ALICE, user_id="SCMU2"))
    assert "several people" in await refusal(ON, *twice)


async def test_unknown_people_may_be_allowed_and_have_no_groups() -> None:
    allowing = replace(ON, allows_unknown=True)
    admitted = await admit(allowing)
    assert (admitted.person, admitted.groups) == ("", ())
    asserted = await admit(replace(allowing, groups="asserted"))
    assert asserted.groups == ("Asserted",)
    assert "was deleted" in await refusal(allowing, GONE)


async def test_a_proof_without_a_name_belongs_to_no_person() -> None:
    people = People([ALICE])
    admission = Admission(people)
    with pytest.raises(IdpRejectedClaim):
        await admission.admit(identity(""), ON, AT)
    assert not people.asked


@pytest.mark.parametrize("options", [ON, replace(ON, allows_unknown=True)])
async def test_a_name_that_folds_into_ascii_is_nobodys(options: ScimOptions) -> None:
    kate = person("SCMU2", "kate", active=False)
    detail = await refusal(options, kate, value="\N{KELVIN SIGN}ate")
    assert "compared as an ASCII letter" in detail
    # What is compared as it is can have any characters.
    exact = replace(options, subject="externalId", allows_unknown=True)
    assert (await admit(exact, value="\N{KELVIN SIGN}1")).person == ""


@pytest.mark.parametrize(
    ("claims", "if_absent"),
    [
        ({"email_verified": True}, (False, False)),
        ({"email_verified": "true"}, (False, False)),
        ({"email_verified": ("true",)}, (False, False)),
        ({"email_verified": False}, (True, True)),
        ({"email_verified": "false"}, (True, True)),
        ({"email_verified": ["true", "false"]}, (True, True)),
        ({"email_verified": 1}, (True, True)),
        ({"email_verified": None}, (True, True)),
        ({}, (True, False)),
    ],
)
def test_an_address_counts_if_the_provider_calls_it_verified(
    claims: dict[str, object], if_absent: tuple[bool, bool]
) -> None:
    results = [is_unverified("email", claims, absent=a) for a in (True, False)]
    assert tuple(results) == if_absent
    assert not is_unverified("preferred_username", claims, absent=True)


async def test_who_is_back_waits_until_the_end_is_known_everywhere() -> None:
    back = replace(ALICE, not_before=AT + timedelta(seconds=2))
    assert "until a moment ago" in await refusal(ON, back, after=2)
    assert (await admit(ON, back, after=2.1)).person == "SCMU1"


@pytest.mark.parametrize("stages", [SAML_STAGES, OIDC_STAGES])
async def test_a_refusal_is_explained(stages: Any) -> None:
    with pytest.raises(IdpRejectedClaim) as refused:
        await admit(ON, GONE)
    *held, failed = diagnose(stages, refused.value)
    assert all(check.state is State.HELD for check in held)
    assert failed.state is State.FAILED
    assert "was deleted" in failed.found
    record = AuditRecord(
        event_id="1",
        at=AT,
        account=ACCOUNT,
        action="sts:AssumeRoleWithSAML",
        error_code="IDPRejectedClaim",
        detail=refused.value.detail,
    )
    explained = explain_refusal(record)
    assert explained is not None
    assert (explained.title, explained.advice) == (failed.title, failed.advice)


def test_issuers() -> None:
    saml = SamlProvider(
        account=ACCOUNT,
        uuid=PROVIDER,
        name="Corp",
        metadata=saml_idp.metadata_xml(),
        created_at=AT,
        valid_until=AT,
    )
    oidc = OidcProvider(
        account=ACCOUNT,
        unique_id="OIDCP1",
        url="https://issuer.example.com/x",
        client_ids=(),
        thumbprints=(),
        created_at=AT,
    )
    ldap = LdapProvider(
        account=ACCOUNT, unique_id="LDAPP1", name="x", directory="x", created_at=AT
    )
    assert issuers_of(saml) == (saml_idp.ENTITY_ID,)
    assert issuers_of(replace(saml, metadata="<no/>")) == ()
    assert issuers_of(oidc) == (oidc.url,)
    assert issuers_of(ldap) == (ldap.arn,)
    assert [provider.unique_id for provider in (saml, oidc, ldap)] == [
        PROVIDER,
        "OIDCP1",
        "LDAPP1",
    ]
