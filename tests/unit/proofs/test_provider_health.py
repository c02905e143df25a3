"""When the certificates of identity providers end, however large the metadata is."""

import threading
from typing import Any

import pytest

from broker.proofs import provider_health
from broker.proofs.provider_health import certificate_ends
from broker.runtime.bounded import BoundedCache
from tests.support.saml_idp import key_pair, metadata_xml


async def test_large_metadata_is_read_once_and_off_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = []
    parse = provider_health.parse_metadata

    def noted(metadata: str, **params: Any) -> Any:
        threads.append(threading.current_thread())
        return parse(metadata, **params)

    monkeypatch.setattr(provider_health, "parse_metadata", noted)
    monkeypatch.setattr(provider_health, "_certificate_ends", BoundedCache())
    key = key_pair()
    large = metadata_xml(key) + f"<!--{'x' * 100_000}-->"
    small = metadata_xml(key)
    for _ in range(2):
        assert len(await certificate_ends(large)) == 1
        assert len(await certificate_ends(small)) == 1
        assert await certificate_ends("nonsense") == ()
    assert [thread is threading.main_thread() for thread in threads] == [
        False,
        True,
        True,
    ]
