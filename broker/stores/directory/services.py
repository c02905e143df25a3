"""Registered services, their tokens, and the policies of their resources."""

from sqlalchemy import select

from broker.model.account import AccountId
from broker.model.page import Page, PageRequest
from broker.model.registered import RegisteredService, ResourcePolicy, ServiceToken
from broker.stores.directory.kinds import RESOURCE_POLICY, SERVICE, SERVICE_TOKEN
from broker.stores.directory.statements import Reads, Writes
from broker.stores.schema import RESOURCE_POLICIES, SERVICE_TOKENS, SERVICES


class ServiceReads(Reads):
    """See ``DirectoryReader``."""

    async def find_service(
        self, account: AccountId, name: str
    ) -> RegisteredService | None:
        return await self.find_entity(SERVICE.stored, account=account, name=name)

    async def list_services(self, account: AccountId) -> tuple[RegisteredService, ...]:
        return await self.list_entities(
            SERVICE.stored,
            select(SERVICES)
            .where(SERVICES.c.account == account)
            .order_by(SERVICES.c.name),
        )

    async def list_service_tokens(self, account: AccountId) -> tuple[ServiceToken, ...]:
        return await self.list_entities(
            SERVICE_TOKEN.stored,
            select(SERVICE_TOKENS)
            .where(SERVICE_TOKENS.c.account == account)
            .order_by(SERVICE_TOKENS.c.created_at, SERVICE_TOKENS.c.token_id),
        )

    async def find_resource_policy(
        self, account: AccountId, arn: str
    ) -> ResourcePolicy | None:
        return await self.find_entity(RESOURCE_POLICY.stored, account=account, arn=arn)

    async def list_resource_policies(
        self, account: AccountId, page: PageRequest
    ) -> Page[ResourcePolicy]:
        statement = select(RESOURCE_POLICIES).where(
            RESOURCE_POLICIES.c.account == account
        )
        return await self.page(
            statement, page, RESOURCE_POLICIES.c.arn, RESOURCE_POLICY.stored.read
        )

    async def resource_policy_arns(self, account: AccountId) -> frozenset[str]:
        rows = await self.rows(
            select(RESOURCE_POLICIES.c.arn).where(
                RESOURCE_POLICIES.c.account == account
            )
        )
        return frozenset(row.arn for row in rows)


class ServiceWrites(ServiceReads, Writes):
    """See ``DirectoryChange``."""

    async def insert_service(self, service: RegisteredService) -> None:
        await self.insert_entity(SERVICE.stored, service, "service")

    async def update_service(self, service: RegisteredService) -> None:
        await self.update_entity(SERVICE.stored, service, "service_id")

    async def delete_service(self, service: RegisteredService) -> None:
        for table in (SERVICE_TOKENS, SERVICES):
            await self.delete_by(
                table, account=service.account, service_id=service.service_id
            )

    async def insert_service_token(self, token: ServiceToken) -> None:
        await self.insert_entity(SERVICE_TOKEN.stored, token, "service token")

    async def delete_service_token(self, token: ServiceToken) -> None:
        await self.delete_by(
            SERVICE_TOKENS, account=token.account, token_id=token.token_id
        )

    async def put_resource_policy(self, policy: ResourcePolicy) -> None:
        values = RESOURCE_POLICY.stored.values(policy)
        if not await self.insert_if_free(RESOURCE_POLICIES, values):
            del values["created_at"]
            await self.update_by(
                RESOURCE_POLICIES, values, account=policy.account, arn=policy.arn
            )

    async def delete_resource_policy(self, policy: ResourcePolicy) -> None:
        await self.delete_by(RESOURCE_POLICIES, account=policy.account, arn=policy.arn)
