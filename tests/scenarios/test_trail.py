"""CloudTrail's LookupEvents by boto3 and the AWS CLI, against a real broker."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.scenarios.installation import policy
from tests.support.broker import ACCOUNT, REGION, Key, RunningBroker


def trail_of(broker: RunningBroker, key: Key) -> Any:
    return boto3.client(
        "cloudtrail",
        REGION,
        endpoint_url=broker.url,
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def made(broker: RunningBroker, root: Key, iam: Any) -> str:
    """The id of the change that made a user."""
    answer = iam.create_user(UserName="ann")
    broker.client("sts", root).get_caller_identity()
    time.sleep(1.1)  # reads are on record within a second
    request_id: str = answer["ResponseMetadata"]["RequestId"]
    return request_id


def test_events_are_looked_up_as_at_aws(
    broker: RunningBroker, root: Key, iam: Any, made: str
) -> None:
    trail = trail_of(broker, root)
    (event,) = trail.lookup_events(
        LookupAttributes=[{"AttributeKey": "EventId", "AttributeValue": made}]
    )["Events"]
    assert (event["EventName"], event["EventSource"]) == (
        "CreateUser",
        "iam.amazonaws.com",
    )
    assert event["ReadOnly"] == "false"
    assert event["AccessKeyId"] == root.access_key_id
    assert abs(event["EventTime"] - datetime.now(UTC)) < timedelta(minutes=5)
    told = json.loads(event["CloudTrailEvent"])
    assert told["eventVersion"] == "1.11"
    assert told["userIdentity"]["type"] == "Root"
    assert told["recipientAccountId"] == ACCOUNT
    assert told["eventID"] == event["EventId"]
    assert names(trail, "EventName", "CreateUser") == {"CreateUser"}
    assert names(trail, "EventName", "NoSuchThing") == set()
    iam.create_user(UserName="eve")
    eve = Key.of(iam.create_access_key(UserName="eve")["AccessKey"])
    broker.client("sts", eve).get_caller_identity()
    time.sleep(1.1)
    assert names(trail, "Username", "eve") == {"GetCallerIdentity"}
    assert names(trail, "Username", "ev") == set()
    read, changed = names(trail, "ReadOnly", "true"), names(trail, "ReadOnly", "false")
    assert "GetCallerIdentity" in read - changed
    assert "CreateUser" in changed - read
    pages = trail.get_paginator("lookup_events").paginate(
        PaginationConfig={"PageSize": 1}
    )
    assert made in {event["EventId"] for page in pages for event in page["Events"]}


def names(trail: Any, key: str, value: str) -> set[str]:
    attribute = {"AttributeKey": key, "AttributeValue": value}
    events = trail.lookup_events(LookupAttributes=[attribute])["Events"]
    return {event["EventName"] for event in events}


def test_the_cli_reads_the_trail(broker: RunningBroker, root: Key, made: str) -> None:
    answer = broker.aws(
        *("cloudtrail", "lookup-events", "--lookup-attributes"),
        f"AttributeKey=EventId,AttributeValue={made}",
        AWS_ACCESS_KEY_ID=root.access_key_id,
        AWS_SECRET_ACCESS_KEY=root.secret_access_key,
    )
    assert [event["EventId"] for event in answer["Events"]] == [made]


def test_there_are_no_insights_events(broker: RunningBroker, root: Key) -> None:
    trail = trail_of(broker, root)
    assert trail.lookup_events()["Events"]
    assert trail.lookup_events(EventCategory="insight")["Events"] == []


def test_what_is_not_possible_has_the_models_errors(
    broker: RunningBroker, root: Key, iam: Any
) -> None:
    trail = trail_of(broker, root)
    now = datetime.now(UTC)
    iam.create_user(UserName="bob")
    bob = Key.of(iam.create_access_key(UserName="bob")["AccessKey"])
    wrong = Key(root.access_key_id, "wrong")
    asked = {"AttributeKey": "ResourceName", "AttributeValue": "ann"}
    for client, operation, params, code in (
        (
            trail,
            "lookup_events",
            {"LookupAttributes": [asked]},
            "InvalidLookupAttributesException",
        ),
        (
            trail,
            "lookup_events",
            {"StartTime": now, "EndTime": now - timedelta(1)},
            "InvalidTimeRangeException",
        ),
        (trail, "lookup_events", {"NextToken": "no"}, "InvalidNextTokenException"),
        (trail, "describe_trails", {}, "UnsupportedOperationException"),
        (trail_of(broker, bob), "lookup_events", {}, "AccessDeniedException"),
        (trail_of(broker, wrong), "lookup_events", {}, "InvalidSignatureException"),
    ):
        with pytest.raises(ClientError) as refused:
            getattr(client, operation)(**params)
        assert refused.value.response["Error"]["Code"] == code
    iam.put_user_policy(
        UserName="bob",
        PolicyName="Trail",
        PolicyDocument=policy("cloudtrail:LookupEvents"),
    )
    assert trail_of(broker, bob).lookup_events(MaxResults=1)["Events"]
