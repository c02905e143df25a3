"""The Query API between the endpoint and the pipeline: a request in, an answer out.

    parse     the Query protocol takes the request apart
    choose    name and version pick the action
    perform   the pipeline's steps
    render    the result, or the error, as XML or JSON

A request that cannot be parsed, or names no action, leaves a log line and no record.
"""

import hashlib
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from broker.actions.action import Proof
from broker.actions.refusals import wire_error
from broker.actions.registry import Registry
from broker.actions.unsupported import unsupported_action
from broker.edges.doors import MACHINES, Doors
from broker.edges.trail_api import TrailApi
from broker.errors import AccessDenied, BrokerError, InternalFailure
from broker.model.answer import JSON, XML, Answer
from broker.model.raw import RawRequest
from broker.model.request import Door
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
from broker.runtime.offload import LONG, offload

_log = structlog.get_logger(__name__)

SIGN_IN_PATH = "/signin"
_OF_MACHINES = (Proof.JOIN_TOKEN, Proof.MACHINE_TOKEN, Proof.INSTANCE)
_AS_JSON = ((b"content-type", JSON),)
_AS_XML = ((b"content-type", XML),)


class QueryApi:
    """Answers calls of STS, IAM and the broker's own API, and passes on the trail's."""

    def __init__(
        self, pipeline: Pipeline, registry: Registry, trail: TrailApi, doors: Doors
    ) -> None:
        self._pipeline = pipeline
        self._registry = registry
        self._trail = trail
        self._doors = doors

    async def answer(self, raw: RawRequest, request_id: str) -> Answer:
        """One API call, from the wire to the wire. Never raises."""
        name, namespace, as_json = "", FAULT_NAMESPACE, False
        try:
            if len(raw.body) > LONG:
                raw, query = await offload(lambda: _parse_long(raw), proved=False)
            else:
                query = parse_call(raw)
            as_json = query.wants_json
            if query.action is None:
                if self._trail.serves(raw):
                    return await self._trail.answer(raw, request_id)
                return Answer.redirect(SIGN_IN_PATH)
            service = select_service(self._registry.services, query)
            found = self._registry.find(service.name, query.action)
            if found and found.proof in _OF_MACHINES:
                await self._require_machines(query)
            name, namespace = query.action, service.namespace
            reader = service.reader(name) if found else dict
            action = found or unsupported_action(service.name, name)
            request = self._pipeline.receive(raw, request_id, Door.API)
            result = await self._pipeline.perform(
                request, action, partial(reader, query.params)
            )
            render = partial(
                service.renderer(name, as_json=as_json), result, request_id
            )
            return Answer(
                status=200,
                headers=_AS_JSON if as_json else _AS_XML,
                body=await offload(render) if action.is_long(result) else render(),
                action=name,
            )
        except (BrokerError, InputRejected) as refused:
            error = (
                wire_error(refused) if isinstance(refused, InputRejected) else refused
            )
        except Exception:  # noqa: BLE001  # the one place where anything may end
            _log.exception("unexpected failure", request_id=request_id)
            error = InternalFailure()
        return _fault(error, name, request_id, None if as_json else namespace)

    async def _require_machines(self, query: QueryCall) -> None:
        if not await self._doors.is_open(MACHINES):
            select_service((), query)  # refuses it as an unknown action


def _parse_long(raw: RawRequest) -> tuple[RawRequest, QueryCall]:
    """What takes long when a body is long, its hash included."""
    hashed = replace(raw, body_sha256=hashlib.sha256(raw.body).hexdigest())
    return hashed, parse_call(raw)


def _fault(
    error: BrokerError, action: str, request_id: str, namespace: str | None
) -> Answer:
    """The answer to a failed call: as JSON, or as XML in a namespace."""
    said: dict[str, Any] = {
        "fault": error.fault,
        "request_id": request_id,
        "encoded": error.encoded if isinstance(error, AccessDenied) else "",
        "advice": error.advice,
    }
    if namespace is None:
        body = render_json_fault(error.code, error.message, **said)
    else:
        body = render_fault(error.code, error.message, namespace=namespace, **said)
    return Answer(
        status=error.status,
        headers=_AS_JSON if namespace is None else _AS_XML,
        body=body,
        action=action,
        error_code=error.code,
    )
