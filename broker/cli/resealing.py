"""Listing and resealing the sealed values in the directory.

Values are resealed in batches, so that other changes of a large account need not wait
long; each value is reread inside the transaction.
"""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from broker.cli.resealing_credentials import (
    RESEAL_CREDENTIALS,
    resealed,
    sealed_credentials,
)
from broker.identities.outbound import find_outbound, reseal, with_outbound
from broker.identities.saml_providers import SAML_KEY_SEAL
from broker.model.account import AccountId
from broker.model.entities import (
    ACCESS_KEY_SEAL,
    CLIENT_SECRET_SEAL,
    PASSWORD_SEAL,
    SamlProvider,
)
from broker.sessions.vault import SealBrokenError, Vault, key_number
from broker.stores.directory.port import Directory, DirectoryChange, DirectoryReader
from broker.stores.directory.port.access_keys import AccessKeyChange
from broker.stores.directory.port.accounts import AccountChange
from broker.stores.directory.port.providers import (
    OidcProviderChange,
    ProviderReader,
    SamlProviderChange,
)
from broker.stores.directory.port.users import LoginProfileChange

_BATCH = 100


@dataclass(frozen=True, slots=True)
class SealedValue:
    """The location of a sealed value, and the number of its storage key.

    ``entity`` identifies the entity within its kind: an access key's id, a SAML
    provider's name, a user's id, a device's serial number.
    """

    account: AccountId
    kind: str
    entity: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind} {self.entity} of account {self.account}"


@dataclass(slots=True)
class ResealingResult:
    """How many entities were changed, and the values that could not be opened."""

    changed: int = 0
    broken: list[SealedValue] = field(default_factory=list)


ACCESS_KEY = "access key"
SAML_PROVIDER = "decryption key of SAML provider"
CLIENT_SECRET = "client secret of OIDC provider"  # noqa: S105  # a kind's name
_SECRET_OPTION = "ClientSecret"  # noqa: S105  # an option's name
ISSUER_KEY = "issuer's signing key"
PASSWORD = "password of user"  # noqa: S105  # a kind's name


async def sealed_values(directory: DirectoryReader) -> AsyncIterator[SealedValue]:
    """List every sealed value of all accounts."""
    for account in await directory.list_accounts():
        number = account.account_id
        for key in await directory.list_account_keys(number):
            yield SealedValue(
                number, ACCESS_KEY, key.access_key_id, key_number(key.sealed_secret)
            )
        for profile in await directory.list_login_profiles(number):
            yield SealedValue(
                number, PASSWORD, profile.user_id, key_number(profile.sealed)
            )
        async for value in _of_providers(directory, number):
            yield value
        async for kind, entity, sealed in sealed_credentials(directory, number):
            yield SealedValue(number, kind, entity, key_number(sealed))
        outbound = find_outbound(account)
        for signing in () if outbound is None else outbound.keys:
            yield SealedValue(
                number, ISSUER_KEY, signing.kid, key_number(signing.sealed)
            )


async def _of_providers(
    directory: ProviderReader, number: AccountId
) -> AsyncIterator[SealedValue]:
    for provider in await directory.list_saml_providers(number):
        for private in provider.private_keys:
            yield SealedValue(
                number,
                SAML_PROVIDER,
                provider.name,
                key_number(private.sealed_pem),
            )
    for oidc in await directory.list_oidc_providers(number):
        secret = oidc.options.get(_SECRET_OPTION)
        if isinstance(secret, str):
            yield SealedValue(
                number,
                CLIENT_SECRET,
                oidc.host_and_path,
                key_number(base64.b64decode(secret)),
            )


async def reseal_all(
    directory: Directory, vault: Vault, sealing_number: int
) -> ResealingResult:
    """Reseal every value that can be opened with the current sealing key.

    ``sealing_number`` is that key's number.
    """
    result = ResealingResult()
    waiting: list[SealedValue] = []
    async for value in sealed_values(directory):
        if value.number == sealing_number:
            continue
        if waiting and waiting[0].account != value.account:
            await _reseal(directory, vault, waiting, result)
            waiting = []
        waiting.append(value)
        if len(waiting) >= _BATCH:
            await _reseal(directory, vault, waiting, result)
            waiting = []
    if waiting:
        await _reseal(directory, vault, waiting, result)
    return result


async def _reseal(
    directory: Directory,
    vault: Vault,
    values: list[SealedValue],
    result: ResealingResult,
) -> None:
    changed = 0
    async with directory.change(values[0].account) as change:
        for value in dict.fromkeys(values):
            try:
                if value.kind in RESEAL_CREDENTIALS:
                    reseal_credential = RESEAL_CREDENTIALS[value.kind]
                    changed += await reseal_credential(
                        change, vault, value.account, value.entity
                    )
                else:
                    changed += await _RESEAL[value.kind](change, vault, value)
            except SealBrokenError:
                result.broken.append(value)
    result.changed += changed


async def _reseal_access_key(
    change: AccessKeyChange, vault: Vault, value: SealedValue
) -> int:
    key = await change.find_access_key(value.entity)
    if key is None or not vault.needs_resealing(key.sealed_secret):
        return 0
    sealed = resealed(
        vault, ACCESS_KEY_SEAL, key.account, key.access_key_id, key.sealed_secret
    )
    await change.update_access_key(replace(key, sealed_secret=sealed))
    return 1


async def _reseal_provider(
    change: SamlProviderChange, vault: Vault, value: SealedValue
) -> int:
    provider = await change.find_saml_provider(value.account, value.entity)
    if provider is None:
        return 0
    updated = _with_resealed_keys(vault, provider)
    if updated == provider:
        return 0
    await change.update_saml_provider(updated)
    return 1


def _with_resealed_keys(vault: Vault, provider: SamlProvider) -> SamlProvider:
    keys = tuple(
        replace(
            key,
            sealed_pem=resealed(
                vault, SAML_KEY_SEAL, provider.account, key.key_id, key.sealed_pem
            ),
        )
        if vault.needs_resealing(key.sealed_pem)
        else key
        for key in provider.private_keys
    )
    return replace(provider, private_keys=keys)


async def _reseal_password(
    change: LoginProfileChange, vault: Vault, value: SealedValue
) -> int:
    profile = await change.find_login_profile(value.account, value.entity)
    if profile is None or not vault.needs_resealing(profile.sealed):
        return 0
    sealed = resealed(
        vault, PASSWORD_SEAL, profile.account, profile.user_id, profile.sealed
    )
    await change.update_login_profile(replace(profile, sealed=sealed))
    return 1


async def _reseal_issuer(
    change: AccountChange, vault: Vault, value: SealedValue
) -> int:
    account = await change.find_account(value.account)
    outbound = None if account is None else find_outbound(account)
    if account is None or outbound is None:
        return 0
    renewed = reseal(account.account_id, outbound, vault)
    if renewed == outbound:
        return 0
    await change.update_account(with_outbound(account, renewed))
    return 1


async def _reseal_client_secret(
    change: OidcProviderChange, vault: Vault, value: SealedValue
) -> int:
    provider = await change.find_oidc_provider(value.account, value.entity)
    secret = provider.options.get(_SECRET_OPTION) if provider else None
    if provider is None or not isinstance(secret, str):
        return 0
    sealed = resealed(
        vault,
        CLIENT_SECRET_SEAL,
        provider.account,
        provider.unique_id,
        base64.b64decode(secret),
    )
    text = base64.b64encode(sealed).decode("ascii")
    options = {**provider.options, _SECRET_OPTION: text}
    await change.update_oidc_provider(replace(provider, options=options))
    return 1


_RESEAL: Mapping[
    str, Callable[[DirectoryChange, Vault, SealedValue], Awaitable[int]]
] = {
    CLIENT_SECRET: _reseal_client_secret,
    ACCESS_KEY: _reseal_access_key,
    SAML_PROVIDER: _reseal_provider,
    ISSUER_KEY: _reseal_issuer,
    PASSWORD: _reseal_password,
}
