"""The path of a call, as one readable list. No rules of its own.

    receive   an edge hands over the request, its door, and the action that is asked for
    prove     who calls, by the action's scheme or by the door's own proof
    read      parameters against the operation's model (before *prove* where the proof
              is a parameter)
    permit    the account's rate and share, then every permission that the action needs
    do        the action's work, inside its transaction if it writes
    answer    the edge renders the result, or the error, in its protocol's shape

The edges, and the proofs that they accept, are in docs/architecture.md, *The gates of
each door*.

Which error wins follows from that order. Calls that came together take each stage
together: *prove* for all of them, then *permit*, *do* and *answer*; one that has to wait
lets the others go on, and goes on itself when it can. The audit record is opened before
the work and written last, or together with the call's own effect.
"""

from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any

from broker.actions.action import Action, Call, Proof
from broker.actions.refusals import REFUSALS, wire_error
from broker.audit.entry import AuditEntry, audited_parameters
from broker.audit.writer import Auditor
from broker.model.request import CodeOf, Door, Params, RawRequest, RequestContext
from broker.model.uses import ACCEPTED, PROOFS, REFUSED
from broker.permit.guard import Guard, reason
from broker.permit.rates import RateLimits
from broker.proofs.endpoints import Endpoints
from broker.proofs.scheme import ProofRefused, Scheme
from broker.runtime.batches import NEXT_TURN
from broker.runtime.clock import Clock
from broker.runtime.offload import LONG, offload
from broker.runtime.shares import METER
from broker.stores.directory.port import Directory
from broker.stores.uses import UseBuffer

Result = Mapping[str, Any]

_RESOURCE = attrgetter("resource")


class Pipeline:
    """Carries calls of every door through the same steps."""

    def __init__(
        self,
        *,
        schemes: Mapping[Proof, Scheme],
        rates: RateLimits,
        guard: Guard,
        auditor: Auditor,
        uses: UseBuffer,
        directory: Directory,
        endpoints: Endpoints,
        clock: Clock,
    ) -> None:
        self.schemes = schemes
        self.rates = rates
        self._guard = guard
        self._auditor = auditor
        self._uses = uses
        self._directory = directory
        self._endpoints = endpoints
        self._clock = clock
        self._stages = (self._prove, self._permit, self._do)  # the same for every door
        self._prepared = (self._prove, self._permit, self._prepare, self._do)

    def receive(
        self,
        raw: RawRequest,
        request_id: str,
        door: Door,
        code_of: CodeOf | None = None,
        has_left: Callable[[], bool] | None = None,
    ) -> RequestContext:
        """A request as every action sees it; this is its one ``now``."""
        region, is_global = self._endpoints.locate(raw)
        return RequestContext(
            request_id=request_id,
            raw=raw,
            door=door,
            now=self._clock.now(),
            region=region,
            at_global_endpoint=is_global,
            code_of=code_of,
            has_left=has_left,
        )

    async def perform(
        self,
        request: RequestContext,
        action: Action,
        read: Callable[[], Params],
        proof: Scheme | None = None,
    ) -> Result:
        """The gates and the work of one call, whatever door it came in by.

        ``proof`` is the door's own, where that takes no proof of the API.

        Raises:
            BrokerError: the call's error, already on its audit record.
        """
        record = AuditEntry.of(request, f"{action.service}:{action.name}")
        record.is_counted = action.counted
        call = Call(
            request=request,
            now=request.now,
            action=action,
            read=read,
            proof=proof,
            directory=self._directory,
            record=record,
            rates=self.rates,
            region=request.region,
        )
        NEXT_TURN.calls += 1
        try:
            await NEXT_TURN
            for stage in self._stages if action.prepare is None else self._prepared:
                await stage(call)
                if NEXT_TURN.calls > 1:
                    await NEXT_TURN
        except REFUSALS as error:
            refusal = wire_error(error)
            await self._auditor.fail(record, refusal)
            raise refusal from error
        except BaseException as error:
            await self._auditor.fail(record, error)
            raise
        finally:
            NEXT_TURN.calls -= 1
        return call.result

    async def _prove(self, call: Call) -> None:
        """Who calls, by the action's scheme or the door's own; the input is read."""
        action, request, record = call.action, call.request, call.record
        scheme = call.proof or self.schemes[action.proof]
        try:
            proved, call.params = await scheme.prove(
                request, action.service, action.name, partial(self._read, call)
            )
        except ProofRefused as refused:
            self._note_refused(request, record, refused)
            raise refused.error from refused.error.__cause__
        caller = call.caller = proved.caller
        call.identity, call.keep = proved.identity, proved.keep
        call.one_time_use = proved.one_time_use
        meter = METER.get()
        if meter is not None:
            meter.account = caller.account
        region = record.region = call.region = proved.region or call.region
        record.name_caller(caller)
        if proved.details:
            record.parameters = {**record.parameters, **proved.details}
        uses, now, of = self._uses, call.now, proved.identity
        if of is None:
            uses.note_call(caller, action.service, action.name, now, region)
        else:
            uses.note(of.account, of.provider_id, PROOFS, ACCEPTED, now, request.region)

    async def _read(self, call: Call) -> Params:
        """The input; the record shows what the action lists of it."""
        if len(call.request.raw.body) > LONG:
            params = await offload(call.read, proved=not call.action.proof.is_parameter)
        else:
            params = call.read()
        call.record.parameters = audited_parameters(params, call.action.audited)
        return params

    async def _permit(self, call: Call) -> None:
        """The rate of the account, then every permission that the action needs."""
        action, record = call.action, call.record
        if action.calls:
            await self.rates.charge(call.account, action.service, action.calls)
        if self.rates.shares.is_busy(call.account):
            await call.afford()
        needs = call.needs = await action.needs(call.params, call)
        if not needs:
            record.decision = "allowed"
            return
        record.resources = tuple(dict.fromkeys(map(_RESOURCE, needs)))
        if NEXT_TURN.calls > 1:
            await NEXT_TURN
        decisions = await self._guard.require(
            call.caller,
            needs,
            call.request.raw,
            region=call.region,
            now=call.now,
        )
        record.decision, record.reason = "allowed", reason(decisions)

    async def _prepare(self, call: Call) -> None:
        call.prepared = await call.action.prepare(call.params, call)  # type: ignore[misc]

    async def _do(self, call: Call) -> None:
        """The work, together with its record where it writes."""
        action, params = call.action, call.params
        if action.writes:
            held = await action.holds(params, call) if action.holds else ()
            async with self._directory.change(call.account, *held) as change:
                call.directory = call.opened = change
                call.result = await action.handle(params, call) or {}
                await change.record(call.record.complete())
            call.record.committed = True
        else:
            call.result = await action.handle(params, call) or {}
            if not call.record.committed:
                await self._auditor.append(call.record)

    def _note_refused(
        self, request: RequestContext, record: AuditEntry, refused: ProofRefused
    ) -> None:
        """Let those find a refusal whom the proof concerns."""
        record.is_proof_refused = True
        record.account = refused.account
        if refused.caller is not None:
            record.name_caller(refused.caller)
        record.parameters = {**record.parameters, **refused.details}
        if refused.arn:
            record.add_resource(refused.arn)
        if refused.provider_id:
            of, at = refused.provider_id, (request.now, request.region)
            self._uses.note(refused.account, of, PROOFS, REFUSED, *at)
