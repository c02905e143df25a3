"""Rules of trust anchors and profiles: quotas, mappings, and how they are named."""

from typing import Any

import pytest

from broker.errors import LimitExceeded, ValidationError
from broker.kinds.roles_anywhere import (
    PROFILES,
    TRUST_ANCHORS,
    Regional,
    check_mapping,
    id_of,
)
from broker.kinds.rules import Work, create
from tests.support.certificates import issue
from tests.support.iam import ACCOUNT, NOW, Iam, set_quotas
from tests.support.rows import rows

PEM = issue("Corp Root", is_authority=True).pem


ANCHOR = {"name": "corp", "source": {"sourceData": {"x509CertificateData": PEM}}}
PROFILE = {"name": "machines", "roleArns": []}


async def make(iam: Iam, of: Regional[Any], params: Any, region: str) -> None:
    async with iam.directory.change(ACCOUNT) as change:
        work = Work(change=change, account=ACCOUNT, region=region, now=NOW, by="")
        await create(of, params, work)


async def test_quotas_are_of_all_regions_together(iam: Iam) -> None:
    await set_quotas(iam, TrustAnchorsPerAccount=2, RolesAnywhereProfilesPerAccount=2)
    for of, params in ((TRUST_ANCHORS, ANCHOR), (PROFILES, PROFILE)):
        await make(iam, of, params, "us-east-1")
        await make(iam, of, params, "eu-west-1")
        with pytest.raises(LimitExceeded):
            await make(iam, of, params, "eu-west-1")


@rows("field, specifiers")
def test_an_impossible_mapping_is_refused(field: str, specifiers: list[str]) -> None:
    with pytest.raises(ValidationError):
        check_mapping(field, specifiers)


@rows("changed, found")
def test_an_arn_names_what_is_here(changed: tuple[str, str], found: str) -> None:
    arn = f"arn:aws:rolesanywhere:us-east-1:{ACCOUNT}:profile/1-a".replace(*changed)
    assert id_of(arn, "profile", ACCOUNT, "us-east-1") == found
    assert id_of("1-a", "profile", ACCOUNT, "us-east-1") == "1-a"
