"""Variables are read, resolved and listed."""

import pytest

from broker.policy.variables import (
    InvalidVariable,
    Variable,
    all_resolve,
    find_static,
    find_variables,
    parse_template,
    resolve_template,
)
from broker.policy.wildcard import Wild


def test_a_template_is_text_wildcards_and_variables() -> None:
    template = parse_template(
        "a*${aws:username}?${*}${Tag/x, 'y'}", variables=True, wildcards=True
    )
    assert template == (
        "a",
        Wild.STAR,
        Variable("aws:username"),
        Wild.ANY,
        "*",
        Variable("Tag/x", "y"),
    )


def test_wildcards_are_text_where_they_mean_nothing() -> None:
    assert parse_template("a*?", variables=True, wildcards=False) == ("a*?",)
    assert parse_template("a*${x:y}", variables=True, wildcards=False) == (
        "a*",
        Variable("x:y"),
    )


def test_variables_are_text_before_2012() -> None:
    assert parse_template("${x:y}", variables=False, wildcards=False) == ("${x:y}",)


def test_resolving_fills_in_and_reports_what_is_missing() -> None:
    template = parse_template("${A:b}/${a:c, 'd'}", variables=True, wildcards=True)
    assert resolve_template(template, {"a:b": ("x",)}) == ("x", "/", "d")
    assert resolve_template(template, {}) is None
    assert find_static(template) is None


@pytest.mark.parametrize(
    "text",
    ["${", "${a", "${}", "${ }", "${a b}", "${a,b}", "${a,'b}", "${a,'b'", "${a,'b'x}"],
)
def test_bad_variables_are_refused(text: str) -> None:
    with pytest.raises(InvalidVariable):
        parse_template(text, variables=True, wildcards=True)


def test_spaces_around_a_name_do_not_count() -> None:
    assert find_variables(["${ a:b }", "${ a:c , 'x' }", "plain"]) == (
        Variable("a:b"),
        Variable("a:c", "x"),
    )


def test_all_resolve_needs_each_of_them() -> None:
    variables = find_variables(["${a:b}${a:c}"])
    assert all_resolve(variables, {"a:b": ("1",), "a:c": ("2",)})
    assert not all_resolve(variables, {"a:b": ("1",)})
    assert not all_resolve(variables, {"a:b": ("1",), "a:c": ("2", "3")})
    assert all_resolve((), {})


def test_many_variables_are_read_in_one_pass() -> None:
    text = "${a:b}" * 20_000
    assert len(parse_template(text, variables=True, wildcards=True)) == 20_000
