"""The directory's port: what every implementation promises.

Absent entities read as None. Names of users, roles and policies are unique per
account without regard to case and found without regard to it, as at AWS. Lists are
ordered by name (without regard to case) and stay stable while others write: an item
that is there the whole time is listed exactly once.
"""

from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from broker.model.account import Account, AccountId
from broker.model.audit import AuditRecord
from broker.model.entities import (
    AccessKey,
    Group,
    InlinePolicy,
    LoginProfile,
    ManagedPolicy,
    OidcProvider,
    PolicyVersion,
    Role,
    SamlProvider,
    User,
)
from broker.model.overview import UserOverview
from broker.model.page import Page, PageRequest
from broker.model.revocation import Revocation, Revocations
from broker.model.uses import Report, Use
from broker.stores.directory.credential_port import (
    CredentialChange,
    CredentialReader,
    MfaStateWriter,
    PasskeyUseWriter,
)


class DirectoryReader(CredentialReader, Protocol):
    """Reads; each raises ``StoreUnavailableError`` when the database is away."""

    async def generations(
        self, accounts: Collection[AccountId] | None = None
    ) -> Mapping[AccountId, int]:
        """Each account's generation, of the given accounts only; of all for None.

        Raised by each committed change and never lowered, not even by an account's
        deletion; absent for an account that never was. The database is asked even
        when no account is given.
        """
        ...

    async def find_account(self, account_id: AccountId) -> Account | None: ...
    async def find_account_by_alias(self, alias: str) -> Account | None: ...
    async def list_accounts(self) -> tuple[Account, ...]: ...

    async def find_user(self, account: AccountId, name: str) -> User | None: ...
    async def find_user_by_id(
        self, account: AccountId, user_id: str
    ) -> User | None: ...
    async def list_users(
        self, account: AccountId, path_prefix: str, page: PageRequest
    ) -> Page[User]: ...

    async def list_user_overviews(
        self, account: AccountId, path_prefix: str, name_part: str, page: PageRequest
    ) -> Page[UserOverview]:
        """Users whose name has a part (without regard to case) with what is theirs."""
        ...

    async def find_group(self, account: AccountId, name: str) -> Group | None: ...
    async def list_groups(
        self, account: AccountId, path_prefix: str, page: PageRequest
    ) -> Page[Group]: ...
    async def list_group_users(
        self, account: AccountId, group_id: str, page: PageRequest
    ) -> Page[User]: ...
    async def list_user_groups(
        self, account: AccountId, user_id: str
    ) -> tuple[Group, ...]:
        """All groups that a user is in, by name."""
        ...

    async def list_memberships(
        self, account: AccountId, user_ids: Collection[str]
    ) -> Mapping[str, tuple[Group, ...]]:
        """The groups of several users, by name; users without any are left out."""
        ...

    async def find_login_profile(
        self, account: AccountId, user_id: str
    ) -> LoginProfile | None: ...

    async def find_access_key(self, access_key_id: str) -> AccessKey | None: ...
    async def list_access_keys(
        self, account: AccountId, user_id: str | None
    ) -> tuple[AccessKey, ...]:
        """A user's keys, oldest first; the root's for ``user_id`` None."""
        ...

    async def find_role(self, account: AccountId, name: str) -> Role | None: ...
    async def find_role_by_id(
        self, account: AccountId, role_id: str
    ) -> Role | None: ...
    async def list_roles(
        self, account: AccountId, path_prefix: str, page: PageRequest
    ) -> Page[Role]: ...

    async def list_roles_with(
        self, account: AccountId, part: str, page: PageRequest
    ) -> Page[Role]:
        """Roles with a text in their name or description.

        Without regard to case, but for letters beyond ASCII in descriptions.
        """
        ...

    async def list_roles_naming(
        self, account: AccountId, text: str, limit: int
    ) -> tuple[Role, ...]:
        """The first roles, by name, whose trust policy holds this text."""
        ...

    async def list_inline_policies(
        self, account: AccountId, owner_id: str
    ) -> tuple[InlinePolicy, ...]:
        """All inline policies of a user or role, by name."""
        ...

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
        """``only_attached``: those that somebody has, as a boundary, too."""
        ...

    async def list_policy_versions(
        self, account: AccountId, policy_id: str
    ) -> tuple[PolicyVersion, ...]:
        """All versions, newest first."""
        ...

    async def list_attachments(
        self, account: AccountId, owner_id: str
    ) -> tuple[str, ...]:
        """ARNs of the managed policies attached to a user or role, by name."""
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
        """How many policies of anybody's are attached here, or a boundary."""
        ...

    async def find_owner_arns(self, unique_ids: Collection[str]) -> Mapping[str, str]:
        """ARNs of the users and roles of any account that have these unique ids."""
        ...

    async def find_saml_provider(
        self, account: AccountId, name: str
    ) -> SamlProvider | None: ...
    async def find_saml_provider_by_uuid(self, uuid: str) -> SamlProvider | None: ...
    async def list_saml_providers(
        self, account: AccountId
    ) -> tuple[SamlProvider, ...]: ...

    async def list_published_saml_providers(self) -> tuple[SamlProvider, ...]:
        """Of all accounts, those whose options name a ``MetadataUrl``."""
        ...

    async def list_saml_providers_naming(self, text: str) -> tuple[SamlProvider, ...]:
        """Of all accounts, some whose metadata holds this text."""
        ...

    async def find_oidc_provider(
        self, account: AccountId, host_and_path: str
    ) -> OidcProvider | None: ...
    async def list_oidc_providers(
        self, account: AccountId
    ) -> tuple[OidcProvider, ...]: ...

    async def list_inline_policies_of(
        self, account: AccountId, owner_ids: Collection[str]
    ) -> Mapping[str, tuple[InlinePolicy, ...]]:
        """Inline policies of several owners; those without any are left out."""
        ...

    async def list_attachments_of(
        self, account: AccountId, owner_ids: Collection[str]
    ) -> Mapping[str, tuple[str, ...]]:
        """ARNs attached to several owners; those without any are left out."""
        ...

    async def find_owners(
        self, account: AccountId, unique_ids: Collection[str]
    ) -> tuple[User | Role | Group, ...]:
        """The users, roles and groups with these unique ids, in no order."""
        ...

    async def list_account_keys(self, account: AccountId) -> tuple[AccessKey, ...]:
        """The access keys of all users and of the root, oldest first."""
        ...

    async def list_login_profiles(
        self, account: AccountId
    ) -> tuple[LoginProfile, ...]: ...

    async def list_uses(
        self, account: AccountId, subjects: Collection[str] | None = None
    ) -> tuple[Use, ...]:
        """Last uses of these subjects (of all for None), the latest first."""
        ...

    async def find_report(
        self, account: AccountId, report_id: str
    ) -> Report | None: ...

    async def count(self, account: AccountId, kind: str) -> int:
        """How many there are, for quotas.

        ``kind`` is ``users``, ``groups``, ``roles``, ``policies``, ``access_keys``,
        ``login_profiles``, ``saml_providers``, ``oidc_providers``, ``mfa_devices``,
        ``server_certificates`` or ``instance_profiles``.
        """
        ...

    async def revocations(self, account: AccountId) -> Revocations:
        """Everything of the account that is revoked and not yet past its expiry."""
        ...


class DirectoryChange(DirectoryReader, CredentialChange, Protocol):
    """One open transaction on one account. Reads see its own writes.

    ``insert_…`` raises ``AlreadyExistsError`` for a taken name; ``update_…`` writes
    the whole entity by its unique id; ``delete_…`` removes the entity's own row and
    what only exists within it (tags, versions), never what would be a delete
    conflict: that is checked above.
    """

    async def insert_account(self, account: Account) -> None: ...
    async def update_account(self, account: Account) -> None: ...
    async def delete_account(self, account_id: AccountId) -> None:
        """Removes the account and everything it owns; ledger entries stay."""
        ...

    async def insert_user(self, user: User) -> None: ...
    async def update_user(self, user: User) -> None: ...
    async def delete_user(self, user: User) -> None: ...

    async def insert_group(self, group: Group) -> None: ...
    async def update_group(self, group: Group) -> None: ...
    async def delete_group(self, group: Group) -> None: ...
    async def add_member(self, account: AccountId, group_id: str, user_id: str) -> bool:
        """Whether the user was not in the group before."""
        ...

    async def remove_member(
        self, account: AccountId, group_id: str, user_id: str
    ) -> bool:
        """Whether the user was in the group."""
        ...

    async def insert_login_profile(self, profile: LoginProfile) -> None: ...
    async def update_login_profile(self, profile: LoginProfile) -> None: ...
    async def delete_login_profile(self, profile: LoginProfile) -> None: ...

    async def insert_access_key(self, key: AccessKey) -> None:
        """The id is never used again, not even after the key's deletion."""
        ...

    async def update_access_key(self, key: AccessKey) -> None: ...
    async def delete_access_key(self, key: AccessKey) -> None: ...

    async def insert_role(self, role: Role) -> None: ...
    async def update_role(self, role: Role) -> None: ...
    async def delete_role(self, role: Role) -> None: ...

    async def put_inline_policy(self, policy: InlinePolicy) -> None: ...
    async def delete_inline_policy(
        self, account: AccountId, owner_id: str, name: str
    ) -> bool:
        """Whether there was one."""
        ...

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

    async def insert_saml_provider(self, provider: SamlProvider) -> None: ...
    async def update_saml_provider(self, provider: SamlProvider) -> None: ...
    async def delete_saml_provider(self, provider: SamlProvider) -> None:
        """Delete it, with a mark that ends what it vouched for."""
        ...

    async def insert_oidc_provider(self, provider: OidcProvider) -> None: ...
    async def update_oidc_provider(self, provider: OidcProvider) -> None: ...
    async def delete_oidc_provider(self, provider: OidcProvider) -> None:
        """Delete it, with a mark that ends what it vouched for."""
        ...

    async def put_report(self, report: Report) -> None:
        """In place of a former one of that id; reports of old days are removed."""
        ...

    async def revoke(self, revocation: Revocation) -> None:
        """Durable; never undone by a cache's loss."""
        ...

    async def record(self, entry: AuditRecord) -> None:
        """Write the call's audit record into this very transaction."""
        ...


class Directory(DirectoryReader, MfaStateWriter, PasskeyUseWriter, Protocol):
    """The directory of all accounts."""

    def change(
        self, account: AccountId
    ) -> AbstractAsyncContextManager[DirectoryChange]:
        """Open the one transaction of a changing call.

        Commits when the block ends, after raising the account's generation; rolls
        back when it raises. Changes of one account run one after the other. Those that
        wait for each other may be committed together: none is told before.

        Raises:
            ConflictError: the transaction collided and was rolled back.
            StoreUnavailableError: the database is away; nothing was written.
        """
        ...

    def on_commit(
        self, observer: Callable[[AccountId, int, AbstractSet[str]], None]
    ) -> None:
        """Have each change of this process told, once it is committed.

        The observer gets the account, its generation, and the names of the tables
        that the change wrote.
        """
        ...

    async def close(self) -> None: ...
