"""versitygw in front of a folder, by the recipe's command: one for each account."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from tests.leavers.world import Account
from tests.scenarios.test_protected import running
from tests.scenarios.test_versitygw_program import (
    GATEWAY,
    PERMISSIONS,
    answers,
    make_user,
    words,
)
from tests.support.broker import Key
from tests.support.versitygw import SAMPLE

_ROOT = Key("gwroot", "a-long-secret")
_SECONDS = 300


def definition(host: str) -> dict[str, Any]:
    """Of the account's service ``s3``."""
    sample: dict[str, Any] = yaml.safe_load(SAMPLE.read_text())
    return {**sample, "Hosts": [host], "Region": "us-east-1"}


@contextmanager
def running_gateway(account: Account, socket: Path, folder: Path) -> Iterator[None]:
    """With a bucket ``reports``."""
    (folder / "objects").mkdir(parents=True)
    iam = account.client("iam")
    permissions = PERMISSIONS.replace("111122223333", account.number)
    key = make_user(iam, "gateway", permissions)
    account.world.settle()
    command = words(
        GATEWAY,
        LONG_SECRET=_ROOT.secret_access_key,
        **{
            "127.0.0.1:7070": account.host,
            "/run/broker/private.sock": str(socket),
            "AKIA…": key.access_key_id,
            "secret …": f"secret {key.secret_access_key}",
            "/srv/objects": str(folder / "objects"),
        },
    )
    url = f"http://{account.host}"
    with running(command, folder, lambda: answers(url), seconds=_SECONDS):
        s3 = account.world.client("s3", _ROOT, url)
        with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
            s3.create_bucket(Bucket="reports")
        yield
