"""People and groups of directories, in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from broker.model.account import AccountId
from broker.model.entities import Role
from broker.model.provisioned import Membership, ProvisionedGroup, ProvisionedUser
from broker.model.revocation import Revocations
from broker.proofs.admission import Admission

ACCOUNT = AccountId("123456789012")
PROVIDER = "SAMLSPAAAAAAAAAAAAAAAA"
AT = datetime(2026, 1, 1, tzinfo=UTC)


def person(user_id: str, user_name: str, **more: Any) -> ProvisionedUser:
    params: dict[str, Any] = {
        "account": ACCOUNT,
        "provider_id": PROVIDER,
        "user_id": user_id,
        "user_name": user_name,
        "created_at": AT,
        "updated_at": AT,
    }
    return ProvisionedUser(**{**params, **more})


def group(group_id: str, name: str, **more: Any) -> ProvisionedGroup:
    params: dict[str, Any] = {
        "account": ACCOUNT,
        "provider_id": PROVIDER,
        "group_id": group_id,
        "name": name,
        "created_at": AT,
        "updated_at": AT,
    }
    return ProvisionedGroup(**{**params, **more})


@dataclass
class People:
    """Answers every question with the same people, and notes what it was."""

    people: Sequence[ProvisionedUser] = ()
    memberships: Sequence[Membership] = ()
    asked: list[tuple[str, str]] = field(default_factory=list)
    revoked: Revocations = field(default_factory=Revocations)
    roles: Mapping[str, Role] = field(default_factory=dict)

    async def find(self, _kind: object, _account: AccountId, key: str) -> Role | None:
        return self.roles.get(key)

    async def revocations(self, _account: AccountId) -> Revocations:
        return self.revoked

    async def provisioned_person(
        self, _account: AccountId, _provider_id: str, attribute: str, value: str
    ) -> tuple[Sequence[ProvisionedUser], Sequence[Membership]]:
        self.asked.append((attribute, value))
        return self.people, self.memberships


NO_DIRECTORY = Admission(People())
"""For providers without SCIM."""
