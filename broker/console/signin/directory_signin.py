"""Sign-in with the name and password of a directory.

The password is tried once, when the form is sent. What is opened with it later asks the
directory again, by the person's subject.
"""

from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from broker.console.context import SIGN_IN, ConsoleContext
from broker.console.forms import Form, read_form
from broker.console.pending_login import LoginMethod, PendingLogin
from broker.console.portal.places import PortalPlaces
from broker.console.rendering import status_of, words_of
from broker.console.request_info import note, require_place, source_address
from broker.console.sign_in_options import SignInOption, SignInOptions
from broker.console.signin.role_offer import RoleOffer
from broker.errors import (
    AccessDenied,
    IdpCommunicationError,
    IdpRejectedClaim,
    NoSuchEntity,
    Throttling,
)
from broker.model.entities import LdapProvider
from broker.model.request import Door
from broker.model.secret import Secret
from broker.proofs.federated_schemes import proved_by, refused_person
from broker.proofs.ldap.people import NAME_MAX, PASSWORD_MAX
from broker.proofs.ldap.prover import LdapProof
from broker.proofs.scheme import DoorProof, ProofResult
from broker.runtime.entropy import new_handle
from broker.stores.directory.kinds import ACCOUNT

NO_ROLE = (
    "You cannot sign in here: none of your groups in the directory is mapped to a role."
)
_FORBIDDEN, _UNREACHED = 403, 503


class DirectorySignIn:
    """The page of a directory's provider."""

    def __init__(self, context: ConsoleContext, offer: RoleOffer) -> None:
        self._context = context
        self._offer = offer
        self._options = SignInOptions(context)
        self._places = PortalPlaces(context)

    async def show(
        self,
        request: Request,
        provider: LdapProvider,
        destination: str,
        *,
        name: str = "",
        problem: str = "",
        status: int = 200,
    ) -> Response:
        """The form; ``problem`` says why the last attempt failed."""
        place = request.path_params["account"]
        number, option = provider.account, SignInOption.of(provider)
        account = await self._context.deps.fresh.find(ACCOUNT, number)
        organisation = self._places.organisation_of(destination)
        return self._context.show_form(
            request,
            "signin_directory.html",
            status,
            provider=option.label,
            account=(account and account.alias) or number,
            organisation=organisation,
            action=option.url,
            back=f"{SIGN_IN}/{organisation.name if organisation else place}",
            destination=destination,
            name=name,
            longest_name=NAME_MAX,
            longest_password=PASSWORD_MAX,
            problem=problem,
        )

    async def password(self, request: Request) -> Response:
        """``POST /signin/{account}/with/{provider}``."""
        form = await read_form(request)
        note(request, action="ListRolesWithLDAPIdentity")
        problem, status = self._context.find_stale_form(request, form), _FORBIDDEN
        provider = await self._options.find(
            require_place(request), request.path_params["provider"]
        )
        if not isinstance(provider, LdapProvider):
            raise NoSuchEntity("There is no such page.")
        destination = self._context.destination_of(form)
        if not problem:
            try:
                proof = await self._list(request, provider, form, destination)
            except (IdpRejectedClaim, Throttling, AccessDenied) as error:
                problem, status = words_of(error), status_of(error)
            except IdpCommunicationError as error:
                problem, status = error.words, _UNREACHED
            else:
                return await self._sign_in(request, provider, proof, destination)
        name = (form.find("username") or "")[:NAME_MAX]
        return await self.show(
            request, provider, destination, name=name, problem=problem, status=status
        )

    async def _list(
        self, request: Request, provider: LdapProvider, form: Form, destination: str
    ) -> LdapProof:
        """Try the password, and list the roles that it gives.

        Raises:
            IdpRejectedClaim, Throttling: it is wrong, or was too often.
            IdpCommunicationError: the directory could not be asked.
            AccessDenied: it gives no role.
        """
        proofs: list[LdapProof] = []
        username = (form.find("username") or "").strip()
        password = Secret(form.find("password") or "")

        # In an organisation, other members' providers may give some.
        is_shared = self._places.organisation_of(destination) is not None

        async def prove(now: datetime) -> ProofResult:
            proof = await self._context.deps.directory_passwords.prove(
                provider, username, password, address=source_address(request), now=now
            )
            if not proof.roles and not is_shared:
                error = AccessDenied(
                    NO_ROLE, detail="GroupRoles maps none of the groups"
                )
                raise refused_person(error, proof.identity, username)
            proofs.append(proof)
            return proved_by(proof.identity)

        await self._context.perform(
            request,
            Door.SIGN_IN,
            ("signin", "ListRolesWithLDAPIdentity"),
            DoorProof(prove),
            lambda: {"RoleArns": proofs[0].roles},
        )
        return proofs[0]

    async def _sign_in(
        self,
        request: Request,
        provider: LdapProvider,
        proof: LdapProof,
        destination: str,
    ) -> Response:
        identity = proof.identity
        login = PendingLogin(
            door=LoginMethod.LDAP,
            destination=destination,
            provider_arn=provider.arn,
            provider_arns=(provider.arn,),
            provider_id=provider.unique_id,
            subject=identity.subject,
            session_name=identity.session_name or "",
            state=new_handle(),
        )
        return await self._offer.go_on(request, identity, proof.roles, login)
