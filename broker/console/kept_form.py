"""A form that was submitted after its session ended, kept to be sent again.

The session may have expired while the user typed, or they signed in as someone else
in another tab. Only forms from our own pages are kept, and never passwords, codes,
private keys or pasted proofs.
"""

import re
from dataclasses import dataclass

from starlette.requests import Request

from broker.console.csrf import FIELD
from broker.console.forms import Form

_SECRET = re.compile(
    r"password|secret|token|code\b|\bpin\b|\bpem\b|\bproof\b", re.IGNORECASE
)
_SHOWN_MAX = 300


@dataclass(frozen=True, slots=True)
class KeptForm:
    """A form's action and its fields, except for secrets."""

    action: str
    fields: tuple[tuple[str, str], ...]

    @property
    def shown(self) -> tuple[tuple[str, str], ...]:
        """The non-empty fields for display, with readable names and bounded values."""
        return tuple(
            (name.replace("_", " "), value[:_SHOWN_MAX])
            for name, value in self.fields
            if value.strip()
        )


def keep_form(request: Request, form: Form) -> KeptForm:
    """Keep a form's fields, except for secrets and the CSRF token."""
    return KeptForm(
        request.url.path,
        tuple(
            (name, value)
            for name, value in form.pairs()
            if name != FIELD and not _SECRET.search(name)
        ),
    )
