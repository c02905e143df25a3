"""The error of an invalid template."""

from collections.abc import Iterator
from contextlib import contextmanager

from broker.errors import BrokerError, OperatorError


class TemplateError(OperatorError):
    """A template is invalid, or cannot be applied.

    ``place`` names where, the way the file is written: ``Accounts.123456789012.
    Roles[0].MaxSessionDuration``; the message says what is wrong.
    """

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.place = place
        self.message = message


@contextmanager
def at_place(place: str) -> Iterator[None]:
    """What is refused inside is wrong at this place, or at one inside it."""
    try:
        yield
    except BrokerError as error:
        raise TemplateError(place, str(error)) from error
    except TemplateError as error:
        inner = f"{place}.{error.place}" if error.place else place
        raise TemplateError(inner, error.message) from error
