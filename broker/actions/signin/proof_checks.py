"""Actions that check a proof before the sign-in page mints a session with it.

The proof is verified like any other, so refusals are recorded; the action only returns
what the proof allows.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from broker.actions.action import Action, Call, Handle, needs_nothing
from broker.errors import InvalidIdentityToken
from broker.model.request import Given

NO_ROLE = "The response names no role that its own provider may open."
_NO_ROLE_DETAIL = (
    "no value of the Role attribute pairs a role of the provider's account with the"
    " provider, and no group of the subject is mapped to a role"
)


class ProvedRolesRequest(TypedDict):
    """The ARNs of the roles that the proof allows."""

    RoleArns: Sequence[str]


def proof_check_actions() -> tuple[Action, ...]:
    """Listing roles after a federated proof; checking a password or factor."""
    return (
        _check("ListRolesWithSAML", _list_roles),
        _check("ListRolesWithWebIdentity", _list_roles),
        _check("ListRolesWithLDAPIdentity", _note_roles),
        _check("CheckPassword", _confirm, "UserName"),
        _check("CheckMfa", _confirm, "MFAIdentifier"),
    )


def _check(name: str, handle: Handle, *audited: str) -> Action:
    return Action(
        service="signin", name=name, needs=needs_nothing, handle=handle, audited=audited
    )


async def _list_roles(given: ProvedRolesRequest, call: Call) -> Mapping[str, Any]:
    for arn in given["RoleArns"]:
        call.record.add_resource(arn)
    if not given["RoleArns"]:
        raise InvalidIdentityToken(NO_ROLE, detail=_NO_ROLE_DETAIL)
    return {}


async def _note_roles(given: ProvedRolesRequest, call: Call) -> Mapping[str, Any]:
    """For a page that has refused those without a role, unless others may give some."""
    for arn in given["RoleArns"]:
        call.record.add_resource(arn)
    return {}


async def _confirm(_given: Given, _call: Call) -> Mapping[str, Any]:
    return {}
