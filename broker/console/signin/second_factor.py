"""The kinds of second factor for signing in.

Each kind has its own form on the page, in ``templates/factors/``, and checks what the
form sends. To add a kind, write another `SecondFactor` and list it in
`second_factors`.
"""

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from msgspec import field

from broker.console.deps import ConsoleDeps
from broker.console.forms import Form
from broker.console.password_progress import PasswordProgress
from broker.model.secret import Confidential, Hidden
from broker.protocols.webauthn import (
    WebauthnReason,
    WebauthnRejected,
    authentication_options,
    find_relying_party,
)
from broker.runtime.entropy import random_bytes
from broker.stores.directory.kinds import MFA_DEVICE

_CODE = re.compile(r"[0-9]{6}", re.ASCII)
_CHALLENGE_BYTES = 32
_NO_ANSWER = "The browser sent no passkey response. Passkeys need JavaScript."
_REFUSED = "This passkey was not accepted. Try again, or use another device."
_COPIED = (
    "This passkey was not accepted: it may have been copied. Use another device, and"
    " ask an administrator of the account to remove this one."
)
_WRONG_CODE = "This code is wrong. Try again, or wait for the next one."
_USED_CODE = "This code was already used. Wait for the next one."
_WRONG_PAIR = (
    "These are not two consecutive codes. Wait for a new code, enter it, then wait for"
    " the next one and enter that as well."
)
_DRIFTED = (
    "Your device's clock seems to be off, or wrong codes have locked it. Enter two"
    " consecutive codes to resynchronize it."
)


class FactorOffer(Confidential, frozen=True):
    """One kind's form: its template and template variables.

    ``kept`` is passed to ``check`` and never sent to the browser.
    """

    template: str
    shown: Mapping[str, object] = field(default_factory=dict)
    kept: Hidden[Mapping[str, Any]] = field(default_factory=dict)


class RefusedFactor(Confidential, frozen=True):
    """The factor was refused: ``text`` is for the user, ``detail`` for the audit.

    ``kept`` is passed to the next ``offer``. A factor that ``was_used`` is no guess.
    """

    text: str
    detail: str
    kept: Hidden[Mapping[str, Any]] = field(default_factory=dict)
    was_used: bool = False


class SecondFactor(Protocol):
    """One kind of second factor."""

    name: str
    """Its value in the form's field ``factor``."""

    async def offer(self, pending: PasswordProgress) -> FactorOffer | None:
        """Its form on the page; None when the user has no such factor."""
        ...

    async def check(
        self, pending: PasswordProgress, form: Form, now: datetime
    ) -> str | RefusedFactor:
        """Check what the form sent, and use it up; the device's serial number."""
        ...


class CodeFactor:
    """Codes of virtual devices and hardware tokens; any of the user's devices counts.

    A device whose clock is off takes two consecutive codes.
    """

    name = "code"

    def __init__(self, deps: ConsoleDeps) -> None:
        self._directory = deps.directory
        self._codes = deps.mfa_codes

    async def offer(self, pending: PasswordProgress) -> FactorOffer | None:
        """A form for one code, or for two."""
        devices = await self._serials(pending)
        if not devices:
            return None
        kept = pending.kept.get(self.name, {})
        return FactorOffer(
            "factors/code.html",
            {"two": bool(kept.get("two")), "devices": len(devices)},
            kept,
        )

    async def check(
        self, pending: PasswordProgress, form: Form, now: datetime
    ) -> str | RefusedFactor:
        """Spend one code, or two consecutive ones."""
        first, second = _code(form, "code"), _code(form, "code2")
        two = bool(pending.kept.get(self.name, {}).get("two")) or bool(second)
        serials = await self._serials(pending)
        who = (pending.account, serials, pending.holder)
        if two:
            serial = None
            if _CODE.fullmatch(first) and _CODE.fullmatch(second):
                serial = await self._codes.accept_pair(*who, (first, second), now)
            if serial is None:
                return RefusedFactor(
                    _WRONG_PAIR, "no two consecutive codes", {"two": True}
                )
            return serial
        serial = await self._codes.accept_any(*who, first, now)
        if serial is not None:
            return serial
        if await self._codes.are_drifted(*who, first, now):
            return RefusedFactor(
                _DRIFTED, "the clock is off, or it is locked", {"two": True}
            )
        if await self._codes.is_used(*who, first, now):
            return RefusedFactor(_USED_CODE, "a used code", was_used=True)
        return RefusedFactor(_WRONG_CODE, "no code of any device, or all are locked")

    async def _serials(self, pending: PasswordProgress) -> tuple[str, ...]:
        devices = await self._directory.all_of(
            MFA_DEVICE, pending.account, user_id=pending.holder
        )
        return tuple(device.serial for device in devices)


class PasskeyFactor:
    """Any passkey of the user.

    The challenge is kept on the server and used up with the sign-in's handle, which
    is bound to the browser.
    """

    name = "passkey"

    def __init__(self, deps: ConsoleDeps) -> None:
        self._proofs = deps.passkeys
        self._party = find_relying_party(deps.public_origin)

    async def offer(self, pending: PasswordProgress) -> FactorOffer | None:
        """A new challenge for the user's passkeys."""
        known = await self._proofs.list_credentials(pending.account, pending.holder)
        if not known:
            return None
        if self._party is None:
            return FactorOffer("factors/passkey.html", {"options": ""})
        challenge = random_bytes(_CHALLENGE_BYTES)
        options = authentication_options(self._party, challenge=challenge, known=known)
        return FactorOffer(
            "factors/passkey.html",
            {"options": options},
            {"challenge": base64.b64encode(challenge).decode("ascii")},
        )

    async def check(
        self, pending: PasswordProgress, form: Form, now: datetime
    ) -> str | RefusedFactor:
        """Verify the authenticator's response to the challenge of this page."""
        challenge = pending.kept.get(self.name, {}).get("challenge")
        answer = form.find("credential") or ""
        if self._party is None or not challenge or not answer:
            return RefusedFactor(_NO_ANSWER, "no authenticator response")
        try:
            passkey = await self._proofs.accept(
                pending.account,
                pending.holder,
                self._party,
                answer,
                challenge=base64.b64decode(challenge),
                now=now,
            )
        except WebauthnRejected as rejected:
            copied = rejected.reason is WebauthnReason.COUNT_WENT_BACK
            return RefusedFactor(_COPIED if copied else _REFUSED, str(rejected))
        return passkey.serial


def second_factors(deps: ConsoleDeps) -> tuple[SecondFactor, ...]:
    """All kinds, in the order of the page."""
    return (CodeFactor(deps), PasskeyFactor(deps))


def _code(form: Form, name: str) -> str:
    """The code without spaces: apps show it in two groups."""
    return (form.find(name) or "").replace(" ", "")[:16]
