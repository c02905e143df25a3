"""What was used last, noted at every call: principals, access keys, providers."""

from broker.model.account import AccountId
from broker.model.caller import Caller
from broker.model.federated import FederatedIdentity
from broker.model.request import RequestContext
from broker.model.uses import ACCEPTED, PROOFS, REFUSED
from broker.stores.uses import UseBuffer


class UseRecorder:
    """Notes uses; costs no query."""

    def __init__(self, buffer: UseBuffer) -> None:
        self._buffer = buffer

    def note_call(
        self,
        request: RequestContext,
        region: str,
        caller: Caller,
        service: str,
        action: str,
    ) -> None:
        """A principal used an action, and perhaps a long-term key for it."""
        note, account, now = self._buffer.note, caller.account, request.now
        unique_id = caller.principal.unique_id
        if unique_id:
            note(account, unique_id, service, action, now, region)
        if caller.session is None and caller.access_key_id:
            note(account, caller.access_key_id, service, "", now, region)

    def note_accepted(
        self, request: RequestContext, identity: FederatedIdentity
    ) -> None:
        """A provider's proof was accepted."""
        account, provider_id = identity.account, identity.provider_id
        now, region = request.now, request.region
        self._buffer.note(account, provider_id, PROOFS, ACCEPTED, now, region)

    def note_refused(
        self, request: RequestContext, account: AccountId, provider_id: str
    ) -> None:
        """A proof was refused that names a provider."""
        now, region = request.now, request.region
        self._buffer.note(account, provider_id, PROOFS, REFUSED, now, region)
