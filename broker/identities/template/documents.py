"""Policy documents in a template, validated as they are read."""

from broker.errors import BrokerError
from broker.identities.documents import checked_document
from broker.identities.template.errors import TemplateError
from broker.identities.template.properties import Properties
from broker.policy import PolicyKind


def read_document(
    properties: Properties, name: str, kind: PolicyKind, *, managed: bool = False
) -> str:
    """A policy document that the engine accepts; ``managed`` for managed policies.

    Raises:
        TemplateError: it is absent or invalid.
    """
    place = f"{properties.place}.{name}"
    text = properties.document(name)
    try:
        checked_document(text, kind, managed=managed)
    except BrokerError as error:
        raise TemplateError(place, str(error)) from error
    return text
