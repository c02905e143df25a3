"""What administrators should review: unused roles, broad policies, expiring keys.

Each is a bounded look, not a report, and shows only the first findings. The permissions
are those of the API actions that reveal the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypedDict

import orjson

from broker.actions.action import Action, Call
from broker.actions.signin.role_overviews import may_list_with_uses
from broker.model.account import AccountId
from broker.model.overview import EndingCredential
from broker.model.request import Given
from broker.permit.need import Need
from broker.policy.breadth import Breadth, find_breadth
from broker.proofs.provider_health import certificate_ends
from broker.runtime.bounded import BoundedCache
from broker.stores.directory.kinds import ROLE, SAML_PROVIDER
from broker.stores.directory.risks import (
    list_ending_credentials,
    list_old_keys,
    list_policy_texts,
    list_unused_roles,
)

SHOWN_MAX = 50
POLICIES_MAX = 500
"""The number of policies that are read; an account may have more, mostly inline ones.
"""

_ACCOUNTS_KEPT = 64
_PROVIDERS_MAX = 30


class UnusedRolesRequest(TypedDict):
    """For how long a role was not used."""

    Days: int


class RisksRequest(TypedDict):
    """Within how many days something expires, and how old access keys are, in days."""

    Days: int
    KeyDays: int


@dataclass(frozen=True, slots=True)
class BroadPolicy:
    """A policy that grants too much. ``owner`` is empty for a managed one."""

    kind: str
    name: str
    owner: str
    breadth: Breadth


class AccountRisks:
    """The handlers; broad policies are found once for each state of an account."""

    def __init__(self) -> None:
        self._broad = BoundedCache[AccountId, tuple[int, tuple[BroadPolicy, ...], int]](
            _ACCOUNTS_KEPT
        )

    def actions(self) -> tuple[Action, ...]:
        """The declarations."""
        return (
            Action(
                service="signin",
                name="ListUnusedRoles",
                needs=may_list_with_uses,
                handle=_unused,
                audited=("Days",),
            ),
            Action(
                service="signin",
                name="ListEndingCredentials",
                needs=_may_read_report,
                handle=_ending,
                audited=("Days", "KeyDays"),
            ),
            Action(
                service="signin",
                name="ListBroadPolicies",
                needs=_may_read_everything,
                handle=self._list_broad,
            ),
        )

    async def _list_broad(self, _given: Given, call: Call) -> Mapping[str, Any]:
        """``Policies`` that grant too much, of the ``Looked`` ones that were read."""
        generation = (await call.directory.generations([call.account])).get(
            call.account, 0
        )
        kept = self._broad.get(call.account)
        if kept is None or kept[0] != generation:
            texts = await list_policy_texts(call.directory, call.account, POLICIES_MAX)
            found = tuple(
                BroadPolicy(one.kind, one.name, one.owner, breadth)
                for one in texts
                if (breadth := find_breadth(orjson.loads(one.document))) is not None
            )
            kept = (generation, found, len(texts))
            self._broad.put(call.account, kept)
        _, found, looked = kept
        return {
            "Policies": found[:SHOWN_MAX],
            "Count": len(found),
            "Looked": looked,
            "Whole": looked < POLICIES_MAX,
        }


async def _unused(given: UnusedRolesRequest, call: Call) -> Mapping[str, Any]:
    """``Roles`` that were not used, of ``Total``; ``Whole`` if these are all."""
    since = call.now - timedelta(days=given["Days"])
    roles = await list_unused_roles(call.directory, call.account, since, SHOWN_MAX + 1)
    return {
        "Roles": roles[:SHOWN_MAX],
        "Whole": len(roles) <= SHOWN_MAX,
        "Total": await call.directory.count(ROLE, call.account),
    }


async def _ending(given: RisksRequest, call: Call) -> Mapping[str, Any]:
    """``Ending`` credentials and certificates, the first first, and ``OldKeys``."""
    before = call.now + timedelta(days=given["Days"])
    directory, account = call.directory, call.account
    found: list[EndingCredential] = list(
        await list_ending_credentials(directory, account, before, SHOWN_MAX)
    )
    for provider in (await directory.all_of(SAML_PROVIDER, account))[:_PROVIDERS_MAX]:
        found += (
            EndingCredential("saml-provider", provider.arn, provider.name, ends_at)
            for ends_at in await certificate_ends(provider.metadata)
            if ends_at < before
        )
    keys = await list_old_keys(
        directory, account, call.now - timedelta(days=given["KeyDays"]), SHOWN_MAX + 1
    )
    return {
        "Ending": _first(found),
        "OldKeys": keys[:SHOWN_MAX],
        "WholeKeys": len(keys) <= SHOWN_MAX,
    }


def _first(found: Sequence[EndingCredential]) -> tuple[EndingCredential, ...]:
    return tuple(sorted(found, key=lambda one: one.expires_at)[:SHOWN_MAX])


async def _may_read_report(_given: RisksRequest, call: Call) -> tuple[Need, ...]:
    return (Need(action="iam:GetCredentialReport", resource="*", account=call.account),)


async def _may_read_everything(_given: Given, call: Call) -> tuple[Need, ...]:
    return (
        Need(
            action="iam:GetAccountAuthorizationDetails",
            resource="*",
            account=call.account,
        ),
    )
