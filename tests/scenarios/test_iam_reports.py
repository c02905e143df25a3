"""What an account can be asked about itself, through boto3."""

import csv
import io
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.broker import ACCOUNT, REGION, Key, RunningBroker
from tests.support.policies import policy, statement, trust
from tests.support.refusals import refused

READ_ONLY = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"
INLINE = policy(
    statement(["s3:Get*", "iam:Get*", "sts:AssumeRole"]),
    statement("ec2:*", Effect="Deny"),
)
TRUST = trust(ACCOUNT)


@pytest.fixture(scope="module")
def iam(broker: RunningBroker, root: Key) -> Any:
    made = broker.client("iam", root)
    made.create_group(GroupName="readers")
    made.attach_group_policy(GroupName="readers", PolicyArn=READ_ONLY)
    made.create_user(UserName="ann", Tags=[{"Key": "team", "Value": "blue"}])
    made.add_user_to_group(GroupName="readers", UserName="ann")
    made.put_user_policy(UserName="ann", PolicyName="Own", PolicyDocument=INLINE)
    made.create_login_profile(UserName="ann", Password="Correct-Horse-7")
    made.create_role(RoleName="R", AssumeRolePolicyDocument=TRUST)
    made.put_role_policy(RoleName="R", PolicyName="Own", PolicyDocument=INLINE)
    made.create_instance_profile(InstanceProfileName="M")
    made.add_role_to_instance_profile(InstanceProfileName="M", RoleName="R")
    made.create_policy(PolicyName="Local", PolicyDocument=INLINE)
    return made


@pytest.fixture(scope="module")
def ann(iam: Any) -> Key:
    return Key.of(iam.create_access_key(UserName="ann")["AccessKey"])


def soon(ask: Callable[[], Any]) -> Any:
    """What is written in the background shows within seconds."""
    deadline = time.monotonic() + 15
    while True:
        entity = ask()
        if entity or time.monotonic() > deadline:
            return entity
        time.sleep(0.25)


def test_the_summary_counts_and_names_quotas(iam: Any) -> None:
    summary = iam.get_account_summary()["SummaryMap"]
    assert summary["Users"] == 1
    assert summary["Groups"] == 1
    assert summary["Roles"] == 1
    assert summary["Policies"] == 1
    assert summary["GroupsQuota"] == 300
    assert summary["GroupPolicySizeQuota"] == 5120
    assert summary["AccountAccessKeysPresent"] == 1
    assert summary["AccountMFAEnabled"] == 0


def test_times_are_whole_seconds_also_of_what_the_operator_made(iam: Any) -> None:
    (key,) = iam.list_access_keys()["AccessKeyMetadata"]
    times = key["CreateDate"], iam.get_user()["User"]["CreateDate"]
    assert [moment.microsecond for moment in times] == [0, 0]


def test_authorization_details_show_everyone_once_whatever_the_page(iam: Any) -> None:
    whole = iam.get_account_authorization_details()
    assert whole["IsTruncated"] is False
    (user,) = whole["UserDetailList"]
    assert user["GroupList"] == ["readers"]
    assert user["Tags"] == [{"Key": "team", "Value": "blue"}]
    assert user["UserPolicyList"] == [
        {"PolicyName": "Own", "PolicyDocument": json.loads(INLINE)}
    ]
    (group,) = whole["GroupDetailList"]
    assert group["AttachedManagedPolicies"] == [
        {"PolicyName": "IAMReadOnlyAccess", "PolicyArn": READ_ONLY}
    ]
    (role,) = whole["RoleDetailList"]
    assert role["AssumeRolePolicyDocument"]["Statement"]
    (profile,) = role["InstanceProfileList"]
    assert profile["InstanceProfileName"] == "M"
    assert [role["RoleName"] for role in profile["Roles"]] == ["R"]
    names = [policy["PolicyName"] for policy in whole["Policies"]]
    assert names == ["Local", "IAMReadOnlyAccess"]
    assert whole["Policies"][0]["PolicyVersionList"][0]["Document"] == (
        json.loads(INLINE)
    )
    pages = iam.get_paginator("get_account_authorization_details").paginate(
        PaginationConfig={"PageSize": 1}
    )
    lists = ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies")
    merged: dict[str, list[Any]] = {name: [] for name in lists}
    for page in pages:
        for name in lists:
            merged[name] += page[name]
    for name in lists:
        ids = [entry.get("Arn") for entry in merged[name]]
        assert ids == [entry["Arn"] for entry in whole[name]], name
    only = iam.get_account_authorization_details(Filter=["Role"])
    assert not only["UserDetailList"]
    assert len(only["RoleDetailList"]) == 1
    assert refused(iam.get_account_authorization_details, Marker="x").status == 400


@pytest.mark.usefixtures("ann")
def test_the_credential_report_is_made_once_and_read(iam: Any) -> None:
    assert refused(iam.get_credential_report)[:2] == (410, "ReportNotPresent")
    assert iam.generate_credential_report()["State"] == "STARTED"
    assert iam.generate_credential_report()["State"] == "COMPLETE"
    report = iam.get_credential_report()
    assert report["ReportFormat"] == "text/csv"
    rows = list(csv.DictReader(io.StringIO(report["Content"].decode())))
    assert [row["user"] for row in rows] == ["<root_account>", "ann"]
    assert len(rows[0]) == 22
    assert rows[0]["arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    assert rows[0]["access_key_1_active"] == "true"
    assert rows[0]["password_enabled"] == "not_supported"
    assert rows[1]["password_enabled"] == "true"
    assert rows[1]["password_last_used"] == "no_information"
    assert rows[1]["access_key_1_active"] == "true"
    assert rows[1]["access_key_2_active"] == "false"
    assert rows[1]["user_creation_time"].endswith("Z")


def test_keys_and_roles_tell_when_they_were_used_last(
    broker: RunningBroker, iam: Any, ann: Key
) -> None:
    idle = iam.create_access_key(UserName="ann")["AccessKey"]["AccessKeyId"]
    unused = iam.get_access_key_last_used(AccessKeyId=idle)
    assert unused["UserName"] == "ann"
    assert unused["AccessKeyLastUsed"] == {"ServiceName": "N/A", "Region": "N/A"}
    iam.delete_access_key(UserName="ann", AccessKeyId=idle)
    assert broker.client("iam", ann).get_user()
    role = f"arn:aws:iam::{ACCOUNT}:role/R"
    sts = broker.client("sts", ann)
    session = sts.assume_role(RoleArn=role, RoleSessionName="session")["Credentials"]
    broker.client("sts", Key.of(session)).get_caller_identity()

    def used() -> Any:
        access_key_last_used = iam.get_access_key_last_used(
            AccessKeyId=ann.access_key_id
        )
        return (
            access_key_last_used["AccessKeyLastUsed"].get("LastUsedDate")
            and access_key_last_used
        )

    entity = soon(used)
    assert entity["UserName"] == "ann"
    assert entity["AccessKeyLastUsed"]["ServiceName"] in {"iam", "sts"}
    last = soon(lambda: iam.get_role(RoleName="R")["Role"]["RoleLastUsed"])
    assert last["Region"] == REGION
    assert refused(iam.get_access_key_last_used, AccessKeyId="A" * 20)[:2] == (
        403,
        "AccessDenied",
    )


def test_services_last_accessed_name_what_is_granted_and_what_was_used(
    broker: RunningBroker, iam: Any, ann: Key
) -> None:
    broker.client("iam", ann).get_user()
    arn = f"arn:aws:iam::{ACCOUNT}:user/ann"

    def details() -> Any:
        job = iam.generate_service_last_accessed_details(
            Arn=arn, Granularity="ACTION_LEVEL"
        )["JobId"]
        stored_details = iam.get_service_last_accessed_details(JobId=job)
        services = {
            s["ServiceNamespace"]: s for s in stored_details["ServicesLastAccessed"]
        }
        return "LastAuthenticated" in services["iam"] and (
            job,
            stored_details,
            services,
        )

    job, entity, services = soon(details)
    assert entity["JobStatus"] == "COMPLETED"
    assert entity["JobType"] == "ACTION_LEVEL"
    assert {"iam", "s3"} <= set(services)
    assert "ec2" not in services
    assert services["s3"]["ServiceName"] == "Amazon S3"
    assert services["s3"]["TotalAuthenticatedEntities"] == 0
    assert services["iam"]["LastAuthenticatedEntity"] == arn
    assert services["iam"]["LastAuthenticatedRegion"] == REGION
    actions = [a["ActionName"] for a in services["iam"]["TrackedActionsLastAccessed"]]
    assert "GetUser" in actions
    entities = iam.get_service_last_accessed_details_with_entities(
        JobId=job, ServiceNamespace="iam"
    )["EntityDetailsList"]
    assert [entry["EntityInfo"]["Arn"] for entry in entities] == [arn]
    assert entities[0]["LastAuthenticated"]
    assert refused(iam.get_service_last_accessed_details, JobId="0" * 36)[:2] == (
        404,
        "NoSuchEntity",
    )
    for other in (f"arn:aws:iam::{ACCOUNT}:group/readers", READ_ONLY):
        job = iam.generate_service_last_accessed_details(Arn=other)["JobId"]
        assert iam.get_service_last_accessed_details(JobId=job)["ServicesLastAccessed"]
        entities = iam.get_service_last_accessed_details_with_entities(
            JobId=job, ServiceNamespace="iam"
        )["EntityDetailsList"]
        assert [entry["EntityInfo"]["Arn"] for entry in entities] == [arn]


def test_policies_that_grant_a_service_are_listed(iam: Any) -> None:
    listed = iam.list_policies_granting_service_access(
        Arn=f"arn:aws:iam::{ACCOUNT}:user/ann", ServiceNamespaces=["s3", "iam", "ec2"]
    )["PoliciesGrantingServiceAccess"]
    results = {entry["ServiceNamespace"]: entry["Policies"] for entry in listed}
    assert results["ec2"] == []
    own = {
        "PolicyName": "Own",
        "PolicyType": "INLINE",
        "EntityType": "USER",
        "EntityName": "ann",
    }
    assert own in results["s3"]
    assert own in results["iam"]
    assert {
        "PolicyName": "IAMReadOnlyAccess",
        "PolicyType": "MANAGED",
        "PolicyArn": READ_ONLY,
    } in results["iam"]


def test_times_are_whole_seconds(iam: Any) -> None:
    assert iam.get_user(UserName="ann")["User"]["CreateDate"].microsecond == 0
    key = iam.list_access_keys(UserName="ann")["AccessKeyMetadata"]
    assert all(entry["CreateDate"].microsecond == 0 for entry in key)
