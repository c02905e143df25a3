"""Reads the properties of one entity; error messages name the place."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from broker.kinds.documents import checked_document
from broker.kinds.tags import KeyCase, checked_tags
from broker.kinds.yaml_text import TemplateError, at_place
from broker.policy import PolicyKind, PolicyRejected, load_document
from broker.runtime.spelling import find_similar, suggest

Read = TypeVar("Read")

_NAME = r"[A-Za-z0-9_+=,.@-]{1,%d}"
_NAME_MAX = 128
_PATH = re.compile(r"/(?:[\x21-\x2e\x30-\x7e]+/)*")
_PATH_MAX = 512
_DESCRIPTION_MAX = 1000


class Properties:
    """A mapping; members that are never read are rejected as unknown.

    ``faults`` collects what is wrong anywhere in the text; its parts share it. What
    reads a property raises, and who can go on without it notes that.
    """

    def __init__(self, data: object, place: str, faults: list[TemplateError]) -> None:
        if not isinstance(data, dict):
            raise TemplateError(place, "must be a mapping of properties")
        self.place = place
        self.faults = faults
        self._left: dict[str, Any] = {str(key): value for key, value in data.items()}
        self._known: dict[str, None] = {}

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note what is wrong inside; what comes after it is read as well."""
        try:
            yield
        except TemplateError as error:
            self.faults.extend(error.faults)

    def finish(self) -> None:
        """Note properties that were never read: there are no such."""
        self.faults.extend(
            TemplateError(
                f"{self.place}.{name}".removeprefix("."),
                f"there is no such property; {suggest(name, self._known)}",
            )
            for name in self._left
        )
        self._left.clear()

    def has(self, name: str) -> bool:
        """Whether the property is given."""
        self._known[name] = None
        return name in self._left

    def take(self, name: str, default: object = None) -> object:
        """The raw value of a property."""
        self._known[name] = None
        return self._left.pop(name, default)

    def text(self, name: str) -> str:
        """A required text."""
        value = self.take(name)
        if value is None:
            meant = find_similar(name, self._left)
            hint = f": {meant} is not a property, did you mean {name}?" if meant else ""
            raise TemplateError(f"{self.place}.{name}", f"is missing{hint}")
        if not isinstance(value, str) or not value:
            raise TemplateError(f"{self.place}.{name}", "must be a text")
        return self._storable(name, value)

    def name(self, name: str, *, longest: int = _NAME_MAX) -> str:
        """A required name of an entity."""
        words = f"1 to {longest} letters, digits or any of +=,.@_-"
        return self.matching(name, re.compile(_NAME % longest), words)

    def matching(self, name: str, pattern: re.Pattern[str], words: str) -> str:
        """A required text of a pattern, which ``words`` describe."""
        value = self.text(name)
        if not pattern.fullmatch(value):
            raise TemplateError(f"{self.place}.{name}", f"must be {words}")
        return value

    def path(self, name: str) -> str:
        """A path, which begins and ends with a slash; ``/`` when absent."""
        value = self.optional_text(name) or "/"
        if len(value) > _PATH_MAX or not _PATH.fullmatch(value):
            raise TemplateError(
                f"{self.place}.{name}",
                "must begin and end with a slash, such as /team/, and have at most"
                f" {_PATH_MAX} characters",
            )
        return value

    def optional_text(self, name: str) -> str | None:
        """A text, or None when the property is absent or empty."""
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise TemplateError(f"{self.place}.{name}", "must be a text")
        return self._storable(name, value) if value else None

    def description(self, name: str) -> str | None:
        """A description; None when it is absent or empty."""
        value = self.optional_text(name)
        if value is not None and len(value) > _DESCRIPTION_MAX:
            raise TemplateError(
                f"{self.place}.{name}",
                f"has {len(value)} characters; at most {_DESCRIPTION_MAX} fit",
            )
        return value

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``."""
        value = self.take(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TemplateError(f"{self.place}.{name}", "must be a whole number")
        if not low <= value <= high:
            raise TemplateError(
                f"{self.place}.{name}", f"must be between {low} and {high}"
            )
        return value

    def flag(self, name: str) -> bool:
        """Whether a property is set; an absent one is not."""
        value = self.take(name, False)  # noqa: FBT003  # the property's default
        if not isinstance(value, bool):
            raise TemplateError(f"{self.place}.{name}", "must be true or false")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; an absent one is empty."""
        value = self.take(name, [])
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise TemplateError(f"{self.place}.{name}", "must be a list of texts")
        return tuple(self._storable(name, text) for text in value)

    def distinct(self, name: str) -> list[str]:
        """A list of texts, each once."""
        return list(dict.fromkeys(self.texts(name)))

    def one_at_most(self, name: str, noun: str) -> tuple[str, ...]:
        """A list of one name or none."""
        names = self.texts(name)
        if len(names) > 1:
            raise TemplateError(f"{self.place}.{name}", f"must name one {noun} at most")
        return names

    def items(self, name: str) -> list["Properties"]:
        """A list of mappings; an absent one is empty."""
        value = self.take(name, [])
        if not isinstance(value, list):
            raise TemplateError(f"{self.place}.{name}", "must be a list")
        results = []
        for index, item in enumerate(value):
            with self.noting():
                place = f"{self.place}.{name}[{index}]"
                results.append(Properties(item, place, self.faults))
        return results

    def read_each(self, name: str, read: Callable[["Properties"], Read]) -> list[Read]:
        """What ``read`` makes of each mapping in a list, in which it reads all."""
        results = []
        for item in self.items(name):
            with self.noting():
                results.append(read(item))
                item.finish()
        return results

    def tags(self, name: str, case: KeyCase = KeyCase.SENSITIVE) -> dict[str, str]:
        """Tags as CloudFormation writes them: a list of ``Key`` and ``Value``."""
        pairs = self.read_each(
            name, lambda item: (item.text("Key"), item.optional_text("Value") or "")
        )
        with at_place(f"{self.place}.{name}"):
            return dict(sorted(checked_tags(pairs, case).items()))

    def part(self, name: str) -> "Properties":
        """A mapping of properties; an absent one is empty."""
        return Properties(self.mapping(name), f"{self.place}.{name}", self.faults)

    def document(self, name: str) -> str:
        """A policy document, written as a mapping or as JSON text."""
        value = self.take(name)
        if isinstance(value, dict):
            return compact(value)
        if isinstance(value, str):
            return normal_document(value)
        raise TemplateError(f"{self.place}.{name}", "must be a policy document")

    def _storable(self, name: str, value: str) -> str:
        """The text; escapes in YAML can write what no database keeps."""
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise TemplateError(
                f"{self.place}.{name}", "has a character that cannot be stored"
            )
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """A mapping of the operator's own settings; an absent one is empty."""
        value = self.take(name, {})
        if not isinstance(value, dict):
            raise TemplateError(f"{self.place}.{name}", "must be a mapping")
        return {str(key): inner for key, inner in value.items()}


def compact(document: object) -> str:
    """A document's JSON without white space."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def normal_document(text: str) -> str:
    """A document in the form used for comparing documents.

    Text that is not JSON, or has a key twice, is returned unchanged: the policy parser
    reports it better.
    """
    try:
        return compact(load_document(text))
    except (PolicyRejected, ValueError, RecursionError):
        return text


def read_document(
    properties: Properties, name: str, kind: PolicyKind, *, managed: bool = False
) -> str:
    """A policy document that the engine accepts; ``managed`` for managed policies.

    Raises:
        TemplateError: it is absent or invalid.
    """
    text = properties.document(name)
    with at_place(f"{properties.place}.{name}"):
        checked_document(text, kind, managed=managed)
    return text
