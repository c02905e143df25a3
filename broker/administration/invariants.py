"""*Invariants*: what no user or role of the account may be allowed.

A change replaces the whole list. The form carries a hash of the list that it started
from, and the transaction compares it first.
"""

from collections.abc import Mapping, Sequence

from starlette.responses import Response

from broker.actions.action import Call
from broker.administration.policy_editor import content_hash, format_text
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import ConcurrentModification
from broker.kinds.accounts import require_account
from broker.kinds.control_policies import ControlKind, control_policies

SERVICE = "broker"
SECTION = "invariants"
LIST = "/console/invariants"
_TEXT_MAX = 30_000
_NAME_MAX = 128
_EXAMPLE = """{
  "Version": "2012-10-17",
  "Statement": {
    "Effect": "Deny",
    "Action": "s3:GetObject",
    "Resource": "arn:aws:s3:::backups/*",
    "Condition": {
      "ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::%s:role/sre"}
    }
  }
}"""

_Listed = Sequence[Mapping[str, str]]


async def _page(visit: Visit) -> Response:
    name = visit.text("name").strip()[:_NAME_MAX]
    text = visit.text("document")[:_TEXT_MAX]
    if visit.posted:
        with visit.attempt():
            return await _change(visit, name, text)
    listed = await _read(visit)
    account = visit.who.session.account
    edited = visit.text("edit")[:_NAME_MAX]
    if edited and not visit.problem:
        name = edited
        text = next(
            (
                format_text(entry["PolicyDocument"])
                for entry in listed
                if entry["PolicyName"] == edited
            ),
            "",
        )
    return await visit.show(
        "admin/invariants.html",
        invariants=[
            (entry["PolicyName"], format_text(entry["PolicyDocument"]))
            for entry in listed
        ],
        base=_hash([(e["PolicyName"], e["PolicyDocument"]) for e in listed]),
        name=name,
        text=text,
        example=_EXAMPLE % account,
        most=ControlKind.INVARIANT.policies_max,
    )


async def _read(visit: Visit) -> _Listed:
    answer = await visit.perform(SERVICE, "ListInvariants")
    listed: _Listed = answer["Invariants"]
    return listed


async def _change(visit: Visit, name: str, text: str) -> Response:
    deletes = visit.text("do") == "delete"
    base = visit.text("base")[:_NAME_MAX]
    kept = [entry for entry in await _read(visit) if entry["PolicyName"] != name]
    added = [] if deletes else [{"PolicyName": name, "PolicyDocument": text}]

    async def unchanged(call: Call) -> None:
        account = await require_account(call.change, call.account)
        stored = control_policies(account, ControlKind.INVARIANT)
        if _hash([(entry.name, entry.text) for entry in stored]) != base:
            raise ConcurrentModification(
                "Someone else changed the invariants after you opened this page."
            )

    params = {"Invariants": [*kept, *added]}
    await visit.perform(SERVICE, "PutInvariants", unchanged, **params)
    done = "Invariant deleted." if deletes else "Invariant saved."
    return visit.done(done, LIST, "" if deletes else name)


def _hash(listed: Sequence[tuple[str, str]]) -> str:
    """Of the list that the form starts from."""
    return content_hash("\n".join(f"{name}\0{text}" for name, text in listed))


PAGES = (PageRoute(LIST, SECTION, _page, BOTH, long=True),)
