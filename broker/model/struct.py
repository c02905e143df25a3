"""Plain records that are made for every call."""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(field,)
)
def struct(cls: type[T]) -> type[T]:
    """A slotted dataclass that is read-only for the type checker alone.

    A frozen one takes three times as long to make (2.4 µs instead of 0.8 for twenty
    members), and a call makes a dozen of them. It has no hash.
    """
    return dataclass(slots=True, kw_only=True)(cls)
