"""People of a directory as federated identities of an account's LDAP provider."""

from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime

from msgspec import Struct

from broker import errors
from broker.model.account import parse_account_id
from broker.model.arn import Arn
from broker.model.entities import LdapProvider
from broker.model.federated import FederatedIdentity
from broker.model.principal import Principal, PrincipalType
from broker.model.secret import Secret
from broker.model.session import Session
from broker.proofs.admission import Admission
from broker.proofs.ldap.connection import LdapUnavailableError
from broker.proofs.ldap.people import Attempt, LdapPeople, Person, PersonRefusedError
from broker.proofs.provider_options import ProviderOptions
from broker.proofs.session_name import session_name
from broker.stores.directory.kinds import LDAP_PROVIDER, ROLE
from broker.stores.directory.readings import FreshDirectory
from broker.stores.ldap_sign_ins import LdapSignIn, LdapSignIns

WRONG = "Your authentication information is incorrect. Please try again."
"""What a person reads, whatever the reason."""

_UNREACHABLE = "The directory cannot be reached right now. Try again."
_NO_PROVIDER = "Specified provider doesn't exist."


class LdapProof(Struct, frozen=True, kw_only=True):
    """What a directory says of a person."""

    person: Person
    identity: FederatedIdentity

    @property
    def roles(self) -> tuple[str, ...]:
        """The ARNs of the roles for their groups."""
        return tuple(sorted(self.identity.group_roles))


class LdapProver:
    """Proves people by password, and again later without."""

    def __init__(
        self,
        fresh: FreshDirectory,
        directories: Mapping[str, LdapPeople],
        sign_ins: LdapSignIns,
    ) -> None:
        self._fresh = fresh
        self._admission = Admission(fresh)
        self._directories = directories
        self._sign_ins = sign_ins

    async def find_by_arn(self, arn: str) -> LdapProvider | None:
        """The provider of an ARN, at most a second old."""
        account = parse_account_id(Arn.parse(arn).account)
        return await self._fresh.named(LDAP_PROVIDER, account, provider_name(arn))

    def people_of(self, provider: LdapProvider) -> LdapPeople:
        """The directory behind a provider.

        Raises:
            IdpCommunicationError: the operator's file no longer has it.
        """
        people = self._directories.get(provider.directory)
        if people is None:
            raise errors.IdpCommunicationError(
                _UNREACHABLE,
                detail=f"BROKER_DIRECTORIES_FILE has no {provider.directory}",
            )
        return people

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
        return await self.vouch(provider, person, now)

    async def renew(
        self, identity: FederatedIdentity, now: datetime
    ) -> FederatedIdentity:
        """The same person as the directory has them now; others as they are.

        Raises:
            ExpiredToken: they are gone, or their account is closed.
            ServiceUnavailable: the directory could not be asked.
        """
        if identity.principal.type is not PrincipalType.LDAP:
            return identity
        proof = await self._renew_session(
            identity.provider_arn, identity.provider_id, identity.subject, now
        )
        return proof.identity

    async def require_current(self, session: Session, now: datetime) -> None:
        """Refuse to continue the session of someone who left the directory or the role.

        Sessions of others pass, and so do chained ones, which say nothing of people:
        those end with what they came from.

        Raises:
            ExpiredToken: they are gone, their account is closed, or none of their groups
                has the session's role any more.
            ServiceUnavailable: the directory could not be asked.
        """
        arn = session.provider_arn or ""
        key = f"{provider_name(arn)}:sub"
        for subject in session.identity_context.get(key, ()):
            proof = await self._renew_session(arn, session.provider_id, subject, now)
            role = await self._fresh.find(ROLE, session.account, session.principal_id)
            if role is not None and role.arn in proof.identity.closed_roles:
                raise errors.ExpiredToken(
                    detail=f"no group of {subject} has {role.arn} any more"
                )

    async def _renew_session(
        self, provider_arn: str, provider_id: str, subject: str, now: datetime
    ) -> LdapProof:
        try:
            return await self.renew_subject(provider_arn, provider_id, subject, now)
        except errors.IdpRejectedClaim as error:
            raise errors.ExpiredToken(detail=error.detail) from error
        except errors.IdpCommunicationError as error:
            raise errors.ServiceUnavailable(detail=error.detail) from error

    async def renew_subject(
        self, provider_arn: str, provider_id: str, subject: str, now: datetime
    ) -> LdapProof:
        """The person of a subject; the provider by its ARN and unique id.

        Raises:
            IdpRejectedClaim: they are gone, or their account is closed.
            IdpCommunicationError: the directory could not be asked.
        """
        provider = await self.find_by_arn(provider_arn)
        if provider is None or provider.unique_id != provider_id:
            raise errors.IdpRejectedClaim(_NO_PROVIDER, detail=provider_arn)
        people = self.people_of(provider)
        try:
            person = await people.get_current(subject, now)
        except (PersonRefusedError, LdapUnavailableError) as error:
            if isinstance(error, PersonRefusedError) and error.is_over:
                # What they opened before ends, too, without waiting for its turn.
                await self._sign_ins.ask_soon(provider.unique_id, subject)
            raise wire_error(error) from error
        return await self.vouch(provider, person, now)

    async def vouch(
        self, provider: LdapProvider, person: Person, now: datetime
    ) -> LdapProof:
        """A person of the provider's directory as its account sees them.

        They are asked about from now on.

        Raises:
            IdpRejectedClaim: they are barred.
            StoreUnavailableError: that cannot be noted.
        """
        proof = proof_of(provider, person)
        await self._sign_ins.note(
            LdapSignIn(
                account=provider.account,
                provider=provider.name,
                provider_id=provider.unique_id,
                subject=person.subject,
                roles=proof.roles,
            ),
            now,
        )
        await self._admission.admit(proof.identity, None, now)
        return proof

    async def close(self) -> None:
        """Close all connections."""
        for people in self._directories.values():
            await people.close()


def wire_error(
    error: PersonRefusedError | LdapUnavailableError,
) -> errors.IdpRejectedClaim | errors.IdpCommunicationError:
    """What a caller gets; the reason is in the detail, for operators."""
    if isinstance(error, PersonRefusedError):
        return errors.IdpRejectedClaim(WRONG, detail=str(error))
    return errors.IdpCommunicationError(_UNREACHABLE, detail=f"{error.stage}: {error}")


def provider_name(arn: str) -> str:
    """The name in a provider's ARN."""
    return arn.partition(":ldap-provider/")[2]


def proof_of(provider: LdapProvider, person: Person) -> LdapProof:
    """The person as the provider's account sees them."""
    name = provider.name
    lasting: dict[str, tuple[str, ...]] = {
        f"{name}:sub": (person.subject,),
        f"{name}:username": (person.username,),
        "aws:federatedprovider": (provider.arn,),
    }
    context = dict(lasting)
    if person.groups:
        context[f"{name}:groups"] = person.groups
    table = ProviderOptions.parse(provider.options).group_roles
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
        groups=person.groups,
        context=context,
        session_context=lasting,
    )
    if table is not None:
        identity = table.apply(identity)
    return LdapProof(person=person, identity=identity)
