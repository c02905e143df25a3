"""The gate asks every policy that has a say, and says which of them decided."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from broker.compose.services import Services
from broker.errors import AccessDenied, ValidationError
from broker.kinds.accounts import UNLISTED_POLICIES
from broker.kinds.control_policies import ControlKind, ControlPolicy, option_value
from broker.model.account import AccountId
from broker.model.entities import Role
from broker.model.session import Caller
from broker.permit.gather import PolicyLibrary
from broker.permit.guard import Guard
from broker.permit.hypothetical import Hypotheses, Hypothesis
from broker.permit.need import Need, Trust
from broker.policy import PolicyKind
from broker.proofs.federated import federated_caller
from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from broker.stores.directory.kinds import ROLE, USER
from broker.stores.directory.policies import attach_policy
from tests.authorization.callers import KINDS, NOW, open_installation
from tests.authorization.inputs import ACCOUNT, BOUND, OTHER, SAML, TARGET_ROLE
from tests.support.raw import raw_request

RAW = raw_request(secure=True)
BY_TITLE = {kind.title: kind for kind in KINDS}
HOME = AccountId(ACCOUNT)
ADMINISTRATOR = "user, AdministratorAccess"
FULL = {"Effect": "Allow", "Action": "*", "Resource": "*"}


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with open_installation(tmp_path) as made:
        yield made


def caller(title: str) -> Caller:
    kind = BY_TITLE[title]
    if kind.identity is not None:
        return federated_caller(kind.identity)
    assert kind.caller is not None
    return kind.caller


async def set_controls(
    services: Services, kind: ControlKind, *statements: dict[str, Any]
) -> None:
    text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    async with services.stores.directory.change(HOME) as change:
        account = await change.find(kinds.ACCOUNT, HOME)
        assert account is not None
        options = {kind.value: option_value([ControlPolicy("Controls", text)])}
        await update_account(change, replace(account, options=options))


def guard(services: Services) -> Guard:
    return Guard(PolicyLibrary(services.fresh))


async def target(services: Services) -> Role:
    role = await services.fresh.named(ROLE, HOME, "Target")
    assert role is not None
    return role


async def denial(services: Services, who: Caller, need: Need) -> AccessDenied | None:
    try:
        await guard(services).require(who, [need], RAW, region="eu-west-3", now=NOW)
    except AccessDenied as error:
        return error
    return None


def needing(action: str, resource: str = TARGET_ROLE, **more: Any) -> Need:
    return Need(action=action, resource=resource, account=HOME, **more)


async def attach_unlisted(services: Services, *, accept: bool) -> None:
    """To the administrator, by name: the directory itself checks no names."""
    options = {UNLISTED_POLICIES: True} if accept else {}
    async with services.stores.directory.change(HOME) as change:
        account = await change.find(kinds.ACCOUNT, HOME)
        assert account is not None
        await update_account(change, replace(account, options=options))
        user_id = caller(ADMINISTRATOR).principal.unique_id
        arn = "arn:aws:iam::aws:policy/service-role/MadeUpYesterday"
        await attach_policy(change, HOME, user_id, arn)


async def test_an_unlisted_policy_adds_nothing_and_takes_nothing(
    services: Services,
) -> None:
    await attach_unlisted(services, accept=True)
    assert await denial(services, caller(ADMINISTRATOR), needing("iam:GetRole")) is None


async def test_an_unlisted_policy_that_is_not_accepted_denies_all(
    services: Services,
) -> None:
    """Nobody knows what it would have denied."""
    await attach_unlisted(services, accept=False)
    refused = await denial(services, caller(ADMINISTRATOR), needing("iam:GetRole"))
    assert refused is not None
    assert "MadeUpYesterday no longer exists" in refused.detail


async def test_accounts_share_what_is_compiled_of_aws_policies(
    services: Services,
) -> None:
    library = PolicyLibrary(services.fresh)
    arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    here, there = [
        await library._managed(account, arn, PolicyKind.IDENTITY)
        for account in (HOME, AccountId(OTHER))
    ]
    assert here is there


@pytest.mark.parametrize(
    "title",
    ["root user", "user, AdministratorAccess", "GetFederationToken, all allowed"],
)
async def test_service_controls_bind_every_principal_of_the_account(
    services: Services, title: str
) -> None:
    assert await denial(services, caller(title), needing("iam:GetRole")) is None
    await set_controls(services, ControlKind.SERVICE, {**FULL, "Action": "iam:List*"})
    refused = await denial(services, caller(title), needing("iam:GetRole"))
    assert refused is not None
    assert str(refused).endswith(
        "because no service control policy allows the iam:GetRole action"
    )
    assert "No service control policy allows iam:GetRole" in refused.detail
    assert await denial(services, caller(title), needing("iam:ListRoles")) is None


async def test_service_controls_do_not_bind_unsigned_callers(
    services: Services,
) -> None:
    await set_controls(
        services, ControlKind.SERVICE, {**FULL, "Effect": "Deny", "Action": "sts:*"}
    )
    need = needing("sts:AssumeRoleWithSAML", trust=Trust(role=await target(services)))
    assert await denial(services, caller("SAML assertion"), need) is None


async def test_resource_controls_bind_anyone_who_takes_a_role_of_the_account(
    services: Services,
) -> None:
    role = await target(services)
    cases = (
        ("SAML assertion", "sts:AssumeRoleWithSAML"),
        ("administrator of another account", "sts:AssumeRole"),
        ("user, AdministratorAccess", "sts:AssumeRole"),
    )
    for title, action in cases:
        need = needing(action, trust=Trust(role=role))
        assert await denial(services, caller(title), need) is None
    deny = {**FULL, "Effect": "Deny", "Principal": "*", "Action": "sts:*"}
    await set_controls(services, ControlKind.RESOURCE, deny)
    for title, action in cases:
        need = needing(action, trust=Trust(role=role))
        refused = await denial(services, caller(title), need)
        assert refused is not None, title
        assert "of Controls denies" in refused.detail
    # IAM's own actions are none that resource control policies are about.
    administrator = caller("user, AdministratorAccess")
    assert await denial(services, administrator, needing("iam:GetRole")) is None


async def test_resource_controls_only_deny(services: Services) -> None:
    deny = {**FULL, "Effect": "Deny", "Principal": "*", "Action": "s3:*"}
    await set_controls(services, ControlKind.RESOURCE, deny)
    need = needing("sts:AssumeRoleWithSAML", trust=Trust(role=await target(services)))
    assert await denial(services, caller("SAML assertion"), need) is None


async def test_a_control_policy_that_is_broken_denies(services: Services) -> None:
    async with services.stores.directory.change(HOME) as change:
        account = await change.find(kinds.ACCOUNT, HOME)
        assert account is not None
        broken = option_value([ControlPolicy("Broken", "{")])
        options = {ControlKind.SERVICE.value: broken}
        await update_account(change, replace(account, options=options))
    refused = await denial(services, caller("root user"), needing("iam:GetRole"))
    assert refused is not None
    assert "the policy Broken is broken" in refused.detail


async def test_a_federated_user_is_within_the_boundary_of_who_made_it(
    services: Services,
) -> None:
    federated = caller("GetFederationToken, all allowed")
    assert await denial(services, federated, needing("iam:DeleteRole")) is None
    async with services.stores.directory.change(HOME) as change:
        user = await change.named(USER, HOME, "admin")
        assert user is not None
        reader = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"
        await change.update(USER, replace(user, boundary_arn=reader))
    refused = await denial(services, federated, needing("iam:DeleteRole"))
    assert refused is not None
    assert str(refused).endswith(
        "because no permissions boundary allows the iam:DeleteRole action"
    )
    assert await denial(services, federated, needing("iam:GetRole")) is None


async def test_each_need_is_judged_by_policies_of_its_own(services: Services) -> None:
    """A need that the account grants, after one that its policies allow."""
    reader = caller("user, IAMReadOnlyAccess")
    granted = needing("iam:ChangePassword", granted=True)
    needs = [needing("iam:GetRole"), granted]
    when = {"region": "eu-west-3", "now": NOW}
    assert len(await guard(services).require(reader, needs, RAW, **when)) == len(needs)
    plain = needing("iam:ChangePassword")
    with pytest.raises(AccessDenied):
        await guard(services).require(reader, [*needs, plain], RAW, **when)


async def test_a_hypothesis_is_decided_as_the_call_would_be(services: Services) -> None:
    hypotheses = Hypotheses(services.stores.directory, guard(services))

    async def allowed(principal: str, action: str, resource: str, **keys: str) -> bool:
        context = {key: (value,) for key, value in keys.items()}
        asked = Hypothesis(
            principal=principal, action=action, resource=resource, context=context
        )
        judged = await hypotheses.judge(asked, region="eu-west-3", now=NOW)
        assert "aws:sourceip" not in judged.request.context
        return judged.decision.allowed

    base = f"arn:aws:iam::{ACCOUNT}"
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/Caller/name"
    assert await allowed(ACCOUNT, "iam:GetRole", TARGET_ROLE)
    assert await allowed(f"{base}:root", "s3:GetObject", "arn:aws:s3:::b/k")
    assert await allowed(f"{base}:user/admin", "iam:GetRole", TARGET_ROLE)
    assert not await allowed(f"{base}:user/reader", "iam:DeleteRole", TARGET_ROLE)
    assert await allowed(session, "sts:AssumeRole", TARGET_ROLE)
    assert await allowed(f"{base}:role/app/Caller", "sts:assumerole", TARGET_ROLE)
    assert await allowed(SAML, "sts:AssumeRoleWithSAML", TARGET_ROLE)
    assert not await allowed(f"{SAML}2", "sts:AssumeRoleWithSAML", TARGET_ROLE)
    stranger = f"arn:aws:iam::{BOUND}:user/controlled"
    assert not await allowed(stranger, "sts:AssumeRole", TARGET_ROLE)
    assert not await allowed(f"{base}:user/admin", "sts:AssumeRole", f"{base}:role/x")
    federated = f"arn:aws:sts::{ACCOUNT}:federated-user/bob"
    with pytest.raises(ValidationError, match="stands in its session"):
        await allowed(federated, "iam:GetRole", TARGET_ROLE)


async def test_what_is_too_much_to_decide_is_refused_by_name(
    services: Services,
) -> None:
    patterns = ["*" + "a?" * 250 + f"b{n}*" for n in range(120)]
    condition = {"StringLike": {"aws:UserAgent": patterns}}
    await set_controls(
        services, ControlKind.SERVICE, FULL, {**FULL, "Condition": condition}
    )
    agent = raw_request(headers=((b"user-agent", b"a" * 4096),))
    with pytest.raises(AccessDenied) as caught:
        await guard(services).require(
            caller("root user"),
            [needing("iam:GetRole")],
            agent,
            region="eu-west-3",
            now=NOW,
        )
    assert "is not authorized to perform: iam:GetRole" in str(caught.value)
    assert "units of work" in caught.value.detail
