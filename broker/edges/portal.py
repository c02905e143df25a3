"""The access portal's service ``/sso``: rest-json, with an access token in a header.

It lists the accounts and roles of a sign-in, and gives credentials for them. The tokens
come from `broker.edges.oauth`.

Source: botocore's sso model; recorded texts of AWS's clients.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from broker import errors
from broker.actions.registry import Registry
from broker.edges.rest_api import RestApi, naming
from broker.model.request import Door
from broker.pipeline import Pipeline
from broker.proofs.portal import PortalScheme
from broker.protocols.json_api import RestCall, RestService
from broker.sessions.portal import OpenPortal, PortalSessions

PORTAL_PREFIX = "/sso"
_SERVICE = "sso"
_TOKEN = b"x-amz-sso_bearer_token"
_OVER = "Session token not found or invalid"
_NOT_SENT = (
    "the request has no header x-amz-sso_bearer_token; a proxy may drop it (nginx does"
    " without underscores_in_headers on)"
)
_OPERATIONS = ("ListAccounts", "ListAccountRoles", "GetRoleCredentials", "Logout")

_portal_fault = naming(
    {
        errors.InvalidClientTokenId: "UnauthorizedException",
        errors.AccessDenied: "ForbiddenException",
        errors.NoSuchEntity: "ResourceNotFoundException",
        errors.Throttling: "TooManyRequestsException",
        errors.ExpiredToken: "UnauthorizedException",
        errors.ServiceUnavailable: "ServiceUnavailableException",
        errors.InternalFailure: "InternalServerException",
        errors.UpstreamOutcomeUnknown: errors.UpstreamOutcomeUnknown.code,
        errors.UpstreamRefused: errors.UpstreamRefused.code,
        errors.UpstreamUnavailable: errors.UpstreamUnavailable.code,
    },
    "InvalidRequestException",
)


class PortalApi:
    """The portal's operations."""

    def __init__(
        self,
        pipeline: Pipeline,
        registry: Registry,
        sessions: PortalSessions,
        service: RestService,
    ) -> None:
        self._pipeline = pipeline
        self._registry = registry
        self._sessions = sessions
        self._service = service

    def api(self) -> RestApi:
        """What answers below ``/sso``."""
        operations = dict.fromkeys(_OPERATIONS, self._perform)
        return RestApi(self._service, PORTAL_PREFIX, operations, _portal_fault)

    async def _perform(self, call: RestCall, request_id: str) -> Mapping[str, Any]:
        token = call.raw.find_header(_TOKEN) or ""
        portals: list[OpenPortal] = []

        async def find(now: datetime) -> OpenPortal | None:
            if not token:
                raise errors.InvalidClientTokenId(_OVER, detail=_NOT_SENT)
            try:
                portal = await self._sessions.find_by_token(token, now)
            except errors.ExpiredToken as error:
                raise errors.InvalidClientTokenId(_OVER, detail=error.detail) from error
            if portal is None:
                raise errors.InvalidClientTokenId(_OVER, detail="no such access token")
            portals.append(portal)
            return portal

        reader = self._service.reader(call.operation)
        result = await self._pipeline.perform(
            self._pipeline.receive(call.raw, request_id, Door.PORTAL, _portal_fault),
            self._registry.get(_SERVICE, call.operation),
            lambda: reader(call),
            PortalScheme(find),
        )
        if call.operation == "Logout":
            await self._sessions.forget(portals[0].handle)
        return result
