"""IAM Access Analyzer: its checks of policies by rest-json, at paths of the origin's root.

Its other operations, which watch an account's resources, are refused by name.

Source: botocore's accessanalyzer model.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from broker import errors
from broker.actions.registry import Registry, unsupported_action
from broker.edges.rest_api import RestApi, naming
from broker.model.request import Answer, Door, RawRequest
from broker.pipeline import Pipeline
from broker.protocols.json_api import RestCall, RestService

PATHS = (
    "/access-preview",
    "/analyzed-resource",
    "/analyzer",
    "/archive-rule",
    "/finding",
    "/findingv2",
    "/policy",
    "/recommendation",
    "/resource",
    "/service-linked-analyzer",
    "/tags",
)
"""How its paths begin."""

METHODS = frozenset({"GET", "POST", "PUT", "DELETE"})
_BYTES_MAX = 300_000
"""Room for two policies as long as any, once the signature is verified."""

_fault_name = naming(
    {
        errors.AccessDenied: "AccessDeniedException",
        errors.ExpiredToken: "ExpiredTokenException",
        errors.IncompleteSignature: "IncompleteSignatureException",
        errors.InternalFailure: "InternalServerException",
        errors.InvalidClientTokenId: "UnrecognizedClientException",
        errors.MalformedPolicyDocument: "UnprocessableEntityException",
        errors.MissingAuthenticationToken: "MissingAuthenticationTokenException",
        errors.ServiceUnavailable: "ServiceUnavailableException",
        errors.SignatureDoesNotMatch: "InvalidSignatureException",
        errors.Throttling: "ThrottlingException",
        errors.UnsupportedOperation: "UnsupportedOperationException",
    },
    "ValidationException",
)


class AccessAnalyzerApi:
    """The service's operations; its model is large, and read when it is first called."""

    def __init__(
        self,
        pipeline: Pipeline,
        registry: Registry,
        load_service: Callable[[], RestService],
    ) -> None:
        self._pipeline = pipeline
        self._registry = registry
        self._load_service = load_service

    async def answer(self, raw: RawRequest, request_id: str) -> Answer:
        """One call, from the wire to the wire. Never raises."""
        return await self._api.answer(raw, request_id)

    @cached_property
    def _service(self) -> RestService:
        return self._load_service()

    @cached_property
    def _api(self) -> RestApi:
        names = tuple(self._service.operations)
        return RestApi(
            self._service,
            "",
            dict.fromkeys(names, self._perform),
            _fault_name,
            longer=dict.fromkeys(names, _BYTES_MAX),
        )

    async def _perform(self, call: RestCall, request_id: str) -> Mapping[str, Any]:
        name, operation = self._service.name, call.operation
        request = self._pipeline.receive(call.raw, request_id, Door.API, _fault_name)
        action = self._registry.find(name, operation)
        if action is None:
            action = unsupported_action(name, operation)
            return await self._pipeline.perform(request, action, dict)
        reader = self._service.reader(operation)
        return await self._pipeline.perform(request, action, lambda: reader(call))
