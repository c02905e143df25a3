"""A proved caller: the principal together with how it was proved."""

from collections.abc import Mapping

from msgspec import Struct

from broker.model.account import AccountId
from broker.model.principal import Principal
from broker.model.session import Session


class Caller(Struct, frozen=True, kw_only=True):
    """Who is calling, after the proof was accepted.

    ``session`` is set when temporary credentials (or a console session) prove the
    call. ``principal_tags`` are the tags that ``aws:PrincipalTag/…`` reads: the
    entity's own, overridden by the session's. ``context`` holds further condition
    keys that the proof brought (``saml:…``, ``{issuer}:…``), lower-case names.
    ``closed_roles`` are ARNs of roles that the provider gives to other groups.
    """

    principal: Principal
    access_key_id: str = ""
    session: Session | None = None
    principal_tags: Mapping[str, str] = {}
    context: Mapping[str, tuple[str, ...]] = {}
    closed_roles: frozenset[str] = frozenset()

    @property
    def account(self) -> AccountId:
        """The account the caller acts in."""
        return self.principal.account
