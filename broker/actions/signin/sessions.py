"""Sign-In's sessions: listed, looked at and revoked, as AWS Sign-In's API has it.

Without ``principalArn`` a call is about the caller's own sessions: for a session that
needs no permission, since nothing of anybody else's is reached. Otherwise it is about those of
a principal, or of the account, and policies decide; ``signin:PrincipalArn`` says whose.

``ListSessions`` and ``GetSession`` answer with records, which the console shows and
`broker.edges.signin_api` puts into the API's shapes.

Source: botocore's signin model; Service Authorization Reference, "AWS Signin".
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NotRequired

from broker.actions.action import Action, Call, console_action
from broker.errors import NoSuchEntity, ValidationError
from broker.model.arn import owner_arn
from broker.model.audit import AuditFilter
from broker.model.page import PageRequest
from broker.model.request import Params
from broker.model.session import Caller, SessionKind
from broker.model.session_arn import find_key_of_arn, session_arn
from broker.permit.need import Need
from broker.sessions.listing import ListedSession, list_sessions, look_up_status
from broker.sessions.revoke import revoke_session
from broker.stores.cache.port import Cache, SessionRecord
from broker.stores.errors import InvalidMarkerError
from broker.stores.ledger.port import Ledger

if TYPE_CHECKING:
    from broker.model.types.signin import (
        BatchRevokeSessionsInput,
        GetSessionInput,
        ListSessionsInput,
    )

    class ListRequest(ListSessionsInput):
        """The console also searches for a ``Text`` in what identifies a session."""

        Text: NotRequired[str]


_MOST = 100
_MILLISECONDS = 1000
_ACCOUNT_FIELD = 4
_NO_SESSION = "There is no such session."


class SignInSessions:
    """The handlers, with what they need."""

    def __init__(self, cache: Cache, ledger: Ledger) -> None:
        self._cache = cache
        self._ledger = ledger

    def actions(self) -> tuple[Action, ...]:
        """The declarations."""
        return (
            console_action(
                "ListSessions",
                _may_list,
                self._list,
                *("principalArn", "status", "clientId", "Text"),
                *("issuedAfter", "issuedBefore"),
            ),
            console_action(
                "GetSession", self._may_get, self._get, "sessionArn", "principalArn"
            ),
            console_action(
                "BatchRevokeSessions",
                self._may_revoke,
                self._revoke,
                *("sessionArns", "principalArn", "reason"),
                prepare=self._choose,
                writes=True,
                calls=0,
            ),
        )

    async def _list(self, params: "ListRequest", call: Call) -> Mapping[str, Any]:
        """``Sessions``, and the ``NextToken`` if there may be more."""
        request = PageRequest(
            _read_token(params.get("nextToken", "")), params.get("maxResults", _MOST)
        )
        try:
            page = await list_sessions(
                self._cache,
                call.directory,
                call.account,
                request,
                status=params.get("status", ""),
                accepts=_filter_of(params, call),
            )
        except InvalidMarkerError as error:
            raise _invalid_token() from error
        token = "" if page.marker is None else _make_token(page.marker)
        return {"Sessions": page.items, "NextToken": token}

    async def _may_get(self, params: "GetSessionInput", call: Call) -> tuple[Need, ...]:
        need = await self._need("GetSession", params["sessionArn"], params, call)
        return () if need is None else (need,)

    async def _get(self, params: "GetSessionInput", call: Call) -> Mapping[str, Any]:
        """The ``Session``, and the record of the call that ``Minted`` it, if any."""
        record = await self._find(params["sessionArn"], call)
        if record is None or not _filter_of(params, call)(record):
            raise NoSuchEntity(_NO_SESSION)
        listed = ListedSession(record, await look_up_status(record, call.directory))
        minted = await self._ledger.search(
            AuditFilter(minted_key_id=record.access_key_id), PageRequest()
        )
        return {
            "Session": listed,
            "Minted": next(
                (call for call in minted.items if not call.error_code), None
            ),
        }

    async def _may_revoke(
        self, params: "BatchRevokeSessionsInput", call: Call
    ) -> tuple[Need, ...]:
        needs = [
            await self._need("BatchRevokeSessions", arn, params, call)
            for arn in params["sessionArns"]
        ]
        return tuple(need for need in needs if need is not None)

    # The cache may share the database's single writer, so it is read before the
    # transaction begins.

    async def _choose(
        self, params: "BatchRevokeSessionsInput", call: Call
    ) -> list[tuple[str, SessionRecord | None]]:
        accepts = _filter_of(params, call)
        records = [
            (arn, await self._find(arn, call))
            for arn in dict.fromkeys(params["sessionArns"])
        ]
        return [
            (arn, record if record is not None and accepts(record) else None)
            for arn, record in records
        ]

    async def _revoke(
        self, params: "BatchRevokeSessionsInput", call: Call
    ) -> Mapping[str, Any]:
        chosen: list[tuple[str, SessionRecord | None]] = call.prepared  # type: ignore[assignment]
        why = f": {reason}" if (reason := params.get("reason")) else ""
        for _, record in chosen:
            if record is not None:
                await revoke_session(
                    call.change,
                    record,
                    now=call.now,
                    reason=f"by {call.caller.principal.arn}{why}",
                )
        return {
            "revokedSessions": [
                {"sessionArn": arn} for arn, record in chosen if record is not None
            ],
            "errors": [
                {
                    "sessionArn": arn,
                    "code": "ResourceNotFoundException",
                    "message": _NO_SESSION,
                }
                for arn, record in chosen
                if record is None
            ],
        }

    async def _need(
        self, action: str, arn: str, params: Params, call: Call
    ) -> Need | None:
        """The permission to act on a session; an unknown one needs it like any other."""
        principal = _read_principal(params, call)
        if principal is None and call.caller.session is not None:
            return None
        record = await self._find(arn, call)
        whose = principal if principal and not _is_all(principal) else None
        if record is not None:
            arn = session_arn(
                call.region, record.account, record.access_key_id, record.mint_id
            )
            whose = whose or owner_arn(record.principal_arn)
        return _needing(action, arn, whose, call)

    async def _find(self, arn: str, call: Call) -> SessionRecord | None:
        named = find_key_of_arn(arn)
        if named is None or named[0] != call.account:
            return None
        record = await self._cache.find_session(named[1])
        if record is None or record.account != call.account:
            return None
        own = session_arn("", record.account, record.access_key_id, record.mint_id)
        name = arn.rpartition("/")[2]
        return record if name in {own.rpartition("/")[2], named[1]} else None


def is_own(record: SessionRecord, caller: Caller) -> bool:
    """Whether a session certainly belongs to the same person as the caller.

    It is the caller's own session or was made from it, or it is one of the same subject
    at the same provider. A user's are all sign-ins with the user's password, and what
    was made from them: unique ids are never reused. Names prove nothing: they can be
    chosen, and two people may have the same one.
    """
    session, user_id = caller.session, caller.principal.unique_id
    if session is None:
        return user_id in _principals_of(record)
    if session.kind is SessionKind.CONSOLE and user_id in _principals_of(record):
        return True
    subject = session.lineage.origin.subject
    if (
        subject
        and record.lineage.origin.subject == subject
        and record.provider_id == session.provider_id
    ):
        return True
    return session.access_key_id == record.access_key_id or any(
        ancestor.mint_id == session.mint_id
        if ancestor.mint_id
        else ancestor.access_key_id == session.access_key_id
        for ancestor in record.lineage.ancestors
    )


def _principals_of(record: SessionRecord) -> frozenset[str]:
    """The unique ids of those who signed in with a password on the way to a session."""
    ancestors = (ancestor.principal_id for ancestor in record.lineage.ancestors)
    return frozenset((record.principal_id, *ancestors)) - {""}


async def _may_list(params: "ListRequest", call: Call) -> tuple[Need, ...]:
    principal = _read_principal(params, call)
    if principal is None and call.caller.session is not None:
        return ()
    whose = principal if principal and not _is_all(principal) else None
    return (_needing("ListSessions", "*", whose, call),)


def _needing(action: str, resource: str, whose: str | None, call: Call) -> Need:
    return Need(
        action=f"signin:{action}",
        resource=resource,
        account=call.account,
        context={"signin:principalarn": (whose,)} if whose else {},
    )


def _filter_of(params: Params, call: Call) -> Callable[[SessionRecord], bool]:
    """Which sessions a request is about."""
    principal = _read_principal(params, call)
    client, text = params.get("clientId"), params.get("Text", "").lower()
    since, before = params.get("issuedAfter"), params.get("issuedBefore")

    def accepts(record: SessionRecord) -> bool:
        if principal is None:
            is_whose = is_own(record, call.caller)
        else:
            is_whose = (
                _is_all(principal) or owner_arn(record.principal_arn) == principal
            )
        return (
            is_whose
            and (since is None or record.issued_at_ms >= since * _MILLISECONDS)
            and (before is None or record.issued_at_ms < before * _MILLISECONDS)
            and (client is None or _client_of(record) == client)
            and (not text or _has_text(record, text))
        )

    return accepts


def _read_principal(params: Params, call: Call) -> str | None:
    """Whose sessions a request is about; None for the caller's own.

    Raises:
        ValidationError: it is no principal of the caller's account.
    """
    arn: str | None = params.get("principalArn")
    if arn is not None and arn.split(":")[_ACCOUNT_FIELD] != call.account:
        raise ValidationError("The principalArn is not one of the caller's account.")
    return arn


def _is_all(principal: str) -> bool:
    return principal.endswith(":*")


def _client_of(record: SessionRecord) -> str:
    return "" if record.client is None else record.client.client_id


def _has_text(record: SessionRecord, text: str) -> bool:
    return any(
        text in each.lower()
        for each in (
            record.principal_arn,
            record.provider_arn,
            record.source_identity,
            record.access_key_id,
        )
    )


def _make_token(marker: str) -> str:
    return urlsafe_b64encode(marker.encode("ascii")).decode("ascii")


def _read_token(token: str) -> str | None:
    try:
        return urlsafe_b64decode(token).decode("ascii") or None
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _invalid_token() from error


def _invalid_token() -> ValidationError:
    return ValidationError("The nextToken is not one of this list's.")
