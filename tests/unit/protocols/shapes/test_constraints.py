import re

import pytest

from broker.actions.models import load_service_model
from broker.protocols.shapes.constraints import compile_pattern, is_xml_text
from tests.support.rows import rows

SESSION_NAME = r"[\w+=,.@-]*"
TAG_KEY = r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+"
ARN = (
    r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF"
    r"\uE000-\uFFFD\u10000-\u10FFFF]+"
)


@rows(
    ("pattern", "value", "matches"),
    [
        (SESSION_NAME, "a+=,.@-_Z9", True),
        (SESSION_NAME, "", True),
        (SESSION_NAME, "line\n", False),
        (SESSION_NAME, "é", False),
        (SESSION_NAME, "٣", False),
        (r"[\d]*", "123456", True),
        (r"[\d]*", "١٢٣٤٥٦", False),
        (r"^o-[a-z0-9]{10,32}$", "o-a1b2c3d4e5", True),
        (r"^o-[a-z0-9]{10,32}$", "o-a1b2c3d4e5\n", False),
        (TAG_KEY, "Abteilung Größe 部門 Ⅳ²\N{NO-BREAK SPACE}", True),
        (TAG_KEY, "\N{LINE SEPARATOR}", True),
        (TAG_KEY, "", False),
        (TAG_KEY, "é*", False),
        (TAG_KEY, "é\t", False),
        (TAG_KEY, "\N{GRINNING FACE}", False),
        (TAG_KEY, "a\N{COMBINING ACUTE ACCENT}", False),
        (TAG_KEY, "é", True),
        (TAG_KEY, "\N{DESERET CAPITAL LETTER LONG I}", True),
        (ARN, "arn:é\N{GRINNING FACE}\u0085\ufffd", True),
        (ARN, "arn\x00", False),
        (ARN, "arn\x80", False),
        (ARN, "arn\x7f", False),
        (ARN, "arn\ufffe", False),
    ],
)
def test_patterns_mean_what_they_mean_in_java(
    pattern: str, value: str, *, matches: bool
) -> None:
    assert bool(compile_pattern(pattern)(value)) is matches


def test_every_pattern_of_both_models_can_be_compiled() -> None:
    patterns = {
        shape["pattern"]
        for name in ("sts", "iam")
        for shape in load_service_model(name)["shapes"].values()
        if "pattern" in shape
    }
    assert len(patterns) > 30
    for pattern in patterns:
        compile_pattern(pattern)


def test_a_construct_that_no_model_has_is_refused() -> None:
    for pattern in (r"\p{L}+", r"[\p{Lu}]*", r"a[\p{L}]*"):
        with pytest.raises((ValueError, re.error)):
            compile_pattern(pattern)


@pytest.mark.parametrize("value", ["", "a\t\r\n", "\x85", "\U0010ffff", "\ue000"])
def test_xml_carries_its_characters(value: str) -> None:
    assert is_xml_text(value)


@pytest.mark.parametrize("value", ["\0", "a\x0b", "\ufffe", "\ud800"])
def test_xml_carries_no_others(value: str) -> None:
    assert not is_xml_text(value)
