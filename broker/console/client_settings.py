"""What AWS's SDKs and tools need to use this broker instead of AWS: the one place.

A client that has only part of it sends its identity token to AWS: Go's credential chain
ignores ``AWS_ENDPOINT_URL`` for STS, Java without ``AWS_REGION`` calls AWS whatever the
endpoint is. Documentation and samples are compared with this; ``docs/clients.md`` lists
the SDKs.
"""

from collections.abc import Mapping

SERVICES = {
    "sts": "",
    "iam": "",
    "signin": "",
    "sso": "/sso",
    "sso_oidc": "/sso-oidc",
    "sso-oidc": "/sso-oidc",
}
"""A profile's services, and where they are at the public URL; Rust reads the last."""


def client_variables(origin: str, region: str) -> Mapping[str, str]:
    """The environment of a client; without an origin, of one that calls another STS."""
    endpoints = {"AWS_ENDPOINT_URL": origin, "AWS_ENDPOINT_URL_STS": origin}
    regions = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    return {**endpoints, **regions} if origin else regions


def services_section(name: str, origin: str) -> str:
    """The section that a profile's line ``services = NAME`` refers to."""
    parts = (
        f"{service} =\n  endpoint_url = {origin}{path}"
        for service, path in SERVICES.items()
    )
    return "\n".join((f"[services {name}]", *parts))
