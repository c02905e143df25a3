"""A small part of what `tests.mutate_requests` does with a million."""

import pytest

from tests.mutate_proofs import try_mutants
from tests.mutate_requests import mutate, proofs
from tests.support import effort


@pytest.mark.deep
def test_a_changed_request_says_the_same_or_nothing() -> None:
    mutants = 50_000 if effort.is_long else 3_000
    same, _ = try_mutants(proofs(), mutate, mutants, seed=1)
    assert 0 < same < mutants / 2
