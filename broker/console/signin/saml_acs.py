"""``/saml``: the assertion consumer service, and the role page.

Nothing names a provider before a signature is checked, so the unverified role pairs
only nominate providers; each is asked with its own keys alone, and only pairs whose
own provider verified them count.

Source: IAM User Guide, id_roles_providers_enable-console-saml; the role page that
Versent/saml2aws reads.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from broker.actions.signin.proof_checks import NO_ROLE
from broker.authn.federated_schemes import proved_by
from broker.authn.nominees import Nominee
from broker.authn.saml_key_budget import SamlKeyBudget
from broker.authn.scheme import DoorProof, ProofRefused, Proved
from broker.console.context import ConsoleContext
from broker.console.forms import Form, read_form
from broker.console.pages.recent_roles import RecentRoles, name_of
from broker.console.rendering import compressed
from broker.console.request_info import note
from broker.console.signin.login_completion import LoginCompletion, PendingLogin
from broker.console.signin.saml_logout import find_login
from broker.console.signin.saml_metadata import find_provider_of_path
from broker.console.signin.saml_requests import OpenRequest, SamlRequests
from broker.console.signin.sign_in_options import SignInOptions
from broker.errors import (
    AccessDenied,
    BrokerError,
    InvalidIdentityToken,
    ServiceUnavailable,
)
from broker.federation.saml import wire_error
from broker.model.account import AccountId, parse_account_id
from broker.model.arn import Arn, sts_arn
from broker.model.federated import FederatedIdentity, RolePair
from broker.model.request import Door
from broker.protocols.saml.errors import SamlRejected
from broker.protocols.saml.peek import UnverifiedResponse, peek_response
from broker.stores.errors import StoreUnavailableError

DOOR = "saml"
BODY_BYTES_MAX = 300_000


@dataclass(frozen=True, slots=True)
class RoleChoice:
    """A role that the assertion opens."""

    pair: RolePair
    identity: FederatedIdentity

    @property
    def name(self) -> str:
        """The role's name, without its path."""
        return self.pair.role_arn.rpartition("/")[2]

    @property
    def session_arn(self) -> str:
        """Who would be signed in."""
        session = f"{self.name}/{self.identity.session_name}"
        return sts_arn(self.identity.account, f"assumed-role/{session}")


@dataclass(frozen=True, slots=True)
class AccountBlock:
    """An account and its roles, as the role page shows them."""

    title: str
    choices: tuple[RoleChoice, ...]


@dataclass(slots=True)
class _Attempt:
    """A posted response, and the provider whose it is or seems to be, once known."""

    response_text: str
    uuid: str | None
    provider_arn: str = ""


@dataclass(slots=True)
class _ListedRoles:
    """What a response turned out to open, and the request that it answers."""

    answered: OpenRequest | None = None
    choices: tuple[RoleChoice, ...] = ()


class SamlAcs:
    """Takes posted responses in."""

    def __init__(self, context: ConsoleContext, arrivals: LoginCompletion) -> None:
        self._context = context
        self._completion = arrivals
        self._requests = SamlRequests(context)
        self._recent = RecentRoles(context.deps)
        self._ways = SignInOptions(context)

    async def post(self, request: Request) -> Response:
        """``POST /saml``, and ``POST /saml/acs/{id}`` for one provider."""
        note(request, action="ListRolesWithSAML")
        form = await read_form(request, body_max=BODY_BYTES_MAX)
        attempt = _Attempt(
            form.require("SAMLResponse"), request.path_params.get("uuid")
        )
        try:
            return await self._answer(request, form, attempt)
        except ServiceUnavailable:
            raise
        except BrokerError as error:
            back = ""
            if attempt.provider_arn:
                back = await self._ways.back_to(attempt.provider_arn)
            return self._context.pages.show_error(
                request, error, door=DOOR, back=back, no_role=error.message == NO_ROLE
            )

    async def _answer(
        self, request: Request, form: Form, attempt: _Attempt
    ) -> Response:
        response_text, uuid = attempt.response_text, attempt.uuid
        answered, choices = await self._list(request, attempt)
        relay = form.find("RelayState") or ""
        chosen = _choose(choices, form, is_browser=_is_browser(request))
        if chosen is None:
            recent = await self._recent.find(name_of(one.identity) for one in choices)
            page = self._context.pages.show(
                request,
                "roles.html",
                blocks=await self._blocks(choices, recent),
                last=next((arn for arn in recent if _offers(choices, arn)), ""),
                action=f"/saml/acs/{uuid}" if uuid else "/saml",
                response=response_text,
                relay=relay,
            )
            return compressed(request, page)
        if len(choices) > 1:
            who = name_of(chosen.identity)
            await self._recent.remember(who, chosen.pair.role_arn)
        return await self._completion.hand_over(
            PendingLogin(
                door=DOOR,
                destination=(
                    self._context.destinations.find_safe(
                        answered.destination if answered else relay
                    )
                    or ""
                ),
                session_arn=chosen.session_arn,
                response=response_text,
                role_arn=chosen.pair.role_arn,
                provider_arn=chosen.pair.provider_arn,
                request_id=answered.request_id if answered else "",
                login=await find_login(self._context, chosen.identity),
            )
        )

    async def _list(
        self, request: Request, attempt: _Attempt
    ) -> tuple[OpenRequest | None, tuple[RoleChoice, ...]]:
        """The request that the response answers and the roles that it opens.

        Raises:
            InvalidIdentityToken, ExpiredFederationToken, IdpRejectedClaim: none.
        """
        listed = _ListedRoles()

        async def prove(now: datetime) -> Proved:
            return await self._prove(attempt, listed, now)

        await self._context.perform(
            request,
            Door.SAML,
            ("signin", "ListRolesWithSAML"),
            DoorProof(prove),
            lambda: {"RoleArns": [choice.pair.role_arn for choice in listed.choices]},
        )
        return listed.answered, listed.choices

    async def _prove(
        self, attempt: _Attempt, listed: _ListedRoles, now: datetime
    ) -> Proved:
        response_text, uuid = attempt.response_text, attempt.uuid
        peeked: UnverifiedResponse | None = None
        try:
            peeked = _peek(response_text)
            listed.answered = await self._requests.find_answered(peeked.in_response_to)
            identities = await self._verify(
                response_text, peeked, uuid, listed.answered, now
            )
        except BrokerError as error:
            nominee = await self._nominee(response_text, peeked, uuid, listed.answered)
            if nominee is None:
                raise
            if nominee.provider is not None:
                attempt.provider_arn = nominee.provider.arn
            raise ProofRefused.of(error, nominee) from error
        listed.choices = tuple(
            {
                pair.role_arn: RoleChoice(pair, identity)
                for identity in reversed(identities)
                for pair in reversed(identity.role_pairs)
            }.values()
        )[::-1]
        first = listed.choices[0].identity if listed.choices else identities[0]
        attempt.provider_arn = first.provider_arn
        return proved_by(first)

    async def _verify(
        self,
        response_text: str,
        peeked: UnverifiedResponse,
        uuid: str | None,
        answered: OpenRequest | None,
        now: datetime,
    ) -> list[FederatedIdentity]:
        """What each provider proves that is asked.

        Raises:
            InvalidIdentityToken, ExpiredFederationToken, IdpRejectedClaim: no
                provider proves anything; the first one's reason.
        """
        identities: list[FederatedIdentity] = []
        first: BrokerError | None = None
        asked = await self._nominated(peeked, uuid)
        key_budget = SamlKeyBudget(peeked.issuer)
        open_requests: frozenset[str] = frozenset()
        if answered is not None:
            open_requests = frozenset({answered.request_id})
            who = (answered.account, answered.provider_arn)
            # Whoever was asked answers, and nobody else.
            asked = [who] if uuid is None or who in asked else []
        for account, provider_arn in asked:
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
        if not identities:
            raise first or InvalidIdentityToken(
                NO_ROLE, detail="the response nominates no provider"
            )
        return identities

    async def _nominee(
        self,
        response_text: str,
        peeked: UnverifiedResponse | None,
        uuid: str | None,
        answered: OpenRequest | None,
    ) -> Nominee | None:
        """Whose provider a refused response seems to be."""
        nominees = self._context.deps.nominees
        asked: list[tuple[AccountId, str]] = []
        if answered is not None:
            asked = [(answered.account, answered.provider_arn)]
        elif peeked is not None or uuid is not None:
            with suppress(BrokerError, StoreUnavailableError):
                asked = await self._nominated(peeked, uuid)
        for _, provider_arn in asked:
            nominee = await nominees.of_saml_provider(provider_arn)
            if nominee is not None:
                return nominee
        return await nominees.of_response(response_text)

    async def _nominated(
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
    ) -> tuple[AccountBlock, ...]:
        """By account; what was opened lately comes first, the rest by name."""
        ranks = {arn: rank for rank, arn in enumerate(recent)}

        def rank(choice: RoleChoice) -> int:
            return ranks.get(choice.pair.role_arn, len(ranks))

        grouped: dict[AccountId, list[RoleChoice]] = {}
        for choice in choices:
            grouped.setdefault(choice.identity.account, []).append(choice)
        blocks = []
        for number, found in grouped.items():
            account = await self._context.deps.fresh.find_account(number)
            alias = account.alias if account else None
            title = f"Account: {alias} ({number})" if alias else f"Account: {number}"
            found.sort(key=lambda choice: (rank(choice), choice.name.lower()))
            blocks.append(AccountBlock(title, tuple(found)))
        # Accounts that nothing was opened in keep the order of the response.
        blocks.sort(key=lambda block: rank(block.choices[0]))
        return tuple(blocks)


def _peek(response_text: str) -> UnverifiedResponse:
    try:
        return peek_response(response_text)
    except SamlRejected as error:
        raise wire_error(error) from error


def _providers(pairs: Iterable[RolePair]) -> list[tuple[AccountId, str]]:
    """The providers worth asking, each once: pairs within one account only."""
    found: dict[str, AccountId] = {}
    for pair in pairs:
        try:
            role, provider = Arn.parse(pair.role_arn), Arn.parse(pair.provider_arn)
            account = parse_account_id(provider.account)
        except ValueError:
            continue
        if role.account == account:
            found[pair.provider_arn] = account
    return [(account, arn) for arn, account in found.items()]


def _offers(choices: tuple[RoleChoice, ...], role_arn: str) -> bool:
    return any(choice.pair.role_arn == role_arn for choice in choices)


def _is_browser(request: Request) -> bool:
    """Whether a page was asked for, as every browser does for what it shows.

    Command-line programs post a response to read the page's roles, follow redirects,
    and exchange the same response afterwards: what they only list must spend nothing.
    """
    return "text/html" in request.headers.get("accept", "")


def _choose(
    choices: tuple[RoleChoice, ...], form: Form, *, is_browser: bool
) -> RoleChoice | None:
    """The role to open; None when somebody has to say, or asks for the list.

    Raises:
        AccessDenied: the chosen one is not among them.
    """
    wanted = form.find("roleIndex")
    if not wanted:
        return choices[0] if len(choices) == 1 and is_browser else None
    for choice in choices:
        if choice.pair.role_arn == wanted:
            return choice
    raise AccessDenied(
        "The response from your identity provider does not list this role.",
        detail=f"roleIndex {wanted[:200]!r}",
    )
