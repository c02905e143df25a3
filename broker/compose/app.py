"""One ASGI application over a worker's services: the API, the pages, the edge."""

import contextlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial

from fastapi import FastAPI

from broker.actions.models import load_rest_service, load_target_service
from broker.actions.signin.begin_limits import BeginLimits
from broker.actions.signin.signin_tokens import SigninTokens
from broker.administration.pages import ADMINISTRATION
from broker.audit.upkeep import counting, retention
from broker.compose.resealing import resealing
from broker.compose.services import PAGES, Services, open_services
from broker.console.deps import ConsoleDeps, SignInLink
from broker.console.routes import console_routes
from broker.console.static_files import STATIC
from broker.edges import (
    access_analyzer,
    documentation,
    doors,
    oauth,
    portal,
    roles_anywhere,
    signin_api,
)
from broker.edges.api import QUERY_BYTES_MAX, AnyEndpoint, ApiEndpoint
from broker.edges.asgi import App, Receive, Scope, Send, respond
from broker.edges.doors import Doors
from broker.edges.edge import AllowedHosts, Edge, Route, host_name
from broker.edges.health import health_routes, metrics_routes
from broker.edges.proxies import TrustedProxies
from broker.edges.query_api import QueryApi
from broker.edges.refusals import answer_refusal, identify_client, other_service
from broker.edges.trail_api import TrailApi
from broker.kinds.mfa_codes import MfaCodes
from broker.kinds.passkeys import PasskeyProofs
from broker.kinds.passwords import Passwords
from broker.proofs.refusals import name_reason
from broker.runtime.clock import Clock, SystemClock
from broker.settings import Settings

API_PATH = "/"
_DOUBLED = "//"
"""The same path as Vault relays it.

AWS treats it as ``/``, and so do signatures, which normalise the path.
Source: hashicorp/vault, builtin/credential/aws/path_login.go.
"""
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
_FOR_PEOPLE = frozenset({"signin", "console", "portal", "authorize", "oauth"})
_FOR_BROWSERS = re.compile(rb"(?:.*&)?Action=(?:login|logout)(?:&.*)?", re.DOTALL)
"""Queries of ``/federation`` that set or read the session's cookie."""
_UNKNOWN_OPERATION = b"<UnknownOperationException/>\n"

OnReady = Callable[[Services], Awaitable[None]]
"""Is called once everything is open, before the first request."""


class Broker:
    """The whole broker as one ASGI application; its services live for its lifespan.

    ``sign_in_links`` are places where signing in begins, for the sign-in page;
    ``on_ready`` is called once everything is open, before the first request.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        *,
        sign_in_links: tuple[SignInLink, ...] = (),
        on_ready: OnReady | None = None,
    ) -> None:
        self._settings = settings
        self._on_ready = on_ready
        self._sign_in_links = sign_in_links
        self._clock = clock or SystemClock()
        self._app: App | None = None
        self._stack = contextlib.AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._app is not None:
            await self._app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        enter = self._stack.enter_async_context
        try:
            services = await enter(open_services(self._settings, self._clock))
            ledger = services.stores.ledger
            keep = timedelta(days=self._settings.audit_days)
            await enter(retention(ledger, services.handles, services.clock, keep))
            await enter(resealing(services))
            await enter(counting(ledger, name_reason))
            await enter(services.metadata_refresher.refreshing())
            await enter(services.token_watch.watching())
            if self._settings.directories_file is not None:
                await enter(services.leavers.watching())
            doors_here = open_doors(services)
            services.freshness.on_timeline(doors_here.close)
            self._app = compose(services, self._sign_in_links, doors_here)
            await enter(doors_here.opening())
            if self._on_ready is not None:
                await self._on_ready(services)
        except Exception as error:  # noqa: BLE001  # the server reports it and stops
            await self._stack.aclose()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stack.aclose()
        await send({"type": "lifespan.shutdown.complete"})


def compose(
    services: Services,
    sign_in_links: tuple[SignInLink, ...],
    doors_here: Doors | None = None,
) -> App:
    """Everything that answers HTTP, over services that are open."""
    settings = services.settings
    doors_here = doors_here or open_doors(services)
    api = ApiEndpoint(
        QueryApi(
            services.pipeline,
            services.registry,
            TrailApi(
                services.pipeline,
                services.registry,
                lambda: load_target_service("cloudtrail"),
            ),
            doors_here,
        ).answer
    )
    endpoints = doors_here.endpoints  # with what opens later
    endpoints.update({**addresses(services), API_PATH: api, _DOUBLED: api})
    return Edge(
        _route(
            endpoints,
            doors_here,
            _pages(services, sign_in_links),
            public_origin=settings.public_origin,
            public_name=settings.public_name,
        ),
        hosts=AllowedHosts(settings.host_names, below=settings.public_name),
        proxies=TrustedProxies(map(str, settings.trusted_proxies)),
        clock=services.clock,
        public_origin=settings.public_origin,
        open_paths=PROBES,
        open_below=(doors.FORWARD_PATH, doors.PRIVATE_PATH),
        data_paths=(API_PATH, *doors.DATA_PATHS),
        at=endpoints,
        gateway=(f"{doors.PRIVATE_PATH}/", doors.PRIVATE_HEADERS),
        hsts=settings.secure,
        observe=services.metrics.observe_request,
        shares=services.pipeline.rates.shares,
    )


def addresses(services: Services) -> dict[str, AnyEndpoint]:
    """What answers at a path, or below the first part of one; pages and doors apart."""
    return {
        **_portal_endpoints(services),
        **_roles_anywhere(services, roles_anywhere.PATHS),
        **_signin(services),
        **_access_analyzer(services),
    }


def open_doors(services: Services) -> Doors:
    """The doors, with what answers at them once they are open."""
    return Doors(
        services.stores.directory,
        services.clock,
        {
            doors.DECISIONS: lambda: _decisions(services),
            doors.SESSIONS: lambda: _roles_anywhere(services, doors.SESSIONS.paths),
            doors.SCIM: lambda: _scim(services),
            doors.ISSUERS: lambda: _issuers(services),
        },
    )


# Imported inside: by then, the door has imported them.


def _decisions(services: Services) -> Mapping[str, AnyEndpoint]:
    from broker.edges import authzen, decisions, opa, versitygw  # noqa: PLC0415

    pipeline, registry = services.pipeline, services.registry
    authorize = registry.get("broker", "Authorize")
    return {
        doors.DECISIONS_PATH: decisions.decisions_endpoint(
            pipeline,
            authorize,
            services=services.service_scheme,
            proxies=services.proxy_scheme,
        ),
        doors.ACCESS_PATH: authzen.authzen_endpoint(
            pipeline, authorize, services.bearer_scheme
        ),
        doors.CONFIGURATION_PATH: authzen.configuration_endpoint(
            services.settings.public_origin
        ),
        doors.PRIVATE_PATH: versitygw.gateway_endpoint(
            pipeline, registry, services.gateway_scheme
        ),
        **opa.hook_endpoints(pipeline, authorize, services.store_scheme),
    }


def _scim(services: Services) -> Mapping[str, AnyEndpoint]:
    from broker.edges.scim_api import scim_endpoint  # noqa: PLC0415

    address = f"{services.settings.public_origin}{doors.SCIM_PATH}"
    endpoint = scim_endpoint(services.pipeline, services.fresh, address=address)
    return {doors.SCIM_PATH: endpoint}


def _issuers(services: Services) -> Mapping[str, AnyEndpoint]:
    from broker.edges.issuers import issuer_endpoint  # noqa: PLC0415

    origin = services.settings.public_origin
    return {doors.ISSUER_PATH: issuer_endpoint(services.fresh, services.clock, origin)}


def _portal_endpoints(services: Services) -> dict[str, AnyEndpoint]:
    """The access portal's services, by the first part of their paths.

    They stand at the root, too, where clients with one endpoint for all services ask.
    """
    sessions = services.portal_sessions
    apis = {
        portal.PORTAL_PREFIX: portal.PortalApi(
            services.pipeline, services.registry, sessions, load_rest_service("sso")
        ).api(),
        oauth.OIDC_PREFIX: oauth.PortalTokens(
            pipeline=services.pipeline,
            registry=services.registry,
            service=load_rest_service("sso-oidc"),
            sessions=sessions,
            logins=services.portal_logins,
            limits=BeginLimits(services.pipeline.rates),
            clock=services.clock,
            public_origin=services.settings.public_origin,
        ).api(),
    }
    return {
        path: endpoint
        for prefix, api in apis.items()
        for endpoint in (ApiEndpoint(api.answer, cross_origin=False),)
        for path in (prefix, *api.paths)
    }


def _roles_anywhere(services: Services, paths: Iterable[str]) -> dict[str, AnyEndpoint]:
    """IAM Roles Anywhere, by the first part of its paths."""
    api = roles_anywhere.RolesAnywhereApi(
        services.pipeline, services.registry, load_rest_service("rolesanywhere")
    ).api()
    endpoint = ApiEndpoint(
        api.answer, cross_origin=False, methods=roles_anywhere.METHODS
    )
    return dict.fromkeys(paths, endpoint)


def _signin(services: Services) -> dict[str, AnyEndpoint]:
    """AWS Sign-In, by path."""
    service = load_rest_service("signin")
    tokens = oauth.LoginTokens(
        pipeline=services.pipeline,
        registry=services.registry,
        service=service,
        grants=services.login_grants,
        families=services.login_families,
        cache=services.stores.cache,
        clock=services.clock,
        public_origin=services.settings.public_origin,
        fault=signin_api.fault_name,
    )
    signin = signin_api.SigninApi(
        services.pipeline, services.registry, service, tokens.create
    )
    endpoint = ApiEndpoint(signin.api().answer, cross_origin=False)
    return dict.fromkeys(signin.paths, endpoint)


def _access_analyzer(services: Services) -> dict[str, AnyEndpoint]:
    """IAM Access Analyzer, by the first part of its paths."""
    api = access_analyzer.AccessAnalyzerApi(
        services.pipeline,
        services.registry,
        lambda: load_rest_service("accessanalyzer"),
    )
    endpoint = ApiEndpoint(
        api.answer, cross_origin=False, methods=access_analyzer.METHODS
    )
    return dict.fromkeys(access_analyzer.PATHS, endpoint)


def _pages(services: Services, sign_in_links: tuple[SignInLink, ...]) -> FastAPI:
    stores, stale_seconds = services.stores, services.settings.stale_seconds
    routes = console_routes(console_deps(services, sign_in_links), ADMINISTRATION)
    pages = FastAPI(routes=[*routes], openapi_url=None, docs_url=None, redoc_url=None)
    pages.include_router(documentation.documentation_routes())
    pages.include_router(
        health_routes(
            services.freshness,
            stores.cache,
            stores.ledger,
            stale_seconds=stale_seconds,
        )
    )
    pages.include_router(
        metrics_routes(
            services.metrics,
            services.freshness,
            stores.cache,
            services.token_watch.find_unasked,
            allowed=services.settings.metrics_allow,
            stale_seconds=stale_seconds,
        )
    )
    return pages


def console_deps(
    services: Services, sign_in_links: tuple[SignInLink, ...]
) -> ConsoleDeps:
    """What the pages need of the services."""
    settings = services.settings
    return ConsoleDeps(
        pipeline=services.pipeline,
        registry=services.registry,
        endpoints=services.endpoints,
        claimed_providers=services.claimed_providers,
        assertion_scheme=services.assertion_scheme,
        federated=services.federated,
        resolver=services.resolver,
        portal_sessions=services.portal_sessions,
        portal_logins=services.portal_logins,
        organisations=services.organisations,
        fresh=services.fresh,
        directory=services.stores.directory,
        ldap=services.ldap,
        directory_passwords=services.directory_passwords,
        cache=services.stores.cache,
        handles=services.handles,
        vault=services.vault,
        tokens=SigninTokens(services.stores.cache, services.vault),
        clock=services.clock,
        request_keys=services.request_keys,
        code_flow=services.code_flow,
        watched=services.watched,
        web_identity=services.web_identity,
        passwords=Passwords(services.vault),
        mfa_codes=MfaCodes(services.stores.directory, services.vault),
        passkeys=PasskeyProofs(services.stores.directory),
        uses=services.uses,
        upstreams=services.upstreams,
        attempts=services.attempts,
        entity_id=f"{settings.public_origin}/saml",
        public_origin=settings.public_origin,
        secure=settings.secure,
        allowed_origins=settings.allowed_destinations,
        host_aliases=settings.host_aliases,
        sign_in_links=sign_in_links,
        documentation=documentation.find_start,
    )


def _route(
    endpoints: Mapping[str, AnyEndpoint],
    doors_here: Doors,
    pages: App,
    *,
    public_origin: str,
    public_name: str,
) -> Route:
    """The APIs and pages below their names, nothing else.

    Pages for people are served at the public origin, to which their cookies and forms
    are bound: requests to other names of the broker are redirected there.

    Source: recorded STS answers (REC-A).
    """

    async def route(scope: Scope) -> AnyEndpoint:
        path: str = scope["path"]
        first = path[1:].partition("/")[0]
        below = f"/{first}" if first else path
        endpoint = endpoints.get(below) or endpoints.get(path)
        endpoint = endpoint or await doors_here.find(below, path)
        return endpoint or partial(answer, path, below)

    async def answer(
        path: str, below: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        client = identify_client(scope)
        if client.means_another_service:
            await answer_refusal(scope, send, other_service(client), client)
        elif _is_for_people(scope) and _host(scope) != public_name:
            target = scope["raw_path"] + b"?" * bool(scope["query_string"])
            location = public_origin.encode() + target + scope["query_string"]
            await respond(send, 307, ((b"location", location),))
        elif len(scope["query_string"]) > QUERY_BYTES_MAX:
            await respond(send, 413)
        elif path in PROBES or (below in PAGES and not doors_here.knows(below, path)):
            await pages(scope, receive, send)
        else:
            headers = ((b"content-type", b"text/xml"),)
            await respond(send, 404, headers, _UNKNOWN_OPERATION)

    return route


def _is_for_people(scope: Scope) -> bool:
    path: str = scope["path"]
    # The role page, the answer to a posted assertion, is shown under any name.
    if scope["method"] != "GET" or path.startswith(STATIC):
        return False
    first = path.split("/", 2)[1]
    if first == "federation":
        return _FOR_BROWSERS.fullmatch(scope["query_string"]) is not None
    return first in _FOR_PEOPLE


def _host(scope: Scope) -> str | None:
    return host_name(dict(scope["headers"]).get(b"host", b""))
