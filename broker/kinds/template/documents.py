"""Policy documents in a template, validated as they are read."""

from broker.kinds.documents import checked_document
from broker.kinds.template.errors import at_place
from broker.kinds.template.properties import Properties
from broker.policy import PolicyKind


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
