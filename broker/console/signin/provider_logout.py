"""An identity provider's request ends all console sessions that began with what it signed."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from starlette.requests import Request

from broker.console.context import ConsoleContext
from broker.console.provider_logins import Logout, OpenLogin
from broker.errors import BrokerError, InvalidIdentityToken
from broker.model.entities import OidcProvider, SamlProvider
from broker.model.principal import Principal, PrincipalType
from broker.model.request import Door
from broker.model.session import Caller
from broker.proofs.claimed_providers import ClaimedProvider
from broker.proofs.scheme import DoorProof, ProofRefused, ProofResult


async def end_by_provider(
    context: ConsoleContext,
    request: Request,
    provider: OidcProvider | SamlProvider,
    verify: Callable[[datetime], Awaitable[Logout]],
    used: InvalidIdentityToken,
) -> list[OpenLogin]:
    """End the logins that a provider's request names, and all that came of them.

    ``verify`` reads the request; ``used`` is raised for one that was used before.

    Raises:
        BrokerError: The request is refused.
    """
    logins, received = context.logins, list[Logout]()
    open_logins: list[OpenLogin] = []
    door, kind = Door.SIGN_IN, PrincipalType.WEB_IDENTITY
    if isinstance(provider, SamlProvider):
        door, kind = Door.SAML, PrincipalType.SAML

    async def prove(now: datetime) -> ProofResult:
        try:
            logout = await verify(now)
            if await logins.was_used(logout):
                raise used
        except BrokerError as error:
            claimed = ClaimedProvider(provider.account, provider)
            raise ProofRefused.of(error, claimed) from error
        received.append(logout)
        open_logins.extend(await logins.end_all(logout))
        subject = logout.subject
        if not subject and open_logins:
            subject = open_logins[0].login.subject
        principal = Principal.from_provider(
            kind, provider.account, provider=provider.arn, subject=subject
        )
        return ProofResult(caller=Caller(principal=principal))

    await context.perform(
        request,
        door,
        ("signin", "EndConsoleSessions"),
        DoorProof(prove),
        lambda: {
            "AccessKeyIds": [open_login.access_key_id for open_login in open_logins],
            "EndMarks": logins.end_marks(received[0]),
        },
    )
    for login in open_logins:
        await logins.forget(login.handle)
    await logins.use_up(received[0])
    return open_logins
