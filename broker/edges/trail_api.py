"""CloudTrail's ``LookupEvents`` by awsJson1.1, for programs that read AWS's log.

The action is the console's; this is its other form on the wire.

Source: CloudTrail API reference, "LookupEvents"; Smithy, "AWS JSON 1.1 protocol".
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import structlog

from broker import errors
from broker.actions.refusals import wire_error
from broker.actions.registry import Registry, unsupported_action
from broker.audit.trail import (
    event_name,
    event_source,
    is_read_only,
    trail_event,
    user_name,
)
from broker.edges.rest_api import naming
from broker.model.audit import AuditRecord, RecordKind
from broker.model.request import Answer, Door, Params, RawRequest
from broker.pipeline import Pipeline
from broker.protocols.json_api import JsonFault, TargetService

_log = structlog.get_logger(__name__)

_OPERATION = "LookupEvents"
_MOST = 50
_MEDIA_TYPE = (b"content-type", b"application/x-amz-json-1.1")

_fault_name = naming(
    {
        errors.AccessDenied: "AccessDeniedException",
        errors.ExpiredToken: "ExpiredTokenException",
        errors.InternalFailure: "InternalFailure",
        errors.InvalidAction: "UnknownOperationException",
        errors.InvalidClientTokenId: "UnrecognizedClientException",
        errors.MalformedInput: "SerializationException",
        errors.MissingAuthenticationToken: "MissingAuthenticationTokenException",
        errors.ServiceUnavailable: "ServiceUnavailable",
        errors.SignatureDoesNotMatch: "InvalidSignatureException",
        errors.Throttling: "ThrottlingException",
        errors.UnsupportedOperation: "UnsupportedOperationException",
        errors.ValidationError: "ValidationException",
    },
)


class LookupRefused(errors.ValidationError):
    """A lookup that is not possible; ``name`` is the model's name of the error."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class TrailApi:
    """Answers calls of CloudTrail."""

    def __init__(
        self,
        pipeline: Pipeline,
        registry: Registry,
        load_service: Callable[[], TargetService],
    ) -> None:
        self._pipeline = pipeline
        self._registry = registry
        self._load_service = load_service

    @cached_property
    def _service(self) -> TargetService:
        """The service, whose model is large and seldom needed."""
        return self._load_service()

    def serves(self, raw: RawRequest) -> bool:
        """Whether the request names an operation of CloudTrail, be it one or none."""
        target = raw.find_header(b"x-amz-target")
        return bool(target) and self._service.is_named(target or "")

    async def answer(self, raw: RawRequest, request_id: str) -> Answer:
        """One call, from the wire to the wire. Never raises."""
        try:
            target = raw.find_header(b"x-amz-target") or ""
            operation = self._service.require_operation(target)
            result = await self._perform(raw, request_id, operation)
            return Answer(
                status=200,
                headers=(_MEDIA_TYPE,),
                body=self._service.render(operation, result),
                action=operation,
            )
        except Exception as error:  # noqa: BLE001  # the one place where anything may end
            return self._refusal(wire_error(error, request_id))

    async def _perform(
        self, raw: RawRequest, request_id: str, operation: str
    ) -> Mapping[str, Any]:
        request = self._pipeline.receive(raw, request_id, Door.API, _fault_name)
        if operation != _OPERATION:
            action = unsupported_action(self._service.name, operation)
            return await self._pipeline.perform(request, action, dict)
        reader = self._service.reader(operation)
        wanted: dict[str, Any] = {}

        def read() -> Params:
            wanted.update(self._wanted(reader(raw.body)))
            return wanted

        action = self._registry.get(self._service.name, operation)
        try:
            answer = await self._pipeline.perform(request, action, read)
        except errors.ValidationError as error:
            if not wanted.get("NextToken"):
                raise
            raise LookupRefused("InvalidNextTokenException", error.words) from error
        return {
            "Events": [_event(record) for record in answer["Events"]],
            "NextToken": answer["NextToken"],
        }

    def _wanted(self, params: Params) -> Params:
        start, end = params.get("StartTime"), params.get("EndTime")
        if start is not None and end is not None and start > end:
            raise LookupRefused(
                "InvalidTimeRangeException", "The start is after the end."
            )
        wanted: dict[str, Any] = {
            "EventCategory": params.get("EventCategory", ""),
            "StartTime": start,
            "EndTime": end,
            "NextToken": params.get("NextToken", ""),
            "MaxResults": params.get("MaxResults", _MOST),
        }
        attributes = params.get("LookupAttributes", ())
        if len(attributes) > 1:
            raise LookupRefused(
                "InvalidLookupAttributesException", "One attribute at a time."
            )
        for attribute in attributes:
            wanted |= self._attribute(
                attribute["AttributeKey"], attribute["AttributeValue"]
            )
        return wanted

    def _attribute(self, key: str, value: str) -> Mapping[str, Any]:
        match key:
            case "EventId" | "AccessKeyId":
                return {key: value}
            case "EventName":
                return {"Action": value}
            case "Username":
                return {"SessionName": value}
            case "ReadOnly":
                read = value == "true"
                return {
                    "Kinds": [k for k in RecordKind if (k is RecordKind.READ) == read]
                }
            case _:
                raise LookupRefused(
                    "InvalidLookupAttributesException",
                    f"Events cannot be looked up by {key} here, only by EventId,"
                    " EventName, AccessKeyId, Username and ReadOnly.",
                )

    def _refusal(self, error: errors.BrokerError) -> Answer:
        name = _fault_name(error)
        fault = self._service.faults.get(name) or JsonFault(
            code=name, status=error.status, members=frozenset()
        )
        return Answer(
            status=fault.status,
            headers=(_MEDIA_TYPE, (b"x-amzn-errortype", name.encode("ascii"))),
            body=fault.render_typed(error.words),
            error_code=name,
        )


def _event(record: AuditRecord) -> dict[str, object]:
    return {
        "EventId": record.event_id,
        "EventName": event_name(record),
        "ReadOnly": "true" if is_read_only(record) else "false",
        "AccessKeyId": record.access_key_id or None,
        "EventTime": record.at,
        "EventSource": event_source(record),
        "Username": user_name(record) or None,
        "Resources": [{"ResourceName": arn} for arn in record.resources],
        "CloudTrailEvent": trail_event(record),
    }
