"""The table of condition keys as a page: ``docs/condition-keys.md`` is this text."""

import sys
from collections.abc import Iterable, Iterator

from broker.policy.context import (
    CONTEXT_KEYS,
    DIRECTORY_KEYS,
    ISSUER_CLAIMS,
    ContextKey,
    KeyType,
)
from broker.policy.issuer_claims import KNOWN_ISSUERS

_HEAD = """# Condition keys

The keys that `Condition` and `${…}` can use. A key that does not apply is absent, not empty:
an operator without `IfExists` then does not match. `*` stands for a tag key, and `{issuer}`
for the host and path of an OpenID Connect provider, and `{provider}` for the name of an LDAP
provider. Multivalued keys need `ForAnyValue` or
`ForAllValues`. Names are case-insensitive.

This page is generated from the engine's own table:
`.venv/bin/python -m broker.policy.key_table > docs/condition-keys.md`
"""
_CLAIMS_HEAD = """## Claims of known issuers

The claims that AWS documents for these issuers are available as `{issuer}:{claim}`, only in
the call with the token. For other issuers and other claims, the operator lists them
in the provider's option `ClaimKeys`. A claim can be a string, a Boolean, a number or a list
of strings.
"""
_GROUPS = (
    ("Every service", "aws:"),
    ("EC2", "ec2:"),
    ("STS", "sts:"),
    ("IAM", "iam:"),
    ("Sign-In", "signin:"),
    ("SAML", "saml:"),
)


def key_table() -> str:
    """The page, as Markdown."""
    parts = [_HEAD]
    for title, prefix in _GROUPS:
        keys = [key for name, key in CONTEXT_KEYS.items() if name.startswith(prefix)]
        parts.append(f"## {title}\n\n{_table(keys)}")
    parts.append(f"## Web identity\n\n{_table(ISSUER_CLAIMS.values())}")
    parts.append(f"## Directories\n\n{_table(DIRECTORY_KEYS.values())}")
    parts.append(f"{_CLAIMS_HEAD}\n" + "".join(f"{line}\n" for line in _known()))
    return "\n".join(parts)


def _known() -> Iterator[str]:
    yield "| Issuer | Host and path | Claims |"
    yield "|---|---|---|"
    for known in KNOWN_ISSUERS:
        issuers = "<br>".join(f"`{issuer}`" for issuer in known.issuers)
        claims = ", ".join(
            f"`{name}`" + ("" if kind is KeyType.STRING else f" ({kind.value})")
            for name, kind in known.claims.items()
        )
        yield f"| {known.title} | {issuers} | {claims} |"


def _table(keys: Iterable[ContextKey]) -> str:
    return "".join(f"{line}\n" for line in _rows(keys))


def _rows(keys: Iterable[ContextKey]) -> Iterator[str]:
    yield "| Key | Type | Comes from | Present for |"
    yield "|---|---|---|---|"
    for key in keys:
        kind = f"{key.type.value}, several" if key.multivalued else key.type.value
        yield f"| `{key.name}` | {kind} | {key.source.value} | {key.when} |"


if __name__ == "__main__":
    sys.stdout.write(key_table())
