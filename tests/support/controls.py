"""What a browser sends of a form: every control as it stands, and the button."""

from typing import Any

import httpx2 as httpx
from lxml import html

from tests.support.administrator import SAME, Administrator


def controls(form: html.HtmlElement) -> list[tuple[str, str]]:
    """Names and values, in the order of the page."""
    results: list[tuple[str, str]] = []
    for control in form.xpath(".//input[@name]|.//select|.//textarea"):
        if control.get("disabled") is not None:
            continue
        if control.get("type") in {"checkbox", "radio"}:
            if control.get("checked") is None:
                continue
            value = control.get("value", "on")
        elif control.tag == "textarea":
            # A browser drops the first line end and sends the others as CRLF.
            value = (control.text or "").removeprefix("\n").replace("\n", "\r\n")
        elif control.tag == "select":
            chosen = control.xpath("./option[@selected]") or control.xpath("./option")
            if not chosen:
                continue
            value = chosen[0].get("value", chosen[0].text)
        else:
            value = control.get("value") or ""
        results.append((control.get("name"), value))
    return results


async def press(
    admin: Administrator, page: httpx.Response, do: str, **typed: Any
) -> httpx.Response:
    """Fill in fields and press the first button that says ``do``.

    A field that the form does not have is sent besides; one of None is not sent.
    Names of fields have dots, which are written as double underscores here.
    """
    tree = html.fromstring(page.text)
    buttons = tree.xpath(f"//button[@name='do'][@value='{do}']")
    assert buttons, f"the page has no button {do}"
    values = {name.replace("__", "."): value for name, value in typed.items()}
    fitting = [
        button
        for button in buttons
        if all(
            values.get(name, value) == value
            for name, value in controls(button.xpath("./ancestor::form")[0])
            if name in {"version", "key", "policy", "kind"} and name in values
        )
    ]
    button = (fitting or buttons)[0]
    (form,) = button.xpath("./ancestor::form")
    kept = [(n, v) for n, v in controls(form) if n not in values]
    items = [(n, v) for n, v in values.items() if v is not None]
    target = (button.get("formaction") or form.get("action")).partition("#")[0]
    body = httpx.QueryParams([*kept, *items, ("do", do)])
    return await admin.browser.post(
        target,
        content=str(body),
        headers={**SAME, "content-type": "application/x-www-form-urlencoded"},
    )


async def follow(admin: Administrator, answer: httpx.Response) -> httpx.Response:
    """The page that an answer leads to."""
    assert answer.status_code == 303, answer.text
    return await admin.see(answer.headers["location"])
