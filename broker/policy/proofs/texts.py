"""Sets of texts as patterns, and the search for a text inside some and outside others.

A pattern is a row of places, each taking one character, with loops between them. All
patterns of a search run at once: the places that were reached are the bits of a number
(the Shift-And algorithm), and the numbers reached are searched depth first. The search is
exact: characters that no pattern names are all alike, so one of them stands for all.

What a pattern means is not read here: `boxes` takes that from the forms that the evaluator
compiles, too.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from enum import IntEnum
from functools import cached_property
from itertools import count

from msgspec import Struct

from broker.policy.proofs.work import ProofWork, Undecided
from broker.policy.wildcard import Token, Wild

_ORDINARY = "xyzabcdefghijklmnopqrstuvw0123456789-_"
_RARE = 0x4E00
"""Where characters begin that stand for the rest if all ordinary ones are named."""

_FILLINGS = ("", "example", "x")
"""What a star stands for in the texts that are tried before a search."""

_TESTS_A_STEP = 4
_PLACES_A_STEP = 8
_PLACES_MAX = 100_000
"""Bits of a search."""

ANY_CHARACTER = None

PART_CHARACTER = ""
"""A place that takes all characters but a colon."""


Place = str | None
"""The characters that a place takes: any of a text, or one of the two above."""


class Loop(IntEnum):
    """Which characters may come any number of times before a place."""

    NONE = 0
    PART = 1
    """All but a colon."""
    ANY = 2


class Glob(Struct, frozen=True):
    """A pattern: ``loops`` has an entry before each place, and the last behind all.

    ``prefix`` and ``suffix`` are what all its texts begin and end with, ``literal`` is the
    only one if there is but one. ``variable`` is set if the pattern stands for more texts
    than it has in a request: the name of the set that the request's values make of it.
    """

    places: tuple[Place, ...]
    loops: tuple[Loop, ...]
    variable: Hashable
    prefix: str
    suffix: str
    literal: str | None

    @classmethod
    def of(
        cls, places: Sequence[Place], loops: Sequence[Loop], variable: Hashable = None
    ) -> "Glob":
        """The pattern of places and loops."""
        number = len(places)
        first = next((i for i, loop in enumerate(loops) if loop), number)
        last = next((i for i, loop in enumerate(reversed(loops)) if loop), number)
        prefix = _run(places[:first])
        return cls(
            tuple(places),
            tuple(loops),
            variable,
            prefix,
            _run(places[number - last :][::-1])[::-1],
            prefix if len(prefix) == number and not any(loops) else None,
        )

    @property
    def is_prefix(self) -> bool:
        """Whether it matches the texts that begin with `prefix`, and no others."""
        return self.loops[-1] is Loop.ANY and len(self.prefix) == len(self.places)

    def fill(self, filling: str, character: str = "x") -> str:
        """A text that it matches, unless a filling has a colon within a part."""
        pieces: list[str] = []
        for index, loop in enumerate(self.loops):
            if loop:
                pieces.append(filling)
            if index < len(self.places):
                pieces.append((self.places[index] or character)[0])
        return "".join(pieces)


def _run(places: Sequence[Place]) -> str:
    end = next(
        (i for i, place in enumerate(places) if place is None or len(place) != 1),
        len(places),
    )
    return "".join(place for place in places[:end] if place)


def make_glob(
    tokens: Iterable[Token], *, fold: bool = False, variable: Hashable = None
) -> Glob:
    """A pattern without parts; ``fold`` takes the letters of lower case in both cases."""
    return _build([(token, False) for token in tokens], fold=fold, variable=variable)


def make_part_glob(
    parts: Iterable[Iterable[Token]], variable: Hashable = None
) -> Glob | None:
    """A pattern for each part of an ARN; the last may have colons.

    None if it can match nothing.
    """
    tokens: list[tuple[Token, bool]] = []
    listed = [tuple(part) for part in parts]
    for index, part in enumerate(listed):
        closed = index < len(listed) - 1
        if closed and any(isinstance(token, str) and ":" in token for token in part):
            return None
        tokens += [(token, closed) for token in part]
        if closed:
            tokens.append((":", False))
    return _build(tokens, fold=False, variable=variable)


def _build(tokens: list[tuple[Token, bool]], *, fold: bool, variable: Hashable) -> Glob:
    places: list[Place] = []
    loops = [Loop.NONE]
    for token, closed in tokens:
        if token is Wild.STAR:
            loops[-1] = max(loops[-1], Loop.PART if closed else Loop.ANY)
        elif token is Wild.ANY:
            places.append(PART_CHARACTER if closed else ANY_CHARACTER)
            loops.append(Loop.NONE)
        else:
            places += [_cases(character) if fold else character for character in token]
            loops += [Loop.NONE] * len(token)
    return Glob.of(places, loops, variable)


def _cases(character: str) -> str:
    """The characters whose lower case is this one of ASCII."""
    cases = character + character.upper() if character.isalpha() else character
    return cases + "\u212a" if character == "k" else cases  # the sign of Kelvin


class TextSet:
    """The texts that match one of some patterns.

    ``test`` decides it for those without variables; it is the evaluator's own.
    """

    def __init__(self, globs: Iterable[Glob], test: Callable[[str], bool]) -> None:
        exact: list[Glob] = []
        varying: list[Glob] = []
        for glob in globs:
            (exact if glob.variable is None else varying).append(glob)
        self.exact = tuple(exact)
        self.varying = tuple(varying)
        self.test = test

    @cached_property
    def size(self) -> int:
        """The number of patterns."""
        return len(self.exact) + len(self.varying)

    @cached_property
    def places(self) -> int:
        """The number of places of all patterns."""
        return sum(len(glob.places) for glob in (*self.exact, *self.varying))

    @cached_property
    def test_steps(self) -> int:
        """What it takes to test a text."""
        return 1 + len(self.others) // _TESTS_A_STEP

    @cached_property
    def literals(self) -> frozenset[str]:
        """The texts that patterns without wildcards match."""
        return frozenset(
            glob.literal for glob in self.exact if glob.literal is not None
        )

    @cached_property
    def others(self) -> tuple[Glob, ...]:
        """The exact patterns that match more than one text."""
        return tuple(glob for glob in self.exact if glob.literal is None)


def literal_set(texts: Iterable[str]) -> TextSet:
    """The texts themselves."""
    literals = frozenset(texts)
    globs = [make_glob([text]) for text in sorted(literals)]
    return TextSet(globs, literals.__contains__)


Literal = tuple[TextSet, bool]
"""Whether a text is in a set."""
Clause = tuple[Literal, ...]
"""One of these must hold."""


class Text(Struct, frozen=True):
    """A text, and the varying patterns that are taken to match it."""

    text: str
    matched: frozenset[Hashable] = frozenset()

    def is_in(self, texts: TextSet) -> bool:
        """Whether the text is in a set."""
        if texts.test(self.text):
            return True
        return bool(self.matched) and any(
            glob.variable in self.matched for glob in texts.varying
        )


def find_text(
    clauses: Iterable[Clause], work: ProofWork, samples: Iterable[str] = ()
) -> Text | None:
    """A text for which all clauses hold; None if there is none.

    ``samples`` are tried before others. Varying patterns may match what they could match,
    but the same for every set that has them.

    Raises:
        Undecided: the search takes too long.
    """
    distinct = list(dict.fromkeys(clauses))
    units = {clause[0] for clause in distinct if len(clause) == 1}
    if any((texts, not value) in units for texts, value in units):
        return None
    never = frozenset(
        glob.variable for texts, value in units if not value for glob in texts.varying
    )
    search = _Search(distinct, never, work)
    inside = [texts for texts, value in units if value]
    for sample in samples:
        text = search.try_text(sample)
        if text is not None:
            return text
    if not inside:
        return search.run(None)
    narrowest = min(inside, key=lambda texts: (texts.size, len(texts.others)))
    if narrowest.others or narrowest.varying:
        # A union with few texts decides more at once than one pattern with many.
        finite = [t for t in inside if not t.others and not t.varying]
        narrowest = min(finite, key=lambda texts: texts.size, default=narrowest)
    return search.each(narrowest)


class _Search:
    """A search under fixed clauses; ``never`` has varying patterns that match nothing."""

    def __init__(
        self, clauses: list[Clause], never: frozenset[Hashable], work: ProofWork
    ) -> None:
        self._clauses = clauses
        self._never = never
        self._work = work
        sets = (texts for clause in clauses for texts, _ in clause)
        self._cost = 1 + sum(texts.test_steps for texts in sets)

    def each(self, texts: TextSet) -> Text | None:
        """A text of a set."""
        for literal in sorted(texts.literals):
            text = self.try_text(literal)
            if text is not None:
                return text
        patterns = [*texts.others, *self._possible(texts)]
        for glob in patterns:
            for filling in _FILLINGS:
                text = self.try_text(glob.fill(filling))
                if text is not None:
                    return text
        for glob in patterns:
            text = self.run(glob, ((texts, True),))
            if text is not None:
                return text
        return None

    def try_text(self, text: str) -> Text | None:
        """The text, if the clauses hold for it."""
        self._work.charge(self._cost)
        matched: set[Hashable] = set()
        for clause in self._clauses:
            if not self._holds(clause, text, matched):
                return None
        return Text(text, frozenset(matched))

    def _holds(self, clause: Clause, text: str, matched: set[Hashable]) -> bool:
        if any(texts.test(text) is value for texts, value in clause):
            return True
        for texts, value in clause:
            for glob in self._possible(texts) if value else ():
                if self._fits(glob, text):
                    matched.add(glob.variable)
                    return True
        return False

    def _possible(self, texts: TextSet) -> list[Glob]:
        return [glob for glob in texts.varying if glob.variable not in self._never]

    def _fits(self, glob: Glob, text: str) -> bool:
        self._work.charge(len(glob.places) + len(text))
        automaton = _Automaton(self._work)
        part = automaton.add([glob])
        return bool(automaton.read(text) & part.final)

    def run(self, within: Glob | None, settled: Clause = ()) -> Text | None:
        """A text of a pattern (None for every text), by the automaton.

        ``settled`` is a clause that holds for all texts of the pattern.
        """
        automaton = _Automaton(self._work)
        self._count()
        only = None if within is None else automaton.add([within])
        clauses: list[list[tuple[_Part, bool]]] = []
        for clause in self._clauses:
            if clause == settled:
                continue
            parts = [
                (automaton.add(globs), value)
                for texts, value in clause
                if (globs := self._restrict(texts, within, inside=value)) is not None
            ]
            if not parts:
                return None
            if not any(not value and not part.final for part, value in parts):
                clauses.append(parts)
        text = automaton.search(only, clauses)
        if text is None:
            return None
        result = self.try_text(text)
        if result is None:
            raise Undecided("a text was read in two ways")
        return result

    def _restrict(
        self, texts: TextSet, within: Glob | None, *, inside: bool
    ) -> list[Glob] | None:
        """The patterns of a set that matter within another.

        None if none of the texts within are inside the set, or outside of it.
        """
        globs = [glob for glob in texts.exact if _may_meet(glob, within)]
        if inside:
            globs += [g for g in self._possible(texts) if _may_meet(g, within)]
            return globs or None
        if within is not None and any(_covers(glob, within) for glob in globs):
            return None
        return globs

    def _count(self) -> None:
        patterns = sum(t.size for clause in self._clauses for t, _ in clause)
        self._work.charge(patterns)


def _may_meet(glob: Glob, other: Glob | None) -> bool:
    """False if no text can match both; it looks at how they begin and end."""
    if other is None:
        return True
    begin, end = glob.prefix, other.prefix
    if not (begin.startswith(end) or end.startswith(begin)):
        return False
    begin, end = glob.suffix, other.suffix
    return begin.endswith(end) or end.endswith(begin)


def _covers(wide: Glob, narrow: Glob) -> bool:
    return wide.is_prefix and narrow.prefix.startswith(wide.prefix)


class _Part(Struct):
    """Patterns within an automaton, as bits: all places, ends, and ends that loop."""

    mask: int
    final: int
    lasting: int


class _Automaton:
    """Patterns side by side: bit *n* says that place *n* may come next."""

    def __init__(self, work: ProofWork) -> None:
        self._work = work
        self._size = 0
        self._start = 0
        self._letters: dict[str, int] = {}
        self._named: dict[int, str] = {}
        self._any = self._any_in_part = 0
        self._loops = self._loops_in_part = 0
        self._below: dict[int, int] = {}
        self._parts: dict[tuple[Glob, ...], _Part] = {}

    def add(self, globs: Iterable[Glob]) -> _Part:
        """Let patterns run along."""
        key = tuple(globs)
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = _Part(0, 0, 0)
            for glob in key:
                self._add(glob, part)
        return part

    def _add(self, glob: Glob, part: _Part) -> None:
        begin = self._size
        steps = 1 + len(glob.places) // _PLACES_A_STEP
        self._work.charge_bits(begin, steps)
        if begin + len(glob.places) > _PLACES_MAX:
            raise Undecided("the patterns are too long together")
        self._start |= 1 << begin
        first_of_part = begin
        for index, loop in enumerate(glob.loops):
            bit = 1 << begin + index
            if loop is Loop.ANY:
                self._loops |= bit
                self._below[bit] = bit - (1 << begin)
                first_of_part = begin + index + 1
            elif loop is Loop.PART:
                self._loops_in_part |= bit
                self._below[bit] = bit - (1 << first_of_part)
            if index == len(glob.places):
                break
            place = glob.places[index]
            self._add_place(place, begin + index + 1)
            if place is ANY_CHARACTER or ":" in place:
                first_of_part = begin + index + 1
        self._size = begin + len(glob.loops)
        last = 1 << self._size - 1
        part.mask |= (1 << self._size) - (1 << begin)
        part.final |= last
        if glob.loops[-1] is Loop.ANY:
            part.lasting |= last

    def _add_place(self, place: Place, number: int) -> None:
        bit = 1 << number
        if place is ANY_CHARACTER:
            self._any |= bit
        elif place == PART_CHARACTER:
            self._any_in_part |= bit
        else:
            self._named[number] = place
            for character in place:
                self._letters[character] = self._letters.get(character, 0) | bit

    def read(self, text: str) -> int:
        """The state after a text."""
        state = self._start
        for character in text:
            state = self._step(state, character)
        return state

    def _step(self, state: int, character: str) -> int:
        """The state after one more character."""
        taken = self._any | self._letters.get(character, 0)
        loops = self._loops
        if character != ":":
            taken |= self._any_in_part
            loops |= self._loops_in_part
        return (state << 1) & taken | state & loops

    def _reduce(self, state: int) -> int:
        """The state without places that add nothing.

        What a place leads to, a later loop of its pattern leads to as well, if all between
        them are characters that the loop takes.
        """
        looping = state & (self._loops | self._loops_in_part)
        while looping:
            bit = 1 << looping.bit_length() - 1
            state &= ~self._below[bit]
            looping = looping & ~bit & state
        return state

    def search(
        self,
        within: _Part | None,
        clauses: list[list[tuple[_Part, bool]]],
    ) -> str | None:
        """A text of the part for which one of each clause holds, by its part's bits."""
        other = next(c for c in _characters() if c not in self._letters)
        work, width = self._work, self._size
        cost = 4 + len(clauses)
        start = self._reduce(self._start)
        seen = {start}
        stack = [(start, "")] if self._lives(start, within, clauses) else []
        trail: dict[int, tuple[int, str]] = {}
        while stack:
            state, _ = stack.pop()
            work.charge_bits(width, cost)
            if (within is None or state & within.final) and all(
                any(bool(state & part.final) is value for part, value in clause)
                for clause in clauses
            ):
                return _walk(trail, state)
            for character in self._characters(state, other):
                work.charge_bits(width, cost + (state & self._loops).bit_count())
                after = self._reduce(self._step(state, character))
                if after not in seen and self._lives(after, within, clauses):
                    seen.add(after)
                    trail[after] = (state, character)
                    stack.append((after, character))
        return None

    def _characters(self, state: int, other: str) -> Iterator[str]:
        """Characters that lead to different states, the likeliest last."""
        named: dict[str, None] = {":": None}
        places = (state << 1) & self._mask_of_named
        while places:
            bit = places & -places
            places ^= bit
            self._work.charge_bits(self._size)
            named.update(dict.fromkeys(self._named[bit.bit_length() - 1]))
        yield from named
        yield other

    @cached_property
    def _mask_of_named(self) -> int:
        mask = 0
        for letters in self._letters.values():
            mask |= letters
        return mask

    @staticmethod
    def _lives(
        state: int, within: _Part | None, clauses: list[list[tuple[_Part, bool]]]
    ) -> bool:
        if within is not None and not state & within.mask:
            return False
        return all(
            any(
                bool(state & part.mask) if value else not state & part.lasting
                for part, value in clause
            )
            for clause in clauses
        )


def _walk(trail: dict[int, tuple[int, str]], state: int) -> str:
    characters: list[str] = []
    while state in trail:
        state, character = trail[state]
        characters.append(character)
    return "".join(reversed(characters))


def _characters() -> Iterator[str]:
    yield from _ORDINARY
    yield from map(chr, count(_RARE))
