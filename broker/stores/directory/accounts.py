"""Accounts and their generations."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import delete, or_, select
from sqlalchemy.sql import Executable

from broker.model.account import Account, AccountId
from broker.stores.directory.entity_tables import AnyRow, dump_mapping, load_mapping
from broker.stores.directory.kinds import ChangedRows
from broker.stores.directory.revocations import RevocationReads, RevocationWrites
from broker.stores.directory.statements import count_rows
from broker.stores.errors import AlreadyExistsError
from broker.stores.schema import (
    ACCESS_KEYS,
    ACCOUNTS,
    ATTACHMENTS,
    CERTIFICATE_LISTS,
    CERTIFICATE_PROFILES,
    CHANGES,
    DELETION_TASKS,
    GENERATIONS,
    GROUP_MEMBERS,
    GROUPS,
    INLINE_POLICIES,
    INSTANCE_PROFILES,
    INSTANCES,
    JOIN_TOKENS,
    LDAP_PROVIDERS,
    LOGIN_PROFILES,
    MANAGED_POLICIES,
    MFA_DEVICES,
    OIDC_PROVIDERS,
    PASSKEYS,
    POLICY_VERSIONS,
    PROVISIONED_GROUPS,
    PROVISIONED_MEMBERS,
    PROVISIONED_USERS,
    REPORTS,
    RESOURCE_POLICIES,
    REVOCATIONS,
    ROLES,
    SAML_PROVIDERS,
    SCIM_TOKENS,
    SERVER_CERTIFICATES,
    SERVICE_TOKENS,
    SERVICES,
    TRUST_ANCHORS,
    UPSTREAMS,
    USER_CREDENTIALS,
    USERS,
    USES,
)
from broker.stores.times import from_micros, to_micros

_COUNTED = {
    "users": USERS,
    "groups": GROUPS,
    "login_profiles": LOGIN_PROFILES,
    "roles": ROLES,
    "policies": MANAGED_POLICIES,
    "access_keys": ACCESS_KEYS,
    "saml_providers": SAML_PROVIDERS,
    "oidc_providers": OIDC_PROVIDERS,
    "ldap_providers": LDAP_PROVIDERS,
    "mfa_devices": MFA_DEVICES,
    "server_certificates": SERVER_CERTIFICATES,
    "instance_profiles": INSTANCE_PROFILES,
    "instances": INSTANCES,
    "join_tokens": JOIN_TOKENS,
    "services": SERVICES,
    "resource_policies": RESOURCE_POLICIES,
    "trust_anchors": TRUST_ANCHORS,
    "upstreams": UPSTREAMS,
    "certificate_profiles": CERTIFICATE_PROFILES,
    "certificate_lists": CERTIFICATE_LISTS,
}
_OWNED = (
    ACCESS_KEYS,
    ATTACHMENTS,
    CERTIFICATE_LISTS,
    CERTIFICATE_PROFILES,
    CHANGES,
    DELETION_TASKS,
    GROUP_MEMBERS,
    GROUPS,
    INLINE_POLICIES,
    INSTANCE_PROFILES,
    INSTANCES,
    JOIN_TOKENS,
    LOGIN_PROFILES,
    MANAGED_POLICIES,
    MFA_DEVICES,
    OIDC_PROVIDERS,
    PASSKEYS,
    POLICY_VERSIONS,
    PROVISIONED_GROUPS,
    PROVISIONED_MEMBERS,
    PROVISIONED_USERS,
    REPORTS,
    RESOURCE_POLICIES,
    REVOCATIONS,
    ROLES,
    SAML_PROVIDERS,
    SCIM_TOKENS,
    SERVER_CERTIFICATES,
    SERVICE_TOKENS,
    SERVICES,
    TRUST_ANCHORS,
    UPSTREAMS,
    USER_CREDENTIALS,
    USERS,
    USES,
)
_ACCOUNTS_A_QUERY = 500
_CHANGED_A_QUERY = 100

CHANGES_KEPT = 256
"""Of an account, at least: more than are made between two polls."""

CHANGES_A_DELETE = 64
"""Made between two deletions of older ones."""


class AccountReads(RevocationReads):
    """See ``DirectoryReader``."""

    async def watched_rows(self, statement: Executable) -> Sequence[AnyRow]:
        """All rows of the statement that also serves as the health check."""
        return await self.rows(statement)

    async def generations(
        self, accounts: Collection[AccountId] | None = None
    ) -> Mapping[AccountId, int]:
        statement = select(GENERATIONS.c.account, GENERATIONS.c.generation)
        if accounts is None:
            rows = list(await self.rows(statement))
        else:
            rows = []
            ids = list(accounts)
            # An empty list still asks: the answer shows that the database is there.
            for start in range(0, max(1, len(ids)), _ACCOUNTS_A_QUERY):
                some = ids[start : start + _ACCOUNTS_A_QUERY]
                rows += await self.watched_rows(
                    statement.where(GENERATIONS.c.account.in_(some))
                )
        return {row.account: row.generation for row in rows}

    async def changes(
        self, after: Mapping[AccountId, int]
    ) -> Mapping[AccountId, Mapping[int, ChangedRows]]:
        found: dict[AccountId, dict[int, ChangedRows]] = {one: {} for one in after}
        rest = [
            (CHANGES.c.account == account) & (CHANGES.c.generation > generation)
            for account, generation in after.items()
        ]
        for start in range(0, len(rest), _CHANGED_A_QUERY):
            some = rest[start : start + _CHANGED_A_QUERY]
            for row in await self.watched_rows(select(CHANGES).where(or_(*some))):
                found[row.account][row.generation] = ChangedRows.load(row.rows)
        return found

    async def find_account(self, account_id: AccountId) -> Account | None:
        row = await self.find_by(ACCOUNTS, account=account_id)
        return None if row is None else _read_account(row)

    async def find_account_by_alias(self, alias: str) -> Account | None:
        row = await self.find_by(ACCOUNTS, alias=alias)
        return None if row is None else _read_account(row)

    async def list_accounts(self) -> tuple[Account, ...]:
        rows = await self.rows(select(ACCOUNTS).order_by(ACCOUNTS.c.account))
        return tuple(_read_account(row) for row in rows)

    async def count(self, account: AccountId, kind: str) -> int:
        row = await self.find_row(count_rows(_COUNTED[kind], account))
        return 0 if row is None else int(row.number)


class AccountWrites(AccountReads, RevocationWrites):
    """See ``DirectoryChange``."""

    async def insert_account(self, account: Account) -> None:
        if await self.find_account(account.account_id) is not None:
            raise AlreadyExistsError("account")
        await self.insert_new(ACCOUNTS, _account_values(account), "alias")

    async def update_account(self, account: Account) -> None:
        if account.alias is not None:
            taken = await self.find_account_by_alias(account.alias)
            if taken is not None and taken.account_id != account.account_id:
                raise AlreadyExistsError("alias")
        await self.update_by(
            ACCOUNTS, _account_values(account), account=account.account_id
        )

    async def delete_account(self, account_id: AccountId) -> None:
        for table in (*_OWNED, ACCOUNTS):
            await self.run(delete(table).where(table.c.account == account_id))


def _read_account(row: AnyRow) -> Account:
    return Account(
        account_id=row.account,
        alias=row.alias,
        session_salt=row.session_salt,
        created_at=from_micros(row.created_at),
        quotas=load_mapping(row.quotas),
        options=load_mapping(row.options),
        password_policy=(
            None if row.password_policy is None else load_mapping(row.password_policy)
        ),
    )


def _account_values(account: Account) -> dict[str, object]:
    return {
        "account": account.account_id,
        "alias": account.alias,
        "session_salt": account.session_salt,
        "created_at": to_micros(account.created_at),
        "quotas": dump_mapping(account.quotas),
        "options": dump_mapping(account.options),
        "password_policy": (
            None
            if account.password_policy is None
            else dump_mapping(account.password_policy)
        ),
    }
