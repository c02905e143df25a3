"""What somebody may use and did use, by the report that the API makes."""

import json

import pytest
from lxml import html

from tests.support.administrator import Administrator
from tests.support.signin import ACCOUNT, role_arn, text_of

ACCESS = "/console/access"


async def report_of(admin: Administrator, arn: str) -> object:
    page = await admin.see(ACCESS, arn=arn)
    return await admin.do(page, ACCESS)


async def test_a_role_s_granted_and_used_services_are_shown(
    admin: Administrator,
) -> None:
    await admin.see("/console/groups")
    await admin.world.services.uses.flush()
    page = await report_of(admin, role_arn("Admin"))
    tree = html.fromstring(page.text)  # type: ignore[attr-defined]
    row = {
        code.text: row.text_content()
        for row in tree.xpath("//tbody/tr")
        for code in row.xpath("th/code")
    }
    assert set(row) == {"iam"}
    assert "Never" not in row["iam"]
    assert "GivenAllow" in row["iam"]


async def test_groups_and_policies_have_reports_too(admin: Administrator) -> None:
    new = "/console/groups/new"
    await admin.do(await admin.see(new), new, name="Readers")
    page = await report_of(admin, f"arn:aws:iam::{ACCOUNT}:group/Readers")
    assert "Nothing is granted" in text_of(page)  # type: ignore[arg-type]
    page = await report_of(admin, "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
    assert "Never" in text_of(page)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arn",
    [
        "x",
        "arn:aws:s3:::bucket",
        f"arn:aws:iam::{ACCOUNT}:user/",
        f"arn:aws:iam::{ACCOUNT}:mfa/x",
        "javascript:alert(1)/user/x",
    ],
)
async def test_an_arn_of_something_else_is_refused(
    admin: Administrator, arn: str
) -> None:
    page = await admin.browser.get(ACCESS, params={"arn": arn})
    assert page.status_code == 400
    assert "is not a user, group, role or policy" in text_of(page)


async def test_a_missing_report_is_said_to_be_missing(admin: Administrator) -> None:
    params = {"arn": role_arn("Admin"), "job": "0" * 36}
    page = await admin.browser.get(ACCESS, params=params)
    assert page.status_code == 404
    gone = await admin.see(ACCESS, arn=role_arn("Nobody"))
    answer = await admin.send(gone, ACCESS)
    assert answer.status_code == 404
    assert json.dumps(text_of(answer)).count("Nobody") >= 1
