"""Buttons of a page, as data; and the fields that forms of several pages have."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct

from broker.administration.listing import read_part
from broker.console.visit import Visit
from broker.errors import BrokerError, ValidationError
from broker.kinds.bearer_tokens import TokenRules

_TAGS_MAX = 60
_DAYS_DIGITS = 3

Value = Callable[[Visit], object]
Act = Callable[[Visit, str], Awaitable[object]]
"""What a button does that is more than one operation.

It returns a response, what the page is to show, or None to say that it is done.
"""


def typed(name: str, read: Callable[[str], object] = str) -> Value:
    """What was typed into a field."""
    return lambda visit: read(visit.text(name))


class Button(Struct, frozen=True):
    """One operation: what it takes from the form, and what the next page says.

    ``to`` is that page, if the button's own has gone. ``named`` says whether the
    operation takes what the page is about.
    """

    action: str
    given: Mapping[str, Value] = {}
    done: str = "Saved."
    to: str = ""
    named: bool = True


class Buttons(Struct, frozen=True, kw_only=True):
    """The buttons of the page at ``path``, by the value of the field ``do``.

    What the page is about is ``query`` in its address, and ``member`` of operations.
    """

    path: str
    member: str
    known: Mapping[str, Button | Act]
    makes: Mapping[str, str] = {}
    """For buttons that add something to the page: the field that names it."""

    query: str = "name"
    service: str = "iam"

    async def press(self, visit: Visit, name: str = "") -> object:
        """If the page was posted, do what the pressed button says.

        The result is a redirect, what an `Act` returned, or None; if the operation is
        refused, the page says why.
        """
        if visit.posted:
            with visit.attempt(describe):
                return await self._press(visit, name)
        return None

    async def _press(self, visit: Visit, name: str) -> object:
        button = self.known.get(visit.text("do"))
        if button is None:
            raise ValidationError("Unknown operation.")
        here = {self.query: name}
        made = visit.text(self.makes.get(visit.text("do"), ""))
        new = made.replace(",", " ").split(" ")[0].rpartition("/")[2]
        if not isinstance(button, Button):
            done = await button(visit, name)
            if done is None:
                return visit.done("Saved.", self.path, new, **here)
            return done
        params = {member: read(visit) for member, read in button.given.items()}
        if button.named and self.member:
            params[self.member] = name
        await visit.perform(self.service, button.action, **params)
        if button.to:
            return visit.done(button.done, button.to)
        return visit.done(button.done, self.path, new, **here)


def describe(error: BrokerError) -> str:
    """An error's text, with the detail if a document was refused."""
    if error.code == "InvalidInput" and error.detail:
        return f"{error.words} ({error.detail})"
    return error.words


def read_tags(text: str) -> list[dict[str, str]]:
    """Parse tags, one ``key=value`` a line, into the form that IAM's actions take.

    Raises:
        ValidationError: A line has no key or equals sign, or there are too many.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > _TAGS_MAX:
        raise ValidationError("An entity cannot have that many tags.")
    tags = []
    for line in lines:
        key, sign, value = line.partition("=")
        if not sign or not key.strip():
            raise ValidationError(f"Enter tags as key=value, not {line[:80]}.")
        tags.append({"Key": key.strip(), "Value": value.strip()})
    return tags


def tag_buttons(noun: str) -> dict[str, Button | Act]:
    """The buttons of `tag_section` in ``ui.html``, for any kind that has tags."""
    return {
        "tag": Button(f"Tag{noun}", {"Tags": typed("tags", read_tags)}),
        "untag": Button(f"Untag{noun}", {"TagKeys": lambda visit: [visit.text("key")]}),
    }


def token_buttons(of: TokenRules[Any]) -> dict[str, Button | Act]:
    """The buttons of the tokens that what the page is about has."""

    async def make(visit: Visit, name: str) -> Mapping[str, Any]:
        days = visit.text("days")
        if days and not (
            days.isascii() and days.isdigit() and len(days) <= _DAYS_DIGITS
        ):
            raise ValidationError(of.lifetimes)
        return await visit.perform(
            "broker",
            f"Create{of.noun}",
            Days=int(days) if days else None,
            Addresses=visit.text("addresses").replace(",", " ").split() or None,
            **{of.of: name},
        )

    revoke = Button(f"Delete{of.noun}", {"TokenId": typed("token")}, "Token revoked.")
    return {"make-token": make, "revoke": revoke}


async def show_tokens(
    visit: Visit, of: TokenRules[Any], made: object, name: str
) -> Mapping[str, object]:
    """What a page's part with tokens shows; ``made`` is the answer with a new one."""
    return {
        "tokens": await read_part(
            visit, f"List{of.noun}s", service="broker", **{of.of: name}
        ),
        "made": made,
        "now": visit.now,
        "days": of.default,
        "days_max": of.most,
        "values": kept(visit, "days", "addresses"),
    }


def kept(visit: Visit, *names: str, most: int = 2048) -> dict[str, str]:
    """What was typed into a form's fields, to be corrected."""
    return {name: visit.text(name)[:most] for name in names}
