"""How Redis is reached: alone, by sentinels or as a cluster, quickly or not at all.

No client retries anything: a write whose answer was lost may have happened.
"""

from collections.abc import Sequence
from typing import Any

import hiredis
from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from broker.stores.urls import RedisLocation

_MAX_CONNECTIONS = 32

Word = str | bytes | int
Command = tuple[Word, ...]
Client = Redis | RedisCluster


def connect_redis(
    location: RedisLocation, *, timeout_seconds: float
) -> tuple[Client, list[Redis]]:
    """A client for the address, and the helpers that must be closed with it.

    It connects when it is first used. Connections of `send_all` have no time-out of
    their own: its caller's is the one that counts, and the library's costs as much for
    each answer as reading it.
    """
    options: dict[str, Any] = {
        "username": location.username,
        "password": location.password,
        **_common_options(location, timeout_seconds),
    }
    if location.mode == "cluster":
        nodes = [ClusterNode(host, port) for host, port in location.hosts]
        return RedisCluster(startup_nodes=nodes, **options), []
    options["socket_timeout"] = options["socket_connect_timeout"] = None
    if location.mode == "sentinel":
        # User and password are the data servers'; sentinels mostly have none.
        sentinel = Sentinel(  # type: ignore[no-untyped-call] # the library's gap
            location.hosts,
            sentinel_kwargs=_common_options(location, timeout_seconds),
            db=location.database,
            **options,
        )
        return sentinel.master_for(location.service), list(sentinel.sentinels)
    host, port = location.hosts[0]
    return Redis(host=host, port=port, db=location.database, **options), []


def _common_options(location: RedisLocation, seconds: float) -> dict[str, Any]:
    return {
        "ssl": location.tls,
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "max_connections": _MAX_CONNECTIONS,
        "retry": Retry(NoBackoff(), 0),
    }


async def send_all(
    client: Client, commands: Sequence[Command]
) -> list[object | ResponseError]:
    """Send commands in one go, each for itself; an error answers its command alone.

    The caller limits the time. Raises what the client raises when there is no answer.
    """
    if isinstance(client, RedisCluster):
        pipeline = client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return list(await pipeline.execute(raise_on_error=False))
    # The library's own pipeline costs twice as much time a command.
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
        # Answers that nobody read must not be taken for those of a later command.
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)
    return answers
