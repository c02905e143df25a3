"""Revocation lists of trust anchors, on every database."""

from datetime import UTC, datetime

from broker.model.account import AccountId
from broker.model.roles_anywhere import CertificateList
from broker.stores.directory.kinds import CERTIFICATE_LIST
from broker.stores.directory.sql import SqlDirectory

FIRST, SECOND = AccountId("111111111111"), AccountId("222222222222")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def listed(list_id: str, anchor_id: str, account: AccountId = FIRST) -> CertificateList:
    return CertificateList(
        account=account,
        list_id=list_id,
        anchor_id=anchor_id,
        region="eu-west-3",
        name="gone",
        data=b"a list",
        enabled=True,
        created_at=NOW,
        updated_at=NOW,
    )


async def test_an_anchors_lists_are_read_without_the_others(
    directory: SqlDirectory,
) -> None:
    mine = (listed("1", "a"), listed("3", "a"))
    other, foreign = listed("2", "b"), listed("4", "a", SECOND)
    for account, lists in ((FIRST, (*reversed(mine), other)), (SECOND, (foreign,))):
        async with directory.change(account) as change:
            for one in lists:
                await change.insert(CERTIFICATE_LIST, one)
    assert await directory.all_of(CERTIFICATE_LIST, FIRST, anchor_id="a") == mine
    assert await directory.all_of(CERTIFICATE_LIST, FIRST, anchor_id="b") == (other,)
    assert await directory.all_of(CERTIFICATE_LIST, SECOND, anchor_id="a") == (foreign,)
    assert await directory.all_of(CERTIFICATE_LIST, SECOND, anchor_id="b") == ()
