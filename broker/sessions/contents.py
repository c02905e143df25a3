"""Encodes a session as the bytes inside a sealed token.

A JSON array without its empty tail, deflated when long. Access key id and account are
not in it: the seal binds the token to them.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any

import orjson

from broker.errors import PackedPolicyTooLarge
from broker.model.account import AccountId
from broker.model.lineage import lineage_row, read_lineage
from broker.model.session import Session, SessionKind, SessionPolicies
from broker.sessions.lineage import lineage_of_old_token

_PLAIN = b"\x01"
_DEFLATED = b"\x02"
_PADDED = b"\x03"
_LENGTH_BYTES = 4
_DEFLATE_FROM_BYTES = 512
_CONTENT_BYTES_MAX = 65_536
_LEVEL = 6
_WINDOW_BITS = -12  # raw, 4 KiB: a token is never longer
_MEMORY_LEVEL = 3  # 6 µs instead of 50 with the default's 256 KiB to clear

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().decode

# The order is part of the format: append, never reorder.
_KINDS = (
    SessionKind.ASSUME_ROLE,
    SessionKind.SAML,
    SessionKind.WEB_IDENTITY,
    SessionKind.FEDERATION_TOKEN,
    SessionKind.SESSION_TOKEN,
    SessionKind.ROOT_TASK,
    SessionKind.CONSOLE,
    SessionKind.PORTAL,
    SessionKind.LDAP,
)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS, 1)}

_EMPTY_TAIL: list[object] = [
    *(0, "", "", 0, 0, "", 0, "", {}, 0, 0, 0, {}, [], [], 0),
    *(0, 0, "", []),
]


def encode_session(session: Session, at_least: int = 0) -> bytes:
    """The session without its access key id and account.

    Padded to ``at_least`` bytes, for callers who ask for a minimum token size.

    Raises:
        PackedPolicyTooLarge: it would be longer than what is read, which text that
            repeats itself can be in a short token.
    """
    content = _encode_content(session)
    missing = at_least - len(content)
    if missing <= 0:
        return content
    fill = bytes(max(missing - len(_PADDED) - _LENGTH_BYTES, 0))
    return _PADDED + len(content).to_bytes(_LENGTH_BYTES, "big") + content + fill


def token_too_large(size: int, most: int) -> PackedPolicyTooLarge:
    """The error of what is longer than a token, or what it holds, may be; in bytes."""
    return PackedPolicyTooLarge(
        f"Session token size of {size} bytes exceeds the maximum allowed size of {most} bytes."
    )


def _encode_content(session: Session) -> bytes:
    row: list[object] = [
        _NUMBERS[session.kind],
        session.principal_id,
        session.name,
        session.issued_at_ms,
        session.expires_at,
        session.parent_key_id,
        session.provider_arn or 0,
        session.provider_id,
        _plain(session.identity_context),
        session.source_identity or 0,
        session.chain_depth,
        session.mfa_at or 0,
        _plain(session.tags) if session.tags else {},
        sorted(session.transitive_keys),
        [[layer.policy, *_bound_arns(layer)] for layer in session.policies],
        session.ends_by or 0,
        0,  # what version 1 knew of the sessions that this one was narrowed from
        session.scope_count,
        session.mint_id,
        lineage_row(session.lineage),
    ]
    while not row[-1]:
        row.pop()
    try:
        raw = orjson.dumps(row)
    except TypeError:
        # JSON claims may hold lone surrogates; they must not make a mint fail.
        raw = _encode(row).encode("utf-8", "surrogatepass")
    if len(raw) > _CONTENT_BYTES_MAX:
        raise token_too_large(len(raw), _CONTENT_BYTES_MAX)
    if len(raw) < _DEFLATE_FROM_BYTES:
        return _PLAIN + raw
    deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
    return _DEFLATED + deflater.compress(raw) + deflater.flush()


def decode_session(raw: bytes, *, access_key_id: str, account: AccountId) -> Session:
    """The inverse, for bytes that the seal has authenticated.

    Raises:
        ValueError: the bytes are of a form that this version does not know.
    """
    if raw[:1] == _PADDED:
        start = len(_PADDED) + _LENGTH_BYTES
        end = start + int.from_bytes(raw[len(_PADDED) : start], "big")
        raw = raw[start:end]
    form, body = raw[:1], raw[1:]
    if form == _DEFLATED:
        inflater = zlib.decompressobj(_WINDOW_BITS)
        try:
            body = inflater.decompress(body, _CONTENT_BYTES_MAX)
        except zlib.error as error:
            raise ValueError("contents are not deflated") from error
    elif form != _PLAIN:
        raise ValueError("contents are of an unknown form")
    row: Any = _decode(body.decode("utf-8", "surrogatepass"))
    if len(row) > len(_EMPTY_TAIL) or not 0 < row[0] <= len(_KINDS):
        # Written by a newer version: the unknown member may be a restriction.
        raise ValueError("contents are of a newer version")
    row += _EMPTY_TAIL[len(row) :]
    return Session(
        access_key_id=access_key_id,
        account=account,
        kind=_KINDS[row[0] - 1],
        principal_id=row[1],
        name=row[2],
        issued_at_ms=row[3],
        expires_at=row[4],
        parent_key_id=row[5],
        provider_arn=row[6] or None,
        provider_id=row[7],
        identity_context={name: tuple(values) for name, values in row[8].items()},
        source_identity=row[9] or None,
        chain_depth=row[10],
        mfa_at=row[11] or None,
        tags=row[12],
        transitive_keys=frozenset(row[13]),
        policies=tuple(_read_layer(*layer) for layer in row[14]),
        ends_by=row[15] or None,
        scope_count=row[17],
        mint_id=row[18],
        lineage=(
            read_lineage(row[19])
            if row[18]
            else lineage_of_old_token(account, row[5], tuple(row[16] or ()), row[3])
        ),
    )


def _bound_arns(layer: SessionPolicies) -> list[str]:
    """ARNs, each with a space and the id; an older version knows no such policy."""
    if not layer.policy_ids:
        return list(layer.policy_arns)
    bound = zip(layer.policy_arns, layer.policy_ids, strict=True)
    return [f"{arn} {policy_id}" if policy_id else arn for arn, policy_id in bound]


def _read_layer(policy: str | None, *bound: str) -> SessionPolicies:
    parts = [text.partition(" ") for text in bound]
    ids = tuple([policy_id for _, _, policy_id in parts])
    return SessionPolicies(
        policy, tuple([arn for arn, _, _ in parts]), ids if any(ids) else ()
    )


def _plain(mapping: Mapping[str, object]) -> dict[str, object]:
    return mapping if isinstance(mapping, dict) else dict(mapping)
