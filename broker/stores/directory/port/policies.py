"""Inline and managed policies, attachments and boundaries.

A policy's owner is a user, a role or a group, given by its unique id.
"""

from collections.abc import Collection, Mapping
from typing import Protocol

from broker.model.account import AccountId
from broker.model.entities import (
    Group,
    InlinePolicy,
    ManagedPolicy,
    PolicyVersion,
    Role,
    User,
)
from broker.model.page import Page, PageRequest
from broker.stores.directory.port.accounts import AccountReader
from broker.stores.directory.port.entities import EntityReader


class InlinePolicyReader(Protocol):
    """Policies that are part of their owner."""

    async def list_inline_policies(
        self, account: AccountId, owner_id: str
    ) -> tuple[InlinePolicy, ...]:
        """All inline policies of a user or role, by name."""
        ...

    async def list_inline_policies_of(
        self, account: AccountId, owner_ids: Collection[str]
    ) -> Mapping[str, tuple[InlinePolicy, ...]]:
        """Inline policies of several owners; those without any are left out."""
        ...


class ManagedPolicyReader(Protocol):
    """Managed policies and their versions."""

    async def find_policy(
        self, account: AccountId, name: str
    ) -> ManagedPolicy | None: ...

    async def list_policies(
        self,
        account: AccountId,
        path_prefix: str,
        page: PageRequest,
        *,
        only_attached: bool = False,
    ) -> Page[ManagedPolicy]:
        """``only_attached``: only those attached or used as a boundary."""
        ...

    async def list_policy_versions(
        self, account: AccountId, policy_id: str
    ) -> tuple[PolicyVersion, ...]:
        """All versions, newest first."""
        ...


class AttachmentReader(Protocol):
    """Which managed policies are attached or serve as a boundary, and where."""

    async def list_attachments(
        self, account: AccountId, owner_id: str
    ) -> tuple[str, ...]:
        """ARNs of the managed policies attached to a user or role, by name."""
        ...

    async def list_attachments_of(
        self, account: AccountId, owner_ids: Collection[str]
    ) -> Mapping[str, tuple[str, ...]]:
        """ARNs attached to several owners; those without any are left out."""
        ...

    async def list_attached_owners(
        self, account: AccountId, policy_arn: str
    ) -> tuple[str, ...]:
        """Unique ids of the users and roles that a managed policy is attached to."""
        ...

    async def count_attached_owners(
        self, account: AccountId, policy_arns: Collection[str]
    ) -> Mapping[str, int]:
        """How many users, groups and roles each is attached to; absent for none."""
        ...

    async def list_bounded_owners(
        self, account: AccountId, policy_arn: str
    ) -> tuple[str, ...]:
        """Unique ids of the users and roles whose permissions boundary it is."""
        ...

    async def count_bounded_owners(
        self, account: AccountId, policy_arns: Collection[str]
    ) -> Mapping[str, int]:
        """How many users and roles have each as their boundary; absent for none."""
        ...

    async def list_used_policy_arns(
        self, account: AccountId, prefix: str
    ) -> tuple[str, ...]:
        """The ARNs with a prefix of what is attached here or a boundary, in order."""
        ...

    async def count_used_policies(self, account: AccountId) -> int:
        """How many policies, AWS's included, are attached or a boundary here."""
        ...


class OwnerReader(Protocol):
    """Users, roles and groups by unique id, whichever they are."""

    async def find_owners(
        self, account: AccountId, unique_ids: Collection[str]
    ) -> tuple[User | Role | Group, ...]:
        """The users, roles and groups with these unique ids, in no order."""
        ...

    async def find_owner_arns(self, unique_ids: Collection[str]) -> Mapping[str, str]:
        """ARNs of the users and roles of any account that have these unique ids."""
        ...


class PolicyFinder(AccountReader, ManagedPolicyReader, Protocol):
    """What finding a policy by ARN takes: AWS's own depend on the account."""


class PolicyReader(InlinePolicyReader, AttachmentReader, ManagedPolicyReader, Protocol):
    """Everything about policies."""


class InlinePolicyChange(InlinePolicyReader, Protocol):
    """Writes to inline policies."""

    async def put_inline_policy(self, policy: InlinePolicy) -> None: ...

    async def delete_inline_policy(
        self, account: AccountId, owner_id: str, name: str
    ) -> bool:
        """Whether there was one."""
        ...


class ManagedPolicyChange(ManagedPolicyReader, EntityReader, Protocol):
    """Writes to managed policies and their versions."""

    async def insert_policy(self, policy: ManagedPolicy) -> None:
        """With its first version."""
        ...

    async def update_policy(self, policy: ManagedPolicy) -> None: ...

    async def delete_policy(self, policy: ManagedPolicy) -> None: ...

    async def insert_policy_version(
        self, policy: ManagedPolicy, version: PolicyVersion
    ) -> None: ...

    async def delete_policy_version(
        self, policy: ManagedPolicy, version_id: str
    ) -> None: ...


class AttachmentChange(AttachmentReader, Protocol):
    """Attaching and detaching."""

    async def attach_policy(
        self, account: AccountId, owner_id: str, policy_arn: str
    ) -> bool:
        """Whether it was not attached before."""
        ...

    async def detach_policy(
        self, account: AccountId, owner_id: str, policy_arn: str
    ) -> bool:
        """Whether it was attached."""
        ...


class PolicyChange(InlinePolicyChange, AttachmentChange, ManagedPolicyChange, Protocol):
    """Every write to policies."""
