"""A policy stays what it is, however often it changes between form and JSON."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html

from broker.administration.policy_editor import (
    EditorView,
    PolicyEditor,
    apply_command,
    begin,
    content_hash,
    read_editor,
)
from broker.console.forms import Form
from broker.console.rendering import Pages
from broker.policy import PolicyKind, PolicyRejected, parse_policy
from tests.properties.test_policy import IDENTITY, JSON, TRUST
from tests.support.controls import controls
from tests.support.effort import examples

_TEMPLATE = Pages(())._environment.from_string(
    '{% from "admin/policy_editor.html" import policy_editor %}'
    '<form method="post">{{ policy_editor(editor, "/here") }}</form>'
)
VERSIONS = st.sampled_from(["2008-10-17", "2012-10-17"])


def press(editor: PolicyEditor, command: str) -> PolicyEditor:
    """What is there after a browser was shown the editor and a button was pressed."""
    page = html.fromstring(_TEMPLATE.render(editor=editor))
    form = Form([("do", command), *controls(page)])
    read = read_editor(form, editor.kind)
    assert read is not None
    return apply_command(read, form)


def text_of(statements: list[dict[str, Any]], version: str) -> str:
    return json.dumps({"Version": version, "Statement": statements})


def stays(text: str, kind: PolicyKind) -> None:
    before = parse_policy(text, kind)
    editor = press(begin(text, kind, "base"), "check")
    assert editor.view is EditorView.FORM
    for command in ("show-json", "show-form", "fold-statement:0", "edit-statement:0"):
        editor = press(editor, command)
        assert parse_policy(editor.policy(), kind) == before, command
    assert editor.base == "base"
    assert editor.problem is None


@settings(max_examples=examples(40), deadline=None)
@given(IDENTITY.filter(bool), VERSIONS)
def test_every_permission_policy_survives_the_form(
    statements: list[dict[str, Any]], version: str
) -> None:
    stays(text_of(statements, version), PolicyKind.IDENTITY)


@settings(max_examples=examples(40), deadline=None)
@given(TRUST.filter(bool), VERSIONS)
def test_every_trust_policy_survives_the_form(
    statements: list[dict[str, Any]], version: str
) -> None:
    text = text_of(statements, version)
    try:
        parse_policy(text, PolicyKind.TRUST)
    except PolicyRejected:
        return
    stays(text, PolicyKind.TRUST)


ODD = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    [" a", "a ", "a\nb", "a\r\nb", "\u2028", "\x85", "\x1c", "", "\ufeffa", "\0"]
)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(ODD, max_size=3), ODD)
def test_the_oddest_values_survive_the_form(values: list[str], key: str) -> None:
    """What no line of a form brings back stays JSON."""
    condition = {"StringEquals": {f"aws:{key}x": values}}
    statement = {
        "Effect": "Allow",
        "Action": "s3:*",
        "Resource": ["*", *(f"arn:aws:s3:::{value}" for value in values)],
        "Condition": condition,
    }
    text = text_of([statement], "2008-10-17")
    try:
        parse_policy(text, PolicyKind.IDENTITY)
    except PolicyRejected:
        return
    stays(text, PolicyKind.IDENTITY)


@settings(max_examples=examples(60), deadline=None)
@given(JSON.map(json.dumps) | st.text(max_size=30))
def test_whatever_is_pasted_is_kept_or_complained_of(text: str) -> None:
    """Text that no form can show stays as it was typed; the rest may be wrong."""
    editor = PolicyEditor(kind=PolicyKind.IDENTITY, view=EditorView.JSON, text=text)
    policy_editor = apply_command(editor, Form([("do", "show-form")]))
    if policy_editor.draft is None:
        assert policy_editor.text == text
        assert policy_editor.problem is not None
    else:
        again = apply_command(policy_editor, Form([("do", "show-json")]))
        assert json.loads(again.text).keys() >= json.loads(text).keys()


def test_the_hash_tells_texts_apart() -> None:
    assert content_hash("{}") == content_hash("{}") != content_hash("{ }")
