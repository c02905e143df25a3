"""The directory as the hot path reads it: remembered, at most a second old.

Every look-up costs no query while nothing that it depends on changes.
"""

from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from broker.model.account import Account, AccountId, find_account_of_key_id
from broker.model.entities import (
    AccessKey,
    InlinePolicy,
    LdapProvider,
    LoginProfile,
    OidcProvider,
    Role,
    SamlProvider,
    User,
)
from broker.model.machines import Instance
from broker.model.provisioned import Membership, ProvisionedUser, ScimToken
from broker.model.registered import RegisteredService, ServiceToken
from broker.model.revocation import Revocations
from broker.model.upstream import Upstream
from broker.stores.directory import kinds, readings
from broker.stores.directory.entity_tables import Entity, name_key
from broker.stores.directory.kind import WHOLE, Key, Reading, Remembered

Value = TypeVar("Value")


class Memo(Protocol):
    """What ``Freshness`` gives; see there."""

    async def read(
        self, account: AccountId, reading: Reading[Value], key: Key
    ) -> Value:
        """What a reading finds under a key."""
        ...

    async def get(
        self,
        account: AccountId,
        key: Hashable,
        compute: Callable[[], Awaitable[Value]],
    ) -> Value:
        """What is computed of readings of the account, until any of it changes."""
        ...

    async def keep(
        self,
        account: AccountId,
        key: Hashable,
        compute: Callable[[], Awaitable[Value]],
    ) -> Value:
        """What is computed of nothing but the key."""
        ...


class FreshDirectory:
    """Look-ups of single entities, as ``Memo.read`` remembers them."""

    def __init__(self, memo: Memo) -> None:
        self.memo = memo
        self.read = memo.read

    def find(
        self, kind: Remembered[Entity], account: AccountId, key: str = WHOLE
    ) -> Coroutine[Any, Any, Entity | None]:
        """One by its id; the only one of its kind without."""
        return self.read(account, kind.by_key, key)

    def named(
        self, kind: Remembered[Entity], account: AccountId, name: str
    ) -> Coroutine[Any, Any, Entity | None]:
        """One by its name."""
        return self.read(account, kind.by_name, kind.named(name))

    def all_of(
        self, kind: Remembered[Entity], account: AccountId
    ) -> Coroutine[Any, Any, tuple[Entity, ...]]:
        """All of an account."""
        return self.read(account, kind.whole, WHOLE)

    def count(
        self, kind: Remembered[Any], account: AccountId
    ) -> Coroutine[Any, Any, int]:
        """How many an account has."""
        return self.read(account, kind.number, WHOLE)

    def find_account(self, account: AccountId) -> Coroutine[Any, Any, Account | None]:
        """The account itself."""
        return self.read(account, kinds.ACCOUNT.by_key, WHOLE)

    def find_role(
        self, account: AccountId, name: str
    ) -> Coroutine[Any, Any, Role | None]:
        """A role by name, without regard to case."""
        return self.read(account, kinds.ROLE.by_name, name_key(name))

    def find_role_by_id(
        self, account: AccountId, role_id: str
    ) -> Coroutine[Any, Any, Role | None]:
        """A role by unique id."""
        return self.read(account, kinds.ROLE.by_key, role_id)

    def find_user(
        self, account: AccountId, name: str
    ) -> Coroutine[Any, Any, User | None]:
        """A user by name, without regard to case."""
        return self.read(account, kinds.USER.by_name, name_key(name))

    def find_user_by_id(
        self, account: AccountId, user_id: str
    ) -> Coroutine[Any, Any, User | None]:
        """A user by unique id."""
        return self.read(account, kinds.USER.by_key, user_id)

    def find_login_profile(
        self, account: AccountId, user_id: str
    ) -> Coroutine[Any, Any, LoginProfile | None]:
        """The password of a user, or of the root (the account's number)."""
        return self.read(account, kinds.LOGIN_PROFILE.by_key, user_id)

    async def find_access_key(self, access_key_id: str) -> AccessKey | None:
        """A long-term key; None for ids that carry no account."""
        account = find_account_of_key_id(access_key_id)
        if account is None:
            return None
        return await self.read(account, kinds.ACCESS_KEY.by_key, access_key_id)

    def policies_of(
        self, account: AccountId, owner_id: str
    ) -> Coroutine[Any, Any, tuple[tuple[InlinePolicy, ...], tuple[str, ...]]]:
        """A user's, role's or group's inline policies, and the ARNs of attached ones."""
        return self.read(account, readings.POLICIES_OF, owner_id)

    def group_ids(
        self, account: AccountId, user_id: str
    ) -> Coroutine[Any, Any, tuple[str, ...]]:
        """The ids of the groups that a user is in."""
        return self.read(account, readings.GROUP_IDS, user_id)

    def policy_text(
        self, account: AccountId, name: str
    ) -> Coroutine[Any, Any, str | None]:
        """The version in force of a managed policy, found without regard to case."""
        return self.read(account, readings.POLICY_TEXT, name_key(name))

    def find_saml_provider(
        self, account: AccountId, name: str
    ) -> Coroutine[Any, Any, SamlProvider | None]:
        """A SAML provider by name."""
        return self.read(account, kinds.SAML_PROVIDER.by_name, name)

    def find_oidc_provider(
        self, account: AccountId, host_and_path: str
    ) -> Coroutine[Any, Any, OidcProvider | None]:
        """An OpenID Connect provider by its issuer without the scheme."""
        return self.read(account, kinds.OIDC_PROVIDER.by_name, host_and_path)

    def find_ldap_provider(
        self, account: AccountId, name: str
    ) -> Coroutine[Any, Any, LdapProvider | None]:
        """An LDAP provider by name."""
        return self.read(account, kinds.LDAP_PROVIDER.by_name, name)

    def revocations(self, account: AccountId) -> Coroutine[Any, Any, Revocations]:
        """What is revoked in the account."""
        return self.read(account, readings.REVOKED, WHOLE)

    def list_upstreams(
        self, account: AccountId
    ) -> Coroutine[Any, Any, tuple[Upstream, ...]]:
        """The account's upstreams, by name."""
        return self.read(account, kinds.UPSTREAM.whole, WHOLE)

    def find_service(
        self, account: AccountId, name: str
    ) -> Coroutine[Any, Any, RegisteredService | None]:
        """A registered service by name."""
        return self.read(account, kinds.SERVICE.by_name, name)

    def service_tokens(
        self, account: AccountId
    ) -> Coroutine[Any, Any, Mapping[bytes, tuple[ServiceToken, RegisteredService]]]:
        """The tokens of the account's services, by their digests.

        All at once: a stranger's guesses cost no query.
        """
        return self.read(account, readings.TOKENS_OF_SERVICES, WHOLE)

    def find_instance(
        self, account: AccountId, instance_id: str
    ) -> Coroutine[Any, Any, Instance | None]:
        """A registered machine."""
        return self.read(account, kinds.INSTANCE.by_key, instance_id)

    def count_instances(self, account: AccountId) -> Coroutine[Any, Any, int]:
        """How many machines the account has."""
        return self.read(account, kinds.INSTANCE.number, WHOLE)

    def scim_tokens(
        self, account: AccountId
    ) -> Coroutine[Any, Any, Mapping[bytes, ScimToken]]:
        """The tokens of the directories of the account's providers, by their digests.

        All at once: a stranger's guesses cost no query.
        """
        return self.read(account, readings.TOKENS_OF_DIRECTORIES, WHOLE)

    async def provisioned_person(
        self, account: AccountId, provider_id: str, attribute: str, value: str
    ) -> tuple[Sequence[ProvisionedUser], Sequence[Membership]]:
        """The people in a provider's directory with a value, and the groups of the first.

        Those who were deleted come last, and have none.
        """
        exact = attribute == "externalId"
        key = (provider_id, value if exact else name_key(value))
        people = await self.read(account, readings.PEOPLE[attribute], key)
        if not people or people[0].departed_at is not None:
            return people, ()
        memberships = await self.read(account, readings.MEMBERSHIPS, people[0].user_id)
        return people, memberships

    def resource_policy_arns(
        self, account: AccountId
    ) -> Coroutine[Any, Any, frozenset[str]]:
        """The resources of the account that have a policy."""
        return self.read(account, readings.RESOURCE_POLICY_ARNS, WHOLE)
