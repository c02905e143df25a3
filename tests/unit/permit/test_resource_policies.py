"""A resource's own policy takes part as AWS describes it.

Source: IAM User Guide, "Policy evaluation logic" and "Cross-account policy evaluation".
"""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from broker.compose.services import Services
from broker.errors import InvalidInput, LimitExceeded, MalformedPolicyDocument
from broker.kinds.accounts import require_account
from broker.kinds.control_policies import ControlKind
from broker.kinds.registered_services import put_service
from broker.kinds.resource_policies import PolicyHolders, put_resource_policy
from broker.model.account import AccountId
from broker.model.entities import User
from broker.permit.gather import PolicyLibrary
from broker.permit.guard import Guard
from broker.permit.hypothetical import Hypotheses, Hypothesis, user_caller
from broker.permit.need import Need
from broker.stores.directory.kinds import RESOURCE_POLICY, USER
from broker.stores.directory.policies import attach_policy
from tests.authorization.callers import ADMINISTRATOR, NOW, open_installation
from tests.authorization.inputs import ACCOUNT, OTHER
from tests.support.decisions import ORDERS
from tests.support.rows import of_file
from tests.unit.permit.test_guard import caller, set_controls

HOME = AccountId(ACCOUNT)
ORDER = f"arn:aws:orders:us-east-1:{ACCOUNT}:order/7"
FILE = f"{ORDER}/files/a"
ADMIN = "user, AdministratorAccess"
ROLE = "role session, AdministratorAccess"
BOUNDED = "administrator bounded by IAMReadOnlyAccess"
NOBODY = "a user without policies"
STRANGER = "an administrator of another account"
USER_ARN = f"arn:aws:iam::{ACCOUNT}:user/buyer"
STRANGER_ARN = f"arn:aws:iam::{OTHER}:user/guest"
USERS = {
    title: User(
        account=AccountId(account),
        user_id=f"AIDA{name.upper():A<17}",
        name=name,
        path="/",
        created_at=NOW,
    )
    for title, account, name in ((NOBODY, ACCOUNT, "buyer"), (STRANGER, OTHER, "guest"))
}


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with open_installation(tmp_path) as made:
        async with made.stores.directory.change(HOME) as change:
            account = await require_account(change, HOME)
            await put_service(change, account, "orders", json.dumps(ORDERS), NOW)
        for user in USERS.values():
            async with made.stores.directory.change(user.account) as change:
                await change.insert(USER, user)
                if user.account == OTHER:
                    await attach_policy(
                        change, user.account, user.user_id, ADMINISTRATOR
                    )
        yield made


async def put(services: Services, arn: str, *statements: Mapping[str, Any]) -> None:
    full = [
        {"Effect": "Allow", "Action": "*", "Resource": "*", **s} for s in statements
    ]
    text = json.dumps({"Version": "2012-10-17", "Statement": full})
    async with services.stores.directory.change(HOME) as change:
        account = await require_account(change, HOME)
        await put_resource_policy(change, account, arn, text, NOW)


async def decide(services: Services, title: str, resource: str = ORDER) -> str:
    guard = Guard(PolicyLibrary(services.fresh))
    need = Need(
        action="orders:GetOrder", resource=resource, account=HOME, has_policy=True
    )
    who = user_caller(USERS[title]) if title in USERS else caller(title)
    judged = await guard.judge(who, need, {})
    decision = judged.decision
    if decision.allowed:
        return f"allowed by {decision.policy_type}"
    word = "explicit" if decision.explicit_deny else "implicit"
    return f"{word} {decision.policy_type}"


ANYONE = {"Principal": "*"}
BY_NAME = {"Principal": {"AWS": USER_ARN}}
BY_ACCOUNT = {"Principal": {"AWS": ACCOUNT}}
OTHER_ACCOUNT = {"Principal": {"AWS": OTHER}}
OTHER_NAME = {"Principal": {"AWS": STRANGER_ARN}}
DENY = {"Principal": "*", "Effect": "Deny"}
ELSEWHERE = {"Principal": "*", "Resource": "arn:aws:orders:*:*:order/*/other"}


CASES = tuple(of_file(__file__, "CASES"))


async def test_evaluation(services: Services) -> None:
    for number, (title, statements, expected) in enumerate(CASES):
        arn = f"arn:aws:orders:us-east-1:{ACCOUNT}:order/case{number}"
        if statements:
            await put(services, arn, *statements)
        assert await decide(services, title, arn) == expected, (title, statements)


async def test_a_policy_holds_for_what_is_below_its_resource(
    services: Services,
) -> None:
    holders = PolicyHolders([FILE, ORDER, f"{ORDER}1", f"{FILE}/a"])
    assert holders.find(FILE) == (FILE, ORDER)
    assert holders.find(f"{ORDER}2") == holders.find("*") == ()
    await put(services, ORDER, BY_NAME)
    assert await decide(services, NOBODY, FILE) == "allowed by resource-based policy"
    await put(services, FILE, DENY)
    assert await decide(services, NOBODY, FILE) == "explicit resource-based policy"
    assert await decide(services, NOBODY) == "allowed by resource-based policy"
    beside = await decide(services, NOBODY, f"{ORDER}7")
    assert beside == "implicit identity-based policy"


async def test_resource_control_policies_count(services: Services) -> None:
    denied = {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}
    await set_controls(services, ControlKind.RESOURCE, denied)
    assert await decide(services, ADMIN) == "explicit resource control policy"


async def test_a_hypothetical_request_is_decided_alike(services: Services) -> None:
    guard = Guard(PolicyLibrary(services.fresh))
    hypotheses = Hypotheses(services.stores.directory, guard)
    await put(services, ORDER, BY_NAME)
    asked = Hypothesis(
        principal=USER_ARN, action="orders:GetOrder", resource=FILE, context={}
    )
    judged = await hypotheses.judge(asked, region="us-east-1", now=NOW)
    assert judged.decision.allowed
    assert judged.resource_type == judged.decision.policy_type


async def test_only_resources_of_the_accounts_services_have_policies(
    services: Services,
) -> None:
    for arn in (
        f"arn:aws:stock:us-east-1:{ACCOUNT}:item/1",
        f"arn:aws:orders:us-east-1:{OTHER}:order/1",
        f"arn:aws:orders:us-east-1:{ACCOUNT}:order/*",
        f"arn:aws:iam::{ACCOUNT}:role/Target",
        "orders and more than twenty characters",
    ):
        with pytest.raises(InvalidInput):
            await put(services, arn, ANYONE)


async def test_documents_are_checked(services: Services) -> None:
    with pytest.raises(MalformedPolicyDocument):
        await put(services, ORDER, {})
    gone = f"arn:aws:iam::{ACCOUNT}:user/gone"
    with pytest.raises(MalformedPolicyDocument, match="Invalid principal"):
        await put(services, ORDER, {"Principal": {"AWS": gone}})
    with pytest.raises(LimitExceeded):
        await put(services, ORDER, {**ANYONE, "Sid": "x" * 30_000})


async def test_a_new_user_of_the_same_name_is_not_meant(services: Services) -> None:
    await put(services, ORDER, BY_NAME)
    stored = await services.stores.directory.find(RESOURCE_POLICY, HOME, ORDER)
    assert stored is not None
    assert USER_ARN not in stored.document
    assert '"AIDA' in stored.document
