"""What was made from what, as a list."""

import random
from itertools import pairwise

from broker.console.pages.session_tree import DEPTH_MAX, grow, made_from
from broker.model.account import AccountId
from broker.model.lineage import Ancestor, Lineage, Origin
from broker.stores.cache.port import SessionRecord


def record(name: str, *ancestors: str, at: int = 0, mint: bool = True) -> SessionRecord:
    return SessionRecord(
        access_key_id=f"ASIA{name}",
        account=AccountId("1" * 12),
        kind="AssumeRole",
        principal_arn=f"arn:{name}",
        principal_id=name,
        issued_at_ms=at,
        expires_at=0,
        mint_id=f"mint-{name}" if mint else "",
        lineage=Lineage(
            origin=Origin(),
            ancestors=tuple(
                Ancestor(
                    account=AccountId("1" * 12),
                    mint_id=f"mint-{one}" if mint else "",
                    access_key_id=f"ASIA{one}",
                    principal_id=one,
                    issued_at_ms=0,
                )
                for one in ancestors
            ),
        ),
    )


def shown(records: list[SessionRecord]) -> list[tuple[str, int, str]]:
    random.Random(1).shuffle(records)
    return [
        (
            branch.record.principal_id,
            branch.depth,
            branch.parent.principal_id if branch.parent else "",
        )
        for branch in grow(records)
    ]


def test_each_stands_below_what_it_was_made_from() -> None:
    assert shown(
        [
            record("a", at=1),
            record("b", "a", at=5),
            record("c", "a", "b", at=6),
            record("d", "a", at=7),
            record("new", at=8),
        ]
    ) == [("new", 0, ""), ("a", 0, ""), ("d", 1, "a"), ("b", 1, "a"), ("c", 2, "b")]


def test_of_a_chain_with_gaps_the_nearest_that_lives_is_the_parent() -> None:
    assert shown(
        [record("x", "gone", at=9), record("a"), record("c", "a", "gone", at=5)]
    ) == [("x", 0, ""), ("a", 0, ""), ("c", 1, "a")]


def test_tokens_without_a_mint_id_are_known_by_their_key() -> None:
    old = [record("a", mint=False), record("b", "a", mint=False, at=1)]
    assert shown(old) == [("a", 0, ""), ("b", 1, "a")]


def test_a_long_chain_is_not_indented_for_ever_and_loses_none() -> None:
    names = [f"s{number:05}" for number in range(3000)]
    chain = [record(names[0])]
    chain += [
        record(name, before, at=number)
        for number, (before, name) in enumerate(pairwise(names))
    ]
    found = shown(chain)
    assert [name for name, _, _ in found] == names
    assert max(depth for _, depth, _ in found) == DEPTH_MAX


def test_what_ends_with_some_is_all_that_came_from_them() -> None:
    a, b, c = record("a"), record("b", "a"), record("c", "a", "b")
    other = record("other", "else")
    every = [a, b, c, other]
    assert made_from([a], every) == [b, c]
    assert made_from([b], every) == [c]
    assert made_from([a, b], every) == [c]
    assert made_from([c], every) == []
