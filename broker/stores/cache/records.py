"""Session records as the JSON text that both caches keep."""

from broker.model.account import AccountId
from broker.model.lineage import lineage_row, read_lineage
from broker.model.upstream import origin_row, read_origin
from broker.stores.cache.port import SessionRecord
from broker.stores.json_text import decode_json, encode_json


def encode_session(record: SessionRecord) -> str:
    """The record's text."""
    return encode_json(
        [
            record.access_key_id,
            record.account,
            record.kind,
            record.principal_arn,
            record.principal_id,
            record.issued_at_ms,
            record.expires_at,
            record.provider_arn,
            record.source_identity,
            record.parent_key_id,
            dict(record.tags),
            record.provider_id,
            record.mint_id,
            lineage_row(record.lineage),
            *origin_row(record.upstream),
        ]
    )


def decode_session(text: str | bytes) -> SessionRecord | None:
    """Parse a record; None for another version or anything else."""
    try:
        (
            access_key_id,
            account,
            kind,
            principal_arn,
            principal_id,
            issued_at_ms,
            expires_at,
            provider_arn,
            source_identity,
            parent_key_id,
            tags,
            provider_id,
            mint_id,
            row,
            *from_upstream,
        ) = decode_json(text)
        lineage = read_lineage(row)
        upstream = read_origin(from_upstream)
    except (ValueError, TypeError):
        return None
    return SessionRecord(
        access_key_id=access_key_id,
        account=AccountId(account),
        kind=kind,
        principal_arn=principal_arn,
        principal_id=principal_id,
        issued_at_ms=issued_at_ms,
        expires_at=expires_at,
        provider_arn=provider_arn,
        source_identity=source_identity,
        parent_key_id=parent_key_id,
        tags=tags,
        provider_id=provider_id,
        mint_id=mint_id,
        lineage=lineage,
        upstream=upstream,
    )
