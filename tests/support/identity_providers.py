"""Other people's identity providers, started for a test and driven as a browser does."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx2 as httpx
import pytest
from lxml import html

from tests.support.signin import BROWSER

NODE = Path(__file__).parents[1] / "node"
_HOPS = 20
_TRIES = 50


@contextmanager
def node_program(script: str, *arguments: str) -> Iterator[None]:
    """A program of ``tests/node`` that prints ``ready``; skips where it is missing."""
    node = shutil.which("node")
    package = "oidc-provider" if script == "oidc_provider.mjs" else "oauth2-mock-server"
    if node is None or not (NODE / "node_modules" / package).is_dir():
        pytest.skip(f"npm's {package} is not installed")
    process = subprocess.Popen(
        [node, script, *arguments],
        cwd=NODE,
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.strip() == "ready":
                break
        else:
            pytest.fail(f"{script} ended at once")
        yield
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


class Browser:
    """Follows redirects and posts forms, with cookies per origin.

    A redirect to a path that begins with ``stops_before`` is returned instead.
    """

    def __init__(self, stops_before: str = "") -> None:
        self._clients: dict[str, httpx.Client] = {}
        self.stops_before = stops_before
        self.url = ""

    def get(self, url: str) -> httpx.Response:
        """Try again while too many sign-ins are being started, as the page says."""
        for _ in range(_TRIES):
            answer = self._follow("GET", url, {})
            if "Too many sign-ins are being started" not in answer.text:
                break
            time.sleep(0.2)
        return answer

    def post(self, url: str, **fields: str) -> httpx.Response:
        """As another site's form does it."""
        return self._follow("POST", url, fields)

    def submit(
        self, page: httpx.Response, /, form_action: str = "", **typed: str
    ) -> httpx.Response:
        """Post a form of the page, the first or that of an action, as a person does."""
        wanted = f"//form[@action='{form_action}']" if form_action else "//form"
        forms = html.fromstring(page.text).xpath(wanted)
        assert forms, f"{page.url}: {page.status_code} {page.text}"
        form = forms[0]
        fields = {
            field.get("name"): field.get("value") or ""
            for field in form.xpath(".//input[@name]")
            if field.get("type") not in {"radio", "checkbox", "submit"}
        }
        target = urljoin(self.url, form.get("action") or self.url)
        return self._follow("POST", target, {**fields, **typed})

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def _follow(self, method: str, url: str, data: Mapping[str, str]) -> httpx.Response:
        for _ in range(_HOPS):
            parts = urlsplit(url)
            origin = f"{parts.scheme}://{parts.netloc}"
            client = self._clients.setdefault(origin, _client())
            headers = dict(BROWSER)
            if method == "POST":
                here = urlsplit(self.url)
                headers["origin"] = f"{here.scheme}://{here.netloc}"
            answer = client.request(
                method,
                url,
                data=dict(data) if method == "POST" else None,
                headers=headers,
            )
            if answer.status_code not in {301, 302, 303, 307}:
                self.url = url
                return answer
            self.url = url
            url = urljoin(url, answer.headers["location"])
            if self.stops_before and urlsplit(url).path.startswith(self.stops_before):
                return answer
            method, data = "GET", {}
        raise AssertionError("too many redirects")


def _client() -> httpx.Client:
    # Browsers take the loopback for a secure context: secure cookies go there.
    policy = DefaultCookiePolicy(secure_protocols=("https", "http"))
    return httpx.Client(trust_env=False, timeout=60, cookies=CookieJar(policy))


@contextmanager
def browsing(stops_before: str = "") -> Iterator[Browser]:
    browser = Browser(stops_before)
    try:
        yield browser
    finally:
        browser.close()
