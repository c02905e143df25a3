"""A form that came too late: what was typed is kept, to be sent again.

The session ended while somebody typed, or they signed in as somebody else in another
tab. Only forms from pages of ours are kept, and never passwords, codes, private keys,
or the proofs of a diagnosis.
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
    """Where the form goes, and its fields without what nobody may read."""

    action: str
    fields: tuple[tuple[str, str], ...]

    @property
    def shown(self) -> tuple[tuple[str, str], ...]:
        """The fields as people read them: named in words, not empty, not too long."""
        return tuple(
            (name.replace("_", " "), value[:_SHOWN_MAX])
            for name, value in self.fields
            if value.strip()
        )


def keep_form(request: Request, form: Form) -> KeptForm:
    """Everything of a form that may stand on a page."""
    return KeptForm(
        request.url.path,
        tuple(
            (name, value)
            for name, value in form.pairs()
            if name != FIELD and not _SECRET.search(name)
        ),
    )
