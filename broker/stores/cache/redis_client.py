"""Connects to Redis: a single server, sentinels or a cluster, quickly or not at all.

No client retries anything: a write whose answer was lost may have happened. After a
failure the servers are looked up in the background, a few times a second.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import hiredis
from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from broker.runtime.offload import begin
from broker.stores.urls import RedisLocation

_CONNECTIONS_MAX = 32
_SEARCH_SECONDS = 2.0
"""For all servers of an address, of which some may be silent."""

_SEARCH_PAUSE_SECONDS = 0.2
UNREACHABLE = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What the client raises when there is no answer."""

Word = str | bytes | int
Command = tuple[Word, ...]
Client = Redis | RedisCluster

Item = TypeVar("Item")
Answer = TypeVar("Answer")
_BATCH_MAX = 128


class RedisLink:
    """The connection to the servers of an address; it follows them when they change."""

    def __init__(self, location: RedisLocation, *, timeout_seconds: float) -> None:
        """Connects when it is first used.

        Connections of `send_all` have no time-out of their own: its caller's is the
        one that counts, and the library's costs as much for each answer as reading it.
        """
        self._location = location
        self._timeout_seconds = timeout_seconds
        self._sentinel: Sentinel | None = None
        self._search: asyncio.Task[None] | None = None
        self._is_closed = False
        self.client = self._connect()

    async def send_all(
        self, commands: Sequence[Command]
    ) -> list[object | ResponseError]:
        """See the function; a failure starts a search for the servers."""
        try:
            answers = await send_all(self.client, commands)
        except BaseException:
            self._search_soon()
            raise
        if any(isinstance(answer, Exception) for answer in answers):
            self._search_soon()
        return answers

    async def close(self) -> None:
        """End the search, and close every connection."""
        self._is_closed = True
        if self._search is not None:
            self._search.cancel()
            await asyncio.wait([self._search])
        helpers = self._sentinel.sentinels if self._sentinel is not None else []
        for client in (self.client, *helpers):
            await _end(client)

    def _search_soon(self) -> None:
        """In the background: no call has the time to try server after server."""
        if not self._location.mode or self._is_closed:
            return
        if self._search is None or self._search.done():
            self._search = begin(self._find(), "redis-search")

    async def _find(self) -> None:
        with contextlib.suppress(*UNREACHABLE):
            async with asyncio.timeout(_SEARCH_SECONDS):
                if self._sentinel is not None:
                    # The one that answers is tried first from now on.
                    await self._sentinel.discover_master(self._location.service)
                else:
                    await self._find_cluster()
        # Calls that fail meanwhile start no second search.
        await asyncio.sleep(_SEARCH_PAUSE_SECONDS)

    async def _find_cluster(self) -> None:
        """Reload the slot map from the nodes.

        The library would do so within the failed call, which has no time for it, or
        after several errors of kinds that a lost master does not cause.
        """
        former = self.client
        if not isinstance(former, RedisCluster):
            return
        known = [(node.host, int(node.port)) for node in former.get_nodes()]
        hosts = list(dict.fromkeys([*self._location.hosts, *known]))
        cluster = self._connect_cluster(hosts)
        try:
            await cluster.initialize()
        except BaseException:
            await _end(cluster)
            raise
        self.client = cluster
        try:
            # Calls under way there have ended by then.
            await asyncio.sleep(2 * self._timeout_seconds)
        finally:
            await _end(former)

    def _connect(self) -> Client:
        location = self._location
        if location.mode == "cluster":
            return self._connect_cluster(list(location.hosts))
        options = self._options
        options["socket_timeout"] = options["socket_connect_timeout"] = None
        if location.mode == "sentinel":
            # User and password are for the data servers; sentinels mostly have none.
            self._sentinel = Sentinel(  # type: ignore[no-untyped-call] # the library's gap
                location.hosts,
                sentinel_kwargs=_common_options(location, self._timeout_seconds),
                db=location.database,
                **options,
            )
            master: Redis = self._sentinel.master_for(location.service)
            return master
        host, port = location.hosts[0]
        return Redis(host=host, port=port, db=location.database, **options)

    def _connect_cluster(self, hosts: Sequence[tuple[str, int]]) -> RedisCluster:
        nodes = [ClusterNode(host, port) for host, port in hosts]
        return RedisCluster(startup_nodes=nodes, **self._options)

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "username": self._location.username,
            "password": self._location.password,
            **_common_options(self._location, self._timeout_seconds),
        }


async def _end(client: Client) -> None:
    with contextlib.suppress(*UNREACHABLE):
        await client.aclose()
        if isinstance(client, RedisCluster):
            for kept in ("startup_nodes", "nodes_cache"):
                await client.nodes_manager.aclose(kept)


def _common_options(location: RedisLocation, seconds: float) -> dict[str, Any]:
    return {
        "ssl": location.tls,
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "max_connections": _CONNECTIONS_MAX,
        "retry": Retry(NoBackoff(), 0),
        # With them on, the library hands out pooled connections that the server closed.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


async def send_all(
    client: Client, commands: Sequence[Command]
) -> list[object | ResponseError]:
    """Send independent commands in one go; an error affects its command alone.

    The caller limits the time. Raises what the client raises when there is no answer.
    """
    if isinstance(client, RedisCluster):
        pipeline = client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return list(await pipeline.execute(raise_on_error=False))
    # The library's own pipeline takes twice as long per command.
    packed = b"".join(
        [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type] # its stub means tuples of any length
    )
    pool = client.connection_pool
    connection = await pool.get_connection()  # type: ignore[no-untyped-call] # the library's gap
    answers: list[object | ResponseError] = []
    try:
        await connection.send_packed_command(packed, check_health=False)
        for _ in commands:
            try:
                answers.append(await connection.read_response())
            except ResponseError as error:
                answers.append(error)
    except BaseException:
        # Unread answers must not be taken for those of a later command.
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)
    return answers


class Batcher(Generic[Item, Answer]):
    """Gathers items for ``send``, which answers each in its order.

    An answer that is an exception is raised to the caller of its item alone; what
    ``send`` raises is raised to all, each time as an exception made by ``fail``.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]],
        fail: Callable[[Exception], Exception],
    ) -> None:
        self._send = send
        self._fail = fail
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._task: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> Answer:
        """Send an item with the next batch and return its answer."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = begin(self._run())
        return await future

    async def close(self) -> None:
        """Wait for what is on its way."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = (
                self._waiting[:_BATCH_MAX],
                self._waiting[_BATCH_MAX:],
            )
            answers: Sequence[Answer | Exception]
            try:
                answers = await self._send([item for item, _ in batch])
            except Exception as error:  # noqa: BLE001  # no caller may wait forever
                answers = [self._fail(error) for _ in batch]
            for (_, future), answer in zip(batch, answers, strict=True):
                if future.done():
                    continue  # the caller gave up
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        self._task = None
