"""The command ``broker webhook``."""

import argparse
import asyncio
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from broker.agent.configuration import Address, ConfigurationError
from broker.webhook.admission import TOKEN_SECONDS_MAX, TOKEN_SECONDS_MIN, Injection
from broker.webhook.cluster import ClusterPlace
from broker.webhook.server import WebhookSettings, serve

_OWN = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_PREFIX = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_REGION = re.compile(r"[a-z0-9-]{1,64}")
_log = logging.getLogger(__name__)


def run(words: Sequence[str]) -> int:
    """Run it with the words after ``broker webhook``; the exit status."""
    parser = _parser()
    settings = _settings(parser, parser.parse_args(words))
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        asyncio.run(serve(settings))
    except OSError as error:
        _log.error("%s", error)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="broker webhook",
        description="Configure the pods of a Kubernetes cluster so that their SDKs find"
        " their roles: a mutating admission webhook, at /mutate.",
    )
    add = parser.add_argument
    add(
        "--sts-endpoint",
        required=True,
        metavar="URL",
        help="the broker's address, as seen by pods",
    )
    add(
        "--tls-certificate",
        type=Path,
        required=True,
        metavar="FILE",
        help="the certificate to present to the API server, with its chain; read"
        " again when it changes",
    )
    add("--tls-key", type=Path, required=True, metavar="FILE", help="its key")
    add(
        "--listen",
        default="0.0.0.0:8443",
        metavar="ADDRESS",
        help="default: %(default)s",
    )
    add("--region", default="", help="AWS_REGION of pods (default: not set)")
    add(
        "--annotation-prefix",
        default=Injection.annotation_prefix,
        metavar="PREFIX",
        help="default: %(default)s",
    )
    add(
        "--audience",
        default=Injection.audience,
        help="of tokens, unless an annotation says otherwise (default: %(default)s)",
    )
    add(
        "--token-seconds",
        type=int,
        default=Injection.token_seconds,
        metavar="SECONDS",
        help="how long tokens last, unless an annotation says otherwise (default: %(default)s)",
    )
    add(
        "--mount-path",
        default=Injection.mount_path,
        metavar="PATH",
        help="where the token is in containers (default: %(default)s)",
    )
    add(
        "--api-server",
        default="",
        metavar="URL",
        help="the cluster's API server (default: the one of the pod's cluster)",
    )
    add(
        "--api-ca-file",
        type=Path,
        default=_OWN / "ca.crt",
        metavar="FILE",
        help="the certificate authority to trust for it (default: %(default)s)",
    )
    add(
        "--api-token-file",
        type=Path,
        default=_OWN / "token",
        metavar="FILE",
        help="the token to present to it (default: %(default)s)",
    )
    return parser


def _settings(
    parser: argparse.ArgumentParser, given: argparse.Namespace
) -> WebhookSettings:
    try:
        listen = Address.parse(given.listen)
    except ConfigurationError as error:
        parser.error(str(error))
    if not _is_https(given.sts_endpoint):
        parser.error("--sts-endpoint: write https://broker.example.com")
    api_server = given.api_server or _own_cluster()
    if not _is_https(api_server):
        parser.error("--api-server: write https://ADDRESS; this is not a cluster's pod")
    if not TOKEN_SECONDS_MIN <= given.token_seconds <= TOKEN_SECONDS_MAX:
        parser.error(f"--token-seconds: at least {TOKEN_SECONDS_MIN}")
    if given.region and not _REGION.fullmatch(given.region):
        parser.error("--region: not the name of a region")
    if not _PREFIX.fullmatch(given.annotation_prefix):
        parser.error("--annotation-prefix: write a DNS name such as eks.amazonaws.com")
    if not given.mount_path.startswith("/") or given.mount_path == "/":
        parser.error("--mount-path: write the path of a folder, from the root")
    if not given.audience:
        parser.error("--audience: it cannot be empty")
    return WebhookSettings(
        listen=listen,
        certificate=given.tls_certificate,
        key=given.tls_key,
        injection=Injection(
            sts_endpoint=given.sts_endpoint.rstrip("/"),
            region=given.region,
            annotation_prefix=given.annotation_prefix,
            audience=given.audience,
            token_seconds=given.token_seconds,
            mount_path=given.mount_path.rstrip("/"),
        ),
        cluster=ClusterPlace(
            url=api_server,
            ca_file=given.api_ca_file,
            token_file=given.api_token_file,
        ),
    )


def _own_cluster() -> str:
    """The API server, as Kubernetes tells every container."""
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises
    except ValueError:
        return False
    return (
        parts.scheme == "https"
        and bool(parts.hostname)
        and parts.username is None
        and not parts.query
        and not parts.fragment
        and url.isascii()
        and url.isprintable()
    )
