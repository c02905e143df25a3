"""Rules of trust anchors and profiles: quotas, mappings, and how they are named."""

import pytest

from broker.errors import LimitExceeded, ValidationError
from broker.identities import roles_anywhere as rules
from broker.identities.accounts import require_account
from broker.model.roles_anywhere import CertificateProfile
from tests.support.certificates import issue
from tests.support.iam import ACCOUNT, NOW, Iam, set_quotas

PEM = issue("Corp Root", is_authority=True).pem


async def make_anchor(iam: Iam, region: str) -> None:
    async with iam.directory.change(ACCOUNT) as change:
        await rules.create_anchor(
            change,
            await require_account(change, ACCOUNT),
            region=region,
            name="corp",
            certificates=PEM,
            enabled=True,
            tags={},
            now=NOW,
        )


async def make_profile(iam: Iam, region: str) -> None:
    profile = CertificateProfile(
        account=ACCOUNT,
        profile_id="",
        region=region,
        name="machines",
        role_arns=(),
        managed_policy_arns=(),
        session_policy=None,
        duration_seconds=3600,
        accepts_session_name=False,
        attribute_mappings=rules.NEW_PROFILE_MAPPINGS,
        enabled=True,
        created_by=f"arn:aws:iam::{ACCOUNT}:root",
        created_at=NOW,
        updated_at=NOW,
    )
    async with iam.directory.change(ACCOUNT) as change:
        account = await require_account(change, ACCOUNT)
        await rules.create_profile(change, account, profile)


async def test_quotas_are_of_all_regions_together(iam: Iam) -> None:
    await set_quotas(iam, TrustAnchorsPerAccount=2, RolesAnywhereProfilesPerAccount=2)
    for make in (make_anchor, make_profile):
        await make(iam, "us-east-1")
        await make(iam, "eu-west-1")
        with pytest.raises(LimitExceeded):
            await make(iam, "eu-west-1")


@pytest.mark.parametrize(
    ("field", "specifiers"),
    [
        ("x509Serial", ["CN"]),
        ("", ["CN"]),
        ("x509Subject", []),
        ("x509Subject", ["CN", "DNS"]),
        ("x509SAN", ["CN"]),
    ],
)
def test_a_mapping_that_cannot_be(field: str, specifiers: list[str]) -> None:
    with pytest.raises(ValidationError):
        rules.check_mapping(field, specifiers)


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        (("", ""), "1-a"),
        ((ACCOUNT, "999999999999"), ""),
        (("us-east-1", "eu-west-1"), ""),
        (("profile/", "trust-anchor/"), ""),
        (("rolesanywhere", "iam"), ""),
        (("arn:aws:", "arn:aws-cn:"), ""),
    ],
)
def test_an_arn_names_what_is_here(changed: tuple[str, str], found: str) -> None:
    arn = f"arn:aws:rolesanywhere:us-east-1:{ACCOUNT}:profile/1-a".replace(*changed)
    assert rules.id_of(arn, "profile", ACCOUNT, "us-east-1") == found
    assert rules.id_of("1-a", "profile", ACCOUNT, "us-east-1") == "1-a"
