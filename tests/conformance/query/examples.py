"""Example values for every shape of a model, within its constraints.

Written for the oracle tests: it reads the model on its own and shares nothing with
the code under test.
"""

from datetime import UTC, datetime

from tests.support.rows import of_file

TEXT = "a <b> & \"c\" 'd' ]]> \t\n\r é \N{GRINNING FACE}  end "
BY_PATTERN = of_file(__file__, "BY_PATTERN")
BY_FIRST_CLASS = tuple(of_file(__file__, "BY_FIRST_CLASS"))


def example(  # noqa: PLR0911  # one for each type
    shapes: dict, name: str, *, full: bool
) -> object:
    """A value of a shape: with all its members, or only with the required ones."""
    shape = shapes[name]
    match shape["type"]:
        case "structure":
            params = structure(shapes, name, full=full)
            # the protocol has no way to say "empty structure"
            return params or structure(shapes, name, full=True)
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
            (match for start, match in BY_FIRST_CLASS if pattern.startswith(start)),
            "Example",
        )
    least, most = shape.get("min", 0), shape.get("max", 10**6)
    while len(value) < least:
        value += value
    return value[:most]
