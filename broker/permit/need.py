"""A permission that a call needs."""

from collections.abc import Mapping

from msgspec import Struct

from broker.model.account import AccountId
from broker.model.entities import Role


class Trust(Struct, frozen=True, kw_only=True):
    """The role whose trust policy must allow; None when there is no such role.

    A missing role is refused with the same message as a refused trust.
    """

    role: Role | None


class Need(Struct, frozen=True, kw_only=True):
    """One action on one resource, with the condition keys the call brings for it.

    ``context`` has lower-case key names; a key that is absent is absent. ``account``
    is the account that owns the resource. ``trust`` is set for the permissions that
    a role's trust policy decides. ``granted`` is set for what an account setting
    permits to all users; a Deny still counts. ``has_policy`` is set for resources of
    registered services, which may have policies of their own. ``shown`` is what a refusal shows instead
    of the ARN.
    """

    action: str
    resource: str
    account: AccountId
    context: Mapping[str, tuple[str, ...]] = {}
    trust: Trust | None = None
    granted: bool = False
    has_policy: bool = False
    shown: str | None = None
