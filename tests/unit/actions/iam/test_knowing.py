"""What an account's summary says."""

import pytest

from broker.identities.limits import Quota
from tests.support.certificates import server_certificate
from tests.support.iam import NOW, Iam, set_quotas


@pytest.mark.parametrize(
    ("name", "quota"),
    [
        ("UsersQuota", Quota.USERS),
        ("SigningCertificatesPerUserQuota", Quota.SIGNING_CERTIFICATES_PER_USER),
        ("ServerCertificatesQuota", Quota.SERVER_CERTIFICATES),
        ("InstanceProfilesQuota", Quota.INSTANCE_PROFILES),
    ],
)
async def test_the_summary_shows_the_accounts_own_quotas(
    iam: Iam, name: str, quota: Quota
) -> None:
    usual = (await iam("GetAccountSummary"))["SummaryMap"]
    await set_quotas(iam, **{quota: usual[name] + 7})
    raised = (await iam("GetAccountSummary"))["SummaryMap"]
    assert raised == {**usual, name: usual[name] + 7}


async def test_the_summary_tells_of_the_roots_certificates(iam: Iam) -> None:
    async def present() -> int:
        summary = (await iam("GetAccountSummary"))["SummaryMap"]
        told: int = summary["AccountSigningCertificatesPresent"]
        return told

    assert await present() == 0
    body, _ = server_certificate(valid_from=NOW)
    made = await iam("UploadSigningCertificate", CertificateBody=body)
    assert await present() == 1
    given = {"CertificateId": made["Certificate"]["CertificateId"]}
    await iam("DeleteSigningCertificate", **given)
    assert await present() == 0
