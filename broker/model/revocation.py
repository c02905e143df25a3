"""What no longer counts although it has not expired."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Self

from msgspec import Struct

from broker.model.account import AccountId
from broker.model.lineage import Ancestor, Lineage, Trace

REVOCATION_LIFE = timedelta(hours=37)
"""How long a revocation is kept, whenever the revoked session itself expires.

Nothing is made from what is revoked, so all that came from it has ended by then: no
session lasts longer than 36 hours.
"""

PROOFS_LIFE = timedelta(days=400)
"""How long a person's revocation is kept: their provider's proofs may last for a year."""

BARRED_MS = 253_370_764_800_000
"""The not-before mark of people who are barred, in milliseconds: the year 9999."""

OLDER_SESSIONS = "AWSRevokeOlderSessions"
"""The inline policy that AWS's console adds to revoke a role's active sessions."""

_BAR = "bar/"
BARS = f"{_BAR}%"
"""A pattern of the targets that say who is barred."""

_SEPARATOR = "/"
_SESSION_PARTS = 4
_LOST_ROLE = "lost-role"


def deny_older_sessions(until: datetime) -> str:
    """The text of `OLDER_SESSIONS`, for sessions that began until then.

    ``aws:TokenIssueTime`` counts in whole seconds, so all that began in the second of
    ``until`` are among them.
    """
    before = until.astimezone(UTC) + timedelta(seconds=1)
    statement = {
        "Effect": "Deny",
        "Action": ["*"],
        "Resource": ["*"],
        "Condition": {
            "DateLessThan": {
                "aws:TokenIssueTime": before.strftime("%Y-%m-%dT%H:%M:%S.000Z")
            }
        },
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=2)


class Bar(Struct, frozen=True, kw_only=True):
    """A person who may not come in: the subject of a provider's issuer."""

    issuer: str
    subject: str
    reason: str = ""


def bar_target(issuer: str, subject: str) -> str:
    """The target under which it is kept who is barred."""
    text = json.dumps([issuer, subject]).encode("ascii")
    return _BAR + urlsafe_b64encode(text).decode("ascii")


def read_bar(target: str, reason: str) -> Bar:
    """The inverse.

    Raises:
        ValueError: it is the target of something else.
    """
    issuer, subject = json.loads(urlsafe_b64decode(target.removeprefix(_BAR)))
    return Bar(issuer=issuer, subject=subject, reason=reason)


class Revocation(Struct, frozen=True, kw_only=True):
    """One revocation: a session with all that came from it, or a not-before mark.

    ``target`` is what ``session_target`` says of a session, the access key id of a
    session of which no more is known, a long-term key's id, the unique id of an account,
    user or role, a provider's ARN, or what stands for a subject or a source identity.
    For a session ``not_before_ms`` is None; for
    the others everything that goes back to a session of the target issued before that
    time (milliseconds) is refused. The revocation may be forgotten after
    ``expires_at``.
    """

    account: AccountId
    target: str
    not_before_ms: int | None
    expires_at: datetime
    reason: str = ""


def session_target(session: Ancestor, lineage: Lineage) -> str:
    """The target of a revocation of one session.

    It names the first session of its chain too, and when it was issued itself: long
    chains are folded.
    """
    if not session.mint_id:
        return session.access_key_id
    first = lineage.ancestors[0] if lineage.ancestors else session
    return _SEPARATOR.join(
        (session.access_key_id, session.mint_id, first.label, str(session.issued_at_ms))
    )


def lost_role_target(subject_target: str, role_id: str) -> str:
    """What a not-before mark of one subject's sessions of one role is kept under."""
    return _SEPARATOR.join((_LOST_ROLE, role_id, subject_target))


class Revocations(Struct, frozen=True):
    """All revocations of an account, ready to look up.

    ``access_key_ids`` end whatever has them. ``old_key_ids`` belong to the revoked
    ``mint_ids``, for tokens that know no mint id. ``chains`` are the times of revoked
    sessions by the first session of their chain. ``roles`` are not-before times by role
    id, by the target of the subject who lost the role.
    """

    access_key_ids: frozenset[str] = frozenset()
    not_before_ms: Mapping[str, int] = {}
    mint_ids: frozenset[str] = frozenset()
    old_key_ids: frozenset[str] = frozenset()
    chains: Mapping[str, tuple[int, ...]] = {}
    roles: Mapping[str, Mapping[str, int]] = {}

    @classmethod
    def read(cls, rows: Iterable[tuple[str, int | None]]) -> Self:
        """From targets and their not-before times."""
        keys: set[str] = set()
        marks: dict[str, int] = {}
        mints: set[str] = set()
        old: set[str] = set()
        chains: dict[str, tuple[int, ...]] = {}
        roles: dict[str, dict[str, int]] = {}
        for target, not_before in rows:
            parts = target.split(_SEPARATOR)
            if not_before is not None:
                marks[target] = not_before
                if parts[0] == _LOST_ROLE:
                    _, role_id, subject = target.split(_SEPARATOR, 2)
                    roles.setdefault(subject, {})[role_id] = not_before
            elif len(parts) != _SESSION_PARTS:
                keys.add(target)
            else:
                key, mint, first, issued = parts
                mints.add(mint)
                old.add(key)
                if first != mint:
                    chains[first] = (*chains.get(first, ()), int(issued))
        return cls(
            frozenset(keys), marks, frozenset(mints), frozenset(old), chains, roles
        )

    def __bool__(self) -> bool:
        return bool(self.access_key_ids or self.not_before_ms or self.mint_ids)

    def cover(self, trace: Trace) -> bool:
        """Whether a session is revoked, or one that it came from."""
        if not (
            self.access_key_ids.isdisjoint(trace.key_ids)
            and self.mint_ids.isdisjoint(trace.mint_ids)
            and self.old_key_ids.isdisjoint(trace.old_key_ids)
        ):
            return True
        marks = self.not_before_ms
        if marks and any(at < marks.get(target, 0) for target, at in trace.marks):
            return True
        if self.roles and self._cover_role(trace):
            return True
        if trace.chain is None:
            return False
        first, since, until = trace.chain
        return any(since <= at <= until for at in self.chains.get(first, ()))

    def _cover_role(self, trace: Trace) -> bool:
        """Whether a session is, or came from, one of a role that its subject lost."""
        return any(
            at < self.roles[subject].get(role_id, 0)
            for subject, _ in trace.marks
            if subject in self.roles
            for role_id, at in trace.marks
        )
