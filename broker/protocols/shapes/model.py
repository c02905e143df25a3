"""The parts of a service model that the protocol rests on, as they stand in its JSON.

Source: botocore's ``service-2.json`` files.
"""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict


class ShapeReference(TypedDict):
    """A use of a shape; ``location`` is a part of the request other than its body."""

    shape: str
    location: NotRequired[str]
    locationName: NotRequired[str]


class HttpModel(TypedDict):
    """How an operation stands in HTTP."""

    method: str
    requestUri: str
    responseCode: NotRequired[int]


class ErrorModel(TypedDict):
    """How an error shape looks on the wire; only Query's have a code of their own."""

    code: NotRequired[str]
    httpStatusCode: int
    senderFault: NotRequired[bool]


class ShapeModel(TypedDict):
    """One shape; which members are there depends on ``type``."""

    type: str
    members: NotRequired[Mapping[str, ShapeReference]]
    required: NotRequired[Sequence[str]]
    member: NotRequired[ShapeReference]
    key: NotRequired[ShapeReference]
    value: NotRequired[ShapeReference]
    min: NotRequired[int]
    max: NotRequired[int]
    pattern: NotRequired[str]
    enum: NotRequired[Sequence[str]]
    sensitive: NotRequired[bool]
    union: NotRequired[bool]
    exception: NotRequired[bool]
    error: NotRequired[ErrorModel]
    fault: NotRequired[bool]
    timestampFormat: NotRequired[str]
    payload: NotRequired[str]


class OutputReference(ShapeReference):
    """An operation's output, and the element that wraps it."""

    resultWrapper: NotRequired[str]


class OperationModel(TypedDict):
    """One operation."""

    name: str
    input: NotRequired[ShapeReference]
    output: NotRequired[OutputReference]
    errors: NotRequired[Sequence[ShapeReference]]
    authtype: NotRequired[str]
    http: NotRequired[HttpModel]


class ServiceMetadata(TypedDict):
    """What identifies a service."""

    apiVersion: str
    endpointPrefix: str
    protocol: str
    serviceId: NotRequired[str]
    xmlNamespace: NotRequired[str]
    targetPrefix: NotRequired[str]
    jsonVersion: NotRequired[str]


class ServiceModel(TypedDict):
    """A whole service."""

    metadata: ServiceMetadata
    operations: Mapping[str, OperationModel]
    shapes: Mapping[str, ShapeModel]


Shapes = Mapping[str, ShapeModel]
