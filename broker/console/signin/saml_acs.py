"""``/saml``: the assertion consumer service, and the role page.

The provider is not known before a signature is checked, so the unverified role pairs
only select the providers to try. Each is tried with its own keys, and a pair counts
only if its own provider verified the assertion.

Source: IAM User Guide, id_roles_providers_enable-console-saml; the role page that
Versent/saml2aws reads.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from operator import itemgetter

from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from broker.console.context import ConsoleContext
from broker.console.forms import Form, read_form
from broker.console.pending_login import LoginMethod, PendingLogin
from broker.console.portal.places import PORTAL, OrganisationProofs, PortalPlaces
from broker.console.portal.sign_ins import PICKS_PORTAL, leads_to_portal
from broker.console.recent_roles import RecentRoles, name_of
from broker.console.rendering import compressed
from broker.console.request_info import note
from broker.console.sign_in_options import SignInOptions
from broker.console.signin.login_completion import LoginCompletion
from broker.console.signin.role_offer import OFFERED_MAX, find_descriptions, session_arn
from broker.console.signin.saml_logout import find_login
from broker.console.signin.saml_requests import (
    OpenRequest,
    SamlRequests,
    find_provider_of_path,
)
from broker.errors import (
    AccessDenied,
    BrokerError,
    InvalidIdentityToken,
    ServiceUnavailable,
)
from broker.model.account import AccountId, parse_account_id
from broker.model.arn import Arn
from broker.model.federated import FederatedIdentity, RolePair
from broker.model.request import Door
from broker.proofs.claimed_providers import ClaimedProvider
from broker.proofs.federated_schemes import proved_by, refused_person
from broker.proofs.saml import wire_error
from broker.proofs.saml_key_budget import SamlKeyBudget
from broker.proofs.scheme import DoorProof, ProofRefused, ProofResult
from broker.protocols.saml.errors import SamlRejected
from broker.protocols.saml.peek import UnverifiedResponse, peek_response
from broker.stores.directory.kinds import ACCOUNT
from broker.stores.errors import StoreUnavailableError

BODY_BYTES_MAX = 300_000
NO_ROLE = "The response names no role that its own provider may open."
_NO_ROLE_DETAIL = (
    "no value of the Role attribute pairs a role of the provider's account with the"
    " provider, and no group of the subject is mapped to a role"
)


class RoleChoice(Struct, frozen=True):
    """A role that the assertion may assume."""

    pair: RolePair
    identity: FederatedIdentity

    @property
    def name(self) -> str:
        """The role's name, without its path."""
        return self.pair.role_arn.rpartition("/")[2]

    @property
    def session_arn(self) -> str:
        """The ARN of the session it would open."""
        identity = self.identity
        return session_arn(identity.account, self.pair.role_arn, identity.session_name)


class _Attempt(Struct):
    """A posted response, and the provider that it is from or claims to be from.

    Once it is proved: the request that it ``answered``, what the ``first`` provider says
    that verified it, and the roles that it gives.
    """

    response: str
    uuid: str | None
    relay: str = ""
    provider_arn: str = ""
    answered: OpenRequest | None = None
    first: FederatedIdentity | None = None
    choices: tuple[RoleChoice, ...] = ()

    def login(self, login: dict[str, object], destination: str) -> PendingLogin:
        """The proof, for no role yet."""
        return PendingLogin(
            door=LoginMethod.SAML,
            destination=destination,
            response=self.response,
            request_id=self.answered.request_id if self.answered else "",
            login=login,
        )


class SamlAcs:
    """The assertion consumer service."""

    def __init__(self, context: ConsoleContext, completion: LoginCompletion) -> None:
        self._context = context
        self._completion = completion
        self._requests = SamlRequests(context)
        self._recent = RecentRoles(context.deps)
        self._options = SignInOptions(context)
        self._places = PortalPlaces(context)
        self._proofs = OrganisationProofs(context)

    async def post(self, request: Request) -> Response:
        """``POST /saml``, and ``POST /saml/acs/{id}`` for one provider."""
        note(request, action="ListRolesWithSAML")
        form = await read_form(request, body_max=BODY_BYTES_MAX)
        attempt = _Attempt(
            form.require("SAMLResponse"),
            request.path_params.get("uuid"),
            form.find("RelayState") or "",
        )
        try:
            return await self._answer(request, form, attempt)
        except ServiceUnavailable:
            raise
        except BrokerError as error:
            back = ""
            if attempt.provider_arn:
                back = await self._options.start_path(attempt.provider_arn)
            return self._context.pages.show_error(
                request,
                error,
                door=LoginMethod.SAML,
                back=back,
                no_role=error.message == NO_ROLE,
            )

    async def _answer(
        self, request: Request, form: Form, attempt: _Attempt
    ) -> Response:
        await self._list(request, attempt)
        choices = attempt.choices
        destination = self._find_destination(attempt) or ""
        picked = form.find("pick") == PICKS_PORTAL
        if picked and not leads_to_portal(destination):
            destination = f"{PORTAL}/{choices[0].identity.account}"
        if leads_to_portal(destination):
            return await self._to_portal(request, attempt, destination, is_any=picked)
        chosen = _choose(choices, form, is_browser=_is_browser(request))
        if chosen is None:
            recent = await self._recent.find(
                name_of(choice.identity) for choice in choices
            )
            first, arns = choices[0].identity, _arns(choices)
            page = self._context.pages.show(
                request,
                "roles.html",
                blocks=await self._blocks(choices, recent),
                last=next((arn for arn in recent if arn in arns), ""),
                who=first.session_name or first.subject,
                provider=await self._options.label_of(first.provider_arn),
                abouts=await find_descriptions(self._context.deps.fresh, arns),
                action=f"/saml/acs/{attempt.uuid}" if attempt.uuid else "/saml",
                fields={
                    "RelayState": attempt.relay,
                    "SAMLResponse": attempt.response,
                    "name": "",
                },
            )
            return compressed(request, page)
        if len(choices) > 1:
            who = name_of(chosen.identity)
            await self._recent.remember(who, chosen.pair.role_arn)
        login = await find_login(self._context, chosen.identity)
        pending = replace(
            attempt.login(login, destination),
            session_arn=chosen.session_arn,
            role_arn=chosen.pair.role_arn,
            provider_arn=chosen.pair.provider_arn,
            offered=_arns(choices)[:OFFERED_MAX] if len(choices) > 1 else (),
        )
        return await self._redirect(request, attempt, pending)

    async def _redirect(
        self, request: Request, attempt: _Attempt, pending: PendingLogin
    ) -> Response:
        """Go on in the browser that began the sign-in; if none did, in this one."""
        answered = attempt.answered
        browser = (
            answered.browser if answered else self._context.browsers.arriving(request)
        )
        return await self._completion.redirect(request, pending, browser)

    async def _to_portal(
        self, request: Request, attempt: _Attempt, destination: str, *, is_any: bool
    ) -> Response:
        """Sign in to the portal, where the role is chosen."""
        choices = attempt.choices
        first = attempt.first or choices[0].identity
        login = await find_login(self._context, first)
        pending = replace(
            attempt.login(login, destination),
            provider_arn=first.provider_arn,
            session_name=first.session_name or first.subject,
            provider_id=first.provider_id,
            portal=True,
            any_portal=is_any,
            provider_arns=tuple(
                dict.fromkeys(choice.pair.provider_arn for choice in choices)
            ),
        )
        return await self._redirect(request, attempt, pending)

    async def _list(self, request: Request, attempt: _Attempt) -> None:
        """Find the request that the response answers, and the roles that it gives.

        Raises:
            InvalidIdentityToken, ExpiredFederationToken, IdpRejectedClaim: It is
                refused, or gives no role.
        """

        async def prove(now: datetime) -> ProofResult:
            return await self._prove(attempt, now)

        await self._context.perform(
            request,
            Door.SAML,
            ("signin", "ListRolesWithSAML"),
            DoorProof(prove),
            lambda: {"RoleArns": _arns(attempt.choices)},
        )

    async def _prove(self, attempt: _Attempt, now: datetime) -> ProofResult:
        peeked: UnverifiedResponse | None = None
        try:
            peeked = _peek(attempt.response)
            attempt.answered = await self._requests.find_answered(peeked.in_response_to)
            identities = await self._verify(attempt, peeked, now)
        except BrokerError as error:
            claimed = await self._find_claimed(attempt, peeked)
            if claimed is None:
                raise
            if claimed.provider is not None:
                attempt.provider_arn = claimed.provider.arn
            raise ProofRefused.of(error, claimed) from error
        attempt.choices = tuple(
            {
                pair.role_arn: RoleChoice(pair, identity)
                for identity in reversed(identities)
                for pair in reversed(identity.role_pairs)
            }.values()
        )[::-1]
        attempt.first = identities[0]
        if not attempt.choices:
            refusal = InvalidIdentityToken(NO_ROLE, detail=_NO_ROLE_DETAIL)
            attempt.provider_arn = attempt.first.provider_arn
            raise refused_person(refusal, attempt.first)
        first = attempt.choices[0].identity if attempt.choices else identities[0]
        attempt.provider_arn = first.provider_arn
        return proved_by(first)

    async def _verify(
        self,
        attempt: _Attempt,
        peeked: UnverifiedResponse,
        now: datetime,
    ) -> list[FederatedIdentity]:
        """Verify the response with each nominated provider.

        On the way to an organisation its other members' providers verify it as well.

        Raises:
            InvalidIdentityToken, ExpiredFederationToken, IdpRejectedClaim: No
                provider accepts it; this is the first one's reason.
        """
        response_text, uuid = attempt.response, attempt.uuid
        answered = attempt.answered
        identities: list[FederatedIdentity] = []
        first: BrokerError | None = None
        candidates = await self._nominate(peeked, uuid)
        key_budget = SamlKeyBudget(peeked.issuer)
        open_requests: frozenset[str] = frozenset()
        if answered is not None:
            open_requests = frozenset({answered.request_id})
            who = (answered.account, answered.provider_arn)
            # Only the provider that was asked may answer.
            candidates = [who] if uuid is None or who in candidates else []
        for account, provider_arn in candidates:
            try:
                identities.append(
                    await self._context.deps.federated.prove_for_provider(
                        response_text,
                        account,
                        provider_arn,
                        now,
                        open_requests,
                        key_budget=key_budget,
                    )
                )
            except ServiceUnavailable:
                raise
            except BrokerError as error:
                first = first or error
        organisation = self._places.organisation_of(
            self._find_destination(attempt) or ""
        )
        if organisation is not None and (identities or answered is None):
            identities += await self._proofs.verify_response(
                organisation,
                response_text,
                now,
                answering=open_requests,
                besides=[arn for _, arn in candidates],
                sent_to=identities[0].provider_arn if identities else "",
            )
        if not identities:
            raise first or InvalidIdentityToken(
                NO_ROLE, detail="the response nominates no provider"
            )
        return identities

    def _find_destination(self, attempt: _Attempt) -> str | None:
        answered = attempt.answered
        return self._context.destinations.find_safe(
            answered.destination if answered else attempt.relay
        )

    async def _find_claimed(
        self, attempt: _Attempt, peeked: UnverifiedResponse | None
    ) -> ClaimedProvider | None:
        """The provider that a refused response claims to be from."""
        claimed_providers = self._context.deps.claimed_providers
        candidates: list[tuple[AccountId, str]] = []
        if attempt.answered is not None:
            candidates = [(attempt.answered.account, attempt.answered.provider_arn)]
        elif peeked is not None or attempt.uuid is not None:
            with suppress(BrokerError, StoreUnavailableError):
                candidates = await self._nominate(peeked, attempt.uuid)
        for _, provider_arn in candidates:
            claimed = await claimed_providers.of_saml_provider(provider_arn)
            if claimed is not None:
                return claimed
        return await claimed_providers.of_response(attempt.response)

    async def _nominate(
        self, peeked: UnverifiedResponse | None, uuid: str | None
    ) -> list[tuple[AccountId, str]]:
        if uuid is not None:
            provider = await find_provider_of_path(self._context.deps.directory, uuid)
            if provider is None:
                raise InvalidIdentityToken("Specified provider doesn't exist.")
            return [(provider.account, provider.arn)]
        return _providers(peeked.role_pairs if peeked else ())

    async def _blocks(
        self, choices: Iterable[RoleChoice], recent: tuple[str, ...]
    ) -> list[tuple[str, list[tuple[str, str]]]]:
        """The ARNs and names of roles by account: recently used first, the rest by name."""
        ranks = {arn: rank for rank, arn in enumerate(recent)}

        def rank(choice: RoleChoice) -> int:
            return ranks.get(choice.pair.role_arn, len(ranks))

        grouped: dict[AccountId, list[RoleChoice]] = {}
        for choice in choices:
            grouped.setdefault(choice.identity.account, []).append(choice)
        blocks = []
        for number, role_choices in grouped.items():
            account = await self._context.deps.fresh.find(ACCOUNT, number)
            alias = account.alias if account else None
            title = f"Account: {alias} ({number})" if alias else f"Account: {number}"
            role_choices.sort(key=lambda choice: (rank(choice), choice.name.lower()))
            pairs = [(choice.pair.role_arn, choice.name) for choice in role_choices]
            blocks.append((rank(role_choices[0]), (title, pairs)))
        # Accounts without a recent role keep the order of the response.
        return [block for _, block in sorted(blocks, key=itemgetter(0))]


def _peek(response_text: str) -> UnverifiedResponse:
    try:
        return peek_response(response_text)
    except SamlRejected as error:
        raise wire_error(error) from error


def _providers(pairs: Iterable[RolePair]) -> list[tuple[AccountId, str]]:
    """The distinct providers to try; role and provider must share an account."""
    results: dict[str, AccountId] = {}
    for pair in pairs:
        try:
            role, provider = Arn.parse(pair.role_arn), Arn.parse(pair.provider_arn)
            account = parse_account_id(provider.account)
        except ValueError:
            continue
        if role.account == account:
            results[pair.provider_arn] = account
    return [(account, arn) for arn, account in results.items()]


def _arns(choices: Iterable[RoleChoice]) -> tuple[str, ...]:
    return tuple(choice.pair.role_arn for choice in choices)


def _is_browser(request: Request) -> bool:
    """Whether the client accepts HTML, as every browser does.

    Command-line tools post a response to read the roles on the page, follow redirects,
    and then exchange the same response: listing must not spend it.
    """
    return "text/html" in request.headers.get("accept", "")


def _choose(
    choices: tuple[RoleChoice, ...], form: Form, *, is_browser: bool
) -> RoleChoice | None:
    """The role to assume; None to show the list.

    Raises:
        AccessDenied: The chosen role is not among them.
    """
    role_arn = form.find("pick") or form.find("roleIndex")
    if not role_arn:
        return choices[0] if len(choices) == 1 and is_browser else None
    for choice in choices:
        if choice.pair.role_arn == role_arn:
            return choice
    raise AccessDenied(
        "The response from your identity provider does not list this role.",
        detail=f"roleIndex {role_arn[:200]!r}",
    )
