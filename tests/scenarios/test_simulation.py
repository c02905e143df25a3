"""The policy simulator answers boto3 and the AWS CLI as AWS documents it."""

import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.policies import allow, policy, statement
from tests.support.refusals import refused
from tests.support.rows import cases

ROOT = f"arn:aws:iam::{ACCOUNT}:root"
OTHER_ROOT = "arn:aws:iam::444455556666:root"
ANN = f"arn:aws:iam::{ACCOUNT}:user/team/ann"
WORKER = f"arn:aws:iam::{ACCOUNT}:role/worker"
OBJECT = "arn:aws:s3:::production/Test"

AFTER_2018 = (
    '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*",'
    '"Resource":"*","Condition":{"DateGreaterThan":'
    '{"aws:CurrentTime":"2018-08-16T12:00:00Z"}}}}'
)


def entry(name: str, key_type: str, *values: str) -> dict[str, Any]:
    return {
        "ContextKeyName": name,
        "ContextKeyType": key_type,
        "ContextKeyValues": list(values),
    }


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """Without the limit that the costly ones reach together."""
    folder = tmp_path_factory.mktemp("broker")
    with running_broker(folder, rate_limit="0") as made:
        yield made


@pytest.fixture(scope="module")
def iam(broker: RunningBroker, root: Key) -> Any:
    client = broker.client("iam", root)
    client.create_user(
        UserName="ann", Path="/team/", Tags=[{"Key": "team", "Value": "blue"}]
    )
    client.put_user_policy(
        UserName="ann", PolicyName="Own", PolicyDocument=allow("sqs:SendMessage")
    )
    arn = client.create_policy(PolicyName="Reads", PolicyDocument=allow("s3:Get*"))
    client.attach_user_policy(UserName="ann", PolicyArn=arn["Policy"]["Arn"])
    client.attach_user_policy(
        UserName="ann", PolicyArn="arn:aws:iam::aws:policy/IAMReadOnlyAccess"
    )
    boundary = client.create_policy(
        PolicyName="Limit", PolicyDocument=allow(["s3:*", "iam:*", "ec2:*"])
    )
    client.put_user_permissions_boundary(
        UserName="ann", PermissionsBoundary=boundary["Policy"]["Arn"]
    )
    trust = statement("sts:AssumeRole", Principal={"AWS": ROOT})
    del trust["Resource"]
    client.create_role(RoleName="worker", AssumeRolePolicyDocument=policy(trust))
    client.put_role_policy(
        RoleName="worker",
        PolicyName="Work",
        PolicyDocument=allow("sqs:*", "arn:aws:sqs:*:*:${aws:PrincipalTag/queue}"),
    )
    return client


def custom(iam: Any, actions: Sequence[str], **params: Any) -> list[dict[str, Any]]:
    answer = iam.simulate_custom_policy(ActionNames=list(actions), **params)
    results: list[dict[str, Any]] = answer["EvaluationResults"]
    return results


def principal(
    iam: Any, actions: Sequence[str], source: str = ANN, **params: Any
) -> list[dict[str, Any]]:
    answer = iam.simulate_principal_policy(
        PolicySourceArn=source, ActionNames=list(actions), **params
    )
    results: list[dict[str, Any]] = answer["EvaluationResults"]
    return results


def decisions(results: list[dict[str, Any]]) -> list[str]:
    return [result["EvalDecision"] for result in results]


# The documented examples


@pytest.mark.parametrize(
    ("year", "decision", "matched"),
    [(2019, "allowed", True), (2014, "implicitDeny", False)],
)
def test_the_examples_of_the_cli_for_a_custom_policy(
    broker: RunningBroker, root: Key, year: int, decision: str, *, matched: bool
) -> None:
    answer = broker.aws(
        *("iam", "simulate-custom-policy", "--policy-input-list", AFTER_2018),
        *("--action-names", "dynamodb:CreateBackup", "--context-entries"),
        "ContextKeyName='aws:CurrentTime',"
        f"ContextKeyValues='{year}-04-25T11:00:00Z',ContextKeyType=date",
        AWS_ACCESS_KEY_ID=root.access_key_id,
        AWS_SECRET_ACCESS_KEY=root.secret_access_key,
    )
    statements = [
        {
            "SourcePolicyId": "PolicyInputList.1",
            "SourcePolicyType": "IAM Policy",
            "StartPosition": {"Line": 1, "Column": 38},
            "EndPosition": {"Line": 1, "Column": 167},
        }
    ]
    assert answer == {
        "EvaluationResults": [
            {
                "EvalActionName": "dynamodb:CreateBackup",
                "EvalResourceName": "*",
                "EvalDecision": decision,
                "MatchedStatements": statements if matched else [],
                "MissingContextValues": [],
            }
        ]
    }


def test_the_example_of_the_cli_for_context_keys(
    broker: RunningBroker, root: Key
) -> None:
    text = (
        '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*",'
        '"Resource":"arn:aws:dynamodb:us-west-2:123456789012:table/${aws:username}",'
        '"Condition":{"DateGreaterThan":{"aws:CurrentTime":"2015-08-16T12:00:00Z"}}}}'
    )
    answer = broker.aws(
        *("iam", "get-context-keys-for-custom-policy", "--policy-input-list", text),
        AWS_ACCESS_KEY_ID=root.access_key_id,
        AWS_SECRET_ACCESS_KEY=root.secret_access_key,
    )
    assert answer == {"ContextKeyNames": ["aws:username", "aws:CurrentTime"]}


def test_the_example_of_the_cli_for_a_principal(
    broker: RunningBroker, root: Key, iam: Any
) -> None:
    text = """{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "codecommit:ListRepositories"
            ],
            "Resource": "*"
        }
    ]
}"""
    iam.create_user(UserName="alejandro")
    iam.put_user_policy(UserName="alejandro", PolicyName="Grant", PolicyDocument=text)
    iam.put_user_policy(
        UserName="alejandro", PolicyName="Db", PolicyDocument=AFTER_2018
    )
    key = {
        "AWS_ACCESS_KEY_ID": root.access_key_id,
        "AWS_SECRET_ACCESS_KEY": root.secret_access_key,
    }
    source = f"arn:aws:iam::{ACCOUNT}:user/alejandro"
    words = ("iam", "simulate-principal-policy", "--policy-source-arn", source)
    answer = broker.aws(*words, "--action-names", "codecommit:ListRepositories", **key)
    (result,) = answer["EvaluationResults"]
    assert result["EvalDecision"] == "allowed"
    assert result["MatchedStatements"] == [
        {
            "SourcePolicyId": "user_alejandro_Grant",
            "SourcePolicyType": "IAM Policy",
            "StartPosition": {"Line": 3, "Column": 19},
            "EndPosition": {"Line": 10, "Column": 10},
        }
    ]
    answer = broker.aws(
        *words,
        *("--action-names", "dynamodb:CreateBackup", "--context-entries"),
        "ContextKeyName='aws:CurrentTime',ContextKeyValues='2018-04-25T11:00:00Z',"
        "ContextKeyType=date",
        **key,
    )
    (result,) = answer["EvaluationResults"]
    assert result["EvalDecision"] == "implicitDeny"
    assert result["MatchedStatements"] == result["MissingContextValues"] == []


def test_the_reference_s_same_account_example(iam: Any) -> None:
    """A resource policy that names the user is enough, whatever the boundary."""
    mateo = "arn:aws:iam::111122223333:user/mateo"
    (result,) = custom(
        iam,
        ["s3:PutObject"],
        CallerArn=mateo,
        ResourceArns=[OBJECT],
        ResourceOwner="arn:aws:iam::111122223333:root",
        PermissionsBoundaryPolicyInputList=[allow("iam:*")],
        PolicyInputList=[allow("iam:*")],
        ResourcePolicy=allow(
            ["s3:List*", "s3:Put*"],
            "arn:aws:s3:::production/*",
            Principal={"AWS": mateo},
        ),
    )
    assert result["EvalDecision"] == "allowed"
    assert result["EvalDecisionDetails"] == {}
    no = {"AllowedByPermissionsBoundary": False}
    assert result["PermissionsBoundaryDecisionDetail"] == no
    (matched,) = result["MatchedStatements"]
    assert matched["SourcePolicyId"] == "ResourcePolicy"
    assert matched["SourcePolicyType"] == "Resource Policy"
    (single,) = result["ResourceSpecificResults"]
    assert single["EvalResourceName"] == result["EvalResourceName"] == OBJECT
    assert single["EvalResourceDecision"] == "allowed"
    assert single["PermissionsBoundaryDecisionDetail"] == no
    assert single["MatchedStatements"] == [matched]
    assert "EvalDecisionDetails" not in single


def test_the_reference_s_cross_account_example(iam: Any) -> None:
    (result,) = principal(
        iam,
        ["s3:PutObject"],
        ResourceArns=["arn:aws:s3:::mary/Test"],
        ResourceOwner=OTHER_ROOT,
        PermissionsBoundaryPolicyInputList=[allow("iam:*")],
        ResourcePolicy=allow(
            ["s3:List*", "s3:Put*"], "arn:aws:s3:::mary/*", Principal={"AWS": ANN}
        ),
    )
    details = {
        "IAM Policy": "implicitDeny",
        "Resource Policy": "allowed",
        "Permissions Boundary Policy": "implicitDeny",
    }
    assert result["EvalDecision"] == "implicitDeny"
    assert result["EvalDecisionDetails"] == details
    assert result["MatchedStatements"] == []
    (single,) = result["ResourceSpecificResults"]
    assert single["EvalDecisionDetails"] == details
    (matched,) = single["MatchedStatements"]
    assert matched["SourcePolicyId"] == "ResourcePolicy"


# Results


def test_one_result_an_action_with_the_most_restrictive_decision(iam: Any) -> None:
    first, second = "arn:aws:s3:::a/1", "arn:aws:s3:::b/2"
    rules = policy(
        statement("s3:*", "arn:aws:s3:::a/*"),
        statement("s3:Get*", "arn:aws:s3:::b/*"),
        statement("s3:Put*", "arn:aws:s3:::b/*", Effect="Deny"),
    )
    results = custom(
        iam,
        ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
        PolicyInputList=[rules],
        ResourceArns=[first, second],
    )
    assert [r["EvalActionName"] for r in results] == [
        "s3:GetObject",
        "s3:PutObject",
        "s3:DeleteObject",
    ]
    assert decisions(results) == ["allowed", "explicitDeny", "implicitDeny"]
    assert [
        [result["EvalResourceDecision"] for result in r["ResourceSpecificResults"]]
        for r in results
    ] == [
        ["allowed", "allowed"],
        ["allowed", "explicitDeny"],
        ["allowed", "implicitDeny"],
    ]
    assert [len(r["MatchedStatements"]) for r in results] == [2, 1, 0]
    template = "arn:${Partition}:s3:::${BucketName}/${ObjectName}"
    assert results[0]["EvalResourceName"] == template
    assert [r["EvalResourceName"] for r in results[0]["ResourceSpecificResults"]] == [
        first,
        second,
    ]


def test_a_denial_shows_the_denying_statements_only(iam: Any) -> None:
    rules = policy(statement("s3:*"), statement("s3:*", Effect="Deny"))
    (result,) = custom(iam, ["s3:GetObject"], PolicyInputList=[rules])
    (matched,) = result["MatchedStatements"]
    assert matched["StartPosition"]["Column"] > 41


def test_missing_context_values_are_those_of_statements_about_the_action(
    iam: Any,
) -> None:
    rules = policy(
        statement(
            "s3:*",
            "arn:aws:s3:::home/${aws:username}/*",
            Condition={
                "IpAddress": {"aws:SourceIp": "203.0.113.0/24"},
                "StringEquals": {"s3:prefix": "${aws:PrincipalTag/p, 'none'}"},
            },
        ),
        statement("sqs:*", Condition={"Bool": {"aws:SecureTransport": "true"}}),
        statement(
            "s3:Get*", "arn:aws:s3:::x", Condition={"Null": {"aws:Referer": "true"}}
        ),
    )
    params = {"PolicyInputList": [rules], "ResourceArns": ["arn:aws:s3:::home/ann/k"]}
    (result,) = custom(iam, ["s3:GetObject"], **params)
    missing = ["aws:username", "aws:SourceIp", "s3:prefix"]
    assert result["MissingContextValues"] == missing
    assert result["ResourceSpecificResults"][0]["MissingContextValues"] == missing
    (result,) = custom(
        iam,
        ["s3:GetObject"],
        CallerArn=f"arn:aws:iam::{ACCOUNT}:user/ann",
        ContextEntries=[
            entry("aws:sourceip", "ip", "203.0.113.9"),
            entry("s3:prefix", "string", "none"),
        ],
        **params,
    )
    assert (result["EvalDecision"], result["MissingContextValues"]) == ("allowed", [])


@cases("operator, value, key_type, values")
def test_context_entries_of_every_type(
    iam: Any, operator: str, value: object, key_type: str, values: list[str]
) -> None:
    rules = allow("s3:*", Condition={operator: {"corp:key": value}})
    params = {"PolicyInputList": [rules]}
    entries = [entry("Corp:Key", key_type, *values)]
    assert decisions(custom(iam, ["s3:Go"], ContextEntries=entries, **params)) == [
        "allowed"
    ]


def test_pages_go_on_where_they_ended(iam: Any) -> None:
    actions = [f"s3:Action{n}" for n in range(7)]
    params = {"ActionNames": actions, "PolicyInputList": [allow("s3:Action3")]}
    pages = list(
        iam.get_paginator("simulate_custom_policy").paginate(
            PaginationConfig={"PageSize": 3}, **params
        )
    )
    assert [len(page["EvaluationResults"]) for page in pages] == [3, 3, 1]
    results = [result for page in pages for result in page["EvaluationResults"]]
    assert [r["EvalActionName"] for r in results] == actions
    assert decisions(results).index("allowed") == 3


def test_a_page_is_cut_when_it_would_be_much_work(iam: Any) -> None:
    params = {
        "ActionNames": ["s3:GetObject", "s3:PutObject", "s3:GetObjectAcl"],
        "PolicyInputList": [allow("s3:*")],
        "ResourceArns": [f"arn:aws:s3:::b/{n}" for n in range(400)],
    }
    first = iam.simulate_custom_policy(**params)
    assert (len(first["EvaluationResults"]), first["IsTruncated"]) == (2, True)
    second = iam.simulate_custom_policy(Marker=first["Marker"], **params)
    assert (len(second["EvaluationResults"]), second["IsTruncated"]) == (1, False)


# Boundaries and organisations


def test_a_boundary_is_answered_with_what_it_says(iam: Any) -> None:
    params = {
        "PolicyInputList": [allow("s3:*")],
        "PermissionsBoundaryPolicyInputList": [allow("s3:Get*")],
    }
    results = custom(iam, ["s3:GetObject", "s3:PutObject"], **params)
    assert decisions(results) == ["allowed", "implicitDeny"]
    assert [
        r["PermissionsBoundaryDecisionDetail"]["AllowedByPermissionsBoundary"]
        for r in results
    ] == [True, False]


def test_service_control_policies_end_the_simulation(iam: Any) -> None:
    levels = [
        {"ServiceControlPolicyInputList": [allow("*")]},
        {
            "ServiceControlPolicyInputList": [
                allow("*"),
                allow("s3:Put*", Effect="Deny"),
            ]
        },
        {"ServiceControlPolicyInputList": [allow("s3:Get*"), allow("s3:Put*")]},
    ]
    results = custom(
        iam,
        ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
        PolicyInputList=[allow("s3:*")],
        OrderedOrganizationPolicyInputList=levels,
        ResourceArns=[OBJECT],
    )
    assert decisions(results) == ["allowed", "explicitDeny", "implicitDeny"]
    assert [
        r["OrganizationsDecisionDetail"]["AllowedByOrganizations"] for r in results
    ] == [True, False, False]
    assert results[1]["MatchedStatements"] == []
    assert "EvalDecisionDetails" in results[0]
    assert "EvalDecisionDetails" not in results[1]


# Principals


def test_a_principal_s_own_policies_count_with_those_given(iam: Any) -> None:
    actions = ["s3:GetObject", "sqs:SendMessage", "iam:GetUser", "ec2:RunInstances"]
    results = principal(iam, actions, PolicyInputList=[allow("ec2:RunInstances")])
    assert decisions(results) == ["allowed", "implicitDeny", "allowed", "allowed"]
    assert [[s["SourcePolicyId"] for s in r["MatchedStatements"]] for r in results] == [
        ["Reads"],
        [],
        ["IAMReadOnlyAccess"],
        ["PolicyInputList.1"],
    ]
    (result,) = principal(
        iam, ["sqs:SendMessage"], PermissionsBoundaryPolicyInputList=[allow("sqs:*")]
    )
    assert result["EvalDecision"] == "allowed"
    assert result["MatchedStatements"][0]["SourcePolicyId"] == "user_ann_Own"


def test_a_role_s_policies_see_its_tags(iam: Any) -> None:
    queue = f"arn:aws:sqs:eu-west-3:{ACCOUNT}:jobs"
    params = {"ResourceArns": [queue]}
    (result,) = principal(iam, ["sqs:SendMessage"], WORKER, **params)
    assert result["MissingContextValues"] == ["aws:PrincipalTag/queue"]
    iam.tag_role(RoleName="worker", Tags=[{"Key": "queue", "Value": "jobs"}])
    results = principal(iam, ["sqs:SendMessage"], WORKER, **params)
    assert decisions(results) == ["allowed"]


@cases("exclusion, expected")
def test_excluded_policies_do_not_count(
    iam: Any, exclusion: dict[str, Any], expected: list[str]
) -> None:
    results = principal(
        iam,
        ["sqs:SendMessage", "s3:GetObject", "iam:GetUser"],
        PolicyExclusionList=[exclusion, {"PolicyType": "permission-boundary"}],
    )
    assert decisions(results) == expected
    assert "PermissionsBoundaryDecisionDetail" not in results[0]


def test_a_group_lends_its_policies_to_its_users(iam: Any) -> None:
    iam.create_group(GroupName="buyers")
    iam.put_group_policy(
        GroupName="buyers",
        PolicyName="Buy",
        PolicyDocument=allow(
            "ec2:*", Condition={"StringEquals": {"ec2:Owner": "${aws:username}"}}
        ),
    )
    iam.attach_group_policy(
        GroupName="buyers", PolicyArn="arn:aws:iam::aws:policy/IAMReadOnlyAccess"
    )
    iam.add_user_to_group(GroupName="buyers", UserName="ann")
    group = f"arn:aws:iam::{ACCOUNT}:group/buyers"
    answer = iam.get_context_keys_for_principal_policy(PolicySourceArn=ANN)
    assert answer["ContextKeyNames"] == ["ec2:Owner", "aws:username"]
    params = {"ContextEntries": [entry("ec2:Owner", "string", "ann")]}
    (result,) = principal(iam, ["ec2:RunInstances"], **params)
    assert result["EvalDecision"] == "allowed"
    assert [s["SourcePolicyId"] for s in result["MatchedStatements"]] == [
        "group_buyers_Buy"
    ]
    (result,) = principal(iam, ["ec2:RunInstances"], group, **params)
    assert result["MissingContextValues"] == ["aws:username"]
    (result,) = principal(iam, ["iam:GetUser"], group)
    assert result["EvalDecision"] == "allowed"
    (result,) = principal(iam, ["ec2:Run"], group, CallerArn=ANN, **params)
    assert result["EvalDecision"] == "allowed"
    iam.remove_user_from_group(GroupName="buyers", UserName="ann")


def test_context_keys_of_a_principal(iam: Any) -> None:
    answer = iam.get_context_keys_for_principal_policy(
        PolicySourceArn=WORKER, PolicyInputList=[AFTER_2018]
    )
    assert answer["ContextKeyNames"] == ["aws:PrincipalTag/queue", "aws:CurrentTime"]


def test_a_trust_policy_is_simulated_as_one(iam: Any) -> None:
    trust = statement("sts:AssumeRole", Principal={"AWS": ANN})
    del trust["Resource"]
    params = {
        "PolicyInputList": [allow("s3:*")],
        "CallerArn": ANN,
        "ResourceArns": [WORKER],
    }
    action = ["sts:AssumeRole"]
    assert decisions(custom(iam, action, ResourcePolicy=policy(trust), **params)) == [
        "allowed"
    ]
    trust["Principal"] = {"AWS": OTHER_ROOT}
    params["PolicyInputList"] = [allow("sts:*")]
    assert decisions(custom(iam, action, ResourcePolicy=policy(trust), **params)) == [
        "implicitDeny"
    ]


# Refusals


ALLOW = [allow("s3:*")]


@cases("given, message")
def test_what_does_not_fit_is_refused_by_name(
    iam: Any, given: dict[str, Any], message: str
) -> None:
    whole = {"ActionNames": ["s3:GetObject"], "PolicyInputList": ALLOW, **given}
    code, text = refused(iam.simulate_custom_policy, **whole)[1:]
    assert code == "InvalidInput"
    assert text.startswith(message)


def test_a_request_s_policies_are_bounded_together(iam: Any) -> None:
    long = allow("s3:*", Sid="x", Condition={"Null": {"a:b": "true"}}) + " " * 120_000
    params = {"ActionNames": ["s3:Go"], "PolicyInputList": [long] * 5}
    code, message = refused(iam.simulate_custom_policy, **params)[1:]
    assert code == "InvalidInput"
    assert message.endswith("characters; a request can have 524288.")
    levels = [{"ServiceControlPolicyInputList": [long] * 2}] * 3
    params = {"ActionNames": ["s3:Go"], "PolicyInputList": ALLOW}
    code, _ = refused(
        iam.simulate_custom_policy, OrderedOrganizationPolicyInputList=levels, **params
    )[1:]
    assert code == "InvalidInput"


SEARCHED = "*" + "a?" * 250 + "b*"


def on_user_agent(*patterns: str) -> str:
    return allow("s3:*", Condition={"StringLike": {"aws:UserAgent": list(patterns)}})


@pytest.mark.parametrize(
    "given",
    [
        # Hundreds of patterns that cost most, and the longest value.
        {
            "PolicyInputList": [on_user_agent(*[SEARCHED] * 200)] * 2,
            "ContextEntries": [entry("aws:UserAgent", "string", "a" * 4096)],
        },
        # Statements times resources.
        {
            "PolicyInputList": [
                policy(*[statement("s3:*", "arn:aws:s3:::?b*x")] * 1000)
            ],
            "ResourceArns": [f"arn:aws:s3:::b{n}" for n in range(1000)],
        },
        # Patterns of actions times actions.
        {
            "PolicyInputList": [allow([f"s3:?{n}*" for n in range(9000)])],
            "ActionNames": [f"s3:Get{n}" for n in range(1000)],
            "MaxItems": 1000,
        },
        # What answers hold: every statement for every resource.
        {
            "PolicyInputList": [policy(*[statement("s3:*", "*")] * 1000)],
            "ResourceArns": [f"arn:aws:s3:::b{n}" for n in range(1000)],
        },
    ],
)
def test_the_work_of_a_simulation_is_bounded(iam: Any, given: dict[str, Any]) -> None:
    whole = {"ActionNames": ["s3:GetObject"], **given}
    code, message = refused(iam.simulate_custom_policy, **whole)[1:]
    assert code == "InvalidInput"
    assert "units of work" in message


def test_others_are_served_while_a_simulation_runs(
    broker: RunningBroker, iam: Any
) -> None:
    """It computes beside the event loop: another answer comes before its own."""
    params = {
        "ActionNames": ["s3:GetObject"],
        "PolicyInputList": [policy(*[statement("s3:*", "arn:aws:s3:::?b*x")] * 40)],
        "ResourceArns": [f"arn:aws:s3:::b{n}" for n in range(600)],
    }
    with ThreadPoolExecutor(1) as pool:
        simulation = pool.submit(iam.simulate_custom_policy, **params)
        served = 0
        while not simulation.done():
            with urllib.request.urlopen(f"{broker.url}/healthz", timeout=20) as answer:
                assert answer.status == 200
            served += not simulation.done()
    assert len(simulation.result()["EvaluationResults"]) == 1
    assert served > 3


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            [entry("aws:b", "string", "x" * 4097)],
            "A value in ContextEntries has 4097 characters; it can have 4096.",
        ),
        (
            [entry("aws:b", "stringList", *["x"] * 501)],
            "ContextEntries can have 500 members and as many values.",
        ),
        (
            [entry(f"aws:b{n}", "string") for n in range(501)],
            "ContextEntries can have 500 members and as many values.",
        ),
        (
            [entry("aws:b", "stringList", *["x" * 4096] * 16, "y")],
            (
                "The values in ContextEntries have 65537 characters together; they can"
                " have 65536."
            ),
        ),
    ],
)
def test_the_context_of_a_simulation_is_bounded(
    iam: Any, entries: list[dict[str, Any]], message: str
) -> None:
    params = {"ActionNames": ["s3:Go"], "PolicyInputList": ALLOW}
    code, text = refused(iam.simulate_custom_policy, ContextEntries=entries, **params)[
        1:
    ]
    assert (code, text) == ("InvalidInput", message)


@cases("source")
def test_a_principal_that_is_not_there_is_said_so(iam: Any, source: str) -> None:
    assert refused(principal, iam, ["s3:Go"], source).code == "NoSuchEntity"
    keys = iam.get_context_keys_for_principal_policy
    assert refused(keys, PolicySourceArn=source).code == "NoSuchEntity"


@cases("exclusion")
def test_a_malformed_exclusion_is_refused(iam: Any, exclusion: dict[str, Any]) -> None:
    params = {"PolicyExclusionList": [exclusion]}
    assert refused(principal, iam, ["s3:Go"], **params).code == "InvalidInput"


def test_simulating_a_principal_takes_a_permission_on_that_principal(
    broker: RunningBroker, iam: Any
) -> None:
    iam.create_user(UserName="auditor")
    iam.put_user_policy(
        UserName="auditor",
        PolicyName="Simulate",
        PolicyDocument=policy(
            statement("iam:SimulatePrincipalPolicy", ANN),
            statement("iam:SimulateCustomPolicy"),
        ),
    )
    key = Key.of(iam.create_access_key(UserName="auditor")["AccessKey"])
    auditor = broker.client("iam", key)
    assert decisions(principal(auditor, ["s3:GetObject"])) == ["allowed"]
    assert decisions(custom(auditor, ["s3:Go"], PolicyInputList=ALLOW)) == ["allowed"]
    code, message = refused(principal, auditor, ["s3:GetObject"], WORKER)[1:]
    assert code == "AccessDenied"
    assert f"iam:SimulatePrincipalPolicy on resource: {WORKER}" in message
