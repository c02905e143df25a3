"""People and groups that directories provision by SCIM, and their tokens."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from broker.model.account import AccountId
from broker.model.provisioned import (
    Membership,
    ProvisionedGroup,
    ProvisionedUser,
    ProvisioningCounts,
    ScimToken,
)
from broker.stores.directory.port.entities import EntityReader


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionedQuery:
    """Which users or groups of a provider: all that have these values.

    ``name`` is a user's name or a group's, ``email`` the address that counts; both are
    compared without regard to case. ``member_id`` is a user whose groups are meant. An
    ``offset`` counts from 0.
    """

    account: AccountId
    provider_id: str
    entity_id: str | None = None
    name: str | None = None
    external_id: str | None = None
    email: str | None = None
    active: bool | None = None
    member_id: str | None = None
    offset: int = 0
    limit: int = 100


class ProvisioningReader(Protocol):
    """What directories provisioned, each provider's apart."""

    async def find_provisioned_user(
        self, account: AccountId, provider_id: str, user_id: str
    ) -> ProvisionedUser | None:
        """A user by id; None for one that was deleted."""
        ...

    async def list_provisioned_users(
        self, query: ProvisionedQuery
    ) -> tuple[Sequence[ProvisionedUser], int]:
        """Some users, oldest first, and how many there are; not the deleted ones."""
        ...

    async def provisioned_user_ids(
        self, account: AccountId, provider_id: str, ids: Collection[str]
    ) -> frozenset[str]:
        """Those of the ids that users of the provider have."""
        ...

    async def list_provisioned_people(
        self, account: AccountId, provider_id: str, attribute: str, value: str
    ) -> Sequence[ProvisionedUser]:
        """Some of those whose attribute has the value, the deleted ones included.

        ``attribute`` is ``userName`` or ``emails``, compared without regard to case, or
        ``externalId``. Those that were not deleted come first.
        """
        ...

    async def find_provisioned_group(
        self, account: AccountId, provider_id: str, group_id: str
    ) -> ProvisionedGroup | None: ...

    async def list_provisioned_groups(
        self, query: ProvisionedQuery
    ) -> tuple[Sequence[ProvisionedGroup], int]:
        """Some groups, oldest first, and how many there are."""
        ...

    async def list_provisioned_memberships(
        self,
        account: AccountId,
        *,
        group_ids: Collection[str] = (),
        user_ids: Collection[str] = (),
        limit: int,
    ) -> Sequence[Membership]:
        """The memberships of these groups, or of these users.

        With both, those of these users in these few groups.
        """
        ...

    async def count_provisioned_members(
        self, account: AccountId, group_id: str
    ) -> int: ...

    async def provisioning_counts(
        self, account: AccountId, provider_id: str
    ) -> ProvisioningCounts:
        """How many there are of each kind."""
        ...

    async def list_scim_tokens(self, account: AccountId) -> Sequence[ScimToken]:
        """The tokens of all its providers, oldest first, expired ones included."""
        ...

    async def has_scim_tokens(self) -> bool:
        """Whether any account has one."""
        ...


class ProvisioningChange(ProvisioningReader, EntityReader, Protocol):
    """Writes to what directories provision."""

    async def insert_provisioned_user(self, user: ProvisionedUser) -> None: ...

    async def update_provisioned_user(self, user: ProvisionedUser) -> None: ...

    async def delay_provisioned_users(
        self, account: AccountId, user_ids: Collection[str], until: datetime
    ) -> None:
        """Admit these people only after that time: their sessions have been ended."""
        ...

    async def forget_departed_users(
        self, account: AccountId, provider_id: str, *, keep: int
    ) -> None:
        """Permanently remove the rows of deleted users, except the last ones."""
        ...

    async def insert_provisioned_group(self, group: ProvisionedGroup) -> None: ...

    async def update_provisioned_group(self, group: ProvisionedGroup) -> None: ...

    async def delete_provisioned_group(self, group: ProvisionedGroup) -> None:
        """With its memberships."""
        ...

    async def add_provisioned_members(
        self, group: ProvisionedGroup, user_ids: Collection[str]
    ) -> None:
        """Those that are in it already, or that are not users of its provider, stay."""
        ...

    async def remove_provisioned_members(
        self, group: ProvisionedGroup, user_ids: Collection[str]
    ) -> None: ...

    async def remove_from_provisioned_groups(self, user: ProvisionedUser) -> None:
        """Take a user out of all groups."""
        ...

    async def insert_scim_token(self, token: ScimToken) -> None: ...

    async def delete_scim_token(self, token: ScimToken) -> None: ...
