"""The choice of a role after a provider's proof, if it gives several."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from msgspec.structs import asdict, replace
from starlette.requests import Request
from starlette.responses import Response

from broker.console.context import ConsoleContext
from broker.console.csrf import require_same_origin
from broker.console.forms import read_form
from broker.console.parked import Parked
from broker.console.pending_login import PendingLogin
from broker.console.portal.places import PORTAL
from broker.console.portal.sign_ins import PICKS_PORTAL, leads_to_portal, to_portal
from broker.console.recent_roles import RecentRoles, name_of
from broker.console.sign_in_options import SignInOptions
from broker.console.signin.login_completion import LoginCompletion
from broker.errors import AccessDenied
from broker.model.account import AccountId, parse_account_id
from broker.model.arn import Arn, sts_arn
from broker.model.federated import FederatedIdentity
from broker.stores.directory.kinds import ACCOUNT, ROLE
from broker.stores.directory.readings import FreshDirectory

OFFERED_MAX = 60
"""Of so many roles the descriptions are read, and the offer is kept for the home page."""

CHOOSE = "/signin/oidc/role"
_CHOOSING = timedelta(minutes=5)


async def find_descriptions(
    fresh: FreshDirectory, role_arns: Iterable[str]
) -> Mapping[str, str]:
    """The descriptions by ARN, of the first roles; those without any are left out.

    Raises:
        ServiceUnavailable: The roles cannot be read.
    """
    results: dict[str, str] = {}
    for arn in list(dict.fromkeys(role_arns))[:OFFERED_MAX]:
        try:
            account = parse_account_id(Arn.parse(arn).account)
        except ValueError:
            continue
        role = await fresh.named(ROLE, account, arn.rpartition("/")[2])
        if role is not None and role.arn == arn and role.description:
            results[arn] = role.description
    return results


def session_arn(account: AccountId, role_arn: str, session_name: str | None) -> str:
    """The ARN of the session of a role that a proof opens."""
    role = role_arn.rpartition("/")[2]
    return sts_arn(account, f"assumed-role/{role}/{session_name}")


class RoleOffer:
    """Asks for a role, and signs in with it."""

    def __init__(self, context: ConsoleContext, completion: LoginCompletion) -> None:
        self._context = context
        self._completion = completion
        self._choices = Parked(
            context.deps,
            context.browsers,
            "oidc-choice",
            "This choice has expired. Start again.",
        )
        self._recent = RecentRoles(context.deps)
        self._options = SignInOptions(context)

    async def go_on(
        self,
        request: Request,
        identity: FederatedIdentity,
        roles: Sequence[str],
        login: PendingLogin,
    ) -> Response:
        """Go on with a proof: to the portal, with its only role, or ask for one.

        ``login`` is the proof, for no role yet.
        """
        if leads_to_portal(login.destination):
            login = to_portal(login, login.destination)
            return await self._completion.redirect(request, login)
        offered = tuple(roles[:OFFERED_MAX]) if len(roles) > 1 else ()
        logins = {
            arn: replace(
                login,
                role_arn=arn,
                session_arn=session_arn(identity.account, arn, login.session_name),
                offered=offered,
            )
            for arn in roles
        }
        if len(logins) == 1:
            return await self._completion.redirect(request, next(iter(logins.values())))
        return await self._ask(request, identity, login.session_name, logins)

    async def _ask(
        self,
        request: Request,
        identity: FederatedIdentity,
        session_name: str,
        logins: Mapping[str, PendingLogin],
    ) -> Response:
        kept = {arn: asdict(login) for arn, login in logins.items()}
        handle = await self._choices.put(
            self._context.browsers.of(request),
            {"arrivals": kept, "who": name_of(identity)},
            _CHOOSING,
        )
        recent = await self._recent.find([name_of(identity)])
        offered = [arn for arn in recent if arn in logins]
        account = await self._context.deps.fresh.find(ACCOUNT, identity.account)
        alias = account.alias if account else None
        return self._context.pages.show(
            request,
            "roles.html",
            blocks=[
                (
                    f"Account: {alias or identity.account}",
                    [
                        (arn, arn.rpartition("/")[2])
                        for arn in dict.fromkeys((*offered, *logins))
                    ],
                )
            ],
            last=offered[0] if offered else "",
            who=session_name,
            provider=await self._options.label_of(identity.provider_arn),
            abouts=await find_descriptions(self._context.deps.fresh, tuple(logins)),
            action=CHOOSE,
            fields={"handle": handle},
        )

    async def choose(self, request: Request) -> Response:
        """``POST /signin/oidc/role``: sign in with one of the offered roles."""
        form = await read_form(request)
        require_same_origin(request, self._context.deps.public_origin)
        handle = form.require("handle")
        offered = await self._choices.require(request, handle)
        logins: dict[str, dict[str, Any]] = offered["arrivals"]
        role_arn = form.find("pick") or form.require("roleIndex")
        if role_arn == PICKS_PORTAL:
            first = PendingLogin(**next(iter(logins.values())))
            account = Arn.parse(first.role_arn).account
            response = await self._completion.sign_in(
                request, to_portal(first, f"{PORTAL}/{account}")
            )
            await self._choices.forget(handle)
            return response
        if role_arn not in logins:
            raise AccessDenied("Your identity provider does not offer this role.")
        await self._recent.remember(offered["who"], role_arn)
        response = await self._completion.confirm_or_sign_in(
            request, PendingLogin(**logins[role_arn])
        )
        await self._choices.forget(handle)
        return response
