"""Store addresses are read strictly and shown without their secrets."""

from pathlib import Path

import pytest

from broker.stores.urls import (
    PostgresqlLocation,
    RedisLocation,
    SqliteLocation,
    StoreUrlError,
    parse_database_url,
    parse_redis_url,
    redact_url,
    split_hosts,
)
from tests.support.rows import rows


@rows("url, path")
def test_a_file_is_given_as_a_url_or_a_path(url: str, path: str) -> None:
    assert parse_database_url(url) == SqliteLocation(Path(path))


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_postgresql_address_keeps_its_parameters(scheme: str) -> None:
    rest = "u:p%40@db:5433/name?sslmode=require"
    location = parse_database_url(f"{scheme}://{rest}")
    assert location == PostgresqlLocation(f"postgresql://{rest}")
    assert "p%40" not in repr(location)


@pytest.mark.parametrize(
    ("rest", "hosts"),
    [
        ("db/name", [None]),
        ("u:p@db:5433/name?target_session_attrs=any", [None]),
        ("/name?host=/run/postgresql", [None]),
        ("u:p,q@a,b:5433/name", [("a", 5432), ("b", 5433)]),
        ("[::1]:1,a?sslmode=require", [("::1", 1), ("a", 5432)]),
        ("/name?host=a,b", [("a", 5432), ("b", 5432)]),
        ("/name?host=a,b&port=1,2", [("a", 1), ("b", 2)]),
        ("/name?host=a,b,c&port=7", [("a", 7), ("b", 7), ("c", 7)]),
    ],
)
def test_the_servers_of_an_address(
    rest: str, hosts: list[tuple[str, int] | None]
) -> None:
    assert split_hosts(f"postgresql://{rest}") == tuple(
        {} if host is None else {"host": host[0], "port": host[1]} for host in hosts
    )


@pytest.mark.parametrize(
    "url", ["", "mysql://u:hunter2@h/x", "sqlite://", "sqlite:///"]
)
def test_another_database_is_refused_without_showing_a_secret(url: str) -> None:
    with pytest.raises(StoreUrlError) as caught:
        parse_database_url(url)
    assert "hunter2@" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://r", RedisLocation(mode="", tls=False, hosts=(("r", 6379),))),
        (
            "rediss://u:p%3A@r:7000/3",
            RedisLocation(
                mode="",
                tls=True,
                hosts=(("r", 7000),),
                database=3,
                username="u",
                password="p:",
            ),
        ),
        (
            "redis+sentinel://:p@a,b:1,[::1]:2/main/4",
            RedisLocation(
                mode="sentinel",
                tls=False,
                hosts=(("a", 26379), ("b", 1), ("::1", 2)),
                database=4,
                service="main",
                password="p",
            ),
        ),
        (
            "rediss+cluster://a,b:7001",
            RedisLocation(mode="cluster", tls=True, hosts=(("a", 6379), ("b", 7001))),
        ),
    ],
)
def test_each_way_to_reach_redis_is_read(url: str, expected: RedisLocation) -> None:
    assert parse_redis_url(url) == expected


@rows("url")
def test_another_cache_is_refused_without_showing_a_secret(url: str) -> None:
    with pytest.raises(StoreUrlError) as caught:
        parse_redis_url(url)
    assert "hunter2" not in str(caught.value)


@rows("url, shown")
def test_an_address_is_shown_without_user_and_password(url: str, shown: str) -> None:
    assert redact_url(url) == shown
