"""``PolicyExclusionList``: policies that a simulation leaves out.

Source: IAM service model, ``PolicyIdentifier``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from broker.errors import InvalidInput
from broker.kinds.names import AWS_MANAGED, find_named_resource
from broker.policy.wildcard import TextTest, compile_wildcard, tokenize

_MEMBERS = ("PolicyType", "PolicyArn", "InlinePolicyIdentifier")


@dataclass(frozen=True, slots=True)
class _Inline:
    name: str
    kind: str
    is_owner: TextTest


@dataclass(frozen=True, slots=True)
class Exclusions:
    """What is left out."""

    types: frozenset[str] = frozenset()
    arns: tuple[TextTest, ...] = ()
    inlines: tuple[_Inline, ...] = ()

    @classmethod
    def read(cls, identifiers: Iterable[Mapping[str, Any]]) -> "Exclusions":
        """The exclusions of a request.

        Raises:
            InvalidInput: an identifier says nothing, too much, or is malformed.
        """
        types: set[str] = set()
        arns: list[TextTest] = []
        inlines: list[_Inline] = []
        for identifier in identifiers:
            given = [name for name in _MEMBERS if name in identifier]
            if len(given) != 1:
                raise InvalidInput(
                    "Each entry of PolicyExclusionList must have exactly one of"
                    f" {', '.join(_MEMBERS)}."
                )
            value = identifier[given[0]]
            if given[0] == "PolicyType":
                types.add(value)
            elif given[0] == "PolicyArn":
                arns.append(_arn_test(value))
            else:
                owner = _one_star(value["AttachmentName"])
                inlines.append(
                    _Inline(value["PolicyName"], value["AttachmentType"], owner)
                )
        return cls(frozenset(types), tuple(arns), tuple(inlines))

    @property
    def service_controls(self) -> bool:
        """Whether all service control policies are left out."""
        return "scp" in self.types

    def inline(self, kind: str, owner: str, name: str) -> bool:
        """Whether an inline policy of a ``user`` or ``role`` is left out."""
        return "inline" in self.types or any(
            one.kind == kind and one.name == name and one.is_owner(owner)
            for one in self.inlines
        )

    def managed(self, arn: str) -> bool:
        """Whether an attached managed policy is left out."""
        own = "aws-managed" if f"::{AWS_MANAGED}:" in arn else "user-managed"
        return own in self.types or self._names(arn)

    def boundary(self, arn: str) -> bool:
        """Whether a permissions boundary is left out."""
        return "permission-boundary" in self.types or self._names(arn)

    def _names(self, arn: str) -> bool:
        return any(test(arn) for test in self.arns)


def _arn_test(arn: str) -> TextTest:
    found = find_named_resource(arn, "policy")
    if found is None or any(wild in arn.rpartition("/")[0] for wild in "*?"):
        raise InvalidInput(
            f"{arn} is not the ARN of a managed policy; wildcards stand in its name only."
        )
    return _one_star(arn)


def _one_star(pattern: str) -> TextTest:
    if pattern.count("*") > 1:
        raise InvalidInput(f"{pattern} has more than one *.")
    return compile_wildcard(tokenize(pattern))
