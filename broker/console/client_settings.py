"""The credentials of a session, and the settings of a client, in the forms that people paste."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from broker.model.secret import Confidential, Hidden

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


class CredentialsView(Confidential, frozen=True, kw_only=True):
    """Temporary credentials to show on a page."""

    access_key_id: str
    secret_access_key: Hidden[str]
    session_token: Hidden[str]
    expiration: datetime

    def variables(self) -> Mapping[str, str]:
        """The environment variables of a program that uses them."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_SESSION_TOKEN": self.session_token,
        }

    def process_output(self) -> str:
        """The output of a ``credential_process``.

        Source: AWS SDKs and Tools Reference Guide, "Process credential provider".
        """
        return json.dumps(
            {
                "Version": 1,
                "AccessKeyId": self.access_key_id,
                "SecretAccessKey": self.secret_access_key,
                "SessionToken": self.session_token,
                "Expiration": self.expiration.astimezone(UTC).strftime(
                    "%Y-%m-%dT%H:%M:%SZ"
                ),
            },
            indent=2,
        )
