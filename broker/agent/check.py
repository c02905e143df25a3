"""``broker agent check``: what is wrong, and what to do."""

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from broker.agent.broker_api import (
    BrokerApi,
    BrokerAwayError,
    BrokerRefusedError,
    make_api,
)
from broker.agent.configuration import (
    Address,
    AgentSettings,
    ConfigurationError,
    load_settings,
)
from broker.agent.credentials import V2
from broker.agent.http_server import bind
from broker.agent.identity import IdentityEndedError, IdentityUnusableError
from broker.agent.instance import STATE_FILE, InstanceState, make_identity
from broker.agent.private_files import is_private

_SERVER = "broker-agent"
_METADATA = "169.254.169.254"

_NO_ROLE = "the machine has no role now; associate an instance profile that has one"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    text: str
    is_good: bool = True


def check(path: Path) -> Iterator[Finding]:
    """Look at everything, without changing anything on the machine.

    An instance is not registered by it; the other identities get credentials once.
    """
    try:
        settings = load_settings(path)
    except ConfigurationError as error:
        yield Finding(str(error), is_good=False)
        return
    yield Finding(f"{path} is understood")
    yield from _files(settings)
    yield from _broker(settings)
    yield from _endpoints(settings)


def _files(settings: AgentSettings) -> Iterator[Finding]:
    identity = settings.identity
    secret = (
        identity.join_token_file,
        identity.access_key_file,
        identity.private_key_file,
        settings.state_dir / STATE_FILE if identity.is_instance else None,
    )
    # Kubernetes decides who may read a pod's token, and the container endpoint's is
    # for programs of other users.
    others = (identity.web_identity_token_file, settings.container.token_file)
    for path in filter(None, (*secret, *others)):
        try:
            is_open = not is_private(path) and path in secret
        except FileNotFoundError:
            continue
        except OSError:
            is_open = False
        if is_open:
            yield Finding(
                f"{path} can be read by others; run: chmod 600 {path}", is_good=False
            )
        elif not os.access(path, os.R_OK):
            yield Finding(
                f"{path} cannot be read by this user; run the check as the agent's user",
                is_good=False,
            )
    folders = {settings.file.path, settings.container.token_file}
    needed = {path.parent for path in folders if path is not None}
    if identity.is_instance:
        needed.add(settings.state_dir)
    for folder in sorted(needed):
        if not os.access(folder, os.W_OK | os.X_OK):
            yield Finding(
                f"{folder} is not there, or this user cannot write in it", is_good=False
            )


def _broker(settings: AgentSettings) -> Iterator[Finding]:
    try:
        api = make_api(settings)
        identity = make_identity(settings, api, saves=False)
        if settings.identity.is_instance:
            state = InstanceState.load(settings.state_dir / STATE_FILE)
            if state is None or not state.instance_arn:
                yield from _not_registered(settings)
                yield _reach(api)
            elif state.is_ended:
                yield Finding(_ended(settings, state.instance_arn), is_good=False)
            else:
                grant = identity.get_grant()
                yield Finding(f"the broker knows {grant.instance_arn}")
                yield Finding(
                    f"its role is {grant.role_arn}" if grant.role_arn else _NO_ROLE
                )
        else:
            credentials, grant = identity.get_credentials(V2)
            left = int((credentials.expires_at - api.now()).total_seconds())
            yield Finding(f"the broker gives {grant.role_arn} for {left} seconds")
    except BrokerAwayError as error:
        yield Finding(f"the broker does not answer: {error}", is_good=False)
    except BrokerRefusedError as error:
        yield Finding(f"the broker refuses: {error}", is_good=False)
    except (ConfigurationError, IdentityUnusableError) as error:
        yield Finding(str(error), is_good=False)
    except IdentityEndedError as error:
        yield Finding(_ended(settings, str(error)), is_good=False)
    else:
        yield from _clock(api)


def _ended(settings: AgentSettings, what: str) -> str:
    token, state = settings.identity.join_token_file, settings.state_dir / STATE_FILE
    advice = f"write a new join token to {token}" if token else f"delete {state}"
    return f"{what}: the instance was ended; to register again, {advice}"


def _not_registered(settings: AgentSettings) -> Iterator[Finding]:
    identity = settings.identity
    path = (
        identity.join_token_file
        or identity.web_identity_token_file
        or identity.certificate_file
    )
    if path is None or not os.access(path, os.F_OK):
        yield Finding(
            f"{path} is missing, and this machine is not registered; create a token with:"
            " broker instances join-token PROFILE --account ACCOUNT",
            is_good=False,
        )
        return
    yield Finding(
        "this machine is not registered; the agent registers it when it starts"
    )


def _reach(api: BrokerApi) -> Finding:
    """Ask for what no broker says without a proof.

    Raises:
        BrokerAwayError: there is no broker.
    """
    with contextlib.suppress(BrokerRefusedError):
        api.call("GetInstanceAssociation", {})
    return Finding(f"the broker answers at {api.authority}")


def _clock(api: BrokerApi) -> Iterator[Finding]:
    offset = round(api.clock.offset_seconds)
    if offset:
        yield Finding(
            f"this machine's clock is {abs(offset)} seconds"
            f" {'behind' if offset > 0 else 'ahead of'} the broker's; the agent copes,"
            " but programs that sign requests will not: synchronize it",
            is_good=False,
        )


def _endpoints(settings: AgentSettings) -> Iterator[Finding]:
    listening = (
        *(("metadata", address) for address in settings.metadata.listen),
        *(("container", address) for address in settings.container.listen),
    )
    if not listening and settings.file.path is None:
        yield Finding(
            "only `broker agent process` provides credentials; for more, write"
            " listen below [metadata] or [container]"
        )
    for name, address in listening:
        yield _endpoint(name, address)


def _endpoint(name: str, address: Address) -> Finding:
    server = _find_server(address)
    if server == _SERVER:
        return Finding(f"the agent answers at {address} ({name})")
    if server is not None:
        return Finding(
            f"another program ({server or 'unnamed'}) answers at {address} ({name})",
            is_good=False,
        )
    try:
        bind(address.host, address.port).close()
    except OSError as error:
        advice = ""
        if address.host == _METADATA:
            advice = "; add the address: ip addr add 169.254.169.254/32 dev lo"
        return Finding(
            f"{address} ({name}) cannot be opened: {error.strerror}{advice}",
            is_good=False,
        )
    return Finding(f"{address} ({name}) is free; the agent is not running")


def _find_server(address: Address) -> str | None:
    """The name that a server at an address gives itself; None without one."""
    connection = HTTPConnection(address.host, address.port, timeout=1)
    try:
        connection.request("GET", "/", headers={"Host": str(address)})
        return connection.getresponse().getheader("Server", "")
    except (OSError, socket.gaierror, HTTPException):
        return None
    finally:
        connection.close()
