"""A broker on a real socket in this process, whose event loop is watched.

The event loop runs one callback after the other, and while one runs nobody else is
served. `Watch` looks at each: at the processor time that it takes, or, where a test must come to the
same result on every machine, at its units of work: the function calls that it makes,
and the length of long texts that our functions are given, since to read them is one
call of the interpreter, however long they are.
"""

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import boto3
import uvicorn
from botocore.config import Config

from broker.cli.worker import SERVER
from broker.compose.app import Broker
from broker.compose.services import open_services
from broker.kinds.accounts import create_account, create_root_key
from broker.model.account import AccountId
from broker.runtime.clock import SystemClock
from broker.runtime.offload import LONG
from broker.settings import Settings
from tests.support.broker import ACCOUNT, REGION, Key

_START_SECONDS = 60
_READS = ("/broker/protocols/", "/broker/policy/")
_CHARACTERS = 20
"""Of a long text that a function of ours takes, in a unit of work."""


class Watch:
    """The longest callback of one thread's event loop since the last `reset`."""

    def __init__(self, *, counts_units: bool) -> None:
        self.thread = 0
        self.seconds = 0.0
        self.units = 0
        self._counts_units = counts_units
        self._now = 0
        self._read: set[int] = set()

    def reset(self) -> None:
        self.seconds, self.units = 0.0, 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Watch every callback that the thread's loop runs."""
        run = asyncio.Handle._run
        watch = self

        def watched(handle: asyncio.Handle) -> None:
            if threading.get_ident() == watch.thread:
                watch._run(run, handle)
            else:
                run(handle)

        asyncio.Handle._run = watched  # type: ignore[method-assign]
        try:
            yield
        finally:
            asyncio.Handle._run = run  # type: ignore[method-assign]

    def _run(self, run: Any, handle: asyncio.Handle) -> None:
        began = time.thread_time()
        if self._counts_units:
            self._now = 0
            self._read.clear()
            sys.setprofile(self._count)
        try:
            run(handle)
        finally:
            sys.setprofile(None)
            self.units = max(self.units, self._now)
            self.seconds = max(self.seconds, time.thread_time() - began)

    def _count(self, frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            self._now += 1
            code = frame.f_code
            if any(part in code.co_filename for part in _READS):
                for name in code.co_varnames[: code.co_argcount]:
                    params = frame.f_locals[name]
                    if isinstance(params, str | bytes) and len(params) > LONG:
                        self._note_long(params)
        elif event == "c_call":
            self._now += 1

    def _note_long(self, text: str | bytes) -> None:
        """Each text once: to hand it on costs nothing."""
        if id(text) not in self._read:
            self._read.add(id(text))
            self._now += len(text) // _CHARACTERS


class WatchedBroker:
    """One worker, as `broker serve` runs it but for the kind of event loop."""

    def __init__(self, folder: Path, watch: Watch, **settings: Any) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = Settings(
            data_dir=folder / "data",
            **{"public_url": self.url, "rate_limit": 0, **settings},
        )
        self._watch = watch
        config = uvicorn.Config(Broker(self._settings), **{**SERVER, "loop": "asyncio"})
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="broker")

    def _serve(self) -> None:
        self._watch.thread = threading.get_ident()
        with asyncio.Runner() as runner:
            runner.run(self._server.serve([self._listener]))

    @contextmanager
    def running(self) -> Iterator["WatchedBroker"]:
        with self._watch.installed():
            self._thread.start()
            deadline = time.monotonic() + _START_SECONDS
            while not self._server.started:
                assert self._thread.is_alive(), "the broker did not start"
                assert time.monotonic() < deadline, "the broker did not start in time"
                time.sleep(0.01)
            try:
                yield self
            finally:
                self._server.should_exit = True
                self._thread.join(_START_SECONDS)

    def create_account(self, account: str = ACCOUNT, alias: str = "") -> Key:
        """An account's root key; before it runs."""
        return asyncio.run(self._create_account(AccountId(account), alias or None))

    async def _create_account(self, name: AccountId, alias: str | None) -> Key:
        now = SystemClock().now()
        async with (
            open_services(self._settings) as services,
            services.stores.directory.change(name) as change,
        ):
            await create_account(change, name, alias=alias, now=now)
            key, secret = await create_root_key(
                change, name, sealer=services.vault, now=now
            )
        return Key(key.access_key_id, secret.reveal())

    def client(self, service: str, key: Key | None = None, **options: Any) -> Any:
        """A boto3 client that never retries and checks nothing itself."""
        key = key or Key("none", "none")
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            aws_session_token=key.session_token,
            config=Config(
                retries={"total_max_attempts": 1}, parameter_validation=False
            ),
            **options,
        )
