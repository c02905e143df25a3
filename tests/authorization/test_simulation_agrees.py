"""The simulator says of every action what the gate would really decide."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from broker.compose.services import Services
from broker.model.request import Door
from broker.model.session import Caller
from broker.permit.context import call_context
from broker.permit.gather import PolicyLibrary
from broker.permit.guard import Guard
from broker.permit.need import Need
from tests.authorization.callers import KINDS, NOW, open_installation
from tests.authorization.inputs import ACCOUNT
from tests.authorization.table import MadeUpInputRefusedError, needs_of
from tests.support.calls import perform, told
from tests.support.raw import raw_request

CALLER = {
    "user without policies": "user/nothing",
    "administrator bounded by IAMReadOnlyAccess": "user/bounded",
    "administrator with a Deny of iam:* and sts:*": "user/denied",
    "role session, AdministratorAccess": "role/app/Caller",
}
RAW = raw_request(secure=True)


async def all_needs(services: Services) -> list[Need]:
    needs: list[Need] = []
    for action in services.registry:
        try:
            needs += await needs_of(services, action)
        except MadeUpInputRefusedError:
            continue
    # What a trust policy or an account's setting decides, no simulation knows.
    return [
        need
        for need in needs
        if need.trust is None and not need.granted and need.account == ACCOUNT
    ]


async def simulated(
    services: Services, source: str, needs: list[Need]
) -> list[dict[str, Any]]:
    """The results for needs about one resource, in one context."""
    need = needs[0]
    entries = [
        {
            "ContextKeyName": key,
            "ContextKeyType": "stringList",
            "ContextKeyValues": list(values),
        }
        for key, values in need.context.items()
        if values
    ]
    params = {
        "PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:{source}",
        "ActionNames": [need.action for need in needs],
        "ResourceArns": [need.resource],
        "ContextEntries": entries,
    }
    action = services.registry.get("iam", "SimulatePrincipalPolicy")
    answer = await perform(
        services, action, params, told(KINDS[0].caller), door=Door.API, raw=RAW
    )
    results: list[dict[str, Any]] = answer["EvaluationResults"]
    return results


async def disagreements(services: Services) -> tuple[list[str], set[str]]:
    guard = Guard(PolicyLibrary(services.fresh))
    needs = await all_needs(services)
    assert len(needs) > 100
    together: dict[object, list[Need]] = {}
    for need in needs:
        key = (need.resource, tuple(need.context.items()))
        together.setdefault(key, []).append(need)
    matches, decisions = [], set()
    for kind in KINDS:
        if kind.title not in CALLER:
            continue
        caller = kind.caller
        assert isinstance(caller, Caller)
        context = call_context(caller, RAW, region="us-east-1", now=NOW)
        for group in together.values():
            results = await simulated(services, CALLER[kind.title], group)
            for need, result in zip(group, results, strict=True):
                real = (await guard.judge(caller, need, context)).decision
                wanted = (
                    "allowed"
                    if real.allowed
                    else "explicitDeny"
                    if real.explicit_deny
                    else "implicitDeny"
                )
                decisions.add(result["EvalDecision"])
                if result["EvalDecision"] != wanted:
                    matches.append(
                        f"{kind.title}, {need.action}: {wanted}, not {result}"
                    )
    return matches, decisions


def test_the_simulator_agrees_with_the_gate(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async def work() -> tuple[list[str], set[str]]:
        folder: Path = tmp_path_factory.mktemp("agreement")
        async with open_installation(folder) as services:
            return await disagreements(services)

    results, decisions = asyncio.run(work())
    assert results == []
    assert decisions == {"allowed", "explicitDeny", "implicitDeny"}
