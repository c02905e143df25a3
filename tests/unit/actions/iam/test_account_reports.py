"""What an account's summary says, and when no report is kept."""

from typing import Any

import pytest

from broker.errors import InvalidClientTokenId
from broker.kinds.limits import Quota
from tests.support.certificates import server_certificate
from tests.support.deleted_meanwhile import delete_first
from tests.support.iam import NOW, Iam, policy, set_quotas
from tests.support.rows import cases


@cases("name, quota")
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
    params = {"CertificateId": made["Certificate"]["CertificateId"]}
    await iam("DeleteSigningCertificate", **params)
    assert await present() == 0


async def test_the_summary_counts_policies_that_someone_has(iam: Iam) -> None:
    """As recorded: each once, AWS's too, whether attached or a boundary."""

    async def used() -> int:
        summary = (await iam("GetAccountSummary"))["SummaryMap"]
        told: int = summary["PolicyVersionsInUse"]
        return told

    made = await iam("CreatePolicy", PolicyName="P", PolicyDocument=policy())
    arn, aws = made["Policy"]["Arn"], "arn:aws:iam::aws:policy/ReadOnlyAccess"
    assert await used() == 0
    await iam("CreateUser", UserName="U", PermissionsBoundary=aws)
    assert await used() == 1
    await iam("CreateUser", UserName="V")
    for name in "UV":
        await iam("AttachUserPolicy", UserName=name, PolicyArn=arn)
    await iam("AttachUserPolicy", UserName="V", PolicyArn=aws)
    assert await used() == 2


@cases("name, given")
async def test_a_report_on_an_account_that_is_deleted_meanwhile_is_not_kept(
    iam: Iam, monkeypatch: pytest.MonkeyPatch, name: str, given: dict[str, Any]
) -> None:
    await iam("CreateUser", UserName="U")
    delete_first(monkeypatch)
    with pytest.raises(InvalidClientTokenId):
        await iam(name, **given)
