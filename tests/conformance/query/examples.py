"""Example values for every shape of a model, within its constraints.

Written for the oracle tests: it reads the model on its own and shares nothing with
the code under test.
"""

from datetime import UTC, datetime

TEXT = "a <b> & \"c\" 'd' ]]> \t\n\r é \N{GRINNING FACE}  end "
BY_PATTERN = {
    r"((/[A-Za-z0-9\.,\+@=_-]+)*)/": "/division/team/",
    r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)": "/path/to/",
    r"/[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*/": "/a b/",
    r"[\d]*": "123456",
    r"[\d]+": "1234567890",
    r"\d{12}": "000123456789",
    r"\u002F[\u0021-\u007F]*": "/path/",
    r"v[1-9][0-9]*(\.[A-Za-z0-9-]*)?": "v12",
    r"^[A-Za-z][A-Za-z0-9/_-]*$": "Some/Type_1",
    r"^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$": "my-alias-1",
    r"^http(s?)://[a-zA-Z0-9._/-]*(\?[a-zA-Z0-9._=&-]*)?(#[a-zA-Z0-9._/-]*)?$": (
        "https://example.com/a?b=c&d=e#f"
    ),
    r"^o-[0-9a-z]{10,32}\/r-[0-9a-z]{4,32}[0-9a-z-\/]*": "o-a1b2c3d4e5/r-ab12/ou-1",
    r"^o-[a-z0-9]{10,32}$": "o-a1b2c3d4e5",
    r"^p-[0-9a-zA-Z_]{8,128}$": "p-12345678",
    r"[A-Z0-9]+": "AKIA2EXAMPLE",
}
BY_FIRST_CLASS = (
    (
        r"[\u0009\u000A\u000D\u0020-\u007E\u0085",
        "\tarn:aws:iam::1:x\r\n é+%&=\U00010400",
    ),
    (r"[\u0009\u000A\u000D\u0020-\u007E\u00A1-", '{"a": "é &+%=\n"}'),
    (
        r"[\u0009\u000A\u000D\u0020-\u00FF]",
        '{"Version": "2012-10-17", "ÿ": "&+%=\r\n"}',
    ),
    (r"[\u0020-\u00FF]", " aÿ+%&= "),
    (
        r"[\p{L}\p{Z}\p{N}_.:/=+\-@",
        "Ключ 值 \N{ROMAN NUMERAL FOUR}+=@\N{NO-BREAK SPACE}",
    ),
)


def example(  # noqa: PLR0911  # one for each type
    shapes: dict, name: str, *, full: bool
) -> object:
    """A value of a shape: with all its members, or only with the required ones."""
    shape = shapes[name]
    match shape["type"]:
        case "structure":
            given = structure(shapes, name, full=full)
            # the protocol has no way to say "empty structure"
            return given or structure(shapes, name, full=True)
        case "list":
            target = shape["member"]["shape"]
            count = max(2 if full else 1, shape.get("min", 0))
            return [example(shapes, target, full=full)] * count
        case "map":
            value = example(shapes, shape["value"]["shape"], full=full)
            keys = shapes[shape["key"]["shape"]].get("enum", ["k1", "k2"])
            return dict.fromkeys(keys[:2], value)
        case "integer" | "long":
            return shape.get("max", 2**31 - 1) if full else shape.get("min", -(2**31))
        case "boolean":
            return full
        case "timestamp":
            millis = 507_000 if full else 0
            return datetime(2026, 9, 11, 18, 36, 46, millis, tzinfo=UTC)
        case "blob":
            return b"\x00\xff<blob>&"
        case "string":
            return text(shape)
        case other:
            raise AssertionError(other)


def structure(shapes: dict, name: str, *, full: bool) -> dict:
    shape = shapes[name]
    members = list(shape["members"])
    if shape.get("union"):
        members = members[:1]
    elif not full:
        members = shape.get("required", [])
    return {
        member: example(shapes, shape["members"][member]["shape"], full=full)
        for member in members
    }


def text(shape: dict) -> str:
    if "enum" in shape:
        return shape["enum"][-1]
    pattern = shape.get("pattern")
    if pattern is None:
        value = TEXT
    elif pattern in BY_PATTERN:
        value = BY_PATTERN[pattern]
    else:
        value = next(
            (found for start, found in BY_FIRST_CLASS if pattern.startswith(start)),
            "Example",
        )
    least, most = shape.get("min", 0), shape.get("max", 10**6)
    while len(value) < least:
        value += value
    return value[:most]
