"""The Query API between the endpoint and the pipeline: a request in, an answer out.

    parse     the Query protocol takes the request apart
    choose    name and version pick the action
    perform   the pipeline's steps
    render    the result, or the error, as XML or JSON

A request that cannot be parsed, or names no action, leaves a log line and no record.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import structlog
from msgspec import Struct
from msgspec.structs import replace

from broker.actions.action import Action, Proof
from broker.actions.refusals import wire_error
from broker.actions.registry import Registry, unsupported_action
from broker.edges.doors import MACHINES, Doors
from broker.edges.trail_api import TrailApi
from broker.errors import AccessDenied, BrokerError
from broker.model.request import JSON, XML, Answer, Door, Params, RawRequest
from broker.pipeline import Pipeline
from broker.protocols.query import (
    FAULT_NAMESPACE,
    QueryCall,
    Service,
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


class _Operation(Struct, frozen=True, kw_only=True):
    """An operation that calls name, and how its requests and answers are written."""

    name: str
    action: Action
    read: Callable[[Mapping[str, str]], Params]
    service: Service


class QueryApi:
    """Answers calls of STS, IAM and the broker's own API, and passes on the trail's."""

    def __init__(
        self, pipeline: Pipeline, registry: Registry, trail: TrailApi, doors: Doors
    ) -> None:
        self._pipeline = pipeline
        self._registry = registry
        self._trail = trail
        self._doors = doors
        self._known: dict[tuple[str | None, str | None], _Operation] = {}
        """Those that were called, by version and name."""

    async def answer(self, raw: RawRequest, request_id: str) -> Answer:
        """One API call, from the wire to the wire. Never raises."""
        name, namespace, as_json = "", FAULT_NAMESPACE, False
        try:
            if len(raw.body) > LONG:
                raw, query = await offload(lambda: _parse_long(raw), proved=False)
            else:
                query = parse_call(raw)
            as_json = query.wants_json
            called = self._known.get((query.version, query.action))
            if called is None:
                if query.action is None:
                    if self._trail.serves(raw):
                        return await self._trail.answer(raw, request_id)
                    return Answer.redirect(SIGN_IN_PATH)
                called = await self._find(query)
            action, service = called.action, called.service
            name, namespace = called.name, service.namespace
            request = self._pipeline.receive(raw, request_id, Door.API)
            result = await self._pipeline.perform(
                request, action, partial(called.read, query.params)
            )
            render = partial(
                service.renderer(name, as_json=as_json), result, request_id
            )
            is_long = action.lists and action.is_long(result)
            return Answer(
                status=200,
                headers=_AS_JSON if as_json else _AS_XML,
                body=await offload(render) if is_long else render(),
                action=name,
            )
        except Exception as failure:  # noqa: BLE001  # where anything may end
            error = wire_error(failure, request_id)
        return _fault(error, name, request_id, None if as_json else namespace)

    async def _find(self, query: QueryCall) -> _Operation:
        """The operation; those of machines are unknown until there are any."""
        service = select_service(self._registry.services, query)
        name = query.action or ""
        action = self._registry.find(service.name, name)
        of_machines = action is not None and action.proof in _OF_MACHINES
        if of_machines and not await self._doors.is_open(MACHINES):
            select_service((), query)  # refuses it as an unknown action
        called = self._known[query.version, name] = _Operation(
            name=name,
            action=action or unsupported_action(service.name, name),
            read=service.reader(name) if action else dict,
            service=service,
        )
        return called


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
