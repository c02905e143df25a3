"""Service accounts, asked of a server over TLS."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.webhook import cluster as module
from broker.webhook.cluster import ClusterAwayError, ClusterPlace, ServiceAccounts
from tests.support.certificates import issue
from tests.support.webhook import Cluster, running_cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with running_cluster(tmp_path / "cluster") as found:
        found.annotations["shop/web"] = {"a/b": "c"}
        found.annotations["shop/bare"] = {}
        yield found


def accounts(cluster: Cluster) -> ServiceAccounts:
    return ServiceAccounts(
        ClusterPlace(
            url=cluster.url, ca_file=cluster.ca_file, token_file=cluster.token_file
        )
    )


def test_annotations_are_found_and_kept_for_a_moment(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = accounts(cluster)
    for _ in range(3):
        assert asked.find_annotations("shop", "web") == {"a/b": "c"}
    assert cluster.asked == ["/api/v1/namespaces/shop/serviceaccounts/web"]
    monkeypatch.setattr(module, "_KEPT_SECONDS", 0.0)
    fresh = accounts(cluster)
    fresh.find_annotations("shop", "web")
    cluster.annotations["shop/web"] = {"a/b": "d"}
    assert fresh.find_annotations("shop", "web") == {"a/b": "d"}


def test_an_account_that_is_not_there_yet_is_asked_about_again(
    cluster: Cluster,
) -> None:
    asked = accounts(cluster)
    assert asked.find_annotations("shop", "new") == {}
    cluster.annotations["shop/new"] = {"a/b": "c"}
    assert asked.find_annotations("shop", "new") == {"a/b": "c"}
    assert asked.find_annotations("shop", "bare") == {}


def test_a_name_leads_nowhere_else(cluster: Cluster) -> None:
    assert accounts(cluster).find_annotations("a/b", "../c?d") == {}
    assert cluster.asked == ["/api/v1/namespaces/a%2Fb/serviceaccounts/..%2Fc%3Fd"]


def test_what_is_kept_is_bounded(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KEPT_MAX", 1)
    asked = accounts(cluster)
    for name in ("web", "bare", "web"):
        asked.find_annotations("shop", name)
    assert len(cluster.asked) == 3


def test_an_answer_must_come_in_time(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many bytes come meanwhile: the agent's tests say more of that."""
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 0.0)
    with pytest.raises(ClusterAwayError, match="no whole answer"):
        accounts(cluster).find_annotations("shop", "web")


def test_the_token_is_read_for_every_request(cluster: Cluster) -> None:
    asked = accounts(cluster)
    cluster.token_file.write_text("old")
    with pytest.raises(ClusterAwayError, match="401"):
        asked.find_annotations("shop", "web")
    cluster.token_file.write_text("token-of-the-webhooks-pod")
    assert asked.find_annotations("shop", "web") == {"a/b": "c"}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, b"{}"),
        (500, b""),
        (302, b""),
        (200, b"x"),
        (200, b"[]"),
        (200, b'{"metadata": null}'),
        (200, b'{"metadata": {"annotations": ["x"]}}'),
        (200, b'{"metadata": {}}' + b" " * 1_048_577),
    ],
)
def test_an_answer_that_does_not_count(
    cluster: Cluster, status: int, body: bytes
) -> None:
    cluster.status, cluster.body = status, body
    with pytest.raises(ClusterAwayError):
        accounts(cluster).find_annotations("shop", "web")


def test_another_authoritys_server_is_not_asked(cluster: Cluster) -> None:
    cluster.ca_file.write_text(issue("other", is_authority=True).pem)
    with pytest.raises(ClusterAwayError, match="certificate"):
        accounts(cluster).find_annotations("shop", "web")
    assert cluster.asked == []


@pytest.mark.parametrize("name", ["ca_file", "token_file"])
def test_a_missing_file_is_said(cluster: Cluster, name: str) -> None:
    getattr(cluster, name).unlink()
    with pytest.raises(ClusterAwayError, match="own token"):
        accounts(cluster).find_annotations("shop", "web")
