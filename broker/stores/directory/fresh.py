"""The directory as the hot path reads it: memoised, at most a second old.

Every read goes through ``Freshness``, which knows when an account changed. Each
kind of entity has one memo key, so that all readers share what one of them loaded.
"""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Protocol, TypeVar

from broker.model.account import Account, AccountId, find_account_of_key_id
from broker.model.entities import (
    AccessKey,
    LdapProvider,
    LoginProfile,
    OidcProvider,
    Role,
    SamlProvider,
    User,
)
from broker.model.machines import Instance, InstanceProfile
from broker.model.provisioned import Membership, ProvisionedUser, ScimToken
from broker.model.registered import RegisteredService, ServiceToken
from broker.model.revocation import Revocations
from broker.model.roles_anywhere import (
    CertificateList,
    CertificateProfile,
    TrustAnchor,
)
from broker.model.upstream import Upstream
from broker.stores.directory.port import DirectoryReader
from broker.stores.schema import (
    ACCESS_KEYS,
    ACCOUNTS,
    CERTIFICATE_LISTS,
    CERTIFICATE_PROFILES,
    INSTANCE_PROFILES,
    INSTANCES,
    LDAP_PROVIDERS,
    LOGIN_PROFILES,
    OIDC_PROVIDERS,
    RESOURCE_POLICIES,
    REVOCATIONS,
    ROLES,
    SAML_PROVIDERS,
    SCIM_TOKENS,
    SERVICES,
    TRUST_ANCHORS,
    UPSTREAMS,
    USERS,
)

Value = TypeVar("Value")

GROUPS_OF_PERSON_MAX = 1000


class Memo(Protocol):
    """What ``Freshness`` gives."""

    async def get(
        self,
        account: AccountId,
        key: Hashable,
        load: Callable[[], Awaitable[Value]],
        *,
        of: str | None = None,
    ) -> Value:
        """The memoised value of an account, loaded when it is not fresh.

        ``of`` names the one table that it is read from; None stands for any.
        """
        ...


class FreshDirectory:
    """Look-ups of single entities that cost no query while nothing changed."""

    def __init__(self, directory: DirectoryReader, memo: Memo) -> None:
        self._directory = directory
        self.memo = memo

    async def find_account(self, account: AccountId) -> Account | None:
        """The account itself."""
        return await self.memo.get(
            account,
            "account",
            lambda: self._directory.find_account(account),
            of=ACCOUNTS.name,
        )

    async def find_role(self, account: AccountId, name: str) -> Role | None:
        """A role by name, without regard to case."""
        return await self.memo.get(
            account,
            ("role", name.lower()),
            lambda: self._directory.find_role(account, name),
            of=ROLES.name,
        )

    async def find_role_by_id(self, account: AccountId, role_id: str) -> Role | None:
        """A role by unique id."""
        return await self.memo.get(
            account,
            ("role-id", role_id),
            lambda: self._directory.find_role_by_id(account, role_id),
            of=ROLES.name,
        )

    async def find_user(self, account: AccountId, name: str) -> User | None:
        """A user by name, without regard to case."""
        return await self.memo.get(
            account,
            ("user", name.lower()),
            lambda: self._directory.find_user(account, name),
            of=USERS.name,
        )

    async def find_user_by_id(self, account: AccountId, user_id: str) -> User | None:
        """A user by unique id."""
        return await self.memo.get(
            account,
            ("user-id", user_id),
            lambda: self._directory.find_user_by_id(account, user_id),
            of=USERS.name,
        )

    async def find_login_profile(
        self, account: AccountId, user_id: str
    ) -> LoginProfile | None:
        """The password of a user, or of the root (the account's number)."""
        return await self.memo.get(
            account,
            ("login-profile", user_id),
            lambda: self._directory.find_login_profile(account, user_id),
            of=LOGIN_PROFILES.name,
        )

    async def find_access_key(self, access_key_id: str) -> AccessKey | None:
        """A long-term key; None for ids that carry no account."""
        account = find_account_of_key_id(access_key_id)
        if account is None:
            return None
        return await self.memo.get(
            account,
            ("access-key", access_key_id),
            lambda: self._directory.find_access_key(access_key_id),
            of=ACCESS_KEYS.name,
        )

    async def find_saml_provider(
        self, account: AccountId, name: str
    ) -> SamlProvider | None:
        """A SAML provider by name."""
        return await self.memo.get(
            account,
            ("saml-provider", name),
            lambda: self._directory.find_saml_provider(account, name),
            of=SAML_PROVIDERS.name,
        )

    async def find_oidc_provider(
        self, account: AccountId, host_and_path: str
    ) -> OidcProvider | None:
        """An OpenID Connect provider by its issuer without the scheme."""
        return await self.memo.get(
            account,
            ("oidc-provider", host_and_path),
            lambda: self._directory.find_oidc_provider(account, host_and_path),
            of=OIDC_PROVIDERS.name,
        )

    async def find_ldap_provider(
        self, account: AccountId, name: str
    ) -> LdapProvider | None:
        """An LDAP provider by name."""
        return await self.memo.get(
            account,
            ("ldap-provider", name),
            lambda: self._directory.find_ldap_provider(account, name),
            of=LDAP_PROVIDERS.name,
        )

    async def revocations(self, account: AccountId) -> Revocations:
        """What is revoked in the account."""
        return await self.memo.get(
            account,
            "revocations",
            lambda: self._directory.revocations(account),
            of=REVOCATIONS.name,
        )

    async def find_trust_anchor(
        self, account: AccountId, anchor_id: str
    ) -> TrustAnchor | None:
        """A trust anchor by id."""
        return await self.memo.get(
            account,
            ("trust-anchor", anchor_id),
            lambda: self._directory.find_trust_anchor(account, anchor_id),
            of=TRUST_ANCHORS.name,
        )

    async def find_certificate_profile(
        self, account: AccountId, profile_id: str
    ) -> CertificateProfile | None:
        """A profile of IAM Roles Anywhere by id."""
        return await self.memo.get(
            account,
            ("certificate-profile", profile_id),
            lambda: self._directory.find_certificate_profile(account, profile_id),
            of=CERTIFICATE_PROFILES.name,
        )

    async def list_lists_of_anchor(
        self, account: AccountId, anchor_id: str
    ) -> tuple[CertificateList, ...]:
        """The revocation lists of a trust anchor."""
        return await self.memo.get(
            account,
            ("certificate-lists", anchor_id),
            lambda: self._directory.list_lists_of_anchor(account, anchor_id),
            of=CERTIFICATE_LISTS.name,
        )

    async def list_upstreams(self, account: AccountId) -> tuple[Upstream, ...]:
        """The account's upstreams, by name."""
        return await self.memo.get(
            account,
            "upstreams",
            lambda: self._directory.list_upstreams(account),
            of=UPSTREAMS.name,
        )

    async def find_service(
        self, account: AccountId, name: str
    ) -> RegisteredService | None:
        """A registered service by name."""
        return await self.memo.get(
            account,
            ("service", name),
            lambda: self._directory.find_service(account, name),
            of=SERVICES.name,
        )

    async def service_tokens(
        self, account: AccountId
    ) -> Mapping[bytes, tuple[ServiceToken, RegisteredService]]:
        """The tokens of the account's services, by their digests.

        All at once: a stranger's guesses cost no query.
        """

        async def load() -> Mapping[bytes, tuple[ServiceToken, RegisteredService]]:
            services = await self._directory.list_services(account)
            by_id = {service.service_id: service for service in services}
            tokens = await self._directory.list_service_tokens(account)
            return {
                token.digest: (token, by_id[token.service_id])
                for token in tokens
                if token.service_id in by_id
            }

        return await self.memo.get(account, "service-tokens", load)

    async def find_instance(
        self, account: AccountId, instance_id: str
    ) -> Instance | None:
        """A registered machine."""
        return await self.memo.get(
            account,
            ("instance", instance_id),
            lambda: self._directory.find_instance(account, instance_id),
            of=INSTANCES.name,
        )

    async def count_instances(self, account: AccountId) -> int:
        """How many machines the account has."""
        return await self.memo.get(
            account,
            "instance-count",
            lambda: self._directory.count(account, "instances"),
            of=INSTANCES.name,
        )

    async def find_instance_profile_by_id(
        self, account: AccountId, profile_id: str
    ) -> InstanceProfile | None:
        """An instance profile by unique id."""
        return await self.memo.get(
            account,
            ("instance-profile-id", profile_id),
            lambda: self._directory.find_instance_profile_by_id(account, profile_id),
            of=INSTANCE_PROFILES.name,
        )

    async def scim_tokens(self, account: AccountId) -> Mapping[bytes, ScimToken]:
        """The tokens of the directories of the account's providers, by their digests.

        All at once: a stranger's guesses cost no query.
        """

        async def load() -> Mapping[bytes, ScimToken]:
            tokens = await self._directory.list_scim_tokens(account)
            return {token.digest: token for token in tokens}

        return await self.memo.get(account, "scim-tokens", load, of=SCIM_TOKENS.name)

    async def provisioned_person(
        self, account: AccountId, provider_id: str, attribute: str, value: str
    ) -> tuple[Sequence[ProvisionedUser], Sequence[Membership]]:
        """The people in a provider's directory with a value, and the groups of the first.

        Those who were deleted come last, and have none.
        """

        async def load() -> tuple[Sequence[ProvisionedUser], Sequence[Membership]]:
            people = await self._directory.list_provisioned_people(
                account, provider_id, attribute, value
            )
            first = [one.user_id for one in people[:1] if one.departed_at is None]
            if not first:
                return people, ()
            return people, await self._directory.list_provisioned_memberships(
                account, user_ids=first, limit=GROUPS_OF_PERSON_MAX
            )

        key = ("provisioned-person", provider_id, attribute, value)
        return await self.memo.get(account, key, load)

    async def resource_policy_arns(self, account: AccountId) -> frozenset[str]:
        """The resources of the account that have a policy."""
        return await self.memo.get(
            account,
            "resource-policy-arns",
            lambda: self._directory.resource_policy_arns(account),
            of=RESOURCE_POLICIES.name,
        )
