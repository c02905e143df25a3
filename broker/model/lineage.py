"""The lineage of a session: every session that it was made from, and their origin.

A revocation reaches what was made from the session it names, however long ago and in
whatever account, because each session carries this.
"""

import hashlib
from binascii import b2a_base64
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from broker.model.account import AccountId, find_account_of_key_id

_DIGEST_BYTES = 16
_URL_SAFE = bytes.maketrans(b"+/", b"-_")

_EMPTY: tuple[Any, ...] = (0, 0, 0, 0, 0, 0, 0, (), (), 0, ())


class Ancestor(Struct, frozen=True, kw_only=True):
    """A session that another one was made from.

    ``mint_id`` is 128 random bits as text; empty for a session whose token is of
    version 1, which is known by its access key id alone. ``account`` is the one that
    it was a session of; an access key id does not tell, if an upstream issued it.
    """

    account: AccountId
    mint_id: str
    access_key_id: str
    principal_id: str
    issued_at_ms: int

    @property
    def label(self) -> str:
        """A key that identifies it."""
        return self.mint_id or self.access_key_id


class FoldedAncestors(Struct, frozen=True, kw_only=True):
    """Ancestors of one principal that a long chain no longer names one by one.

    The oldest of them was issued at ``first_ms``.
    """

    account: AccountId
    principal_id: str
    first_ms: int


class Origin(Struct, frozen=True, kw_only=True):
    """What a chain of sessions began with: a long-term key, a password or a provider.

    ``account`` is empty where it is the session's own. ``principal_id`` is the unique
    id of the user (the account's number for root) whose ``access_key_id`` or password
    it was; ``subject`` the digest of the issuer and subject that a provider asserted.
    ``began_ms`` is the issue of the first session, 0 in that session itself; where
    a provider's proof says when it was issued, it is that: a revocation of its subject
    reaches what was proved before.
    ``mfa_shown`` says that this principal's second factor was shown on the way.
    ``named_ms`` is the issue of the session that set the source identity, 0 in itself,
    or of the proof that did.
    ``targets`` are further targets of not-before marks: the person in a SCIM directory,
    the provider's own session, and of what a token of the broker's own was made with.
    """

    account: AccountId | None = None
    access_key_id: str = ""
    principal_id: str = ""
    subject: str = ""
    began_ms: int = 0
    mfa_shown: bool = False
    named_ms: int = 0
    targets: tuple[str, ...] = ()


class Lineage(Struct, frozen=True, kw_only=True):
    """The sessions behind a session, oldest first, and what the first began with.

    The first is always there; of a long chain the ones after it are ``folded``: known
    by their principals and by the time in which they were issued, up to
    ``folded_until_ms``.
    """

    origin: Origin
    ancestors: tuple[Ancestor, ...] = ()
    folded: tuple[FoldedAncestors, ...] = ()
    folded_until_ms: int = 0


NO_LINEAGE = Lineage(origin=Origin())
"""Of a session that began by itself, of unknown origin."""


class Trace(Struct, frozen=True, kw_only=True):
    """What of a session and its lineage lies in one account, ready to look up.

    ``since_ms`` is the oldest of it. ``key_ids`` are those of all sessions,
    ``old_key_ids`` those of sessions that have no mint id. ``marks``
    are what not-before marks may name, with the time that counts for each. ``chain``
    is the label of the first session with the times of the first and the last one
    that was folded.
    """

    account: AccountId
    since_ms: int
    mint_ids: frozenset[str]
    key_ids: frozenset[str]
    old_key_ids: frozenset[str]
    marks: tuple[tuple[str, int], ...]
    chain: tuple[str, int, int] | None = None

    def labels(self) -> Iterator[tuple[str, int, int]]:
        """What a revocation may name, as one looks it up: with the times it was issued in."""
        for target, at_ms in self.marks:
            yield target, at_ms, at_ms
        for name in self.mint_ids | self.key_ids:
            yield name, 0, 0
        if self.chain is not None:
            first, since_ms, until_ms = self.chain
            yield chain_label(first), since_ms, until_ms


def chain_label(first: str) -> str:
    """The label of all that was folded after a first session."""
    return f"chain/{first}"


def admitted_target(principal_id: str) -> str:
    """What a mark is kept under that ends the machines which a user or a role admitted."""
    return f"admitted-by/{principal_id}"


def subject_digest(issuer: str, subject: str) -> str:
    """The person a provider authenticated, in a session: 128 bits of a SHA-256."""
    who = issuer.encode("utf-8", "surrogatepass")
    # The length makes it unambiguous: ("ab", "c") is not ("a", "bc").
    whole = b"broker/1/subject" + len(who).to_bytes(8, "big") + who
    digest = hashlib.sha256(whole + subject.encode("utf-8", "surrogatepass"))
    return as_text(digest.digest()[:_DIGEST_BYTES])


def as_text(raw: bytes) -> str:
    """Random or digested bytes as letters, digits, - and _."""
    text = b2a_base64(raw, newline=False).translate(_URL_SAFE, b"=")
    return text.decode("ascii")


def lineage_row(lineage: Lineage) -> list[object]:
    """A lineage as JSON can hold it, its empty tail cut off."""
    origin = lineage.origin
    if not (
        lineage.ancestors
        or lineage.folded
        or lineage.folded_until_ms
        or origin.mfa_shown
        or origin.named_ms
        or origin.targets
    ):
        # The first of its line, as most are: this is done for every mint.
        short: list[object] = [
            origin.account or 0,
            origin.access_key_id or 0,
            origin.principal_id or 0,
            origin.subject or 0,
        ]
        if origin.began_ms:
            short.append(origin.began_ms)
        return short if origin.subject or origin.began_ms else _trimmed(short)
    row: list[object] = [
        origin.account or 0,
        origin.access_key_id or 0,
        origin.principal_id or 0,
        origin.subject or 0,
        origin.began_ms,
        int(origin.mfa_shown),
        origin.named_ms,
        [
            [
                ancestor.mint_id,
                ancestor.access_key_id,
                ancestor.principal_id,
                ancestor.issued_at_ms,
                ancestor.account,
            ]
            for ancestor in lineage.ancestors
        ],
        [
            [ancestors.account, ancestors.principal_id, ancestors.first_ms]
            for ancestors in lineage.folded
        ],
        lineage.folded_until_ms,
        list(origin.targets),
    ]
    return _trimmed(row)


def _trimmed(row: list[object]) -> list[object]:
    while row and not row[-1]:
        row.pop()
    return row


def read_lineage(row: Sequence[Any]) -> Lineage:
    """The inverse.

    Raises:
        ValueError: the row is of a form that this version does not know.
    """
    if not row:
        return NO_LINEAGE
    if len(row) > len(_EMPTY):
        raise ValueError("the lineage is of a newer version")
    whole = [*row, *_EMPTY[len(row) :]]
    return Lineage(
        origin=Origin(
            account=whole[0] or None,
            access_key_id=whole[1] or "",
            principal_id=whole[2] or "",
            subject=whole[3] or "",
            began_ms=whole[4],
            mfa_shown=bool(whole[5]),
            named_ms=whole[6],
            targets=tuple(whole[10]),
        ),
        ancestors=tuple(_read_ancestor(*entry) for entry in whole[7]),
        folded=tuple(
            FoldedAncestors(account=account, principal_id=who, first_ms=at)
            for account, who, at in whole[8]
        ),
        folded_until_ms=whole[9],
    )


def _read_ancestor(
    mint_id: str, key: str, who: str, at_ms: int, account: AccountId | None = None
) -> Ancestor:
    # Earlier versions wrote no account; the broker had issued all those key ids.
    account = account or find_account_of_key_id(key)
    if account is None:
        raise ValueError("an ancestor has no account")
    return Ancestor(
        account=account,
        mint_id=mint_id,
        access_key_id=key,
        principal_id=who,
        issued_at_ms=at_ms,
    )
