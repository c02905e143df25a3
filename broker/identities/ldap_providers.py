"""LDAP providers: directories of the operator's that an account trusts.

AWS has no such provider. Only ``broker apply`` makes them, so every one is the
operator's decision.
"""

import re
from collections.abc import Mapping
from datetime import datetime

from broker.catalogue import find_service
from broker.entropy import new_provider_id
from broker.errors import EntityAlreadyExists, InvalidInput
from broker.identities.limits import Quota, require_within
from broker.model.account import Account
from broker.model.entities import LdapProvider
from broker.policy import CONTEXT_KEYS
from broker.stores.directory.kinds import LDAP_PROVIDER
from broker.stores.directory.port.providers import LdapProviderChange
from broker.stores.errors import AlreadyExistsError

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}", re.ASCII)
_KEY_PREFIXES = frozenset(name.partition(":")[0] for name in CONTEXT_KEYS)


def checked_name(name: str) -> str:
    """A name that condition keys can begin with.

    Not one that other keys begin with: ``aws:username`` must never be a directory's
    word. Issuers have a dot or a port, which no name has.

    Raises:
        InvalidInput: it is none.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r:.80} is not a name of an LDAP provider: lower-case letters, digits"
            " and hyphens, a letter first"
        )
    if name in _KEY_PREFIXES or find_service(name) is not None:
        raise InvalidInput(
            f"{name!r} cannot name an LDAP provider: condition keys of AWS begin so"
        )
    return name


async def create_ldap_provider(
    change: LdapProviderChange,
    account: Account,
    *,
    name: str,
    directory: str,
    options: Mapping[str, object],
    now: datetime,
) -> LdapProvider:
    """Register a provider; its unique id is new at every creation.

    Raises:
        InvalidInput: the name is none.
        EntityAlreadyExists: the name is taken, be it by an issuer without a dot.
        LimitExceeded: the account has too many.
    """
    number = account.account_id
    provider = LdapProvider(
        account=number,
        unique_id=new_provider_id("LDAPP"),
        name=checked_name(name),
        directory=directory,
        created_at=now,
        options=options,
    )
    taken = EntityAlreadyExists(f"Provider with name {name} already exists.")
    if (
        await change.find_ldap_provider(number, name) is not None
        or await change.find_oidc_provider(number, name) is not None
    ):
        raise taken
    count = await change.count(LDAP_PROVIDER, number)
    require_within(account, Quota.LDAP_PROVIDERS, count + 1)
    try:
        await change.insert_ldap_provider(provider)
    except AlreadyExistsError as error:
        raise taken from error
    return provider
