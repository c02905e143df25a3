"""What invariants add to a write: 1,000 policies, 300 roles, 10 invariants.

Every text is new, so nothing about it is remembered. The figures are the time from a
call to its answer, and the longest that the event loop was held by one callback, in
time of its processor. The writes stand in a file of SQLite, without the wire.
"""

import asyncio
import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from broker.errors import AccessDenied
from broker.kinds.accounts import require_account
from broker.kinds.control_policies import ControlKind, ControlPolicy, option_value
from broker.kinds.managed_policies import require_aws_managed
from broker.model.account import Account
from broker.permit.invariants import find_broken
from broker.stores.directory.accounts import update_account
from tests.support.iam import ACCOUNT, Iam, open_iam, set_quotas, trust
from tests.support.watched import Watch

POLICIES = 1_000
ROLES = 300
HOLDERS = 100
WRITES = 200
_TEXTS = 6_144

_SERVICES = (
    ("s3", "GetObject PutObject ListBucket DeleteObject Get* *", "arn:aws:s3:::{}/*"),
    ("sqs", "SendMessage ReceiveMessage *", "arn:aws:sqs:*:{account}:{}"),
    ("dynamodb", "GetItem PutItem Query *", "arn:aws:dynamodb:*:{account}:table/{}"),
    ("logs", "PutLogEvents CreateLogStream *", "arn:aws:logs:*:{account}:log-group:{}"),
    (
        "secretsmanager",
        "GetSecretValue Describe* *",
        "arn:aws:secretsmanager:*:{account}:secret:{}/*",
    ),
    ("kms", "Decrypt Encrypt GenerateDataKey*", "arn:aws:kms:*:{account}:key/{}"),
)
_CONDITIONS: tuple[dict[str, object], ...] = (
    {},
    {},
    {"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}},
    {"Condition": {"StringEquals": {"aws:RequestedRegion": ["eu-west-1"]}}},
    {"Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}},
)
_SRE = f"arn:aws:iam::{ACCOUNT}:role/sre*"
_NOT_SRE = {"ArnNotLike": {"aws:PrincipalArn": _SRE}}
_CI = {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/ci-*"}}
_INVARIANTS: tuple[dict[str, object], ...] = (
    {"Action": "s3:*", "Resource": "arn:aws:s3:::backups/*", "Condition": _NOT_SRE},
    {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::salaries/*"},
    {"Action": "iam:*", "Resource": "*", "Condition": _CI},
    {"Action": "sts:AssumeRole", "Resource": _SRE, "Condition": _CI},
    {"Action": "iam:CreateUser", "Resource": "*", "Condition": _NOT_SRE},
    {"Action": "kms:*", "Resource": "arn:aws:kms:*:*:key/root", "Condition": _NOT_SRE},
    {
        "Action": "secretsmanager:GetSecretValue",
        "Resource": "arn:aws:secretsmanager:*:*:secret:prod/*",
        "Condition": _NOT_SRE,
    },
    {"Action": "dynamodb:*", "Resource": "arn:aws:dynamodb:*:*:table/ledger*"},
    {"Action": "organizations:*", "Resource": "*"},
    {
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::audit/*",
        "Condition": {
            **_NOT_SRE,
            "NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.168.0.0/16"]},
        },
    },
)

Row = tuple[str, str]


def run() -> Iterator[Row]:
    """All figures."""
    yield from asyncio.run(_measure())


async def _measure() -> list[Row]:
    watch = Watch(counts_units=False)
    watch.thread = threading.get_ident()
    with tempfile.TemporaryDirectory() as name:
        async with open_iam(Path(name) / "directory") as iam:
            texts = _texts(random.Random(1))  # no secret
            await _fill(iam, texts)
            with watch.installed():
                return await _figures(iam, texts, watch)


async def _fill(iam: Iam, texts: Iterator[str]) -> None:
    await set_quotas(iam, Policies=2 * POLICIES, Roles=2 * ROLES)
    for number in range(POLICIES):
        await iam("CreatePolicy", PolicyName=f"p{number}", PolicyDocument=next(texts))
    for number in range(ROLES):
        role = {"RoleName": f"{'ci' if number % 3 else 'app'}-{number}"}
        await iam("CreateRole", **role, AssumeRolePolicyDocument=trust(ACCOUNT))
        for policy in (1 + number * 3, 2 + number * 3, *([0] * (number < HOLDERS))):
            await iam("AttachRolePolicy", **role, PolicyArn=_arn(policy))
        if number % 10 == 0:
            await iam("PutRolePermissionsBoundary", **role, PermissionsBoundary=_arn(9))


async def _state(iam: Iam) -> None:
    stated = [
        ControlPolicy(f"i{number}", _document({"Effect": "Deny", **statement}))
        for number, statement in enumerate(_INVARIANTS)
    ]
    async with iam.directory.change(ACCOUNT) as change:
        account: Account = await require_account(change, ACCOUNT)
        options = {**account.options, ControlKind.INVARIANT: option_value(stated)}
        await update_account(change, replace(account, options=options))


async def _figures(iam: Iam, texts: Iterator[str], watch: Watch) -> list[Row]:
    rows = []

    async def add(
        label: str, count: int, call: Callable[[int], dict[str, Any]]
    ) -> None:
        times, work, refused, held = [], [], 0, 0.0
        for number in range(count):
            write = call(number)
            watch.reset()
            began, cpu = time.perf_counter(), time.process_time()
            try:
                await iam(write["name"], **write["params"])
            except AccessDenied:
                refused += 1
            times.append((time.perf_counter() - began) * 1e3)
            work.append((time.process_time() - cpu) * 1e3)
            held = max(held, watch.seconds * 1e3)
        rows.append((label, _words(times, work, refused, held)))

    fresh = [next(texts) for _ in range(3 * WRITES)]
    names = [f"{'ci' if n % 3 else 'app'}-{n}" for n in range(ROLES)]

    def embed(number: int) -> dict[str, Any]:
        params = {"RoleName": names[number % ROLES], "PolicyName": "p"}
        document = {"PolicyDocument": next(texts)}
        return {"name": "PutRolePolicy", "params": {**params, **document}}

    await add("an inline policy, without invariants", WRITES, embed)
    await _state(iam)
    account = await require_account(iam.directory, ACCOUNT)
    await add("an inline policy of a role", WRITES, embed)
    await add(
        "a new version of a managed policy",
        WRITES,
        lambda n: {
            "name": "CreatePolicyVersion",
            "params": {
                "PolicyArn": _arn(1 + n),
                "PolicyDocument": fresh[WRITES + n],
                "SetAsDefault": True,
            },
        },
    )
    await add(
        f"a new version of a policy with {HOLDERS} holders",
        3,
        lambda n: {
            "name": "CreatePolicyVersion",
            "params": {
                "PolicyArn": _arn(0),
                "PolicyDocument": fresh[2 * WRITES + n],
                "SetAsDefault": True,
            },
        },
    )
    wide = require_aws_managed("arn:aws:iam::aws:policy/ReadOnlyAccess")
    await add(
        "ReadOnlyAccess of AWS, attached",
        20,
        lambda n: {
            "name": "AttachRolePolicy",
            "params": {"RoleName": names[n], "PolicyArn": wide.arn},
        },
    )
    half = json.loads(wide.default_version.document)["Statement"]
    actions = sorted(a for s in half for a in s["Action"])
    part = len(actions) // 12
    await add(
        f"a part of ReadOnlyAccess for {HOLDERS} holders",
        3,
        lambda n: {
            "name": "CreatePolicyVersion",
            "params": {
                "PolicyArn": _arn(0),
                "PolicyDocument": _document(
                    {
                        "Effect": "Allow",
                        "Action": [*actions[n * part : n * part + 150], "s3:Get*"],
                        "Resource": "*",
                    }
                ),
                "SetAsDefault": True,
            },
        },
    )
    watch.reset()
    began, cpu = time.perf_counter(), time.process_time()
    broken = await find_broken(iam.directory, account)
    rows.append(
        (
            "everything, as doctor asks",
            _words(
                [(time.perf_counter() - began) * 1e3],
                [(time.process_time() - cpu) * 1e3],
                len(broken),
                watch.seconds * 1e3,
            ),
        )
    )
    return rows


def _words(times: list[float], work: list[float], refused: int, held: float) -> str:
    p99 = sorted(times)[min(len(times) - 1, int(len(times) * 0.99))]
    return (
        f"median {statistics.median(times):.1f} ms, p99 {p99:.1f}, most"
        f" {max(times):.1f}; of the processor {statistics.median(work):.1f}, most"
        f" {max(work):.1f}; loop held {held:.1f}; {refused} of {len(times)} refused"
    )


def _texts(chance: random.Random) -> Iterator[str]:
    """Policies as people write them, some with a Deny; all different."""
    number = 0
    while True:
        number += 1
        statements: list[dict[str, object]] = []
        for _ in range(chance.randint(1, 5)):
            service, actions, resource = chance.choice(_SERVICES)
            picked = chance.sample(actions.split(), chance.randint(1, 2))
            statements.append(
                {
                    "Effect": "Deny" if chance.random() < 0.1 else "Allow",
                    "Action": [f"{service}:{action}" for action in picked],
                    "Resource": [
                        resource.format(f"app{chance.randint(1, 99)}", account=ACCOUNT)
                        for _ in range(chance.randint(1, 3))
                    ],
                    **chance.choice(_CONDITIONS),
                }
            )
        statements.append(
            {
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::own-{number}/*",
            }
        )
        yield _document(*statements)


def _document(*statements: dict[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _arn(number: int) -> str:
    return f"arn:aws:iam::{ACCOUNT}:policy/p{number}"
