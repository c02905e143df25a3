"""Changes from eight clients at once: how many a second, and whether one is lost.

Half of the changes make users, the other half put tags on one and the same user, so
that every one of them is read, changed and written back. Afterwards all of it must be
there.
"""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks import requests
from benchmarks.load import Row, measure
from tests.support.broker import RunningBroker
from tests.support.storage import STORAGES, broker_on

CLIENTS = 8
CHANGES = 4000
_TAGS = 40


def run() -> list[Row]:
    """All figures, as label and text."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        for storage in STORAGES:
            folder = Path(name) / storage
            folder.mkdir()
            settings = {"rate_limit": "0", "log_format": "json"}
            with broker_on(storage, folder, fsync=True, **settings) as broker:
                rows.append((f"{storage}: {CLIENTS} clients", _measure(broker)))
    return rows


def _measure(broker: RunningBroker) -> str:
    root = broker.create_account()
    iam = broker.client("iam", root)
    iam.create_user(UserName="shared")
    half = CHANGES // 2
    made = requests.signed(
        broker.url, root, half, "iam", Action="CreateUser", UserName="made-{}"
    )
    tagged = (
        line
        for number in range(half)
        for line in requests.signed(
            broker.url,
            root,
            1,
            "iam",
            **{
                "Action": "TagUser",
                "UserName": "shared",
                "Tags.member.1.Key": f"tag-{number % _TAGS}",
                "Tags.member.1.Value": str(number),
            },
        )
    )
    lines = [line for pair in zip(made, tagged, strict=True) for line in pair]
    before = broker.processor_seconds
    rate = measure(broker.url, lines, broker.folder, connections=CLIENTS)
    spent = (broker.processor_seconds - before) / rate.requests * 1000
    return (
        f"{rate.per_second:.0f} writes/s, median {rate.median_ms:.1f} ms,"
        f" {spent:.1f} ms of CPU each, {_lost(iam, rate.requests)} updates lost"
    )


def _lost(iam: Any, requests: int) -> int:
    """How many changes are not there; one that was sent last may be under way."""
    pages = iam.get_paginator("list_users").paginate()
    names = {user["UserName"] for page in pages for user in page["Users"]}
    tags = iam.list_user_tags(UserName="shared")["Tags"]
    made = requests // 2 - CLIENTS
    return max(0, made - len(names)) + (_TAGS - len(tags))
