"""SIGTERM while mints are under way: whoever was let in is answered, and on record."""

import http.client
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Self
from urllib.parse import urlencode

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.scenarios.installation import READER, SAML_PROVIDER, Installation
from tests.scenarios.test_outages import can_be_spent, recorded_sessions
from tests.support.broker import RunningBroker, running_broker
from tests.support.oidc_issuer import serving
from tests.support.servers import start_redis
from tests.support.tables import own_database

DOCUMENTED_SECONDS = 9
"""docs/operating/outages.md; the tests give a busy machine more."""

CLIENTS = 8


@pytest.fixture(scope="module", params=["embedded", "redis+postgresql, two workers"])
def installation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    with ExitStack() as stack:
        issuer = stack.enter_context(serving("/idp"))
        settings = {"internal_issuers": f"127.0.0.1:{issuer.port}"}
        if request.param != "embedded":
            settings["database_url"] = stack.enter_context(own_database())
            settings["redis_url"] = stack.enter_context(start_redis()).url
        broker = stack.enter_context(
            running_broker(
                tmp_path_factory.mktemp("broker"),
                workers=1 if request.param == "embedded" else 2,
                **settings,
            )
        )
        yield Installation(broker, issuer)


def request_stop(broker: RunningBroker) -> None:
    assert broker.process is not None
    broker.process.send_signal(signal.SIGTERM)


def has_ended_well(broker: RunningBroker) -> bool:
    assert broker.process is not None
    status = broker.process.wait(2 * DOCUMENTED_SECONDS)
    assert "Traceback" not in broker.log
    return status in {0, -signal.SIGTERM}


class Held:
    """A mint whose request was let in, and whose body is yet to come."""

    def __init__(self, installation: Installation) -> None:
        form = {
            "Action": "AssumeRoleWithSAML",
            "Version": "2011-06-15",
            "RoleArn": READER,
            "PrincipalArn": SAML_PROVIDER,
            "SAMLAssertion": installation.assertion(),
        }
        self._body = urlencode(form).encode()
        self._connection = connect(installation.broker)
        head = (
            f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{installation.broker.port}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(self._body)}\r\nExpect: 100-continue\r\n\r\n"
        )
        self._connection.sendall(head.encode())
        let_in = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert self._connection.recv(len(let_in), socket.MSG_WAITALL) == let_in

    def finish(self) -> str:
        """Send the body; the answer's text. The connection is closed after it."""
        self._connection.sendall(self._body)
        response = http.client.HTTPResponse(self._connection)
        response.begin()
        text = response.read().decode()
        assert response.status == 200, text
        assert response.headers["connection"] == "close"
        assert self._connection.recv(1) == b""
        return text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def connect(broker: RunningBroker) -> socket.socket:
    return socket.create_connection(("127.0.0.1", broker.port), timeout=30)


def wait_until_nobody_is_let_in(broker: RunningBroker) -> None:
    for _ in range(200):
        try:
            connect(broker).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.02)
    pytest.fail("new connections are taken all the same")


def test_anyone_who_was_let_in_before_a_stop_is_answered_and_on_record(
    installation: Installation,
) -> None:
    broker = installation.broker
    earlier = recorded_sessions(installation)
    with ExitStack() as stack:
        held = [stack.enter_context(Held(installation)) for _ in range(CLIENTS)]
        request_stop(broker)
        wait_until_nobody_is_let_in(broker)
        answers = [each.finish() for each in held]
    assert has_ended_well(broker)
    broker.start()
    minted = recorded_sessions(installation) - earlier
    assert len(minted) == CLIENTS
    for answer in answers:
        assert sum(f">{key}<" in answer for key in minted) == 1


def test_a_stop_under_load_loses_no_answered_mint(installation: Installation) -> None:
    broker = installation.broker
    earlier = recorded_sessions(installation)
    assertions = [installation.assertion() for _ in range(10 * CLIENTS)]
    answered: list[str] = []
    odd: list[Exception] = []
    begun = threading.Semaphore(0)

    def spend(mine: list[str]) -> None:
        for assertion in mine:
            try:
                answer = installation.saml(assertion)
            except ClientError as error:
                odd.append(error)
                return
            except BotoCoreError:
                return  # closed, or not let in any more
            answered.append(answer["Credentials"]["AccessKeyId"])
            begun.release()

    clients = [
        threading.Thread(target=spend, args=(assertions[n::CLIENTS],))
        for n in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    for _ in range(2 * CLIENTS):
        assert begun.acquire(timeout=30)
    request_stop(broker)
    for client in clients:
        client.join()
    assert has_ended_well(broker)
    assert not odd
    broker.start()
    minted = recorded_sessions(installation) - earlier
    assert set(answered) <= minted
    spent = sum(not can_be_spent(installation, each) for each in assertions)
    assert spent == len(minted)
