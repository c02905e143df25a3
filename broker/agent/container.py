"""The container credentials endpoint of Amazon ECS and its kin.

Clients find it by ``AWS_CONTAINER_CREDENTIALS_FULL_URI`` (or ``…_RELATIVE_URI`` at
169.254.170.2) and show a token from ``AWS_CONTAINER_AUTHORIZATION_TOKEN`` or
``…_TOKEN_FILE``. The path does not matter, so that either variable can have any.

Source: AWS SDKs and Tools Reference Guide, "Container credential provider"; botocore's
``ContainerMetadataFetcher``.
"""

import hmac
import secrets
from collections.abc import Awaitable
from pathlib import Path

from broker.agent.configuration import Address, ContainerSettings
from broker.agent.credentials import ISO, Credentials, Grant
from broker.agent.http_server import Answer, Request
from broker.agent.keeper import Keeper
from broker.agent.private_files import Stamp, read_text, stamp_of, write_private
from broker.agent.strangers import Doorkeeper

_NAMES = ("169.254.170.2", "169.254.170.23", "[fd00:ec2::23]")


class ContainerEndpoint:
    """Hands credentials to clients that show the token in the token file."""

    def __init__(
        self,
        settings: ContainerSettings,
        keeper: Keeper,
        *,
        further: tuple[Address, ...] = (),
    ) -> None:
        self._keeper = keeper
        self._path = settings.token_file
        self._door = Doorkeeper((*settings.listen, *further), _NAMES)
        self._token = b""
        self._stamp: Stamp | None = None

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """One request."""
        if not self._door.admits(request):
            return _error(
                403,
                "Forbidden",
                "This is not a request from a program on this machine.",
            )
        if request.method != "GET":
            return _error(405, "MethodNotAllowed", "Use GET.")
        sent = request.headers.get("authorization", "").encode("latin-1")
        token = self._read_token()
        if not token or not hmac.compare_digest(sent, token):
            return _error(
                401, "AccessDenied", "Send the token from the agent's token_file."
            )
        credentials, grant = self._keeper.find(), self._keeper.grant
        if credentials is not None and grant is not None:
            return _shown_credentials(credentials, grant)
        return self._later()

    async def _later(self) -> Answer:
        credentials, grant = await self._keeper.wait_for(), self._keeper.grant
        if credentials is not None and grant is not None:
            return _shown_credentials(credentials, grant)
        if self._keeper.has_ended or (grant is not None and not grant.role_name):
            return _error(404, "NoRole", "This machine has no role.")
        return _error(503, "ServiceUnavailable", "There are no credentials yet.")

    def _read_token(self) -> bytes:
        """The file's token; read again when the file is another one."""
        if self._path is None:
            return b""
        stamp = stamp_of(self._path)
        if stamp is None or stamp != self._stamp:
            try:
                self._token, self._stamp = read_text(self._path).encode(), stamp
            except (OSError, ValueError):
                self._token, self._stamp = b"", None
        return self._token


def ensure_token(path: Path) -> None:
    """Make the token file unless it is there.

    Raises:
        OSError: it cannot be written.
    """
    if not path.exists():
        # Clients refuse a token with a line's end.
        write_private(path, secrets.token_urlsafe(32))


def _shown_credentials(credentials: Credentials, grant: Grant) -> Answer:
    """Credentials as clients of this endpoint read them."""
    return Answer.json(
        {
            "AccessKeyId": credentials.access_key_id,
            "SecretAccessKey": credentials.secret_access_key,
            "Token": credentials.session_token,
            "Expiration": credentials.expires_at.strftime(ISO),
            "AccountId": grant.account,
            "RoleArn": grant.role_arn,
        }
    )


def _error(status: int, code: str, message: str) -> Answer:
    return Answer.json({"code": code, "message": message}, status)
