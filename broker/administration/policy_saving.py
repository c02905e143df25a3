"""The buttons of a page with a policy editor: editing, saving, and conflicts."""

from collections.abc import Awaitable, Callable

from starlette.responses import Response

from broker.administration.policy_editor import (
    DO,
    SAVE,
    PolicyEditor,
    apply_command,
    format_text,
)
from broker.console.visit import Visit
from broker.errors import ConcurrentModification

_BAD_REQUEST = 400

Save = Callable[[PolicyEditor], Awaitable[Response]]
ReadStored = Callable[[], Awaitable[tuple[str, str]]]
"""Reads the stored text, and its ``base`` for the editor."""


async def press_button(
    visit: Visit,
    editor: PolicyEditor,
    save: Save,
    read_stored: ReadStored | None = None,
) -> Response | PolicyEditor:
    """Apply the button that was pressed: the response to a save, else the editor.

    ``read_stored`` is for policies that ``save`` replaces only if no one else has
    changed them; the editor then shows both texts.

    Raises:
        ServiceUnavailable: A store is unavailable.
    """
    if visit.text(DO) != SAVE:
        return apply_command(editor, visit.form)
    editor = editor.checked()
    if editor.problem is None:
        with visit.attempt():
            return await save(editor)
    else:
        visit.status = _BAD_REQUEST
    if visit.refusal is None:
        return editor
    if read_stored and isinstance(visit.refusal, ConcurrentModification):
        text, base = await read_stored()
        return editor.in_conflict(format_text(text), base)
    return editor.refused(visit.problem)
