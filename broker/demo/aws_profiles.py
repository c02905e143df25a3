"""The demo's profiles for the AWS CLI and SDKs, and the token file they use."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from broker.console.client_settings import services_section
from broker.demo.people import ANALYST, DEPLOY
from broker.demo.seed import PORTAL_PROFILE
from broker.runtime.offload import in_background

CONFIG_FILE = "aws-config"
TOKEN_FILE = "workload-token"  # noqa: S105  # a file's name
WORKLOAD_PROFILE = "demo-ci"
ANALYST_PROFILE = "demo-analyst"
_REFRESH_SECONDS = 300.0


def write_config(folder: Path, broker_origin: str, key_id: str) -> None:
    """Write the profiles: the portal's user, a role it assumes, and a workload.

    ``key_id`` is the user's access key ID, which is unique to this demo.
    """
    common = "region = us-east-1\nservices = broker\n"
    # The AWS CLI caches a role's credentials by the profile's settings. A unique
    # session name keeps it from using those of an earlier demo.
    session_name = f"demo-{key_id[-8:].lower()}"
    (folder / CONFIG_FILE).write_text(
        f"[profile {PORTAL_PROFILE}]\n{common}\n"
        f"[profile {ANALYST_PROFILE}]\n{common}"
        f"role_arn = {ANALYST}\nrole_session_name = {session_name}\n"
        f"source_profile = {PORTAL_PROFILE}\n\n"
        f"[profile {WORKLOAD_PROFILE}]\n{common}"
        f"role_arn = {DEPLOY}\nrole_session_name = {session_name}\n"
        f"web_identity_token_file = {folder / TOKEN_FILE}\n\n"
        f"{services_section('broker', broker_origin)}\n",
        encoding="utf-8",
    )


@contextlib.asynccontextmanager
async def token_file(folder: Path, new_token: Callable[[], str]) -> AsyncIterator[None]:
    """Keep a valid ID token in the folder, as a workload's platform would."""
    path = folder / TOKEN_FILE
    _write(path, new_token())

    async def refresh() -> None:
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            _write(path, new_token())

    async with in_background(refresh(), "demo-token-file"):
        yield


def _write(path: Path, token: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(token, encoding="ascii")
    fresh.replace(path)
