"""Access Analyzer's checks with boto3, through the socket."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.broker import Key, RunningBroker
from tests.support.machine_agent import until

ALL = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@pytest.fixture(scope="module")
def analyzer(broker: RunningBroker, root: Key) -> Any:
    return broker.client("accessanalyzer", root)


def refusal(call: Any, **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    error = answer["Error"]
    return (
        error["Code"],
        answer["ResponseMetadata"]["HTTPStatusCode"],
        error["Message"],
    )


def test_a_policy_that_grants_an_action_fails_with_a_request(analyzer: Any) -> None:
    answer = analyzer.check_access_not_granted(
        policyDocument=policy(READ, ALL | {"Sid": "Wide"}),
        access=[{"actions": ["s3:PutObject"]}],
        policyType="IDENTITY_POLICY",
    )
    assert answer["result"] == "FAIL"
    assert answer["message"] == (
        "The policy document grants access to perform one or more of the listed"
        " actions."
    )
    (reason,) = answer["reasons"]
    assert reason["statementIndex"] == 1
    assert reason["statementId"] == "Wide"
    assert reason["description"].startswith(
        "One or more of the listed actions in the statement with sid: Wide."
        " For example: s3:PutObject on "
    )


def test_a_policy_that_does_not_grant_it_passes(analyzer: Any) -> None:
    answer = analyzer.check_access_not_granted(
        policyDocument=policy(READ),
        access=[{"actions": ["s3:PutObject"], "resources": ["arn:aws:s3:::b/*"]}],
        policyType="IDENTITY_POLICY",
    )
    assert answer["result"] == "PASS"
    assert "reasons" not in answer


@pytest.mark.parametrize(
    ("new", "old", "indexes"),
    [([READ], [ALL], []), ([READ, ALL], [READ], [1]), ([ALL], [ALL], [])],
)
def test_new_access_is_told_by_statement(
    analyzer: Any,
    new: Sequence[dict[str, Any]],
    old: Sequence[dict[str, Any]],
    indexes: list[int],
) -> None:
    answer = analyzer.check_no_new_access(
        newPolicyDocument=policy(*new),
        existingPolicyDocument=policy(*old),
        policyType="IDENTITY_POLICY",
    )
    reasons = answer.get("reasons", [])
    assert [reason["statementIndex"] for reason in reasons] == indexes
    assert answer["result"] == ("FAIL" if indexes else "PASS")
    for reason in reasons:
        index = reason["statementIndex"]
        begin = f"New access in the statement with index: {index}. For example: s3:"
        assert reason["description"].startswith(begin)


def test_a_trust_policy_of_everyone_is_public(analyzer: Any) -> None:
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    kind = "AWS::IAM::AssumeRolePolicyDocument"
    public = analyzer.check_no_public_access(
        policyDocument=policy(trust), resourceType=kind
    )
    assert public["result"] == "FAIL"
    (reason,) = public["reasons"]
    assert reason["description"].startswith(
        "Public access granted in the following statement with index: 0. For example:"
        " sts:"
    )
    trust["Condition"] = {"StringEquals": {"aws:PrincipalAccount": "111122223333"}}
    private = analyzer.check_no_public_access(
        policyDocument=policy(trust), resourceType=kind
    )
    assert private["result"] == "PASS"


def test_what_is_not_decided_fails_and_says_so(analyzer: Any) -> None:
    condition = {"StringEquals": {"aws:PrincipalTag/u": "${aws:username}"}}
    new = READ | {"Resource": "arn:aws:s3:::${aws:username}", "Condition": condition}
    old = READ | {"Resource": "arn:aws:s3:::${aws:PrincipalTag/u}"}
    answer = analyzer.check_no_new_access(
        newPolicyDocument=policy(new),
        existingPolicyDocument=policy(old),
        policyType="IDENTITY_POLICY",
    )
    assert answer["result"] == "FAIL"
    assert answer["reasons"][0]["description"] == (
        "New access in the statement with index: 0."
        " Not decided: it depends on the values of policy variables."
    )


@pytest.mark.parametrize(
    ("access", "message"),
    [
        ([{"resources": ["b/*"]}], "Invalid ARN"),
        ([{"actions": ["PutObject"]}], 'Invalid action "PutObject"'),
        ([{}], "Give actions or resources."),
        ([], "Give an access with actions or resources."),
    ],
)
def test_access_that_cannot_be_read_is_a_validation_error(
    analyzer: Any, access: list[dict[str, Any]], message: str
) -> None:
    assert refusal(
        analyzer.check_access_not_granted,
        policyDocument=policy(READ),
        access=access,
        policyType="IDENTITY_POLICY",
    ) == ("ValidationException", 400, message)


def test_more_than_a_hundred_actions_are_a_validation_error(analyzer: Any) -> None:
    code, status, _ = refusal(
        analyzer.check_access_not_granted,
        policyDocument=policy(READ),
        access=[{"actions": [f"s3:Get{n}" for n in range(101)]}],
        policyType="IDENTITY_POLICY",
    )
    assert (code, status) == ("ValidationException", 400)


@pytest.mark.parametrize("text", ["{", "[]", policy(READ | {"Effect": "Maybe"})])
def test_a_broken_policy_cannot_be_processed(analyzer: Any, text: str) -> None:
    code, status, _ = refusal(
        analyzer.check_no_public_access,
        policyDocument=text,
        resourceType="AWS::S3::Bucket",
    )
    assert (code, status) == ("UnprocessableEntityException", 422)


def test_a_hard_policy_ends_undecided(analyzer: Any) -> None:
    pigeons, holes = [f"k:p{n}" for n in range(7)], [str(n) for n in range(6)]
    new = ALL | {"Condition": {"StringEquals": dict.fromkeys(pigeons, holes)}}
    old = [
        ALL | {"Condition": {"StringEquals": {p: h, q: h}}}
        for p in pigeons
        for q in pigeons
        for h in holes
        if p < q
    ]
    answer = analyzer.check_no_new_access(
        newPolicyDocument=policy(new),
        existingPolicyDocument=policy(*old),
        policyType="IDENTITY_POLICY",
    )
    assert answer["result"] == "FAIL"
    assert (
        "Not decided: the policies are too hard" in answer["reasons"][0]["description"]
    )


def test_findings_have_their_places_in_the_text(analyzer: Any) -> None:
    text = policy(READ, READ | {"Action": ["s3:GetObjct"], "Resource": "é"}).replace(
        '"Statement": [', '"Statement": [\n '
    )
    answer = analyzer.validate_policy(policyDocument=text, policyType="IDENTITY_POLICY")
    by_code = {finding["issueCode"]: finding for finding in answer["findings"]}
    assert set(by_code) == {"INVALID_ACTION", "INVALID_ARN_PREFIX"}
    finding = by_code["INVALID_ACTION"]
    assert finding["findingType"] == "ERROR"
    assert finding["findingDetails"] == (
        "The action s3:GetObjct does not exist: did you mean s3:GetObject."
    )
    assert finding["learnMoreLink"].endswith("-policy-checks-error-invalid-action")
    (location,) = finding["locations"]
    assert location["path"] == [
        {"value": "Statement"},
        {"index": 1},
        {"value": "Action"},
        {"index": 0},
    ]
    start, end = location["span"]["start"], location["span"]["end"]
    assert text[start["offset"] : end["offset"]] == '"s3:GetObjct"'
    assert start["line"] == end["line"] == 2
    assert text.split("\n")[1][start["column"] : end["column"]] == '"s3:GetObjct"'


def test_findings_come_in_pages(analyzer: Any) -> None:
    text = policy(READ | {"Action": [f"s3:Nothing{n}" for n in range(5)]})
    paginator = analyzer.get_paginator("validate_policy")
    pages = list(
        paginator.paginate(
            policyDocument=text,
            policyType="IDENTITY_POLICY",
            PaginationConfig={"PageSize": 2},
        )
    )
    assert [len(page["findings"]) for page in pages] == [2, 2, 1]


@pytest.mark.parametrize("params", [{"nextToken": "x"}, {"maxResults": 0}])
def test_a_page_that_cannot_be_read_is_a_validation_error(
    analyzer: Any, params: dict[str, Any]
) -> None:
    code, status, _ = refusal(
        analyzer.validate_policy,
        policyDocument=policy(READ),
        policyType="IDENTITY_POLICY",
        **params,
    )
    assert (code, status) == ("ValidationException", 400)


@pytest.mark.parametrize(
    ("kind", "of", "codes"),
    [
        (
            "RESOURCE_POLICY",
            "AWS::IAM::AssumeRolePolicyDocument",
            {"MISSING_PRINCIPAL"},
        ),
        ("RESOURCE_POLICY", "AWS::S3::Bucket", {"MISSING_PRINCIPAL"}),
        ("RESOURCE_CONTROL_POLICY", "", {"MISSING_PRINCIPAL"}),
        ("SERVICE_CONTROL_POLICY", "", {"MISSING_RESOURCE"}),
        ("IDENTITY_POLICY", "", {"MISSING_RESOURCE"}),
    ],
)
def test_each_type_of_policy_has_its_rules(
    analyzer: Any, kind: str, of: str, codes: set[str]
) -> None:
    text = policy({"Effect": "Allow", "Action": "sts:AssumeRole"})
    params = {"validatePolicyResourceType": of} if of else {}
    answer = analyzer.validate_policy(policyDocument=text, policyType=kind, **params)
    assert {finding["issueCode"] for finding in answer["findings"]} == codes


def test_a_resource_type_is_for_resource_policies(analyzer: Any) -> None:
    assert refusal(
        analyzer.validate_policy,
        policyDocument=policy(READ),
        policyType="IDENTITY_POLICY",
        validatePolicyResourceType="AWS::IAM::AssumeRolePolicyDocument",
    ) == ("ValidationException", 400, "Resource types are for resource policies.")


def test_other_operations_are_refused_by_name(analyzer: Any) -> None:
    code, status, message = refusal(
        analyzer.create_analyzer, analyzerName="all", type="ACCOUNT"
    )
    assert (code, status) == ("UnsupportedOperationException", 400)
    assert message == "The operation CreateAnalyzer is not supported."


def test_a_check_needs_its_permission_and_leaves_a_record(
    broker: RunningBroker, root: Key
) -> None:
    iam = broker.client("iam", root)
    iam.create_user(UserName="checker")
    made = iam.create_access_key(UserName="checker")["AccessKey"]
    key = Key(made["AccessKeyId"], made["SecretAccessKey"])
    client = broker.client("accessanalyzer", key)
    params = {"policyDocument": policy(READ), "resourceType": "AWS::S3::Bucket"}
    code, status, message = refusal(client.check_no_public_access, **params)
    assert (code, status) == ("AccessDeniedException", 403)
    assert "access-analyzer:CheckNoPublicAccess" in message
    allow = {
        "Effect": "Allow",
        "Action": "access-analyzer:CheckNo*",
        "Resource": "*",
    }
    iam.put_user_policy(
        UserName="checker", PolicyName="p", PolicyDocument=policy(allow)
    )
    assert refusal(client.check_no_public_access, **params)[:2] == (
        "UnprocessableEntityException",
        422,
    )  # READ names no principal
    trail = broker.client("cloudtrail", root)

    def written() -> list[dict[str, Any]]:
        name = {"AttributeKey": "EventName", "AttributeValue": "CheckNoPublicAccess"}
        events = trail.lookup_events(LookupAttributes=[name])["Events"]
        return [json.loads(event["CloudTrailEvent"]) for event in events]

    codes = {"AccessDeniedException", "UnprocessableEntityException"}
    until(lambda: codes <= {entry.get("errorCode") for entry in written()})
    assert all("policyDocument" not in str(entry) for entry in written())
