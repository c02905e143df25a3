"""What the agent is, and how it proves that to the broker.

The calls block; the keeper makes them in a thread of its own.
"""

import configparser
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from broker.agent.broker_api import (
    STS_VERSION,
    AccessKey,
    BrokerApi,
    BrokerAwayError,
    BrokerRefusedError,
)
from broker.agent.configuration import AgentSettings, IdentitySettings
from broker.agent.credentials import Credentials, Grant
from broker.agent.private_files import read_text

ROLE_SECONDS = 3600

_ARN_FIELDS = 5
_ENDED = frozenset({"ExpiredToken", "InvalidClientTokenId"})


class IdentityUnusableError(Exception):
    """A file of the identity is missing or is not what it should be."""


class IdentityEndedError(Exception):
    """The broker knows this instance no more: its credentials must not be served."""


class Identity(Protocol):
    """One way to have a role.

    All methods raise BrokerAwayError when it is worth another try,
    BrokerRefusedError when the broker says no, and IdentityUnusableError.
    """

    def get_grant(self) -> Grant:
        """The role that it has now; IdentityEndedError when it is no more."""
        ...

    def get_credentials(self, delivery: str) -> tuple[Credentials, Grant]:
        """New credentials of that role."""
        ...

    def is_live(self, credentials: Credentials) -> bool:
        """Whether the broker accepts credentials; not those of an upstream."""
        ...


class BrokerIdentity:
    """What the identities share: the broker that they ask."""

    def __init__(self, api: BrokerApi) -> None:
        self._api = api

    def is_live(self, credentials: Credentials) -> bool:
        """See `Identity`."""
        key = AccessKey(
            credentials.access_key_id,
            credentials.secret_access_key,
            credentials.session_token,
        )
        try:
            self._api.call("GetCallerIdentity", {}, version=STS_VERSION, key=key)
        except BrokerRefusedError as error:
            return error.code not in _ENDED
        return True


class RoleIdentity(BrokerIdentity):
    """A role assumed with a web identity token or an access key from a file."""

    def __init__(self, settings: AgentSettings, api: BrokerApi) -> None:
        super().__init__(api)
        self._identity = settings.identity
        self._seconds = settings.duration_seconds or ROLE_SECONDS

    def get_grant(self) -> Grant:
        """See `Identity`: what the settings say."""
        return grant_of_role(self._identity.role_arn)

    def get_credentials(self, delivery: str) -> tuple[Credentials, Grant]:
        """See `Identity`; every delivery gets the same."""
        del delivery
        identity = self._identity
        params = {
            "RoleArn": identity.role_arn,
            "RoleSessionName": identity.session_name or session_name(),
            "DurationSeconds": str(self._seconds),
        }
        if identity.web_identity_token_file is not None:
            action, key = "AssumeRoleWithWebIdentity", None
            params["WebIdentityToken"] = _read(identity.web_identity_token_file)
        else:
            action, key = "AssumeRole", load_access_key(identity)
        answer = self._api.call(action, params, version=STS_VERSION, key=key)
        return read_credentials(answer, self._api), self.get_grant()


def grant_of_role(arn: str) -> Grant:
    """A role that nothing replaces while it is had."""
    return Grant(
        account=arn.split(":", _ARN_FIELDS)[4],
        role_name=arn.rpartition("/")[2],
        role_arn=arn,
        association_id=arn,
    )


def load_access_key(identity: IdentitySettings) -> AccessKey:
    """The key of the profile ``default`` of a file in AWS's format.

    Raises:
        IdentityUnusableError: there is none.
    """
    path = identity.access_key_file
    if path is None:
        raise IdentityUnusableError("there is no access_key_file")
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(_read(path))
        profile = parser["default"]
        return AccessKey(
            profile["aws_access_key_id"],
            profile["aws_secret_access_key"],
            profile.get("aws_session_token", ""),
        )
    except (configparser.Error, KeyError) as error:
        raise IdentityUnusableError(
            f"{path} has no access key; write aws_access_key_id and"
            " aws_secret_access_key below [default]"
        ) from error


def session_name() -> str:
    """The host's name, as far as a session name can have it."""
    allowed = set("_=,.@-")
    name = "".join(
        text if text.isascii() and (text.isalnum() or text in allowed) else "-"
        for text in socket.gethostname()
    )
    return name[:64].ljust(2, "-")


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except (OSError, ValueError) as error:
        raise IdentityUnusableError(f"{path} cannot be read: {error}") from error


def read_credentials(answer: Mapping[str, Any], api: BrokerApi) -> Credentials:
    """The credentials of an answer.

    Raises:
        BrokerAwayError: the answer has none.
    """
    try:
        return Credentials.of(answer["Credentials"], api.now())
    except (KeyError, ValueError, TypeError) as error:
        raise BrokerAwayError("the answer holds no credentials") from error
