"""An account's invariants: who changes them, and what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from broker.actions.action import Call
from broker.actions.decisions.declare import change, everything, read
from broker.errors import AccessDenied, InvalidInput
from broker.kinds.accounts import require_account
from broker.kinds.control_policies import (
    ControlKind,
    ControlPolicy,
    check_control_policies,
    control_policies,
    option_value,
)
from broker.model.account import Account
from broker.permit.invariants import find_broken, refusal
from broker.stores.directory.accounts import update_account

if TYPE_CHECKING:
    from broker.model.types import broker as types

_KIND = ControlKind.INVARIANT


async def _prepare(params: types.PutInvariantsRequest, call: Call) -> None:
    """Judge new ones by every user and role: too long for a transaction.

    The transaction judges again, with what is remembered of this.
    """
    account = await require_account(call.directory, call.account)
    kept = control_policies(account, _KIND)
    new = [entry for entry in _read(params) if entry not in kept]
    findings = await find_broken(call.directory, account, new)
    if findings:
        raise AccessDenied(refusal(findings))


async def _put(params: types.PutInvariantsRequest, call: Call) -> None:
    account = await require_account(call.change, call.account)
    await update_account(call.change, _with(account, _read(params)))


async def _list(
    _given: types.ListInvariantsRequest, call: Call
) -> types.ListInvariantsResponse:
    account = await require_account(call.directory, call.account)
    return {
        "Invariants": [
            {"PolicyName": entry.name, "PolicyDocument": entry.text}
            for entry in control_policies(account, _KIND)
        ]
    }


def _read(params: types.PutInvariantsRequest) -> tuple[ControlPolicy, ...]:
    listed = tuple(
        ControlPolicy(entry["PolicyName"], entry["PolicyDocument"])
        for entry in params.get("Invariants", ())
    )
    try:
        check_control_policies(_KIND, listed)
    except ValueError as error:
        raise InvalidInput(f"Invariants: {error}.") from error
    return listed


def _with(account: Account, invariants: tuple[ControlPolicy, ...]) -> Account:
    options = {name: o for name, o in account.options.items() if name != _KIND}
    if invariants:
        options[_KIND.value] = option_value(invariants)
    return replace(account, options=options)


INVARIANTS = (
    replace(
        change("PutInvariants", _put, everything, calls=20),
        prepare=_prepare,
        audited=("Invariants",),
    ),
    read("ListInvariants", _list, everything),
)
