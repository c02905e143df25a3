"""A service behind nginx and Caddy, with the broker's protection and without it."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.load import Row, baseline, measure, running
from tests.scenarios.test_protected import Place, caddy, nginx
from tests.support.broker import Key
from tests.support.certificates import server_certificate
from tests.support.decisions import sign

_REQUESTS = 10_000
_PROTECTION = re.compile(
    r"\n *auth_request /\.broker;|\tforward_auth .*?\n\t\}\n", re.DOTALL
)
Configure = Callable[[Place], list[str]]


@dataclass(frozen=True)
class _OpenPlace(Place):
    """A proxy that lets everything through."""

    def sample(self, name: str, changes: dict[str, str]) -> str:
        return _PROTECTION.sub("", super().sample(name, changes))


def behind_proxies(
    broker_port: int, ports: Iterable[int], key: Key, token: str, folder: Path
) -> list[Row]:
    """Requests per second of each proxy, and what is left of them with protection."""
    with baseline("raw") as service:
        changes = {
            "127.0.0.1:8080": f"127.0.0.1:{broker_port}",
            "127.0.0.1:9000": urlsplit(service.url).netloc,
        }
        return [
            _row(configure, port, changes, key, token, folder)
            for configure, port in zip((nginx, caddy), ports, strict=True)
        ]


def _row(  # noqa: PLR0917  # what a place consists of
    configure: Configure,
    port: int,
    changes: dict[str, str],
    key: Key,
    token: str,
    folder: Path,
) -> Row:
    label = f"behind {configure.__name__}, protected"
    rates = []
    for kind in (_OpenPlace, Place):
        place_folder = folder / f"{configure.__name__}-{kind.__name__}"
        place_folder.mkdir()
        # Without protection the samples have no place for the token.
        secret = {'"TOKEN"': f'"{token}"'}
        place = kind(place_folder, port, {**changes, **secret})
        command = configure(place)
        if not Path(command[0]).exists():
            return label, f"{command[0]} is not installed: .ci/setup long"
        _give_certificate(place)
        url = f"https://localhost:{place.port}"
        with running(command, url):
            rates.append(measure(f"{url}/", _lines(key, url), folder).per_second)
    without, protected = rates
    text = f"{protected:.0f}/s, {protected / without:.0%} of {without:.0f}/s without"
    return label, text


def _give_certificate(place: Place) -> None:
    certificate, key = server_certificate(name="localhost")
    (place.folder / "orders.crt").write_text(certificate)
    (place.folder / "orders.key").write_text(key)


def _lines(key: Key, url: str) -> list[str]:
    """Signed requests without a body, which declare that, as `measure` sends them."""
    signed = sign(key, "/", service="execute-api", url=url, s3=True)
    head = "|".join(f"{name}: {value}" for name, value in signed.headers.items())
    return [f"{head}\t"] * _REQUESTS
