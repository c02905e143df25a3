"""An account here belongs to no organisation, and says so in AWS's words."""

from typing import Any

from tests.support.broker import ACCOUNT
from tests.support.refusals import refused

REQUEST = {"DelegationRequestId": "a" * 16}
TEMPLATE = "arn:aws:iam::aws:role-template/Some"


def test_there_is_no_organization(iam: Any) -> None:
    for call in (
        iam.list_organizations_features,
        iam.enable_organizations_root_credentials_management,
        iam.enable_organizations_root_sessions,
        iam.disable_organizations_root_credentials_management,
        iam.disable_organizations_root_sessions,
    ):
        assert refused(call)[:2] == (400, "OrganizationNotFoundException")
    path = "o-a1b2c3d4e5/r-f6g7"
    assert refused(iam.generate_organizations_access_report, EntityPath=path)[:2] == (
        403,
        "AccessDenied",
    )
    assert refused(iam.get_organizations_access_report, JobId="0" * 36)[:2] == (
        404,
        "NoSuchEntity",
    )


def test_no_one_has_sent_a_delegation_request(iam: Any) -> None:
    assert iam.list_delegation_requests()["DelegationRequests"] == []
    for call in (
        iam.get_delegation_request,
        iam.accept_delegation_request,
        iam.associate_delegation_request,
        iam.reject_delegation_request,
        iam.send_delegation_token,
        iam.update_delegation_request,
    ):
        assert refused(call, **REQUEST)[:2] == (404, "NoSuchEntity")
    assert refused(
        iam.create_delegation_request,
        Description="d",
        Permissions={"PolicyTemplateArn": "arn:aws:iam:::delegation-template/T"},
        RequestorWorkflowId="workflow",
        NotificationChannel="arn:aws:sns:us-east-1:123456789012:topic",
        SessionDuration=3600,
    )[:2] == (400, "InvalidInput")
    assert refused(
        iam.get_human_readable_summary,
        EntityArn=f"arn:aws:iam::{ACCOUNT}:delegation-request/{'a' * 16}",
    )[:2] == (404, "NoSuchEntity")


def test_no_service_has_published_a_role_template(iam: Any) -> None:
    for call in (iam.get_role_template_version, iam.acquire_role):
        assert refused(call, TemplateArn=TEMPLATE)[:2] == (404, "NoSuchEntity")


def test_an_account_keeps_properties(iam: Any) -> None:
    assert iam.get_account_properties()["Properties"] == {}
    iam.put_account_properties(Properties={"Owner": "ops", "Stage": "test"})
    iam.put_account_properties(Properties={"Stage": "live"})
    assert iam.get_account_properties()["Properties"] == {
        "Owner": "ops",
        "Stage": "live",
    }
    many = {f"Name{number}": "v" for number in range(50)}
    assert refused(iam.put_account_properties, Properties=many)[:2] == (
        400,
        "InvalidInput",
    )


def test_links_of_a_provider_to_other_services_are_refused_by_name(iam: Any) -> None:
    arn = iam.create_open_id_connect_provider(
        Url="https://idp.example.com", ClientIDList=["c"]
    )["OpenIDConnectProviderArn"]
    iam.update_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert refused(
        iam.update_open_id_connect_provider,
        OpenIDConnectProviderArn=arn,
        RemoveContextProvider=True,
    )[:2] == (400, "UnsupportedOperation")
    assert refused(
        iam.update_open_id_connect_provider, OpenIDConnectProviderArn=arn[:-1] + "x"
    )[:2] == (404, "NoSuchEntity")
