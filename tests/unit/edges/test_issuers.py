"""The public pages of accounts as issuers."""

from typing import Any, cast

import pytest
from starlette.testclient import TestClient

from broker.edges.issuers import issuer_endpoint
from broker.runtime.clock import SystemClock


class Asked:
    """A directory that holds no account, and whom it was asked for."""

    def __init__(self) -> None:
        self.accounts: list[str] = []

    async def find(self, _: object, account: str) -> None:
        self.accounts.append(account)


@pytest.mark.parametrize("page", ["jwks.json", "openid-configuration"])
def test_a_page_of_no_account_asks_no_database(page: str) -> None:
    """PostgreSQL takes no zero byte, which a path may have."""
    asked = Asked()
    origin = "https://broker.example"
    client = TestClient(issuer_endpoint(cast("Any", asked), SystemClock(), origin))
    for account in ("%00", "111122223333%00", "1", "x" * 4000, "%D9%A1" * 12):
        answer = client.get(f"/issuer/{account}/.well-known/{page}")
        assert answer.status_code == 404, account
        assert answer.json() == {"error": "not_found"}
    assert not asked.accounts
    assert client.get(f"/issuer/{1:012}/.well-known/{page}").status_code == 404
    assert asked.accounts == ["000000000001"]
