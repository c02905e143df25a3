"""The demo's identity provider and portal, on ``localhost``.

It signs for anyone, so it listens on loopback addresses only and refuses any other
Host name. The broker is on ``127.0.0.1``, which browsers treat as another site.
"""

from collections.abc import Mapping
from importlib.resources import files
from urllib.parse import parse_qs, urlencode

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import Struct

from broker.console.client_settings import client_variables
from broker.demo import console_password, people
from broker.demo.oidc_signer import OidcSigner
from broker.demo.portal import DemoPortal, PortalError
from broker.demo.saml_request import (
    AuthnRequestDetails,
    RequestError,
    check,
    read_request,
)
from broker.demo.saml_signer import DemoSamlSigner, SamlPerson
from broker.edges.asgi import App, Receive, Scope, Send, respond
from broker.model.secret import Secret
from broker.runtime.clock import Clock

TEMPLATES = Environment(
    loader=PackageLoader("broker.demo"), autoescape=True, undefined=StrictUndefined
)
TEMPLATES.globals["client_variables"] = client_variables
_STYLE = files("broker.demo").joinpath("static/demo.css").read_text(encoding="utf-8")
_SCRIPT = files("broker.demo").joinpath("static/demo.js").read_text(encoding="utf-8")
_MISDIRECTED_REQUEST = 421
_FORM_MAX = 16384


class DemoIdp(Struct, frozen=True, kw_only=True):
    """The identity provider's parts. Origins have no trailing slash."""

    origin: str
    broker_origin: str
    saml: DemoSamlSigner
    oidc: OidcSigner
    portal: DemoPortal
    password: Secret
    clock: Clock

    def app(self) -> App:
        """The ASGI application."""
        return _HostGuard(self.origin, _Pages(self).routes())

    @property
    def acs(self) -> str:
        """The broker's URL for unsolicited responses."""
        return f"{self.broker_origin}/saml"

    def saml_response(
        self, person: people.DemoPerson, details: AuthnRequestDetails
    ) -> str:
        """Sign a new response for a person."""
        return self.saml.signed_response(
            SamlPerson(
                name_id=person.email,
                session_name=person.email,
                roles=[f"{role},{people.SAML_PROVIDER}" for role in person.roles],
                source_identity=person.key,
                tags=person.tags,
            ),
            recipient=details.consumer_url,
            audience=self.acs,
            now=self.clock.now(),
            in_response_to=details.request_id or None,
        )

    def id_token(self, workload: people.Workload) -> str:
        """Sign a new ID token for a workload."""
        return self.oidc.sign_id_token(
            subject=workload.subject, audience=people.CLIENT_ID, now=self.clock.now()
        )


class _Pages:
    def __init__(self, idp: DemoIdp) -> None:
        self._idp = idp

    def routes(self) -> FastAPI:
        app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
        for path, handler in (
            ("/", self.home),
            ("/saml/metadata", self.metadata),
            ("/saml/sso", self.sso),
            ("/saml/sign-in/{key}", self.sign_in),
            ("/saml/response/{key}", self.response),
            ("/token/{key}.txt", self.token_text),
            ("/token/{key}", self.token),
            ("/.well-known/openid-configuration", self.discovery),
            ("/jwks", self.jwks),
            ("/portal", self.portal),
            ("/static/demo.css", self.style),
            ("/static/demo.js", self.script),
        ):
            app.get(path, response_model=None)(handler)
        app.post("/saml/sso", response_model=None)(self.sso_by_form)
        app.post("/portal", response_model=None)(self.open_console)
        return app

    def home(self) -> Response:
        return self._page(
            "home.html",
            people=people.PEOPLE,
            workloads=people.WORKLOADS,
            user=people.CONSOLE_USER,
            password=self._idp.password.reveal(),
            sign_in_url=f"{self._idp.broker_origin}/signin/{people.ALIAS}",
            password_file=console_password.PASSWORD_FILE,
        )

    def metadata(self) -> Response:
        return Response(
            self._idp.saml.metadata(), media_type="application/samlmetadata+xml"
        )

    def sso(self, request: Request) -> Response:
        """An AuthnRequest by HTTP-Redirect."""
        query = request.query_params
        if "SAMLRequest" not in query:
            return self.home()
        return self._choose_person(query, deflated=True)

    async def sso_by_form(self, request: Request) -> Response:
        """An AuthnRequest by HTTP-POST."""
        return self._choose_person(await _read_form(request), deflated=False)

    def _choose_person(self, sent: Mapping[str, str], *, deflated: bool) -> Response:
        try:
            details = read_request(
                sent.get("SAMLRequest", ""),
                sent.get("RelayState", ""),
                deflated=deflated,
                acs=self._idp.acs,
            )
        except RequestError as error:
            return self._page("problem.html", 400, text=str(error))
        query = {
            "request_id": details.request_id,
            "consumer_url": details.consumer_url,
            "relay_state": details.relay_state,
        }
        return self._page(
            "choose_person.html", people=people.PEOPLE, query=urlencode(query)
        )

    def sign_in(
        self,
        key: str,
        relay_state: str = "",
        request_id: str = "",
        consumer_url: str = "",
    ) -> Response:
        person = people.find_person(key)
        if person is None:
            return self._missing()
        details = AuthnRequestDetails(self._idp.acs, relay_state=relay_state)
        if request_id:
            try:
                details = check(
                    AuthnRequestDetails(consumer_url, request_id, relay_state),
                    self._idp.acs,
                )
            except RequestError as error:
                return self._page("problem.html", 400, text=str(error))
        return self._page(
            "sign_in.html",
            person=person,
            acs=details.consumer_url,
            response=self._idp.saml_response(person, details),
            relay_state=relay_state,
        )

    def response(self, key: str) -> Response:
        """For programs: the bare ``SAMLResponse`` parameter."""
        person = people.find_person(key)
        if person is None:
            return self._missing()
        return _text(
            self._idp.saml_response(person, AuthnRequestDetails(self._idp.acs))
        )

    def token(self, key: str) -> Response:
        workload = people.find_workload(key)
        if workload is None:
            return self._missing()
        return self._page(
            "token.html", workload=workload, token=self._idp.id_token(workload)
        )

    def token_text(self, key: str) -> Response:
        workload = people.find_workload(key)
        if workload is None:
            return self._missing()
        return _text(self._idp.id_token(workload))

    def discovery(self) -> Response:
        return JSONResponse(self._idp.oidc.discovery())

    def jwks(self) -> Response:
        return JSONResponse(self._idp.oidc.jwks())

    def portal(self) -> Response:
        return self._page(
            "portal.html", people=people.PEOPLE, login_url="", chosen=None
        )

    async def open_console(self, request: Request) -> Response:
        person = people.find_person((await _read_form(request)).get("person", ""))
        if person is None:
            return self._missing()
        try:
            login_url = await self._idp.portal.login_url(person)
        except PortalError as error:
            return self._page("problem.html", 502, text=str(error))
        return self._page(
            "portal.html", people=people.PEOPLE, login_url=login_url, chosen=person
        )

    def style(self) -> Response:
        return Response(_STYLE, media_type="text/css")

    def script(self) -> Response:
        return Response(_SCRIPT, media_type="text/javascript")

    def _missing(self) -> Response:
        return self._page("problem.html", 404, text="There is no one of that name.")

    def _page(self, name: str, status: int = 200, **values: object) -> Response:
        html = TEMPLATES.get_template(name).render(
            origin=self._idp.origin,
            broker=self._idp.broker_origin,
            account=people.ACCOUNT,
            provider=people.SAML_PROVIDER,
            **values,
        )
        return HTMLResponse(
            html,
            status,
            headers={
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": (
                    "default-src 'none'; style-src 'self'; script-src 'self';"
                    f" form-action 'self' {self._idp.broker_origin}; frame-ancestors 'none';"
                    " base-uri 'none'"
                ),
            },
        )


class _HostGuard:
    """Refuses requests for another Host, as DNS rebinding would make."""

    def __init__(self, origin: str, app: App) -> None:
        self._host = origin.partition("://")[2].encode("latin-1")
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            named = [value for name, value in scope["headers"] if name == b"host"]
            if named != [self._host]:
                await respond(send, _MISDIRECTED_REQUEST)
                return
        await self._app(scope, receive, send)


async def _read_form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_MAX:
            return {}
    fields = parse_qs(body.decode("latin-1"))
    return {name: values[0] for name, values in fields.items()}


def _text(text: str) -> Response:
    return PlainTextResponse(text, headers={"Cache-Control": "no-store"})
