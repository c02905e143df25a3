"""Authorization codes and refresh tokens: the same for all clients.

A code is valid once, within five minutes; so long it is kept, since one that comes back
used ends what it led to. What it leads to uses it up, in the ledger (`Redemption.use`).

A refresh token that is bound to its client's key is not used up: whoever has the key may
send it as often as they like while the login lasts, since programs of one client renew
at the same time. One that is bound to no key is used up, and succeeded by another, always
the same one: programs that renew at once go on together. It is for what uses it up to
say how late that counts as theft.

A refresh token is a sealed text that holds its family: nothing is kept for it. A code
can also be taken back, so it is kept, as a handle.

Source: RFC 6749 4.1.2; RFC 9700 4.14.2; RFC 9449 5; AWS Sign-In, CreateOAuth2Token.
"""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

from msgspec import field
from msgspec.structs import asdict, replace

from broker.model.secret import Confidential, Hidden
from broker.protocols.oidc import pkce
from broker.runtime.entropy import new_handle
from broker.sessions.ends import OneTimeUse, end_mark, one_time_use
from broker.sessions.handles import Handles, SealedTexts
from broker.sessions.vault import Vault
from broker.stores.cache.port import HandleStore

CODE_LIFE = timedelta(minutes=5)


class Code(Confidential, frozen=True, kw_only=True):
    """What a code stands for: who may redeem it, and the handle of the session."""

    client_id: str
    redirect_uri: str
    challenge: str
    session: Hidden[str]


class Family(Confidential, frozen=True, kw_only=True):
    """A login that a client can renew until ``ends_at``, in seconds since 1970.

    ``session`` is the handle of the session behind it, ``thumbprint`` that of the
    client's key; empty for clients that have none. ``serial`` is that of its newest
    refresh token.
    """

    client_id: str
    ends_at: int
    session: Hidden[str]
    thumbprint: str = ""
    serial: Hidden[str] = field(default_factory=new_handle)

    @property
    def successor(self) -> "Family":
        """The same with its next refresh token, which follows from this one."""
        digest = hashlib.sha256(
            f"broker/1/successor/{self.serial}".encode()
        ).hexdigest()
        return replace(self, serial=digest)


class Redemption(Confidential, frozen=True):
    """A code or refresh token of the client that has it.

    ``session`` is the handle of the session that it stands for, ``use`` the one use of
    what is used up, ``token`` the refresh token to go on with, empty for a code.
    """

    session: Hidden[str]
    use: OneTimeUse | None
    token: Hidden[str] = ""


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
        """The newest refresh token of the family, the same text each time."""
        ends_at = datetime.fromtimestamp(family.ends_at, UTC)
        return self._tokens.seal(asdict(family), ends_at, repeatable=True)

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
        family = Family(**value)
        if family.client_id != client_id or not hmac.compare_digest(
            family.thumbprint, thumbprint
        ):
            raise GrantRefusedError("the token belongs to another client or key")
        ends_at = datetime.fromtimestamp(family.ends_at, UTC)
        if family.thumbprint:
            return Redemption(family.session, None, token)
        use = one_time_use(f"{self._kind}-refresh", family.serial, until=ends_at)
        return Redemption(family.session, use, self.create_token(family.successor))

    def end_mark(self, session: str) -> str:
        """What marks the end of a login, in its session's account."""
        return end_mark(self._kind, session)
