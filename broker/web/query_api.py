"""The Query API between the endpoint and the pipeline: a request in, an answer out.

    parse     the Query protocol takes the request apart
    choose    name and version pick the action
    perform   the pipeline's steps
    render    the result, or the error, as XML or JSON

A request that cannot be parsed, or names no action, leaves a log line and no record.
"""

import hashlib
from dataclasses import replace

import structlog

from broker.actions.refusals import wire_error
from broker.actions.registry import Registry
from broker.actions.unsupported import unsupported_action
from broker.errors import (
    AccessDenied,
    BrokerError,
    InternalFailure,
)
from broker.model.answer import JSON, XML, Answer
from broker.model.raw import RawRequest
from broker.model.request import Door
from broker.offload import LONG, offload
from broker.pipeline import Pipeline
from broker.protocols.query import (
    FAULT_NAMESPACE,
    InputRejected,
    QueryCall,
    parse_call,
    render_fault,
    render_json_fault,
    select_service,
)
from broker.web.trail_api import TrailApi

_log = structlog.get_logger(__name__)

SIGN_IN_PATH = "/signin"


class QueryApi:
    """Answers calls of STS, IAM and the broker's own API, and passes on the trail's."""

    def __init__(self, pipeline: Pipeline, registry: Registry, trail: TrailApi) -> None:
        self._pipeline = pipeline
        self._registry = registry
        self._trail = trail

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
                if self._trail.serves(raw):
                    return await self._trail.answer(raw, request_id)
                return Answer.redirect(SIGN_IN_PATH)
            return await self._answer(raw, query, query.action, fault)
        except BrokerError as error:
            return fault.answer(error)
        except InputRejected as rejected:
            return fault.answer(wire_error(rejected))
        except Exception:  # noqa: BLE001  # the one place where anything may end
            _log.exception("unexpected failure", request_id=request_id)
            return fault.answer(InternalFailure())

    async def _answer(
        self, raw: RawRequest, query: QueryCall, name: str, fault: "_Fault"
    ) -> Answer:
        service = select_service(self._registry.services, query)
        fault.action, fault.namespace = name, service.namespace
        action = self._registry.find(service.name, name)
        read = service.reader(name)
        if action is None:
            action, read = unsupported_action(service.name, name), dict
        request = self._pipeline.receive(raw, fault.request_id, Door.API)
        result = await self._pipeline.perform(
            request, action, lambda: read(query.params)
        )

        def render() -> bytes:
            return service.render(
                name, result, fault.request_id, as_json=query.wants_json
            )

        return Answer(
            status=200,
            headers=((b"content-type", JSON if query.wants_json else XML),),
            body=await offload(render) if action.is_long(result) else render(),
            action=name,
        )


def _parse_long(raw: RawRequest) -> tuple[RawRequest, QueryCall]:
    """What takes long when a body is long, its hash included."""
    hashed = replace(raw, body_sha256=hashlib.sha256(raw.body).hexdigest())
    return hashed, parse_call(raw)


class _Fault:
    """The answer to a failed call, depending on how far it got."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
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
                request_id=self.request_id,
                encoded=encoded,
                advice=error.advice,
            )
        else:
            body = render_fault(
                error.code,
                error.message,
                fault=error.fault,
                request_id=self.request_id,
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
