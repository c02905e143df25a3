"""The table of condition keys as a page: ``docs/condition-keys.md`` is this text."""

import sys
from collections.abc import Iterable, Iterator

from broker.policy.context import CONTEXT_KEYS, ISSUER_CLAIMS, ContextKey

_HEAD = """# Condition keys

What a request can carry into `Condition` and `${…}`. A key that does not apply is absent,
not empty: an operator without `IfExists` then does not match. `*` stands for a tag's key
and `{issuer}` for host and path of an OpenID Connect provider. Keys with several values
want `ForAnyValue` or `ForAllValues`. Names count without regard to case.

This page is written from the engine's own table:
`.venv/bin/python -m broker.policy.key_table > docs/condition-keys.md`
"""
_GROUPS = (
    ("Every service", "aws:"),
    ("STS", "sts:"),
    ("IAM", "iam:"),
    ("SAML", "saml:"),
)


def key_table() -> str:
    """The page, as Markdown."""
    parts = [_HEAD]
    for title, prefix in _GROUPS:
        keys = [key for name, key in CONTEXT_KEYS.items() if name.startswith(prefix)]
        parts.append(f"## {title}\n\n{_table(keys)}")
    parts.append(f"## Web identity\n\n{_table(ISSUER_CLAIMS.values())}")
    return "\n".join(parts)


def _table(keys: Iterable[ContextKey]) -> str:
    return "".join(f"{line}\n" for line in _rows(keys))


def _rows(keys: Iterable[ContextKey]) -> Iterator[str]:
    yield "| Key | Type | Comes from | There for |"
    yield "|---|---|---|---|"
    for key in keys:
        kind = f"{key.type.value}, several" if key.multivalued else key.type.value
        yield f"| `{key.name}` | {kind} | {key.source.value} | {key.when} |"


if __name__ == "__main__":
    sys.stdout.write(key_table())
