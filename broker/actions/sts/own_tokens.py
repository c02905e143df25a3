"""Web identity tokens of the broker's own: what they carry, should they come back.

A token that one account's principal was given can open a role of an account that
trusts the issuer. The sealed claim takes the lineage along, so that what the token
opens ends with whatever the token came from, and nothing opens when that has ended.
"""

import json
from base64 import b64decode, b64encode

from msgspec.structs import replace

from broker.actions.action import Call
from broker.errors import ExpiredFederationToken, ServiceUnavailable
from broker.model.account import AccountId, parse_account_id
from broker.model.federated import FederatedIdentity
from broker.model.lineage import Lineage, lineage_row, read_lineage
from broker.model.sealing import SealerOpener
from broker.sessions.lineage import lineage_of_token
from broker.sessions.resolve import find_token_end
from broker.sessions.vault import SealBrokenError
from broker.stores.directory.kinds import ACCOUNT
from broker.stores.directory.readings import FreshDirectory
from broker.stores.errors import StoreUnavailableError

LINEAGE_CLAIM = "broker_lineage"

_PURPOSE = "web-identity-token"
_COLUMN = "lineage"
_OVER = (
    "The web identity token that was passed is expired or is not valid. Get a new"
    " identity token from the identity provider and then retry the request."
)


class OwnTokens:
    """Seals the lineage into tokens, and reads it from those that come back."""

    def __init__(
        self, sealer: SealerOpener, fresh: FreshDirectory, public_origin: str
    ) -> None:
        self._sealer = sealer
        self._fresh = fresh
        self._issuers = f"{public_origin}/issuer/"

    def seal(self, call: Call, token_id: str) -> str:
        """The claim of a token that the caller is given."""
        lineage = lineage_of_token(call.caller)
        row = json.dumps([int(call.now.timestamp() * 1000), lineage_row(lineage)])
        sealed = self._sealer.seal(
            _PURPOSE, call.account, token_id, _COLUMN, row.encode("ascii")
        )
        return b64encode(sealed).decode("ascii")

    async def find_lineage(self, identity: FederatedIdentity) -> Lineage | None:
        """The lineage of a token that came back; None for all other tokens.

        Raises:
            ExpiredFederationToken: what the token came from has ended, or cannot be
                read any more.
            ServiceUnavailable: the directory is away.
        """
        if not identity.sealed_lineage or not identity.issuer.startswith(self._issuers):
            return None
        try:
            account = parse_account_id(identity.issuer.removeprefix(self._issuers))
            issued_at_ms, lineage = self._open(account, identity)
        except (ValueError, SealBrokenError) as error:
            raise ExpiredFederationToken(_OVER, detail=str(error)) from error
        try:
            if await self._fresh.find(ACCOUNT, account) is None:
                why = "its account no longer exists"
            else:
                why = await find_token_end(lineage, account, issued_at_ms, self._fresh)
        except StoreUnavailableError as error:
            raise ServiceUnavailable(
                detail=f"the directory is away: {error}"
            ) from error
        if why:
            raise ExpiredFederationToken(_OVER, detail=why)
        origin = lineage.origin
        whose, began_ms = origin.account or account, origin.began_ms or issued_at_ms
        began = replace(origin, account=whose, began_ms=began_ms)
        return replace(lineage, origin=began)

    def _open(
        self, account: AccountId, identity: FederatedIdentity
    ) -> tuple[int, Lineage]:
        plain = self._sealer.open_sealed(
            _PURPOSE,
            account,
            identity.token_id,
            _COLUMN,
            b64decode(identity.sealed_lineage, validate=True),
        )
        issued_at_ms, row = json.loads(plain)
        return issued_at_ms, read_lineage(row)
