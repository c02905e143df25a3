"""The error of an invalid template."""

from broker.errors import OperatorError


class TemplateError(OperatorError):
    """A template is invalid, or cannot be applied.

    ``place`` names where, the way the file is written: ``Accounts.123456789012.
    Roles[0].MaxSessionDuration``; the message says what is wrong.
    """

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.place = place
        self.message = message
