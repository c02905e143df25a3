"""Registered services, their tokens, and the policies of their resources."""

from sqlalchemy import delete, select

from broker.model.account import AccountId
from broker.model.page import Page, PageRequest
from broker.model.registered import RegisteredService, ResourcePolicy, ServiceToken
from broker.stores.directory.statements import (
    AnyRow,
    Reads,
    Writes,
    dump,
    load_texts,
)
from broker.stores.schema import RESOURCE_POLICIES, SERVICE_TOKENS, SERVICES
from broker.stores.times import from_micros, to_micros


class ServiceReads(Reads):
    """See ``DirectoryReader``."""

    async def find_service(
        self, account: AccountId, name: str
    ) -> RegisteredService | None:
        row = await self.find_by(SERVICES, account=account, name=name)
        return None if row is None else _read_service(row)

    async def list_services(self, account: AccountId) -> tuple[RegisteredService, ...]:
        rows = await self.rows(
            select(SERVICES)
            .where(SERVICES.c.account == account)
            .order_by(SERVICES.c.name)
        )
        return tuple(map(_read_service, rows))

    async def list_service_tokens(self, account: AccountId) -> tuple[ServiceToken, ...]:
        rows = await self.rows(
            select(SERVICE_TOKENS)
            .where(SERVICE_TOKENS.c.account == account)
            .order_by(SERVICE_TOKENS.c.created_at, SERVICE_TOKENS.c.token_id)
        )
        return tuple(map(_read_token, rows))

    async def find_resource_policy(
        self, account: AccountId, arn: str
    ) -> ResourcePolicy | None:
        row = await self.find_by(RESOURCE_POLICIES, account=account, arn=arn)
        return None if row is None else _read_policy(row)

    async def list_resource_policies(
        self, account: AccountId, page: PageRequest
    ) -> Page[ResourcePolicy]:
        statement = select(RESOURCE_POLICIES).where(
            RESOURCE_POLICIES.c.account == account
        )
        return await self.page(statement, page, RESOURCE_POLICIES.c.arn, _read_policy)

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
        await self.insert_new(SERVICES, _service_values(service), "service")

    async def update_service(self, service: RegisteredService) -> None:
        await self.update_by(
            SERVICES, _service_values(service), service_id=service.service_id
        )

    async def delete_service(self, service: RegisteredService) -> None:
        for table in (SERVICE_TOKENS, SERVICES):
            await self.run(
                delete(table).where(
                    table.c.account == service.account,
                    table.c.service_id == service.service_id,
                )
            )

    async def insert_service_token(self, token: ServiceToken) -> None:
        values = {
            "account": token.account,
            "token_id": token.token_id,
            "service_id": token.service_id,
            "digest": token.digest,
            "created_at": to_micros(token.created_at),
            "expires_at": to_micros(token.expires_at),
            "addresses": dump(token.addresses),
        }
        await self.insert_new(SERVICE_TOKENS, values, "service token")

    async def delete_service_token(self, token: ServiceToken) -> None:
        await self.run(
            delete(SERVICE_TOKENS).where(
                SERVICE_TOKENS.c.account == token.account,
                SERVICE_TOKENS.c.token_id == token.token_id,
            )
        )

    async def put_resource_policy(self, policy: ResourcePolicy) -> None:
        values = {
            "account": policy.account,
            "arn": policy.arn,
            "document": policy.document,
            "created_at": to_micros(policy.created_at),
            "updated_at": to_micros(policy.updated_at),
        }
        if not await self.insert_if_free(RESOURCE_POLICIES, values):
            del values["created_at"]
            await self.update_by(
                RESOURCE_POLICIES, values, account=policy.account, arn=policy.arn
            )

    async def delete_resource_policy(self, policy: ResourcePolicy) -> None:
        await self.run(
            delete(RESOURCE_POLICIES).where(
                RESOURCE_POLICIES.c.account == policy.account,
                RESOURCE_POLICIES.c.arn == policy.arn,
            )
        )


def _read_service(row: AnyRow) -> RegisteredService:
    return RegisteredService(
        account=row.account,
        service_id=row.service_id,
        name=row.name,
        definition=row.definition,
        created_at=from_micros(row.created_at),
        updated_at=from_micros(row.updated_at),
    )


def _service_values(service: RegisteredService) -> dict[str, object]:
    return {
        "service_id": service.service_id,
        "account": service.account,
        "name": service.name,
        "definition": service.definition,
        "created_at": to_micros(service.created_at),
        "updated_at": to_micros(service.updated_at),
    }


def _read_token(row: AnyRow) -> ServiceToken:
    return ServiceToken(
        account=row.account,
        token_id=row.token_id,
        service_id=row.service_id,
        digest=row.digest,
        created_at=from_micros(row.created_at),
        expires_at=from_micros(row.expires_at),
        addresses=load_texts(row.addresses),
    )


def _read_policy(row: AnyRow) -> ResourcePolicy:
    return ResourcePolicy(
        account=row.account,
        arn=row.arn,
        document=row.document,
        created_at=from_micros(row.created_at),
        updated_at=from_micros(row.updated_at),
    )
