"""The path of a call, as one readable list. No rules of its own.

    receive   the edge hands over a RawRequest
    parse     the Query protocol takes it apart
    choose    name and version pick the action
    prove     who calls (for unsigned actions after *read*); a door other than the
              API's brings a proof of its own
    read      parameters against the operation's model
    permit    every need of the action is allowed
    do        the action's work, inside its transaction if it writes
    answer    the result in the operation's shape

Which error wins follows from that order. Calls that came together take the costly
steps together: *prove* for all of them, then *permit*, then *do*. The audit entry is
opened after *choose* and completed last; a request that cannot be parsed leaves a log
line only.
"""

import hashlib
import types
from collections.abc import Callable, Generator, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, NoReturn

import structlog

from broker.actions.action import Action, Call, Door, Given, Proof
from broker.actions.registry import Registry
from broker.audit.entry import AuditEntry, audited_parameters
from broker.audit.writer import Auditor
from broker.authn.endpoints import find_fixed_region, unsigned_region
from broker.authn.federated import FederatedScheme, federated_caller
from broker.authn.nominees import Nominee, Nominees
from broker.authn.sigv4 import SignatureScheme
from broker.authz.guard import Guard, reason
from broker.authz.rates import RateLimits
from broker.clock import Clock
from broker.errors import (
    AccessDenied,
    BrokerError,
    InternalFailure,
    InvalidAction,
    InvalidIdentityToken,
    MalformedInput,
    MalformedQueryString,
    UnsupportedOperation,
    ValidationError,
)
from broker.federation.saml import wire_error
from broker.model.answer import JSON, XML, Answer
from broker.model.caller import Caller
from broker.model.federated import FederatedIdentity
from broker.model.raw import RawRequest
from broker.model.uses import ACCEPTED, PROOFS, REFUSED
from broker.offload import LONG, offload, offload_long
from broker.protocols.query import (
    FAULT_NAMESPACE,
    QueryCall,
    QueryRejected,
    Reason,
    Service,
    flatten,
    parse_call,
    render_fault,
    render_json_fault,
    select_service,
)
from broker.protocols.saml.errors import SamlRejected
from broker.stores.directory.port import Directory
from broker.stores.errors import StoreFailedError, refusal_of
from broker.stores.uses import UseBuffer

_log = structlog.get_logger(__name__)

SIGN_IN_PATH = "/signin"

_ERRORS: Mapping[Reason, type[BrokerError]] = {
    Reason.INVALID_ACTION: InvalidAction,
    Reason.MALFORMED_INPUT: MalformedInput,
    Reason.MALFORMED_QUERY_STRING: MalformedQueryString,
    Reason.VALIDATION_ERROR: ValidationError,
}


class Pipeline:
    """Carries calls of every door through the same steps."""

    def __init__(
        self,
        *,
        services: Iterable[Service],
        registry: Registry,
        signature: SignatureScheme,
        federated: FederatedScheme,
        nominees: Nominees,
        guard: Guard,
        auditor: Auditor,
        directory: Directory,
        clock: Clock,
        home_region: str,
        public_host: str,
        regions: AbstractSet[str] | None,
        rates: RateLimits,
        uses: UseBuffer | None = None,
    ) -> None:
        self._services = tuple(services)
        self._uses = uses
        self._registry = registry
        self._signature = signature
        self._federated = federated
        self.nominees = nominees
        self._guard = guard
        self._auditor = auditor
        self._directory = directory
        self._clock = clock
        self._home_region = home_region
        self._public_host = public_host
        self._regions = regions
        self._rates = rates

    async def answer(self, raw: RawRequest, request_id: str) -> Answer:
        """One API call, from the wire to the wire. Never raises."""
        fault = _Fault(request_id)
        try:
            if len(raw.body) > LONG:
                raw, query = await offload(lambda: _parse_long(raw), proved=False)
            else:
                query = parse_call(raw)
            fault.as_json = query.wants_json
            if query.action is None:
                return Answer.redirect(SIGN_IN_PATH)
            service = select_service(self._services, query)
            fault.action, fault.namespace = query.action, service.namespace
            action = self._registry.find(service.name, query.action)
            read = service.reader(query.action)
            if action is None:
                action, read = _unbuilt(service.name, query.action), dict
            call = self._open(raw, request_id, Door.API, action)
            result = await self.perform(call, action, lambda: read(query.params))

            def render() -> bytes:
                return service.render(
                    action.name, result, request_id, as_json=query.wants_json
                )

            return Answer(
                status=200,
                headers=((b"content-type", JSON if query.wants_json else XML),),
                body=await offload(render) if action.is_long(result) else render(),
                action=action.name,
            )
        except BrokerError as error:
            return fault.answer(error)
        except QueryRejected as rejected:
            return fault.answer(_ERRORS[rejected.reason](rejected.message))
        except Exception:  # noqa: BLE001  # the one place where anything may end
            _log.exception("unexpected failure", request_id=request_id)
            return fault.answer(InternalFailure())

    async def perform(
        self, call: Call, action: Action, read: Callable[[], Given]
    ) -> Mapping[str, Any]:
        """The gates and the work of one call, whatever door it came in by.

        Raises:
            BrokerError: the call's error, already on its audit record.
        """
        async with self._auditor.opened(call.entry):
            try:
                return await self._walk(call, action, read)
            except QueryRejected as rejected:
                raise _ERRORS[rejected.reason](rejected.message) from rejected
            except StoreFailedError as failure:
                raise refusal_of(failure) from failure

    async def _walk(
        self, call: Call, action: Action, read: Callable[[], Given]
    ) -> Mapping[str, Any]:
        if action.proof is Proof.SIGNATURE:
            await _fall_in()
            await self._prove_signature(call, action)
            await _fall_in()
            given = await offload_long(len(call.raw.body), read)
            call.entry.parameters = audited_parameters(given, action.audited)
        else:
            given = await offload_long(len(call.raw.body), read, proved=False)
            call.entry.parameters = audited_parameters(given, action.audited)
            await _fall_in()
            await self._prove_federated(call, action, given)
            await _fall_in()
        if action.calls:
            await self._rates.require(call.account, action.service, action.calls)
        needs = await action.needs(given, call)
        call.entry.resources = tuple(dict.fromkeys(n.resource for n in needs))
        decisions = await self._guard.require(
            call.caller, needs, call.raw, region=call.region, now=call.now
        )
        call.entry.decision = "allowed"
        call.entry.reason = reason(decisions)
        await _fall_in()
        if action.prepare is not None:
            await action.prepare(given, call)
        return await self._do(action, given, call)

    def open(
        self, raw: RawRequest, request_id: str, door: Door, service: str, name: str
    ) -> tuple[Call, Action]:
        """A call of a built action through another door than the API's."""
        action = self._registry.find(service, name)
        if action is None:
            raise UnsupportedOperation(f"{service}:{name} is not supported")
        return self._open(raw, request_id, door, action), action

    def find_region(self, raw: RawRequest) -> str:
        """The region that a request of no signature is made in."""
        fixed = find_fixed_region(raw.find_header(b"host"), self._public_host)
        return unsigned_region(fixed, self._home_region, self._regions)

    def read(self, service: str, name: str, given: Given) -> Given:
        """What a door gives an operation, held to its model as if it came by the wire.

        An action without a model (``signin``) takes it as it is.

        Raises:
            QueryRejected: it breaks a constraint. `perform` tells it as the API does.
        """
        for one in self._services:
            if one.name == service and name in one.operations:
                return one.reader(name)(flatten(given))
        return given

    def _open(
        self, raw: RawRequest, request_id: str, door: Door, action: Action
    ) -> Call:
        now = self._clock.now()
        fixed = find_fixed_region(raw.find_header(b"host"), self._public_host)
        region = unsigned_region(fixed, self._home_region, self._regions)
        return Call(
            request_id=request_id,
            raw=raw,
            door=door,
            now=now,
            region=region,
            at_global_endpoint=fixed == "",
            directory=self._directory,
            entry=AuditEntry(
                event_id=request_id,
                at=now,
                door=door.value,
                action=f"{action.service}:{action.name}",
                source_ip=raw.source_ip,
                user_agent=raw.find_header(b"user-agent") or "",
                region=region,
            ),
        )

    async def _prove_signature(self, call: Call, action: Action) -> None:
        if call.proved is None and call.door_proof is not None:
            call.proved = await call.door_proof(call.now)
        if call.proved is None:
            proved = await self._signature.prove(
                call.raw, service=action.service, action=action.name, now=call.now
            )
            call.proved = proved.caller
            call.region = call.entry.region = proved.region
        _note_caller(call.entry, call.caller)
        if self._uses is not None:
            _note_use(self._uses, call, action)

    async def _prove_federated(self, call: Call, action: Action, given: Given) -> None:
        try:
            identity = call.identity = await self._find_identity(call, action, given)
        except BrokerError:
            nominee = await (
                self.nominees.of_saml_provider(given["PrincipalArn"])
                if action.proof is Proof.SAML
                else self.nominees.of_token(given["RoleArn"], given["WebIdentityToken"])
            )
            self.note_refused_proof(call.entry, nominee)
            raise
        call.proved = federated_caller(identity)
        _note_caller(call.entry, call.caller)
        if self._uses is not None:
            self._uses.note(
                identity.account,
                identity.provider_id,
                PROOFS,
                ACCEPTED,
                call.now,
                call.region,
            )

    async def _find_identity(
        self, call: Call, action: Action, given: Given
    ) -> FederatedIdentity:
        if call.identity is not None:
            return call.identity
        if call.identity_proof is not None:
            return await call.identity_proof(call.now)
        if action.proof is not Proof.SAML:
            return await self._federated.prove_token(given, call.now)
        try:
            return await self._federated.prove_assertion(given, call.now)
        except InvalidIdentityToken as error:
            if not isinstance(error.__cause__, SamlRejected):
                raise
            # AWS's texts of these name the request.
            raise wire_error(
                error.__cause__, request_id=call.request_id
            ) from error.__cause__

    def note_refused_proof(self, entry: AuditEntry, nominee: Nominee | None) -> None:
        """Let those find a refusal whose provider the proof was brought for."""
        if nominee is None:
            return
        entry.account = nominee.account
        if nominee.provider is None:
            return
        entry.resources = (nominee.provider.arn,)
        if self._uses is not None:
            self._uses.note(
                nominee.account,
                nominee.provider_id,
                PROOFS,
                REFUSED,
                entry.at,
                entry.region,
            )

    async def _do(self, action: Action, given: Given, call: Call) -> Mapping[str, Any]:
        if not action.writes:
            return await action.handle(given, call)
        try:
            async with self._directory.change(call.account) as change:
                call.directory = call.opened = change
                result = await action.handle(given, call)
                await change.record(call.entry.complete())
        finally:
            call.directory, call.opened = self._directory, None
        call.entry.committed = True
        return result


@types.coroutine
def _fall_in() -> Generator[None, None, None]:
    """Let the calls that came with this one get as far.

    What a step's code and data bring into the processor's caches then serves all of
    them: a call takes a fifth less time than one that runs through alone.
    """
    yield  # what asyncio.sleep(0) comes to, without its four calls


def _parse_long(raw: RawRequest) -> tuple[RawRequest, QueryCall]:
    """What takes long when a body is long, its hash included."""
    hashed = replace(raw, body_sha256=hashlib.sha256(raw.body).hexdigest())
    return hashed, parse_call(raw)


def _note_caller(entry: AuditEntry, caller: Caller) -> None:
    principal = caller.principal
    entry.account = principal.account
    entry.caller_arn = principal.arn
    entry.principal_id = principal.userid
    entry.access_key_id = caller.access_key_id


def _note_use(uses: UseBuffer, call: Call, action: Action) -> None:
    caller, service = call.caller, action.service
    unique_id = caller.principal.unique_id
    if unique_id:
        uses.note(
            caller.account, unique_id, service, action.name, call.now, call.region
        )
    if caller.session is None and caller.access_key_id:
        uses.note(
            caller.account, caller.access_key_id, service, "", call.now, call.region
        )


def _unbuilt(service: str, name: str) -> Action:
    """What answers for an operation that AWS has and the broker does not.

    It refuses after the proof, so that a stranger learns nothing.
    """

    async def refuse(_given: Given, _call: Call) -> NoReturn:
        raise UnsupportedOperation(f"The operation {name} is not supported.")

    return Action(service=service, name=name, needs=refuse, handle=refuse)


class _Fault:
    """How a failed call is answered, as far as it got."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self.namespace = FAULT_NAMESPACE
        self.action = ""
        self.as_json = False

    def answer(self, error: BrokerError) -> Answer:
        encoded = error.encoded if isinstance(error, AccessDenied) else ""
        if self.as_json:
            body = render_json_fault(
                error.code,
                error.message,
                fault=error.fault,
                request_id=self._request_id,
                encoded=encoded,
                advice=error.advice,
            )
        else:
            body = render_fault(
                error.code,
                error.message,
                fault=error.fault,
                request_id=self._request_id,
                namespace=self.namespace,
                encoded=encoded,
                advice=error.advice,
            )
        return Answer(
            status=error.status,
            headers=((b"content-type", JSON if self.as_json else XML),),
            body=body,
            action=self.action,
            error_code=error.code,
        )
