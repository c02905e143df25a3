"""The sets and the search, against every short text and the evaluator's own tests."""

import random
from itertools import product

import pytest

from broker.policy.arn_pattern import (
    ArnPattern,
    compile_arn_patterns,
    compile_resource_patterns,
    read_arn_patterns,
    read_resource_patterns,
)
from broker.policy.proofs.texts import (
    Glob,
    Literal,
    TextSet,
    _Automaton,
    find_text,
    literal_set,
    make_glob,
    make_part_glob,
)
from broker.policy.proofs.work import ProofWork, Undecided
from broker.policy.variables import find_static
from broker.policy.wildcard import compile_wildcard, tokenize

SHORT = ["".join(t) for n in range(6) for t in product("ab:", repeat=n)]


def texts(*patterns: str) -> TextSet:
    tests = [compile_wildcard(tokenize(pattern)) for pattern in patterns]
    globs = [make_glob(tokenize(pattern)) for pattern in patterns]
    return TextSet(globs, lambda text: any(test(text) for test in tests))


def random_pattern(chance: random.Random) -> str:
    return "".join(chance.choice("aab:?**") for _ in range(chance.randint(0, 5)))


def test_a_search_finds_a_text_if_there_is_a_short_one() -> None:
    chance = random.Random(1)
    outcomes = set()
    for _ in range(1_500):
        clauses: list[tuple[Literal, ...]] = []
        for _ in range(chance.randint(1, 4)):
            patterns = [random_pattern(chance) for _ in range(chance.randint(1, 3))]
            clauses.append(((texts(*patterns), chance.random() < 0.5),))
        if chance.random() < 0.3:
            first, second, *rest = [*clauses, clauses[0]]
            clauses = [first + second, *rest]
        text = find_text(clauses, ProofWork())
        short = [
            t
            for t in SHORT
            if all(any(s.test(t) is v for s, v in clause) for clause in clauses)
        ]
        assert text is not None or not short, clauses
        outcomes.add(text is None)
    assert outcomes == {True, False}


ARNS = [":".join(t) for n in range(5, 8) for t in product(("", "a", "ab"), repeat=n)]


PARTS = ("*", "*", "a*", "?", "a?", "*b", "a", "")


@pytest.mark.parametrize("of_values", [False, True])
def test_a_pattern_of_an_arn_matches_what_the_evaluators_does(
    *, of_values: bool
) -> None:
    chance = random.Random(2)
    read = read_arn_patterns if of_values else read_resource_patterns
    compile_all = compile_arn_patterns if of_values else compile_resource_patterns
    sample = chance.sample(ARNS, 200)
    matching = 0
    for _ in range(300):
        parts = [chance.choice(PARTS) for _ in range(6)]
        pattern = ":".join(parts[: chance.randint(3, 6)])
        automaton = _Automaton(ProofWork())
        part = automaton.add(map(glob_of, read((pattern,), variables=False)))
        test = compile_all((pattern,), variables=False)
        for text in sample:
            matches = bool(automaton.read(text) & part.final)
            assert matches is test(text, {}), (pattern, text)
            matching += matches
    assert matching > 100


def glob_of(pattern: ArnPattern) -> Glob:
    if not pattern.by_part:
        return make_glob(find_static(pattern.joined) or ())
    glob = make_part_glob(find_static(part) or () for part in pattern.parts)
    assert glob is not None
    return glob


def test_what_a_pattern_says_of_itself_is_true_of_its_texts() -> None:
    chance = random.Random(3)
    for _ in range(500):
        pattern = random_pattern(chance)
        glob, test = make_glob(tokenize(pattern)), compile_wildcard(tokenize(pattern))
        matching = [text for text in SHORT if test(text)]
        assert all(
            t.startswith(glob.prefix) and t.endswith(glob.suffix) for t in matching
        )
        if glob.literal is not None:
            assert matching == [glob.literal]
        if glob.is_prefix:
            assert matching == [t for t in SHORT if t.startswith(glob.prefix)]
        assert test(glob.fill("example"))


def test_a_folded_pattern_takes_what_has_its_lower_case() -> None:
    glob = make_glob(["kb1"], fold=True)
    folded = TextSet([glob], lambda text: text.lower() == "kb1")
    others = [literal_set([text]) for text in ("kb1", "kB1", "Kb1", "KB1", "\u212ab1")]
    clauses: list[tuple[Literal, ...]] = [((folded, True),)]
    for other in others:
        assert find_text(clauses, ProofWork()) is not None
        clauses.append(((other, False),))
    last = find_text(clauses, ProofWork())
    assert last is not None
    assert last.text == "\u212aB1"
    assert (
        find_text([*clauses, ((literal_set(["\u212aB1"]), False),)], ProofWork())
        is None
    )


def test_a_varying_pattern_may_match_but_not_here_and_there_differently() -> None:
    may = TextSet([make_glob(tokenize("b/*"), variable="user")], lambda _: False)
    same = TextSet([make_glob(tokenize("b/*"), variable="user")], lambda _: False)
    other = TextSet([make_glob(tokenize("b/*"), variable="id")], lambda _: False)
    assert find_text([((may, True),), ((same, False),)], ProofWork()) is None
    text = find_text([((may, True),), ((other, False),)], ProofWork())
    assert text is not None
    assert text.is_in(may)
    assert not text.is_in(other)


def test_a_search_that_is_too_long_is_undecided() -> None:
    clauses = [((texts(f"*a{'?' * n}b*"), n > 6),) for n in range(12)]
    with pytest.raises(Undecided):
        find_text(clauses, ProofWork())


def test_patterns_that_are_too_long_together_are_undecided() -> None:
    many = [make_glob(["a" * 2_000, str(n)]) for n in range(60)]
    with pytest.raises(Undecided):
        _Automaton(ProofWork(10**9)).add(many)


def test_a_part_with_a_colon_matches_nothing() -> None:
    assert make_part_glob([["a:b"], ["c"]]) is None
    assert make_part_glob([["a"], ["b:c"]]) is not None
