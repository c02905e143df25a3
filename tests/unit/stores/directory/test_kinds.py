"""What the descriptions of kinds must say."""

from broker.stores.directory import kinds
from broker.stores.directory.kinds import ACCOUNT, KINDS
from broker.stores.directory.stored import Kind
from broker.stores.schema import METADATA

STAYS = {
    "accounts",
    "audit",
    "audit_counts",
    "cache_sessions",  # end by themselves
    "changes",  # that they were made stays known
    "generations",
    "ldap_sign_ins",  # forgotten when their provider is gone
    "oidc_sign_ins",  # as well
}


def test_an_account_owns_all_that_is_stored_of_it() -> None:
    of_accounts = {
        table.name for table in METADATA.sorted_tables if "account" in table.c
    }
    assert {column.table.name for column in ACCOUNT.owns} == of_accounts - STAYS


def test_what_vouches_has_an_arn() -> None:
    for kind in KINDS:
        assert hasattr(kind.stored.entity, "arn") or not kind.vouches, kind.label


def test_every_kind_is_counted() -> None:
    described = {entity for entity in vars(kinds).values() if isinstance(entity, Kind)}
    assert described == {*KINDS}
