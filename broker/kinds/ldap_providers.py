"""LDAP providers: directories of the operator's that an account trusts.

AWS has no such provider. Only ``broker apply`` makes them, so every one is the
operator's decision.
"""

import re
from collections.abc import Mapping
from typing import Any

from broker.errors import EntityAlreadyExists, InvalidInput
from broker.kinds.kind import Rules, Work
from broker.kinds.limits import Quota
from broker.model.entities import LdapProvider
from broker.policy import CONTEXT_KEYS
from broker.policy.catalogue import find_service
from broker.runtime.entropy import new_provider_id
from broker.stores.directory.kinds import LDAP_PROVIDER, OIDC_PROVIDER

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


async def _make(given: Mapping[str, Any], work: Work) -> LdapProvider:
    provider = LdapProvider(
        account=work.account,
        unique_id=new_provider_id("LDAPP"),
        name=checked_name(given["Name"]),
        directory=given["Directory"],
        created_at=work.now,
    )
    at = (work.account, provider.name)
    # An issuer without a dot may have the name.
    if await work.change.named(LDAP_PROVIDER, *at) or await work.change.named(
        OIDC_PROVIDER, *at
    ):
        raise EntityAlreadyExists(LDAP_PROVIDERS.taken.format(provider))
    return provider


def _view(found: LdapProvider) -> dict[str, Any]:
    return {
        "Arn": found.arn,
        "Name": found.name,
        "ProviderId": found.unique_id,
        "Directory": found.directory,
        "CreateDate": found.created_at,
    }


LDAP_PROVIDERS = Rules(
    kind=LDAP_PROVIDER,
    quota=Quota.LDAP_PROVIDERS,
    make=_make,
    view=_view,
    taken="Provider with name {0.name} already exists.",
)
