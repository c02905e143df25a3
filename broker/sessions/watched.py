"""Refresh tokens of sign-ins whose providers are asked about people, sealed and bound.

A token opens nothing here. It is sealed for its own row, with the roles that the provider
gave, and no cache, page or record ever has it.

Source: RFC 6749 10.4; OpenID Connect Core 1.0 11.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from broker.model.account import AccountId
from broker.model.entities import OidcProvider
from broker.model.secret import Confidential, Hidden
from broker.runtime.clock import Clock
from broker.runtime.entropy import new_handle
from broker.sessions.handles import store_at_hand
from broker.sessions.vault import SealBrokenError, Vault
from broker.stores.oidc_sign_ins import OidcSignIn, OidcSignIns

UNDER_WAY = timedelta(minutes=30)
"""How long a sign-in takes at most to open its session."""

_CHAINED_MAX = timedelta(hours=1)
"""How much longer a role lasts that was assumed at a session's end."""

_PURPOSE, _COLUMN = "oidc-leavers", "token"
_BATCH = 100
TOKEN_CHARACTERS_MAX = 16_384

RolesByAccount = Mapping[AccountId, tuple[str, ...]]


class KeptToken(Confidential, frozen=True, kw_only=True):
    """A refresh token, and the ARNs of the roles that its sign-in has, by account."""

    token: Hidden[str]
    roles: RolesByAccount


class WatchedSignIns:
    """Keeps refresh tokens from a sign-in to its end.

    Every method raises ``ServiceUnavailable`` when the database is away.
    """

    def __init__(self, sign_ins: OidcSignIns, vault: Vault, clock: Clock) -> None:
        self._sign_ins = sign_ins
        self._vault = vault
        self._clock = clock

    async def begin(
        self, provider: OidcProvider, client_id: str, subject: str, kept: KeptToken
    ) -> str:
        """Keep what a sign-in brought that may open a session; returns its id.

        Without a refresh token it is kept that nobody can be asked about this one.
        """
        sign_in_id, now = new_handle(), self._clock.now()
        sealed = b""
        if kept.token:
            sealed = self.seal(provider.account, sign_in_id, kept)
        with store_at_hand():
            await self._sign_ins.insert(
                OidcSignIn(
                    sign_in_id=sign_in_id,
                    account=provider.account,
                    provider=provider.host_and_path,
                    provider_id=provider.unique_id,
                    client_id=client_id,
                    subject=subject,
                    sealed=sealed,
                    began_at=now,
                    until=now + UNDER_WAY,
                )
            )
        return sign_in_id

    async def attach(
        self,
        sign_in_id: str,
        access_key_id: str,
        ends_at: datetime,
        every: timedelta,
        roles: RolesByAccount | None = None,
    ) -> None:
        """The sign-in opened this session: ask about the person until it ends.

        ``roles`` are all that it has, where more than one account gives some.
        """
        with store_at_hand():
            sign_in = await self._sign_ins.find(sign_in_id)
        if sign_in is None:
            return  # its time was over
        kept = self.find_opened(sign_in) if roles and sign_in.sealed else None
        if kept is not None:
            kept = replace(kept, roles=roles)
            sealed = self.seal(sign_in.account, sign_in_id, kept)
            sign_in = replace(sign_in, sealed=sealed)
        until = ends_at + _CHAINED_MAX
        sign_in = replace(sign_in, access_key_id=access_key_id, until=until)
        with store_at_hand():
            await self._sign_ins.attach(sign_in, self._clock.now() + every)

    async def leave(self, *, sign_in_id: str = "", access_key_id: str = "") -> None:
        """The person signed out: revoke the token at the provider, and forget it.

        The sign-in is named by its own id, or by that of the session that it opened.
        """
        with store_at_hand():
            await self._sign_ins.leave(
                self._clock.now(), sign_in_id=sign_in_id, access_key_id=access_key_id
            )

    async def find_roles(self, access_key_id: str) -> RolesByAccount | None:
        """The roles that a session's sign-in has now; None if nobody asks about it."""
        with store_at_hand():
            sign_in = await self._sign_ins.find_by_session(access_key_id)
        if sign_in is None or not sign_in.sealed:
            return None
        kept = self.find_opened(sign_in)
        return None if kept is None else kept.roles

    async def reseal(self) -> int:
        """Seal kept tokens with the newest storage key; how many were not.

        Those that do not open are left: nobody can be asked with them.
        """
        changed, after = 0, ""
        while True:
            with store_at_hand():
                sign_ins = await self._sign_ins.list_with_tokens(after, _BATCH)
            if not sign_ins:
                return changed
            after = sign_ins[-1].sign_in_id
            for sign_in in sign_ins:
                if not self._vault.needs_resealing(sign_in.sealed):
                    continue
                if (kept := self.find_opened(sign_in)) is None:
                    continue
                sealed = self.seal(sign_in.account, sign_in.sign_in_id, kept)
                with store_at_hand():
                    changed += await self._sign_ins.replace_sealed(sign_in, sealed)

    def seal(self, account: AccountId, sign_in_id: str, kept: KeptToken) -> bytes:
        """What is kept of a sign-in; it opens for this one only.

        Raises:
            ServiceUnavailable: there is no key to seal with.
        """
        plain = json.dumps({"token": kept.token, "roles": kept.roles}).encode("ascii")
        return self._vault.seal(_PURPOSE, account, sign_in_id, _COLUMN, plain)

    def find_opened(self, sign_in: OidcSignIn) -> KeptToken | None:
        """What was sealed; None if it was not by us, or its key is gone.

        Raises:
            ServiceUnavailable: its key cannot be read here.
        """
        try:
            plain = self._vault.open_sealed(
                _PURPOSE, sign_in.account, sign_in.sign_in_id, _COLUMN, sign_in.sealed
            )
        except SealBrokenError:
            return None
        value = json.loads(plain)
        return KeptToken(
            token=value["token"],
            roles={
                AccountId(account): tuple(arns)
                for account, arns in value["roles"].items()
            },
        )
