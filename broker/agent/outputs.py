"""Credentials for programs without an endpoint: a process's output, and a file."""

import json
import logging
from pathlib import Path

from broker.agent.configuration import FileSettings
from broker.agent.credentials import ISO, Credentials
from broker.agent.private_files import write_private

_log = logging.getLogger(__name__)


def process_output(found: Credentials, account: str) -> str:
    """What ``credential_process`` prints.

    Source: AWS SDKs and Tools Reference Guide, "Process credential provider".
    """
    return json.dumps(
        {
            "Version": 1,
            "AccessKeyId": found.access_key_id,
            "SecretAccessKey": found.secret_access_key,
            "SessionToken": found.session_token,
            "Expiration": found.expires_at.strftime(ISO),
            "AccountId": account,
        }
    )


class CredentialsFile:
    """A file in the format of ``~/.aws/credentials`` that only the agent writes."""

    def __init__(self, settings: FileSettings) -> None:
        self._settings = settings
        self._found: Credentials | None = None
        self._fault = ""

    def put(self, found: Credentials | None) -> None:
        """Write the present credentials, or delete the file when there are none.

        What fails is tried again with `retry`.
        """
        self._found = found
        path = self._settings.path
        if path is None:
            return
        fault = ""
        try:
            if found is None:
                path.unlink(missing_ok=True)
            else:
                self._write(path, found)
        except OSError as error:
            fault = f"{path} cannot be written: {error.strerror}"
        if fault and fault != self._fault:
            _log.error("%s", fault)
        self._fault = fault

    def retry(self) -> None:
        """Repeat a write that failed, on a full disk for example."""
        if self._fault:
            self.put(self._found)

    def _write(self, path: Path, found: Credentials) -> None:
        write_private(
            path,
            f"[{self._settings.profile}]\n"
            f"aws_access_key_id = {found.access_key_id}\n"
            f"aws_secret_access_key = {found.secret_access_key}\n"
            f"aws_session_token = {found.session_token}\n"
            f"# These expire at {found.expires_at.strftime(ISO)}.\n",
        )
