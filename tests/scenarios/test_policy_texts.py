"""What a client reads of a refused policy: AWS's sentence, and advice beside it."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.broker import ACCOUNT, Key, RunningBroker
from tests.support.policies import policy, statement, trust

BAD_SID = policy(statement("s3:*", Sid="a b"))
SENTENCE = (
    "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the"
    " regular expression [0-9A-Za-z]*"
)
ADVICE = 'Statement 1 ("a b"), Sid: use letters and digits only.'


@pytest.fixture(scope="module")
def door(broker: RunningBroker, iam: Any) -> Any:
    """Each way in that takes a policy, called with a text."""
    iam.create_user(UserName="ann")
    iam.create_group(GroupName="all")
    role = iam.create_role(RoleName="worker", AssumeRolePolicyDocument=trust(ACCOUNT))[
        "Role"
    ]
    iam.put_user_policy(
        UserName="ann", PolicyName="P", PolicyDocument=policy(statement("sts:*"))
    )
    made = iam.create_policy(PolicyName="ok", PolicyDocument=policy(statement("s3:*")))[
        "Policy"
    ]
    key = Key.of(iam.create_access_key(UserName="ann")["AccessKey"])
    sts = broker.client("sts", key)
    doors = {
        "a managed policy": lambda text: iam.create_policy(
            PolicyName="new", PolicyDocument=text
        ),
        "a version of a managed policy": lambda text: iam.create_policy_version(
            PolicyArn=made["Arn"], PolicyDocument=text
        ),
        "a user's inline policy": lambda text: iam.put_user_policy(
            UserName="ann", PolicyName="new", PolicyDocument=text
        ),
        "a group's inline policy": lambda text: iam.put_group_policy(
            GroupName="all", PolicyName="new", PolicyDocument=text
        ),
        "a role's inline policy": lambda text: iam.put_role_policy(
            RoleName="worker", PolicyName="new", PolicyDocument=text
        ),
        "a new role's trust policy": lambda text: iam.create_role(
            RoleName="new", AssumeRolePolicyDocument=text
        ),
        "a role's trust policy": lambda text: iam.update_assume_role_policy(
            RoleName="worker", PolicyDocument=text
        ),
        "a session policy": lambda text: sts.assume_role(
            RoleArn=role["Arn"], RoleSessionName="worker", Policy=text
        ),
        "a federated user's session policy": lambda text: sts.get_federation_token(
            Name="feder", Policy=text
        ),
    }

    def refuse(name: str, text: str) -> dict[str, Any]:
        with pytest.raises(ClientError) as caught:
            doors[name](text)
        answer: dict[str, Any] = caught.value.response
        return answer

    refuse.names = tuple(doors)  # type: ignore[attr-defined]
    return refuse


def as_trust(text: str) -> str:
    """The same mistakes in a trust policy."""
    document = json.loads(text)
    for entry in document["Statement"]:
        entry.pop("Resource", None)
        entry.update(Principal={"AWS": ACCOUNT}, Action="sts:AssumeRole")
    return json.dumps(document)


def test_what_iam_does_not_store_is_refused_at_every_door(door: Any) -> None:
    bucket = "arn:aws:s3:eu-west-1::bucket"
    service = {"Service": "tagging.amazonaws.com"}
    for name in door.names:
        if "trust" in name:
            statements = {"Principal": service, "Action": "sts:AssumeRole"}
            text = policy({"Effect": "Allow", **statements})
            said = 'Invalid principal in policy: "SERVICE":"tagging.amazonaws.com"'
        else:
            text = policy(statement("s3:*", bucket))
            said = f"Resource {bucket} can not contain region information."
        error = door(name, text)["Error"]
        assert (error["Code"], error["Message"]) == ("MalformedPolicyDocument", said), (
            name
        )
        old = text.replace("2012-10-17", "2008-10-17")
        if name in {"a managed policy", "a version of a managed policy"}:
            said = "Policy document must be version 2012-10-17 or greater."
        assert door(name, old)["Error"]["Message"] == said, name


def test_the_message_is_aws_s_alone_at_every_door(
    broker: RunningBroker, door: Any
) -> None:
    for name in door.names:
        text = as_trust(BAD_SID) if "trust" in name else BAD_SID
        answer = door(name, text)
        error = answer["Error"]
        assert (error["Code"], error["Message"], error["Advice"]) == (
            "MalformedPolicyDocument",
            SENTENCE,
            ADVICE,
        ), name
    request_id = answer["ResponseMetadata"]["RequestId"]
    printed = broker.command("audit", "--request-id", request_id, "--json")
    assert f"{SENTENCE}. {ADVICE}" in json.loads(printed)["detail"]
