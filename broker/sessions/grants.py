"""Authorization codes and refresh tokens: the same for all clients.

A code is valid once, within five minutes; so long it is kept, since one that comes back
used ends what it led to. A refresh token is valid once, too, and is answered with the
next of its family; one that comes back used ends the family. What each leads to uses it
up, in the ledger (`Redemption.use`).

A refresh token is a sealed text that holds its family: nothing is kept for it. A code
can also be taken back, so it is kept, as a handle.

Source: RFC 6749 4.1.2; RFC 9700 4.14.2.
"""

import hmac
from datetime import UTC, datetime, timedelta

from msgspec.structs import asdict

from broker.model.secret import Confidential, Hidden
from broker.protocols.oidc import pkce
from broker.runtime.entropy import new_handle
from broker.sessions.ends import OneTimeUse, end_mark, one_time_use
from broker.sessions.handles import Handles, SealedTexts
from broker.sessions.vault import Vault
from broker.stores.cache.port import HandleStore

CODE_LIFE = timedelta(minutes=5)
_SERIAL = "serial"


class Code(Confidential, frozen=True, kw_only=True):
    """What a code stands for: who may redeem it, and the handle of the session."""

    client_id: str
    redirect_uri: str
    challenge: str
    session: Hidden[str]


class Family(Confidential, frozen=True, kw_only=True):
    """A login that a client can renew until ``ends_at``, in seconds since 1970.

    ``session`` is the handle of the session behind it, ``thumbprint`` that of the
    client's key; empty for clients that have none.
    """

    client_id: str
    ends_at: int
    session: Hidden[str]
    thumbprint: str = ""


class Redemption(Confidential, frozen=True):
    """A code or refresh token of the client that has it: its session, and its one use."""

    session: Hidden[str]
    use: OneTimeUse


class GrantRefusedError(Exception):
    """A code or refresh token is not valid; the text says why, to operators alone."""


class Grants:
    """The grants of one ``kind`` of login.

    What keeps codes raises ``ServiceUnavailable`` when the database is away, except
    when it forgets.
    """

    def __init__(self, handles: HandleStore, vault: Vault, kind: str) -> None:
        self._kind = kind
        self._codes = Handles(handles, vault, f"{kind}-code")
        self._tokens = SealedTexts(vault, f"{kind}-refresh")

    async def create_code(self, grant: Code, now: datetime) -> str:
        """A code for someone who agreed."""
        return await self._codes.put(asdict(grant), now + CODE_LIFE)

    async def redeem_code(
        self,
        code: str,
        client_id: str,
        *,
        redirect_uri: str,
        verifier: str,
        now: datetime,
    ) -> Redemption:
        """What a code stands for, for the client that it was given to.

        Raises:
            GrantRefusedError: There is no such code; or it is another client's, and no
                longer valid: it was stolen, or the client is broken.
        """
        value = await self._codes.find(code)
        if value is None:
            raise GrantRefusedError("no such code")
        grant = Code(**value)
        if (
            grant.client_id != client_id
            or grant.redirect_uri != redirect_uri
            or not pkce.is_verifier(verifier)
            or not pkce.fits(verifier, grant.challenge)
        ):
            await self._codes.forget(code)
            raise GrantRefusedError("the code belongs to another client or request")
        use = one_time_use(f"{self._kind}-code", code, until=now + CODE_LIFE)
        return Redemption(grant.session, use)

    def create_token(self, family: Family) -> str:
        """A refresh token of the family: its first, or the next."""
        return self._tokens.seal(
            {**asdict(family), _SERIAL: new_handle()},
            datetime.fromtimestamp(family.ends_at, UTC),
        )

    def redeem_token(
        self, token: str, client_id: str, now: datetime, *, thumbprint: str = ""
    ) -> Redemption:
        """What a refresh token stands for, for its client with its key.

        A thief without the key must not be able to end the family.

        Raises:
            GrantRefusedError: It is none of this kind, its family's time is over, or it
                is another client's or key's.
        """
        value = self._tokens.find_opened(token, now)
        if value is None:
            raise GrantRefusedError("no such refresh token")
        serial = value.pop(_SERIAL)
        family = Family(**value)
        if family.client_id != client_id or not hmac.compare_digest(
            family.thumbprint, thumbprint
        ):
            raise GrantRefusedError("the token belongs to another client or key")
        ends_at = datetime.fromtimestamp(family.ends_at, UTC)
        use = one_time_use(f"{self._kind}-refresh", serial, until=ends_at)
        return Redemption(family.session, use)

    def end_mark(self, session: str) -> str:
        """What marks the end of a login, in its session's account."""
        return end_mark(self._kind, session)
