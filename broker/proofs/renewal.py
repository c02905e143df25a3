"""A person whom a provider vouched for, as the provider has them now."""

from datetime import datetime

from msgspec.structs import replace

from broker.model.federated import FederatedIdentity
from broker.model.principal import PrincipalType
from broker.proofs.ldap.prover import LdapProver
from broker.sessions.watched import WatchedSignIns


class Renewal:
    """Asks directories, and reads what other providers answered lately."""

    def __init__(self, ldap: LdapProver, watched: WatchedSignIns) -> None:
        self._ldap = ldap
        self._watched = watched

    async def renew(
        self, identity: FederatedIdentity, access_key_id: str, now: datetime
    ) -> FederatedIdentity:
        """The identity with its roles of now, or as it is where nobody can say.

        ``access_key_id`` is that of the sign-in if its provider is asked about it.

        Raises:
            ExpiredToken: the person is gone, or their account is closed.
            ServiceUnavailable: the directory, or what is kept, could not be asked.
        """
        if identity.principal.type is not PrincipalType.WEB_IDENTITY:
            return await self._ldap.renew(identity, now)
        roles = await self._watched.find_roles(access_key_id) if access_key_id else None
        if roles is None:
            return identity
        return replace(identity, group_roles=roles.get(identity.account, ()))
