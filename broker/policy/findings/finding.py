"""A finding, and the parts of a policy's text that rules look at."""

from collections.abc import Iterator, Mapping
from json import JSONDecodeError

from msgspec import Struct

from broker.policy.catalogue import ServiceEntry
from broker.policy.document import PolicyKind
from broker.policy.findings.codes import ISSUES, FindingKind
from broker.policy.places import locate_offsets
from broker.policy.strict_json import Json, NumberText, shorten

Path = tuple[str | int, ...]
"""The way to a value of a policy: names of members, and indexes of lists."""


class PolicyFinding(Struct, frozen=True):
    """One finding; ``of_key`` says that it is about the name of a member itself.

    ``value`` and the others fill the text of its code, unless it has its own ``words``.
    """

    code: str
    path: Path = ()
    value: str = ""
    hint: str = ""
    service: str = ""
    operator: str = ""
    of_key: bool = False
    words: str = ""

    @property
    def kind(self) -> FindingKind:
        """How bad it is."""
        return ISSUES[self.code].kind

    @property
    def text(self) -> str:
        """What it says, a sentence."""
        if self.words:
            return self.words
        return ISSUES[self.code].text.format(
            value=shorten(self.value)[1:-1] if self.value else "",
            hint=self.hint,
            service=self.service,
            operator=self.operator,
        )

    @property
    def statement(self) -> int | None:
        """The statement that it is about, from 0; None for the whole policy."""
        if not self.path or self.path[0] != "Statement":
            return None
        index = self.path[1] if len(self.path) > 1 else 0
        return index if isinstance(index, int) else 0


class RawCondition(Struct, frozen=True):
    """One operator applied to one key, as written; ``path`` is that of the key."""

    operator: str
    key: str
    value: Json
    path: Path

    def values(self) -> Iterator[tuple[Path, Json]]:
        """The values with their paths."""
        return list_items(self.value, self.path)


class RawStatement(Struct, frozen=True):
    """A statement as written, which may break the grammar."""

    raw: Mapping[str, Json]
    path: Path
    kind: PolicyKind
    has_variables: bool
    own: Mapping[str, ServiceEntry]

    @property
    def allows(self) -> bool:
        """Whether it is an Allow."""
        return self.raw.get("Effect") == "Allow"

    def texts(self, element: str) -> Iterator[tuple[Path, str]]:
        """The texts of an element, with their paths."""
        if element in self.raw:
            for path, value in list_items(self.raw[element], (*self.path, element)):
                if is_text(value):
                    yield path, str(value)

    def conditions(self) -> Iterator[RawCondition]:
        """All that can be read of its Condition."""
        block = self.raw.get("Condition")
        if not isinstance(block, dict):
            return
        for operator, keys in block.items():
            if isinstance(keys, dict):
                for key, value in keys.items():
                    path = (*self.path, "Condition", operator, key)
                    yield RawCondition(operator, key, value, path)

    def principals(self, kind: str) -> Iterator[tuple[Path, str]]:
        """Those of a kind that it names."""
        block = self.raw.get("Principal")
        if isinstance(block, dict) and kind in block:
            for path, value in list_items(block[kind], (*self.path, "Principal", kind)):
                if is_text(value):
                    yield path, str(value)


def locate(text: str, finding: PolicyFinding) -> tuple[int, int]:
    """Where a finding begins and ends in the text; of no JSON, where it ends to be."""
    try:
        return locate_offsets(text, finding.path, of_key=finding.of_key)
    except JSONDecodeError as error:
        return error.pos, min(error.pos + 1, len(text))
    except (ValueError, IndexError, RecursionError):
        return 0, len(text)


def list_items(value: Json, path: Path) -> Iterator[tuple[Path, Json]]:
    """The items of a list, or the value itself."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield (*path, index), item
    else:
        yield path, value


def is_text(value: Json) -> bool:
    """Whether it is written as a text, not as a number."""
    return isinstance(value, str) and not isinstance(value, NumberText)
