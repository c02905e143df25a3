"""A call's audit record while the call is still running."""

from collections.abc import Mapping

from broker.model.audit import AuditRecord, Outcome
from broker.model.request import CodeOf, RequestContext
from broker.model.session import Caller

_TEXT_MAX = 1024
"""Characters of any one recorded text; what is longer is cut."""

_LIST_MAX = 100


class AuditEntry(AuditRecord, kw_only=True):
    """Opened before the work, filled in during it, completed once.

    ``committed`` is set where the completed record is written together with the
    call's own effect (a mint, a change); the writer leaves such an entry alone.
    ``is_counted`` is for calls of a data plane: where nothing failed there is no record,
    and failures are recorded up to a rate, for any caller.
    ``session`` is also what else minted for a call that failed, as far as it is known.
    ``is_proof_refused`` tells a refused proof whose caller an earlier step proved.
    """

    committed: bool = False
    is_counted: bool = False
    is_proof_refused: bool = False
    code_of: CodeOf | None = None

    @classmethod
    def of(cls, request: RequestContext, action: str) -> "AuditEntry":
        """The record of an action (``service:Name``) that is asked for."""
        raw = request.raw
        return cls(
            event_id=request.request_id,
            at=request.now,
            door=request.door,
            action=action,
            source_ip=raw.source_ip,
            user_agent=raw.find_header(b"user-agent") or "",
            region=request.region,
            code_of=request.code_of,
        )

    def name_caller(self, caller: Caller) -> None:
        """Say who called."""
        principal = caller.principal
        self.account = principal.account
        self.caller_arn = principal.arn
        self.principal_id = principal.userid
        self.access_key_id = caller.access_key_id
        if caller.session is not None:
            self.source_identity = caller.session.source_identity or ""

    def add_resource(self, arn: str) -> None:
        """Name one more resource that the call was about."""
        self.resources = (*self.resources, arn)

    def complete(self) -> AuditRecord:
        """The finished record, long texts cut."""
        self.decision = self.decision or Outcome.ALLOWED
        self.user_agent = self.user_agent[:_TEXT_MAX]
        self.reason, self.detail = self.reason[:_TEXT_MAX], self.detail[:_TEXT_MAX]
        return self


def audited_parameters(
    params: Mapping[str, object], names: tuple[str, ...]
) -> dict[str, object]:
    """The parameters on an action's allow-list, in a form JSON can hold."""
    return {
        name: value[:_TEXT_MAX]
        if isinstance(value := params[name], str)
        else _plain(value)
        for name in names
        if name in params
    }


def _plain(value: object) -> object:
    match value:
        case str():
            return value[:_TEXT_MAX]
        case bool() | int() | float() | None:
            return value
        case list() | tuple():
            return [_plain(item) for item in value[:_LIST_MAX]]
        case dict() | Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case _:
            return str(value)[:_TEXT_MAX]
