"""The programs of ``make long`` name modules and tests that there are."""

import pytest

from tests import mutate_checks, mutate_policy
from tests.support.mutants import ROOT


def test_every_module_that_is_mutated_is_there() -> None:
    places = [
        *(mutate_policy.PACKAGE / f"{name}.py" for name in mutate_policy.MODULES),
        *(
            suite.folder / f"{name}.py"
            for suite in mutate_checks.SUITES.values()
            for name in suite.modules
        ),
    ]
    assert [path for path in places if not path.is_file()] == []


def test_the_policy_engine_as_it_is_survives() -> None:
    mutate_policy.decide_every_case()


@pytest.mark.parametrize(
    "tests",
    [mutate_policy.TESTS, *(suite.tests for suite in mutate_checks.SUITES.values())],
)
def test_every_test_that_is_to_kill_them_is_there(tests: list[str]) -> None:
    assert [path for path in tests if not (ROOT / path).exists()] == []
