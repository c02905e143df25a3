"""The identity providers on an account's sign-in page.

Only those that the operator enables: with ``SignIn`` for a SAML or LDAP provider,
``ClientId`` for an OpenID Connect provider. Nothing else on the page reveals whether the account
exists.
"""

import contextlib
from typing import Any

import structlog
from msgspec import Struct

from broker.console.context import SIGN_IN, ConsoleContext
from broker.errors import InvalidIdentityToken
from broker.kinds.organisations import Organisation
from broker.model.account import AccountId, parse_account_id
from broker.model.arn import Arn
from broker.model.entities import OidcProvider, SamlProvider
from broker.proofs.provider_options import Provider, ProviderOptions, find_provider
from broker.stores.directory.accounts import find_account_by_alias
from broker.stores.directory.kinds import LDAP_PROVIDER, OIDC_PROVIDER, SAML_PROVIDER
from broker.stores.directory.stored import Kind

_NUMBER_LENGTH = 12
_KINDS: tuple[Kind[Any], ...] = (LDAP_PROVIDER, SAML_PROVIDER, OIDC_PROVIDER)
"""In the order of the page."""

_log = structlog.get_logger(__name__)


class SignInOption(Struct, frozen=True):
    """A provider on its account's sign-in page: its id in the URL, its link's text."""

    account: AccountId
    id: str
    label: str

    @classmethod
    def of(cls, provider: Provider) -> "SignInOption":
        """A provider's.

        Raises:
            ValueError: its options cannot be read.
        """
        own = (
            provider.host_and_path
            if isinstance(provider, OidcProvider)
            else provider.name
        )
        label = ProviderOptions.parse(provider.options).display_name or own
        return cls(provider.account, provider.unique_id, label)

    @property
    def url(self) -> str:
        """The path that starts a sign-in with it."""
        return f"{SIGN_IN}/{self.account}/with/{self.id}"


class SignInOptions:
    """Looks up sign-in options."""

    def __init__(self, context: ConsoleContext) -> None:
        self._directory = context.deps.directory
        self._fresh = context.deps.fresh
        self._federated = context.deps.federated

    async def of_account(self, account: str) -> tuple[SignInOption, ...]:
        """An account's options, by its id or alias; empty for an unknown account."""
        number = await self.find_number(account)
        if number is None:
            return ()

        async def load() -> tuple[SignInOption, ...]:
            return tuple(
                [
                    SignInOption.of(provider)
                    for kind in _KINDS
                    for provider in await self._directory.all_of(kind, number)
                    if is_offered(provider)
                ]
            )

        # Strangers ask for it, as often as they like.
        return await self._fresh.memo.get(number, "sign-in-options", load)

    async def of_organisation(
        self, organisation: Organisation
    ) -> tuple[SignInOption, ...]:
        """An organisation's options: one for each identity provider.

        Where several members have registered the same one, the first in the file
        begins the sign-in.
        """
        results: dict[tuple[str, ...], SignInOption] = {}
        for account, arn in organisation.saml_providers:
            saml = await self._fresh.named(SAML_PROVIDER, account, _name_of(arn))
            if saml and is_offered(saml):
                entities = await self._entities_of(saml)
                if entities:
                    results.setdefault(("saml", *entities), SignInOption.of(saml))
        for account, arn in organisation.oidc_providers:
            oidc = await self._fresh.named(OIDC_PROVIDER, account, _name_of(arn))
            if oidc and is_offered(oidc):
                client_id = ProviderOptions.parse(oidc.options).client_id
                results.setdefault(("oidc", oidc.url, client_id), SignInOption.of(oidc))
        for account, arn in organisation.ldap_providers:
            ldap = await self._fresh.named(LDAP_PROVIDER, account, _name_of(arn))
            if ldap and is_offered(ldap):
                results.setdefault(("ldap", ldap.directory), SignInOption.of(ldap))
        return tuple(results.values())

    async def _entities_of(self, provider: SamlProvider) -> list[str]:
        """The entity ids of a provider; none if its metadata cannot be used."""
        try:
            metadata = await self._federated.metadata_of(provider)
        except InvalidIdentityToken as error:
            _log_unusable(provider, error.detail)
            return []
        return sorted(descriptor.entity_id for descriptor in metadata.descriptors)

    async def start_path(self, provider_arn: str) -> str:
        """The path that starts a sign-in with a provider, or else with its account.

        Reads the worker's copy of the directory, which is at most a second old. The
        provider need not exist.

        Raises:
            ValueError: The text is not the ARN of a provider in an account.
        """
        arn = Arn.parse(provider_arn)
        account = parse_account_id(arn.account)
        provider = await find_provider(self._fresh, account, provider_arn)
        if provider is None or not is_offered(provider):
            return f"{SIGN_IN}/{account}"
        return SignInOption.of(provider).url

    async def label_of(self, provider_arn: str) -> str:
        """What people call a provider: its display name, or else its own name."""
        arn = Arn.parse(provider_arn)
        account = parse_account_id(arn.account)
        provider = await find_provider(self._fresh, account, provider_arn)
        with contextlib.suppress(ValueError):  # options that cannot be read
            if provider is not None:
                return SignInOption.of(provider).label
        return arn.resource.partition("/")[2]

    async def find(self, account: str, provider_id: str) -> Provider | None:
        """One that an account offers, by its id; without its metadata."""
        number = await self.find_number(account)
        if number is None:
            return None
        for kind in _KINDS:
            key = {"account": number, kind.key: provider_id}
            provider: Provider | None
            provider = await self._directory.find_listed(kind.stored, **key)
            if provider is not None:
                return provider if is_offered(provider) else None
        return None

    async def find_number(self, account: str) -> AccountId | None:
        """An account's number, by its id or alias; a number need not exist."""
        if len(account) == _NUMBER_LENGTH and account.isascii() and account.isdigit():
            return parse_account_id(account)
        if "\0" in account:  # PostgreSQL rejects NUL in text
            return None
        alias = await find_account_by_alias(self._directory, account)
        return alias.account_id if alias else None


def is_offered(provider: Provider) -> bool:
    """Whether a sign-in can begin with it; one that cannot be read stops no other."""
    try:
        return ProviderOptions.parse(provider.options).begins_here
    except ValueError as error:
        _log_unusable(provider, str(error))
        return False


def _log_unusable(provider: Provider, why: str) -> None:
    _log.warning("a provider cannot be used", provider=provider.arn, reason=why)


def _name_of(provider_arn: str) -> str:
    return Arn.parse(provider_arn).resource.partition("/")[2]
