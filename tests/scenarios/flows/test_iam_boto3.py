"""An administrator sets a broker up with boto3 and the AWS CLI."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.broker import ACCOUNT, Key, RunningBroker
from tests.support.policies import trust
from tests.support.refusals import refused
from tests.support.saml_idp import metadata_xml

READ = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "iam:Get*", "Resource": "*"}],
}


@pytest.mark.quick
def test_a_user_with_a_key_does_what_its_policies_allow(
    broker: RunningBroker, iam: Any
) -> None:
    iam.create_user(UserName="ann", Path="/team/")
    iam.get_waiter("user_exists").wait(UserName="ann")
    key = Key.of(iam.create_access_key(UserName="ann")["AccessKey"])
    ann = broker.client("iam", key)
    assert broker.client("sts", key).get_caller_identity()["Arn"] == (
        f"arn:aws:iam::{ACCOUNT}:user/team/ann"
    )
    status, code, message = refused(ann.get_user)
    assert (status, code) == (403, "AccessDenied")
    assert message.startswith(
        f"User: arn:aws:iam::{ACCOUNT}:user/team/ann is not authorized to perform:"
        f" iam:GetUser on resource: user ann because"
    )
    iam.put_user_policy(
        UserName="ann", PolicyName="Read", PolicyDocument=json.dumps(READ)
    )
    assert ann.get_user()["User"]["UserName"] == "ann"
    iam.update_access_key(
        UserName="ann", AccessKeyId=key.access_key_id, Status="Inactive"
    )
    assert refused(ann.get_user).code == "InvalidClientTokenId"


def test_conditions_see_tags_of_the_entity_and_of_the_request(
    broker: RunningBroker, iam: Any
) -> None:
    iam.create_user(UserName="tagger")
    key = Key.of(iam.create_access_key(UserName="tagger")["AccessKey"])
    statements = [
        {
            "Effect": "Allow",
            "Action": ["iam:CreateRole", "iam:TagRole"],
            "Resource": f"arn:aws:iam::{ACCOUNT}:role/app/*",
            "Condition": {"StringEquals": {"aws:RequestTag/team": "blue"}},
        },
        {
            "Effect": "Allow",
            "Action": "iam:DeleteRole",
            "Resource": "*",
            "Condition": {"StringEquals": {"iam:ResourceTag/team": "blue"}},
        },
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName="tagger", PolicyName="P", PolicyDocument=document)
    tagger = broker.client("iam", key)
    params = {"RoleName": "T", "AssumeRolePolicyDocument": trust(ACCOUNT)}
    blue = [{"Key": "team", "Value": "blue"}]
    assert refused(tagger.create_role, Path="/app/", **params).code == "AccessDenied"
    assert refused(tagger.create_role, Tags=blue, **params).code == "AccessDenied"
    tagger.create_role(Path="/app/", Tags=blue, **params)
    iam.untag_role(RoleName="T", TagKeys=["team"])
    assert refused(tagger.delete_role, RoleName="T").code == "AccessDenied"
    iam.tag_role(RoleName="T", Tags=blue)
    tagger.delete_role(RoleName="T")


def test_a_user_made_again_is_not_trusted_by_the_old_ones_role(
    broker: RunningBroker, iam: Any
) -> None:
    arn = iam.create_user(UserName="twin")["User"]["Arn"]
    role = iam.create_role(RoleName="Twin", AssumeRolePolicyDocument=trust(arn))["Role"]

    def assume() -> Any:
        key = Key.of(iam.create_access_key(UserName="twin")["AccessKey"])
        sts = broker.client("sts", key)
        return sts.assume_role(RoleArn=role["Arn"], RoleSessionName="twin")

    assert assume()["Credentials"]
    for key in iam.list_access_keys(UserName="twin")["AccessKeyMetadata"]:
        iam.delete_access_key(UserName="twin", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="twin")
    iam.create_user(UserName="twin")
    with pytest.raises(ClientError, match="AccessDenied"):
        assume()
    document = iam.get_role(RoleName="Twin")["Role"]["AssumeRolePolicyDocument"]
    assert document["Statement"][0]["Principal"]["AWS"].startswith("AIDA")


def test_paginators_see_everything_once(iam: Any) -> None:
    names = [f"page-{number:02d}" for number in range(7)]
    for name in names:
        iam.create_role(
            RoleName=name, Path="/pages/", AssumeRolePolicyDocument=trust(ACCOUNT)
        )
    pages = iam.get_paginator("list_roles").paginate(
        PathPrefix="/pages/", PaginationConfig={"PageSize": 3}
    )
    assert [role["RoleName"] for page in pages for role in page["Roles"]] == names


def test_providers_policies_and_waiters(iam: Any) -> None:
    saml = iam.create_saml_provider(Name="Corp", SAMLMetadataDocument=metadata_xml())
    arn = saml["SAMLProviderArn"]
    got = iam.get_saml_provider(SAMLProviderArn=arn)
    assert got["ValidUntil"].year - got["CreateDate"].year == 100
    oidc = iam.create_open_id_connect_provider(
        Url="https://idp.example.com/x", ThumbprintList=["A" * 40]
    )["OpenIDConnectProviderArn"]
    iam.tag_open_id_connect_provider(
        OpenIDConnectProviderArn=oidc, Tags=[{"Key": "k", "Value": "ü"}]
    )
    tags = iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=oidc)
    assert tags["Tags"] == [{"Key": "k", "Value": "ü"}]
    policy = iam.create_policy(PolicyName="P", PolicyDocument=json.dumps(READ))
    policy_arn = policy["Policy"]["Arn"]
    iam.get_waiter("policy_exists").wait(PolicyArn=policy_arn)
    version = iam.get_policy_version(PolicyArn=policy_arn, VersionId="v1")
    assert version["PolicyVersion"]["Document"] == READ
    assert refused(iam.get_saml_provider, SAMLProviderArn=arn + "x") == (
        404,
        "NoSuchEntity",
        f"Manifest not found for arn {arn}x",
    )


def test_the_aws_cli_walks_through_a_role(broker: RunningBroker, root: Key) -> None:
    keys = {
        "AWS_ACCESS_KEY_ID": root.access_key_id,
        "AWS_SECRET_ACCESS_KEY": root.secret_access_key,
    }
    made = broker.aws(
        *("iam", "create-role", "--role-name", "Cli", "--tags", "Key=a,Value=b"),
        *("--assume-role-policy-document", trust(ACCOUNT)),
        **keys,
    )
    assert made["Role"]["Tags"] == [{"Key": "a", "Value": "b"}]
    broker.aws(
        *("iam", "attach-role-policy", "--role-name", "Cli"),
        *("--policy-arn", "arn:aws:iam::aws:policy/AdministratorAccess"),
        **keys,
    )
    listed = broker.aws(
        "iam", "list-attached-role-policies", "--role-name", "Cli", **keys
    )
    assert [item["PolicyName"] for item in listed["AttachedPolicies"]] == [
        "AdministratorAccess"
    ]
