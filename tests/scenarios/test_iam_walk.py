"""What the other scenarios do not touch of policies, tags and providers, with boto3."""

import json
from typing import Any

from tests.support.broker import ACCOUNT
from tests.support.certificates import server_certificate
from tests.support.policies import allow, trust
from tests.support.refusals import refused
from tests.support.saml_idp import metadata_xml

TAGS = [{"Key": "team", "Value": "blue"}]
BOUNDARY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


TRUST = trust(ACCOUNT)


def gone(call: Any, **given: Any) -> None:
    assert refused(call, **given).code == "NoSuchEntity"


def test_an_account_has_one_alias(iam: Any) -> None:
    iam.create_account_alias(AccountAlias="example-corp")
    assert iam.list_account_aliases()["AccountAliases"] == ["example-corp"]
    iam.delete_account_alias(AccountAlias="example-corp")
    assert iam.list_account_aliases()["AccountAliases"] == []
    gone(iam.delete_account_alias, AccountAlias="example-corp")


def test_a_policy_has_versions_one_of_which_is_in_force(iam: Any) -> None:
    made = iam.create_policy(PolicyName="Versions", PolicyDocument=allow("s3:*"))
    arn = made["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=allow("ec2:*"))
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v1"
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v2")
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v2"
    iam.tag_policy(PolicyArn=arn, Tags=TAGS)
    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == TAGS
    iam.untag_policy(PolicyArn=arn, TagKeys=["team"])
    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == []
    gone(iam.set_default_policy_version, PolicyArn=arn, VersionId="v9")

    listed = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert {row["VersionId"]: row["IsDefaultVersion"] for row in listed} == {
        "v1": False,
        "v2": True,
    }
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    assert len(iam.list_policy_versions(PolicyArn=arn)["Versions"]) == 1
    names = [row["PolicyName"] for row in iam.list_policies(Scope="Local")["Policies"]]
    assert names == ["Versions"]
    iam.delete_policy(PolicyArn=arn)
    assert iam.list_policies(Scope="Local")["Policies"] == []
    gone(iam.delete_policy, PolicyArn=arn)


def test_users_have_policies_tags_and_a_boundary(iam: Any) -> None:
    iam.create_user(UserName="walker", PermissionsBoundary=BOUNDARY)
    iam.put_user_policy(UserName="walker", PolicyName="P", PolicyDocument=allow("s3:*"))
    assert iam.list_user_policies(UserName="walker")["PolicyNames"] == ["P"]
    got = iam.get_user_policy(UserName="walker", PolicyName="P")
    assert got["PolicyDocument"] == json.loads(allow("s3:*"))
    iam.attach_user_policy(UserName="walker", PolicyArn=BOUNDARY)
    attached = iam.list_attached_user_policies(UserName="walker")["AttachedPolicies"]
    assert attached == [{"PolicyName": "ReadOnlyAccess", "PolicyArn": BOUNDARY}]
    iam.delete_user_permissions_boundary(UserName="walker")
    assert "PermissionsBoundary" not in iam.get_user(UserName="walker")["User"]
    iam.tag_user(UserName="walker", Tags=TAGS)
    assert iam.list_user_tags(UserName="walker")["Tags"] == TAGS
    iam.untag_user(UserName="walker", TagKeys=["TEAM"])
    assert iam.list_user_tags(UserName="walker")["Tags"] == []
    iam.update_user(UserName="walker", NewUserName="runner", NewPath="/track/")
    assert iam.get_user(UserName="runner")["User"]["Path"] == "/track/"
    gone(iam.update_user, UserName="walker", NewPath="/")


def test_roles_have_policies_and_tags(iam: Any) -> None:
    iam.create_role(RoleName="Walk", AssumeRolePolicyDocument=TRUST, Tags=TAGS)
    iam.put_role_policy(RoleName="Walk", PolicyName="P", PolicyDocument=allow("s3:*"))
    assert iam.list_role_policies(RoleName="Walk")["PolicyNames"] == ["P"]
    got = iam.get_role_policy(RoleName="Walk", PolicyName="P")
    assert got["PolicyDocument"] == json.loads(allow("s3:*"))
    assert iam.list_role_tags(RoleName="Walk")["Tags"] == TAGS
    gone(iam.get_role_policy, RoleName="Walk", PolicyName="Other")


def test_a_saml_provider_is_tagged_changed_and_removed(iam: Any) -> None:
    arn = iam.create_saml_provider(Name="Walk", SAMLMetadataDocument=metadata_xml())[
        "SAMLProviderArn"
    ]
    given = {"SAMLProviderArn": arn}
    iam.tag_saml_provider(**given, Tags=TAGS)
    assert iam.list_saml_provider_tags(**given)["Tags"] == TAGS
    iam.untag_saml_provider(**given, TagKeys=["team"])
    assert iam.list_saml_provider_tags(**given)["Tags"] == []
    elsewhere = metadata_xml(sso_url="https://other.example.com/sso")
    iam.update_saml_provider(**given, SAMLMetadataDocument=elsewhere)
    got = iam.get_saml_provider(**given)["SAMLMetadataDocument"]
    assert "https://other.example.com/sso" in got
    listed = iam.list_saml_providers()["SAMLProviderList"]
    assert [row["Arn"] for row in listed] == [arn]
    iam.delete_saml_provider(**given)
    gone(iam.get_saml_provider, **given)


def test_an_oidc_provider_is_changed_and_removed(iam: Any) -> None:
    arn = iam.create_open_id_connect_provider(
        Url="https://walk.example.com", ClientIDList=["one"], Tags=TAGS
    )["OpenIDConnectProviderArn"]
    given = {"OpenIDConnectProviderArn": arn}
    iam.add_client_id_to_open_id_connect_provider(**given, ClientID="two")
    iam.remove_client_id_from_open_id_connect_provider(**given, ClientID="one")
    iam.update_open_id_connect_provider_thumbprint(**given, ThumbprintList=["a" * 40])
    iam.untag_open_id_connect_provider(**given, TagKeys=["team"])
    got = iam.get_open_id_connect_provider(**given)
    assert got["ClientIDList"] == ["two"]
    assert got["ThumbprintList"] == ["a" * 40]
    listed = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    assert listed == [{"Arn": arn}]
    iam.delete_open_id_connect_provider(**given)
    gone(iam.get_open_id_connect_provider, **given)


def test_a_server_certificate_has_tags(iam: Any) -> None:
    body, key = server_certificate()
    name = {"ServerCertificateName": "walk"}
    iam.upload_server_certificate(**name, CertificateBody=body, PrivateKey=key)
    iam.tag_server_certificate(**name, Tags=TAGS)
    assert iam.list_server_certificate_tags(**name)["Tags"] == TAGS
    iam.untag_server_certificate(**name, TagKeys=["team"])
    assert iam.list_server_certificate_tags(**name)["Tags"] == []
