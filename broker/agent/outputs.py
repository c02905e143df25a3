"""Credentials for programs without an endpoint: a process's output, and a file."""

import json
import logging
from pathlib import Path

from broker.agent.configuration import FileSettings
from broker.agent.credentials import ISO, Credentials
from broker.agent.private_files import write_private

_log = logging.getLogger(__name__)


def process_output(credentials: Credentials, account: str) -> str:
    """What ``credential_process`` prints.

    Source: AWS SDKs and Tools Reference Guide, "Process credential provider".
    """
    return json.dumps(
        {
            "Version": 1,
            "AccessKeyId": credentials.access_key_id,
            "SecretAccessKey": credentials.secret_access_key,
            "SessionToken": credentials.session_token,
            "Expiration": credentials.expires_at.strftime(ISO),
            "AccountId": account,
        }
    )


class CredentialsFile:
    """A file in the format of ``~/.aws/credentials`` that only the agent writes."""

    def __init__(self, settings: FileSettings) -> None:
        self._settings = settings
        self._found: Credentials | None = None
        self._fault = ""

    def put(self, credentials: Credentials | None) -> None:
        """Write the present credentials, or delete the file when there are none.

        What fails is tried again with `retry`.
        """
        self._found = credentials
        path = self._settings.path
        if path is None:
            return
        fault = ""
        try:
            if credentials is None:
                path.unlink(missing_ok=True)
            else:
                self._write(path, credentials)
        except OSError as error:
            fault = f"{path} cannot be written: {error.strerror}"
        if fault and fault != self._fault:
            _log.error("%s", fault)
        self._fault = fault

    def retry(self) -> None:
        """Repeat a write that failed, on a full disk for example."""
        if self._fault:
            self.put(self._found)

    def _write(self, path: Path, credentials: Credentials) -> None:
        write_private(
            path,
            f"[{self._settings.profile}]\n"
            f"aws_access_key_id = {credentials.access_key_id}\n"
            f"aws_secret_access_key = {credentials.secret_access_key}\n"
            f"aws_session_token = {credentials.session_token}\n"
            f"# These expire at {credentials.expires_at.strftime(ISO)}.\n",
        )
