"""The ledger's search in both SQL dialects: newest first, by time and sequence.

A search goes along one index, named here rather than left to a planner: without
statistics it may choose to sort a million records. Criteria that the index does not
hold are tested on a window of records at a time, so that a page costs the same however
rare its records are; a page may then hold few records, or none, and go on.

A marker names the last record that was looked at, so records written meanwhile do not
shift the pages.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from broker.model.audit import AuditFilter, AuditRecord, Outcome, RecordKind
from broker.model.page import Page, PageRequest
from broker.stores.audit_rows import decode_audit
from broker.stores.errors import InvalidMarkerError
from broker.stores.json_text import encode_json
from broker.stores.times import to_micros

SELECTED = "seq, event_id, at, account, body"
SearchRow = tuple[int, str, int, str, str]
Place = tuple[int, int]
"""A record's time and sequence number, by which records are in order."""

WINDOW_ROWS = 2000
"""Records that are looked at for one page at most."""

ALL_ACTIONS = ":*"
"""How a criterion ends that all actions of a service meet."""

_NEWEST_FIRST = "ORDER BY at DESC, seq DESC"


class SearchStatement(Struct):
    """SQL with its values; ``bind`` adds a value and returns its placeholder."""

    placeholder: Callable[[int], str]
    values: list[str | int] = []
    text: str = ""

    def bind(self, value: str | int) -> str:
        """Add a value."""
        self.values.append(value)
        return self.placeholder(len(self.values))


class Search(Struct, frozen=True):
    """A search for one page; ``placeholder`` is the dialect's."""

    filters: AuditFilter
    page: PageRequest
    placeholder: Callable[[int], str]
    after: Place | None

    @classmethod
    def of(
        cls, filters: AuditFilter, page: PageRequest, placeholder: Callable[[int], str]
    ) -> "Search":
        """Plan a search.

        Raises:
            InvalidMarkerError: the marker is none of ours.
        """
        after = None if page.marker is None else _read_marker(page.marker)
        return cls(filters, page, placeholder, after)

    @property
    def needs_window(self) -> bool:
        """Whether there are criteria that the chosen index does not hold."""
        return bool(self._tests())

    def window_end(self) -> SearchStatement:
        """Selects the place of the last record that this page may look at."""
        made = SearchStatement(self.placeholder)
        arms = self._arms(made, "at, seq", WINDOW_ROWS, end=None, with_tests=False)
        made.text = (
            f"SELECT at, seq FROM {arms} AS looked {_NEWEST_FIRST} "  # noqa: S608  # constants
            f"LIMIT 1 OFFSET {WINDOW_ROWS - 1}"
        )
        return made

    def rows(self, end: Place | None) -> SearchStatement:
        """Selects the page's records and one more, down to the window's end."""
        made = SearchStatement(self.placeholder)
        limit = self.page.limit + 1
        arms = self._arms(made, SELECTED, limit, end=end, with_tests=True)
        made.text = (
            f"SELECT {SELECTED} FROM {arms} AS found "  # noqa: S608  # constants
            f"{_NEWEST_FIRST} LIMIT {limit}"
        )
        return made

    def _arms(
        self,
        made: SearchStatement,
        columns: str,
        limit: int,
        *,
        end: Place | None,
        with_tests: bool,
    ) -> str:
        """One range of the index for each of its values, each cut to ``limit``."""
        arms = []
        for prefix in self._ranges():
            conditions = [
                *(f"{column} = {made.bind(value)}" for column, value in prefix.equal),
                *prefix.fixed,
                *self._times(made, end),
            ]
            if with_tests:
                conditions += [test(made) for test in self._tests()]
            where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
            arms.append(
                f"SELECT * FROM (SELECT {columns} FROM audit {where}"  # noqa: S608  # constants
                f"{_NEWEST_FIRST} LIMIT {limit}) AS arm"
            )
        return f"({' UNION ALL '.join(arms)})"

    def _times(self, made: SearchStatement, end: Place | None) -> list[str]:
        conditions = []
        if self.filters.since is not None:
            conditions.append(f"at >= {made.bind(to_micros(self.filters.since))}")
        if self.filters.until is not None:
            conditions.append(f"at < {made.bind(to_micros(self.filters.until))}")
        for place, order in ((self.after, "<"), (end, ">=")):
            if place is not None:
                at, seq = place
                conditions.append(
                    f"(at, seq) {order} ({made.bind(at)}, {made.bind(seq)})"
                )
        return conditions

    def _ranges(self) -> list["_Range"]:
        filters = self.filters
        if filters.event_id:
            return [_Range((("event_id", filters.event_id),))]
        key = filters.access_key_id or filters.minted_key_id
        if key:
            names = ("access_key_id", "minted_key_id")
            return [
                _Range(((name, key),), (f"{name} <> ''",))
                for name in (names if filters.access_key_id else names[1:])
            ]
        if filters.account is None:
            return [_Range(())]
        account = ("account", filters.account)
        if self._by_decision:
            return [
                _Range((account, ("decision", outcome)), ("decision <> 'allowed'",))
                for outcome in dict.fromkeys(filters.decisions)
            ]
        return [
            _Range((account, ("kind", kind)))
            for kind in dict.fromkeys(filters.kinds or RecordKind)
        ]

    @property
    def _by_decision(self) -> bool:
        decisions = self.filters.decisions
        return bool(decisions) and Outcome.ALLOWED not in decisions

    def _tests(self) -> "Sequence[_Test]":
        """The criteria that the index of the ranges does not hold.

        In a form in which no planner takes another index for them.
        """
        filters = self.filters
        tests: list[_Test] = []
        by_id = bool(filters.event_id or filters.access_key_id or filters.minted_key_id)
        if filters.account is not None and by_id:
            tests.append(_is_one_of("account", (filters.account,)))
        if filters.event_id and filters.access_key_id:
            tests.append(_has_key(filters.access_key_id))
        if filters.minted_key_id and (filters.event_id or filters.access_key_id):
            tests.append(_is_one_of("minted_key_id", (filters.minted_key_id,)))
        is_in_range = not by_id and filters.account is not None
        if filters.decisions and not (is_in_range and self._by_decision):
            tests.append(_is_one_of("decision", filters.decisions))
        if filters.kinds and not (is_in_range and not self._by_decision):
            tests.append(_is_one_of("kind", filters.kinds))
        for column in ("caller_arn", "action", "provider_arn"):
            value: str = getattr(filters, column)
            if column == "action" and value.endswith(ALL_ACTIONS):
                tests.append(_is_of_service(value.removesuffix("*")))
            elif column == "action" and value and ":" not in value:
                tests.append(_is_named(value))
            elif value:
                tests.append(_is_one_of(column, (value,)))
        return tests + [_mentions(text) for text in self._mentioned()]

    def _mentioned(self) -> list[str]:
        """What the text of a record has if it is of the session that is meant."""
        identity, name = self.filters.source_identity, self.filters.session_name
        role = self._role_part
        return [
            *([f":{encode_json(identity)}"] if identity else []),
            *([f"/{encode_json(name)[1:]}"] if name else []),
            *([encode_json(role)[1:-1]] if role else []),
        ]

    @property
    def _role_part(self) -> str:
        """What the ARN of each session of the role has, and that of no other."""
        filters = self.filters
        if not filters.role_name:
            return ""
        account = f":{filters.role_account}" if filters.role_account else ""
        return f"{account}:assumed-role/{filters.role_name}/"

    def read_page(
        self, rows: Sequence[SearchRow], end: Place | None = None
    ) -> Page[AuditRecord]:
        """The page of a statement's rows, of a window that ended there."""
        limit = self.page.limit
        listed_rows = rows[:limit]
        marker: str | None = None
        if len(rows) > limit and listed_rows:
            marker = f"{listed_rows[-1][2]}.{listed_rows[-1][0]}"
        elif end is not None:
            marker = f"{end[0]}.{end[1]}"
        records = (
            decode_audit(event_id, at, account, body)
            for _, event_id, at, account, body in listed_rows
        )
        return Page(tuple(filter(self._is_of_session, records)), marker)

    def _is_of_session(self, record: AuditRecord) -> bool:
        """Whether what the text of the record mentions is where it is meant to be."""
        filters, minted = self.filters, record.session or {}
        identities = (record.source_identity, minted.get("source_identity"))
        arns = (record.caller_arn, str(minted.get("principal_arn")))
        names = [arn.rpartition("/")[2] for arn in arns]
        return (
            filters.source_identity in (*identities, "")
            and filters.session_name in (*names, "")
            and self._role_part in str(minted.get("principal_arn") or "")
        )


class _Range(Struct, frozen=True):
    """Equal values of an index's first columns, and what a partial index asks for."""

    equal: tuple[tuple[str, str], ...]
    fixed: tuple[str, ...] = ()


_Test = Callable[[SearchStatement], str]


def _is_one_of(column: str, values: Sequence[str]) -> _Test:
    def test(made: SearchStatement) -> str:
        bound = ", ".join(made.bind(value) for value in values)
        return f"{column} || '' IN ({bound})"

    return test


def _is_of_service(prefix: str) -> _Test:
    return lambda made: f"substr(action, 1, {len(prefix)}) = {made.bind(prefix)}"


def _is_named(name: str) -> _Test:
    end, before = f":{name}", len(name) - 1
    return lambda made: (
        f"substr(':' || action, length(action) - {before}) = {made.bind(end)}"
    )


def _mentions(text: str) -> _Test:
    return lambda made: f"body <> replace(body, {made.bind(text)}, '')"


def _has_key(key: str) -> _Test:
    def test(made: SearchStatement) -> str:
        own, minted = made.bind(key), made.bind(key)
        return f"(access_key_id || '' = {own} OR minted_key_id || '' = {minted})"

    return test


def _read_marker(marker: str) -> Place:
    at, _, seq = marker.partition(".")
    try:
        numbers = int(at), int(seq)
    except ValueError as error:
        raise InvalidMarkerError("the marker is not one of this list's") from error
    if not all(abs(number) < 1 << 63 for number in numbers):
        raise InvalidMarkerError("the marker is not one of this list's")
    return numbers
