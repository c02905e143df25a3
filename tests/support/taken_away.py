"""Credentials of each kind, and how each is taken away: all must be dead at once."""

import json
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tests.support.broker import Key, RunningBroker

WITHIN_SECONDS = 1.0
"""Every node knows of a change by then."""

GIVE_UP_SECONDS = 30.0


def _policy(effect: str) -> str:
    statement = {"Effect": effect, "Action": "iam:ListUsers", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def _deactivate(iam: Any, name: str, key: Key) -> None:
    iam.update_access_key(
        UserName=name, AccessKeyId=key.access_key_id, Status="Inactive"
    )


def _delete(iam: Any, name: str, key: Key) -> None:
    iam.delete_access_key(UserName=name, AccessKeyId=key.access_key_id)


def _deny(iam: Any, name: str, _key: Key) -> None:
    iam.put_user_policy(
        UserName=name, PolicyName="Stop", PolicyDocument=_policy("Deny")
    )


def _remove_allow(iam: Any, name: str, _key: Key) -> None:
    iam.delete_user_policy(UserName=name, PolicyName="Listing")


WAYS: Mapping[str, Callable[[Any, str, Key], None]] = {
    "deactivated": _deactivate,
    "deleted": _delete,
    "denied": _deny,
    "unallowed": _remove_allow,
}


class Holders:
    """Users who may list users, and a session of one."""

    def __init__(self, broker: RunningBroker, root: Key, suffix: str = "") -> None:
        self.root = root
        self._suffix = suffix
        iam = broker.client("iam", root)
        self.keys: dict[str, Key] = {}
        for name in (*WAYS, "revoked", "kept"):
            user = f"{name}{suffix}"
            iam.create_user(UserName=user)
            iam.put_user_policy(
                UserName=user, PolicyName="Listing", PolicyDocument=_policy("Allow")
            )
            key = Key.of(iam.create_access_key(UserName=user)["AccessKey"])
            self.keys[name] = key
        sts = broker.client("sts", self.keys["revoked"])
        self.keys["revoked"] = Key.of(sts.get_session_token()["Credentials"])

    def code(self, broker: RunningBroker, name: str) -> str:
        """What the holder is refused with; empty when the answer is good."""
        try:
            if name == "revoked":
                broker.client("sts", self.keys[name]).get_caller_identity()
            else:
                broker.client("iam", self.keys[name]).list_users()
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return ""

    def all_are_good(self, brokers: Iterable[RunningBroker]) -> bool:
        return not any(self.code(b, name) for b in brokers for name in self.keys)

    def take_away(self, broker: RunningBroker, name: str) -> None:
        if name == "revoked":
            broker.command("sessions", "revoke", self.keys[name].access_key_id)
        else:
            iam = broker.client("iam", self.root)
            WAYS[name](iam, f"{name}{self._suffix}", self.keys[name])

    def require_each_to_end(
        self, at: RunningBroker, brokers: Iterable[RunningBroker]
    ) -> None:
        """Take each away at one node: it is dead at every node within a second."""
        nodes = [*brokers]
        for name in (*WAYS, "revoked"):
            assert self.all_are_good_but_taken(nodes, name)
            self.take_away(at, name)
            ended_at = time.monotonic()
            for node in nodes:
                began, code = ended_at, ""
                while not code or code == "ServiceUnavailable":
                    # One that began in time may be answered late.
                    assert began - ended_at <= WITHIN_SECONDS, (name, node.port)
                    began = time.monotonic()
                    code = self.code(node, name)
            # Of several workers at one address, each has until then.
            time.sleep(max(0, ended_at + WITHIN_SECONDS - time.monotonic()))
            assert self.code(at, name)
        assert all(self.code(node, "kept") == "" for node in nodes)
        for node in nodes:
            assert all(self.code(node, name) for name in (*WAYS, "revoked"))

    def all_are_good_but_taken(self, nodes: list[RunningBroker], name: str) -> bool:
        return all(self.code(node, name) == "" for node in nodes)


def changes(broker: RunningBroker, root: Key, number: int) -> None:
    """Some changes of the account."""
    iam = broker.client("iam", root)
    for count in range(number):
        iam.tag_user(UserName="kept", Tags=[{"Key": "n", "Value": str(count)}])


def until_answered(call: Callable[[], object]) -> None:
    """Try again for as long as it is answered with 503."""
    end = time.monotonic() + GIVE_UP_SECONDS
    while True:
        try:
            call()
        except (ClientError, BotoCoreError) as error:
            code = getattr(error, "response", {}).get("Error", {}).get("Code")
            if code != "ServiceUnavailable" or time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def readiness(broker: RunningBroker) -> dict[str, Any]:
    with urllib.request.urlopen(f"{broker.url}/readyz", timeout=10) as answer:
        state: dict[str, Any] = json.loads(answer.read())
        return state
