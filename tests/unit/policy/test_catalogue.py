"""The catalogue says what the services' actions mean."""

import gzip
import json
from importlib.resources import files

import pytest

from broker.kinds.service_catalogue import service_entries
from broker.model.account import AccountId
from broker.policy import PolicyDocument, PolicyKind, find_context_key, parse_policy
from broker.policy.catalogue import (
    AccessLevel,
    expand_action,
    find_action,
    find_resource_template,
    find_service,
    policy_summary,
    service_prefixes,
    show_summary,
    unknown_actions,
    unknown_keys,
)
from broker.policy.catalogue.data import FILE_NAME
from broker.policy.catalogue.managed_names import NAMES_FILE_NAME
from broker.policy.catalogue.managed_policies import POLICIES_FILE_NAME
from broker.policy.catalogue.reduce import (
    LICENSE_NAME,
    POLICIES_LICENSE_NAME,
    notice,
    packed_catalogue,
    packed_names,
    packed_policies,
    policies_notice,
)
from tests.support.rows import rows


def document(*statements: str) -> PolicyDocument:
    text = f'{{"Version": "2012-10-17", "Statement": [{", ".join(statements)}]}}'
    return parse_policy(text, PolicyKind.IDENTITY)


def statement(action: str, *, effect: str = "Allow", more: str = "") -> str:
    return f'{{"Effect": "{effect}", "Action": {action}, "Resource": "*"{more}}}'


def test_the_packed_file_is_made_from_the_installed_release() -> None:
    """When red: run ``make catalogue`` and commit what it wrote."""
    folder = files("broker.policy.catalogue")
    there = gzip.decompress((folder / FILE_NAME).read_bytes())
    assert gzip.decompress(packed_catalogue()) == there
    assert (folder / LICENSE_NAME).read_text() == notice()
    there = gzip.decompress((folder / POLICIES_FILE_NAME).read_bytes())
    assert gzip.decompress(packed_policies()) == there
    assert (folder / POLICIES_LICENSE_NAME).read_text() == policies_notice()
    there = gzip.decompress((folder / NAMES_FILE_NAME).read_bytes())
    assert gzip.decompress(packed_names()) == there


def test_the_packed_file_is_small_and_the_licence_goes_with_it() -> None:
    folder = files("broker.policy.catalogue")
    assert len((folder / FILE_NAME).read_bytes()) < 250_000
    assert "THE SOFTWARE IS PROVIDED" in (folder / LICENSE_NAME).read_text()
    assert len((folder / POLICIES_FILE_NAME).read_bytes()) < 600_000
    assert "Apache License" in (folder / POLICIES_LICENSE_NAME).read_text()


def test_every_service_can_be_read() -> None:
    prefixes = service_prefixes()
    assert len(prefixes) > 400
    services = [find_service(prefix) for prefix in prefixes]
    assert sum(len(service.actions) for service in services if service) > 20_000


def test_an_action_has_level_resources_and_keys_whatever_its_case() -> None:
    action_entry = find_action("IAM:attachrolepolicy")
    assert action_entry is not None
    assert (action_entry.service, action_entry.name) == ("iam", "AttachRolePolicy")
    assert action_entry.level is AccessLevel.PERMISSIONS
    (role,) = action_entry.resource_types
    assert role.arn == "arn:${Partition}:iam::${Account}:role/${RoleNameWithPath}"
    assert "iam:ResourceTag/${TagKey}" in role.condition_keys
    assert set(action_entry.condition_keys) == {
        "iam:PolicyARN",
        "iam:PermissionsBoundary",
    }


@pytest.mark.parametrize("prefix", ["iam", "sts"])
def test_the_engine_knows_every_key_of_the_broker_s_own_services(prefix: str) -> None:
    service = find_service(prefix)
    assert service is not None
    for key in service.condition_keys:
        assert find_context_key(key.replace("${TagKey}", "x")) is not None, key


def test_an_action_names_the_permissions_it_depends_on() -> None:
    action_entry = find_action("iam:AddRoleToInstanceProfile")
    assert action_entry is not None
    assert action_entry.dependent_actions == ("iam:PassRole",)


@pytest.mark.parametrize("action", ["s3:Nope", "nope:GetObject", "s3", "", ":", "*"])
def test_what_is_not_known_is_not_found(action: str) -> None:
    assert find_action(action) is None


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("sts:GetCallerIdentity", {"GetCallerIdentity"}),
        ("sts:assumerole", {"AssumeRole"}),
        ("sts:AssumeRoleWith*", {"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"}),
        ("sts:?etSourceIdentity", {"SetSourceIdentity"}),
        ("st?:AssumeRoo?", {"AssumeRoot"}),
        ("sts:Nope*", set()),
        ("sts", set()),
    ],
)
def test_wildcards_expand_to_the_known_actions(pattern: str, names: set[str]) -> None:
    assert {entry.name for entry in expand_action(pattern)} == names


def test_a_star_alone_is_every_action() -> None:
    assert len(expand_action("*")) == len(expand_action("*:*")) > 20_000


@rows("action, arn, template")
def test_an_arn_belongs_to_one_of_its_actions_resource_types(
    action: str, arn: str, template: str | None
) -> None:
    assert find_resource_template(action, [arn]) == template


def test_a_misspelt_action_is_warned_of_with_its_place() -> None:
    written = '["s3:Get*", "s3:Frob*", "iam:CreatUser", "corp:Read", "*", "*:Get*",'
    written += ' "broker:Authorize"]'
    assert unknown_actions(document(statement(written))) == (
        "Statement 1: s3:Frob* covers no action of Amazon S3",
        (
            "Statement 1: iam:CreatUser is not an action of"
            " AWS Identity and Access Management (IAM)"
        ),
        "Statement 1: corp:Read is an action of a service that AWS does not have",
    )


def test_a_condition_key_that_nothing_brings_is_warned_of() -> None:
    named = (
        *(
            "aws:SourceIp",
            "aws:PrincipalTag/team",
            "aws:RequestTag/team",
            "s3:prefix",
            "s3:ExistingObjectTag/a",
        ),
        *("ec2:Region", "id.example.com/x:aud", "127.0.0.1:8097/x:role", "Corp:groups"),
        *("aws:SourceIpp", "s3:x-amz-aclx", "orders:Priority", "nobody:key"),
    )
    conditions = ",".join(f'"{key}": "x"' for key in named)
    condition = f', "Condition": {{"StringEquals": {{{conditions}}}}}'
    policy_document = document(statement('"*"', more=condition))
    none = "is a condition key that no request here has"
    assert unknown_keys(policy_document) == (
        f"Statement 1: aws:SourceIpp {none}",
        f"Statement 1: nobody:key {none}",
        f"Statement 1: orders:Priority {none}",
        f"Statement 1: s3:x-amz-aclx {none}",
    )
    get = {"Get": {"AccessLevel": "Read"}}
    keys = {"orders:priority": "String"}
    own = service_entries(
        [
            ("s3", json.dumps({"Actions": get})),
            ("orders", json.dumps({"Actions": get, "ConditionKeys": keys})),
        ],
        account=AccountId("111122223333"),
        region="us-east-1",
    )
    sent = "it has a value only if the service sends one"
    assert unknown_keys(policy_document, own) == (
        f"Statement 1: aws:SourceIpp {none}",
        f"Statement 1: nobody:key {none}",
        f"Statement 1: s3:ExistingObjectTag/a is not a condition key that s3 declares: {sent}",
        f"Statement 1: s3:prefix is not a condition key that s3 declares: {sent}",
        f"Statement 1: s3:x-amz-aclx is not a condition key that s3 declares: {sent}",
    )


def test_a_summary_gives_levels_resources_and_conditions_of_each_service() -> None:
    """The example of IAM's FAQ, in part."""
    condition = ', "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "false"}}'
    rows = policy_summary(
        [
            document(
                statement('["sts:AssumeRole", "sts:*Tag*", "corp:Read"]'),
                statement('"sts:Get*Key*"'),
                statement('"ec2:RunInstances"', effect="Deny", more=condition),
            ),
            document(statement('"sqs:*"')),
        ]
    )
    assert show_summary(rows).splitlines() == [
        (
            "Deny Amazon EC2: Limited: Write; All resources;"
            " condition: aws:MultiFactorAuthPresent Bool false"
        ),
        "Allow corp: Unknown actions; All resources; condition: None",
        "Allow Amazon SQS: Full access; All resources; condition: None",
        (
            "Allow AWS Security Token Service: Full: Tagging Limited: Read, Write;"
            " All resources; condition: None"
        ),
    ]
    assert rows[1].unknown == ("corp:Read",)


def test_a_star_is_one_row() -> None:
    (row,) = policy_summary([document(statement('["s3:Get*", "*"]'))])
    assert show_summary([row]) == (
        "Allow all services: Full access; All resources; condition: None"
    )
    assert len(row.levels) == len(AccessLevel)


def test_not_action_covers_everything_else() -> None:
    text = (
        '{"Version": "2012-10-17", "Statement": {"Effect": "Allow",'
        ' "NotAction": ["iam:*", "sts:GetSessionToken"], "NotResource": "arn:aws:s3:::b"}}'
    )
    rows = {
        row.prefix: row
        for row in policy_summary([parse_policy(text, PolicyKind.IDENTITY)])
    }
    assert "iam" not in rows
    assert rows["sqs"].access == "Full access"
    assert "Limited" in rows["sts"].access
    assert rows["sqs"].resources == ("all but arn:aws:s3:::b",)
