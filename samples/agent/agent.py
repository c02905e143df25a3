"""An agent whose tool calls are decided one by one: docs/recipes/agent.md.

python samples/agent/agent.py --ticket 7 --person ana < calls.jsonl

It takes credentials of the person from wherever boto3 finds them, and never uses them for
a tool: it assumes a role for fifteen minutes, in the person's name and narrowed to one
ticket, and signs each call of a tool with that. The tool calls are those of a model, a
line of JSON each: {"id": "1", "name": "read_ticket", "input": {"ticket": "7"}}. The session
is printed, and then what goes back to the model. Put your model's loop in place of standard input.
"""

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

MINUTES = 15

TOOLS: Mapping[str, tuple[str, str]] = {
    "read_ticket": ("GET", "/tickets/{ticket}"),
    "comment_on_ticket": ("POST", "/tickets/{ticket}/comments"),
    "refund_order": ("POST", "/orders/{order}/refunds"),
}
"""What the model is offered. What it may do is not decided here."""


def main() -> None:
    """Run the tool calls of standard input for one task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broker", default="http://127.0.0.1:8080")
    parser.add_argument("--tools", default="http://127.0.0.1:9000")
    parser.add_argument("--role", default="arn:aws:iam::123456789012:role/SupportAgent")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--person", required=True, help="whom the agent works for")
    parser.add_argument("--ticket", required=True, help="the task: a ticket's number")
    given = parser.parse_args()

    try:
        credentials = begin_task(given)
    except ClientError as error:
        raise SystemExit(str(error)) from None
    for call in tool_calls():
        result = run_tool(given, credentials, call)
        print(json.dumps({"id": call.get("id"), **result}), flush=True)


def begin_task(given: argparse.Namespace) -> Credentials:
    """A session only for this task, on behalf of the person."""
    account = given.role.split(":")[4]
    this_ticket = f"arn:aws:support:{given.region}:{account}:ticket/{quote(given.ticket, safe='')}"
    narrowed = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": ["support:ReadTicket", "support:CommentOnTicket"],
            "Resource": this_ticket,
        },
    }
    sts = boto3.client("sts", endpoint_url=given.broker, region_name=given.region)
    made = sts.assume_role(
        RoleArn=given.role,
        RoleSessionName=f"ticket-{given.ticket}",
        SourceIdentity=given.person,
        DurationSeconds=MINUTES * 60,
        Policy=json.dumps(narrowed),
    )["Credentials"]
    until = made["Expiration"].isoformat()
    print(json.dumps({"session": made["AccessKeyId"], "until": until}), flush=True)
    return Credentials(
        made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]
    )


def tool_calls() -> Iterator[dict[str, Any]]:
    """What the model wants done."""
    for line in sys.stdin:
        yield json.loads(line)


def run_tool(
    given: argparse.Namespace, credentials: Credentials, call: Mapping[str, Any]
) -> dict[str, Any]:
    """The tool's answer; a refusal is one, and the model reads why."""
    try:
        method, pattern = TOOLS[call["name"]]
        wanted = {name: str(value) for name, value in call["input"].items()}
        # Whatever the model writes remains one segment of the path.
        path = pattern.format(**{n: quote(v, safe="") for n, v in wanted.items()})
    except (KeyError, AttributeError) as error:
        return {"is_error": True, "content": f"no such tool, or input missing: {error}"}
    body = json.dumps(wanted).encode() if method == "POST" else b""
    signed = AWSRequest(method, given.tools + path, data=body)
    SigV4Auth(credentials, "support", given.region).add_auth(signed)
    request = urllib.request.Request(
        signed.url, body or None, dict(signed.headers.items()), method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return {"is_error": False, "content": json.load(answer)}
    except urllib.error.HTTPError as refused:
        with refused:
            return {"is_error": True, "content": json.load(refused)["message"]}


if __name__ == "__main__":
    main()
