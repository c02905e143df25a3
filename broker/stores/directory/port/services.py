"""Registered services, their tokens, and the policies of their resources."""

from typing import Protocol

from broker.model.account import AccountId
from broker.model.page import Page, PageRequest
from broker.model.registered import RegisteredService, ResourcePolicy, ServiceToken
from broker.stores.directory.port.entities import EntityReader


class ServiceReader(Protocol):
    """Services that ask for decisions, and with what they ask."""

    async def find_service(
        self, account: AccountId, name: str
    ) -> RegisteredService | None: ...

    async def list_services(self, account: AccountId) -> tuple[RegisteredService, ...]:
        """All of the account, by name."""
        ...

    async def list_service_tokens(self, account: AccountId) -> tuple[ServiceToken, ...]:
        """The tokens of all its services, oldest first, expired ones included."""
        ...


class ResourcePolicyReader(Protocol):
    """Policies of resources, by the resource's exact ARN."""

    async def find_resource_policy(
        self, account: AccountId, arn: str
    ) -> ResourcePolicy | None: ...

    async def list_resource_policies(
        self, account: AccountId, page: PageRequest
    ) -> Page[ResourcePolicy]:
        """By ARN."""
        ...

    async def resource_policy_arns(self, account: AccountId) -> frozenset[str]:
        """The ARNs of all resources of the account that have a policy."""
        ...


class ServiceChange(ServiceReader, EntityReader, Protocol):
    """Writes to registered services."""

    async def insert_service(self, service: RegisteredService) -> None: ...

    async def update_service(self, service: RegisteredService) -> None: ...

    async def delete_service(self, service: RegisteredService) -> None:
        """With its tokens."""
        ...

    async def insert_service_token(self, token: ServiceToken) -> None: ...

    async def delete_service_token(self, token: ServiceToken) -> None: ...


class ResourcePolicyChange(ResourcePolicyReader, EntityReader, Protocol):
    """Writes to policies of resources."""

    async def put_resource_policy(self, policy: ResourcePolicy) -> None:
        """Insert it, or replace the one of the same ARN."""
        ...

    async def delete_resource_policy(self, policy: ResourcePolicy) -> None: ...
