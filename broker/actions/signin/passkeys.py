"""``CreatePasskeyOptions`` and ``RegisterPasskey``: the caller's own passkeys.

The permission is ``iam:EnableMFADevice`` on oneself, with ``iam:RegisterSecurityKey``
as in AWS's two steps. Neither AWS nor the broker has an API for it.

Challenges for signing in are part of the sign-in (`broker.console.login_states`).
"""

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

from msgspec import Struct

from broker.actions.action import Action, Call, Needs
from broker.actions.iam import targets as on
from broker.actions.iam.holders import require_caller
from broker.actions.iam.targets import require_shown_factor
from broker.errors import InvalidUserType, ValidationError
from broker.kinds import passkeys
from broker.kinds.accounts import require_account
from broker.model.account import AccountId
from broker.model.principal import PrincipalType
from broker.model.request import Params
from broker.model.secret import Confidential, Hidden
from broker.model.session import SessionKind
from broker.permit.need import Need
from broker.protocols.webauthn import (
    Credential,
    RelyingParty,
    WebauthnRejected,
    registration_options,
    verify_registration,
)
from broker.runtime.entropy import random_bytes
from broker.sessions.handles import Handles
from broker.sessions.vault import Vault
from broker.stores.cache.port import Cache
from broker.stores.directory.kinds import PASSKEY

LIFE = timedelta(minutes=5)
_CHALLENGE_BYTES = 32

NO_PARTY = "Passkeys need the broker to be reached by https and a domain's name (or as http://localhost)."
_TOO_LATE = "This page was open for too long, or was used before. Start again."
_REFUSED = (
    "The browser's answer does not prove a new passkey for this site. Start again."
)


class Ceremony(Confidential, frozen=True, kw_only=True):
    """Who may answer a challenge: a user (for root the account's id) in one browser.

    ``session`` is any text that only this browser's session has.
    """

    account: AccountId
    holder: str
    session: Hidden[str]


class PasskeyCeremonies:
    """Challenges in the cache; methods raise ``ServiceUnavailable`` without it."""

    def __init__(self, cache: Cache, vault: Vault) -> None:
        self._handles = Handles(cache, vault, "passkey")

    async def begin(self, ceremony: Ceremony, now: datetime) -> tuple[str, bytes]:
        """Create a challenge; return its handle and the challenge."""
        challenge = random_bytes(_CHALLENGE_BYTES)
        value = {
            "for": _digest(ceremony),
            "challenge": base64.b64encode(challenge).decode("ascii"),
        }
        return await self._handles.put(value, now + LIFE), challenge

    async def finish(self, handle: str, ceremony: Ceremony) -> bytes | None:
        """Use up a challenge; None for a handle that is used up or someone else's."""
        value = await self._handles.take(handle)
        if value is None or value["for"] != _digest(ceremony):
            return None
        return base64.b64decode(value["challenge"])


def _digest(ceremony: Ceremony) -> str:
    parts = (ceremony.account, ceremony.holder, ceremony.session)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class RegisterPasskeyRequest(TypedDict):
    """A name, the browser's response and the ceremony it answers."""

    DeviceName: str
    Ceremony: str
    Credential: str


class _Registration(Struct, frozen=True):
    """What ``prepare`` verified."""

    name: str
    credential: Credential


class Passkeys:
    """The handlers; without a relying party they refuse."""

    def __init__(
        self, ceremonies: PasskeyCeremonies, party: RelyingParty | None
    ) -> None:
        self._ceremonies = ceremonies
        self._party = party

    def actions(self) -> tuple[Action, ...]:
        """The declarations."""
        return (
            Action(
                service="signin",
                name="CreatePasskeyOptions",
                needs=_needs("Create"),
                handle=self._options,
            ),
            Action(
                service="signin",
                name="RegisterPasskey",
                needs=_needs("Activate"),
                prepare=self._verify,
                handle=_register,
                writes=True,
                audited=("DeviceName",),
            ),
        )

    async def _options(self, _given: Params, call: Call) -> Mapping[str, Any]:
        """``Options`` for the browser as JSON, and the handle of the ``Ceremony``."""
        party = self._require_party()
        principal = call.caller.principal
        account = await require_account(call.directory, call.account)
        holder = principal.unique_id
        await passkeys.require_room(call.directory, account, holder)
        await passkeys.ready_for_passkeys()
        known = await call.directory.all_of(PASSKEY, call.account, user_id=holder)
        ceremony = _ceremony(call)
        handle, challenge = await self._ceremonies.begin(ceremony, call.now)
        alias = account.alias or account.account_id
        options = registration_options(
            party,
            user_handle=passkeys.passkey_handle(holder),
            user_name=f"{principal.username or 'root'}@{alias}",
            challenge=challenge,
            known=[passkeys.as_credential(passkey) for passkey in known],
        )
        return {"Options": options, "Ceremony": handle}

    # The cache may share the database's single writer, so it is read before the
    # transaction begins.
    async def _verify(
        self, params: RegisterPasskeyRequest, call: Call
    ) -> _Registration:
        party = self._require_party()
        await passkeys.ready_for_passkeys()
        name = passkeys.require_passkey_name(params["DeviceName"])
        challenge = await self._ceremonies.finish(params["Ceremony"], _ceremony(call))
        if challenge is None:
            raise ValidationError(_TOO_LATE, detail="no such ceremony of this session")
        try:
            credential = verify_registration(
                party, params["Credential"], challenge=challenge
            )
        except WebauthnRejected as rejected:
            raise ValidationError(_REFUSED, detail=str(rejected)) from rejected
        return _Registration(name, credential)

    def _require_party(self) -> RelyingParty:
        if self._party is None:
            raise ValidationError(NO_PARTY)
        return self._party


async def _register(_given: Params, call: Call) -> Mapping[str, Any]:
    prepared = call.prepared
    if not isinstance(prepared, _Registration):
        raise TypeError("the passkey was not verified")
    await require_shown_factor(call.caller.principal.unique_id, call)
    is_user = call.caller.principal.type is PrincipalType.USER
    passkey = await passkeys.register_passkey(
        call.change,
        await require_account(call.change, call.account),
        await require_caller(call, call.change) if is_user else None,
        name=prepared.name,
        credential=prepared.credential,
        now=call.now.replace(microsecond=0),
    )
    call.record.add_resource(passkey.serial)
    return {"SerialNumber": passkey.serial}


def _ceremony(call: Call) -> Ceremony:
    session = call.caller.session
    return Ceremony(
        account=call.account,
        holder=call.caller.principal.unique_id,
        session="" if session is None else session.access_key_id,
    )


def _needs(state: str) -> Needs:
    async def needs(_given: Params, call: Call) -> tuple[Need, ...]:
        principal = call.caller.principal
        session = call.caller.session
        if (
            principal.type not in {PrincipalType.USER, PrincipalType.ACCOUNT}
            or session is None
            or session.kind is not SessionKind.CONSOLE
        ):
            raise InvalidUserType(
                "Only IAM users and the root user who signed in have passkeys."
            )
        target = await on.user_or_self({}, call)
        return (
            Need(
                action="iam:EnableMFADevice",
                resource=target.arn,
                account=call.account,
                context={**target.context, "iam:registersecuritykey": (state,)},
            ),
        )

    return needs
