"""Registering a service, and giving it another definition, as YAML."""

from msgspec import Struct
from starlette.responses import Response

from broker.actions.action import Call
from broker.administration.policy_check import Problem, problem_at
from broker.administration.policy_editor import content_hash
from broker.administration.services import DETAIL, LIST, SECTION, SERVICE
from broker.console.context import Precondition
from broker.console.forms import newlines
from broker.console.visit import BOTH, PageRoute, Visit, address
from broker.errors import ConcurrentModification
from broker.kinds.registered_services import (
    require_service,
)
from broker.kinds.yaml_text import (
    TemplateError,
    find_places,
    read_definition,
    write_definition,
)
from broker.policy.positions import Span, TextPosition
from broker.protocols.enforcement import DefinitionRejected, parse_new_definition
from broker.runtime.offload import offload
from broker.stores.directory import kinds

NEW = "/console/services/new"
EDIT = "/console/services/edit"
_BAD_REQUEST = 400
_EXAMPLE = """\
Hosts: [orders.example.com]
ResourceTypes:
  order: order/{id}
Actions:
  ListOrders: {AccessLevel: List}
  GetOrder: {AccessLevel: Read, ResourceTypes: [order]}
Routes:
- {Methods: [GET], Path: /orders, Action: ListOrders}
- {Methods: [GET, HEAD], Path: '/orders/{id}', Action: GetOrder}
"""


class _Checked(Struct, frozen=True):
    """A text that was read: its JSON, or what is wrong with it."""

    definition: str
    problems: tuple[Problem, ...] = ()


async def _new(visit: Visit) -> Response:
    name = visit.text("name")[:128]
    text = _typed(visit) if visit.posted else ""
    problems: tuple[Problem, ...] = ()
    if visit.posted:
        checked = await _check(text, name, None)
        problems = checked.problems
        if visit.text("do") == "save" and not problems:
            with visit.attempt():
                return await _register(visit, name, checked.definition)
    return await _show(visit, name, text, problems, base="", is_new=True)


async def _register(visit: Visit, name: str, definition: str) -> Response:
    await visit.perform(
        SERVICE, "PutService", _is_free(name), ServiceName=name, Definition=definition
    )
    return visit.done(
        "Service registered. Create a token for the proxy or service that asks.",
        DETAIL,
        name=name,
    )


async def _edit(visit: Visit) -> Response:
    name = visit.form.require("name")[:128]
    stored = await _stored(visit, name)
    text, base = write_definition(stored), content_hash(stored)
    problems: tuple[Problem, ...] = ()
    conflict = ""
    if visit.posted:
        text, began = _typed(visit), visit.text("base")
        checked = await _check(text, name, stored)
        problems = checked.problems
        if visit.text("do") == "save" and not problems:
            with visit.attempt():
                await visit.perform(
                    SERVICE,
                    "PutService",
                    _is_still(name, began),
                    ServiceName=name,
                    Definition=checked.definition,
                )
                return visit.done("Definition saved.", DETAIL, name=name)
        if isinstance(visit.refusal, ConcurrentModification):
            conflict = write_definition(stored)
        else:
            base = began
    return await _show(
        visit, name, text, problems, base=base, is_new=False, conflict=conflict
    )


async def _show(
    visit: Visit,
    name: str,
    text: str,
    problems: tuple[Problem, ...],
    *,
    base: str,
    is_new: bool,
    conflict: str = "",
) -> Response:
    if problems:
        visit.status = _BAD_REQUEST
    return await visit.show(
        "admin/service_edit.html",
        name=name,
        text=text,
        problems=problems,
        base=base,
        is_new=is_new,
        conflict=conflict,
        looked=visit.posted and not problems and visit.refusal is None,
        example=_EXAMPLE,
        action=NEW if is_new else address(EDIT, name=name),
        back=LIST if is_new else address(DETAIL, name=name),
    )


async def _stored(visit: Visit, name: str) -> str:
    answer = await visit.perform(SERVICE, "GetService", ServiceName=name)
    return str(answer["Service"]["Definition"])


def _typed(visit: Visit) -> str:
    """The definition's text; its first line may be indented."""
    return newlines(visit.form.find("definition") or "").rstrip()


async def _check(text: str, name: str, stored: str | None) -> _Checked:
    """Read a text, off the event loop: the longest takes a while."""
    return await offload(lambda: _read(text, name, stored))


def _read(text: str, name: str, stored: str | None) -> _Checked:
    try:
        definition = read_definition(text)
    except TemplateError as error:
        line = error.place.removeprefix("line ")
        span = _whole_line(text, int(line)) if line.isdigit() else None
        message = f"{error.message[:1].upper()}{error.message[1:]}."
        return _Checked("", (problem_at(text, message, span),))
    try:
        parse_new_definition(definition, name, stored)
    except DefinitionRejected as error:
        spans = find_places(text, [place for place, _ in error.problems])
        return _Checked(
            definition,
            tuple(
                problem_at(text, f"{place or 'The definition'}: {message}.", span)
                for (place, message), span in zip(error.problems, spans, strict=True)
            ),
        )
    return _Checked(definition)


def _whole_line(text: str, number: int) -> Span | None:
    lines = text.split("\n")
    if not 1 <= number <= len(lines):
        return None
    end = TextPosition(number, len(lines[number - 1]) + 1)
    return Span(TextPosition(number, 1), end)


def _is_free(name: str) -> Precondition:
    async def check(call: Call) -> None:
        if await call.change.named(kinds.SERVICE, call.account, name) is not None:
            raise ConcurrentModification(f"A service named {name} already exists.")

    return check


def _is_still(name: str, base: str) -> Precondition:
    async def check(call: Call) -> None:
        service = await require_service(call.change, call.account, name)
        if content_hash(service.definition) != base:
            raise ConcurrentModification(
                "Someone else changed this definition after you started editing."
            )

    return check


PAGES = (
    PageRoute(NEW, SECTION, _new, BOTH, long=True),
    PageRoute(EDIT, SECTION, _edit, BOTH, long=True),
)
