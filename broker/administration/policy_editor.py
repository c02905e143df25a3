"""The policy editor: one policy, edited as a form or as JSON.

The editor's whole state is in its form fields, so it needs neither a script nor
server-side state. Every button posts all of it; `apply_command` does what the button
says, and the page shows the result. The page decides what to do with a finished text.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from enum import StrEnum
from functools import partial

from msgspec import Struct
from msgspec.structs import replace
from starlette.responses import Response

from broker.administration.action_picker import (
    ActionPicker,
    ActionPickerView,
    read_picker,
    read_place,
    view_picker,
    without,
)
from broker.administration.policy_check import CheckedPolicy, Problem, inspect_text
from broker.administration.policy_draft import (
    ANYONE,
    PRINCIPAL_TYPES,
    ROWS_MAX,
    STATEMENTS_MAX,
    ConditionRow,
    DraftFields,
    DraftStatement,
    PolicyDraft,
    PrincipalRow,
    blank_statement,
    pretty,
    read_draft,
)
from broker.administration.policy_findings import PolicyAdvice
from broker.console.forms import Form, newlines
from broker.console.visit import Visit
from broker.errors import ConcurrentModification
from broker.kinds.documents import validated_document
from broker.policy import CONTEXT_KEYS, PolicyKind, PolicyRejected
from broker.policy.catalogue import (
    ServiceEntry,
    ServiceSummary,
    policy_summary,
    service_prefixes,
)
from broker.policy.strict_json import parse_json

DO = "do"
SAVE = "save"
PREVIEW_MAX = 6000
SUMMARY_MAX = 12
OPERATORS = (
    *("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase"),
    *("StringLike", "StringNotLike", "Bool", "Null"),
    *("ArnEquals", "ArnLike", "ArnNotLike", "IpAddress", "NotIpAddress"),
    *("NumericEquals", "NumericLessThanEquals", "NumericGreaterThanEquals"),
    *("DateLessThan", "DateGreaterThan", "StringEqualsIfExists", "BoolIfExists"),
    *("ForAllValues:StringEquals", "ForAnyValue:StringEquals"),
)

_BAD_REQUEST = 400

ReadStored = Callable[[], Awaitable[tuple[str, str]]]
"""Reads the stored text, and its ``base`` for the editor."""


class EditorView(StrEnum):
    """Whether the policy is shown as a form or as JSON."""

    FORM = "form"
    JSON = "json"


class PolicyEditor(Struct, frozen=True, kw_only=True):
    """The state of an editor.

    ``text`` is the JSON view's text; ``draft`` is set in the form view. ``base``
    identifies what the editing started from, for the page to compare; ``conflict`` is
    what someone else stored since. ``looked`` says that the text was checked.
    """

    kind: PolicyKind
    view: EditorView
    base: str = ""
    conflict: str = ""
    text: str = ""
    draft: PolicyDraft | None = None
    picker: ActionPicker | None = None
    problem: Problem | None = None
    findings: tuple[PolicyAdvice, ...] = ()
    looked: bool = False
    managed: bool = False
    """Whether it is a managed policy, whose Version must be 2012-10-17."""

    declared: Mapping[str, ServiceEntry] = {}
    """The account's registered services, to choose from."""

    @property
    def is_of_resource(self) -> bool:
        """Whether it is a resource's policy, with principals and resources."""
        return self.kind is PolicyKind.RESOURCE

    @property
    def is_trust(self) -> bool:
        """Whether it is a trust policy, with principals instead of resources."""
        return self.kind is PolicyKind.TRUST

    def policy(self) -> str:
        """The policy's current text."""
        return self.text if self.draft is None else self.draft.text()

    def preview(self) -> str:
        """The JSON to show next to the form; empty when it is too long."""
        text = self.policy()
        return text if len(text) <= PREVIEW_MAX else ""

    def checked(self) -> "PolicyEditor":
        """The editor with its problem and advice, if any."""
        policy = self.check()
        return replace(
            self, problem=policy.problem, findings=policy.findings, looked=True
        )

    def check(self) -> CheckedPolicy:
        """Check the text against the grammar."""
        judge = partial(validated_document, managed=self.managed)
        return inspect_text(self.policy(), self.kind, judge, self.declared)

    def summary(self) -> tuple[ServiceSummary, ...]:
        """The policy's permissions by service; empty when it cannot be parsed."""
        document = None if self.is_trust else self.check().document
        return policy_summary([document])[:SUMMARY_MAX] if document else ()

    def refused(self, message: str) -> "PolicyEditor":
        """The editor with the error of a call that refused the policy."""
        return replace(self, problem=Problem(message=message))

    def in_conflict(self, text: str, base: str) -> "PolicyEditor":
        """The editor with the text that someone else stored, and its ``base``."""
        return replace(self, conflict=text or "It was deleted.", base=base)

    def picker_view(self) -> ActionPickerView | None:
        """The open picker, if there is one."""
        if self.picker is None or self.draft is None:
            return None
        statements = self.draft.statements
        if self.picker.statement >= len(statements):
            return None
        fields = statements[self.picker.statement].fields
        if fields is None:
            return None
        return view_picker(self.picker, fields.actions, self.declared)

    @property
    def services(self) -> tuple[str, ...]:
        """The services to suggest, the account's own first."""
        return (*self.declared, *service_prefixes())

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators to suggest."""
        return OPERATORS

    @property
    def keys(self) -> tuple[str, ...]:
        """The condition keys to suggest."""
        return tuple(key.name for key in CONTEXT_KEYS.values() if "*" not in key.name)

    @property
    def principal_types(self) -> tuple[str, ...]:
        """The types of principal to offer."""
        return (*PRINCIPAL_TYPES, ANYONE)


def content_hash(text: str) -> str:
    """The ``base`` of a stored text that has no versions; empty when there is none."""
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def begin(text: str, kind: PolicyKind, base: str = "") -> PolicyEditor:
    """Open an editor on a text, as a form if it can be shown as one."""
    try:
        draft = read_draft(text, kind)
    except PolicyRejected:
        return PolicyEditor(kind=kind, view=EditorView.JSON, base=base, text=text)
    return PolicyEditor(kind=kind, view=EditorView.FORM, base=base, draft=draft)


def begin_empty(kind: PolicyKind) -> PolicyEditor:
    """Open an editor on a new policy with one statement."""
    statement = DraftStatement(blank_statement(kind))
    return PolicyEditor(
        kind=kind, view=EditorView.FORM, draft=PolicyDraft(statements=(statement,))
    )


def read_editor(form: Form, kind: PolicyKind) -> PolicyEditor | None:
    """Read the editor from a form; None when the form has none.

    Raises:
        ValidationError: A field was sent twice.
    """
    view = form.find("view")
    if view is None:
        return None
    base = form.find("base") or ""
    if view != EditorView.FORM:
        text = newlines(form.find("text") or "")
        return PolicyEditor(kind=kind, view=EditorView.JSON, base=base, text=text)
    draft = PolicyDraft(
        version=form.find("version") or None,
        id=form.find("id") or None,
        statements=tuple(_statements(form, kind)),
    )
    picker = read_picker(form)
    return PolicyEditor(
        kind=kind, view=EditorView.FORM, base=base, draft=draft, picker=picker
    )


def apply_command(editor: PolicyEditor, form: Form) -> PolicyEditor:
    """Apply the editor's button that was pressed; the page handles its own buttons."""
    command, *places = (form.find(DO) or "").split(":")
    of_the_whole = _WHOLE.get(command)
    if of_the_whole is not None:
        return of_the_whole(editor)
    index, place, *_ = (*map(read_place, places), None, None)
    draft = editor.draft
    if draft is None or index is None or index >= len(draft.statements):
        return editor
    if command.startswith("pick"):
        return _pick(editor, command, index, place, form)
    changed = _with_statement_changed(draft, editor.kind, command, index, place)
    # These renumber or close statements, so the picker's number is stale.
    keeps = command not in {"remove-statement", "edit-statement", "fold-statement"}
    return replace(editor, draft=changed, picker=editor.picker if keeps else None)


def _as_json(editor: PolicyEditor) -> PolicyEditor:
    if editor.draft is None:
        return editor
    return replace(
        editor, view=EditorView.JSON, text=editor.draft.text(), draft=None, picker=None
    )


def _as_form(editor: PolicyEditor) -> PolicyEditor:
    if editor.draft is not None:
        return editor
    try:
        draft = read_draft(editor.text, editor.kind)
    except PolicyRejected as error:
        checked = editor.checked()
        # Valid JSON policies can still be beyond the form.
        problem = checked.problem or Problem(message=error.words)
        return replace(checked, problem=problem)
    return replace(editor, view=EditorView.FORM, draft=draft, text="")


def format_text(text: str) -> str:
    """Format a stored text for display; invalid JSON is returned unchanged."""
    try:
        parse_json(text)
        draft = read_draft(text, PolicyKind.IDENTITY)
    except PolicyRejected:
        return text
    return pretty(draft.value())


def _with_statement_added(editor: PolicyEditor) -> PolicyEditor:
    draft, kind = editor.draft, editor.kind
    if draft is None or len(draft.statements) >= STATEMENTS_MAX:
        return editor
    added = DraftStatement(blank_statement(kind)).folded()
    longer = replace(draft, statements=(*draft.statements, added))
    return replace(editor, draft=longer.with_open(len(draft.statements), kind))


_WHOLE: Mapping[str, Callable[[PolicyEditor], PolicyEditor]] = {
    "show-json": _as_json,
    "show-form": _as_form,
    "check": PolicyEditor.checked,
    "add-statement": _with_statement_added,
}


def _with_statement_changed(
    draft: PolicyDraft, kind: PolicyKind, command: str, index: int, place: int | None
) -> PolicyDraft:
    statement = draft.statements[index]
    if command == "remove-statement":
        return draft.with_statement(index, None)
    if command == "edit-statement":
        return draft.with_open(index, kind)
    if command == "fold-statement":
        return draft.with_statement(index, statement.folded())
    fields = statement.fields
    if fields is None:
        return draft
    if command == "add-condition":
        changed = replace(
            fields, conditions=(*fields.conditions, ConditionRow("StringEquals"))
        )
    elif command == "remove-condition":
        changed = replace(fields, conditions=without(fields.conditions, place))
    elif command == "add-principal" and fields.principals is not None:
        changed = replace(fields, principals=(*fields.principals, PrincipalRow("AWS")))
    elif command == "remove-principal" and fields.principals is not None:
        changed = replace(fields, principals=without(fields.principals, place))
    else:
        return draft
    return draft.with_statement(index, DraftStatement(changed))


def _pick(
    editor: PolicyEditor, command: str, index: int, place: int | None, form: Form
) -> PolicyEditor:
    draft, picker = editor.draft, editor.picker
    fields = None if draft is None else draft.statements[index].fields
    if draft is None or fields is None:
        return replace(editor, picker=None)
    if picker is None or picker.statement != index:
        return replace(editor, picker=ActionPicker(statement=index))
    new = picker.find_added(command, form, fields.actions)
    changed = replace(fields, actions=(*fields.actions, *new))
    return replace(
        editor,
        picker=picker.apply(command, place),
        draft=draft.with_statement(index, DraftStatement(changed)),
    )


def _statements(form: Form, kind: PolicyKind) -> Iterator[DraftStatement]:
    for index in range(STATEMENTS_MAX):
        prefix = f"s{index}"
        raw = form.find(f"{prefix}.raw")
        if raw is not None:
            yield _read_collapsed(raw, kind)
        elif form.find(f"{prefix}.effect") is not None:
            yield DraftStatement(_fields(form, prefix, kind))
        else:
            return


def _read_collapsed(raw: str, kind: PolicyKind) -> DraftStatement:
    """Read a collapsed statement; a malformed one is kept as a string."""
    try:
        holder = read_draft(f'{{"Statement":[{raw}]}}', kind)
    except PolicyRejected:
        return DraftStatement(None, pretty(raw), expressible=False)
    (statement,) = holder.statements[:1] or (
        DraftStatement(None, "{}", expressible=False),
    )
    return statement.folded()


def _fields(form: Form, prefix: str, kind: PolicyKind) -> DraftFields:
    trust = kind is PolicyKind.TRUST
    about_principals = kind.is_about_principals
    return DraftFields(
        sid=(form.find(f"{prefix}.sid") or "").strip(),
        effect="Deny" if form.find(f"{prefix}.effect") == "Deny" else "Allow",
        not_action=form.find(f"{prefix}.not_action") == "1",
        actions=form.lines(f"{prefix}.actions"),
        not_resource=form.find(f"{prefix}.not_resource") == "1",
        resources=None if trust else form.lines(f"{prefix}.resources"),
        principals=tuple(_principals(form, prefix)) if about_principals else None,
        conditions=tuple(_conditions(form, prefix)),
    )


def _principals(form: Form, prefix: str) -> Iterator[PrincipalRow]:
    for number in range(ROWS_MAX):
        kind = form.find(f"{prefix}.p{number}.kind")
        if kind is None:
            return
        values = form.lines(f"{prefix}.p{number}.values")
        yield PrincipalRow(kind, () if kind == ANYONE else values)


def _conditions(form: Form, prefix: str) -> Iterator[ConditionRow]:
    for number in range(ROWS_MAX):
        operator = form.find(f"{prefix}.c{number}.operator")
        if operator is None:
            return
        yield ConditionRow(
            operator.strip(),
            (form.find(f"{prefix}.c{number}.key") or "").strip(),
            form.lines(f"{prefix}.c{number}.values"),
        )


Save = Callable[[PolicyEditor], Awaitable[Response]]


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
