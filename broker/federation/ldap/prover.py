"""People of a directory as federated identities of an account's LDAP provider."""

from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime

from broker.errors import IdpCommunicationError, IdpRejectedClaim
from broker.federation.ldap.connection import LdapUnavailableError
from broker.federation.ldap.options import LdapProviderOptions
from broker.federation.ldap.people import (
    Attempt,
    LdapPeople,
    Person,
    PersonRefusedError,
)
from broker.federation.session_name import session_name
from broker.model.account import AccountId, parse_account_id
from broker.model.arn import Arn
from broker.model.entities import LdapProvider
from broker.model.federated import FederatedIdentity
from broker.model.principal import Principal, PrincipalType
from broker.model.secret import Secret
from broker.model.struct import struct
from broker.stores.directory.fresh import FreshDirectory
from broker.stores.ldap_sign_ins import LdapSignIn, LdapSignIns

WRONG = "Your authentication information is incorrect. Please try again."
"""What a person reads, whatever the reason."""

_UNREACHABLE = "The directory cannot be asked right now. Try again."
_NO_PROVIDER = "Specified provider doesn't exist."


@struct
class LdapProof:
    """What a directory says of a person, and the ARNs of the roles for their groups."""

    identity: FederatedIdentity
    roles: tuple[str, ...]


class LdapProver:
    """Proves people by password, and again later without."""

    def __init__(
        self,
        fresh: FreshDirectory,
        directories: Mapping[str, LdapPeople],
        sign_ins: LdapSignIns,
    ) -> None:
        self._fresh = fresh
        self._directories = directories
        self._sign_ins = sign_ins

    async def find_provider(self, account: AccountId, name: str) -> LdapProvider | None:
        """The account's provider, at most a second old."""
        return await self._fresh.find_ldap_provider(account, name)

    def people_of(self, provider: LdapProvider) -> LdapPeople:
        """The directory behind a provider.

        Raises:
            IdpCommunicationError: the operator's file no longer has it.
        """
        found = self._directories.get(provider.directory)
        if found is None:
            raise IdpCommunicationError(
                _UNREACHABLE,
                detail=f"BROKER_DIRECTORIES_FILE has no {provider.directory}",
            )
        return found

    async def prove(
        self,
        provider: LdapProvider,
        username: str,
        password: Secret,
        now: datetime,
        attempt: Attempt = nullcontext,
    ) -> LdapProof:
        """The person of a name and a password; ``attempt`` as `LdapPeople` has it.

        Raises:
            IdpRejectedClaim: they are wrong, or the account may not sign in; the
                detail says which.
            IdpCommunicationError: the directory could not be asked.
        """
        people = self.people_of(provider)
        try:
            person = await people.authenticate(username, password, now, attempt)
        except (PersonRefusedError, LdapUnavailableError) as error:
            raise wire_error(error) from error
        return await self._vouched(provider, person, now)

    async def renew(self, identity: FederatedIdentity, now: datetime) -> LdapProof:
        """The same person as the directory has them now.

        Raises:
            IdpRejectedClaim: they are gone, or their account is closed.
            IdpCommunicationError: the directory could not be asked.
        """
        return await self.renew_subject(
            identity.provider_arn, identity.provider_id, identity.subject, now
        )

    async def renew_subject(
        self, provider_arn: str, provider_id: str, subject: str, now: datetime
    ) -> LdapProof:
        """The same, by the provider's ARN and unique id, and the subject."""
        account = parse_account_id(Arn.parse(provider_arn).account)
        provider = await self.find_provider(account, provider_name(provider_arn))
        if provider is None or provider.unique_id != provider_id:
            raise IdpRejectedClaim(_NO_PROVIDER, detail=provider_arn)
        people = self.people_of(provider)
        try:
            person = await people.find_current(subject, now)
        except (PersonRefusedError, LdapUnavailableError) as error:
            raise wire_error(error) from error
        return await self._vouched(provider, person, now)

    async def _vouched(
        self, provider: LdapProvider, person: Person, now: datetime
    ) -> LdapProof:
        """What is made of it; the person is asked about from now on."""
        await self._sign_ins.note(
            LdapSignIn(
                account=provider.account,
                provider=provider.name,
                provider_id=provider.unique_id,
                subject=person.subject,
            ),
            now,
        )
        return _proof(provider, person)

    async def close(self) -> None:
        """Close all connections."""
        for people in self._directories.values():
            await people.close()


def wire_error(
    error: PersonRefusedError | LdapUnavailableError,
) -> IdpRejectedClaim | IdpCommunicationError:
    """What a caller gets; the reason is in the detail, for operators."""
    if isinstance(error, PersonRefusedError):
        return IdpRejectedClaim(WRONG, detail=str(error))
    return IdpCommunicationError(_UNREACHABLE, detail=f"{error.stage}: {error}")


def provider_name(arn: str) -> str:
    """The name in a provider's ARN."""
    return arn.partition(":ldap-provider/")[2]


def _proof(provider: LdapProvider, person: Person) -> LdapProof:
    name = provider.name
    lasting: dict[str, tuple[str, ...]] = {
        f"{name}:sub": (person.subject,),
        f"{name}:username": (person.username,),
        "aws:federatedprovider": (provider.arn,),
    }
    context = dict(lasting)
    if person.groups:
        context[f"{name}:groups"] = person.groups
    table = LdapProviderOptions.parse(provider.options).group_roles
    roles: tuple[str, ...] = ()
    if table is not None:
        roles = tuple(sorted(table.roles_of(person.groups, provider.account)))
    identity = FederatedIdentity(
        principal=Principal.from_provider(
            PrincipalType.LDAP,
            provider.account,
            provider=provider.arn,
            subject=person.subject,
        ),
        account=provider.account,
        provider_arn=provider.arn,
        provider_id=provider.unique_id,
        issuer=provider.arn,
        subject=person.subject,
        session_name=session_name(
            person.session_name, issuer=provider.arn, subject=person.subject
        ),
        tags=person.attributes,
        allowed_roles=frozenset(roles),
        context=context,
        session_context=lasting,
    )
    return LdapProof(identity=identity, roles=roles)
