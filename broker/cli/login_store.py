"""A login's files: the token in AWS's format, and the AWS profile that uses it.

The token file is the one that AWS's login provider reads, so either can renew it. A
lock serializes renewals, since using a refresh token twice ends the login.
"""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.errors import ValidationError

if TYPE_CHECKING:
    from broker.cli.login_client import LoginClient

_RENEW_BEFORE = timedelta(minutes=5)
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class LoginStore:
    """The login of one profile."""

    def __init__(self, profile: str, environment: Mapping[str, str]) -> None:
        self._profile = profile
        home = Path(environment.get("HOME", "~")).expanduser()
        given = environment.get("AWS_LOGIN_CACHE_DIRECTORY")
        self._folder = Path(given) if given else home / ".aws" / "login" / "cache"
        name = hashlib.sha256(profile.encode()).hexdigest()
        # Names the profile's session and broker.
        self._pointer = self._folder / f"broker-{name}.json"

    def find_endpoint(self) -> str | None:
        """The broker of the profile's last login."""
        try:
            return str(json.loads(self._pointer.read_text())["endpoint"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, client: "LoginClient", token: dict[str, Any], region: str) -> str:
        """Store a new login; return the session's ARN."""
        arn = _find_arn(client.base, token["accessToken"], region)
        kept = {
            "tokenType": token["tokenType"],
            "clientId": token["clientId"],
            "dpopKey": client.key_pem,
            **_renewed(token, arn.split(":")[4]),
        }
        with self._locked():
            _write(self._token_file(arn), kept)
            _write(self._pointer, {"endpoint": client.base, "session": arn})
        return arn

    def serve(self) -> dict[str, object]:
        """Return ``credential_process`` output, renewing the credentials if needed.

        Raises:
            ValidationError: There is no login, or it has ended.
        """
        with self._locked():
            kept, path, endpoint = self._load()
            token = kept["accessToken"]
            expires_at = datetime.strptime(token["expiresAt"], _TIME).replace(
                tzinfo=UTC
            )
            if expires_at - datetime.now(UTC) < _RENEW_BEFORE:
                # Imported here: it is most of the time that a start would take.
                from broker.cli.login_client import LoginClient  # noqa: PLC0415

                client = LoginClient(endpoint, kept["dpopKey"])
                try:
                    fresh = client.renew(kept["clientId"], kept["refreshToken"])
                except ValidationError as error:
                    raise self._log_in_again(str(error)) from error
                kept = {**kept, **_renewed(fresh, token["accountId"])}
                _write(path, kept)
                token = kept["accessToken"]
        return {
            "Version": 1,
            "AccessKeyId": token["accessKeyId"],
            "SecretAccessKey": token["secretAccessKey"],
            "SessionToken": token["sessionToken"],
            "Expiration": token["expiresAt"],
        }

    def _load(self) -> tuple[dict[str, Any], Path, str]:
        try:
            pointer = json.loads(self._pointer.read_text())
            path = self._token_file(pointer["session"])
            return json.loads(path.read_text()), path, pointer["endpoint"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._log_in_again("You are not logged in.") from error

    def _log_in_again(self, reason: str) -> ValidationError:
        return ValidationError(f"{reason} Run: broker login --profile {self._profile}")

    def _token_file(self, session: str) -> Path:
        return self._folder / f"{hashlib.sha256(session.encode()).hexdigest()}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._pointer.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def write_profile(
    profile: str, environment: Mapping[str, str], settings: Mapping[str, str]
) -> Path:
    """Write settings into a profile of the AWS configuration, keeping the rest.

    Raises:
        ValidationError: The profile has credentials of another kind.
    """
    home = Path(environment.get("HOME", "~")).expanduser()
    given = environment.get("AWS_CONFIG_FILE")
    path = Path(given) if given else home / ".aws" / "config"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _replace(path, set_in_section(text, profile, settings))
    return path


_FOREIGN = ("role_arn", "sso_session", "sso_start_url", "aws_access_key_id")
_OURS = ("credential_process", "login_session")


def set_in_section(text: str, profile: str, settings: Mapping[str, str]) -> str:
    """Return a configuration's text with a profile's settings replaced.

    Raises:
        ValidationError: The profile has credentials of another kind, or a value would
            make more than its line.
    """
    for value in (profile, *settings.values()):
        if not value.isprintable():  # no line breaks, of any kind
            raise ValidationError(
                f"{value!r} cannot be written to the AWS configuration."
            )
    header = "[default]" if profile == "default" else f"[profile {profile}]"
    lines = text.splitlines()
    try:
        start = [line.strip() for line in lines].index(header)
    except ValueError:
        lines += [*([""] if lines else []), header]
        start = len(lines) - 1
    end = next(
        (i for i in range(start + 1, len(lines)) if lines[i].lstrip().startswith("[")),
        len(lines),
    )
    names = {*settings, *_OURS}
    kept: list[str] = []
    for line in lines[start + 1 : end]:
        match = re.match(r"([A-Za-z0-9_]+)\s*=\s*(.*)", line)
        name = match[1] if match else ""
        foreign = name == "credential_process" and " -m broker login " not in line
        if name in _FOREIGN or foreign:
            raise ValidationError(
                f"Profile {profile} already has {name}. Use another: --profile NAME."
            )
        if name not in names:
            kept.append(line)
    ours = [f"{name} = {value}" for name, value in settings.items()]
    return "\n".join([*lines[: start + 1], *ours, *kept, *lines[end:]]) + "\n"


def _find_arn(base: str, token: Mapping[str, str], region: str) -> str:
    # Imported here: a credential_process runs often and does not need it.
    from botocore.session import Session  # noqa: PLC0415

    sts = Session().create_client(
        "sts",
        endpoint_url=base,
        region_name=region,
        aws_access_key_id=token["accessKeyId"],
        aws_secret_access_key=token["secretAccessKey"],
        aws_session_token=token["sessionToken"],
    )
    return str(sts.get_caller_identity()["Arn"])


def _renewed(token: Mapping[str, Any], account: str) -> dict[str, Any]:
    expires_at = datetime.now(UTC) + timedelta(seconds=token["expiresIn"])
    return {
        "accessToken": {
            **token["accessToken"],
            "accountId": account,
            "expiresAt": expires_at.strftime(_TIME),
        },
        "refreshToken": token["refreshToken"],
    }


def _write(path: Path, value: Mapping[str, object]) -> None:
    _replace(path, json.dumps(value))


def _replace(path: Path, text: str) -> None:
    """Replace a file atomically, readable by its owner only; a link stays one."""
    path = Path(os.path.realpath(path))
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)
