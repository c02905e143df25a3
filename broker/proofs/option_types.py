"""The kinds of values that providers' options have, and how each is read."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from broker.model.strict_json import parse_object
from broker.proofs.group_roles import read_table

T = TypeVar("T")

SUBJECTS = ("userName", "externalId", "emails")
_CLAIM_KEYS_MAX = 32
VALUE_MAX = 1024
"""Of what a proof says of its person, and of the name of what says it."""

TEXT_MAX = 64 * 1024
_NAME_CLAIMS_MAX = 8
_DISPLAYED_MAX = 64
_DIGITS_MAX = 9
_TRUTHS: Mapping[str, object] = {"true": True, "false": False}
_CLAIM_NAME = re.compile(r"(?:https?://)?[A-Za-z0-9_.\-/]{1,128}")
_ALWAYS_KEYS = frozenset({"aud", "sub", "amr", "email", "oaud"})

NO_TABLE: Mapping[str, tuple[str, ...]] | None = None


class OptionType(Struct, Generic[T], frozen=True):
    """What kind of value an option has.

    ``parse`` reads what is stored, typed as YAML or JSON has it, and ``from_text`` makes
    that from what people write. ``field`` is its field on the form, and ``from_file``
    says that the command line takes ``@FILE``.
    """

    default: T
    parse: Callable[[str, object], T]
    from_text: Callable[[str], object] = str
    field: str = "text"
    from_file: bool = False


def _read_truth(text: str) -> object:
    if text.lower() not in _TRUTHS:
        raise ValueError(f"{text!r}; use true or false")
    return _TRUTHS[text.lower()]


def _read_list(text: str) -> object:
    return [part.strip() for part in text.split(",") if part.strip()]


def _json(wanted: str, text: str) -> Mapping[str, object]:
    try:
        return parse_object(text.encode())
    except ValueError as error:
        raise ValueError(f"not JSON{wanted}, or @FILE") from error


def _read_jwks(text: str) -> object:
    _json(", or not a JWK set; use one", text)
    return text


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r:.80}; write true or false")  # noqa: TRY004  # data
    return value


def _flag_or_text(name: str, value: object) -> bool:
    if isinstance(value, str):
        value = _TRUTHS.get(value.lower(), value)
    return _flag(name, value)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text")  # noqa: TRY004  # data
    return value


def _display_name(name: str, value: object) -> str:
    text = _text(name, value)
    if len(text) > _DISPLAYED_MAX or not text.isprintable():
        raise ValueError(f"{name} takes up to {_DISPLAYED_MAX} printable characters")
    return text


def _attribute(least: int, most: int, name: str, value: object) -> str:
    if not isinstance(value, str) or not least <= len(value) <= most:
        raise ValueError(f"{name} must be the name of a claim or attribute")
    return value


def _choice(*allowed: str, default: str = "", listed: str = "") -> OptionType[str]:
    listed = listed or f"one of {', '.join(allowed)}"

    def parse(name: str, value: object) -> str:
        if value != default and value not in allowed:
            raise ValueError(f"{name} is {value!r:.80}; write {listed}")
        return str(value)

    return OptionType(default, parse)


def _seconds(least: int, most: int, name: str, value: object) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or not least <= value <= most
    ):
        raise ValueError(f"{name} is {value!r:.80}; write {least} to {most} seconds")
    return value


def _read_number(text: str) -> object:
    if not text.isascii() or not text.isdecimal() or len(text) > _DIGITS_MAX:
        raise ValueError(f"{text!r:.80}; use a number")
    return int(text)


def _texts(name: str, value: object) -> frozenset[str]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name} must be a list")  # noqa: TRY004  # data
    texts = frozenset(text for text in value if isinstance(text, str) and text)
    if len(texts) != len(value):
        raise ValueError(f"{name} must hold texts, each once")
    return texts


def _jwks(name: str, value: object) -> str:
    if isinstance(value, Mapping):
        return json.dumps(dict(value))
    if not isinstance(value, str):
        raise ValueError(f"{name} is neither a JSON text nor an object with 'keys'")  # noqa: TRY004  # data
    return value


def _names(
    name: str, value: object, example: str, most: int | None = None
) -> Sequence[str]:
    """Names in a list, or in a text between commas or spaces."""
    names = value.replace(",", " ").split() if isinstance(value, str) else value
    if (
        not isinstance(names, list | tuple)
        or not all(isinstance(name, str) for name in names)
        or (most and len(names) > most)
    ):
        of = f" of at most {most} claims" if most else ""
        raise ValueError(f"{name} is not a list{of}; write {example}")
    return names


def _algorithms(name: str, value: object) -> frozenset[str]:
    from broker.protocols.oidc.algorithms import ALGORITHM_NAMES  # noqa: PLC0415

    example = "for example RS256, ES256"
    names = _names(name, value, example)
    if not names:
        raise ValueError(f"{name} is not a list; write {example}")
    for text in names:
        if text not in ALGORITHM_NAMES:
            known = sorted(ALGORITHM_NAMES)
            raise ValueError(f"{name} has {text!r}; known are {known}")
    return frozenset(names)


def _scopes(name: str, value: object) -> tuple[str, ...]:
    names = _names(name, value, "for example email, groups")
    return tuple(dict.fromkeys(("openid", *names)))


def _claims(name: str, names: Sequence[str]) -> tuple[str, ...]:
    for text in names:
        if not _CLAIM_NAME.fullmatch(text):
            raise ValueError(
                f"{name} has {text!r:.80}; a claim's name has 1 to 128 letters, digits"
                " and . _ - /"
            )
    return tuple(dict.fromkeys(names))


def _name_claims(name: str, value: object) -> tuple[str, ...]:
    return _claims(name, _names(name, value, "email", _NAME_CLAIMS_MAX))


def _claim_keys(name: str, value: object) -> tuple[str, ...]:
    names = _names(name, value, "for example project_path, ref")
    if len(names) > _CLAIM_KEYS_MAX:
        raise ValueError(
            f"{name} has {len(names)} claims; at most {_CLAIM_KEYS_MAX} are read"
        )
    seen: set[str] = set()
    for claim in names:
        key = claim.lower()
        if key in _ALWAYS_KEYS:
            raise ValueError(f"{name} has {claim!r}, which is a key without it")
        if key in seen:
            raise ValueError(f"{name} has {claim!r} twice; case does not count")
        seen.add(key)
    return _claims(name, names)


FLAG = OptionType(default=False, parse=_flag, from_text=_read_truth, field="flag")
FLAG_OR_TEXT = replace(FLAG, parse=_flag_or_text)
TEXT = OptionType("", _text)
TEXTS = OptionType(frozenset[str](), _texts, _read_list)
PROFILE = replace(
    _choice("strict", "aws", default="strict", listed="strict or aws"), field="profile"
)
PEM = replace(TEXT, field="area", from_file=True)
SEALED_TEXT = replace(TEXT, field="secret", from_file=True)
SCOPES = OptionType(_scopes("Scopes", ()), _scopes, _read_list)
NAME_CLAIMS = OptionType(tuple[str, ...](), _name_claims, _read_list)
CLAIM_KEYS = OptionType(tuple[str, ...](), _claim_keys, _read_list)
ALGORITHMS = OptionType(frozenset[str](), _algorithms, _read_list)
JWKS = OptionType("", _jwks, _read_jwks, "area", from_file=True)
ATTRIBUTE = OptionType("groups", partial(_attribute, 1, TEXT_MAX))
CLAIM = OptionType("", partial(_attribute, 0, VALUE_MAX))
TABLE = OptionType(
    NO_TABLE,
    read_table,
    lambda text: _json("; use a mapping of groups to lists of role ARNs", text),
    "area",
    from_file=True,
)
SUBJECT = _choice(*SUBJECTS)
DISPLAY_NAME = OptionType("", _display_name)
GROUP_NAMES = _choice("displayName", "externalId", "asserted", default="displayName")
UNKNOWN = _choice("refuse", "allow", default="refuse")
WATCH = _choice("RefreshToken", listed="RefreshToken, or nothing")
WATCH_SECONDS = OptionType(300, partial(_seconds, 30, 3600), _read_number)
